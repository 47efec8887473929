"""A build sees its source, its compiler and nothing of this machine; how well is said out loud.

Levels: bubblewrap (fixed path, no network, own file system view), unshare (fixed path, no network),
none (cleared environment only). Each build starts from a fresh export and empty compiler caches.
"""

from __future__ import annotations

import contextlib
import dataclasses
import enum
import io
import os
import signal
import subprocess
import tarfile
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from fwseal.base.errors import Misuse, Refused, Unavailable
from fwseal.base.reasons import Reason
from fwseal.build import recorder, toolchain
from fwseal.build.toolchain import INSIDE
from fwseal.build.trace import MARK

if TYPE_CHECKING:
    from fwseal.build.inputs import Inputs
    from fwseal.build.toolchain import Compiler

TIME_LIMIT = 900.0
"""Seconds for all commands of one build."""

MEMORY_LIMIT = 4 << 30
"""Bytes of data that one process of a build may have."""

FILE_LIMIT = 1 << 30
"""Bytes of one file that a build writes, what it prints included."""

DISK_LIMIT = 8 << 30
"""Bytes that all files of one build may take up."""

_LOOK = 0.25
"""Seconds from one look at a build's disk to the next."""

_TAIL = 12
"""Lines of a failed build's output that are kept."""

_MAX_OUTPUT = 1 << 28
"""Bytes of one output that are read, debug information included."""

LAID_OUT = 315619200
"""When every file of a source was last changed, in seconds of the epoch: a zip file can say it."""

_STAGE = "/mnt"
"""Where unshare shows source and compiler."""


class Level(enum.Enum):
    """How a build is kept apart, best first."""

    BUBBLEWRAP = "bubblewrap"
    UNSHARE = "unshare"
    NONE = "none"


class BuildFailed(Refused):
    """A command of the recipe failed with exit `code`; `output` is the end of what it said."""

    def __init__(self, code: int, *, output: tuple[str, ...]) -> None:
        super().__init__(
            Reason.COMMAND_FAILED, f"a command of the build failed with exit code {code}"
        )
        self.hint = "run the recipe's commands by hand to see more"
        self.code = code
        self.output = output


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One build: a tar archive of the source, commands word by word, and its outputs."""

    archive: bytes
    commands: tuple[tuple[str, ...], ...]
    outputs: tuple[str, ...]
    compiler: Compiler
    epoch: int


def cc(compiler: Compiler, level: Level) -> str:
    """Answer what `{cc}` stands for: without a sandbox the compiler has no fixed path."""
    if compiler.home is None or level is Level.BUBBLEWRAP:
        return compiler.cc
    place = str(compiler.home) if level is Level.NONE else f"{_STAGE}{INSIDE}"
    return compiler.cc.replace(INSIDE, place)


def best_level() -> Level:
    """Answer the best level that works here, by trying."""
    for level in (Level.BUBBLEWRAP, Level.UNSHARE):
        try:
            with tempfile.TemporaryDirectory(prefix="fwseal-") as folder:
                wrapped = _wrapped(level, ("true",), work=_laid_out(folder), compiler=None)
                done = subprocess.run(  # noqa: S603 - our own arguments
                    wrapped, env=_environment(0), capture_output=True, timeout=20, check=False
                )
        except (OSError, subprocess.TimeoutExpired):
            continue
        if done.returncode == 0:
            return level
    return Level.NONE


def build(job: Job, level: Level) -> dict[str, bytes]:
    """Answer the bytes of each output of one fresh build.

    Raises `BuildFailed`, `Misuse` for an output that was not made or a source with links out of
    it, `Unavailable` for a disk that is full or a build past its time.
    """
    return _built(job, level, traces=None)[0]


def recorded(job: Job, level: Level) -> tuple[dict[str, bytes], Inputs]:
    """Answer the same, and what the build looked at; raises the same."""
    with tempfile.TemporaryDirectory(prefix="fwseal-trace-") as folder:
        outputs, found = _built(job, level, traces=Path(folder))
    if found is None:
        raise AssertionError
    return outputs, found


def _built(
    job: Job, level: Level, *, traces: Path | None
) -> tuple[dict[str, bytes], Inputs | None]:
    end, written = time.monotonic() + TIME_LIMIT, []
    began = time.time_ns()
    try:
        with tempfile.TemporaryDirectory(prefix="fwseal-build-") as folder:
            work = _laid_out(folder)
            bounds = _Bounds(end=end, free=_free(work))
            _unpack(job.archive, work)
            _settle(work)
            for number, command in enumerate(job.commands):
                words = _wrapped(level, command, work=work, compiler=job.compiler)
                if traces:
                    written.append(traces / str(number))
                    words = recorder.watching(words, written[-1])
                _run(words, work, _environment(job.epoch), bounds)
            found = None
            if traces:
                view = _view(level, work, job.compiler)
                found = recorder.looked(written, view, job.archive, began=began)
            return {name: _output(work, name) for name in job.outputs}, found
    except OSError as error:
        raise Unavailable(
            f"the build folder cannot be used: {error.strerror}", hint="check space in TMPDIR"
        ) from None


def _view(level: Level, work: Path, compiler: Compiler | None) -> recorder.View:
    home = os.path.realpath(compiler.home) if compiler and compiler.home else ""
    shown = [(recorder.SOURCE, str(work)), (INSIDE, home)]
    stage = _STAGE if level is Level.UNSHARE else ""
    return recorder.View(
        shown=tuple((stage + inside, outside) for inside, outside in shown if outside)
        if level is not Level.NONE
        else (),
        work=os.path.realpath(work),
        home=home,
    )


def _laid_out(folder: str) -> Path:
    """Answer the work folder in a new temporary one; beside it is room to show the compiler."""
    work = Path(folder, "build")
    work.mkdir()
    Path(folder, "toolchain").mkdir()
    return work


def _unpack(data: bytes, work: Path) -> None:
    """Lay the source out, modes normal, no link that leads out of it; raises `Misuse`."""
    # By hand, since tarfile's own filters are missing from Python before 3.11.4. Git's archives
    # hold folders, files and symbolic links, and git refuses names that lead out.
    links = {}
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        for member in archive:
            place = work / member.name
            place.parent.mkdir(parents=True, exist_ok=True)
            content = archive.extractfile(member) if member.isreg() else None
            if content:
                place.write_bytes(content.read())
                place.chmod(0o755 if member.mode & 0o100 else 0o644)
            elif member.issym():
                links[place] = member.linkname
            else:
                place.mkdir(exist_ok=True)
                place.chmod(0o755)
    # Links last: a crafted tree has a link and a folder of one name, and files would go through.
    for place, aim in links.items():
        if place.exists():
            raise Misuse(
                f"{place.relative_to(work)} is a link and a folder or file at once",
                hint="git fsck finds what is wrong with the commit",
            )
        place.symlink_to(aim)
    for place in links:
        if not _inside(work, place):
            raise Misuse(
                f"{place.relative_to(work)} is a link out of the source",
                hint="build from a commit without it",
            )


def _settle(work: Path) -> None:
    """Give all that is laid out one time: compilers compile it in, and make compares it."""
    for place, folders, names in os.walk(work, topdown=False):
        for name in (*folders, *names):
            os.utime(Path(place, name), (LAID_OUT, LAID_OUT), follow_symlinks=False)


def _inside(work: Path, place: Path) -> bool:
    return Path(os.path.realpath(place)).is_relative_to(os.path.realpath(work))


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Bounds:
    """When a build is stopped, by the monotonic clock, and what was free before it, in bytes."""

    end: float
    free: int


def _run(words: list[str], work: Path, environment: dict[str, str], bounds: _Bounds) -> None:
    # Output goes to a file: a pipe would stay open for as long as a daemon holds it.
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(  # noqa: S603 - the recipe's command, in the sandbox
            words,
            cwd=work,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            code = _waited(process, work, bounds)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        if code != 0:
            said.seek(max(0, said.seek(0, os.SEEK_END) - (1 << 16)))
            lines = said.read().decode(errors="replace").splitlines()[-_TAIL:]
            raise BuildFailed(code, output=tuple(lines))


def _waited(process: subprocess.Popen[bytes], work: Path, bounds: _Bounds) -> int:
    """Answer a command's exit code; raises `Unavailable` past the limits of time and disk."""
    while (left := bounds.end - time.monotonic()) > 0:
        with contextlib.suppress(subprocess.TimeoutExpired):
            return process.wait(timeout=min(left, _LOOK))
        # Others write to the disk as well: only then are the files worth a walk.
        if bounds.free - _free(work) > DISK_LIMIT and _size(work) > DISK_LIMIT:
            raise Unavailable(
                f"the build wrote more than {DISK_LIMIT} bytes",
                hint="find out which command of the recipe fills the disk",
            )
    raise Unavailable(
        f"the build took longer than {TIME_LIMIT:g} s",
        hint="find out which command of the recipe does not end",
    )


def _free(work: Path) -> int:
    found = os.statvfs(work)
    return found.f_bfree * found.f_frsize


def _size(folder: Path) -> int:
    """Answer how many bytes of disk the files below a folder take up."""
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(FileNotFoundError):  # gone meanwhile
                total += Path(place, name).lstat().st_blocks * 512
    return total


def _output(work: Path, name: str) -> bytes:
    path = work / name
    if not _inside(work, path) or not path.is_file():
        raise Misuse(f"the build made no output {name}", hint="correct outputs in the recipe")
    if path.stat().st_size > _MAX_OUTPUT:
        raise Misuse(f"output {name} is larger than {_MAX_OUTPUT} bytes", hint="strip the file")
    return path.read_bytes()


def _environment(epoch: int) -> dict[str, str]:
    return {
        "PATH": toolchain.PATH,
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


_BEGIN = f"""
umask 022
ulimit -c 0
ulimit -t {int(TIME_LIMIT)}
ulimit -d {MEMORY_LIMIT >> 10}
ulimit -f {FILE_LIMIT >> 9}
[ -e {MARK} ] || :
"""
"""What holds for every command; a limit that is lower already stays, and is complained of."""

_MOUNTED = f"""
set -e
if [ "$2" ]; then mount --bind "$2" "$1/toolchain"; fi
mount --rbind "$1" {_STAGE}
cd {_STAGE}/build
hostname build || :
shift 2
set +e
{_BEGIN}
exec "$@"
"""


def _wrapped(
    level: Level, words: tuple[str, ...], *, work: Path, compiler: Compiler | None
) -> list[str]:
    if level is Level.NONE:
        return ["sh", "-c", f'{_BEGIN}exec "$@"', "sh", *words]
    if level is Level.UNSHARE:
        return [
            "unshare", "--user", "--map-root-user", "--mount", "--net", "--ipc", "--uts", "--pid",
            "--fork", "--kill-child", "sh", "-c", _MOUNTED, "sh", str(work.parent),
            str(compiler.home) if compiler and compiler.home else "", *words,
        ]  # fmt: skip
    # Root keeps its capabilities unless told, and could mount what is read-only anew.
    arguments = [
        "bwrap", "--unshare-all", "--unshare-user", "--uid", "0", "--gid", "0",
        "--die-with-parent", "--new-session", "--hostname", "build",
        "--cap-drop", "ALL",
        "--ro-bind", "/usr", "/usr", "--proc", "/proc", "--dev", "/dev",
        "--size", str(FILE_LIMIT), "--tmpfs", "/tmp",  # noqa: S108 - the sandbox's own
        "--bind", str(work), "/build", "--chdir", "/build",
    ]  # fmt: skip
    for folder in ("bin", "lib", "lib64", "sbin"):
        if Path("/", folder).is_symlink():
            arguments += ["--symlink", f"usr/{folder}", f"/{folder}"]
        elif Path("/", folder).is_dir():
            arguments += ["--ro-bind", f"/{folder}", f"/{folder}"]
    if Path("/etc/alternatives").is_dir():
        arguments += ["--ro-bind", "/etc/alternatives", "/etc/alternatives"]
    if compiler and compiler.home:
        arguments += ["--ro-bind", str(compiler.home), INSIDE]
    return [*arguments, "sh", "-c", f'{_BEGIN}exec "$@"', "sh", *words]
