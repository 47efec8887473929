"""Files are read whole and written beside, synced and renamed; errors name file and cure."""

from __future__ import annotations

import contextlib
import errno
import os
from typing import TYPE_CHECKING

from fwseal.base.errors import Misuse, Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def is_file(path: Path) -> bool:
    """Answer whether there is a file; no for a name that no file can have."""
    return os.path.isfile(path)  # noqa: PTH113 - Path.is_file raises for some names


def is_folder(path: Path) -> bool:
    """Answer whether there is a folder; no for a name that no folder can have."""
    return os.path.isdir(path)  # noqa: PTH112 - Path.is_dir raises for some names


def is_there(path: Path) -> bool:
    """Answer whether anything stands at a path, a dangling link included."""
    return os.path.lexists(path)


def read(path: Path) -> bytes:
    """Answer a file's bytes; raises `Misuse` for one that cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise Misuse(
            f"cannot read {path}: {(error.strerror or 'error').lower()}",
            hint="check its name and permissions",
        ) from None
    except ValueError:
        raise Misuse(f"{str(path)!r} is no file name", hint="it holds a null character") from None


def text(path: Path) -> str:
    """Answer a file's text; raises `Misuse` when it is not UTF-8."""
    return decoded(read(path), where=str(path))


def decoded(data: bytes, *, where: str) -> str:
    """Answer bytes as text; raises `Misuse` when they are not UTF-8."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise Misuse(f"{where} is not UTF-8", hint="is it the file you meant") from None


def reader(folder: Path) -> Callable[[str], bytes]:
    """Answer how files named relative to a folder are read."""
    return lambda name: read(folder / name)


def same(one: Path, other: Path) -> bool:
    """Answer whether two paths lead to one file, by whatever links."""
    try:
        return os.path.samefile(one, other)  # noqa: PTH121 - of names, which may be none
    except (OSError, ValueError):
        return False


def write(path: Path, data: bytes, *, mode: int = 0o644) -> None:
    """Write a file so that it is there whole or not at all; raises `Misuse`, `Unavailable`."""
    if not path.name or is_folder(path):
        raise Misuse(f"{str(path)!r} is a folder, or no name at all", hint="name a file")
    beside = path.with_name(f".{path.name}.{os.getpid()}.new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # A link that somebody laid there is not followed.
        handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        hint = "free some space" if error.errno in _FULL else "check its folder's permissions"
        raise Unavailable(
            f"cannot write {path}: {(error.strerror or 'error').lower()}", hint=hint
        ) from None
    finally:
        with contextlib.suppress(OSError):
            beside.unlink()
