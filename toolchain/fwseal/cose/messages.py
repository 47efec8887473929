"""COSE_Sign1 and COSE_Mac0, detached, read strictly: what is not covered may not be there."""

from __future__ import annotations

import dataclasses
import enum
import functools
from typing import TYPE_CHECKING

import cbor2

from fwseal.base import cbor
from fwseal.base.errors import Refused
from fwseal.base.ids import Kid
from fwseal.base.reasons import Reason
from fwseal.cose.algorithms import TABLE, Algorithm, Kind, algorithm, registered

if TYPE_CHECKING:
    from collections.abc import Mapping


class Tag(enum.IntEnum):
    """CBOR tags of COSE messages (RFC 9052 table 1)."""

    ENCRYPT0 = 16
    MAC0 = 17
    SIGN1 = 18
    ENCRYPT = 96
    MAC = 97
    SIGN = 98

    @property
    def message(self) -> str:
        """Answer what RFC 9052 calls the message, such as COSE_Sign1."""
        return f"COSE_{self.name.capitalize()}"


class Header(enum.IntEnum):
    """COSE header parameters (RFC 9052 3.1, RFC 9360, RFC 9942) that are known here."""

    ALG = 1
    CRIT = 2
    CONTENT_TYPE = 3
    KID = 4
    IV = 5
    X5CHAIN = 33
    X5T = 34
    RECEIPTS = 394


MESSAGE_TAGS = frozenset(Tag)
MAX_CERTIFICATES = 4
MAX_CERTIFICATE = 1 << 14
"""Bytes of one certificate; ML-DSA-87 makes one of about 7,500."""

_CONTEXTS = {Tag.SIGN1: "Signature1", Tag.MAC0: "MAC0"}
"""RFC 9052 4.4, 6.3: the messages that are read here, and what their structures begin with."""

_LABELS = frozenset(Header)
_PROTECTED = frozenset({Header.ALG, Header.CRIT, Header.KID, Header.X5CHAIN})
_UNPROTECTED = frozenset({Header.KID, Header.X5CHAIN})
"""What else stands unprotected is covered by nothing, or we cannot verify it yet (receipts)."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A COSE_Sign1 or COSE_Mac0 whose payload stands elsewhere.

    `protected` is the bytes that were signed; `signature` the raw one, or the MAC; `chain` the
    X.509 certificates in DER, that of the signer's key first.
    """

    kind: Tag
    protected: bytes
    algorithm: Algorithm
    kid: Kid | None
    chain: tuple[bytes, ...]
    signature: bytes

    def encode(self) -> bytes:
        """Answer the tagged message, payload nil; what is not protected stands unprotected."""
        covered = _decoded(self.protected)
        unprotected: dict[cbor.Key, cbor.Value] = {}
        if self.kid is not None and Header.KID not in covered:
            unprotected[int(Header.KID)] = self.kid.encode()
        if self.chain and Header.X5CHAIN not in covered:
            alone = len(self.chain) == 1
            unprotected[int(Header.X5CHAIN)] = self.chain[0] if alone else self.chain
        body = (self.protected, unprotected, None, self.signature)
        return cbor.encode(cbor2.CBORTag(int(self.kind), body))

    def tbs(self, payload: bytes) -> bytes:
        """Answer what the signature or MAC covers, with empty external_aad (RFC 9052 4.4, 6.3)."""
        return cbor.encode((_CONTEXTS[self.kind], self.protected, b"", payload))


def new_block(algorithm: Algorithm, kid: Kid | None, *, signature: bytes = b"") -> Block:
    """Answer a block that protects its algorithm and names the key, to be signed or signed."""
    return Block(
        kind=_kind(algorithm),
        protected=cbor.encode({int(Header.ALG): int(algorithm)}),
        algorithm=algorithm,
        kid=kid,
        chain=(),
        signature=signature,
    )


def decode_block(data: bytes) -> Block:
    """Answer the message of one authentication block.

    Raises `Refused`: malformed; unsupported for another COSE message, a header this build does
    not process, or an attached payload; limit-exceeded; unsupported-algorithm.
    """
    message = cbor.decode(data, tags=MESSAGE_TAGS)
    if not isinstance(message, cbor2.CBORTag):
        raise Refused(Reason.MALFORMED, "an authentication block is not a tagged COSE message")
    kind = Tag(message.tag)
    if kind not in _CONTEXTS:
        raise Refused(Reason.UNSUPPORTED, f"{kind.message} is not supported here")
    body = message.value
    if not isinstance(body, tuple) or len(body) != 4:
        raise Refused(Reason.MALFORMED, f"a {kind.message} is an array of four")
    protected, unprotected, payload, signature = body
    if not isinstance(protected, bytes) or not isinstance(signature, bytes):
        raise Refused(Reason.MALFORMED, "protected header and signature are byte strings")
    if not isinstance(unprotected, cbor.MAP):
        raise Refused(Reason.MALFORMED, "the unprotected header is not a map")
    if payload is not None:
        # SUIT manifest-37 8.3: the payload of an authentication block is detached.
        raise Refused(Reason.UNSUPPORTED, "the authentication block carries a payload")
    covered = _decoded(protected)
    _check(covered, unprotected)
    chosen = algorithm(covered[Header.ALG])
    if _kind(chosen) is not kind:
        raise Refused(
            Reason.UNSUPPORTED_ALGORITHM, f"{registered(chosen)} is not for a {kind.message}"
        )
    headers = {**unprotected, **covered}
    return Block(
        kind=kind,
        protected=protected,
        algorithm=chosen,
        kid=_kid(headers[Header.KID]) if Header.KID in headers else None,
        chain=_chain(headers[Header.X5CHAIN]) if Header.X5CHAIN in headers else (),
        signature=signature,
    )


def _kind(algorithm: Algorithm) -> Tag:
    return Tag.MAC0 if TABLE[algorithm].kind is Kind.SECRET else Tag.SIGN1


@functools.lru_cache(maxsize=64)
def _decoded(protected: bytes) -> Mapping[cbor.Key, cbor.Value]:
    # Most blocks protect nothing but an algorithm, and there are few of those.
    # RFC 9052 3: an empty protected header is a zero-length string.
    header = cbor.decode(protected) if protected else cbor.MAP()
    if not isinstance(header, cbor.MAP):
        raise Refused(Reason.MALFORMED, "the protected header is not a map")
    return header


def _check(
    covered: Mapping[cbor.Key, cbor.Value], unprotected: Mapping[cbor.Key, cbor.Value]
) -> None:
    """Return when the headers are those we process, each in a bucket where it may stand."""
    if not covered.keys().isdisjoint(unprotected):
        # RFC 9052 3: a label that occurs in both buckets makes the message malformed.
        raise Refused(Reason.MALFORMED, "a header stands protected and unprotected")
    if Header.CRIT in unprotected:
        # RFC 9052 3.1: crit must be protected.
        raise Refused(Reason.MALFORMED, "crit is not protected")
    for header, allowed in ((covered, _PROTECTED), (unprotected, _UNPROTECTED)):
        for label in header:
            if label not in allowed:
                shown = Header(label).name.lower() if label in _LABELS else repr(label)
                raise Refused(Reason.UNSUPPORTED, f"header {shown} may not stand there")
    if Header.CRIT in covered:
        _crit(covered[Header.CRIT], covered)
    if Header.ALG not in covered:
        raise Refused(Reason.UNSUPPORTED_ALGORITHM, "the protected header names no algorithm")


def _crit(labels: cbor.Value, covered: Mapping[cbor.Key, cbor.Value]) -> None:
    # RFC 9052 3.1: an array of one or more labels, integers or text.
    if (
        not isinstance(labels, tuple)
        or not labels
        or not all(type(one) in (int, str) for one in labels)
    ):
        raise Refused(Reason.MALFORMED, "crit is not an array of labels")
    for label in labels:
        # RFC 9052 3.1: what crit lists stands in the protected header; that we process all that
        # stands there has been checked.
        if label not in covered:
            raise Refused(Reason.UNSUPPORTED, f"crit lists header {label!r}, which is not there")


def _kid(value: cbor.Value) -> Kid:
    if not isinstance(value, bytes):
        raise Refused(Reason.MALFORMED, "kid is a byte string")
    try:
        return Kid(value.decode())
    except UnicodeDecodeError:
        raise Refused(Reason.UNKNOWN_SIGNER, "the kid is not UTF-8, as all of ours are") from None


def _chain(value: cbor.Value) -> tuple[bytes, ...]:
    if isinstance(value, bytes):
        chain: tuple[bytes, ...] = (value,)
    else:
        # RFC 9360 2: one certificate is a byte string, two or more are an array of them.
        if not isinstance(value, tuple) or len(value) < 2:
            raise Refused(Reason.MALFORMED, "x5chain is a certificate, or an array of two or more")
        chain = tuple(one for one in value if isinstance(one, bytes))
        if len(chain) != len(value):
            raise Refused(Reason.MALFORMED, "a certificate is a byte string")
    if len(chain) > MAX_CERTIFICATES or max(map(len, chain)) > MAX_CERTIFICATE:
        raise Refused(
            Reason.LIMIT_EXCEEDED,
            f"more than {MAX_CERTIFICATES} certificates, or one of over {MAX_CERTIFICATE} bytes",
        )
    return chain
