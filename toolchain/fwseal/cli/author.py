"""`fwseal author`: the short way, for development keys: a signed envelope in one step."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from fwseal.base.errors import Misuse, Refused
from fwseal.base.ids import KeyLabel, Kid
from fwseal.base.reasons import Reason
from fwseal.base.tables import Table
from fwseal.build import recipe as recipes
from fwseal.build.run import unbuilt
from fwseal.cli import files, inputs, main, project, render, signers
from fwseal.signing.keyring import Environment, Status
from fwseal.signing.sign import sign_envelope
from fwseal.signing.softkey import SoftKey
from fwseal.suit import author
from fwseal.suit.authenticate import ROLE

if TYPE_CHECKING:
    import argparse

    from fwseal.signing.keyring import Key, Keyring


def arguments(parser: argparse.ArgumentParser) -> None:
    """Say what the verb takes."""
    parser.add_argument("recipe", metavar="RECIPE", type=Path)
    parser.add_argument("--key", required=True, help="a label of the keyring, or file:PEM")
    parser.add_argument("-o", "--output", metavar="X.suit", type=Path, required=True)
    parser.add_argument("--payload", metavar="URI=FILE", action="append", default=[])
    parser.add_argument("--dry-run", action="store_true", help="say who would sign what")
    signers.option(parser)
    main.common(parser)


def run(options: argparse.Namespace) -> int:
    """Write the envelope; payload files are those named, or lie beside the recipe."""
    data = files.read(options.recipe)
    text = files.decoded(data, where=str(options.recipe))
    recipe = recipes.recipe(Table.parse(text, where=options.recipe.name))
    root = project.find(options.recipe.parent).root
    device = inputs.profile(root / recipe.device)
    named = inputs.FileFetcher(options.payload)
    release = unbuilt(recipe, data, vendor_id=device.vendor_id, class_id=device.class_id)
    unknown = named.uris - {one.uri for one in release.payloads}
    if unknown:
        raise Misuse(
            f"the recipe ships no payload {', '.join(sorted(unknown))}",
            hint=f"it ships {', '.join(one.uri for one in release.payloads) or 'none'}",
        )
    images = {}
    for one in release.payloads:
        content = named.whole(one.uri)
        beside = options.recipe.parent / one.file
        images[one.file] = files.read(beside) if content is None else content
    _, manifest = author.finalized(release, recipe.manifest, images)
    if options.dry_run:
        if not options.key.startswith("file:"):
            _entry(signers.load(options.keyring)[0], options.key)
        text = f"{options.key} would sign a manifest of {len(manifest)} bytes"
        render.result(text, {"would_sign": options.key}, as_json=options.json)
        return render.EXIT_OK
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
    with signers.Signers(keyring, home) as opened:
        signer = opened.of(_entry(keyring, options.key))
        signers.say(signer, "the envelope", verbose=options.verbose)
        return sign_envelope(manifest, signer)


def _entry(keyring: Keyring, name: str) -> Key:
    """Answer the development key of that name; raises `Misuse`, `Refused`."""
    entry = keyring.named(name)
    if entry.environment is not Environment.DEVELOPMENT or entry.status is Status.SPARE:
        raise Misuse(
            f"key {entry.label!r} is for production, or not active",
            hint="build a release and fwseal sign it",
        )
    if ROLE not in entry.roles:
        raise Refused(
            Reason.SIGNER_NOT_AUTHORIZED, f"key {entry.label!r} does not hold role {ROLE}"
        )
    return entry
