"""`fwseal build`: two sandboxed builds that agree become a release."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from fwseal.base.digest import sha256_hex
from fwseal.base.errors import Misuse
from fwseal.base.tables import Table
from fwseal.build import recipe as recipes
from fwseal.build import run as builds
from fwseal.build import source
from fwseal.build.sandbox import BuildFailed, Level
from fwseal.cli import files, inputs, main, project, releasedir, render, signers
from fwseal.signing.sign import sign_statement

if TYPE_CHECKING:
    import argparse


def arguments(parser: argparse.ArgumentParser) -> None:
    """Say what the verb takes."""
    parser.add_argument("recipe", metavar="RECIPE", type=Path)
    parser.add_argument("-o", "--output", metavar="RELEASE", type=Path, required=True)
    parser.add_argument("--dry-run", action="store_true", help="build and compare, write nothing")
    signers.option(parser)
    main.common(parser)


def run(options: argparse.Namespace) -> int:
    """Build, and write the release."""
    releasedir.vacant(options.output)
    order, recipe = _order(options.recipe)
    keyring, folder = signers.load(options.keyring)
    with signers.Signers(keyring, folder) as open_signers:
        builder = open_signers.for_role("builder")
        try:
            built = builds.build(order, builder=builder.label)
        except BuildFailed as error:
            for line in error.output:
                render.note(f"build: {line}")
            raise
        signers.say(builder, "the provenance", verbose=options.verbose)
        statement = b"" if options.dry_run else sign_statement(built.statement, builder)
    if built.level is not Level.BUBBLEWRAP:
        render.note(f"sandbox level {built.level.value}: install bubblewrap for the best one")
    if not options.dry_run:
        content = {**built.files, "statements/provenance.dsse.json": statement}
        releasedir.create(options.output, built.release, content)
    digests = {
        name.removeprefix("unsigned/"): sha256_hex(data)
        for name, data in sorted(built.files.items())
        if name.startswith("unsigned/") and name.endswith(".bin")
    }
    place = "nothing written" if options.dry_run else f"in {project.shown(options.output)}"
    lines = [f"built {recipe.name} {recipe.version} twice, alike, {place}"]
    lines += [f"  {name}  sha256 {digest}" for name, digest in digests.items()]
    body = {
        "release": None if options.dry_run else str(options.output),
        "sandbox": built.level.value,
        "commit": order.commit,
        "unsigned_sha256": digests,
    }
    render.result("\n".join(lines), body, as_json=options.json)
    return render.EXIT_OK


def _order(path: Path) -> tuple[builds.Order, recipes.Recipe]:
    data = files.read(path)
    recipe = recipes.recipe(Table.parse(files.decoded(data, where=str(path)), where=path.name))
    root = project.find(path.parent).root
    device_path = root / recipe.device
    device = inputs.profile(device_path)
    commit, archive = source.export(root, recipe.source.commit, recipe.source.paths)
    order = builds.Order(
        recipe=recipe,
        recipe_bytes=data,
        commit=commit,
        archive=archive,
        layout=inputs.layout(device, read=files.reader(device_path.parent)),
        vendor_id=device.vendor_id,
        class_id=device.class_id,
        inputs=_inputs(recipe, path.parent),
    )
    return order, recipe


def _inputs(recipe: recipes.Recipe, folder: Path) -> dict[str, bytes]:
    """Answer the dependencies and contents that lie beside a recipe; raises `Misuse`."""
    encrypted = [one.file for one in recipe.payloads if one.encryption]
    if encrypted:
        raise Misuse(
            f"payload {encrypted[0]} is encrypted, which a release cannot be yet",
            hint="fwseal author signs it in one step",
        )
    if recipe.manifest is None:
        return {}
    fetched = [one.file for one in recipe.manifest.dependencies if not one.uri.startswith("#")]
    if fetched:
        raise Misuse(
            f"dependency {fetched[0]} is fetched, which one of a release cannot be yet",
            hint="integrated = true lets it travel in the envelope",
        )
    names = {one.file for one in recipe.manifest.dependencies} | recipe.manifest.files()
    return {name: files.read(folder / name) for name in sorted(names)}
