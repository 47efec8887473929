"""Values of the manifest's CBOR, each read as exactly its type; and digests, both ways."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fwseal.base import cbor
from fwseal.base.digest import Digest, DigestAlgorithm
from fwseal.base.errors import Refused
from fwseal.base.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fwseal.base.ids import ComponentId


def boolean(value: object, what: str) -> bool:
    """Answer true or false; raises `Refused` (malformed)."""
    if type(value) is not bool:
        raise Refused(Reason.MALFORMED, f"{what} is true or false")
    return value


def unsigned(value: object, what: str) -> int:
    """Answer an unsigned integer; raises `Refused` (malformed)."""
    if type(value) is not int or value < 0:
        raise Refused(Reason.MALFORMED, f"{what} is an unsigned integer")
    return value


def byte_string(value: object, what: str) -> bytes:
    """Answer a byte string; raises `Refused` (malformed)."""
    if not isinstance(value, bytes):
        raise Refused(Reason.MALFORMED, f"{what} is a byte string")
    return value


def text_string(value: object, what: str) -> str:
    """Answer a text string; raises `Refused` (malformed)."""
    if not isinstance(value, str):
        raise Refused(Reason.MALFORMED, f"{what} is a text string")
    return value


def component_id(value: object) -> ComponentId:
    """Answer a component identifier; raises `Refused` (malformed)."""
    if not isinstance(value, tuple) or not all(type(part) is bytes for part in value):
        raise Refused(Reason.MALFORMED, "a component identifier is an array of byte strings")
    return value


def mapping(value: object, what: str) -> Mapping[cbor.Key, cbor.Value]:
    """Answer a map; raises `Refused` (malformed)."""
    if not isinstance(value, cbor.MAP):
        raise Refused(Reason.MALFORMED, f"{what} is not a map")
    return value


_ALGORITHMS: Mapping[int, DigestAlgorithm] = {int(one): one for one in DigestAlgorithm}


def digest(value: object) -> Digest:
    """Answer a SUIT_Digest (SUIT manifest-37 10)."""
    if not isinstance(value, tuple) or len(value) != 2:
        raise Refused(Reason.MALFORMED, "a digest is an array of two")
    number, content = value
    chosen = _ALGORITHMS.get(number) if type(number) is int else None
    if chosen is None:
        raise Refused(Reason.UNSUPPORTED_ALGORITHM, f"digest algorithm {number!r} is not supported")
    if len(byte_string(content, "digest bytes")) != chosen.size:
        raise Refused(Reason.MALFORMED, f"{len(content)} bytes of digest, {chosen.size} expected")
    return Digest(algorithm=chosen, value=content)


def digest_value(found: Digest) -> cbor.Value:
    """Answer a SUIT_Digest as a CBOR value."""
    return (int(found.algorithm), found.value)


def decode_digest(data: bytes) -> Digest:
    """Answer the SUIT_Digest that a byte string holds; raises `Refused`."""
    return digest(cbor.decode(data))


def encode_digest(found: Digest) -> bytes:
    """Answer the CBOR of a SUIT_Digest."""
    return cbor.encode(digest_value(found))
