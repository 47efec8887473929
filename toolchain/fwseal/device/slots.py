"""Two equal slots in NOR flash: one is kept bootable while the other is written.

Flash erases to ones and programs ones to zeros; an image counts from the moment the trailer magic
stands, which is written last.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Protocol

from fwseal.base.digest import Digest, DigestAlgorithm
from fwseal.base.errors import Misuse, Refused
from fwseal.base.reasons import Reason
from fwseal.image import mcuboot

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fwseal.image.mcuboot import Header
    from fwseal.image.memory_map import Layout

ERASED = 0xFF
_CHUNK = 65536


class Flash(Protocol):
    """The flash of a device; addresses are the device's own."""

    def read(self, address: int, size: int) -> bytes:
        """Answer what stands there."""
        ...

    def erase(self, address: int, size: int) -> None:
        """Set a range, aligned to the erase size, to ones."""
        ...

    def program(self, address: int, data: bytes) -> None:
        """Clear bits; raises `Refused` (storage-fault) where a zero would have to become a one."""
        ...


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """What a slot holds: `header` is None where there is no image."""

    index: int
    header: Header | None
    magic: bool
    tried: bool
    confirmed: bool

    @property
    def bootable(self) -> bool:
        """Answer whether the boot stage would try this image (its digest aside)."""
        return self.header is not None and self.magic and (self.confirmed or not self.tried)


class Slots:
    """The slots of one device, through its flash."""

    def __init__(self, flash: Flash, layout: Layout) -> None:
        self._flash = flash
        self.layout = layout

    def view(self) -> tuple[Slot, ...]:
        """Answer what each slot holds now."""
        return tuple(self._slot(index) for index in range(len(self.layout.slots)))

    def _slot(self, index: int) -> Slot:
        origin, trailer = self.layout.slots[index].origin, self.layout.trailer
        try:
            header = mcuboot.Header.decode(self._flash.read(origin, mcuboot.HEADER_SIZE))
        except Refused:
            header = None

        def flag(offset: int) -> bool:
            return self._flash.read(origin + offset, 1) == b"\x01"

        magic = self._flash.read(origin + trailer.magic_offset, len(trailer.magic))
        return Slot(
            index=index,
            header=header,
            magic=magic == trailer.magic,
            tried=flag(trailer.copy_done_offset),
            confirmed=flag(trailer.image_ok_offset),
        )

    def to_write(self) -> int:
        """Answer the slot an update goes to: never the one the device can fall back on.

        That is the newest confirmed image, else the newest; one whose bytes are damaged is none,
        since the boot stage erases it. Raises `Refused` (storage-full) for a device with one slot.
        """
        views = self.view()
        if len(views) < 2:
            raise Refused(Reason.STORAGE_FULL, "the device has no second slot")
        worth = {one.index: (self._intact(one), *_worth(one)) for one in views}
        keep = max(worth, key=worth.__getitem__)
        return min((one for one in worth if one != keep), key=worth.__getitem__)

    def _intact(self, slot: Slot) -> bool:
        """Answer whether the image is the one its own digest names."""
        size = self._file_size(slot)
        if size is None:
            return False
        origin = self.layout.slots[slot.index].origin
        try:
            image = mcuboot.decode(self._flash.read(origin, size))
            return image.one(mcuboot.Tlv.SHA256) == image.digest().value
        except Refused:
            return False

    def check_bootable(self, index: int) -> None:
        """Return when the boot stage will start the image in a slot once its trailer stands.

        Raises `Refused`: malformed for what is no image of this device, version-mismatch for one
        that is not above the confirmed image, which would be started instead.
        """
        views = self.view()
        header = views[index].header
        layout = self.layout
        if (
            header is None
            or not self._intact(views[index])
            or (header.load_address, header.header_size, header.flags)
            != (layout.load_address, layout.header_size, mcuboot.RAM_LOAD)
        ):
            raise Refused(Reason.MALFORMED, "the payload is not an image this device can boot")
        for other in views:
            if (
                other.index != index
                and other.header is not None
                and other.bootable
                and self._intact(other)
                and header.version <= other.header.version
            ):
                raise Refused(
                    Reason.VERSION_MISMATCH,
                    f"image {header.version} is not above {other.header.version}, which stays",
                )

    def confirmed(self) -> frozenset[Digest]:
        """Answer the digests, by each algorithm, of the file in the newest confirmed slot."""
        found = [one for one in self.view() if one.bootable and one.confirmed]
        newest = max(found, key=_worth, default=None)
        size = self._file_size(newest) if newest else None
        if newest is None or size is None:
            return frozenset()
        return frozenset(self.digest(newest.index, size, one) for one in DigestAlgorithm)

    def _file_size(self, slot: Slot) -> int | None:
        """Answer how long the image file in a slot is, its TLVs included."""
        if slot.header is None:
            return None
        region = self.layout.slots[slot.index]
        offset = slot.header.header_size + slot.header.image_size
        for _ in range(2 if slot.header.protected_size else 1):
            if offset + 4 > region.size:
                return None
            offset += int.from_bytes(self._flash.read(region.origin + offset + 2, 2), "little")
        return offset if offset <= self.layout.max_image else None

    def erase(self, index: int) -> None:
        """Erase a slot; its trailer's page goes first, so that half an erase boots nothing."""
        region, page = self.layout.slots[index], self.layout.erase_size
        self._flash.erase(region.end - page, page)
        self._flash.erase(region.origin, region.size - page)

    def write(self, index: int, offset: int, data: bytes) -> None:
        """Program part of an image file; raises `Refused` (storage-full) past the slot."""
        if offset + len(data) > self.layout.max_image:
            raise Refused(
                Reason.STORAGE_FULL, f"the slot takes {self.layout.max_image} bytes of image"
            )
        self._flash.program(self.layout.slots[index].origin + offset, data)

    def digest(self, index: int, size: int, algorithm: DigestAlgorithm) -> Digest:
        """Answer the digest of the first `size` bytes of a slot, read back from flash."""
        running = algorithm.new()
        for piece in self._pieces(self.layout.slots[index].origin, size):
            running.update(piece)
        return Digest(algorithm=algorithm, value=running.digest())

    def _pieces(self, address: int, size: int) -> Iterator[bytes]:
        for offset in range(0, size, _CHUNK):
            yield self._flash.read(address + offset, min(_CHUNK, size - offset))

    def activate(self, index: int) -> None:
        """Write the trailer magic: from here on the boot stage may try the image."""
        trailer = self.layout.trailer
        origin = self.layout.slots[index].origin
        self._flash.program(origin + trailer.magic_offset, trailer.magic)

    def confirm(self) -> int:
        """Set image-ok of the image on trial; answer its slot.

        Raises `Misuse` where nothing is on trial.
        """
        trailer = self.layout.trailer
        started = [one for one in self.view() if one.magic and (one.tried or one.confirmed)]
        running = max(started, key=_age, default=None)
        if running is None or running.header is None or running.confirmed:
            raise Misuse("no image is on trial", hint="offer an update and boot it first")
        origin = self.layout.slots[running.index].origin
        self._flash.program(origin + trailer.image_ok_offset, trailer.flag())
        return running.index


def _age(slot: Slot) -> tuple[mcuboot.Version, bool, int]:
    """Order slots as the boot stage does: version, then confirmed, then the first slot."""
    if slot.header is None:
        return (mcuboot.Version(0, 0, 0), False, slot.index)
    return (slot.header.version, slot.confirmed, -slot.index)


def _worth(slot: Slot) -> tuple[bool, bool, tuple[mcuboot.Version, bool, int]]:
    """Order slots by what the device would lose with them."""
    return (slot.bootable and slot.confirmed, slot.bootable, _age(slot))
