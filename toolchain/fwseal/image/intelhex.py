"""Intel HEX of an image, for programmers that want addresses."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fwseal.image.stream import ByteStream

if TYPE_CHECKING:
    from fwseal.image.elf import Segment


def write(parts: tuple[Segment, ...]) -> bytes:
    """Answer the segments as Intel HEX, 16 bytes a record, LF line ends."""
    import intelhex

    image = intelhex.IntelHex()
    for part in parts:
        image.frombytes(part.data, offset=part.address)
    out = ByteStream()
    image.write_hex_file(out, write_start_addr=False, eolstyle="native")
    return out.text().encode("ascii")
