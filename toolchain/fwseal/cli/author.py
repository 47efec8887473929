"""`fwseal author`: the short way, for development keys: a signed envelope in one step."""

from __future__ import annotations

import contextlib
import functools
from pathlib import Path
from typing import TYPE_CHECKING

from fwseal.base.errors import Misuse, Refused, Unavailable
from fwseal.base.reasons import Reason
from fwseal.base.tables import Table
from fwseal.build import recipe as recipes
from fwseal.cli import files, main, project, render, signers
from fwseal.signing.sign import signed
from fwseal.suit import author

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Mapping

    from fwseal.build.recipe import PayloadSpec, Recipe
    from fwseal.cose.encryption import Encrypt
    from fwseal.cose.signer import Signer
    from fwseal.signing.keyring import Key, Keyring
    from fwseal.suit.author import Draft, Spec

    _Locked = Mapping[str, tuple[Encrypt, bytes]]

RELEASE = "release"
_ENVELOPE = bytes.fromhex("d86b")
"""CBOR tag 107, with which every envelope begins: nothing else is ever overwritten."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Say what the verb takes."""
    parser.add_argument("recipe", metavar="RECIPE", type=Path)
    parser.add_argument(
        "--key", action="append", required=True,
        help="a label of the keyring, or file:PATH; one signature for each --key",
    )  # fmt: skip
    parser.add_argument("-o", "--output", metavar="X.suit", type=Path, required=True)
    parser.add_argument(
        "--payload", metavar="URI=FILE", action="append", default=[],
        help="where a payload or dependency lies, if not beside the recipe",
    )  # fmt: skip
    parser.add_argument(
        "--payloads", metavar="DIR", type=Path, help="where encrypted payloads are written"
    )
    parser.add_argument("--dry-run", action="store_true", help="say who would sign what")
    signers.option(parser)
    main.common(parser)


def run(options: argparse.Namespace) -> int:
    """Write the envelope; payload files are those named, or lie beside the recipe."""
    text = files.text(options.recipe)
    recipe = recipes.recipe(Table.parse(text, where=options.recipe.name))
    if recipe.manifest is None:
        raise Misuse(f"{options.recipe.name} has no [manifest]", hint="fwseal recipe new shows one")
    root = project.find(options.recipe.parent).root
    target = _target(root / recipe.device, recipe.sequence_number)
    sources = _sources(recipe, recipe.manifest, options)
    images = {name: files.read(path) for name, path in sources.items()}
    locked = {
        one.file: _locked(one, images[one.file], options.recipe.parent)
        for one in recipe.payloads
        if one.encryption
    }
    draft = author.drafted(recipe.manifest, target, _goods(recipe, images, locked))
    beside = _beside(recipe, locked, options, inputs=(*sources.values(), options.recipe))
    _lint(draft)
    envelope = _signed(draft, options)
    if options.dry_run:
        return _said(draft, options)
    _write({**beside, options.output: envelope})
    return _done(envelope, list(beside), options)


def _lint(draft: Draft) -> None:
    """Return when nothing in it is unwise; raises the first finding. `fwseal lint` asks more."""
    from fwseal.suit.authenticate import opened
    from fwseal.suit.lint import lint

    for finding in lint(opened(draft.envelope()), above=None):
        raise finding.refusal()


def _target(profile: Path, number: int) -> author.Target:
    """Answer which device a profile is of; what else it says is for those who verify."""
    device = Table.parse(files.text(profile), where=profile.name).table("device")
    return author.Target(
        vendor_id=device.uuid("vendor-id"),
        class_id=device.uuid("class-id"),
        sequence_number=number,
    )


def _sources(recipe: Recipe, manifest: Spec, options: argparse.Namespace) -> dict[str, Path]:
    """Answer where each file that the recipe names lies; raises `Misuse`."""
    from fwseal.cli import inputs

    named = inputs.FileFetcher(options.payload)
    uris = {one.file: one.uri for one in recipe.payloads}
    uris |= {one.file: one.uri for one in manifest.dependencies}
    uris |= {name: name for name in sorted(manifest.files()) if name not in uris}
    unknown = named.uris - set(uris.values())
    if unknown:
        raise Misuse(
            f"the recipe ships no payload {', '.join(sorted(unknown))}",
            hint=f"it ships {', '.join(uris.values()) or 'none'}",
        )
    folder = options.recipe.parent
    return {file: named.path(uri) or folder / file for file, uri in uris.items()}


def _goods(recipe: Recipe, images: Mapping[str, bytes], locked: _Locked) -> author.Goods:
    facts = {
        one.file: author.facts_of(
            images[one.file],
            component=one.component,
            uri=one.uri,
            encryption=locked[one.file][0] if one.file in locked else None,
        )
        for one in recipe.payloads
    }
    travels = {name: ciphertext for name, (_, ciphertext) in locked.items()}
    return author.Goods(payloads=facts, files={**images, **travels})


def _locked(payload: PayloadSpec, image: bytes, folder: Path) -> tuple[Encrypt, bytes]:
    """Answer a payload encrypted for its recipients, under keys drawn now."""
    import os

    from fwseal.base.ids import Kid
    from fwseal.cose import encryption

    recipients = []
    for one in payload.recipients:
        key = encryption.recipient_public(files.read(folder / one.key), kid=Kid(one.kid),
                                          where=one.key)  # fmt: skip
        if key.algorithm.registered != one.algorithm:
            raise Misuse(
                f"{one.key} is a key for {key.algorithm.registered}, not {one.algorithm}",
                hint=f"correct the recipients of {payload.file}",
            )
        recipients.append(key)
    return encryption.encrypted(
        image,
        algorithm=encryption.ContentAlgorithm[payload.encryption],
        recipients=tuple(recipients),
        random=os.urandom,
    )


def _beside(
    recipe: Recipe,
    locked: _Locked,
    options: argparse.Namespace,
    *,
    inputs: tuple[Path, ...],
) -> dict[Path, bytes]:
    """Answer the files that devices fetch and nobody has yet: encrypted payloads.

    Raises `Misuse` when there is no place for them, or when it is that of a file that was read.
    """
    fetched = [one.file for one in recipe.payloads if one.file in locked and one.uri[:1] != "#"]
    if bool(fetched) is not bool(options.payloads):
        needed = f"{', '.join(fetched)} is encrypted" if fetched else "no payload is encrypted"
        raise Misuse(
            f"{needed} and goes into a folder of its own" if fetched else needed,
            hint="--payloads DIR names it" if fetched else "leave out --payloads",
        )
    found = {options.payloads / file: locked[file][1] for file in fetched}
    for path in (*found, options.output):
        if any(files.same(path, one) for one in inputs):
            raise Misuse(f"{path} would be overwritten, and was read", hint="name another place")
    if files.is_there(options.output) and not _is_envelope(options.output):
        raise Misuse(
            f"{options.output} is there and is no envelope", hint="remove it, or name another file"
        )
    if options.output.resolve() in {path.resolve() for path in found}:
        raise Misuse(f"{options.output} is the place of a payload too", hint="name another")
    return found


def _is_envelope(path: Path) -> bool:
    return files.is_file(path) and files.read(path)[:2] == _ENVELOPE


def _signed(draft: Draft, options: argparse.Namespace) -> bytes:
    """Answer the envelope with one signature of every --key; nothing of a dry run.

    Raises `Misuse`, `Unavailable`, `Refused` as keys and tokens do.
    """
    ring = None
    identities: set[bytes] = set()
    opening: list[Callable[[], Signer]] = []
    with contextlib.ExitStack() as stack:
        for name in options.key:
            scheme, _, path = name.partition(":")
            if scheme == "file":
                key = signers.of_file(Path(path))
                identities.add(key.public().identity)
                opening.append(functools.partial(_itself, key))
                continue
            if ring is None:
                keyring, home = signers.load(options.keyring)
                ring = (keyring, stack.enter_context(signers.Signers(keyring, home)))
            entry = _entry(ring[0], name)
            identities.add(entry.public.identity)
            opening.append(functools.partial(ring[1].of, entry))
        if len(identities) != len(opening):
            raise Misuse("a key is named twice", hint="each --key is another signature")
        if options.dry_run:
            return b""
        # Every key answers before the first one signs.
        opened = [answer() for answer in opening]
        for one in opened:
            signers.say(one, "the envelope", verbose=options.verbose)
        return signed(draft.envelope(), *opened).encode()


def _itself(key: Signer) -> Signer:
    return key


def _entry(keyring: Keyring, name: str) -> Key:
    """Answer the development key of that name; raises `Misuse`, `Refused`."""
    from fwseal.signing.keyring import Environment, Status

    entry = keyring.named(name)
    if entry.environment is not Environment.DEVELOPMENT or entry.status is Status.SPARE:
        raise Misuse(
            f"key {entry.label!r} is for production, or not active",
            hint="build a release and fwseal sign it",
        )
    if RELEASE not in entry.roles:
        raise Refused(
            Reason.SIGNER_NOT_AUTHORIZED, f"key {entry.label!r} does not hold role {RELEASE}"
        )
    return entry


def _write(content: Mapping[Path, bytes]) -> None:
    """Write every file or none, and keep what stood there; raises `Misuse`, `Unavailable`."""
    for path in content:
        if files.is_folder(path):
            raise Misuse(f"{project.shown(path)} is a folder", hint="name a file")
    before = {path: files.read(path) if files.is_there(path) else None for path in content}
    done: list[Path] = []
    try:
        for path, data in content.items():
            files.write(path, data)
            done.append(path)
    except Unavailable:
        for path in done:
            old = before[path]
            if old is None:
                path.unlink()
            else:
                files.write(path, old)
        raise


def _said(draft: Draft, options: argparse.Namespace) -> int:
    names = options.key
    text = f"{', '.join(names)} would sign a manifest of {len(draft.manifest)} bytes"
    body = {"would_sign": names, "manifest_digest": draft.envelope().digest.hex()}
    render.result(text, body, as_json=options.json)
    return render.EXIT_OK


def _done(envelope: bytes, payloads: list[Path], options: argparse.Namespace) -> int:
    lines = [
        f"wrote {project.shown(options.output)}: {len(envelope)} bytes, signed for development",
        *(f"wrote {project.shown(path)}: what devices fetch, encrypted" for path in payloads),
    ]
    body = {"envelope": str(options.output), "payloads": [str(path) for path in payloads]}
    render.result("\n".join(lines), body, as_json=options.json)
    return render.EXIT_OK
