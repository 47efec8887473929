"""COSE_Sign1 with detached payload, read strictly: what is not covered may not be there."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Mapping

import cbor2

from fwseal.base import cbor
from fwseal.base.errors import Refused
from fwseal.base.ids import Kid
from fwseal.base.reasons import Reason
from fwseal.cose.algorithms import Algorithm, algorithm


class Tag(enum.IntEnum):
    """CBOR tags of COSE messages (RFC 9052 table 1)."""

    ENCRYPT0 = 16
    MAC0 = 17
    SIGN1 = 18
    ENCRYPT = 96
    MAC = 97
    SIGN = 98


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


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Sign1:
    """A COSE_Sign1 whose payload stands elsewhere; `protected` is the bytes that were signed."""

    protected: bytes
    algorithm: Algorithm
    kid: Kid | None
    signature: bytes

    def encode(self) -> bytes:
        """Answer the tagged message, payload nil, kid unprotected."""
        unprotected: dict[cbor.Key, cbor.Value] = {}
        if self.kid is not None:
            unprotected[int(Header.KID)] = self.kid.encode()
        body = (self.protected, unprotected, None, self.signature)
        return cbor.encode(cbor2.CBORTag(int(Tag.SIGN1), body))

    def tbs(self, payload: bytes) -> bytes:
        """Answer what the signature covers (RFC 9052 4.4)."""
        return sig_structure(self.protected, payload)


def protected_header(alg: Algorithm) -> bytes:
    """Answer the protected header that names the algorithm and nothing else."""
    return cbor.encode({int(Header.ALG): int(alg)})


def sig_structure(protected: bytes, payload: bytes) -> bytes:
    """Answer the Sig_structure of a COSE_Sign1 with empty external_aad (RFC 9052 4.4)."""
    return cbor.encode(("Signature1", protected, b"", payload))


def decode_sign1(data: bytes) -> Sign1:
    """Answer the message of one authentication block.

    Raises `Refused`: malformed; unsupported for another COSE message, a header this build does
    not process, or an attached payload; unsupported-algorithm.
    """
    message = cbor.decode(data, tags=MESSAGE_TAGS)
    if not isinstance(message, cbor2.CBORTag):
        raise Refused(Reason.MALFORMED, "an authentication block is not a tagged COSE message")
    if message.tag != Tag.SIGN1:
        raise Refused(Reason.UNSUPPORTED, f"COSE_{Tag(message.tag).name} is not supported yet")
    body = message.value
    if not isinstance(body, tuple) or len(body) != 4:
        raise Refused(Reason.MALFORMED, "a COSE_Sign1 is an array of four")
    protected, unprotected, payload, signature = body
    if not isinstance(protected, bytes) or not isinstance(signature, bytes):
        raise Refused(Reason.MALFORMED, "protected header and signature are byte strings")
    if payload is not None:
        # SUIT manifest-37 8.3: the payload of an authentication block is detached.
        raise Refused(Reason.UNSUPPORTED, "the authentication block carries a payload")
    return Sign1(
        protected=protected,
        algorithm=_protected(protected),
        kid=_unprotected(unprotected),
        signature=signature,
    )


def _protected(data: bytes) -> Algorithm:
    # RFC 9052 3: an empty protected header is a zero-length string, not an empty map.
    header = cbor.decode(data) if data else {}
    if not isinstance(header, Mapping):
        raise Refused(Reason.MALFORMED, "the protected header is not a map")
    if Header.CRIT in header:
        # RFC 9052 3.1: an application must process what crit lists; there is nothing we do.
        raise Refused(Reason.UNSUPPORTED, "crit lists header parameters that are not processed")
    for label in header:
        if label != Header.ALG:
            raise Refused(Reason.UNSUPPORTED, f"protected header {label!r} is not supported yet")
    if Header.ALG not in header:
        raise Refused(Reason.UNSUPPORTED_ALGORITHM, "the protected header names no algorithm")
    return algorithm(header[Header.ALG])


def _unprotected(header: object) -> Kid | None:
    if not isinstance(header, Mapping):
        raise Refused(Reason.MALFORMED, "the unprotected header is not a map")
    for label in header:
        if label in (Header.X5CHAIN, Header.RECEIPTS):
            raise Refused(Reason.UNSUPPORTED, f"{Header(label).name.lower()} is not supported yet")
        if label != Header.KID:
            raise Refused(Reason.UNSUPPORTED, f"unprotected header {label!r} may not stand here")
    if Header.KID not in header:
        return None
    kid = header[Header.KID]
    if not isinstance(kid, bytes):
        raise Refused(Reason.MALFORMED, "kid is a byte string")
    try:
        return Kid(kid.decode())
    except UnicodeDecodeError:
        raise Refused(Reason.UNKNOWN_SIGNER, "the kid is not UTF-8, as all of ours are") from None
