"""What an ELF file loads, by physical address: the bytes that objcopy would write."""

from __future__ import annotations

import dataclasses
import itertools
from typing import IO, cast

from fwseal.base.errors import Refused
from fwseal.base.reasons import Reason
from fwseal.image.stream import ByteStream

MAX_IMAGE = 16 * 1024 * 1024
"""Bytes between the first and the last loaded address that are read at all."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """Bytes that are loaded at a physical address."""

    address: int
    data: bytes


def segments(data: bytes) -> tuple[Segment, ...]:
    """Answer what is loaded from the file, by address, without overlap.

    Raises `Refused`: malformed, unsupported for anything but a 32-bit little-endian ARM file.
    """
    from elftools.common.exceptions import ELFError
    from elftools.elf.elffile import ELFFile

    try:
        elf = ELFFile(cast("IO[bytes]", ByteStream(data)))
        if elf["e_machine"] != "EM_ARM" or elf.elfclass != 32 or not elf.little_endian:
            raise Refused(Reason.UNSUPPORTED, "not a 32-bit little-endian ARM ELF file")
        loaded = [one for one in elf.iter_segments("PT_LOAD") if one["p_filesz"]]
        found = [Segment(address=one["p_paddr"], data=one.data()) for one in loaded]
        # pyelftools reads to the end of the file where a segment goes past it.
        if any(len(one.data) != part["p_filesz"] for one, part in zip(found, loaded, strict=True)):
            raise Refused(Reason.MALFORMED, "a segment ends behind the file")
    except (ELFError, ValueError, AttributeError, KeyError, IndexError) as error:
        raise Refused(Reason.MALFORMED, f"not an ELF file: {error}") from None
    if not found:
        raise Refused(Reason.MALFORMED, "the ELF file loads nothing")
    found.sort(key=lambda one: one.address)
    for one, following in itertools.pairwise(found):
        if one.address + len(one.data) > following.address:
            raise Refused(Reason.MALFORMED, f"segments overlap at {following.address:#x}")
    return tuple(found)


def flat(parts: tuple[Segment, ...]) -> bytes:
    """Answer the flat binary, gaps filled with zeros as objcopy does; raises `Refused`."""
    start, end = parts[0].address, parts[-1].address + len(parts[-1].data)
    if end - start > MAX_IMAGE:
        raise Refused(
            Reason.LIMIT_EXCEEDED, f"the image spans {end - start} bytes, {MAX_IMAGE} are allowed"
        )
    image = bytearray(end - start)
    for part in parts:
        image[part.address - start : part.address - start + len(part.data)] = part.data
    return bytes(image)
