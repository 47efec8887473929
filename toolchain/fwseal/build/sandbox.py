"""A build starts from a fresh export and empty caches, ends in time, and gives its outputs back.

How well it is kept apart from this machine is said out loud: `walls.Level`.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import itertools
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
from fwseal.build import recorder, walls
from fwseal.build.toolchain import INSIDE
from fwseal.build.walls import CACHES, USUAL, Level, Setting

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from fwseal.build.inputs import Inputs
    from fwseal.build.toolchain import Compiler

DISK_LIMIT = 8 << 30
"""Bytes that all files of one build may take up."""

_LOOK = 0.25
"""Seconds from one look at a build's disk to the next."""

_TAIL = 12
"""Lines of a failed build's output that are kept."""

_MAX_OUTPUT = 1 << 28
"""Bytes of one output that are read, debug information included."""

LATER = 400 * 86400
"""Seconds by which the date of an earlier build differs."""

LAID_OUT = 315619200
"""When every file of a source was last changed, in seconds of the epoch: a zip file can say it."""


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


def best_level() -> Level:
    """Answer the best level that works here, by trying."""
    for level in (Level.BUBBLEWRAP, Level.UNSHARE):
        try:
            with tempfile.TemporaryDirectory(prefix="fwseal-") as folder:
                wrapped = walls.wrapped(level, ("true",), work=_laid_out(folder), compiler=None)
                done = subprocess.run(  # noqa: S603 - our own arguments
                    wrapped, env=walls.environment(0), capture_output=True, timeout=20, check=False
                )
        except (OSError, subprocess.TimeoutExpired):
            continue
        if done.returncode == 0:
            return level
    return Level.NONE


def build(job: Job, level: Level, setting: Setting = USUAL) -> dict[str, bytes]:
    """Answer the bytes of each output of one fresh build.

    Raises `BuildFailed`, `Misuse` for an output that was not made or a source with links out of
    it, `Unavailable` for a disk that is full or a build past its time.
    """
    with _built(job, level, setting=setting) as work:
        return {name: _output(work, name) for name in job.outputs}


def recorded(job: Job, level: Level) -> tuple[dict[str, bytes], Inputs]:
    """Answer the same, and what the build looked at; raises the same."""
    began = time.time_ns()
    with tempfile.TemporaryDirectory(prefix="fwseal-trace-") as folder:
        traces = [Path(folder, str(number)) for number in range(len(job.commands))]
        with _built(job, level, traces=traces) as work:
            view = _view(level, work, job.compiler)
            found = recorder.looked(traces, view, job.archive, began=began)
            return {name: _output(work, name) for name in job.outputs}, found


@contextlib.contextmanager
def _built(
    job: Job, level: Level, *, setting: Setting = USUAL, traces: Iterable[Path] = ()
) -> Iterator[Path]:
    """Answer the folder in which all commands have run, for as long as it is there."""
    end = time.monotonic() + walls.TIME_LIMIT
    try:
        with tempfile.TemporaryDirectory(prefix="fwseal-build-", dir=setting.folder) as folder:
            work = _laid_out(folder)
            bounds = _Bounds(end=end, free=_free(work))
            _lay_out(job, work, setting)
            if setting.before:
                kept = set(work.rglob("*"))
                variables = walls.environment(job.epoch + LATER, setting)
                for command in setting.before:
                    words = walls.wrapped(level, command, work=work, compiler=job.compiler)
                    _run(words, work, variables, bounds)
                _only_caches(work, kept)
                _lay_out(job, work, setting)
            for command, log in itertools.zip_longest(job.commands, traces):
                words = walls.wrapped(
                    level, command, work=work, compiler=job.compiler, setting=setting
                )
                words = recorder.watching(words, log) if log else words
                _run(words, work, walls.environment(job.epoch, setting), bounds)
            yield work
    except OSError as error:
        raise Unavailable(
            f"the build folder cannot be used: {error.strerror}", hint="check space in TMPDIR"
        ) from None


def _view(level: Level, work: Path, compiler: Compiler | None) -> recorder.View:
    home = os.path.realpath(compiler.home) if compiler and compiler.home else ""
    shown = [(recorder.SOURCE, str(work)), (INSIDE, home)]
    stage = walls.STAGE if level is Level.UNSHARE else ""
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


def _unpack(data: bytes, work: Path, *, backwards: bool) -> None:
    """Lay the source out, modes normal, no link that leads out of it; raises `Misuse`."""
    # By hand, since tarfile's own filters are missing from Python before 3.11.4. Git's archives
    # hold folders, files and symbolic links, and git refuses names that lead out.
    links = {}
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        for member in reversed(archive.getmembers()) if backwards else archive:
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


def _lay_out(job: Job, work: Path, setting: Setting) -> None:
    _unpack(job.archive, work, backwards=setting.backwards)
    _settle(work, backwards=setting.backwards)


def _only_caches(work: Path, kept: set[Path]) -> None:
    """Remove what is neither kept nor in a compiler's cache.

    Files stay in place: zig knows them by their inode, and would not look into its cache.
    """
    for place, folders, names in os.walk(work, topdown=False):
        for path in (Path(place, name) for name in (*names, *folders)):
            if CACHES in path.relative_to(work).parts:
                continue
            if path.is_symlink() or (path not in kept and not path.is_dir()):
                path.unlink()
            elif path not in kept:
                with contextlib.suppress(OSError):  # a cache is in it
                    path.rmdir()


def _settle(work: Path, *, backwards: bool) -> None:
    """Give all that is laid out one time: compilers compile it in, and make compares it.

    Backwards, the last name is the newest, by a second.
    """
    age = 0
    for place, folders, names in os.walk(work, topdown=False):
        for name in sorted((*folders, *names)):
            when = LAID_OUT + age
            os.utime(Path(place, name), (when, when), follow_symlinks=False)
            age += backwards


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
        f"the build took longer than {walls.TIME_LIMIT:g} s",
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
