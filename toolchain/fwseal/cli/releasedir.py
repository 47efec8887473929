"""A release's directory: read whole, grown file by file, never half written."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shutil
import uuid
from typing import TYPE_CHECKING

from fwseal.base.digest import sha256_hex
from fwseal.base.errors import Misuse, Refused, Unavailable
from fwseal.base.ids import plain_name
from fwseal.base.reasons import Reason
from fwseal.base.release import Release, State
from fwseal.base.tables import Table
from fwseal.build import recipe as recipes
from fwseal.build.run import unbuilt
from fwseal.cli import files, project

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from fwseal.suit import author

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


def recipe_of(folder: Path, release: Release) -> tuple[recipes.Recipe, bytes]:
    """Answer a release's recipe and its bytes; raises `Refused` (digest-mismatch), `Misuse`."""
    data = files.read(folder / "recipe.toml")
    if sha256_hex(data) != release.recipe_sha256:
        raise Refused(
            Reason.DIGEST_MISMATCH, "recipe.toml is not the one that was built", where="recipe.toml"
        )
    text = files.decoded(data, where="recipe.toml")
    return recipes.recipe(Table.parse(text, where="recipe.toml")), data


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What the recipe that was built asks for: a manifest, for the device of a profile."""

    manifest: author.Spec | None
    device: Path


def job(folder: Path, release: Release) -> Job:
    """Answer what a release's recipe says of its manifest.

    Raises `Refused`: digest-mismatch for a recipe that was not built, layers-disagree where
    release.json says other than it; `Misuse` outside of a project.
    """
    recipe, data = recipe_of(folder, release)
    vendor, product = uuid.UUID(release.vendor_id), uuid.UUID(release.class_id)
    planned = unbuilt(recipe, data, vendor_id=vendor, class_id=product)
    if _plan(release) != _plan(planned):
        raise Refused(
            Reason.LAYERS_DISAGREE, "release.json is not what its recipe says", where="release.json"
        )
    return Job(manifest=recipe.manifest, device=project.find().root / recipe.device)


def _plan(release: Release) -> Release:
    """Answer a release without what its steps add."""
    payloads = tuple(
        dataclasses.replace(one, unsigned_sha256="", size=0, sha256="", sha512="")
        for one in release.payloads
    )
    return dataclasses.replace(release, state=State.BUILT, payloads=payloads)


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
