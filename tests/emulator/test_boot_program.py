"""What the boot program of the reference board starts, and what it refuses and erases."""

from __future__ import annotations

import dataclasses
import struct
from typing import TYPE_CHECKING

import pytest

import boards
from boards import HEADER_SIZE, IMAGE_MAX_SIZE, LOAD_ADDRESS, MAGIC, SET, UNSET
from fwseal.device.board import BootReport, Erased, Started

if TYPE_CHECKING:
    from boards import Board, Firmware, Imgtool

HALTED = BootReport(halted="no-image")


@pytest.fixture
def old(firmware: Firmware, imgtool: Imgtool) -> bytes:
    return imgtool.sign(firmware.demo, "1.0.0", "--confirm")


@pytest.fixture
def new(firmware: Firmware, imgtool: Imgtool) -> bytes:
    """A trial with protected TLVs, as a release has them."""
    return imgtool.sign(firmware.demo, "1.1.0", "--security-counter", "2")


def started(slot: int, image: bytes, version: str, state: str) -> Started:
    return Started(slot=slot, version=version, digest=boards.digest(image), state=state)


def refuses(board: Board, old: bytes, bad: bytes, reason: str) -> None:
    """The board erases the bad image in slot 1 for that reason, and starts the old one."""
    board.write({0: old, 1: bad})
    report = board.report()
    assert report.erased == (Erased(slot=1, reason=reason),)
    assert report.started == started(0, old, "1.0.0.0", "confirmed")
    assert boards.erased(board.slot(1))


# What starts


def test_an_empty_flash_halts_and_is_not_written(board: Board) -> None:
    before = board.flash.read_bytes()
    run = board.power_on()
    assert run.uart == "boot: mps2-an385 ram-load\nboot: halt no-image\n"
    assert run.exit_code == 3
    assert board.flash.read_bytes() == before


@pytest.mark.parametrize("slot", [0, 1])
def test_a_trial_is_marked_before_it_runs_confirms_itself_and_stays(
    board: Board, old: bytes, new: bytes, slot: int
) -> None:
    board.write({slot: new, 1 - slot: old})
    run = board.power_on()
    assert run.uart == (
        "boot: mps2-an385 ram-load\n"
        f"boot: start slot={slot} version=1.1.0.0 digest={boards.digest(new)} state=trial\n"
        "demo-plc 1.1.0 build 1a2b3c4d5e6f\n"
        "demo-plc: level 60 % after 400 cycles\n"
        "demo-plc: self-test passed\n"
        f"demo-plc: confirmed slot={slot}\n"
        "demo-plc: exit\n"
    )
    assert run.exit_code == 0
    assert board.slot(slot) == boards.with_trailer(new, copy_done=SET, image_ok=SET)
    assert board.slot(1 - slot) == old

    again = board.power_on()
    assert f"demo-plc: already confirmed slot={slot}\n" in again.uart
    assert "state=confirmed\n" in again.uart
    assert again.exit_code == 0
    assert board.slot(slot) == boards.with_trailer(new, copy_done=SET, image_ok=SET)


def test_a_trial_that_fails_its_self_test_is_not_confirmed_and_reverts_on_the_next_boot(
    board: Board, firmware: Firmware, imgtool: Imgtool, old: bytes
) -> None:
    faulty = imgtool.sign(firmware.faulty, "1.2.0")
    board.write({0: old, 1: faulty})
    run = board.power_on()
    assert run.uart.endswith("demo-plc: self-test failed: output-range\n")
    assert run.exit_code == 1
    assert board.slot(1) == boards.with_trailer(faulty, copy_done=SET)

    report = board.report()
    assert report.erased == (Erased(slot=1, reason="not-confirmed"),)
    assert report.started == started(0, old, "1.0.0.0", "confirmed")
    assert boards.erased(board.slot(1))


@pytest.mark.parametrize(
    ("newer", "older"),
    [
        ("2.0.0", "1.255.65535"),
        ("10.0.0", "9.0.0"),
        ("1.2.0", "1.1.9"),
        ("1.1.256", "1.1.255"),
        ("1.1.1+256", "1.1.1+255"),
        ("1.1.1+4294967295", "1.1.1"),
    ],
)
@pytest.mark.parametrize("slot", [0, 1])
def test_the_newest_version_starts_from_either_slot(
    board: Board, firmware: Firmware, imgtool: Imgtool, newer: str, older: str, slot: int
) -> None:
    image = imgtool.sign(firmware.demo, newer, "--confirm")
    board.write({slot: image, 1 - slot: imgtool.sign(firmware.demo, older, "--confirm")})
    version = newer.replace("+", ".") if "+" in newer else f"{newer}.0"
    assert board.report().started == started(slot, image, version, "confirmed")


def test_of_equal_versions_the_confirmed_one_starts_then_slot_0(
    board: Board, firmware: Firmware, imgtool: Imgtool, old: bytes
) -> None:
    trial = imgtool.sign(firmware.demo, "1.0.0")
    for slots, expected, state in [
        ({0: trial, 1: old}, 1, "confirmed"),
        ({0: old, 1: trial}, 0, "confirmed"),
        ({0: old, 1: old}, 0, "confirmed"),
        ({0: trial, 1: trial}, 0, "trial"),
    ]:
        board.write(slots)
        assert board.report().started == started(expected, old, "1.0.0.0", state)


def test_a_confirmed_image_without_copy_done_starts_and_gets_it(board: Board, old: bytes) -> None:
    assert boards.trailer(old) == (UNSET, SET, MAGIC)
    board.write({0: old})
    assert board.report().started == started(0, old, "1.0.0.0", "confirmed")
    assert boards.trailer(board.slot(0)) == (SET, SET, MAGIC)


@pytest.mark.parametrize("extra", [0, 1, 8, 9, 63, 64, 1000])
def test_images_of_any_size_and_alignment_start(
    board: Board, firmware: Firmware, imgtool: Imgtool, extra: int
) -> None:
    image = imgtool.sign(firmware.demo + bytes(extra), "1.0.0", "--security-counter", "7")
    board.write({1: image})
    assert board.report().started == started(1, image, "1.0.0.0", "trial")


def test_an_image_that_fills_all_but_the_trailers_erase_unit_starts(
    board: Board, firmware: Firmware, imgtool: Imgtool
) -> None:
    tlvs = 4 + 4 + 32
    size = IMAGE_MAX_SIZE - HEADER_SIZE - tlvs
    image = with_digest(imgtool.sign(firmware.demo), content=firmware.demo.ljust(size, b"\x5a"))
    assert len(image) == IMAGE_MAX_SIZE
    board.write({0: boards.with_trailer(image)})
    assert board.report().started == started(0, image, "1.0.0.0", "trial")


# What is refused: what the trailer says


@pytest.mark.parametrize("offset", range(-16, 0, 5))
def test_a_slot_without_a_good_trailer_magic_is_erased(
    board: Board, old: bytes, new: bytes, offset: int
) -> None:
    refuses(board, old, boards.flipped(new, len(new) + offset), "trailer-invalid")


def test_an_image_that_was_never_finished_is_erased(board: Board, old: bytes, new: bytes) -> None:
    refuses(board, old, new[:-32], "trailer-invalid")


@pytest.mark.parametrize("image_ok", [UNSET, bytes(8), b"\x03" + 7 * b"\xff", b"\x81" + bytes(7)])
def test_a_tried_image_whose_image_ok_is_anything_but_1_is_erased(
    board: Board, old: bytes, new: bytes, image_ok: bytes
) -> None:
    bad = boards.with_trailer(new, copy_done=SET, image_ok=image_ok)
    refuses(board, old, bad, "not-confirmed")


# What is refused: what the digest covers


def test_a_flipped_byte_in_the_newest_slot_is_reported_erased_and_the_other_slot_boots(
    board: Board, old: bytes, new: bytes
) -> None:
    covered = boards.hashed_end(new)
    for offset in (
        *(24, 28, 32, HEADER_SIZE - 1),  # build number, padding of the header and behind it
        *(HEADER_SIZE, HEADER_SIZE + 1000, boards.content_end(new) - 1),
        covered - 1,  # the security counter
        covered + 4 + 4,  # the digest's first and last byte
        covered + 4 + 4 + 31,
    ):
        refuses(board, old, boards.flipped(new, offset), "digest-mismatch")


def test_two_bad_slots_are_both_erased_and_nothing_starts(
    board: Board, old: bytes, new: bytes
) -> None:
    board.write({0: boards.flipped(old, HEADER_SIZE), 1: boards.flipped(new, HEADER_SIZE)})
    run = board.power_on()
    assert run.uart == (
        "boot: mps2-an385 ram-load\n"
        "boot: erased slot=1 reason=digest-mismatch\n"
        "boot: erased slot=0 reason=digest-mismatch\n"
        "boot: halt no-image\n"
    )
    assert run.exit_code == 3
    assert boards.erased(board.slot(0))
    assert boards.erased(board.slot(1))


# What is refused: what the sizes and the TLVs say


def with_digest(image: bytes, *, content: bytes) -> bytes:
    """An image of any content with its right digest, made without imgtool's limits."""
    covered = boards.patched(image[:HEADER_SIZE], 12, struct.pack("<I", len(content))) + content
    digest = bytes.fromhex(boards.digest(covered))
    return covered + boards.tlv_area(boards.tlv(0x10, digest))


@pytest.mark.parametrize(
    "img_size",
    [
        0,
        7,
        IMAGE_MAX_SIZE - HEADER_SIZE - 3,
        IMAGE_MAX_SIZE - HEADER_SIZE,
        IMAGE_MAX_SIZE - HEADER_SIZE + 1,
        boards.SLOT_SIZE,
        2**32 - LOAD_ADDRESS,
        2**32 - HEADER_SIZE - 1,
        2**32 - HEADER_SIZE,
        2**32 - HEADER_SIZE + 0x100,
        2**32 - 1,
    ],
)
def test_a_lying_image_size_is_malformed(
    board: Board, old: bytes, new: bytes, img_size: int
) -> None:
    refuses(board, old, boards.patched(new, 12, struct.pack("<I", img_size)), "malformed")


@pytest.mark.parametrize("size", [0, 1, 11, 13, 0xFFFF])
def test_a_lying_size_of_the_protected_tlvs_is_malformed(
    board: Board, old: bytes, new: bytes, size: int
) -> None:
    assert struct.unpack_from("<H", new, 10) == (12,)
    refuses(board, old, boards.patched(new, 10, struct.pack("<H", size)), "malformed")


DIGEST = bytes(32)
SHA256 = boards.tlv(0x10, DIGEST)


@pytest.mark.parametrize(
    "area",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(boards.tlv_area(SHA256, magic=0x6908), id="protected-magic"),
        pytest.param(boards.tlv_area(SHA256, total=0), id="total-0"),
        pytest.param(boards.tlv_area(SHA256, total=3), id="total-less-than-itself"),
        pytest.param(boards.tlv_area(SHA256, total=39), id="total-cuts-the-digest"),
        pytest.param(boards.tlv_area(SHA256, total=41), id="total-1-too-much"),
        pytest.param(boards.tlv_area(SHA256, total=43), id="total-cuts-a-tlv-header"),
        pytest.param(boards.tlv_area(SHA256, total=0xFFFF), id="total-too-much"),
        pytest.param(boards.tlv_area(b""), id="no-digest"),
        pytest.param(boards.tlv_area(boards.tlv(0x22, bytes(70))), id="only-a-signature"),
        pytest.param(boards.tlv_area(boards.tlv(0x10, bytes(31))), id="digest-of-31"),
        pytest.param(boards.tlv_area(boards.tlv(0x10, bytes(33))), id="digest-of-33"),
        pytest.param(boards.tlv_area(boards.tlv(0x10, b"")), id="digest-of-0"),
        pytest.param(boards.tlv_area(boards.tlv(0x10, DIGEST, length=33)), id="length-1-too-much"),
        pytest.param(boards.tlv_area(boards.tlv(0x01, b"", length=0xFFFF)), id="length-too-much"),
        pytest.param(boards.tlv_area(SHA256 + SHA256), id="two-digests"),
        pytest.param(boards.tlv_area(SHA256 + boards.tlv(0x22, b"") + SHA256), id="two-apart"),
    ],
)
def test_malformed_tlvs_are_reported_and_erased(
    board: Board, old: bytes, firmware: Firmware, imgtool: Imgtool, area: bytes
) -> None:
    image = imgtool.sign(firmware.demo, "1.1.0")
    bad = image[: boards.content_end(image)] + area
    refuses(board, old, boards.with_trailer(bad), "malformed")


@pytest.mark.parametrize("twice", [False, True])
def test_a_digest_among_the_tlvs_it_would_cover_is_malformed(
    board: Board, old: bytes, firmware: Firmware, imgtool: Imgtool, *, twice: bool
) -> None:
    image = imgtool.sign(firmware.demo, "1.1.0")
    protected = boards.tlv_area(SHA256, magic=0x6908)
    covered = image[: boards.content_end(image)] + protected
    covered = boards.patched(covered, 10, struct.pack("<H", len(protected)))
    digest = bytes.fromhex(boards.digest(covered))
    bad = covered + boards.tlv_area(boards.tlv(0x10, digest) if twice else b"")
    refuses(board, old, boards.with_trailer(bad), "malformed")


def test_tlvs_that_reach_into_the_trailers_erase_unit_are_malformed(
    board: Board, old: bytes, firmware: Firmware, imgtool: Imgtool
) -> None:
    size = IMAGE_MAX_SIZE - HEADER_SIZE - 39
    image = with_digest(
        imgtool.sign(firmware.demo, "1.1.0"), content=firmware.demo.ljust(size, b"\x5a")
    )
    assert len(image) == IMAGE_MAX_SIZE + 1
    refuses(board, old, boards.with_trailer(image), "malformed")


def test_a_lying_image_is_erased_even_where_it_is_the_older_one(
    board: Board, old: bytes, new: bytes
) -> None:
    board.write({0: boards.patched(old, 12, struct.pack("<I", 2**32 - 1)), 1: new})
    report = board.report()
    assert report.erased == (Erased(slot=0, reason="malformed"),)
    assert report.started == started(1, new, "1.1.0.0", "trial")


# What is not an image for this board: left alone


@pytest.mark.parametrize(
    ("offset", "field"),
    [
        pytest.param(0, struct.pack("<I", 0x96F3B83C), id="magic-of-mcuboot-1.0"),
        pytest.param(4, struct.pack("<I", 0), id="load-address-0"),
        pytest.param(4, struct.pack("<I", LOAD_ADDRESS + 0x1000), id="load-address-elsewhere"),
        pytest.param(8, struct.pack("<H", 0x20), id="header-of-32"),
        pytest.param(8, struct.pack("<H", 0xFFFF), id="header-of-65535"),
        pytest.param(16, struct.pack("<I", 0), id="no-ram-load"),
        pytest.param(16, struct.pack("<I", 0x30), id="non-bootable"),
        pytest.param(16, struct.pack("<I", 0x24), id="encrypted"),
        pytest.param(16, struct.pack("<I", 0x120), id="rom-fixed"),
        pytest.param(16, struct.pack("<I", 0x220), id="compressed"),
    ],
)
def test_an_image_for_another_boot_program_is_neither_started_nor_erased(
    board: Board, old: bytes, new: bytes, offset: int, field: bytes
) -> None:
    foreign = boards.patched(new, offset, field)
    board.write({1: foreign})
    assert board.report() == HALTED
    board.write({0: old, 1: foreign})
    report = board.report()
    assert report.started == started(0, old, "1.0.0.0", "confirmed")
    assert report.erased == ()
    assert board.slot(1) == foreign


def test_a_flash_of_zeros_or_noise_halts_and_is_not_written(board: Board) -> None:
    for content in (bytes(boards.SLOT_SIZE), bytes(range(256)) * (boards.SLOT_SIZE // 256)):
        board.write({0: content, 1: content})
        assert board.report() == HALTED
        assert board.slot(0) == content


def test_the_boot_program_writes_nothing_outside_the_slots(
    board: Board, old: bytes, new: bytes
) -> None:
    board.write({0: old, 1: boards.flipped(new, HEADER_SIZE)})
    beyond = boards.SLOT_OFFSETS[-1] + boards.SLOT_SIZE
    content = board.flash.read_bytes()[:beyond] + b"\xa5" * (boards.FLASH_SIZE - beyond)
    board.flash.write_bytes(content)
    assert board.report().erased
    assert board.flash.read_bytes()[beyond:] == content[beyond:]


# Compiled by others


def test_gcc_and_zig_make_programs_that_say_and_do_the_same(
    board: Board,
    firmware: Firmware,
    imgtool: Imgtool,
    old: bytes,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    theirs = boards.build(tmp_path_factory.mktemp("gcc") / "out", boards.gcc())
    other_boot = board.boot.with_name("gcc.bin")
    other_boot.write_bytes(theirs.boot)
    other = dataclasses.replace(board, boot=other_boot)
    trial = imgtool.sign(firmware.demo, "1.1.0")
    for slots in (
        {0: old, 1: imgtool.sign(theirs.demo, "1.1.0")},
        {0: old, 1: imgtool.sign(theirs.faulty, "1.1.0")},
        {0: old, 1: boards.flipped(trial, HEADER_SIZE + 3)},
        {0: old, 1: trial[:-1]},
        {},
    ):
        seen = []
        for each in (board, other):
            each.write(slots)
            seen.append((*(each.power_on().uart for _ in range(2)), each.flash.read_bytes()))
        assert seen[0] == seen[1]
