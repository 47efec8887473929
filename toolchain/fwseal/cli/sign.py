"""`fwseal sign`: the boot key signs the images, the release key the envelope."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from fwseal.base.digest import sha256_hex
from fwseal.base.errors import Misuse, Refused
from fwseal.base.reasons import Reason
from fwseal.base.tables import Table
from fwseal.cli import files, main, releasedir, render, signers
from fwseal.signing import release as signing
from fwseal.suit import author

if TYPE_CHECKING:
    import argparse

    from fwseal.base.release import Release


def arguments(parser: argparse.ArgumentParser) -> None:
    """Say what the verb takes."""
    parser.add_argument("release", metavar="RELEASE", type=Path)
    parser.add_argument("--as", dest="role", choices=(signing.BOOT, signing.RELEASE))
    parser.add_argument("--dry-run", action="store_true", help="say who would sign what")
    signers.option(parser)
    main.common(parser)


def run(options: argparse.Namespace) -> int:
    """Sign what is left, or what one role has left."""
    folder: Path = options.release
    release = releasedir.load(folder)
    if not release.payloads:
        raise Misuse(f"release {release.name} ships no payload", hint="there is nothing to sign")
    left = signing.remaining(release)
    roles = tuple(role for role in left if options.role in (None, role))
    keyring, home = signers.load(options.keyring)
    keys = {role: keyring.for_role(role, line=release.line) for role in roles}
    if options.dry_run:
        lines = [f"{keys[role].label} would sign as {role}" for role in roles] or ["nothing left"]
        would = {"would_sign": {role: keys[role].label for role in roles}}
        render.result("\n".join(lines), would, as_json=options.json)
        return render.EXIT_OK
    read, spec = files.reader(folder), _spec(folder, release)
    what = f"{release.name} {release.version}, sequence number {release.sequence_number}"
    with signers.Signers(keyring, home) as open_signers:
        # Every key answers before the first one signs.
        opened = [(role, open_signers.of(keys[role])) for role in roles]
        for role, signer in opened:
            signers.say(signer, f"{what}, as {role}", verbose=options.verbose)
            sign = signing.sign_boot if role == signing.BOOT else signing.sign_release
            grown = sign(release, spec, read=read, signer=signer)
            release = grown.release
            releasedir.grow(folder, release, grown.files)
    signed = [f"{keys[role].label} signed {what}, as {role}" for role in roles]
    body = {
        "release": str(folder),
        "state": release.state.value,
        "signed": {role: keys[role].label for role in roles},
    }
    render.result("\n".join(signed or ["signed already"]), body, as_json=options.json)
    return render.EXIT_OK


def _spec(folder: Path, release: Release) -> author.Spec | None:
    """Answer the `[manifest]` part of the recipe that was built; raises `Refused` for another."""
    data = files.read(folder / "recipe.toml")
    if sha256_hex(data) != release.recipe_sha256:
        raise Refused(
            Reason.DIGEST_MISMATCH, "recipe.toml is not the one that was built", where="recipe.toml"
        )
    recipe = Table.parse(files.decoded(data, where="recipe.toml"), where="recipe.toml")
    return author.spec(recipe.table("manifest")) if recipe.has("manifest") else None
