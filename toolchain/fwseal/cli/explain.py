"""`fwseal explain`: a Reason with cause and remedy, an envelope or image in words.

What is explained is not judged: a signature that does not verify is said to, and the exit code
stays 0, as `fwseal verify` is there to say no.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from fwseal.base.errors import Misuse, Refused
from fwseal.base.reasons import REASONS, Reason
from fwseal.cli import files, main, render

if TYPE_CHECKING:
    import argparse

    from fwseal.image.mcuboot import Image


def arguments(parser: argparse.ArgumentParser) -> None:
    """Say what the verb takes."""
    parser.add_argument("what", metavar="FILE|REASON")
    parser.add_argument(
        "--device", metavar="PROFILE", type=Path, help="judge the signatures as this device would"
    )
    parser.add_argument(
        "--diagnostic", action="store_true", help="CBOR diagnostic notation beside the bytes"
    )
    main.common(parser)


def run(options: argparse.Namespace) -> int:
    """Explain; a name that is a Reason's slug is one, whatever files there are."""
    slugs = {reason.value: reason for reason in Reason}
    if options.device and options.diagnostic:
        raise Misuse("notation judges no signature", hint="give --device or --diagnostic")
    if options.what in slugs:
        _plainly("a Reason", options)
        text, body = _reason(slugs[options.what])
    else:
        path = Path(options.what)
        if not files.is_file(path):
            raise Misuse(
                f"{options.what!r} is neither a file nor a Reason",
                hint="a Reason is spelled as in an error, for example payload-digest",
            )
        text, body = _file(files.read(path), options)
        body = {"text": text.splitlines(), **body}
    render.result(text, body, as_json=options.json)
    return render.EXIT_OK


def _plainly(what: str, options: argparse.Namespace) -> None:
    for name in ("device", "diagnostic"):
        if getattr(options, name):
            raise Misuse(f"--{name} says nothing about {what}", hint="leave it out")


def _reason(reason: Reason) -> tuple[str, dict[str, Any]]:
    entry = REASONS[reason]
    text = (
        f"{reason.value}: {entry.when}\n  whose fault  {entry.fault}\n  what to do   {entry.remedy}"
    )
    body = {
        "reason": reason.value,
        "when": entry.when,
        "fault": entry.fault,
        "remedy": entry.remedy,
    }
    return text, body


def _file(data: bytes, options: argparse.Namespace) -> tuple[str, dict[str, Any]]:
    from fwseal.image import mcuboot

    if data[:4] == mcuboot.MAGIC.to_bytes(4, "little"):
        _plainly("an image", options)
        return _image(mcuboot.decode(data)), {}
    if options.diagnostic:
        return _notation(data)
    try:
        return _envelope(data, options)
    except Refused as error:
        from fwseal.suit import diagnostic

        raise diagnostic.located(error, data) from None


def _notation(data: bytes) -> tuple[str, dict[str, Any]]:
    from fwseal.suit import diagnostic

    made = diagnostic.lines(data)
    rows = [
        {"offset": line.offset, "length": line.left_out or len(line.data), "text": line.text}
        for line in made
    ]
    return "\n".join(map(str, made)), {"diagnostic": rows}


def _envelope(data: bytes, options: argparse.Namespace) -> tuple[str, dict[str, Any]]:
    from fwseal.suit import envelope as envelopes
    from fwseal.suit.explain import Trust, explain, judge

    if not options.device:
        return explain(envelopes.decode(data)), {}
    from fwseal.cli import inputs
    from fwseal.cose.algorithms import registered

    device = inputs.profile(options.device)
    trust = Trust(
        anchors=device.anchors,
        threshold=device.threshold,
        dependency_threshold=device.dependency_threshold,
    )
    envelope = envelopes.decode(data, limits=device.limits)
    signatures = [
        {
            "kid": one.block and one.block.kid,
            "algorithm": one.block and registered(one.block.algorithm),
            "verdict": "refused" if one.refusal else "verified",
            "reason": one.refusal.reason.value if one.refusal else None,
        }
        for one in judge(envelope, trust=trust)
    ]
    return explain(envelope, trust=trust, limits=device.limits), {"signatures": signatures}


def _image(image: Image) -> str:
    from fwseal.image.mcuboot import Tlv

    names = {int(kind): kind.name for kind in Tlv}
    header = image.header
    lines = [
        "MCUboot image; signatures are shown, not verified",
        f"version       {header.version}",
        f"load address  {header.load_address:#010x}",
        f"flags         {header.flags:#x}",
        f"header        {header.header_size} bytes",
        f"image         {header.image_size} bytes",
        f"digest        {image.digest().hex()}",
    ]
    for area, tlvs in (("protected", image.protected), ("unprotected", image.unprotected)):
        lines += [f"{area:<12}  {names.get(kind, hex(kind))} {value.hex()}" for kind, value in tlvs]
    return "\n".join(lines)
