"""What strace wrote down becomes what a build looked at; a line that cannot be read is no silence.

The lines are those of `strace -f -y --pidns-translation`: paths are the sandbox's own, file
descriptors carry theirs, and strace escapes every byte that could end a string or a path.
"""

from __future__ import annotations

import dataclasses
import posixpath
import re
from typing import TYPE_CHECKING

from fwseal.base.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Iterable

MARK = "/.fwseal-begins"
"""A path nobody has: the first process that looks for it is the build, all before is sandbox."""

OPENS = ("open", "openat", "openat2", "creat")
LOOKS = (
    "stat", "lstat", "newfstatat", "statx", "access", "faccessat", "faccessat2",
    "stat64", "lstat64", "fstatat64",
)  # fmt: skip
LINKS = ("readlink", "readlinkat")
MAKES = (
    "mkdir", "mkdirat", "mknod", "mknodat", "symlink", "symlinkat", "link", "linkat",
)  # fmt: skip
MOVES = ("rename", "renameat", "renameat2", "unlink", "unlinkat", "rmdir", "truncate")
LISTS = ("getdents", "getdents64")
RUNS = ("execve", "execveat")
FORKS = ("clone", "clone3", "fork", "vfork")
TALKS = ("connect", "sendto", "sendmsg", "sendmmsg")
UNSEEN = (
    "io_uring_setup", "open_by_handle_at",
    "mount", "move_mount", "open_tree", "chroot", "pivot_root",
)  # fmt: skip
"""Behind these, files are read without a call, or a path is no longer what it says."""

_UNTRACED = "CLONE_UNTRACED"
"""A process that is born with this flag has no recorder (clone(2))."""

CALLS = (
    *OPENS, *LOOKS, *LINKS, *MAKES, *MOVES, *LISTS, *RUNS, *FORKS, *TALKS, *UNSEEN,
    "chdir", "fchdir",
)  # fmt: skip


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Use:
    """A path, and the program that used it; both as the sandbox names them, whole."""

    program: str
    path: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Attempt:
    """A program reached for the network: an address, or a host it wanted the address of."""

    program: str
    to: str


@dataclasses.dataclass(slots=True, kw_only=True)
class Observed:
    """What one build did, in the sandbox's own names.

    `read` were opened for reading or run, `seen` were only found, `missing` were looked for in
    vain, `listed` are folders, `made` came into being, `changed` were written, moved or removed.
    """

    read: set[Use] = dataclasses.field(default_factory=set)
    seen: set[Use] = dataclasses.field(default_factory=set)
    run: set[Use] = dataclasses.field(default_factory=set)
    listed: set[Use] = dataclasses.field(default_factory=set)
    changed: set[Use] = dataclasses.field(default_factory=set)
    made: set[str] = dataclasses.field(default_factory=set)
    missing: set[str] = dataclasses.field(default_factory=set)
    network: set[Attempt] = dataclasses.field(default_factory=set)
    unseen: set[Attempt] = dataclasses.field(default_factory=set)

    def joined(self, other: Observed) -> Observed:
        """Answer what either of two commands did."""
        return Observed(
            **{
                field.name: getattr(self, field.name) | getattr(other, field.name)
                for field in dataclasses.fields(self)
            }
        )


_LINE = re.compile(r"(\d+) +(?:(\w+)\((.*)|<\.\.\. (\w+) resumed>(.*))", re.DOTALL)
_LATER = " <unfinished ...>"
_PLACE = re.compile(
    r"(?:(?:AT_FDCWD|-?\d+)(?:<([^>]*)>)?(?:\(deleted\))?, )?"
    r'(?:"((?:[^"\\]|\\.)*)"(\.\.\.)?|NULL|0x[0-9a-f]+)'
)
_DONE = re.compile(
    r".*\) += (-?\d+|\?)(?:<([^>]*)>(?:\(deleted\))?)?"
    r"(?: ([A-Z0-9_]+) \([^()]*\)| \([^()]*\)| /\* (\d+) in strace's PID NS \*/)?",
    re.DOTALL,
)
_STANDS = re.compile(r"AT_FDCWD<([^>]*)>")
_FOLDER = re.compile(r"\d+<([^>]*)>")
_INTERNET = re.compile(
    r"sa_family=AF_INET6?, sin6?_port=htons\((\d+)\).*?"
    r'(?:inet_addr\("([^"]*)"\)|inet_pton\(AF_INET6, "([^"]*)")'
)
_LOCAL = re.compile(r'sa_family=AF_UNIX, sun_path=(@?"(?:[^"\\]|\\.)*")')
_SAID = re.compile(r'"((?:[^"\\]|\\.)*)"')
_GONE = ("ENOENT", "ENOTDIR", "EACCES", "ELOOP", "ENAMETOOLONG")


def observed(lines: Iterable[str]) -> Observed:
    """Answer what a build did; raises `Unavailable` for a line that means nothing to us."""
    reader = _Reader()
    for line in lines:
        reader.line(line.rstrip("\n"))
    if not reader.begun:
        raise Unavailable("the recorder saw no build", hint="run strace by hand: does it work here")
    return reader.found


@dataclasses.dataclass(slots=True)
class _Process:
    """Where a process stands, and which program it runs."""

    folder: str
    program: str


class _Reader:
    """The lines in their order; a process is known once its parent's fork has returned."""

    def __init__(self) -> None:
        self.found = Observed()
        self.begun = False
        self._known: dict[str, _Process] = {}
        self._begun_calls: dict[str, str] = {}
        self._waiting: dict[str, list[tuple[str, str]]] = {}

    def line(self, line: str) -> None:
        match = _LINE.fullmatch(line)
        if match is None:
            if re.fullmatch(r"\d+ +(\+\+\+|---) .*", line, re.DOTALL):
                return  # an end, or a signal
            raise _unread(line)
        process, call, rest, resumed, remainder = match.groups()
        if resumed:
            call, rest = resumed, self._begun_calls.pop(process, "") + remainder
        elif rest.endswith(_LATER):
            self._begun_calls[process] = rest.removesuffix(_LATER)
            return
        self._call(process, call, rest)

    def _call(self, process: str, call: str, rest: str) -> None:
        if not self.begun:
            if f'"{MARK}"' not in rest:
                return  # the sandbox is being made
            self.begun = True
            self._known[process] = _Process(folder=_text(_STANDS.match(rest)), program="sh")
            return
        here = self._known.get(process)
        if here is None:
            self._waiting.setdefault(process, []).append((call, rest))
            return
        done = _DONE.fullmatch(rest)
        if done is None:
            raise _unread(f"{call}({rest}")
        code, opened, error, outer = done.groups()
        if call in FORKS and _UNTRACED in rest:
            self.found.unseen.add(Attempt(program=here.program, to=_UNTRACED))
        elif call in FORKS:
            self._forked(here, child=outer or code)
        elif call in TALKS:
            self._talked(here, rest)
        elif call in UNSEEN and not code.startswith("-"):
            self.found.unseen.add(Attempt(program=here.program, to=call))
        elif call in LISTS:
            self._listed(here, rest)
        elif call == "fchdir":
            here.folder = _text(_FOLDER.match(rest)) if code == "0" else here.folder
        else:
            self._path(here, call, rest, _Answer(code, _decoded(opened or ""), error or ""))

    def _forked(self, parent: _Process, *, child: str) -> None:
        if child.startswith("-") or child == "?":
            return
        self._known[child] = dataclasses.replace(parent)
        for call, rest in self._waiting.pop(child, []):
            self._call(child, call, rest)

    def _listed(self, here: _Process, rest: str) -> None:
        folder = _text(_FOLDER.match(rest))
        if folder.startswith("/"):
            self.found.listed.add(Use(program=here.program, path=folder))

    def _path(self, here: _Process, call: str, rest: str, answer: _Answer) -> None:
        stands = _STANDS.match(rest)
        if stands:
            here.folder = _text(stands)
        several = call in (*MAKES, *MOVES)
        matches = _PLACE.finditer(rest) if several else filter(None, (_PLACE.match(rest),))
        found = [one for one in matches if one.group(2) is not None]
        if not found:
            return  # no name at all: the kernel refused it
        paths = [_whole(here, one.group(1), one.group(2)) for one in found]
        if answer.error in _GONE:
            self.found.missing.add(paths[0])
        elif call in RUNS and answer.code == "0":
            here.program = paths[0]
            self.found.run.add(Use(program=here.program, path=paths[0]))
        elif answer.error or answer.code == "?":
            return
        elif call == "chdir":
            here.folder = paths[0]
        elif call in OPENS:
            flags = "O_WRONLY|O_CREAT" if call == "creat" else rest[found[0].end() :]
            self._opened(here, flags, answer.opened or paths[0])
        elif several:
            if call in ("link", "linkat"):
                self.found.read.add(Use(program=here.program, path=paths[0]))
            self.found.made.update(paths[-1:] if call in MAKES else paths[1:])
            self._changed(here, paths[-1:] if call in MAKES else paths)
        elif call in LOOKS and found[0].group(2):  # an empty name asks of an open file
            self._seen(here, rest, paths[0])

    def _opened(self, here: _Process, flags: str, path: str) -> None:
        if not path.startswith("/") or "O_PATH" in flags or "O_DIRECTORY" in flags:
            return
        if "O_WRONLY" in flags or "O_RDWR" in flags:
            self._changed(here, [path])
        if "O_CREAT" in flags or "O_TRUNC" in flags:
            self.found.made.add(path)
        if "O_WRONLY" not in flags:
            self.found.read.add(Use(program=here.program, path=path))

    def _changed(self, here: _Process, paths: list[str]) -> None:
        self.found.changed.update(Use(program=here.program, path=path) for path in paths)

    def _seen(self, here: _Process, rest: str, path: str) -> None:
        if "st_mode=S_IFDIR" not in rest and "stx_mode=S_IFDIR" not in rest:
            self.found.seen.add(Use(program=here.program, path=path))

    def _talked(self, here: _Process, rest: str) -> None:
        for where in _INTERNET.finditer(rest):
            to = f"{where.group(2) or where.group(3)} port {where.group(1)}"
            self.found.network.add(Attempt(program=here.program, to=to))
        for socket in _LOCAL.finditer(rest):
            if not rest.rstrip().endswith(")"):  # nobody listens there: an error stands at the end
                name = _decoded(socket.group(1).strip('@"'))
                self.found.network.add(Attempt(program=here.program, to=f"socket {name}"))
        for said in _SAID.finditer(rest):
            host = asked_host(_raw(said.group(1)))
            if host:
                self.found.network.add(Attempt(program=here.program, to=host))


@dataclasses.dataclass(frozen=True, slots=True)
class _Answer:
    """What a call returned: its number, the path of a file it opened, the name of an error."""

    code: str
    opened: str
    error: str


def _whole(here: _Process, folder: str | None, name: str) -> str:
    base = _decoded(folder) if folder else here.folder
    return posixpath.join(base, _decoded(name)) if name else base


def _text(match: re.Match[str] | None) -> str:
    return _decoded(match.group(1)) if match else ""


def _raw(text: str) -> bytes:
    return text.encode("ascii", "backslashreplace").decode("unicode_escape").encode("latin-1")


def _decoded(text: str) -> str:
    if "\\" not in text:
        return text
    return _raw(text).decode("utf-8", "surrogateescape")


def _unread(line: str) -> Unavailable:
    return Unavailable(
        f"the recorder cannot read what strace wrote: {line[:200]}",
        hint="is strace 5.9 or newer; a build is never half recorded",
    )


_HEADER, _LABEL = 12, 63


def asked_host(message: bytes) -> str:
    """Answer the host whose address a DNS query asks for, or nothing (RFC 1035 4.1)."""
    if len(message) <= _HEADER or message[4:6] != b"\0\1":
        return ""
    labels, at = [], _HEADER
    while at < len(message) and 0 < message[at] <= _LABEL:
        labels.append(message[at + 1 : at + 1 + message[at]])
        at += 1 + message[at]
    name = b".".join(labels).decode("latin-1")
    ended = at < len(message) and message[at] == 0
    return name if labels and ended and name.isascii() and name.isprintable() else ""
