"""The smallest ELF files a Cortex-M linker could have made, written byte by byte."""

from __future__ import annotations

import struct

LOAD = 0x20000200
"""Where the demo's layout puts an image's vector table, behind its header."""

STACK = 0x20080000


def vectors(address: int = LOAD, *, stack: int = STACK, size: int = 64) -> bytes:
    """Answer a vector table with its reset handler inside, padded to a size."""
    return struct.pack("<II", stack, address + 9).ljust(size, b"\0")


def elf(*segments: tuple[int, bytes]) -> bytes:
    """Answer a 32-bit little-endian ARM ELF file that loads these segments."""
    offset = 52 + 32 * len(segments)
    header = b"\x7fELF\x01\x01\x01".ljust(16, b"\0") + struct.pack(
        "<HHIIIIIHHHHHH", 2, 40, 1, segments[0][0] | 1, 52, 0, 0, 52, 32, len(segments), 40, 0, 0
    )
    table, body = b"", b""
    for address, data in segments:
        table += struct.pack(
            "<IIIIIIII", 1, offset + len(body), address, address, len(data), len(data), 5, 4
        )
        body += data
    return header + table + body
