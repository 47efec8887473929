"""Where things stand in a device's memory, from the one file that its C header comes from too."""

from __future__ import annotations

import dataclasses
import itertools
from typing import TYPE_CHECKING

from fwseal.base.errors import Misuse, Refused
from fwseal.base.reasons import Reason
from fwseal.image.mcuboot import Trailer

if TYPE_CHECKING:
    from fwseal.base.tables import Table
    from fwseal.image.elf import Segment


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Region:
    """A range of addresses; size in bytes."""

    origin: int
    size: int

    @property
    def end(self) -> int:
        """Answer the first address behind the region."""
        return self.origin + self.size

    def holds(self, address: int, size: int) -> bool:
        """Answer whether the whole range lies inside."""
        return self.origin <= address and address + size <= self.end


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """The memory of a reference device: regions, slots, and where an image is loaded."""

    code: Region
    ram: Region
    flash: Region
    load_address: int
    header_size: int
    slots: tuple[Region, ...]
    erase_size: int
    trailer: Trailer

    @property
    def max_image(self) -> int:
        """Answer how many bytes an image file may have: the slot without its trailer's page."""
        return self.slots[0].size - self.erase_size


def layout(table: Table) -> Layout:
    """Answer the layout of a `layout.toml`; raises `Misuse`."""
    memory = table.table("memory")
    code, ram, flash = (_region(memory.table(name)) for name in ("code", "ram", "flash"))
    image = table.table("image")
    slots = table.table("slots")
    size, align = slots.uint("size"), slots.uint("align")
    origins = slots.take("origins", list)
    if not origins or not all(type(origin) is int for origin in origins):
        raise slots.misuse("origins must be an array of addresses")
    regions = tuple(Region(origin=origin, size=size) for origin in origins)
    if align not in (8, 16, 32) or not all(flash.holds(one.origin, one.size) for one in regions):
        raise slots.misuse("a slot lies outside the flash, or align is not 8, 16 or 32")
    ordered = sorted(regions, key=lambda one: one.origin)
    if any(one.end > following.origin for one, following in itertools.pairwise(ordered)):
        raise slots.misuse("two slots overlap")
    trailer = Trailer(slot_size=size, align=align)
    erase_size = slots.uint("erase-size")
    if not size - trailer.copy_done_offset <= erase_size < size:
        raise slots.misuse("erase-size must hold the trailer and leave room for an image")
    return Layout(
        code=code,
        ram=ram,
        flash=flash,
        load_address=image.uint("load-address"),
        header_size=image.uint("header-size"),
        slots=regions,
        erase_size=erase_size,
        trailer=trailer,
    )


def _region(table: Table) -> Region:
    region = Region(origin=table.uint("origin"), size=table.uint("size"))
    table.done()
    return region


def check_image(
    segments: tuple[Segment, ...], *, where: Region, ram: Region, vectors: bool = True
) -> None:
    """Return when linked segments lie in their region, the first at its start.

    With `vectors`, that is for a Cortex-M, they start with a sane vector table as well. Raises
    `Misuse` for an image that cannot work: a segment outside, an initial stack pointer outside
    RAM, a reset vector that is even or outside.
    """
    first = min(segments, key=lambda one: one.address)
    for segment in segments:
        if not where.holds(segment.address, len(segment.data)):
            raise Misuse(
                f"a segment at {segment.address:#x} of {len(segment.data)} bytes lies outside "
                f"{where.origin:#x} to {where.end:#x}",
                hint="check the linker script against layout.toml",
            )
    if first.address != where.origin:
        raise Misuse(f"the image starts at {first.address:#x}, not at {where.origin:#x}")
    if not vectors:
        return
    stack = int.from_bytes(first.data[0:4], "little")
    reset = int.from_bytes(first.data[4:8], "little")
    if not ram.origin < stack <= ram.end or stack % 8:
        raise Misuse(f"the initial stack pointer {stack:#x} is not an aligned address in RAM")
    if not reset % 2 or not where.holds(reset - 1, 2):
        raise Misuse(f"the reset vector {reset:#x} is not a Thumb address in the image")


def check_fit(size: int, limit: int) -> None:
    """Return when an image file fits its slot; raises `Refused` (storage-full)."""
    if size > limit:
        raise Refused(Reason.STORAGE_FULL, f"the image has {size} bytes, the slot takes {limit}")
