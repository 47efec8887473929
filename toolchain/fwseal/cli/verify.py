"""`fwseal verify`: what a device would say, without the device; reads, and writes nothing."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from fwseal.base.errors import Misuse, Refused
from fwseal.base.reasons import Reason
from fwseal.cli import files, inputs, main, render
from fwseal.cose.keys import PublicKey
from fwseal.device import driver
from fwseal.device.admission import Installed
from fwseal.device.storage import Scratch

if TYPE_CHECKING:
    import argparse

_IMAGE = bytes.fromhex("3db8f396")
"""How an MCUboot image begins; what reads the rest is loaded for one alone."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Say what the verb takes."""
    parser.add_argument("file", metavar="FILE", type=Path)
    parser.add_argument("--device", metavar="PROFILE", type=Path)
    parser.add_argument(
        "--anchor", metavar="PUBKEY", type=Path, help="for an image, without --device"
    )
    parser.add_argument("--payload", metavar="URI=FILE", action="append", default=[])
    parser.add_argument("--state", metavar="DIR", type=Path, help="a device's state, only read")
    parser.add_argument("--at", metavar="TIME")
    main.common(parser)


def run(options: argparse.Namespace) -> int:
    """Give the verdict, and print it."""
    data = files.read(options.file)
    inputs.time(options.at)
    try:
        if data[:4] == _IMAGE:
            _unused(options, "an image", payload="--payload", state="--state")
            text, evidence = _image(data, options)
        else:
            _unused(options, "an envelope", anchor="--anchor")
            text, evidence = envelope(data, options)
    except Refused as error:
        return verdict(error, as_json=options.json)
    body = {"verdict": "accepted", "reason": None, "where": None, "evidence": evidence}
    render.result(text, body, as_json=options.json)
    return render.EXIT_OK


def _unused(options: argparse.Namespace, what: str, **names: str) -> None:
    for name, option in names.items():
        if getattr(options, name):
            raise Misuse(f"{option} says nothing about {what}", hint="leave it out")


def verdict(error: Refused, *, as_json: bool) -> int:
    """Print a refusal as the verdict it is; answer the exit code."""
    if not as_json:
        return render.failure(error, as_json=False)
    body = {
        "verdict": "refused",
        "reason": error.reason.value,
        "where": error.where or None,
        "evidence": {"message": error.message},
    }
    render.result("", body, as_json=True)
    return render.EXIT_REFUSED


def _image(data: bytes, options: argparse.Namespace) -> tuple[str, dict[str, Any]]:
    from fwseal.image import verify as images

    anchors: tuple[PublicKey, ...]
    if options.anchor and options.device:
        raise Misuse("--anchor and --device both name who is trusted", hint="give one of them")
    if options.anchor:
        anchors = (PublicKey.from_pem(files.read(options.anchor), where=options.anchor.name),)
    elif options.device:
        device = inputs.profile(options.device)
        if "mcuboot" not in device.formats:
            raise Refused(Reason.UNSUPPORTED, f"device {device.name} takes no MCUboot image")
        anchors = tuple(
            one.key
            for one in device.anchors
            if "boot" in one.roles and isinstance(one.key, PublicKey)
        )
    else:
        raise Misuse(
            "an image is verified for a device", hint="--device PROFILE or --anchor PUBKEY"
        )
    found = images.verify(data, anchors=anchors)
    version = str(found.image.header.version)
    text = f"accepted: MCUboot image {version}, sha256 {found.digest}"
    return text, {"image_digest": found.digest, "version": version, "signer": found.signer}


def envelope(data: bytes, options: argparse.Namespace) -> tuple[str, dict[str, Any]]:
    """Answer what a device says to an envelope, in words and for JSON; raises `Refused`."""
    if not options.device:
        raise Misuse("an envelope is verified for a device", hint="--device PROFILE")
    device = inputs.profile(options.device)
    if "suit" not in device.formats:
        raise Refused(Reason.UNSUPPORTED, f"device {device.name} takes no SUIT envelope")
    installed = Installed(sequence_number=device.sequence_number)
    if options.state:
        from fwseal.cli.boards import Board

        board = Board.open(options.state)
        if board.profile.class_id != device.class_id:
            raise Misuse("--state is of another device class than --device", hint="name its own")
        installed = board.installed()
    done = driver.install(
        data,
        profile=device,
        installed=installed,
        storage=Scratch(),
        fetcher=inputs.FileFetcher(options.payload),
    )
    text = (
        f"accepted: sequence number {done.sequence_number}, "
        f"manifest {done.manifest_digest.hex()}, signed by {', '.join(done.signers)}"
    )
    return text, evidence(done)


def evidence(done: driver.Evidence) -> dict[str, Any]:
    """Answer what an acceptance rests on, as JSON has it."""
    return {
        "sequence_number": done.sequence_number,
        "manifest_digest": done.manifest_digest.hex(),
        "signers": list(done.signers),
        "dependencies": [
            {"component": [part.hex() for part in component], "sequence_number": number}
            for component, number in done.dependencies
        ],
    }
