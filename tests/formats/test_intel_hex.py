"""An Intel HEX file means one thing, to us and to two other readers, or it is refused by line."""

from __future__ import annotations

import io
import subprocess
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import elves
from formats.refusals import reason_of
from fwseal.base.errors import Refused
from fwseal.base.reasons import Reason
from fwseal.image import elf, intelhex
from fwseal.image.elf import Segment
from needs import need_module, need_program

if TYPE_CHECKING:
    from pathlib import Path

END = ":00000001FF\n"


def record(kind: int, offset: int, data: bytes) -> str:
    """Answer one record with its right checksum."""
    body = bytes([len(data), offset >> 8, offset & 0xFF, kind]) + data
    return f":{body.hex().upper()}{-sum(body) & 0xFF:02X}\n"


def read(*lines: str) -> tuple[Segment, ...]:
    return intelhex.read("".join(lines).encode("ascii"))


@st.composite
def programs(draw: st.DrawFn) -> tuple[Segment, ...]:
    """Answer segments that do not touch, some at the ends of pages and of the address space."""
    starts = draw(
        st.lists(
            st.sampled_from([0, 1, 0xFFF8, 0x10000, 0x2FFFF, 0x08000000, 0xFFFFFF00]),
            min_size=1, max_size=4, unique=True,
        )
    )  # fmt: skip
    parts, end = [], -1
    for start in sorted(starts):
        if start > end:
            data = draw(st.binary(min_size=1, max_size=40))
            parts.append(Segment(address=start, data=data))
            end = start + len(data)
    return tuple(parts)


@given(programs())
def test_whatever_is_written_is_read_back_the_same(parts: tuple[Segment, ...]) -> None:
    assert intelhex.read(intelhex.write(parts)) == parts


@settings(max_examples=60, deadline=None)
@given(programs())
def test_another_reader_sees_the_same_bytes_at_the_same_addresses(
    parts: tuple[Segment, ...],
) -> None:
    other = need_module("intelhex").IntelHex(io.StringIO(intelhex.write(parts).decode()))
    assert other.todict() == {
        part.address + at: value for part in parts for at, value in enumerate(part.data)
    }


@settings(max_examples=60, deadline=None)
@given(programs(), st.integers(1, 255))
def test_what_another_writer_writes_is_read_the_same(
    parts: tuple[Segment, ...], width: int
) -> None:
    other = need_module("intelhex").IntelHex()
    for part in parts:
        other.frombytes(part.data, offset=part.address)
    out = io.StringIO()
    other.write_hex_file(out, byte_count=width)
    assert intelhex.read(out.getvalue().encode()) == parts


def test_what_objcopy_writes_is_read_as_the_flat_binary(tmp_path: Path) -> None:
    program = need_program("arm-none-eabi-objcopy")
    data = bytes(range(256)) * 600
    (tmp_path / "in.bin").write_bytes(data)
    for start, kind in ((0x0800FFF0, "ihex"), (0, "ihex"), (0xF0000, "ihex")):
        words = [program, "-I", "binary", "-O", kind, f"--change-addresses={start}"]
        subprocess.run([*words, "in.bin", "out.hex"], cwd=tmp_path, check=True, timeout=60)
        found = intelhex.read((tmp_path / "out.hex").read_bytes())
        assert found == (Segment(address=start, data=data),)


def test_both_kinds_of_extended_address_are_understood() -> None:
    assert read(record(2, 0, b"\x10\x00"), record(0, 2, b"a"), END) == (
        Segment(address=0x10002, data=b"a"),
    )
    assert read(record(4, 0, b"\x20\x00"), record(0, 2, b"a"), END) == (
        Segment(address=0x20000002, data=b"a"),
    )


def test_records_in_any_order_with_any_line_ends_and_start_addresses_are_read() -> None:
    lines = (record(0, 4, b"end."), record(3, 0, bytes(4)), record(5, 0, bytes(4)))
    text = "".join((*lines, record(0, 0, b"abcd").lower(), END)).replace("\n", "\r\n")
    assert intelhex.read(text.encode()) == (Segment(address=0, data=b"abcdend."),)


A, B = record(0, 0, b"abcd"), record(0, 4, b"efgh")


@pytest.mark.parametrize(
    ("lines", "where"),
    [
        ((), "line 1"),
        ((A,), "line 2"),
        ((A, END, "\n"), "line 3"),
        ((A, END, A), "line 3"),
        ((A, END, END), "line 3"),
        ((A, "\n", END), "line 2"),
        ((" ", A, END), "line 1"),
        ((A.replace(":", ";"), END), "line 1"),
        ((A[:-3] + "00\n", END), "line 1"),
        ((A[:-2] + "\n", END), "line 1"),
        ((A[:-1] + " \n", END), "line 1"),
        ((A.replace("61", "6 1"), END), "line 1"),
        ((A.replace("61", "6G"), END), "line 1"),
        ((":04\n", END), "line 1"),
        ((":0500000061626364F1\n", END), "line 1"),
        ((record(0, 0, b""), END), "line 1"),
        ((record(6, 0, b""), END), "line 1"),
        ((record(1, 0, b"a"),), "line 1"),
        ((record(1, 4, b""),), "line 1"),
        ((record(4, 0, b"\0"), END), "line 1"),
        ((record(4, 2, b"\0\0"), END), "line 1"),
        ((record(2, 0, bytes(3)), END), "line 1"),
        ((record(5, 0, bytes(2)), END), "line 1"),
        ((A, B, record(0, 3, b"x"), END), "line 3"),
        ((A, A, END), "line 2"),
        ((record(0, 0xFFFE, b"abc"), END), "line 1"),
        ((record(2, 0, b"\xff\xff"), record(0, 0xE, b"abc"), END), "line 2"),
        ((record(4, 0, b"\xff\xff"), record(0, 0xFFFE, b"abc"), END), "line 2"),
        ((A, ":00000001FE\n"), "line 2"),
    ],
)
def test_what_says_two_things_or_none_is_refused_with_its_line(
    lines: tuple[str, ...], where: str
) -> None:
    with pytest.raises(Refused) as caught:
        read(*lines)
    assert (caught.value.reason, caught.value.where) == (Reason.MALFORMED, where)


def test_a_file_that_loads_nothing_is_refused() -> None:
    with pytest.raises(Refused, match="loads nothing"):
        read(END)


def test_more_than_an_image_may_have_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intelhex, "MAX_IMAGE", 7)
    with pytest.raises(Refused) as caught:
        read(A, B, END)
    assert (caught.value.reason, caught.value.where) == (Reason.LIMIT_EXCEEDED, "line 2")


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_no_byte_can_be_changed_and_read_as_something_else(data: st.DataObject) -> None:
    good = (A + B + END).encode()
    changed = bytearray(good)
    changed[data.draw(st.integers(0, len(good) - 1))] = data.draw(st.integers(0, 255))
    reason = reason_of(lambda: intelhex.read(bytes(changed)))
    if reason is None:  # the same digits in the other case, or a carriage return for a line's end
        assert intelhex.read(bytes(changed)) == intelhex.read(good)


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    assert reason_of(lambda: intelhex.read(data)) in (
        None, Reason.MALFORMED, Reason.LIMIT_EXCEEDED,
    )  # fmt: skip


def test_an_elf_file_and_its_hex_say_the_same() -> None:

    parts = elf.segments(elves.elf((elves.LOAD, elves.vectors(size=70_000))))
    assert intelhex.read(intelhex.write(parts)) == parts
