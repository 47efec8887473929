"""`fwseal author`: the short way, for development keys: a signed envelope in one step."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from fwseal.base.errors import Misuse
from fwseal.base.ids import KeyLabel, Kid
from fwseal.base.tables import Table
from fwseal.build import recipe as recipes
from fwseal.build.run import unbuilt
from fwseal.cli import files, inputs, main, project, render, signers
from fwseal.signing.keyring import Environment
from fwseal.signing.sign import sign_envelope
from fwseal.signing.softkey import SoftKey
from fwseal.suit import author

if TYPE_CHECKING:
    import argparse


def arguments(parser: argparse.ArgumentParser) -> None:
    """Say what the verb takes."""
    parser.add_argument("recipe", metavar="RECIPE", type=Path)
    parser.add_argument("--key", required=True, help="a label of the keyring, or file:PEM")
    parser.add_argument("-o", "--output", metavar="X.suit", type=Path, required=True)
    parser.add_argument("--payload", metavar="URI=FILE", action="append", default=[])
    signers.option(parser)
    main.common(parser)


def run(options: argparse.Namespace) -> int:
    """Write the envelope; payload files are those named, or lie beside the recipe."""
    data = files.read(options.recipe)
    recipe = recipes.recipe(Table.parse(project.text(options.recipe), where=options.recipe.name))
    root = project.find(options.recipe.parent).root
    device = inputs.profile(root / recipe.device)
    named = inputs.FileFetcher(options.payload)
    release = unbuilt(recipe, data, vendor_id=device.vendor_id, class_id=device.class_id)
    images = {
        one.file: named.whole(one.uri) or files.read(options.recipe.parent / one.file)
        for one in release.payloads
    }
    _, manifest = author.finalized(release, recipe.manifest, images)
    envelope = _signed(manifest, options)
    files.write(options.output, envelope)
    text = f"wrote {project.shown(options.output)}: {len(envelope)} bytes, signed for development"
    render.result(text, {"envelope": str(options.output)}, as_json=options.json)
    return render.EXIT_OK


def _signed(manifest: bytes, options: argparse.Namespace) -> bytes:
    scheme, _, path = options.key.partition(":")
    if scheme == "file":
        label = Path(path).stem
        key = SoftKey(files.read(Path(path)), label=KeyLabel(label), kid=Kid(label), where=path)
        return sign_envelope(manifest, key)
    keyring, home = signers.load(options.keyring)
    entry = keyring.named(options.key)
    if entry.environment is not Environment.DEVELOPMENT:
        raise Misuse(
            f"key {entry.label!r} is for production", hint="build a release and fwseal sign it"
        )
    with signers.Signers(keyring, home) as opened:
        return sign_envelope(manifest, opened.of(entry))
