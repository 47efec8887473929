"""Where each CBOR item stands: every head is read here, and by nothing else.

The second reader: it takes exactly the bytes that `fwseal.base.cbor` takes (RFC 8949 3, 4.2.1),
shares no decoder with it, and says of each item where it begins and ends.
"""

from __future__ import annotations

import dataclasses
import enum

from fwseal.base.cbor import DEEPEST, DEFAULT_LIMITS, Limits
from fwseal.base.errors import Refused
from fwseal.base.reasons import Reason


class Major(enum.IntEnum):
    """Major types (RFC 8949 3.1)."""

    UNSIGNED = 0
    NEGATIVE = 1
    BYTES = 2
    TEXT = 3
    ARRAY = 4
    MAP = 5
    TAG = 6
    SIMPLE = 7


FALSE, TRUE, NULL = 20, 21, 22
"""The simple values that are read (RFC 8949 3.3)."""

_STRINGS = (Major.BYTES, Major.TEXT)
_EACH = {Major.ARRAY: 1, Major.MAP: 2}
_KEYS = (Major.UNSIGNED, Major.NEGATIVE, Major.BYTES, Major.TEXT, Major.ARRAY)
_FIRST_SIZE, _LAST_SIZE, _INDEFINITE = 24, 27, 31
_INDEFINITES = (*_STRINGS, Major.ARRAY, Major.MAP)
_NO_ITEM = (*range(6), 25, 28, 29, 30, 35, 36, 37, 52, 54, 100, 256, 258, 260, 261, 1004, 43000,
            55799)  # fmt: skip
"""Tags that stand for a Python object in cbor2: refused, whoever allows them."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """One item: its head from `start` to `content`, what it holds from there to `end`.

    `argument` is what the head says: the number, length, count, tag or simple value. `children`
    are the items of an array, the keys and values of a map in turn, or what a tag stands before.
    """

    start: int
    content: int
    end: int
    major: Major
    argument: int
    children: tuple[Span, ...] = ()

    def pairs(self) -> tuple[tuple[Span, Span], ...]:
        """Answer the keys of a map with their values."""
        return tuple(zip(self.children[::2], self.children[1::2], strict=True))


@dataclasses.dataclass(slots=True, kw_only=True)
class _Open:
    """A container that still lacks items."""

    head: Span
    missing: int
    children: list[Span] = dataclasses.field(default_factory=list)


def walk(
    data: bytes, *, tags: frozenset[int] | None = frozenset(), limits: Limits = DEFAULT_LIMITS
) -> Span:
    """Answer where the one item is that the bytes are; None for tags allows those of any number.

    Raises `Refused` for exactly the bytes that `cbor.decode` refuses, with the offset:
    limit-exceeded, malformed, not-deterministic. Of several faults it gives the first in the
    bytes, which need not be the one that decode gives.
    """
    if len(data) > limits.bytes:
        raise Refused(
            Reason.LIMIT_EXCEEDED, f"{len(data)} bytes of CBOR where {limits.bytes} are allowed"
        )
    offset, items = 0, 0
    around: list[_Open] = []
    while True:
        items += 1
        if items > limits.items or len(around) > min(limits.depth, DEEPEST):
            raise Refused(
                Reason.LIMIT_EXCEEDED,
                f"more than {limits.items} CBOR items, or nested deeper than {limits.depth}",
                where=str(offset),
            )
        head = _item(data, offset, tags)
        offset = head.end
        if _count(head):
            around.append(_Open(head=head, missing=_count(head)))
            continue
        whole: Span | None = head
        while whole is not None and around:
            whole = _closed(data, around, whole)
        if whole is not None:
            if offset < len(data):
                raise _malformed("bytes follow the CBOR item", offset)
            return whole


def _count(span: Span) -> int:
    """Answer how many items the head of a container calls for."""
    if span.major is Major.TAG:
        return 1
    return span.argument * _EACH.get(span.major, 0)


def _closed(data: bytes, around: list[_Open], span: Span) -> Span | None:
    """Put an item into the container around it; answer that container when it is whole."""
    holder = around[-1]
    if holder.head.major is Major.MAP and len(holder.children) % 2 == 0:
        _key(data, holder, span)
    holder.children.append(span)
    holder.missing -= 1
    if holder.missing:
        return None
    around.pop()
    return dataclasses.replace(holder.head, end=span.end, children=tuple(holder.children))


def _key(data: bytes, holder: _Open, key: Span) -> None:
    _key_type(key)
    if not holder.children:
        return
    last = holder.children[-2]
    one, other = data[last.start : last.end], data[key.start : key.end]
    if one == other:
        raise _malformed("a key stands twice in a map", key.start)
    if one > other:
        # RFC 8949 4.2.1: keys stand in the bytewise order of their encodings.
        raise Refused(Reason.NOT_DETERMINISTIC, "a key is out of order", where=str(key.start))


def _key_type(key: Span) -> None:
    if key.major not in _KEYS:
        raise _malformed(f"a {key.major.name.lower()} may not be a map key", key.start)
    for part in key.children:
        _key_type(part)


def _item(data: bytes, start: int, tags: frozenset[int] | None) -> Span:
    """Answer the item at an offset; of a container, its head alone."""
    if start >= len(data):
        raise _malformed("the bytes end where an item should be", start)
    major, argument = Major(data[start] >> 5), data[start] & 0x1F
    if argument == _INDEFINITE and major in _INDEFINITES:
        raise Refused(Reason.NOT_DETERMINISTIC, "an indefinite length", where=str(start))
    if argument > _LAST_SIZE:
        raise _malformed("a head that means nothing", start)
    if major is Major.SIMPLE and argument not in (FALSE, TRUE, NULL):
        raise _malformed("a float, or a simple value but false, true and null", start)
    argument, content = _argument(data, start)
    if major is Major.TAG and (argument in _NO_ITEM or not (tags is None or argument in tags)):
        raise _malformed(f"tag {argument} may not stand here", start)
    end = content + (argument if major in _STRINGS else 0)
    if end > len(data):
        raise _malformed("the bytes end inside a string", start)
    if major is Major.TEXT:
        try:
            data[content:end].decode()
        except UnicodeDecodeError as error:
            raise _malformed("a text that is not UTF-8", content + error.start) from None
    return Span(start=start, content=content, end=end, major=major, argument=argument)


def _argument(data: bytes, start: int) -> tuple[int, int]:
    """Answer what a head says, and where it ends."""
    argument, content = data[start] & 0x1F, start + 1
    if argument < _FIRST_SIZE:
        return argument, content
    size = 1 << (argument - _FIRST_SIZE)
    end = content + size
    if end > len(data):
        raise _malformed("the bytes end inside a head", start)
    argument = int.from_bytes(data[content:end], "big")
    if argument < (_FIRST_SIZE if size == 1 else 1 << (4 * size)):
        # RFC 8949 4.2.1: the shortest head that holds the argument.
        raise Refused(Reason.NOT_DETERMINISTIC, "a head that is too long", where=str(start))
    return argument, end


def _malformed(message: str, offset: int) -> Refused:
    return Refused(Reason.MALFORMED, message, where=str(offset))
