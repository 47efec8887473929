"""A device in memory: NOR flash that forgets nothing it should not, slots, images, an installer."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from fwseal.base.errors import Refused
from fwseal.base.ports import NotThere
from fwseal.base.reasons import Reason
from fwseal.device.slots import Slots
from fwseal.image import mcuboot
from fwseal.image.memory_map import Layout, Region
from fwseal.signing.sign import sign_image
from repositories import PowerCut
from workshop import signer

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from fwseal.base.ids import Uri

PAGE = 0x100
SLOT = 0x1000
ORIGIN = 0x2100_0000
BOOT_KEY = signer("boot")


class NorFlash:
    """NOR flash: erasing sets ones by the page, programming clears bits and sets none.

    `power` is how many operations are left before it is cut; an operation that is cut is half done.
    """

    def __init__(self, size: int = 2 * SLOT) -> None:
        self.cells = bytearray(b"\xff" * size)
        self.power: int | None = None
        self.log: list[tuple[str, int, int]] = []
        self.lies = False

    def read(self, address: int, size: int) -> bytes:
        """Answer what stands there."""
        start = address - ORIGIN
        assert 0 <= start <= len(self.cells) - size
        return bytes(self.cells[start : start + size])

    def erase(self, address: int, size: int) -> None:
        """Set pages to ones."""
        start = address - ORIGIN
        assert start % PAGE == 0
        assert size % PAGE == 0
        self._spend("erase", address, size)
        for page in range(start, start + size, PAGE):
            self.cells[page : page + PAGE] = b"\xff" * PAGE
            self._torn()
        self._end()

    def program(self, address: int, data: bytes) -> None:
        """Clear bits."""
        start = address - ORIGIN
        self._spend("program", address, len(data))
        for offset, byte in enumerate(data):
            if self.cells[start + offset] & byte != byte:
                raise Refused(Reason.STORAGE_FAULT, "a bit would have to be set")
            self.cells[start + offset] = byte & 0xFE if self.lies and offset == 7 else byte
            if offset >= len(data) // 2:
                self._torn()
        self._end()

    def _spend(self, what: str, address: int, size: int) -> None:
        self.log.append((what, address, size))
        if self.power is not None:
            self.power -= 1

    def _torn(self) -> None:
        if self.power is not None and self.power < 0:
            raise PowerCut

    def _end(self) -> None:
        self._torn()

    def slot(self, index: int) -> bytes:
        """Answer all of a slot."""
        return bytes(self.cells[index * SLOT : (index + 1) * SLOT])

    def put(self, index: int, content: bytes) -> None:
        """Write a slot from the workbench."""
        self.cells[index * SLOT : (index + 1) * SLOT] = content.ljust(SLOT, b"\xff")


def layout(*, slots: int = 2, align: int = 8) -> Layout:
    """Answer a small layout."""
    return Layout(
        code=Region(origin=0, size=0x1000),
        ram=Region(origin=0x2000_0000, size=0x10000),
        flash=Region(origin=ORIGIN, size=slots * SLOT),
        load_address=0x2000_0000,
        header_size=32,
        slots=tuple(Region(origin=ORIGIN + n * SLOT, size=SLOT) for n in range(slots)),
        erase_size=PAGE,
        trailer=mcuboot.Trailer(slot_size=SLOT, align=align),
    )


def image(version: str, body: bytes = b"firmware" * 100) -> bytes:
    """Answer a signed image file without trailer."""
    return sign_image(
        mcuboot.unsigned(
            body,
            version=mcuboot.Version.parse(version),
            load_address=0x2000_0000,
            header_size=32,
            security_counter=1,
        ),
        BOOT_KEY,
    )


def installed(
    content: bytes, *, magic: bool = True, tried: bool = False, confirmed: bool = False
) -> bytes:
    """Answer a slot that holds an image, with such a trailer (align 8)."""
    slot = bytearray(content.ljust(SLOT, b"\xff"))
    if magic:
        slot[-16:] = bytes.fromhex("77c295f360d2ef7f3552500f2cb67980")
    if confirmed:
        slot[-24] = 1
    if tried:
        slot[-32] = 1
    return bytes(slot)


def boots_next(flash: NorFlash) -> int | None:
    """Answer the slot that the boot program starts, as boot.c says it: not as slots.py does."""
    slots = {index: flash.slot(index) for index in range(len(flash.cells) // SLOT)}
    while True:
        best: tuple[tuple[int, ...], bool, int] | None = None
        for index, slot in slots.items():
            if slot[:4] == bytes.fromhex("3db8f396"):
                number = tuple(
                    int.from_bytes(slot[a:b], "little")
                    for a, b in ((20, 21), (21, 22), (22, 24), (24, 28))
                )
                good = slot[-16:] == bytes.fromhex("77c295f360d2ef7f3552500f2cb67980")
                one = (number, good and slot[-24] == 1, -index)
                best = one if best is None else max(best, one)
        if best is None:
            return None
        index = -best[2]
        slot = slots[index]
        magic = slot[-16:] == bytes.fromhex("77c295f360d2ef7f3552500f2cb67980")
        if magic and (slot[-32] != 1 or slot[-24] == 1) and _whole(slot):
            return index
        slots[index] = b"\xff" * SLOT


def _whole(slot: bytes) -> bool:
    header, protected, size = (
        int.from_bytes(slot[a:b], "little") for a, b in ((8, 10), (10, 12), (12, 16))
    )
    end = header + size + protected
    digest = hashlib.sha256(slot[:end]).digest()
    return slot[end : end + 2] == b"\x07\x69" and slot[end + 4 : end + 8] + digest == (
        b"\x10\x00\x20\x00" + slot[end + 8 : end + 40]
    )


def device(flash: NorFlash, **options: int) -> Slots:
    """Answer the slots of a flash."""
    return Slots(flash, layout(**options))


class Files:
    """A `Fetcher` over a dict, in pieces; it stops in the middle when told so."""

    def __init__(
        self, files: Mapping[str, bytes], *, piece: int = 100, dies_after: int | None = None
    ) -> None:
        self._files = files
        self._piece = piece
        self._left = dies_after

    def fetch(self, uri: Uri, *, max_size: int) -> Iterator[bytes]:
        """Answer a file's bytes; like a file on the command line, a piece past the limit."""
        if uri not in self._files:
            raise NotThere(uri)
        data, total = self._files[uri], 0
        while total <= max_size and total < len(data):
            if self._left is not None:
                if self._left == 0:
                    raise PowerCut
                self._left -= 1
            yield data[total : total + self._piece]
            total += self._piece
