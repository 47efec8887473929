#!/usr/bin/env bash
# Runs a command in a fresh clone of this repository, in a Debian that has Python and little else.
#
# Usage: bare_debian.sh [--keep] DIR root|user COMMAND...
#
# Makes the root DIR, or uses the one that --keep left there; removes it unless --keep is given.
# root can install packages; user cannot, and finds python3-venv installed.
# The clone is DIR/srv/fwseal: what is not committed is not in it.
# Exit: the command's own; 2 misuse; 77 this machine cannot make such a root.
set -eu -o pipefail

stop() { # CODE REASON
    echo "bare_debian.sh: $2" >&2
    exit "$1"
}

keep=
if [ "${1:-}" = --keep ]; then
    keep=yes
    shift
fi
[ $# -ge 3 ] || stop 2 "usage: bare_debian.sh [--keep] DIR root|user COMMAND..."
dir=$(realpath -m "$1")
account=$2
shift 2
case $account in root | user) ;; *) stop 2 "root or user, not $account" ;; esac

suite=${SUITE:-bookworm}
repository=$(realpath "$(dirname "$0")/../..")
base=$repository/build/bare-debian/$suite.tar
clone=/srv/fwseal
mark=etc/made-by-bare-debian

[ "$(id -u)" = 0 ] || stop 77 "only root can make a Debian root"
for program in debootstrap bwrap; do
    command -v $program >/dev/null || stop 77 "$program is not installed"
done
[ ! -e "$dir" ] || [ -e "$dir/$mark" ] || stop 2 "$dir is there already, and not ours"

part=
trap '[ -z "$part" ] || rm -rf "$part"; [ -n "$keep" ] || rm -rf "$dir"' EXIT

# Prints nothing where this machine has no Debian sources: debootstrap knows a mirror itself.
mirror() {
    cat /etc/apt/sources.list /etc/apt/sources.list.d/*.sources 2>/dev/null |
        sed -nE 's/^(URIs:|deb) +(https?:[^ ]*\/debian)\/?( .*)?$/\2/p' | head -n 1
}

make_base() {
    part=$(mktemp -d)
    # shellcheck disable=SC2046 # the mirror is one word or none
    timeout 600 debootstrap --variant=minbase --include=ca-certificates,git,make,python3 \
        "$suite" "$part/root" $(mirror) >"$part/log" || {
        tail -n 5 "$part/log" >&2
        stop 77 "debootstrap failed"
    }
    chroot "$part/root" useradd --create-home --uid 1000 user
    touch "$part/root/$mark"
    mkdir -p "$(dirname "$base")"
    tar -C "$part/root" --exclude='./var/cache/apt/archives/*.deb' -cf "$base.part" .
    mv "$base.part" "$base"
    rm -rf "$part"
    part=
}

handed=(--ro-bind "$(realpath /etc/resolv.conf)" /etc/resolv.conf)
certificates=${SSL_CERT_FILE:-${PIP_CERT:-${REQUESTS_CA_BUNDLE:-}}}
if [ -n "$certificates" ]; then
    handed+=(--ro-bind "$(realpath "$certificates")" /run/host-ca.crt)
    for name in SSL_CERT_FILE PIP_CERT REQUESTS_CA_BUNDLE; do
        handed+=(--setenv "$name" /run/host-ca.crt)
    done
fi
for name in CI http_proxy https_proxy no_proxy; do
    [ -z "${!name:-}" ] || handed+=(--setenv "$name" "${!name}")
done

enter() { # DIR root|user COMMAND...
    local root=$1 home=/root
    shift
    [ "$1" = root ] || home=/home/user
    # bwrap's --proc covers parts of /proc, and the kernel then refuses /proc to a sandbox inside.
    # shellcheck disable=SC2016 # expanded inside
    timeout 1800 bwrap --die-with-parent --new-session --cap-add ALL \
        --unshare-pid --unshare-ipc --unshare-uts --hostname bare \
        --bind "$root" / --dev /dev --perms 1777 --tmpfs /tmp --tmpfs /run \
        --clearenv --setenv HOME "$home" --setenv LANG C.UTF-8 \
        --setenv PATH /usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
        "${handed[@]}" --chdir "$clone" \
        sh -euc 'mount -t proc proc /proc
            exec setpriv --reuid="$0" --regid="$0" --init-groups "$@"' "$@"
}

make_dir() {
    [ -e "$base" ] || make_base
    part=$(mktemp -d "$dir.XXXXXX")
    tar -C "$part" -xpf "$base"
    git clone --quiet --no-hardlinks "$repository" "$part$clone"
    if [ "$account" = user ]; then
        enter "$part" root sh -euc '
            apt-get -qq update
            DEBIAN_FRONTEND=noninteractive apt-get -qq install --no-install-recommends python3-venv
            chown -R user: .' >/dev/null
    fi
    mv "$part" "$dir"
    part=
}

[ -e "$dir" ] || make_dir
enter "$dir" "$account" "$@"
