"""Recipes, profiles, times and payload options as the verbs read them."""

from __future__ import annotations

import contextlib
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from fwseal.base.errors import Misuse
from fwseal.base.ports import NotThere
from fwseal.base.tables import Table
from fwseal.cli import files

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from fwseal.base.ids import Uri
    from fwseal.device.profile import DeviceProfile
    from fwseal.image.memory_map import Layout

_CHUNK = 1 << 20
_EPOCH = re.compile(r"[0-9]{1,12}")
_RFC3339 = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?"
    r"([Zz]|[+-][0-9]{2}:[0-9]{2})"
)
_FIRST_YEAR, _LAST_YEAR = 1970, 8999
"""Lifetimes are added to times, and both must stay times."""


def profile(path: Path, *, read: Callable[[str], bytes] | None = None) -> DeviceProfile:
    """Answer the device profile of a file; `read` answers the files it names, by default beside it.

    Raises `Misuse`.
    """
    from fwseal.device import profile as profiles

    table = Table.parse(files.text(path), where=path.name)
    return profiles.profile(table, read=read or files.reader(path.parent))


def layout(device: DeviceProfile, *, read: Callable[[str], bytes]) -> Layout:
    """Answer the memory layout a profile names; raises `Misuse`."""
    if not device.layout:
        raise Misuse(
            f"device {device.name} names no memory layout",
            hint='add [memory] layout = "layout.toml" to its profile',
        )
    return parsed_layout(read(device.layout), where=device.layout)


def parsed_layout(data: bytes, *, where: str) -> Layout:
    """Answer the memory layout of a file's bytes; raises `Misuse`."""
    from fwseal.image import memory_map

    return memory_map.layout(Table.parse(files.decoded(data, where=where), where=where))


def time(text: str | None) -> datetime:
    """Answer a TIME: RFC 3339 or epoch seconds, the system clock by default; raises `Misuse`."""
    if text is None:
        return datetime.now(UTC)
    found = None
    with contextlib.suppress(ValueError, OverflowError, OSError):
        if _EPOCH.fullmatch(text):
            found = datetime.fromtimestamp(int(text), UTC)
        elif _RFC3339.fullmatch(text):
            found = datetime.fromisoformat(text.upper())
    if found is None or not _FIRST_YEAR <= found.year <= _LAST_YEAR:
        raise Misuse(
            f"time {text!r} is neither RFC 3339 nor epoch seconds",
            hint="write it as 2026-01-31T12:00:00Z",
        )
    return found.astimezone(UTC)


class FileFetcher:
    """A `Fetcher` of files named on the command line as URI=FILE."""

    def __init__(self, named: list[str]) -> None:
        self._files: dict[str, Path] = {}
        for one in named:
            uri, equals, file = one.rpartition("=")
            if not equals or not uri:
                raise Misuse(f"--payload {one!r} is not URI=FILE", hint="it splits at the last =")
            if uri in self._files:
                raise Misuse(f"--payload names {uri} twice", hint="give each URI one file")
            path = Path(file)
            if not files.is_there(path):
                raise Misuse(f"cannot read payload {file}: no such file", hint="check its name")
            if path.is_dir():
                raise Misuse(f"cannot read payload {file}: it is a folder", hint="name a file")
            self._files[uri] = path

    def fetch(self, uri: Uri, *, max_size: int) -> Iterator[bytes]:
        """Answer the file's bytes, at most one chunk past `max_size`; raises `NotThere`."""
        path = self._files.get(uri)
        if path is None:
            raise NotThere(uri)
        return self._read(path, max_size)

    @property
    def uris(self) -> frozenset[str]:
        """Answer the URIs that were named."""
        return frozenset(self._files)

    def path(self, uri: str) -> Path | None:
        """Answer the file named for a URI, or None where none was."""
        return self._files.get(uri)

    @staticmethod
    def _read(path: Path, max_size: int) -> Iterator[bytes]:
        total = 0
        try:
            with path.open("rb") as file:
                while total <= max_size and (piece := file.read(_CHUNK)):
                    total += len(piece)
                    yield piece
        except OSError as error:
            raise Misuse(
                f"cannot read payload {path}: {(error.strerror or 'error').lower()}",
                hint="check its permissions",
            ) from None
