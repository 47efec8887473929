"""What the linker made: the same flat bytes as objcopy's, inside the memory the device has."""

from __future__ import annotations

import contextlib
import io
import struct
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import boards
from formats.refusals import misuse, reason_of, refused
from fwseal.base.errors import Refused
from fwseal.base.reasons import REASONS, Reason
from fwseal.base.tables import Table
from fwseal.image import elf, intelhex, memory_map
from fwseal.image.elf import Segment
from fwseal.image.layout_header import c_header
from fwseal.image.mcuboot import Trailer
from fwseal.image.memory_map import Region
from fwseal.image.stream import ByteStream
from needs import need_module, need_program

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module", params=["gcc", "zig"])
def elves(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Answer the boot program and the demo, as two compilers make them."""
    cc = boards.gcc() if request.param == "gcc" else boards.zig()
    out = tmp_path_factory.mktemp(request.param) / "out"
    boards.make(boards.TARGET, out, cc)
    boards.make(boards.DEMO, out, cc, VERSION="1.1.0", BUILD_ID="1a2b3c4d5e6f")
    found = sorted(out.glob("*.elf"))
    assert [path.name for path in found] == ["boot.elf", "demo-plc.elf"]
    return found


def objcopy(path: Path, kind: str) -> bytes:
    out = path.with_suffix(f".{kind}")
    program = need_program("arm-none-eabi-objcopy")
    subprocess.run([program, "-O", kind, path, out], check=True, timeout=60)
    return out.read_bytes()


def test_the_flat_binary_is_what_objcopy_writes(elves: list[Path]) -> None:
    for path in elves:
        made = elf.flat(elf.segments(path.read_bytes()))
        assert made == objcopy(path, "binary")
        assert made == boards.flat(path.read_bytes())
        assert len(made) > 512


def test_intel_hex_reads_back_as_the_flat_binary_and_as_objcopys(elves: list[Path]) -> None:
    reader = need_module("intelhex")
    for path in elves:
        parts = elf.segments(path.read_bytes())
        ours, theirs = (
            reader.IntelHex(io.StringIO(text.decode()))
            for text in (intelhex.write(parts), objcopy(path, "ihex"))
        )
        assert ours.tobinstr() == elf.flat(parts)
        assert ours.minaddr() == parts[0].address
        # objcopy leaves out what only aligns a section; the flat binary has zeros there.
        theirs.padding = 0
        assert ours.tobinstr() == theirs.tobinstr()
        assert (ours.minaddr(), ours.maxaddr()) == (theirs.minaddr(), theirs.maxaddr())


def test_intel_hex_has_lf_line_ends_and_no_start_address(elves: list[Path]) -> None:
    for path in elves:
        text = intelhex.write(elf.segments(path.read_bytes()))
        lines = text.decode("ascii").split("\n")
        assert lines[-2:] == [":00000001FF", ""]
        assert b"\r" not in text
        assert {"00", "01"} <= {line[7:9] for line in lines[:-1]} <= {"00", "01", "04"}


def test_the_linked_programs_lie_where_the_layout_says(elves: list[Path]) -> None:
    layout = memory_map.layout(Table(boards.LAYOUT, where="layout.toml"))
    boot, demo = (elf.segments(path.read_bytes()) for path in elves)
    memory_map.check_image(boot, where=layout.code, ram=layout.ram)
    start = layout.load_address + layout.header_size
    memory_map.check_image(demo, where=Region(origin=start, size=layout.max_image), ram=layout.ram)
    with misuse():
        memory_map.check_image(demo, where=layout.code, ram=layout.ram)


# ELF files written here, field by field

PT_LOAD, PT_NOTE = 1, 4


def program(*loads: tuple[int, bytes], kind: int = PT_LOAD, **lies: int) -> bytes:
    """Answer an ELF file of these segments; `lies` change fields of its heads."""
    said = {
        "class": 1, "data": 1, "machine": 40, "extra": 0, "count": len(loads), "type": 2,
        "memory": 0, **lies,
    }  # fmt: skip
    offset = 52 + 32 * len(loads)
    heads, content = b"", b""
    for address, data in loads:
        size = len(data) + said["extra"]
        place, memory = offset + len(content), size + said["memory"]
        heads += struct.pack("<8I", kind, place, 0x1000, address, size, memory, 5, 4)
        content += data
    ident = b"\x7fELF" + bytes([said["class"], said["data"], 1]) + bytes(9)
    rest = struct.pack(
        "<HHIIIIIHHHHHH",
        said["type"],
        said["machine"],
        1,
        0,
        52,
        0,
        0,
        52,
        32,
        said["count"],
        40,
        0,
        0,
    )
    return ident + rest + heads + content


START = 'int answer = 42; const char name[] = "riscv"; void start(void) { answer++; for (;;) {} }'


def linked(folder: Path, program: str, *flags: str) -> Path:
    """Answer a small program, as a real compiler makes it."""
    (folder / "start.c").write_text(START, encoding="utf-8")
    words = [need_program(program), *flags, "-nostdlib", "-Wl,-e,start", "-o", "start.elf"]
    subprocess.run([*words, "start.c"], cwd=folder, check=True, timeout=60)
    return folder / "start.elf"


@pytest.mark.parametrize("bits", [("rv32imac", "ilp32"), ("rv64imac", "lp64")], ids=["32", "64"])
def test_a_risc_v_program_is_what_objcopy_writes(tmp_path: Path, bits: tuple[str, str]) -> None:
    flags = (f"-march={bits[0]}", f"-mabi={bits[1]}", "-mcmodel=medany", "-Wl,-Ttext=0x80000000")
    path = linked(tmp_path, "riscv64-unknown-elf-gcc", *flags)
    program = need_program("riscv64-unknown-elf-objcopy")
    subprocess.run([program, "-O", "binary", path, tmp_path / "flat"], check=True, timeout=60)
    # The head of the file is in its first segment, and in no section.
    assert elf.flat(elf.segments(path.read_bytes())).endswith((tmp_path / "flat").read_bytes())
    assert not elf.starts_with_vectors(path.read_bytes())


@pytest.mark.parametrize(
    ("architecture", "vectors"),
    [("armv7-m", True), ("armv6-m", True), ("armv7-a", False), ("armv4t", False)],
)
def test_only_a_microcontroller_starts_with_vectors(
    tmp_path: Path, architecture: str, vectors: bool
) -> None:
    thumb = ("-mthumb",) if vectors else ()
    path = linked(tmp_path, "arm-none-eabi-gcc", f"-march={architecture}", *thumb)
    assert elf.starts_with_vectors(path.read_bytes()) is vectors


def test_an_arm_program_that_names_no_architecture_must_start_with_vectors() -> None:
    assert elf.starts_with_vectors(program((0, b"\0" * 64)))


@pytest.fixture(scope="module")
def microcontroller(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = linked(tmp_path_factory.mktemp("m"), "arm-none-eabi-gcc", "-mcpu=cortex-m3")
    return path.read_bytes()


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_attributes_that_lie_are_read_or_refused(
    microcontroller: bytes, data: st.DataObject
) -> None:
    whole = bytearray(microcontroller)
    at = whole.index(b"aeabi\0") - 5
    for _ in range(data.draw(st.integers(1, 4))):
        whole[at + data.draw(st.integers(0, 44))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(Refused):
        elf.starts_with_vectors(bytes(whole))


def attributes(*scopes: bytes) -> bytes:
    """Answer build attributes of several vendors, each with its name and scope."""
    return b"A" + b"".join((4 + len(one)).to_bytes(4, "little") + one for one in scopes)


def scope(tags: bytes) -> bytes:
    """Answer attributes of a whole file."""
    return b"aeabi\0\x01" + (5 + len(tags)).to_bytes(4, "little") + tags


def of_arm(said: bytes) -> bytes:
    """Answer an Arm program of two sections: none, and its attributes."""
    plain = program((0, b"\0" * 64))
    sections = bytes(40) + struct.pack(
        "<10I", 0, 0x70000003, 0, 0, len(plain), len(said), 0, 0, 1, 0
    )
    head = bytearray(plain)
    head[32:36] = struct.pack("<I", len(plain) + len(said))
    head[46:52] = struct.pack("<3H", 40, 2, 0)
    return bytes(head) + said + sections


@pytest.mark.parametrize(
    ("said", "vectors"),
    [
        (attributes(scope(b"\x07M")), True),
        (attributes(scope(b"\x07A")), False),
        (attributes(scope(b"\x05cortex-m3\0\x07M")), True),
        (attributes(scope(b"\x20\x01gnu\0\x42\x81\x01\x07M")), True),
        (attributes(b"other\0anything", scope(b"\x07M")), True),
        (attributes(b"other\0anything"), False),
        (attributes(scope(b"\x06\x0a")), False),
        (b"A", False),
    ],
)
def test_the_architecture_profile_is_found_among_all_attributes(said: bytes, vectors: bool) -> None:
    assert elf.starts_with_vectors(of_arm(said)) is vectors


@pytest.mark.parametrize(
    "said",
    [
        b"A\0\0\0\0other\0",
        attributes(scope(b"\x07")),
        attributes(scope(b"\x05cortex")),
        attributes(scope(b"\x07\x80")),
    ],
)
def test_attributes_that_end_early_or_never_are_refused(said: bytes) -> None:
    with refused(Reason.MALFORMED):
        elf.starts_with_vectors(of_arm(said))


def test_an_image_without_vectors_must_start_where_its_region_does() -> None:
    where, ram = Region(origin=0x100, size=64), Region(origin=0x2000, size=64)
    part = Segment(address=0x100, data=bytes(8))
    memory_map.check_image((part,), where=where, ram=ram, vectors=False)
    late = Segment(address=0x104, data=bytes(8))
    with misuse():
        memory_map.check_image((late,), where=where, ram=ram, vectors=False)


def test_segments_are_ordered_by_physical_address_and_gaps_are_zero() -> None:
    parts = elf.segments(program((0x20, b"behind"), (0x10, b"first"), (0x18, b"")))
    assert parts == (Segment(address=0x10, data=b"first"), Segment(address=0x20, data=b"behind"))
    assert elf.flat(parts) == b"first" + bytes(11) + b"behind"


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        pytest.param(b"", Reason.MALFORMED, id="nothing"),
        pytest.param(b"\x7fELF", Reason.MALFORMED, id="a magic alone"),
        pytest.param(b"MZ" + bytes(200), Reason.MALFORMED, id="another format"),
        pytest.param(program((0, b"code"))[:51], Reason.MALFORMED, id="cut in the head"),
        pytest.param(program((0, b"code"))[:60], Reason.MALFORMED, id="cut in a program head"),
        pytest.param(program((0, b"code"))[:-1], Reason.MALFORMED, id="cut in a segment"),
        pytest.param(program((0, b"code"), extra=1), Reason.MALFORMED, id="longer than the file"),
        pytest.param(program((0, b"code")) + b"x", Reason.MALFORMED, id="bytes behind the end"),
        pytest.param(program((0, b"code"), type=1), Reason.MALFORMED, id="an object file"),
        pytest.param(program((0, b"code"), type=3), Reason.MALFORMED, id="a shared library"),
        pytest.param(
            program((0, b"code"), memory=-1), Reason.MALFORMED, id="less memory than data"
        ),
        pytest.param(program((0xFFFFFFFE, b"code")), Reason.MALFORMED, id="wraps around"),
        pytest.param(
            program((0xFFFFFFF0, b"code"), memory=13), Reason.MALFORMED, id="memory wraps around"
        ),
        pytest.param(program(), Reason.MALFORMED, id="no segment"),
        pytest.param(program((0, b"")), Reason.MALFORMED, id="nothing in the segment"),
        pytest.param(program((0, b"note"), kind=PT_NOTE), Reason.MALFORMED, id="nothing loaded"),
        pytest.param(program((0, b"code"), (3, b"data")), Reason.MALFORMED, id="overlap"),
        pytest.param(program((0, b"code"), (0, b"code")), Reason.MALFORMED, id="twice"),
        pytest.param(program((0, b"code"), machine=62), Reason.UNSUPPORTED, id="x86-64"),
        pytest.param(program((0, b"code"), machine=8), Reason.UNSUPPORTED, id="MIPS"),
    ],
)
def test_a_file_that_is_no_whole_arm_program_is_refused(data: bytes, reason: Reason) -> None:
    with refused(reason):
        elf.segments(data)


def test_segments_that_span_more_than_the_limit_are_refused() -> None:
    far = elf.segments(program((0, b"a"), (elf.MAX_IMAGE, b"b")))
    with refused(Reason.LIMIT_EXCEEDED):
        elf.flat(far)
    near = elf.segments(program((0, b"a"), (elf.MAX_IMAGE - 1, b"b")))
    assert len(elf.flat(near)) == elf.MAX_IMAGE


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_a_damaged_elf_file_is_read_or_refused_and_nothing_else(data: st.DataObject) -> None:
    made = bytearray(program((0x1000, b"first"), (0x2000, b"second")))
    for _ in range(data.draw(st.integers(1, 4))):
        made[data.draw(st.integers(0, len(made) - 1))] = data.draw(st.integers(0, 255))
    changed = bytes(made[: data.draw(st.integers(0, len(made)))])
    for damaged in (bytes(made), changed):
        reason = reason_of(lambda damaged=damaged: elf.segments(damaged))
        assert reason is None or reason in REASONS


def test_a_stream_answers_as_a_file_in_memory_does() -> None:
    ours, theirs = ByteStream(b"0123456789"), io.BytesIO(b"0123456789")
    for offset, whence, size in ((3, 0, 2), (1, 1, 3), (-2, 2, 9), (0, 0, -1), (99, 0, 1)):
        assert ours.seek(offset, whence) == theirs.seek(offset, whence)
        assert ours.read(size) == theirs.read(size)
        assert ours.tell() == theirs.tell()


# The memory map

CODE, RAM = Region(origin=0, size=0x100), Region(origin=0x2000, size=0x100)


def vectors(stack: int = 0x2100, reset: int = 0x41, *, address: int = 0) -> Segment:
    return Segment(address=address, data=struct.pack("<II", stack, reset) + bytes(0x78))


def check(*parts: Segment) -> None:
    memory_map.check_image(parts, where=CODE, ram=RAM)


def test_an_image_that_starts_with_a_sane_vector_table_may_be_built() -> None:
    check(vectors())
    check(Segment(address=0x80, data=bytes(0x80)), vectors())
    check(vectors(stack=0x2008, reset=0xFF))


@pytest.mark.parametrize(
    "parts",
    [
        pytest.param((vectors(stack=0x2000),), id="stack at the start of RAM"),
        pytest.param((vectors(stack=0x2108),), id="stack behind RAM"),
        pytest.param((vectors(stack=0),), id="stack of zero"),
        pytest.param((vectors(stack=0x2084),), id="stack not aligned"),
        pytest.param((vectors(reset=0x40),), id="reset vector even"),
        pytest.param((vectors(reset=0),), id="reset vector zero"),
        pytest.param((vectors(reset=0x101),), id="reset vector behind the region"),
        pytest.param((vectors(reset=0x2001),), id="reset vector in RAM"),
        pytest.param((vectors(address=8),), id="not at the start"),
        pytest.param((vectors(address=0x1000),), id="outside"),
        pytest.param((vectors(), Segment(address=0xFC, data=bytes(5))), id="a byte outside"),
        pytest.param((vectors(), Segment(address=0x2000, data=b"x")), id="data loaded into RAM"),
        pytest.param((Segment(address=0, data=b"\0\x21"),), id="half a vector"),
    ],
)
def test_an_image_that_cannot_work_is_misuse(parts: tuple[Segment, ...]) -> None:
    with misuse():
        check(*parts)


def test_an_image_of_exactly_the_limit_fits_and_one_byte_more_does_not() -> None:
    layout = memory_map.layout(Table(boards.LAYOUT, where="layout.toml"))
    assert layout.max_image == boards.IMAGE_MAX_SIZE
    memory_map.check_fit(layout.max_image, layout.max_image)
    with refused(Reason.STORAGE_FULL):
        memory_map.check_fit(layout.max_image + 1, layout.max_image)


def test_the_layout_is_what_the_file_says() -> None:
    layout = memory_map.layout(Table(boards.LAYOUT, where="layout.toml"))
    assert [slot.origin - layout.flash.origin for slot in layout.slots] == boards.SLOT_OFFSETS
    assert {slot.size for slot in layout.slots} == {boards.SLOT_SIZE}
    assert layout.trailer == Trailer(slot_size=boards.SLOT_SIZE, align=8)
    assert layout.slots[0].end == layout.slots[1].origin


FLASH = boards.LAYOUT["memory"]["flash"]["origin"]


@pytest.mark.parametrize(
    ("section", "changes"),
    [
        ("slots", {"origins": []}),
        ("slots", {"origins": "0x21000000"}),
        ("slots", {"origins": [True]}),
        ("slots", {"origins": [FLASH - 0x1000]}),
        ("slots", {"origins": [-1]}),
        ("slots", {"origins": [FLASH, FLASH + 0xFFF000]}),
        ("slots", {"origins": [FLASH, FLASH]}),
        ("slots", {"origins": [FLASH + 0x1000, FLASH]}),
        ("slots", {"align": 0}),
        ("slots", {"align": 4}),
        ("slots", {"align": 64}),
        ("slots", {"size": 0x2000000}),
        ("slots", {"size": 0x1000}),
        ("slots", {"size": 0}),
        ("slots", {"erase-size": 0}),
        ("slots", {"erase-size": 31}),
        ("slots", {"erase-size": boards.SLOT_SIZE}),
        ("slots", {"size": -1}),
        ("image", {"load-address": "here"}),
        ("memory", {"ram": {"origin": 0}}),
        ("memory", {"ram": {"origin": 0, "size": 1, "typo": 1}}),
    ],
)
def test_a_layout_that_cannot_be_is_misuse(section: str, changes: dict[str, Any]) -> None:
    changed = {**boards.LAYOUT, section: {**boards.LAYOUT[section], **changes}}
    with misuse():
        memory_map.layout(Table(changed, where="layout.toml"))


def test_layout_h_is_what_layout_toml_gives() -> None:
    assert (boards.TARGET / "layout.h").read_text() == c_header(boards.LAYOUT)


@pytest.mark.parametrize("align", [8, 16, 32])
def test_layout_h_and_the_host_tools_agree_on_the_trailer(align: int) -> None:
    slots = {**boards.LAYOUT["slots"], "align": align}
    layout = {**boards.LAYOUT, "slots": slots}
    header = c_header(layout)
    trailer = memory_map.layout(Table(layout, where="layout")).trailer
    for name, number in (
        ("MAGIC_OFFSET", trailer.magic_offset),
        ("IMAGE_OK_OFFSET", trailer.image_ok_offset),
        ("COPY_DONE_OFFSET", trailer.copy_done_offset),
    ):
        assert f"TRAILER_{name} ".ljust(25) + f"U({number:#010x})" in header
    assert ", ".join(f"{byte:#04x}" for byte in trailer.magic) in header


def test_a_layout_with_an_unknown_key_has_no_header() -> None:
    for wrong in (
        {**boards.LAYOUT, "typo": {}},
        {**boards.LAYOUT, "boot": {**boards.LAYOUT["boot"], "typo": 1}},
    ):
        with misuse():
            c_header(wrong)
