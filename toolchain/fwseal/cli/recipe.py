"""`fwseal recipe`: a commented recipe to begin with, valid as written for the device named."""

from __future__ import annotations

import os
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from fwseal.base.errors import Misuse
from fwseal.base.ids import plain_name
from fwseal.base.tables import Table
from fwseal.cli import files, main, project, render

if TYPE_CHECKING:
    import argparse

NAMES = (
    "single-image", "a-b-slots", "two-processors", "radio-processor", "encrypted-aes-kw",
    "encrypted-ecdh", "severed", "hybrid-signature",
)  # fmt: skip
"""Files of templates/; the first line of each says what it is for."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Say what the verb takes."""
    verbs = parser.add_subparsers(dest="what", required=True, metavar="new | list")
    new = verbs.add_parser("new", help="write a recipe, commented and valid")
    new.add_argument("name", metavar="NAME", choices=NAMES, help="as fwseal recipe list has it")
    new.add_argument(
        "--device", metavar="PROFILE", type=Path, help="the project's only profile by default"
    )
    new.add_argument("-o", "--output", metavar="FILE", type=Path, help="standard output by default")
    main.common(new)
    new.set_defaults(run=_new)
    listed = verbs.add_parser("list", help="list the recipes")
    main.common(listed)
    listed.set_defaults(run=_list)


def _new(options: argparse.Namespace) -> int:
    home = project.find(options.output.parent if options.output else None)
    text = _text(options.name, options.device or _only_profile(home.root), home.root)
    body = {"template": options.name, "recipe": text, "file": None}
    if options.output is None:
        render.result(text, body, as_json=options.json)
        return render.EXIT_OK
    if files.is_there(options.output):
        raise Misuse(
            f"{project.shown(options.output)} is there already",
            hint="a recipe is never overwritten",
        )
    files.write(options.output, text.encode())
    body["file"] = str(options.output)
    render.result(f"wrote {project.shown(options.output)}", body, as_json=options.json)
    return render.EXIT_OK


def _only_profile(root: Path) -> Path:
    """Answer the one profile of a project; raises `Misuse` where there is another number."""
    found = sorted((root / "targets").glob("*.toml"))
    if len(found) != 1:
        raise Misuse(
            f"the project has {len(found)} device profiles in targets/",
            hint="--device PROFILE says which one the recipe is for",
        )
    return found[0]


def _text(name: str, profile: Path, root: Path) -> str:
    """Answer the recipe of a template, for the device of a profile inside the project."""
    table = Table.parse(files.text(profile), where=profile.name)
    product = plain_name(table.table("device").take("name", str), what="device name")
    line = table.table("delivery", optional=True).take("line", str, "") or product
    place = os.path.relpath(profile.resolve(), root)
    if not all(char.isalnum() or char in "._-/" for char in place) or place.startswith(".."):
        raise Misuse(
            f"{project.shown(profile)} is not a plain path inside the project",
            hint="move the profile into targets/",
        )
    values = {"name": product, "line": plain_name(line, what="product line"), "device": place}
    text = _template(name)
    for key, value in values.items():
        text = text.replace(f"@{key}@", value)
    return text


def _list(options: argparse.Namespace) -> int:
    found = [(name, _template(name).partition("\n")[0].removeprefix("# ")) for name in NAMES]
    body = {"recipes": [{"name": name, "about": about} for name, about in found]}
    render.result(render.table([("NAME", "ABOUT"), *found]), body, as_json=options.json)
    return render.EXIT_OK


def _template(name: str) -> str:
    file = resources.files("fwseal.cli") / "templates" / f"{name}.toml"
    return file.read_text(encoding="utf-8")
