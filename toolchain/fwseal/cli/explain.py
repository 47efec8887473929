"""`fwseal explain`: a Reason with cause and remedy, an envelope or image in words."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from fwseal.base.errors import Misuse
from fwseal.base.reasons import REASONS, Reason
from fwseal.cli import files, main, render

if TYPE_CHECKING:
    import argparse

    from fwseal.image.mcuboot import Image


def arguments(parser: argparse.ArgumentParser) -> None:
    """Say what the verb takes."""
    parser.add_argument("what", metavar="FILE|REASON")
    main.common(parser)


def run(options: argparse.Namespace) -> int:
    """Explain; a name that is a Reason's slug is one, whatever files there are."""
    slugs = {reason.value: reason for reason in Reason}
    if options.what in slugs:
        entry = REASONS[slugs[options.what]]
        text = (
            f"{options.what}: {entry.when}\n  whose fault  {entry.fault}\n"
            f"  what to do   {entry.remedy}"
        )
        body = {
            "reason": options.what,
            "when": entry.when,
            "fault": entry.fault,
            "remedy": entry.remedy,
        }
        render.result(text, body, as_json=options.json)
        return render.EXIT_OK
    path = Path(options.what)
    if not files.is_file(path):
        raise Misuse(
            f"{options.what!r} is neither a file nor a Reason",
            hint="a Reason is spelled as in an error, for example payload-digest",
        )
    text = _file(files.read(path))
    render.result(text, {"text": text.splitlines()}, as_json=options.json)
    return render.EXIT_OK


def _file(data: bytes) -> str:
    from fwseal.image import mcuboot
    from fwseal.suit import envelope
    from fwseal.suit.explain import explain

    if data[:4] == mcuboot.MAGIC.to_bytes(4, "little"):
        return _image(mcuboot.decode(data))
    return explain(envelope.decode(data))


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
