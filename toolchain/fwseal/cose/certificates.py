"""A certificate beside a signature adds nothing to an anchor, so it may not contradict one.

RFC 9360 x5chain. The device trusts the keys it was given; a chain must lead from the signer's key
to one of them, or the block is refused.
"""

from __future__ import annotations

import dataclasses
import itertools
import warnings
from typing import TYPE_CHECKING, Any

from fwseal.base.errors import Misuse, Refused
from fwseal.base.reasons import Reason
from fwseal.cose.algorithms import Algorithm
from fwseal.cose.keys import PublicKey, VerificationKey

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_SIGNED_WITH: Mapping[bytes, Algorithm] = {
    bytes.fromhex("300a06082a8648ce3d040302"): Algorithm.ESP256,
    bytes.fromhex("300a06082a8648ce3d040303"): Algorithm.ESP384,
    bytes.fromhex("300a06082a8648ce3d040304"): Algorithm.ESP512,
    bytes.fromhex("300506032b6570"): Algorithm.ED25519,
    bytes.fromhex("300b0609608648016503040311"): Algorithm.ML_DSA_44,
    bytes.fromhex("300b0609608648016503040312"): Algorithm.ML_DSA_65,
    bytes.fromhex("300b0609608648016503040313"): Algorithm.ML_DSA_87,
}
"""AlgorithmIdentifiers in DER (RFC 5758, 8410, 9881). No signature covers the outer one, so it is
compared whole: none of these has parameters."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Certificate:
    """What is read of a certificate; the names compare as X.509 says."""

    key: PublicKey
    subject: object
    issuer: object
    tbs: bytes
    algorithm: Algorithm
    signature: bytes


def judge(
    chain: tuple[bytes, ...], *, signer: VerificationKey, anchors: Iterable[VerificationKey]
) -> None:
    """Return when the chain leads from the key that signed to an anchor's; an empty one always.

    The leaf holds the signer's key, each certificate is issued by the next, the last by an
    anchor's key, its own if that is one. Raises `Refused`: malformed, unsupported-algorithm,
    bad-signature.

    Deliberately not checked, as the signer is an anchor without any certificate: dates (a device
    has no time to trust here), names, purposes, constraints and revocation. Whoever holds an
    anchor's key could leave the chain out.
    """
    if not chain:
        return
    certificates = [_certificate(der) for der in chain]
    if certificates[0].key.identity != signer.identity:
        raise Refused(Reason.BAD_SIGNATURE, "the leaf certificate is for another key")
    for one, issuer in itertools.pairwise(certificates):
        # RFC 5280 6.1.3 (a) (4)
        if one.issuer != issuer.subject:
            raise Refused(Reason.BAD_SIGNATURE, "a certificate does not name the next as issuer")
        if not _issued(one, issuer.key):
            raise Refused(Reason.BAD_SIGNATURE, "a certificate is not issued by the next")
    last = certificates[-1]
    if not any(_issued(last, key) for key in anchors if isinstance(key, PublicKey)):
        raise Refused(Reason.BAD_SIGNATURE, "the last certificate is issued by no anchor's key")


def _issued(certificate: _Certificate, key: PublicKey) -> bool:
    # An anchor is fixed to one COSE algorithm; what it signs certificates with is another matter.
    free = PublicKey(spki=key.spki)
    try:
        free.verify_der(certificate.signature, certificate.tbs, algorithm=certificate.algorithm)
    except Refused:
        return False
    return True


def _certificate(der: bytes) -> _Certificate:
    """Answer a certificate; raises `Refused`."""
    # Chains are rare, and X.509 is much to load.
    from cryptography import x509
    from cryptography.exceptions import UnsupportedAlgorithm

    try:
        # What cryptography still reads and warns of, RFC 5280 disallows (a serial number of zero).
        with warnings.catch_warnings(action="error"):
            loaded: Any = x509.load_der_x509_certificate(der)
            key, subject, issuer = loaded.public_key(), loaded.subject, loaded.issuer
    except (ValueError, UnsupportedAlgorithm, x509.InvalidVersion, Warning):
        raise Refused(Reason.MALFORMED, "not an X.509 certificate") from None
    try:
        public = PublicKey.of(key)
    except Misuse:
        raise Refused(
            Reason.UNSUPPORTED_ALGORITHM, "a certificate for a key of another kind"
        ) from None
    tbs, signature = loaded.tbs_certificate_bytes, loaded.signature
    # RFC 5280 4.1: tbsCertificate, signatureAlgorithm, signatureValue, the last a BIT STRING of
    # whole bytes: the number of bits to leave out stands before it, and nothing covers it.
    start = der.index(tbs) + len(tbs)
    identifier = der[start : start + 2 + der[start + 1]]
    if identifier not in _SIGNED_WITH:
        raise Refused(Reason.UNSUPPORTED_ALGORITHM, "a certificate signed with another algorithm")
    if der[-len(signature) - 1] != 0:
        raise Refused(Reason.MALFORMED, "a certificate's signature is not whole bytes")
    return _Certificate(
        key=public,
        subject=subject,
        issuer=issuer,
        tbs=tbs,
        algorithm=_SIGNED_WITH[identifier],
        signature=signature,
    )
