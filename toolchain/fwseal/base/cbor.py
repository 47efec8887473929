"""Strict CBOR: one value has one encoding, and only that encoding is read.

cbor2 decides what the bytes say; this module decides what may be said (RFC 8949 4.2.1) and refuses
every input for which `encode(decode(x)) == x` does not hold.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NoReturn

import cbor2

from fwseal.base.errors import Refused
from fwseal.base.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Callable

Key = int | str | bytes | tuple["Key", ...]
Value = (
    int | str | bytes | bool | None | tuple["Value", ...] | Mapping["Key", "Value"] | cbor2.CBORTag
)

MAP = dict
"""What `decode` answers for a map; asking for the abstract `Mapping` costs ten times as much."""

MAX_DEPTH = 16
MAX_BYTES = 65536
MAX_ITEMS = 10_000
"""Defaults; a profile may lower or raise them per document."""
DEEPEST = 100
"""No limit on depth goes further, whatever a profile says: cbor2 reads by recursion."""

_BUILT_IN_TAGS = (
    *range(6), 25, 28, 29, 30, 35, 36, 37, 52, 54, 100, 256, 258, 260, 261, 1004, 43000, 55799,
)  # fmt: skip


_LEAVES = frozenset({int, bytes, str, bool, type(None)})
_INTEGERS = frozenset({int})
_FIRST_SIZE, _LAST_SIZE, _INDEFINITE = 24, 27, 31
_STRINGS, _ARRAY, _MAP, _TAG = (2, 3), 4, 5, 6
_WITH_LENGTH = (*_STRINGS, _ARRAY, _MAP)
"""Additional information and major types as RFC 8949 3 numbers them."""


class _NotPlain(cbor2.CBORDecodeError):
    """A tag that cbor2 would turn into a Python object."""


class _Disorder(Exception):
    """The keys of a map are not in bytewise order."""


def _refuse_tag(_content: object, _immutable: object) -> NoReturn:
    raise _NotPlain("a tag that no SUIT or COSE structure here uses")


_SEMANTIC: Mapping[int, Callable[[Any, bool], Any]] = dict.fromkeys(_BUILT_IN_TAGS, _refuse_tag)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much of a document is read before it is refused.

    `bytes` is its size; `items` counts every item, keys, containers and tags included; `depth` is
    how many arrays, maps and tags may stand around one item, so an empty container adds none.
    """

    bytes: int = MAX_BYTES
    depth: int = MAX_DEPTH
    items: int = MAX_ITEMS


DEFAULT_LIMITS = Limits()


def encode(value: Value) -> bytes:
    """Answer the deterministic encoding of the value (RFC 8949 4.2.1, bytewise map order)."""
    return cbor2.dumps(_ordered(value))


def _ordered(value: Value) -> object:
    # cbor2's own canonical mode sorts keys by length first (RFC 7049); here order is bytewise.
    if isinstance(value, Mapping):
        return {key: _ordered(value[key]) for key in sorted(value, key=encode)}
    if isinstance(value, tuple):
        return tuple(_ordered(item) for item in value)
    if isinstance(value, cbor2.CBORTag):
        return cbor2.CBORTag(value.tag, _ordered(value.value))
    return value


def decode(
    data: bytes, *, tags: frozenset[int] = frozenset(), limits: Limits = DEFAULT_LIMITS
) -> Value:
    """Answer the one value the bytes encode: tuples, mappings, and tags only from `tags`.

    Raises `Refused`: limit-exceeded past a limit, malformed for bytes that are not one CBOR item
    of the types in `Value`, not-deterministic for any other encoding of such an item.
    """
    # An item has one byte or more: as many bytes as items are allowed are never too many items.
    if len(data) > limits.items or len(data) > limits.bytes:
        _bounded(data, limits)
    tag = _leading_tag(data, tags)
    content = data if tag is None else data[_head_size(tag) :]
    try:
        value = cbor2.loads(
            content,
            allow_indefinite=False,
            allow_duplicate_keys=False,
            max_depth=min(limits.depth, DEEPEST) - (tag is not None),
            semantic_decoders=_SEMANTIC,
        )
    except (cbor2.CBORDecodeError, TypeError, ValueError, OverflowError) as error:
        _bounded(data, limits)  # what cbor2 says of a limit is words, and an attacker's may be too
        raise Refused(Reason.MALFORMED, f"not CBOR as allowed here: {_one_line(error)}") from None
    before = len(data) - len(content)
    try:
        checked = _plain(value, tags)
    except _Disorder:
        raise _another_encoding(value, content, before) from None
    # cbor2 keeps the keys of a map in the order it read them in, and writes them in that order.
    if cbor2.dumps(value) != content:
        raise _another_encoding(value, content, before)
    return checked if tag is None else cbor2.CBORTag(tag, checked)


def _leading_tag(data: bytes, tags: frozenset[int]) -> int | None:
    """Answer the tag that a document begins with, if it is allowed and in its shortest form.

    cbor2 makes the content of a tag immutable, which costs as much as all else together.
    """
    if not tags or not data or data[0] >> 5 != _TAG:
        return None
    argument = data[0] & 0x1F
    number = argument if argument < _FIRST_SIZE else int.from_bytes(data[1:2], "big")
    shortest = argument < _FIRST_SIZE or (argument == _FIRST_SIZE and number >= _FIRST_SIZE)
    return number if shortest and number in tags and number not in _SEMANTIC else None


def _head_size(number: int) -> int:
    return 1 if number < _FIRST_SIZE else 2


def _another_encoding(value: Value, content: bytes, before: int) -> Refused:
    """Answer the refusal of `content`, which stands behind so many bytes of a tag."""
    again = encode(value)
    if content.startswith(again):
        where = str(before + len(again))
        return Refused(Reason.MALFORMED, "bytes follow the CBOR item", where=where)
    return Refused(
        Reason.NOT_DETERMINISTIC,
        "the encoding is not deterministic",
        where=str(before + _first_difference(again, content)),
    )


def _bounded(data: bytes, limits: Limits) -> None:
    """Refuse what is past a limit, before cbor2 makes an object of every item.

    It reads heads alone, and leaves off at any head that cbor2 refuses.
    """
    if len(data) > limits.bytes:
        raise Refused(
            Reason.LIMIT_EXCEEDED, f"{len(data)} bytes of CBOR where {limits.bytes} are allowed"
        )
    offset, items = 0, 0
    missing = [1]  # for each container around the offset: how many items it still lacks
    while missing:
        if not missing[-1]:
            missing.pop()
            continue
        missing[-1] -= 1
        items += 1
        if items > limits.items or len(missing) > min(limits.depth, DEEPEST) + 1:
            raise Refused(
                Reason.LIMIT_EXCEEDED,
                f"more than {limits.items} CBOR items, or nested deeper than {limits.depth}",
                where=str(offset),
            )
        if offset >= len(data):
            return
        major, argument = data[offset] >> 5, data[offset] & 0x1F
        if argument == _INDEFINITE and major in _WITH_LENGTH:
            raise Refused(Reason.NOT_DETERMINISTIC, "an indefinite length", where=str(offset))
        if argument > _LAST_SIZE:
            return
        offset += 1
        if argument >= _FIRST_SIZE:
            size = 1 << (argument - _FIRST_SIZE)
            argument = int.from_bytes(data[offset : offset + size], "big")
            offset += size
        if major in _STRINGS:
            offset += argument
        elif major in (_ARRAY, _MAP):
            missing.append(argument * (major - _ARRAY + 1))
        elif major == _TAG:
            missing.append(1)


def _plain(value: Any, tags: frozenset[int]) -> Value:  # noqa: ANN401 - what cbor2 answers
    """Answer the value with its arrays as tuples.

    Raises `Refused` for what is not in `Value`, `_Disorder` for a map whose keys are not in order.
    """
    # Exact types are what cbor2 answers, and most containers hold leaves alone: asked at once.
    kind = type(value)
    leaf: Value = value
    if kind in _LEAVES:
        return leaf
    if kind is list or kind is tuple:
        if _LEAVES.issuperset(map(type, value)):
            return tuple(value)
        return tuple([item if type(item) in _LEAVES else _plain(item, tags) for item in value])
    if kind is dict or kind is cbor2.frozendict:  # the latter inside of a tag
        _check_order(list(value))
        if _LEAVES.issuperset(map(type, value.values())):
            return leaf
        return {
            key: item if type(item) in _LEAVES else _plain(item, tags)
            for key, item in value.items()
        }
    if kind is not cbor2.CBORTag:
        raise Refused(Reason.MALFORMED, f"a {kind.__name__} may not stand here")
    if value.tag not in tags:
        raise Refused(Reason.MALFORMED, f"tag {value.tag} may not stand here")
    return cbor2.CBORTag(value.tag, _plain(value.value, tags))


def _check_order(keys: list[Any]) -> None:
    """Return when map keys are in bytewise order; raises as `_plain` does."""
    # Unsigned integers sort as their bytes do (RFC 8949 3.1), and before negative ones.
    if _INTEGERS.issuperset(map(type, keys)) and keys == sorted(keys) and min(keys, default=0) >= 0:
        return
    for key in keys:
        _plain_key(key)
    encoded = [cbor2.dumps(key) for key in keys]
    if encoded != sorted(encoded):
        raise _Disorder


def _plain_key(key: object) -> None:
    if isinstance(key, tuple):
        for part in key:
            _plain_key(part)
    elif type(key) not in (int, str, bytes):
        raise Refused(Reason.MALFORMED, f"a {type(key).__name__} may not be a map key")


def _first_difference(left: bytes, right: bytes) -> int:
    # There is one: no encoding of an item is the beginning of another.
    pairs = enumerate(zip(left, right, strict=False))
    return next(offset for offset, (one, other) in pairs if one != other)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())


def wrapped(content: bytes) -> bytes:
    """Answer the content as a CBOR byte string, head included: what SUIT digests cover.

    SUIT manifest-37 8.3, 8.4.12: the bstr-wrapped element is hashed, not its content.
    """
    return cbor2.dumps(content)
