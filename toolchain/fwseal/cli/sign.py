"""`fwseal sign`: the boot key signs the images, the release key the envelope."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING

from fwseal.base.errors import Misuse
from fwseal.base.release import PayloadFormat, Release, State
from fwseal.build import sbom
from fwseal.cli import files, lint, main, releasedir, render, signers
from fwseal.signing import release as signing

if TYPE_CHECKING:
    import argparse

    from fwseal.cose.keys import PublicKey
    from fwseal.signing.keyring import Keyring


def arguments(parser: argparse.ArgumentParser) -> None:
    """Say what the verb takes."""
    parser.add_argument("release", metavar="RELEASE", type=Path)
    parser.add_argument("--as", dest="role", choices=(signing.BOOT, signing.RELEASE))
    parser.add_argument("--dry-run", action="store_true", help="say who would sign what")
    lint.payload(parser)
    signers.option(parser)
    main.common(parser)


def run(options: argparse.Namespace) -> int:
    """Sign what is left, or what one role has left."""
    with releasedir.writing(options.release):
        return _sign(options)


def _sign(options: argparse.Namespace) -> int:
    folder: Path = options.release
    release = releasedir.load(folder)
    if not release.payloads:
        raise Misuse(f"release {release.name} ships no payload", hint="there is nothing to sign")
    left = signing.remaining(release)
    if options.role == signing.BOOT and _raw(release):
        raise Misuse(f"release {release.name} ships no MCUboot image", hint="--as release")
    if options.role == signing.RELEASE and signing.BOOT in left:
        raise Misuse("the images are not signed yet", hint="fwseal sign RELEASE --as boot")
    roles = tuple(role for role in left if options.role in (None, role))
    keyring, home = signers.load(options.keyring)
    keys = {role: keyring.for_role(role, line=release.line) for role in roles}
    job, boot = releasedir.job(folder, release), boot_key(keyring, release)
    last = (keys[signing.RELEASE],) if signing.RELEASE in roles else ()
    look = functools.partial(lint.refuse, options, job=job, boot=boot, keys=last)
    # Whatever a device would refuse is refused here, before any key is touched.
    envelope = look(release=release) if roles else None
    if options.dry_run:
        lines = [f"{keys[role].label} would sign as {role}" for role in roles] or ["nothing left"]
        would = {"would_sign": {role: keys[role].label for role in roles}}
        render.result("\n".join(lines), would, as_json=options.json)
        return render.EXIT_OK
    read = files.reader(folder)
    what = f"{release.name} {release.version}, sequence number {release.sequence_number}"
    with signers.Signers(keyring, home) as open_signers:
        # Every key answers before the first one signs.
        opened = [(role, open_signers.of(keys[role])) for role in roles]
        for role, signer in opened:
            signers.say(signer, f"{what}, as {role}", verbose=options.verbose)
            if role == signing.BOOT:
                grown = signing.sign_boot(release, job.manifest, read=read, signer=signer)
            else:
                if signing.BOOT in roles or envelope is None:  # the images are others now
                    envelope = look(release=release)
                grown = signing.sign_release(release, envelope, signer=signer)
            release = grown.release
            releasedir.grow(folder, release, {**grown.files, **_listed(folder, release)})
    signed = [f"{keys[role].label} signed {what}, as {role}" for role in roles]
    body = {
        "release": str(folder),
        "state": release.state.value,
        "signed": {role: keys[role].label for role in roles},
    }
    render.result("\n".join(signed or ["signed already"]), body, as_json=options.json)
    return render.EXIT_OK


def _listed(folder: Path, release: Release) -> dict[str, bytes]:
    """Answer the SBOM with the digests of what devices fetch; nothing where there is none."""
    if not files.is_there(folder / sbom.FILE) or release.state is State.SIGNED:
        return {}
    return {sbom.FILE: sbom.deployed(files.read(folder / sbom.FILE), release.payloads)}


def _raw(release: Release) -> bool:
    return all(one.format is PayloadFormat.RAW for one in release.payloads)


def boot_key(keyring: Keyring, release: Release) -> PublicKey | None:
    """Answer the key the release's MCUboot images are signed with, None where it has none."""
    if _raw(release):
        return None
    return keyring.for_role(signing.BOOT, line=release.line).public
