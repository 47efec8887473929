"""`fwseal verify-rebuild`: a customer's own unsigned build is what was signed, or where not."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from fwseal.base.digest import sha256_hex
from fwseal.base.errors import Misuse, Refused
from fwseal.base.reasons import Reason
from fwseal.build import rebuild as rebuilds
from fwseal.cli import files, main, releasedir, render, verify

if TYPE_CHECKING:
    import argparse

    from fwseal.base.release import Payload, Release


def arguments(parser: argparse.ArgumentParser) -> None:
    """Say what the verb takes."""
    parser.add_argument("release", metavar="RELEASE", type=Path)
    parser.add_argument("image", metavar="IMAGE", type=Path, help="your own unsigned .bin")
    parser.add_argument("--file", metavar="NAME", help="which payload it is, by its name")
    parser.add_argument("--device", metavar="PROFILE", type=Path, help="judge the signatures too")
    main.common(parser)


def run(options: argparse.Namespace) -> int:
    """Compare, and print the verdict."""
    release = releasedir.load(options.release)
    payload = _payload(release, options.file or options.image.name)
    signed = files.read(options.release / "payloads" / payload.file)
    if sha256_hex(signed) != payload.sha256:
        raise Refused(
            Reason.DIGEST_MISMATCH, "the payload is not the one release.json names",
            where=f"payloads/{payload.file}",
        )  # fmt: skip
    image = files.read(options.image)
    digest = rebuilds.compare(signed, image, payload.format, name=options.image.name)
    text = f"{options.image.name} is what was signed as {payload.file}, sha256 {digest}"
    signers = None
    if options.device:
        options.state = None
        options.payload = [
            f"{one.uri}={options.release / 'payloads' / one.file}" for one in release.payloads
        ]
        said, evidence = verify.envelope(files.read(options.release / "envelope.suit"), options)
        text, signers = f"{said}\n{text}", evidence["signers"]
    else:
        render.note("no signature was judged: --device PROFILE")
    body = {
        "payload": payload.file,
        "unsigned_sha256": digest,
        "signed_sha256": payload.sha256,
        "signers": signers,
    }
    render.result(text, body, as_json=options.json)
    return render.EXIT_OK


def _payload(release: Release, name: str) -> Payload:
    """Answer the payload of a name, or the only one; raises `Misuse`."""
    if len(release.payloads) == 1:
        return release.payloads[0]
    for one in release.payloads:
        if one.file == name:
            return one
    raise Misuse(
        f"release {release.name} has no payload {name}",
        hint=f"--file {' or '.join(one.file for one in release.payloads)}",
    )
