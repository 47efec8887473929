"""`fwseal attach`: a signature that was made elsewhere is verified, and only then embedded."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from fwseal.cli import files, main, prepare, releasedir, render
from fwseal.signing import release as signing

if TYPE_CHECKING:
    import argparse


def arguments(parser: argparse.ArgumentParser) -> None:
    """Say what the verb takes."""
    prepare.common(parser)
    parser.add_argument("--key", metavar="KEY", required=True, help="the key that signed")
    parser.add_argument(
        "--signature", metavar="FILE", type=Path, required=True,
        help="raw: r || s for ECDSA, as the algorithm has it otherwise",
    )  # fmt: skip
    parser.add_argument("--dry-run", action="store_true", help="verify, write nothing")
    main.common(parser)


def run(options: argparse.Namespace) -> int:
    """Write the signed envelope."""
    with releasedir.writing(options.release):
        signature = files.read(options.signature)
        asked = prepare.ask(options)
        grown = signing.attach_release(
            asked.release, asked.envelope, key=asked.key, signature=signature
        )
        if not options.dry_run:
            releasedir.grow(options.release, grown.release, grown.files)
    label = asked.key.label
    release = asked.release if options.dry_run else grown.release
    body = {
        "release": str(options.release),
        "state": release.state.value,
        "verified": {options.role: label},
    }
    text = f"the signature is {label}'s over this release"
    text += "" if options.dry_run else ", and in its envelope"
    render.result(text, body, as_json=options.json)
    return render.EXIT_OK
