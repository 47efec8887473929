"""Header buckets of encryption messages: what is not processed may not be there."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import TypeVar

from fwseal.base import cbor
from fwseal.base.errors import Refused
from fwseal.base.reasons import Reason
from fwseal.cose.messages import Header

Headers = Mapping[cbor.Key, cbor.Value]
_Choice = TypeVar("_Choice", bound=enum.IntEnum)

_KNOWN_HEADERS = {
    6: "Partial IV",
    7: "counter signature",
    11: "countersignature",
    12: "countersignature 0",
    -1: "ephemeral key",
    -2: "static key",
    -3: "static key id",
    -20: "salt",
    **dict.fromkeys((-21, -22, -23), "PartyU"),
    **dict.fromkeys((-24, -25, -26), "PartyV"),
}
_KNOWN_ALGORITHMS = {
    24: "ChaCha20/Poly1305",
    **dict.fromkeys((10, 11, 12, 13, 30, 31, 32, 33), "AES-CCM"),
    **dict.fromkeys((-65531, -65530, -65529), "AES-CBC"),
    -6: "direct",
    -10: "direct+HKDF-SHA-256",
    -11: "direct+HKDF-SHA-512",
    **dict.fromkeys((-12, -13), "direct+HKDF-AES"),
    **dict.fromkeys((-25, -26), "ECDH-ES+HKDF"),
    **dict.fromkeys((-27, -28), "ECDH-SS+HKDF"),
    -30: "ECDH-ES+A192KW",
    -31: "ECDH-ES+A256KW",
    **dict.fromkeys((-32, -33, -34), "ECDH-SS with key wrap"),
}
"""What the registries know and this build does not offer, so that it is refused by name."""


def buckets(protected: object, unprotected: object) -> tuple[Headers, Headers]:
    """Answer both buckets; which labels may stand in them is for the caller to say."""
    if not isinstance(protected, bytes) or not isinstance(unprotected, Mapping):
        raise Refused(Reason.MALFORMED, "a protected byte string and an unprotected map begin it")
    inner = cbor.decode(protected) if protected else {}
    if not isinstance(inner, Mapping):
        raise Refused(Reason.MALFORMED, "the protected header is not a map")
    for label in (*inner, *unprotected):
        if not isinstance(label, int | str):
            # RFC 9052 1.5: label = int / tstr.
            raise Refused(Reason.MALFORMED, f"header label {label!r} is no label")
    if not inner.keys().isdisjoint(unprotected):
        # RFC 9052 3: a label stands in one bucket, once.
        raise Refused(Reason.MALFORMED, "a header stands in both buckets")
    known(inner, frozenset({Header.ALG}), "protected")
    return inner, unprotected


def known(header: Headers, allowed: frozenset[int], bucket: str) -> None:
    """Return when no other label stands there; raises `Refused` (unsupported), by name."""
    for label in header:
        if label not in allowed:
            raise Refused(
                Reason.UNSUPPORTED, f"{bucket} header {_header_name(label)} is not supported"
            )


def _header_name(label: cbor.Key) -> str:
    names = {**_KNOWN_HEADERS, **{int(header): header.name.lower() for header in Header}}
    return names.get(label, repr(label)) if isinstance(label, int) else repr(label)


def same(protected: object, expected: bytes) -> None:
    """Return when the bytes are the one encoding expected; raises `Refused` (malformed)."""
    # RFC 9459 4 and RFC 9052 8.5.2 ask for zero length where nothing covers the header; what
    # names its algorithm has one encoding.
    if protected != expected:
        raise Refused(Reason.MALFORMED, "the protected header is not the one of its algorithm")


def chosen(choices: type[_Choice], inner: Headers, outer: Headers) -> _Choice:
    """Answer the algorithm of a message or recipient; raises `Refused` (unsupported-algorithm)."""
    number = inner.get(Header.ALG, outer.get(Header.ALG))
    # Exact type: in Python True is 1.
    if type(number) is int and number in list(choices):
        return choices(number)
    name = _KNOWN_ALGORITHMS.get(number) if isinstance(number, int) else None
    said = "no algorithm is named" if number is None else f"algorithm {name or repr(number)}"
    raise Refused(Reason.UNSUPPORTED_ALGORITHM, f"{said}: it is not supported")
