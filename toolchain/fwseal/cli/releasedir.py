"""A release's directory: read whole, grown file by file, never half written."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from fwseal.base.errors import Misuse, Unavailable
from fwseal.base.ids import plain_name
from fwseal.base.release import Release
from fwseal.cli import files, project

if TYPE_CHECKING:
    from collections.abc import Mapping
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
