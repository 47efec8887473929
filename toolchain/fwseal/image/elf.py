"""What an ELF file loads, by physical address: the bytes that objcopy would write.

System V ABI, chapters 4 and 5; every byte of the file has its place, or the file is refused.
"""

from __future__ import annotations

import dataclasses
import itertools
from typing import IO, TYPE_CHECKING, cast

from fwseal.base.errors import Refused
from fwseal.base.reasons import Reason
from fwseal.image.stream import ByteStream

if TYPE_CHECKING:
    from collections.abc import Iterator

    from elftools.elf.elffile import ELFFile
    from elftools.elf.sections import ARMAttributesSection

MAX_IMAGE = 16 * 1024 * 1024
"""Bytes between the first and the last loaded address that are read at all."""


_MACHINES = {"EM_ARM": (32,), "EM_RISCV": (32, 64)}
"""Whose files are read, and how many bits their addresses may have."""

_MICROCONTROLLER = ord("M")
"""Tag_CPU_arch_profile of a Cortex-M (Addenda to the Arm ABI, 3.3.5.1)."""

ASTRAY = (ValueError, AttributeError, KeyError, IndexError, TypeError)
"""What pyelftools raises where a file lies, besides errors of its own."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """Bytes that are loaded at a physical address."""

    address: int
    data: bytes


def segments(data: bytes) -> tuple[Segment, ...]:
    """Answer what is loaded from the file, by address, without overlap.

    Raises `Refused`: malformed (not linked, a segment past the file or the address space, or larger
    than its memory, bytes that belong to nothing), unsupported for anything but a little-endian
    file for 32-bit Arm or for RISC-V.
    """
    from elftools.common.exceptions import ELFError
    from elftools.elf.elffile import ELFFile

    try:
        elf = ELFFile(cast("IO[bytes]", ByteStream(data)))
        if elf.elfclass not in _MACHINES.get(elf["e_machine"], ()) or not elf.little_endian:
            raise Refused(
                Reason.UNSUPPORTED, "not a little-endian ELF file for 32-bit Arm or for RISC-V"
            )
        if elf["e_type"] != "ET_EXEC":
            raise Refused(Reason.MALFORMED, "not a linked program")
        _check_end(elf, len(data))
        loaded = [one for one in elf.iter_segments("PT_LOAD") if one["p_filesz"]]
        found = [Segment(address=one["p_paddr"], data=one.data()) for one in loaded]
        # pyelftools reads to the end of the file where a segment goes past it.
        for one, part in zip(found, loaded, strict=True):
            if len(one.data) != part["p_filesz"]:
                raise Refused(Reason.MALFORMED, "a segment ends behind the file")
            if part["p_filesz"] > part["p_memsz"]:
                raise Refused(Reason.MALFORMED, f"the segment at {one.address:#x} has no room")
            if one.address + part["p_memsz"] > 1 << elf.elfclass:
                raise Refused(Reason.MALFORMED, f"the segment at {one.address:#x} wraps around")
    except (ELFError, *ASTRAY) as error:
        raise Refused(Reason.MALFORMED, f"not an ELF file: {error}") from None
    if not found:
        raise Refused(Reason.MALFORMED, "the ELF file loads nothing")
    found.sort(key=lambda one: one.address)
    for one, following in itertools.pairwise(found):
        if one.address + len(one.data) > following.address:
            raise Refused(Reason.MALFORMED, f"segments overlap at {following.address:#x}")
    return tuple(found)


def starts_with_vectors(data: bytes) -> bool:
    """Answer whether a file is for a Cortex-M, whose images start with a vector table.

    An Arm file that names no architecture counts as one. Raises `Refused` (malformed). Armv7-M
    B1.5.3.
    """
    from elftools.common.exceptions import ELFError
    from elftools.construct import ConstructError
    from elftools.elf.elffile import ELFFile
    from elftools.elf.sections import ARMAttributesSection

    try:
        elf = ELFFile(cast("IO[bytes]", ByteStream(data)))
        if elf["e_machine"] != "EM_ARM":
            return False
        said = [one for one in elf.iter_sections() if isinstance(one, ARMAttributesSection)]
        return not said or any(_MICROCONTROLLER in _profiles(one) for one in said)
    except (ELFError, ConstructError, *ASTRAY) as error:
        raise Refused(Reason.MALFORMED, f"not an ELF file: {error}") from None


def _profiles(attributes: ARMAttributesSection) -> Iterator[int]:
    """Answer each Tag_CPU_arch_profile of a file's build attributes; raises as pyelftools does."""
    for part in attributes.iter_subsections():
        if not part["length"]:  # pyelftools would stay at this one for ever
            raise ValueError("attributes of no length")
        if part["vendor_name"] == "aeabi":
            for scope in part.iter_subsubsections():
                for tag in scope.iter_attributes("TAG_CPU_ARCH_PROFILE"):
                    yield tag.value


def _check_end(elf: ELFFile, size: int) -> None:
    """Return when heads, segments and sections reach to the end of the file, and no further."""
    ends = [
        elf["e_ehsize"],
        elf["e_phoff"] + elf["e_phnum"] * elf["e_phentsize"],
        elf["e_shoff"] + elf["e_shnum"] * elf["e_shentsize"],
    ]
    ends += [one["p_offset"] + one["p_filesz"] for one in elf.iter_segments()]
    ends += [
        one["sh_offset"] + one["sh_size"]
        for one in elf.iter_sections()
        if one["sh_type"] != "SHT_NOBITS"
    ]
    if size > max(ends):
        raise Refused(Reason.MALFORMED, f"{size - max(ends)} bytes belong to nothing")


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
