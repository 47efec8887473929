#!/bin/sh
# Installs the Debian packages that the machine lacks, or says which where it may not.
# Usage: system.sh demo|test|heavy
set -eu

python=${PYTHON:-python3}
missing=

need() { # PACKAGE COMMAND...: the command succeeds where the package is installed
    package=$1
    shift
    "$@" >/dev/null 2>&1 || missing="$missing $package"
}

case $1 in
demo)
    need python3-venv "$python" -c 'import ensurepip'
    need git command -v git
    need bubblewrap command -v bwrap
    need qemu-system-arm command -v qemu-system-arm
    need strace command -v strace
    need softhsm2 command -v softhsm2-util
    ;;
test)
    need gcc command -v cc
    need libc6-dev test -e /usr/include/stdio.h
    need faketime command -v faketime
    need gcc-arm-none-eabi command -v arm-none-eabi-gcc
    need gcc-riscv64-unknown-elf command -v riscv64-unknown-elf-gcc
    need opensc command -v pkcs11-tool
    ;;
heavy)
    need debootstrap command -v debootstrap
    ;;
esac
[ -n "$missing" ] || exit 0

if ! command -v apt-get >/dev/null; then
    root=no
elif [ "$(id -u)" = 0 ]; then
    root=
elif sudo -n true 2>/dev/null; then
    root=sudo
else
    root=no
fi

if [ "$root" = no ]; then
    echo "fwseal: hint: not installed, and only root could:$missing" >&2
    case $missing in *python3-venv*)
        "$python" -m pip --version >/dev/null 2>&1 || {
            echo "fwseal: error: $python has neither venv nor pip: install python3-venv" >&2
            exit 3
        }
    esac
    exit 0
fi

apt() {
    $root env DEBIAN_FRONTEND=noninteractive apt-get -qq -o Dpkg::Use-Pty=0 "$@"
}
echo "fwseal: installing$missing" >&2
apt update >/dev/null
# shellcheck disable=SC2086 # one word a package
apt install -y --no-install-recommends $missing >/dev/null
