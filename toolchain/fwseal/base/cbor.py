"""Strict CBOR: one value has one encoding, and only that encoding is read.

cbor2 decides what the bytes say; this module decides what may be said (RFC 8949 4.2.1) and refuses
every input for which `encode(decode(x)) == x` does not hold.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
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

MAX_DEPTH = 16
MAX_BYTES = 65536
MAX_ITEMS = 10_000
"""Defaults; a profile may lower or raise them per document."""
DEEPEST = 400
"""No limit on depth goes further, whatever a profile says: cbor2 reads by recursion."""

_BUILT_IN_TAGS = (
    *range(6), 25, 28, 29, 30, 35, 36, 37, 52, 54, 100, 256, 258, 260, 261, 1004, 43000, 55799,
)  # fmt: skip


_LEAVES = frozenset({int, bytes, str, bool, type(None)})
_NEGATIVES = 1 << 64
_FIRST_SIZE, _LAST_SIZE, _INDEFINITE = 24, 27, 31
_STRINGS, _ARRAY, _MAP, _TAG = (2, 3), 4, 5, 6
_WITH_LENGTH = (*_STRINGS, _ARRAY, _MAP)
"""Additional information and major types as RFC 8949 3 numbers them."""


class _NotPlain(cbor2.CBORDecodeError):
    """A tag that cbor2 would turn into a Python object."""


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
    try:
        value = cbor2.loads(
            data,
            allow_indefinite=False,
            allow_duplicate_keys=False,
            immutable=True,
            max_depth=min(limits.depth, DEEPEST),
            semantic_decoders=_SEMANTIC,
        )
    except (cbor2.CBORDecodeError, TypeError, ValueError, OverflowError) as error:
        _bounded(data, limits)  # what cbor2 says of a limit is words, and an attacker's may be too
        raise Refused(Reason.MALFORMED, f"not CBOR as allowed here: {_one_line(error)}") from None
    ordered = _plain(value, tags)
    checked: Value = value
    # cbor2 keeps the keys of a map in the order it read them in, and writes them in that order.
    if not ordered or cbor2.dumps(checked) != data:
        raise _another_encoding(checked, data)
    return checked


def _another_encoding(value: Value, data: bytes) -> Refused:
    again = encode(value)
    if data.startswith(again):
        return Refused(Reason.MALFORMED, "bytes follow the CBOR item", where=str(len(again)))
    return Refused(
        Reason.NOT_DETERMINISTIC,
        "the encoding is not deterministic",
        where=str(_first_difference(again, data)),
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


def _plain(value: object, tags: frozenset[int]) -> bool:
    """Refuse what is not in `Value`; answer whether the keys of every map are in order."""
    ordered = True
    pending = [value]
    while pending:
        item = pending.pop()
        kind = type(item)
        if kind in _LEAVES:
            continue
        if isinstance(item, tuple):
            pending += item
        elif isinstance(item, cbor2.frozendict):  # what cbor2 makes of a map
            ordered = _ordered_keys(item) and ordered
            pending += item.values()
        elif isinstance(item, cbor2.CBORTag):
            if item.tag not in tags:
                raise Refused(Reason.MALFORMED, f"tag {item.tag} may not stand here")
            pending.append(item.value)
        else:
            raise Refused(Reason.MALFORMED, f"a {kind.__name__} may not stand here")
    return ordered


def _ordered_keys(keys: Iterable[object]) -> bool:
    """Answer whether map keys are in bytewise order; refuse a key that is not a `Key`."""
    last: int | bytes = -1
    for key in keys:
        if type(key) is int:
            # Unsigned before negative, each by its argument (RFC 8949 3.1): as the bytes sort.
            rank = key if key >= 0 else _NEGATIVES - key
            if isinstance(last, bytes) or rank <= last:
                return _plain_keys(keys)
            last = rank
        else:
            _plain_key(key)
            encoded = cbor2.dumps(key)
            if isinstance(last, bytes) and encoded <= last:
                return _plain_keys(keys)
            last = encoded
    return True


def _plain_keys(keys: Iterable[object]) -> bool:
    for key in keys:
        _plain_key(key)
    return False


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
