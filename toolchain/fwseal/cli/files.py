"""Files are read whole and written beside, synced and renamed; errors name file and cure."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

from fwseal.base.errors import Misuse, Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def read(path: Path) -> bytes:
    """Answer a file's bytes; raises `Misuse` for one that cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise Misuse(f"cannot read {path}: {(error.strerror or 'error').lower()}") from None


def reader(folder: Path) -> Callable[[str], bytes]:
    """Answer how files named relative to a folder are read."""
    return lambda name: read(folder / name)


def write(path: Path, data: bytes, *, mode: int = 0o644) -> None:
    """Write a file so that it is there whole or not at all; raises `Unavailable`."""
    beside = path.with_name(f".{path.name}.new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except OSError as error:
        if beside.exists():
            beside.unlink()
        hint = (
            "free some space" if error.errno == errno.ENOSPC else "check its folder's permissions"
        )
        raise Unavailable(
            f"cannot write {path}: {(error.strerror or 'error').lower()}", hint=hint
        ) from None
