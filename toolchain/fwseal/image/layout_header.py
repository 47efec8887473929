"""A target's C code and the host tools share one layout: layout.h is a function of layout.toml."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from fwseal.base.tables import Table
from fwseal.image.mcuboot import Trailer

if TYPE_CHECKING:
    from collections.abc import Mapping

_HEADER: Final = """\
/* SPDX-License-Identifier: Apache-2.0 */
/* generated from layout.toml; do not edit */
#ifndef LAYOUT_H
#define LAYOUT_H

/* linker scripts know no suffixes */
#ifdef LINKER_SCRIPT
#define U(number) number
#else
#define U(number) number##u
#endif

{numbers}

#define SLOT_ORIGINS {{{slots}}}
#define TRAILER_MAGIC {{{magic}}}

#endif
"""


def c_header(layout: Mapping[str, object]) -> str:
    """Answer layout.h, the layout as the C code and the linker scripts read it.

    Raises `Misuse` when the layout has an unknown key, lacks one or holds another type.
    """
    top = Table(layout, where="layout")
    slots = top.table("slots")
    origins = slots.take("origins", list)
    align, slot_size, erase_size = (slots.uint(key) for key in ("align", "size", "erase-size"))
    trailer = Trailer(slot_size=slot_size, align=align)
    groups = [
        _regions(top),
        [*_image(top.table("image")), ("IMAGE_MAX_SIZE", slot_size - erase_size)],
        [(f"SLOT_{index}_ORIGIN", origin) for index, origin in enumerate(origins)],
        [("SLOT_COUNT", len(origins)), ("SLOT_SIZE", slot_size)],
        _trailer(trailer),
    ]
    slots.done()
    top.done()
    return _HEADER.format(
        numbers="\n\n".join("\n".join(_define(*item) for item in group) for group in groups),
        slots=", ".join(f"SLOT_{index}_ORIGIN" for index in range(len(origins))),
        magic=", ".join(f"0x{byte:02x}" for byte in trailer.magic),
    )


def _regions(top: Table) -> list[tuple[str, int]]:
    memory, application, boot = (top.table(key) for key in ("memory", "application", "boot"))
    numbers = [
        *_region("CODE", memory.table("code")),
        *_region("RAM", memory.table("ram")),
        *_region("FLASH", memory.table("flash")),
        *_region("APPLICATION_RAM", application.table("ram")),
        *_region("BOOT_RAM", boot.table("ram")),
        ("BOOT_INFO", boot.uint("info")),
    ]
    for table in (memory, application, boot):
        table.done()
    return numbers


def _region(name: str, region: Table) -> list[tuple[str, int]]:
    numbers = [(f"{name}_{key.upper()}", region.uint(key)) for key in ("origin", "size")]
    region.done()
    return numbers


def _image(image: Table) -> list[tuple[str, int]]:
    numbers = [
        ("LOAD_ADDRESS", image.uint("load-address")),
        ("HEADER_SIZE", image.uint("header-size")),
    ]
    image.done()
    return numbers


def _trailer(trailer: Trailer) -> list[tuple[str, int]]:
    return [
        ("TRAILER_ALIGN", trailer.align),
        ("TRAILER_COPY_DONE_OFFSET", trailer.copy_done_offset),
        ("TRAILER_IMAGE_OK_OFFSET", trailer.image_ok_offset),
        ("TRAILER_MAGIC_OFFSET", trailer.magic_offset),
        ("TRAILER_MAGIC_SIZE", len(trailer.magic)),
    ]


def _define(name: str, number: int) -> str:
    return f"#define {name:<24} U(0x{number:08x})"
