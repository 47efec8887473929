"""A build sees its source, its compiler and nothing of this machine; how well is said out loud.

Levels: bubblewrap (fixed path, no network, own file system view), unshare (fixed path, no network),
none (cleared environment only). Each build starts from a fresh export and empty compiler caches.
"""

from __future__ import annotations

import dataclasses
import enum
import hashlib
import importlib.util
import io
import os
import posixpath
import shutil
import signal
import subprocess
import tarfile
import tempfile
from pathlib import Path

from fwseal.base.errors import FwsealError, Misuse, Unavailable

TIME_LIMIT = 900.0
"""Seconds for all commands of one build."""

_TAIL = 12
"""Lines of a failed build's output that are shown."""


class Level(enum.Enum):
    """How a build is kept apart, best first."""

    BUBBLEWRAP = "bubblewrap"
    UNSHARE = "unshare"
    NONE = "none"


class BuildFailed(FwsealError):
    """A command of the recipe failed; the end of its output is in the message."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Compiler:
    """A compiler found on this machine: `home` is made visible at `inside` in the sandbox."""

    name: str
    sha256: str
    home: Path | None
    inside: str
    cc: str

    def command(self, *, fixed: bool) -> str:
        """Answer what `{cc}` stands for."""
        if self.home is None or fixed:
            return self.cc
        return self.cc.replace(self.inside, str(self.home))


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One build: a tar archive of the source, commands with `{cc}` left in, and its outputs."""

    archive: bytes
    commands: tuple[tuple[str, ...], ...]
    outputs: tuple[str, ...]
    compiler: Compiler
    epoch: int


def compiler(name: str) -> Compiler:
    """Answer the compiler a recipe names; raises `Unavailable` when it is not installed."""
    if name == "zig":
        spec = importlib.util.find_spec("ziglang")
        if spec is None or spec.origin is None:
            raise Unavailable(
                "compiler zig is not installed", hint="pip install 'fwseal[build]'"
            )
        home = Path(spec.origin).parent
        return Compiler(
            name=name, sha256=_sha256(home / "zig"), home=home, inside="/toolchain",
            cc="/toolchain/zig cc",
        )  # fmt: skip
    path = shutil.which(name)
    if path is None:
        raise Unavailable(f"compiler {name} is not installed", hint=f"apt install gcc-{name[:-4]}")
    return Compiler(name=name, sha256=_sha256(Path(path).resolve()), home=None, inside="", cc=name)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def best_level() -> Level:
    """Answer the best level that works here, by trying."""
    for level in (Level.BUBBLEWRAP, Level.UNSHARE):
        with tempfile.TemporaryDirectory(prefix="fwseal-") as work:
            wrapped = _wrapped(level, ("true",), work=Path(work), compiler=None)
            try:
                done = subprocess.run(
                    wrapped, env=_environment(0), capture_output=True, timeout=20, check=False
                )
            except (FileNotFoundError, subprocess.TimeoutExpired):
                continue
            if done.returncode == 0:
                return level
    return Level.NONE


def build(job: Job, level: Level) -> dict[str, bytes]:
    """Answer the bytes of each output of one fresh build.

    Raises `BuildFailed`, `Misuse` for an output that was not made, `Unavailable` for a disk that
    is full or a build past its time.
    """
    fixed = level is not Level.NONE
    try:
        with tempfile.TemporaryDirectory(prefix="fwseal-build-") as folder:
            work = Path(folder)
            _unpack(job.archive, work)
            cc = job.compiler.command(fixed=fixed)
            for command in job.commands:
                words = tuple(word.replace("{cc}", cc) for word in command)
                _run(_wrapped(level, words, work=work, compiler=job.compiler), work, job.epoch)
            return {name: _output(work, name) for name in job.outputs}
    except OSError as error:
        raise Unavailable(
            f"the build folder cannot be used: {error.strerror}", hint="check space in TMPDIR"
        ) from None


def _unpack(data: bytes, work: Path) -> None:
    """Lay the source out, modes normal, no link that leads out of it; raises `Misuse`."""
    # By hand, since tarfile's own filters are missing from Python before 3.11.4.
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        for member in archive:
            place = work / member.name
            target = posixpath.normpath(f"{posixpath.dirname(member.name)}/{member.linkname}")
            if member.isdir():
                place.mkdir(parents=True, exist_ok=True)
            elif member.isreg():
                place.parent.mkdir(parents=True, exist_ok=True)
                content = archive.extractfile(member)
                place.write_bytes(content.read() if content else b"")
                place.chmod(0o755 if member.mode & 0o100 else 0o644)
            elif member.issym() and not target.startswith(("/", "..")):
                place.parent.mkdir(parents=True, exist_ok=True)
                place.symlink_to(member.linkname)
            else:
                raise Misuse(f"{member.name} is a link out of the source")


def _run(words: list[str], work: Path, epoch: int) -> None:
    process = subprocess.Popen(
        words,
        cwd=work,
        env=_environment(epoch),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        output, _ = process.communicate(timeout=TIME_LIMIT)
    except subprocess.TimeoutExpired:
        raise Unavailable(f"the build took longer than {TIME_LIMIT:g} s") from None
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    if process.returncode != 0:
        lines = output.decode(errors="replace").splitlines()[-_TAIL:]
        shown = "\n".join("  " + _printable(line) for line in lines)
        raise BuildFailed(
            f"the build failed with exit code {process.returncode}\n{shown}".rstrip(),
            hint="run the recipe's commands by hand to see more",
        )


def _printable(line: str) -> str:
    return "".join(char if char.isprintable() else "?" for char in line)


def _output(work: Path, name: str) -> bytes:
    path = (work / name).resolve()
    if not path.is_relative_to(work.resolve()) or not path.is_file():
        raise Misuse(f"the build made no output {name}", hint="correct outputs in the recipe")
    return path.read_bytes()


def _environment(epoch: int) -> dict[str, str]:
    return {
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "HOME": "/tmp",  # noqa: S108 - inside the sandbox, an empty one
        "USER": "build",
        "LANG": "C.UTF-8",
        "LC_ALL": "C.UTF-8",
        "TZ": "UTC",
        "SOURCE_DATE_EPOCH": str(epoch),
        "PYTHONHASHSEED": "0",
        "CCACHE_DISABLE": "1",
        "ZIG_GLOBAL_CACHE_DIR": ".cache/zig-global",
        "ZIG_LOCAL_CACHE_DIR": ".cache/zig-local",
    }


_MOUNTED = """
set -e
umask 022
mount -t tmpfs none /mnt
mkdir /mnt/build
mount --bind "$1" /mnt/build
cd /mnt/build
shift
exec "$@"
"""


def _wrapped(
    level: Level, words: tuple[str, ...], *, work: Path, compiler: Compiler | None
) -> list[str]:
    if level is Level.NONE:
        return ["sh", "-c", 'umask 022; exec "$@"', "sh", *words]
    home = compiler.home if compiler else None
    if level is Level.UNSHARE:
        if compiler and home:
            words = tuple(word.replace(compiler.inside, str(home)) for word in words)
        return [
            "unshare", "--user", "--map-root-user", "--mount", "--net", "--ipc", "--uts", "--pid",
            "--fork", "--kill-child", "sh", "-c", _MOUNTED, "sh", str(work), *words,
        ]  # fmt: skip
    arguments = [
        "bwrap", "--unshare-all", "--die-with-parent", "--new-session", "--hostname", "build",
        "--ro-bind", "/usr", "/usr", "--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp",
        "--bind", str(work), "/build", "--chdir", "/build",
    ]  # fmt: skip
    for folder in ("bin", "lib", "lib64", "sbin"):
        if Path("/", folder).is_symlink():
            arguments += ["--symlink", f"usr/{folder}", f"/{folder}"]
        elif Path("/", folder).is_dir():
            arguments += ["--ro-bind", f"/{folder}", f"/{folder}"]
    if Path("/etc/alternatives").is_dir():
        arguments += ["--ro-bind", "/etc/alternatives", "/etc/alternatives"]
    if compiler and home:
        arguments += ["--ro-bind", str(home), compiler.inside]
    return [*arguments, "sh", "-c", 'umask 022; exec "$@"', "sh", *words]
