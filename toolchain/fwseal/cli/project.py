"""A project is the nearest folder upward that holds `fwseal.toml`."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

from fwseal.base.errors import Misuse
from fwseal.base.tables import Table
from fwseal.cli import files

FILE = "fwseal.toml"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """Where a project keeps things; paths are whole."""

    root: Path
    keyring: Path
    repository: Path


def find(start: Path | None = None) -> Project:
    """Answer the project around a folder; raises `Misuse` where there is none."""
    here = (start or Path.cwd()).resolve()
    for folder in (here, *here.parents):
        if files.is_file(folder / FILE):
            return load(folder)
    raise Misuse(f"no {FILE} in this folder or above it", hint="fwseal init writes one")


def load(root: Path) -> Project:
    """Answer the project of a folder; raises `Misuse`."""
    table = Table.parse(files.text(root / FILE), where=FILE)
    part = table.table("project")
    found = Project(
        root=root,
        keyring=root / _path(part, "keyring"),
        repository=root / _path(part, "repository"),
    )
    part.done()
    table.done()
    return found


def _path(part: Table, key: str) -> str:
    text = part.take(key, str)
    if not text or not text.isprintable():
        raise part.misuse(f"{key} is not a path")
    return text


def shown(path: Path) -> str:
    """Answer a path as people should see it: relative where it lies below this folder."""
    try:
        return str(Path(os.path.realpath(path)).relative_to(Path.cwd()))
    except ValueError:
        return str(path)
