"""Two slots in NOR flash: what is written is never what the device can fall back on."""

from __future__ import annotations

import itertools
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from flashes import ORIGIN, PAGE, SLOT, NorFlash, boots_next, device, image, installed, layout
from fwseal.base.digest import Digest, DigestAlgorithm
from fwseal.base.errors import Misuse, Refused
from fwseal.base.reasons import Reason
from fwseal.device.slots import Slot

if TYPE_CHECKING:
    from pathlib import Path

V1, V2, V3 = image("1.0.0"), image("2.0.0"), image("3.0.0")
EMPTY = b""
FLAGS = [
    {"magic": magic, "tried": tried, "confirmed": confirmed}
    for magic, tried, confirmed in itertools.product((False, True), repeat=3)
]


def flash_of(*slots: bytes) -> NorFlash:
    made = NorFlash(len(slots) * SLOT)
    for index, content in enumerate(slots):
        made.put(index, content)
    return made


def damaged(content: bytes) -> bytes:
    return content[:100] + bytes([content[100] ^ 1]) + content[101:]


def slots_of_every_kind() -> list[bytes]:
    images = [image("1.0.0"), image("2.0.0"), damaged(image("3.0.0"))]
    return [EMPTY] + [installed(one, **flags) for one in images for flags in FLAGS]


def test_update_cut_short_at_once_still_boots_whenever_another_slot_could() -> None:
    ran = kept = 0
    for pair in itertools.product(slots_of_every_kind(), repeat=2):
        flash = flash_of(*pair)
        index = device(flash).to_write()
        for other in (0, 1):
            flash = flash_of(*pair)
            flash.put(other, EMPTY)
            if boots_next(flash) is not None and other == index:
                kept += 1
        flash = flash_of(*pair)
        flash.put(index, EMPTY)
        alone = flash_of(*pair)
        alone.put(1 - index, EMPTY)
        if boots_next(alone) is not None:
            # What is overwritten could boot: then what stays can too, or it is the lesser loss.
            assert boots_next(flash) is not None
        ran += 1
    assert ran == 625
    assert kept > 50


@pytest.mark.parametrize(
    ("slots", "written"),
    [
        ((EMPTY, EMPTY), 0),
        ((installed(V1, confirmed=True), EMPTY), 1),
        ((EMPTY, installed(V1, confirmed=True)), 0),
        ((installed(V2, confirmed=True), installed(V1, confirmed=True)), 1),
        ((installed(V1, confirmed=True), installed(V2, confirmed=True)), 0),
        ((installed(V1, confirmed=True), installed(V1, confirmed=True)), 1),
        ((installed(V1, confirmed=True), installed(V2, tried=True)), 1),
        ((installed(V2, tried=True), installed(V1, confirmed=True)), 0),
        ((installed(V1, confirmed=True), installed(V2)), 1),
        ((installed(V1, confirmed=True), installed(V2, magic=False)), 1),
        ((installed(V1), EMPTY), 1),
        ((installed(damaged(V3), confirmed=True), installed(V1, confirmed=True)), 0),
        ((installed(V1, confirmed=True), installed(damaged(V3), confirmed=True)), 1),
    ],
    ids=[
        "an empty device", "the empty one", "the other empty one", "the older confirmed one",
        "the older confirmed one first", "the second of two equals", "a failed trial",
        "a trial in the first slot", "a trial not yet started", "what was never finished",
        "not the only image", "the newer one that is damaged", "a damaged second one",
    ],
)  # fmt: skip
def test_update_goes_to_the_slot_the_device_can_do_without(
    slots: tuple[bytes, bytes], written: int
) -> None:
    flash = flash_of(*slots)
    assert device(flash).to_write() == written
    flash.put(written, EMPTY)
    assert boots_next(flash) == (1 - written if any(slots) else None)


def test_device_with_one_slot_takes_no_update_and_keeps_its_image() -> None:
    flash = flash_of(installed(V1, confirmed=True))
    with pytest.raises(Refused) as caught:
        device(flash, slots=1).to_write()
    assert caught.value.reason is Reason.STORAGE_FULL
    assert boots_next(flash) == 0


def test_erase_begins_with_the_trailer_so_that_a_cut_never_leaves_a_bootable_half() -> None:
    flash = flash_of(installed(V1, confirmed=True), installed(V2, confirmed=True))
    device(flash).erase(1)
    assert flash.log == [
        ("erase", ORIGIN + 2 * SLOT - PAGE, PAGE),
        ("erase", ORIGIN + SLOT, SLOT - PAGE),
    ]
    assert flash.slot(1) == b"\xff" * SLOT
    assert boots_next(flash) == 0


def test_image_boots_only_after_its_trailer_was_written() -> None:
    flash = flash_of(EMPTY, EMPTY)
    slots = device(flash)
    slots.write(0, 0, V1[:64])
    slots.write(0, 64, V1[64:])
    assert boots_next(flash) is None
    slots.activate(0)
    assert boots_next(flash) == 0
    assert slots.view()[0].bootable
    slots.activate(0)
    assert flash.slot(0) == installed(V1)


def test_image_longer_than_a_slot_is_refused_and_its_trailer_page_is_untouched() -> None:
    flash = flash_of(EMPTY, EMPTY)
    slots = device(flash)
    slots.write(0, SLOT - PAGE - 4, bytes(4))
    with pytest.raises(Refused) as caught:
        slots.write(0, SLOT - PAGE - 4, bytes(5))
    assert caught.value.reason is Reason.STORAGE_FULL
    assert flash.slot(0)[-PAGE:] == b"\xff" * PAGE


def test_flash_that_is_not_erased_is_never_written_over() -> None:
    flash = flash_of(installed(V1), EMPTY)
    with pytest.raises(Refused) as caught:
        device(flash).write(0, 0, b"\xff" * 32)
    assert caught.value.reason is Reason.STORAGE_FAULT
    assert flash.slot(0) == installed(V1)


@pytest.mark.parametrize(
    ("slots", "confirmed"),
    [
        ((installed(V1, tried=True), EMPTY), 0),
        ((installed(V1, confirmed=True, tried=True), installed(V2, tried=True)), 1),
        ((installed(V1, tried=True), installed(V2, tried=True)), 1),
        ((installed(V2, tried=True), installed(V1, tried=True)), 0),
        ((installed(V2, tried=True), installed(V3)), 0),
        ((installed(V2, tried=True), installed(V1, tried=True, confirmed=True)), 0),
    ],
)
def test_confirm_sets_image_ok_of_the_image_that_runs_and_of_no_other(
    slots: tuple[bytes, bytes], confirmed: int
) -> None:
    flash = flash_of(*slots)
    assert device(flash).confirm() == confirmed
    for index, before in enumerate(slots):
        after = flash.slot(index)
        assert (after == before.ljust(SLOT, b"\xff")) == (index != confirmed)
    assert device(flash).view()[confirmed].confirmed


@pytest.mark.parametrize(
    "slots",
    [
        (EMPTY, EMPTY),
        (installed(V1, confirmed=True), EMPTY),
        (installed(V1), EMPTY),
        (installed(V1, magic=False, tried=True), EMPTY),
        (installed(V1, tried=True), installed(V2, tried=True, confirmed=True)),
        (installed(b"not an image", tried=True), EMPTY),
    ],
)
def test_confirm_without_an_image_on_trial_is_misuse_and_nothing_is_written(
    slots: tuple[bytes, bytes],
) -> None:
    flash = flash_of(*slots)
    with pytest.raises(Misuse):
        device(flash).confirm()
    assert flash.log == []


def test_digest_of_the_confirmed_image_is_that_of_the_file_in_the_newest_confirmed_slot() -> None:
    flash = flash_of(installed(V1, confirmed=True), installed(V2, confirmed=True))
    found = device(flash).confirmed()
    assert found == {Digest.of(V2, algorithm) for algorithm in DigestAlgorithm}
    assert device(flash_of(installed(V1), EMPTY)).confirmed() == frozenset()


@pytest.mark.parametrize("offset", [8, 12])
def test_confirmed_header_that_lies_about_its_sizes_names_no_image(offset: int) -> None:
    lying = bytearray(V1)
    lying[offset : offset + 2] = b"\xf0\xff" if offset == 8 else b"\x00\xff"
    flash = flash_of(installed(bytes(lying), confirmed=True), EMPTY)
    assert device(flash).confirmed() == frozenset()
    assert device(flash).to_write() in (0, 1)
    near = bytearray(V1)
    near[12:16] = (SLOT - 40).to_bytes(4, "little")
    flash = flash_of(installed(bytes(near), confirmed=True), EMPTY)
    assert device(flash).confirmed() == frozenset()


@pytest.mark.parametrize("align", [8, 16, 32])
@pytest.mark.parametrize("option", [None, "--pad", "--confirm"])
def test_slot_made_by_imgtool_is_seen_as_imgtool_meant_it(
    option: str | None, align: int, tmp_path: Path
) -> None:
    raw, out = tmp_path / "raw", tmp_path / "out"
    raw.write_bytes(b"firmware" * 50)
    trailer = [option] if option else []
    subprocess.run(
        [
            *(sys.executable, "-m", "imgtool.main", "sign", "--pad-header", "--version", "1.2.3+4"),
            *("--header-size", "0x20", "--slot-size", hex(SLOT), "--align", str(align)),
            *("--max-align", str(align), "--max-sectors", "4", *trailer, raw, out),
        ],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    flash = flash_of(out.read_bytes(), EMPTY)
    seen, empty = device(flash, align=align).view()
    assert empty == Slot(index=1, header=None, magic=False, tried=False, confirmed=False)
    assert seen.header is not None
    assert str(seen.header.version) == "1.2.3+4"
    assert seen.magic == (option is not None)
    assert seen.confirmed == (option == "--confirm")
    assert not seen.tried
    assert seen.bootable == (option is not None)
    if option is None:
        device(flash, align=align).activate(0)
        assert device(flash, align=align).view()[0].bootable
    assert layout(align=align).trailer.magic in flash.slot(0)
