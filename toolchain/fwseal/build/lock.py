"""A build may read what its recipe, its lock and its source declare; anything else ends it."""

from __future__ import annotations

import dataclasses
import posixpath
from typing import TYPE_CHECKING

from fwseal.base.digest import sha256_hex
from fwseal.base.errors import Misuse, Refused
from fwseal.base.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from fwseal.base.tables import Table
    from fwseal.build.inputs import Inputs, Read

SCHEMA_VERSION = 1
FILE = "toolchain.lock.toml"
"""The lock in a release, and beside a recipe that names none."""

WHOLE = ("wheel", "folder")
KINDS = (*WHOLE, "package", "unowned")

PROGRAMS = ("/usr/local/bin/", "/usr/bin/", "/bin/")
"""Where a program that a recipe declares by name must be."""

RUNTIME = ("/usr/lib/", "/usr/lib64/", "/usr/libexec/", "/usr/share/", "/lib/", "/lib64/", "/etc/")
"""What comes with such a program: its libraries, locales and settings."""

LOADER = (
    "/etc/ld.so.cache", "/etc/locale.alias", "/usr/lib/locale/locale-archive",
    "/usr/share/locale/locale.alias",
)  # fmt: skip
"""Say where libraries and locales are; those that a build uses are inputs themselves."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Component:
    """One part of a toolchain, by digest.

    A wheel or folder is pinned whole (`sha256`, of what sha256sum writes of its files, sorted by
    path); of a Debian package, and of what no package owns, the `files` that were read. A lock
    does not hold who made it (`creator`, with an address in angle brackets) and its `license`.
    """

    kind: str
    name: str
    version: str = ""
    sha256: str = ""
    files: Mapping[str, str] = dataclasses.field(default_factory=dict)
    purl: str = ""
    creator: str = ""
    license: str = ""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Lock:
    """All that a build may read besides its source and what its recipe declares by name."""

    components: tuple[Component, ...] = ()

    def files(self) -> dict[str, str]:
        """Answer the SHA-256 of each file that is pinned by itself."""
        return {name: digest for one in self.components for name, digest in one.files.items()}

    def pins(self, name: str) -> tuple[str, ...]:
        """Answer the digests of the wheels and folders of a name: it may be installed as either."""
        return tuple(
            one.sha256 for one in self.components if one.kind in WHOLE and one.name == name
        )


def lock(table: Table) -> Lock:
    """Answer the lock of a parsed file; raises `Misuse`, also for any key it does not know."""
    if table.uint("schema-version") != SCHEMA_VERSION:
        raise table.misuse("made by another version of fwseal")
    found = []
    for kind in KINDS:
        for entry in table.tables(kind, optional=True):
            named = entry.take("name", str)
            whole = entry.take("sha256", str, "")
            files = entry.table("files", optional=True)
            digests = {name: files.take(name, str) for name in files.items_left()}
            for digest in (*digests.values(), *([whole] if whole else [])):
                if len(digest) != 64 or set(digest) - set("0123456789abcdef"):
                    raise entry.misuse("a digest must be 64 digits of lower-case hex")
            found.append(
                Component(
                    kind=kind,
                    name=named,
                    version=entry.take("version", str, ""),
                    sha256=whole,
                    files=digests,
                )
            )
            entry.done()
    table.done()
    return Lock(components=tuple(found))


_HEAD = """\
# What builds may read besides their source, by digest. `fwseal build --lock` adds to it; read what
# it added, and commit it. A wheel or folder is pinned by the SHA-256 of what sha256sum writes of
# its files, sorted by path; a package by the files of it that were read.
schema-version = 1
"""


def text(what: Lock) -> str:
    """Answer a lock as TOML, everything in one order."""
    out = [_HEAD]
    for one in sorted(what.components, key=lambda one: (KINDS.index(one.kind), one.name)):
        out.append(f"\n[[{one.kind}]]\nname = {_quoted(one.name)}\n")
        if one.version:
            out.append(f"version = {_quoted(one.version)}\n")
        if one.sha256:
            out.append(f"sha256 = {_quoted(one.sha256)}\n")
        if one.files:
            out.append(f"[{one.kind}.files]\n")
            out += [f"{_quoted(name)} = {_quoted(one.files[name])}\n" for name in sorted(one.files)]
    return "".join(out)


def _quoted(word: str) -> str:
    if not word.isprintable():
        raise Misuse(f"{word!r} cannot be written in a lock", hint="give the file a plain name")
    escaped = word.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def merged(old: Lock, new: Iterable[Component]) -> Lock:
    """Answer a lock with components added; one of the same kind and name is replaced.

    Files of a package of the same version stay: another recipe may have read them.
    """
    found = {(one.kind, one.name): one for one in old.components}
    for one in new:
        before = found.get((one.kind, one.name))
        if before and before.version == one.version:
            one = dataclasses.replace(one, files={**before.files, **one.files})  # noqa: PLW2901 - the same component, grown
        found[one.kind, one.name] = one
    return Lock(components=tuple(found.values()))


def tree_sha256(files: Mapping[str, str]) -> str:
    """Answer the SHA-256 of what `sha256sum` writes of files, sorted by path."""
    lines = "".join(f"{files[path]}  {path}\n" for path in sorted(files))
    return sha256_hex(lines.encode("utf-8", "surrogateescape"))


def grouped(files: Mapping[str, str], owners: Mapping[str, Component]) -> tuple[Component, ...]:
    """Answer the components files belong to, each with its files.

    `files` holds digests by name, `owners` the package of each file that one owns.
    """
    found: dict[str, Component] = {}
    for name in sorted(files):
        owner = owners.get(name, Component(kind="unowned", name="files of no package"))
        one = found.get(owner.name, owner)
        found[owner.name] = dataclasses.replace(one, files={**one.files, name: files[name]})
    return tuple(found[name] for name in sorted(found))


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Declared:
    """What a recipe declares: programs of the host by name, and digests of all else by path."""

    host: tuple[str, ...]
    files: Mapping[str, str]
    folders: tuple[str, ...] = ()


def undeclared(found: Inputs, declared: Declared) -> tuple[Read, ...]:
    """Answer what was read and neither recipe nor lock declares."""
    trusted = {
        name
        for name, called in found.programs.items()
        if any(_of_host(word, declared.host) for word in (*called, name))
    }
    return tuple(one for one in found.reads if not _allowed(one, declared, trusted))


def _of_host(path: str, host: tuple[str, ...]) -> bool:
    folder, _, name = path.rpartition("/")
    return name in host and f"{folder}/" in PROGRAMS


def _allowed(one: Read, declared: Declared, trusted: set[str]) -> bool:
    if one.name in LOADER:
        return True
    if one.listed and any(f"{one.name}/".startswith(f"{top}/") for top in declared.folders):
        return True
    if one.name in declared.files:
        return declared.files[one.name] == one.sha256
    if one.program in trusted:
        return one.name == one.program or one.name.startswith(RUNTIME) or one.name in trusted
    return False


def check_compiler(locked: Lock, compiler: Component) -> None:
    """Return when a lock holds this wheel or folder; raises `Refused` (undeclared-input).

    A compiler of the system is not pinned whole: its files are judged when they were read.
    """
    if compiler.kind not in WHOLE:
        return
    pins = locked.pins(compiler.name)
    if compiler.sha256 not in pins:
        known = "not the one that is locked" if pins else "locked nowhere"
        named = " ".join(filter(None, (compiler.name, compiler.version)))
        refused = Refused(
            Reason.UNDECLARED_INPUT, f"compiler {named} is {known}", where=compiler.name
        )
        refused.hint = _HINT
        raise refused


def judge(found: Inputs, declared: Declared, *, isolated: bool) -> None:
    """Return when a build read what is declared, and talked to nobody.

    `isolated` says that nothing it wrote outside of its folders can have stayed. Raises `Refused`:
    network-attempt, outside-write, undeclared-input, unrecorded.
    """
    if found.network:
        one = found.network[0]
        raise Refused(
            Reason.NETWORK_ATTEMPT, f"{_short(one.program)} wanted to talk to {one.to}",
            where=one.program,
        )  # fmt: skip
    if found.unseen:
        one = found.unseen[0]
        raise Refused(
            Reason.UNRECORDED, f"{_short(one.program)} used {one.to}, which hides what is read",
            where=one.program,
        )  # fmt: skip
    if found.changed and not isolated:
        one = found.changed[0]
        raise Refused(Reason.OUTSIDE_WRITE, f"{_short(one.program)} changed {one.to}", where=one.to)
    left = undeclared(found, declared)
    if left:
        raise _refusal(left, declared)


def _refusal(left: tuple[Read, ...], declared: Declared) -> Refused:
    one = left[0]
    more = len({other.name for other in left}) - 1
    what = "lists" if one.listed else "runs" if one.name == one.program else "reads"
    known = "not the one that is locked" if one.name in declared.files else "declared nowhere"
    others = f", and {more} more" if more else ""
    refused = Refused(
        Reason.UNDECLARED_INPUT,
        f"{_short(one.program)} {what} {one.name}, {known}{others}",
        where=one.name,
    )
    refused.hint = _HINT
    return refused


_HINT = "remove it, name its program in host, or read what fwseal build --lock adds to the lock"


def _short(program: str) -> str:
    return posixpath.basename(program) or program
