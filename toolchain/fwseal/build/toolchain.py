"""A compiler is known by the digest of all its files, wherever it is installed."""

from __future__ import annotations

import base64
import csv
import dataclasses
import hashlib
import importlib.metadata
import importlib.util
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from fwseal.base.errors import Misuse, Unavailable
from fwseal.build.lock import tree_sha256

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

PATH = "/usr/local/bin:/usr/bin:/bin"
"""Where programs are found in a build, and therefore where compilers are looked for."""

INSIDE = "/toolchain"
"""Where a sandbox shows a compiler that has a folder of its own."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Compiler:
    """A compiler found on this machine.

    `home` is None for one of the system's; else it is shown at `INSIDE`, and `files` holds the
    SHA-256 of each of its files in lower-case hex, by path below `home`. `cc` is the words that
    `{cc}` stands for in a recipe. `sha256` is that of the whole (`tree_sha256`), of the program
    alone where it is the system's.
    """

    name: str
    kind: str
    version: str
    sha256: str
    home: Path | None
    cc: str
    creator: str = ""
    license: str = ""
    files: Mapping[str, str] = dataclasses.field(default_factory=dict)


def find(name: str, *, folder: Path | None = None) -> Compiler:
    """Answer the compiler a recipe names, in a folder where it declares one.

    Raises `Unavailable` when it is not installed, `Misuse` for a folder that cannot be read.
    """
    if folder is not None:
        return _in_folder(name, folder)
    if name == "zig":
        return _zig()
    path = shutil.which(name, path=PATH)
    if path is None:
        package = name.removesuffix("-gcc")
        raise Unavailable(
            f"compiler {name} is not installed",
            hint=f"apt install {'gcc-' if package != name else ''}{package}",
        )
    whole = sha256(Path(path).resolve())
    return Compiler(name=name, kind="program", version="", sha256=whole, home=None, cc=name)


def _in_folder(name: str, folder: Path) -> Compiler:
    home = Path(os.path.realpath(folder))
    if not (home / name).is_file():
        raise Unavailable(f"{folder} holds no {name}", hint="correct folder in [toolchain]")
    try:
        files = {str(path.relative_to(home)): sha256(path) for path in _walked(home)}
    except OSError as error:
        raise Misuse(
            f"cannot read {error.filename}: {(error.strerror or 'error').lower()}",
            hint="a declared folder is read whole",
        ) from None
    return Compiler(
        name=name, kind="folder", version="", sha256=tree_sha256(files), home=home,
        cc=_command(name), files=files,
    )  # fmt: skip


def _command(name: str) -> str:
    return f"{INSIDE}/{name} cc" if name == "zig" else f"{INSIDE}/{name}"


def _walked(home: Path) -> Iterator[Path]:
    for place, folders, names in os.walk(home):
        folders[:] = sorted(name for name in folders if name != "__pycache__")
        yield from (Path(place, name) for name in sorted(names) if Path(place, name).is_file())


def _zig() -> Compiler:
    spec = importlib.util.find_spec("ziglang")
    if spec is None or spec.origin is None:
        raise Unavailable("compiler zig is not installed", hint="pip install 'fwseal[build]'")
    home = Path(spec.origin).parent
    # By its folder: another ziglang may stand later on the path.
    found = next(
        iter(importlib.metadata.distributions(name="ziglang", path=[str(home.parent)])), None
    )
    record = found.read_text("RECORD") if found else None
    if not found or not record:
        raise Unavailable("compiler zig has no list of its files", hint="install it with pip")
    files = {
        path.removeprefix("ziglang/"): _hex(digest)
        for path, digest, _ in csv.reader(record.splitlines())
        if path.startswith("ziglang/") and digest.startswith("sha256=")
        if "__pycache__" not in path
    }
    return Compiler(
        name="zig", kind="wheel", version=found.version, sha256=tree_sha256(files), home=home,
        cc=_command("zig"), files=files, creator=_creator(found.metadata),
        license=found.metadata["License-Expression"] or "",
    )  # fmt: skip


def _creator(metadata: importlib.metadata.PackageMetadata) -> str:
    """Answer who made a wheel, with the address it names (PyPA, core metadata)."""
    for line in metadata.get_all("Project-URL") or ():
        label, _, address = line.partition(", ")
        if label.lower() in ("homepage", "source"):
            return f"{metadata['Author'] or metadata['Name']} <{address}>"
    return metadata["Author"] or ""


def _hex(digest: str) -> str:
    """Answer a digest as a wheel's RECORD spells it in hex (PyPA, recording installed projects)."""
    text = digest.removeprefix("sha256=")
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).hex()


def sha256(path: Path) -> str:
    """Answer a file's SHA-256 in lower-case hex; raises `OSError`."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
