"""`fwseal prepare`: what a signer elsewhere must sign, and a request that says what it is."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING

from fwseal.base.digest import sha256_hex
from fwseal.base.errors import Misuse, Refused
from fwseal.base.reasons import Reason
from fwseal.cli import files, lint, main, project, releasedir, render, signers
from fwseal.cli.sign import boot_key
from fwseal.cose.algorithms import registered
from fwseal.signing import release as signing
from fwseal.signing.keyring import Status
from fwseal.signing.sign import to_be_signed

if TYPE_CHECKING:
    import argparse

    from fwseal.base.release import Release
    from fwseal.signing.keyring import Key, Keyring
    from fwseal.suit.envelope import Envelope

FOLDER = "requests"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Say what the verb takes."""
    common(parser)
    parser.add_argument("--key", metavar="KEY", help="the role's only key by default")
    main.common(parser)


def common(parser: argparse.ArgumentParser) -> None:
    """Add what `fwseal attach` takes too."""
    parser.add_argument("release", metavar="RELEASE", type=Path)
    parser.add_argument("--as", dest="role", choices=(signing.BOOT, signing.RELEASE), required=True)
    lint.payload(parser)
    signers.option(parser)


def run(options: argparse.Namespace) -> int:
    """Write what is to be signed, and the request beside it."""
    with releasedir.writing(options.release):
        asked = ask(options)
        tbs = to_be_signed(asked.envelope, algorithm=asked.key.algorithm)
        body = request(asked, tbs)
        name = f"{FOLDER}/{options.role}-{asked.key.label}"
        text = (
            json.dumps({"schema_version": render.SCHEMA_VERSION, **body}, indent=1) + "\n"
        ).encode()
        for suffix, data in ((".tbs", tbs), (".json", text)):
            files.write(options.release / f"{name}{suffix}", data)
    place = options.release / name
    text_lines = [
        f"wrote {project.shown(place)}.tbs: {len(tbs)} bytes that {asked.key.label} is to sign",
        f"wrote {project.shown(place)}.json: what they are",
    ]
    done = {"tbs": f"{place}.tbs", "request": f"{place}.json", "asks": body}
    render.result("\n".join(text_lines), done, as_json=options.json)
    return render.EXIT_OK


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A release whose envelope one key is to sign, and lint found nothing."""

    release: Release
    envelope: Envelope
    key: Key


def ask(options: argparse.Namespace) -> Asked:
    """Answer what a signer elsewhere is asked for.

    Raises `Misuse` where that role is not due, `Refused` as `fwseal sign` does.
    """
    if options.role != signing.RELEASE:
        raise Misuse(
            f"role {options.role} is not signed elsewhere yet",
            hint="fwseal sign RELEASE --as boot",
        )
    release = releasedir.load(options.release)
    left = signing.remaining(release)
    if signing.RELEASE not in left:
        raise Misuse("the release is signed already", hint="there is nothing left to sign")
    keyring, _ = signers.load(options.keyring)
    key = _key(keyring, release, options.key)
    job = releasedir.job(options.release, release)
    if signing.BOOT in left:
        raise Misuse("the images are not signed yet", hint="fwseal sign RELEASE --as boot")
    boot = boot_key(keyring, release)
    envelope = lint.refuse(options, release, job, boot=boot, keys=(key,))
    return Asked(release=release, envelope=envelope, key=key)


def _key(keyring: Keyring, release: Release, named: str | None) -> Key:
    """Answer the key that is to sign, named or the only one; raises as the keyring does."""
    from datetime import UTC, datetime

    if named is None:
        key = keyring.for_role(signing.RELEASE, line=release.line)
    else:
        key = keyring.named(named)
        if signing.RELEASE not in key.roles or (key.lines and release.line not in key.lines):
            raise Refused(
                Reason.SIGNER_NOT_AUTHORIZED,
                f"key {key.label!r} does not hold role {signing.RELEASE} for line {release.line}",
            )
        if key.status is Status.SPARE:
            raise Misuse(f"key {key.label!r} is not active", hint="see fwseal keys list")
    key.check(datetime.now(UTC).date())
    return key


def request(asked: Asked, tbs: bytes) -> dict[str, object]:
    """Answer what a signer elsewhere is told of the bytes, so that people can compare."""
    release, key = asked.release, asked.key
    return {
        "role": signing.RELEASE,
        "product": release.name,
        "version": release.version,
        "line": release.line,
        "sequence_number": release.sequence_number,
        "manifest_digest": asked.envelope.digest.hex(),
        "key": key.label,
        "kid": key.kid,
        "algorithm": registered(key.algorithm),
        "tbs_sha256": sha256_hex(tbs),
    }
