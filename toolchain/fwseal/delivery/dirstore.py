"""A repository in a directory: files are created once, and one file is swapped, last.

A file is written beside its place, synced, then linked (create-only) or renamed (swap); nothing is
ever half there, and a crash leaves at most a file that nobody names.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
from typing import TYPE_CHECKING, Protocol

from fwseal.base.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Store(Protocol):
    """Where a repository's files are kept: conditional create, and compare-and-swap."""

    def read(self, name: str) -> bytes | None:
        """Answer a file's bytes, or None when there is none."""
        ...

    def create(self, name: str, data: bytes) -> bool:
        """Create a file; answer False when other bytes stand there already."""
        ...

    def swap(self, name: str, old: bytes | None, new: bytes) -> bool:
        """Replace `old` (None: nothing) by `new`; answer False when something else is there."""
        ...


class DirStore:
    """A `Store` in a directory of one file system."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def read(self, name: str) -> bytes | None:
        """Answer a file's bytes, or None when there is none; raises `Unavailable`."""
        try:
            return (self._root / name).read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise Unavailable(f"cannot read {name}: {error.strerror}") from None

    def create(self, name: str, data: bytes) -> bool:
        """Create a file, durably; answer False when other bytes stand there already."""
        place = self._root / name
        with self._beside(place, data) as beside:
            try:
                os.link(beside, place)
            except FileExistsError:
                if self.read(name) != data:
                    return False
            # Also for what was there: whoever made it may have crashed before this.
            self._sync(place.parent)
        return True

    def swap(self, name: str, old: bytes | None, new: bytes) -> bool:
        """Replace `old` by `new`, durably, one writer at a time."""
        import fcntl

        place = self._root / name
        with self._beside(place, new) as beside, (self._root / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if self.read(name) != old:
                return False
            beside.replace(place)
            self._sync(place.parent)
        return True

    @contextlib.contextmanager
    def _beside(self, place: Path, data: bytes) -> Iterator[Path]:
        beside = place.with_name(f".{place.name}.{secrets.token_hex(6)}")
        try:
            self._folder(place.parent)
            with beside.open("xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            yield beside
        except OSError as error:
            hint = "free some space" if error.errno == errno.ENOSPC else "check permissions"
            raise Unavailable(
                f"cannot write {place.name} to the repository: {error.strerror}", hint=hint
            ) from None
        finally:
            with contextlib.suppress(OSError):
                beside.unlink()

    def _folder(self, folder: Path) -> None:
        """Make a folder that is still there after a power cut, and those above it."""
        if not folder.is_dir():
            self._folder(folder.parent)
            folder.mkdir(exist_ok=True)
            self._sync(folder.parent)

    @staticmethod
    def _sync(folder: Path) -> None:
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
