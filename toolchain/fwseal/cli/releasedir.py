"""A release's directory: read whole, grown file by file, never half written."""

from __future__ import annotations

import contextlib
import os
import shutil
from typing import TYPE_CHECKING

from fwseal.base.errors import Misuse, Unavailable
from fwseal.base.ids import plain_name
from fwseal.base.release import Release
from fwseal.cli import files, project

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

FILE = "release.json"


def load(path: Path) -> Release:
    """Answer what a release directory says of itself; raises `Misuse`."""
    if not files.is_file(path / FILE):
        raise Misuse(
            f"{project.shown(path)} is not a release", hint="fwseal build RECIPE -o RELEASE"
        )
    found = Release.from_json(files.read(path / FILE), where=FILE)
    plain_name(found.line, what="product line")  # it becomes part of a path
    return found


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """Keep every other writer out of a release directory; raises `Unavailable` when one is in."""
    import fcntl  # POSIX only, and only for writers

    try:
        handle = os.open(path, os.O_RDONLY)
    except OSError:
        yield  # there is nothing to write in, as whoever reads it will say
        return
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        raise Unavailable(
            f"another command is writing to {project.shown(path)}", hint="wait until it is done"
        ) from None
    else:
        yield
    finally:
        os.close(handle)


def create(path: Path, release: Release, content: Mapping[str, bytes]) -> None:
    """Make a release directory; it appears with all its files or not at all.

    Raises `Misuse` where something is there already, `Unavailable` when it cannot be written.
    """
    vacant(path)
    beside = path.with_name(f".{path.name}.new")
    shutil.rmtree(beside, ignore_errors=True)
    try:
        for name, data in {**content, FILE: release.to_json()}.items():
            files.write(beside / name, data)
        beside.rename(path)
    except OSError as error:
        raise Unavailable(
            f"cannot make {project.shown(path)}: {(error.strerror or 'error').lower()}",
            hint="was it made meanwhile",
        ) from None
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def vacant(path: Path) -> None:
    """Return when nothing stands at a path yet; raises `Misuse`."""
    if files.is_there(path):
        raise Misuse(
            f"{project.shown(path)} is there already",
            hint="a release never loses a file: choose another folder or remove it yourself",
        )


def grow(path: Path, release: Release, content: Mapping[str, bytes]) -> None:
    """Add files, then say so in release.json, which is written last."""
    for name, data in content.items():
        files.write(path / name, data)
    files.write(path / FILE, release.to_json())
