"""Source archives are fetched by digest before the build, and laid out the same everywhere."""

from __future__ import annotations

import contextlib
import io
import os
import posixpath
import tarfile
import tempfile
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING

from fwseal.base.digest import sha256_hex
from fwseal.base.errors import Misuse, Refused, Unavailable
from fwseal.base.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

MAX_ARCHIVE = 1 << 30
"""Bytes of one archive, packed, and of all files in it."""

MAX_FILES = 200_000
"""Files and folders in one archive."""

TIME_LIMIT = 60.0
"""Seconds without a byte, after which a server is given up."""


def fetched(place: str, sha256: str, *, folder: Path) -> bytes:
    """Answer the bytes of an archive, an address or a file named from `folder`.

    What came from an address is kept, under its digest, for the next build. Raises `Refused`
    (digest-mismatch, limit-exceeded), `Unavailable` where nobody answers, `Misuse`.
    """
    remote = place.startswith(("https://", "http://"))
    kept = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "fwseal", sha256)
    with contextlib.suppress(OSError):
        if remote and sha256_hex(data := kept.read_bytes()) == sha256:
            return data
    data = _downloaded(place) if remote else _read(folder / place)
    found = sha256_hex(data)
    if found != sha256:
        raise Refused(
            Reason.DIGEST_MISMATCH, f"the archive has SHA-256 {found}, not {sha256}", where=place
        )
    if remote:
        _keep(kept, data)
    return data


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except (OSError, ValueError) as error:
        raise Misuse(
            f"cannot read {path}: {getattr(error, 'strerror', None) or 'no file name'}".lower(),
            hint="a source archive is named from the recipe's folder",
        ) from None


def _downloaded(address: str) -> bytes:
    try:
        with urllib.request.urlopen(address, timeout=TIME_LIMIT) as answer:  # noqa: S310 - http or https, and known by digest
            data: bytes = answer.read(MAX_ARCHIVE + 1)
    except (OSError, ValueError) as error:  # URLError is an OSError
        if isinstance(error, urllib.error.HTTPError):
            error.close()
        reason = getattr(error, "reason", None) or error
        raise Unavailable(
            f"cannot fetch {address}: {reason}", hint="fetch it by hand, and name it by file"
        ) from None
    if len(data) > MAX_ARCHIVE:
        raise Refused(Reason.LIMIT_EXCEEDED, f"larger than {MAX_ARCHIVE} bytes", where=address)
    return data


def _keep(place: Path, data: bytes) -> None:
    with contextlib.suppress(OSError):
        place.parent.mkdir(parents=True, exist_ok=True)
        handle, beside = tempfile.mkstemp(dir=place.parent)
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        Path(beside).replace(place)


def combined(parts: Iterable[tuple[str, bytes]], *, exported: bytes = b"") -> bytes:
    """Answer one tar archive of several, each below a folder of its own (empty: the top).

    A part whose files all lie in one folder gives what is in that folder; git's export (`exported`)
    lies at the top as it is. The answer depends on names, contents, links and executable bits
    alone. Raises `Refused` (malformed, unsupported, limit-exceeded).
    """
    found: dict[str, tuple[tarfile.TarInfo, bytes]] = {}
    whole = [("", exported, False)] if exported else []
    for into, data, stripped in [*whole, *((into, data, True) for into, data in parts)]:
        for name, member, content in _members(data, where=into or "source", stripped=stripped):
            place = posixpath.join(into, name) if into else name
            if place in found and not (member.isdir() and found[place][0].isdir()):
                raise Refused(Reason.MALFORMED, "two source files have one name", where=place)
            found[place] = (member, content)
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for place in sorted(found):
            member, content = found[place]
            plain = tarfile.TarInfo(place)
            plain.type, plain.linkname, plain.size = member.type, member.linkname, len(content)
            plain.mode = 0o755 if member.isdir() or member.mode & 0o100 else 0o644
            tar.addfile(plain, io.BytesIO(content))
    return out.getvalue()


def _members(
    data: bytes, *, where: str, stripped: bool
) -> Iterator[tuple[str, tarfile.TarInfo, bytes]]:
    try:
        found = list(_read_members(data, where=where))
    except (tarfile.TarError, EOFError, OSError, ValueError) as error:
        raise Refused(Reason.MALFORMED, f"not a tar archive: {error}", where=where) from None
    names = {name.partition("/")[0] for name, _, _ in found}
    only = next(iter(names), "")
    deep = (
        stripped
        and len(names) == 1
        and all(member.isdir() or "/" in name for name, member, _ in found)
    )
    for name, member, content in found:
        below = name.removeprefix(only).lstrip("/") if deep else name
        if below:
            yield below, member, content


def _read_members(data: bytes, *, where: str) -> Iterator[tuple[str, tarfile.TarInfo, bytes]]:
    left = MAX_ARCHIVE
    links: dict[str, bytes] = {}
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        for number, member in enumerate(tar):
            name = posixpath.normpath(member.name)
            if name == ".":
                continue
            if name.startswith(("/", "../")) or name == ".." or "\0" in name:
                raise Refused(Reason.MALFORMED, f"{member.name!r} leads out of it", where=where)
            left -= member.size
            if number >= MAX_FILES or left < 0:
                raise Refused(Reason.LIMIT_EXCEEDED, "too many files, or too large", where=where)
            if member.islnk():  # a hard link is the file it names, which came before
                member.type, content = (
                    tarfile.REGTYPE,
                    links.get(posixpath.normpath(member.linkname)),
                )
                if content is None:
                    raise Refused(Reason.MALFORMED, f"{name} is a link to nothing", where=where)
            elif member.isreg():
                file = tar.extractfile(member)
                content = file.read() if file else b""
                links[name] = content
            elif member.isdir() or member.issym():
                content = b""
            else:
                raise Refused(Reason.UNSUPPORTED, f"{name} is no file, folder or link", where=where)
            yield name, member, content
