"""Every file a build reads leaves its digest; strace watches from outside of the sandbox."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import io
import json
import os
import posixpath
import subprocess
import tarfile
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from fwseal.base.digest import sha256_hex
from fwseal.base.errors import Unavailable
from fwseal.build import trace
from fwseal.build.inputs import Inputs, Read
from fwseal.build.toolchain import INSIDE, sha256
from fwseal.build.trace import Attempt, Use

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

SOURCE = "/build"
MACHINE = ("/proc", "/sys")
"""What tells of the machine: it is named, and has no digest."""

DEVICES = (
    "/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/tty", "/dev/ptmx",
    "/dev/fd", "/dev/stdin", "/dev/stdout", "/dev/stderr",
)  # fmt: skip
"""What a build may use of /dev; a sandbox has no more."""

TEMPORARY = ("/tmp", "/dev/shm")  # noqa: S108 - the sandbox's own

_WORDS = (
    "strace", "--seccomp-bpf", "-f", "-y", "--pidns-translation", "-s", "512",
    "-e", "signal=none", "-e", "trace=" + ",".join(f"?{call}" for call in trace.CALLS), "-o",
)  # fmt: skip


def available() -> bool:
    """Answer whether strace works here, by trying."""
    try:
        done = subprocess.run(  # noqa: S603 - our own arguments
            [*_WORDS, os.devnull, "true"], capture_output=True, timeout=20, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def watching(words: list[str], output: Path) -> list[str]:
    """Answer a command that does the same, and has strace write down what it does."""
    return [*_WORDS, str(output), "--", *words]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """How a build saw this machine's folders: pairs of the build's path and the machine's.

    `work` is the machine's folder of the source, `home` that of the compiler, empty where it is
    the system's.
    """

    shown: tuple[tuple[str, str], ...]
    work: str
    home: str

    def host(self, path: str) -> str:
        """Answer where a path of the build lies on this machine, its links followed."""
        plain = posixpath.normpath(path)
        for inside, outside in self.shown:
            if f"{plain}/".startswith(f"{inside}/"):
                return os.path.realpath(outside + plain.removeprefix(inside))
            if path.startswith(f"{inside}/"):  # and out of it again
                return os.path.realpath(plain)
        return os.path.realpath(path)

    def name(self, path: str) -> str:
        """Answer a path of this machine as the manifest names it."""
        for inside, outside in ((SOURCE, self.work), (INSIDE, self.home)):
            if outside and f"{path}/".startswith(f"{outside}/"):
                return inside + path.removeprefix(outside)
        return path


def looked(traces: Iterable[Path], view: View, archive: bytes, *, began: int) -> Inputs:
    """Answer what a build looked at, with digests, while its folder is still there.

    `began` is when the build did, in nanoseconds since 1970.

    Raises `Unavailable` where a trace cannot be read, or an input changed under the build.
    """
    found = trace.Observed()
    for path in traces:
        with path.open(encoding="ascii") as lines:
            found = found.joined(trace.observed(lines))
    digests = Digests(began)
    built = _Reading(found, view, digests, archive).inputs()
    digests.keep()
    return built


class _Reading:
    """One build's trace, its paths resolved on this machine; all in one place, for its caches."""

    def __init__(self, found: trace.Observed, view: View, digests: Digests, archive: bytes) -> None:
        self._found = found
        self._view = view
        self._digests = digests
        self._source = _members(archive)
        self._hosts: dict[str, str] = {}
        self._programs: dict[str, str] = {}
        self._made = {self._name(path) for path in found.made}

    def inputs(self) -> Inputs:
        found = self._found
        reads, source, machine = set(), {}, set()
        for use in {*found.read, *found.seen, *found.run, *self._interpreters()}:
            name = self._name(use.path)
            if _below(name, SOURCE):
                inside = name.removeprefix(f"{SOURCE}/")
                if inside in self._source:
                    source[inside] = self._source[inside]
            elif _of_machine(name):
                machine.add(name)
            elif not self._made_here(name):
                digest = self._digests.of(Path(self._host(use.path)))
                if not digest and _below(name, "/dev"):
                    digest = sha256_hex(b"")  # a device has no content that could be declared
                if digest:
                    reads.add(Read(name=name, program=self._program(use.program), sha256=digest))
        reads |= set(self._listings())
        return Inputs(
            source=source,
            reads=tuple(sorted(reads)),
            programs=self._called(),
            missing=self._missing(),
            machine=tuple(sorted(machine)),
            changed=self._outside(),
            network=self._plain(found.network),
            unseen=self._plain(found.unseen),
        )

    def _host(self, path: str) -> str:
        if path not in self._hosts:
            self._hosts[path] = self._view.host(path)
        return self._hosts[path]

    def _name(self, path: str) -> str:
        if _below(path, *TEMPORARY, *MACHINE, "/dev") and self._view.name(path) == path:
            return posixpath.normpath(path)
        return self._view.name(self._host(path))

    def _made_here(self, name: str) -> bool:
        """Answer whether the build made this temporary file, or a folder it lies in."""
        while _below(name, *TEMPORARY):
            if name in self._made:
                return True
            name = posixpath.dirname(name)
        return False

    def _program(self, path: str) -> str:
        """Answer the name of what the kernel runs for a program: a script's interpreter."""
        if path not in self._programs:
            script = _interpreter(Path(self._host(path)))
            self._programs[path] = self._name(script or path)
        return self._programs[path]

    def _interpreters(self) -> Iterator[Use]:
        """Answer what the kernel opens by itself to run a program, which no call shows."""
        for use in self._found.run:
            for path in (_interpreter(Path(self._host(use.path))), self._loader(use.path)):
                if path:
                    yield Use(program=use.program, path=path)

    def _loader(self, path: str) -> str:
        script = _interpreter(Path(self._host(path)))
        return loader(Path(self._host(script or path)))

    def _called(self) -> dict[str, tuple[str, ...]]:
        found: dict[str, set[str]] = {}
        for use in self._found.run:
            called = _interpreter(Path(self._host(use.path))) or use.path
            found.setdefault(self._program(use.path), set()).add(posixpath.normpath(called))
        return {name: tuple(sorted(found[name])) for name in sorted(found)}

    def _listings(self) -> Iterator[Read]:
        for use in self._found.listed:
            name = self._name(use.path)
            if self._own(name):
                continue
            with contextlib.suppress(OSError):
                names = "".join(f"{one}\n" for one in sorted(os.listdir(self._host(use.path))))  # noqa: PTH208 - names alone
                digest = hashlib.sha256(names.encode("utf-8", "surrogateescape")).hexdigest()
                program = self._program(use.program)
                yield Read(name=name, program=program, sha256=digest, listed=True)

    def _missing(self) -> tuple[str, ...]:
        names = {self._shown(path) for path in self._found.missing}
        without = (*TEMPORARY, *MACHINE, "/dev")
        return tuple(sorted(name for name in names if not _below(name, *without)))

    def _shown(self, path: str) -> str:
        plain = posixpath.normpath(path)
        for inside, outside in self._view.shown:
            if _below(plain, inside):
                return self._view.name(outside + plain.removeprefix(inside))
        return self._view.name(plain)

    def _outside(self) -> tuple[Attempt, ...]:
        found = set()
        for use in self._found.changed:
            name = self._name(use.path)
            if not self._own(name):
                found.add(Attempt(program=self._program(use.program), to=name))
        return tuple(sorted(found))

    @staticmethod
    def _own(name: str) -> bool:
        """Answer whether a place is the build's own, or shows the machine."""
        ours = (SOURCE, *TEMPORARY)
        return name in ours or _below(name, *ours) or _of_machine(name)

    def _plain(self, attempts: Iterable[Attempt]) -> tuple[Attempt, ...]:
        named = {Attempt(program=self._program(one.program), to=one.to) for one in attempts}
        return tuple(sorted(named))


def _below(path: str, *folders: str) -> bool:
    return any(path.startswith(f"{folder}/") for folder in folders)


def _of_machine(name: str) -> bool:
    return name in (*MACHINE, *DEVICES) or _below(name, *MACHINE, "/dev/pts", "/dev/fd")


def _members(archive: bytes) -> dict[str, str]:
    """Answer the SHA-256 of each file of a source archive, by its path there."""
    found = {}
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        for member in tar:
            content = tar.extractfile(member) if member.isreg() else None
            if content:
                name = posixpath.normpath(member.name)
                found[name] = hashlib.sha256(content.read()).hexdigest()
    return found


def _interpreter(path: Path) -> str:
    """Answer the interpreter a script names, empty for anything else."""
    try:
        with path.open("rb") as file:
            head = file.read(256)
    except OSError:
        return ""
    words = head.partition(b"\n")[0].removeprefix(b"#!").split()
    return os.fsdecode(words[0]) if head.startswith(b"#!") and words else ""


def loader(path: Path) -> str:
    """Answer the program that the kernel starts for an ELF program, empty where there is none."""
    from elftools.common.exceptions import ELFError
    from elftools.elf.elffile import ELFFile

    try:
        with path.open("rb") as file:
            if file.read(4) != b"\x7fELF":
                return ""
            for part in ELFFile(file).iter_segments("PT_INTERP"):
                return os.fsdecode(part.data().rstrip(b"\0"))
    except (OSError, ELFError, ValueError):
        return ""
    return ""


class Digests:
    """SHA-256 of files, remembered for as long as inode, size and times stay."""

    def __init__(self, began: int) -> None:
        self._began = began
        base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        self._path = Path(base, "fwseal", "digests.json")
        self._known: dict[str, str] = {}
        self._used: dict[str, str] = {}
        with contextlib.suppress(OSError, ValueError):
            known = json.loads(self._path.read_bytes())
            if type(known) is dict:
                self._known = known

    def of(self, path: Path) -> str:
        """Answer a file's SHA-256 in lower-case hex, empty for what is no file."""
        try:
            if not path.is_file():
                return ""
            found = path.stat()
            key = ":".join(
                str(part)
                for part in (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns,
                             found.st_ctime_ns)
            )  # fmt: skip
            digest = self._known.get(key) or sha256(path)
        except OSError as error:
            raise Unavailable(
                f"cannot read {path}, which the build read: {(error.strerror or 'error').lower()}",
                hint="build as a user who may read it",
            ) from None
        if found.st_ctime_ns > self._began:
            raise Unavailable(
                f"{path} changed while the build read it", hint="build again when it is at rest"
            )
        self._used[key] = digest
        return digest

    def keep(self) -> None:
        """Remember for the next build; a cache that cannot be written is no error."""
        with contextlib.suppress(OSError):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            handle, beside = tempfile.mkstemp(dir=self._path.parent)
            with os.fdopen(handle, "w") as file:
                json.dump({**self._known, **self._used}, file)
            Path(beside).replace(self._path)
