"""Intel HEX means one thing or is refused: every record counts, and nothing stands behind the end.

Intel, Hexadecimal Object File Format Specification, Revision A (1988).
"""

from __future__ import annotations

import itertools

from fwseal.base.errors import Refused
from fwseal.base.reasons import Reason
from fwseal.image.elf import MAX_IMAGE, Segment

RECORD = 16
"""Bytes of data in a record that is written."""

_DATA, _END, _SEGMENT, _START_SEGMENT, _LINEAR, _START_LINEAR = range(6)
_SIZES = {_END: 0, _SEGMENT: 2, _START_SEGMENT: 4, _LINEAR: 2, _START_LINEAR: 4}
_HEAD, _WINDOW = 5, 1 << 16
_SEGMENT_SPACE, _LINEAR_SPACE = 1 << 20, 1 << 32
_LONGEST = 1 + 2 * (_HEAD + 255)


def write(parts: tuple[Segment, ...]) -> bytes:
    """Answer the segments as Intel HEX: 16 bytes a record, upper case, LF line ends."""
    lines, page = [], 0
    for part in parts:
        for at, piece in _pieces(part):
            if at >> 16 != page:
                page = at >> 16
                lines.append(_record(_LINEAR, 0, page.to_bytes(2, "big")))
            lines.append(_record(_DATA, at & 0xFFFF, piece))
    lines.append(_record(_END, 0, b""))
    return "".join(lines).encode("ascii")


def _pieces(part: Segment) -> list[tuple[int, bytes]]:
    """Answer a segment in records, none of which goes past the end of a 64 KiB page."""
    found, at, end = [], part.address, part.address + len(part.data)
    while at < end:
        size = min(RECORD, end - at, _WINDOW - at % _WINDOW)
        found.append((at, part.data[at - part.address : at - part.address + size]))
        at += size
    return found


def _record(kind: int, offset: int, data: bytes) -> str:
    body = bytes([len(data), offset >> 8, offset & 0xFF, kind]) + data
    return f":{body.hex().upper()}{-sum(body) & 0xFF:02X}\n"


def read(data: bytes) -> tuple[Segment, ...]:
    """Answer what a file loads, by address; what lies side by side is one segment.

    Raises `Refused` (malformed, limit-exceeded) with the line: a bad checksum or length, an unknown
    record, no end, anything behind it, a record that wraps around its page or its address space,
    two that overlap.
    """
    found: list[tuple[int, bytes, int]] = []
    base, space, total = 0, _LINEAR_SPACE, 0
    lines = data.splitlines(keepends=True)
    for number, line in enumerate(lines, 1):
        kind, offset, content = _parsed(line, number)
        if kind == _END:
            if number != len(lines):
                raise _malformed("something stands behind the end", number + 1)
            return _joined(found)
        if kind in (_SEGMENT, _LINEAR):
            value = int.from_bytes(content, "big")
            linear = kind == _LINEAR
            base = value << (16 if linear else 4)
            space = _LINEAR_SPACE if linear else _SEGMENT_SPACE
        elif kind == _DATA:
            end = offset + len(content)
            if end > _WINDOW or base + end > space:
                raise _malformed("the record wraps around", number)
            total += len(content)
            if total > MAX_IMAGE:
                raise Refused(
                    Reason.LIMIT_EXCEEDED, f"more than {MAX_IMAGE} bytes", where=f"line {number}"
                )
            found.append((base + offset, content, number))
    raise _malformed("the end is missing", len(lines) + 1)


def _parsed(line: bytes, number: int) -> tuple[int, int, bytes]:
    """Answer type, offset and data of one record."""
    text = line.removesuffix(b"\n").removesuffix(b"\r")
    if len(text) > _LONGEST or not text.startswith(b":"):
        raise _malformed("not a record", number)
    try:
        body = bytes.fromhex(text[1:].decode("ascii"))
    except ValueError:
        raise _malformed("not a record of hexadecimal digits", number) from None
    if len(body) * 2 != len(text) - 1 or len(body) < _HEAD or body[0] != len(body) - _HEAD:
        raise _malformed("the record is not as long as it says", number)
    if sum(body) & 0xFF:
        raise _malformed("the checksum is wrong", number)
    kind, offset, content = body[3], int.from_bytes(body[1:3], "big"), body[4:-1]
    if kind != _DATA:
        if _SIZES.get(kind) != len(content):
            raise _malformed(f"a record of type {kind:02X} and {len(content)} bytes", number)
        if offset:
            raise _malformed("an offset where none belongs", number)
    elif not content:
        raise _malformed("a record without data", number)
    return kind, offset, content


def _joined(found: list[tuple[int, bytes, int]]) -> tuple[Segment, ...]:
    if not found:
        raise Refused(Reason.MALFORMED, "the file loads nothing")
    found.sort()
    for (start, data, _), (following, _, number) in itertools.pairwise(found):
        if start + len(data) > following:
            raise _malformed(f"two records overlap at {following:#x}", number)
    parts: list[tuple[int, list[bytes]]] = []
    end = -1
    for start, data, _ in found:
        if start == end:
            parts[-1][1].append(data)
        else:
            parts.append((start, [data]))
        end = start + len(data)
    return tuple(Segment(address=start, data=b"".join(pieces)) for start, pieces in parts)


def _malformed(message: str, line: int) -> Refused:
    return Refused(Reason.MALFORMED, message, where=f"line {line}")
