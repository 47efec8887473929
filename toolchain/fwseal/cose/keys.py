"""A public key is bound to what it may verify; verification raises or returns nothing."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import (
    decode_dss_signature,
    encode_dss_signature,
)

from fwseal.base import cbor
from fwseal.base.errors import Misuse, Refused
from fwseal.base.reasons import Reason
from fwseal.cose.algorithms import ECDSA, Algorithm, algorithm

_KTY, _ALG, _CRV, _X, _Y, _D = 1, 3, -1, -2, -3, -4
_EC2, _P256 = 2, 1


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class PublicKey:
    """An elliptic-curve public key; `spki` is its DER SubjectPublicKeyInfo.

    `fixed` is the one algorithm a COSE_Key names, or None where the holder decides.
    """

    spki: bytes
    fixed: Algorithm | None = None

    @classmethod
    def of(cls, key: ec.EllipticCurvePublicKey, *, fixed: Algorithm | None = None) -> PublicKey:
        """Answer the key as a value; raises `Misuse` for a curve that no algorithm here uses."""
        if not isinstance(key.curve, ec.SECP256R1):
            raise Misuse(f"a key on {key.curve.name} is not supported", hint="use P-256")
        der = key.public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        return cls(spki=der, fixed=fixed)

    @classmethod
    def from_pem(cls, data: bytes, *, where: str) -> PublicKey:
        """Answer the key of a PEM SubjectPublicKeyInfo; raises `Misuse`."""
        try:
            loaded = serialization.load_pem_public_key(data)
        except (ValueError, UnsupportedAlgorithm):
            raise Misuse(f"{where}: not a PEM public key") from None
        if not isinstance(loaded, ec.EllipticCurvePublicKey):
            raise Misuse(f"{where}: not an elliptic-curve key")
        return cls.of(loaded)

    @classmethod
    def from_cose_key(cls, data: bytes, *, where: str) -> PublicKey:
        """Answer the key of a COSE_Key (RFC 9053 7.1.1); raises `Misuse`, for a private one too."""
        try:
            parsed = cbor.decode(data)
        except Refused as error:
            raise Misuse(f"{where}: not a COSE_Key: {error.message}") from None
        # Exact types: in Python True is 1.
        if not isinstance(parsed, Mapping) or type(parsed.get(_KTY)) is not int:
            raise Misuse(f"{where}: not a COSE_Key")
        if _D in parsed:
            raise Misuse(f"{where}: holds a private key", hint="provision public keys only")
        curve, x, y = parsed.get(_CRV), parsed.get(_X), parsed.get(_Y)
        if (parsed[_KTY], curve) != (_EC2, _P256) or type(curve) is not int:
            raise Misuse(f"{where}: not an EC2 COSE_Key on P-256")
        if not isinstance(x, bytes) or not isinstance(y, bytes) or (len(x), len(y)) != (32, 32):
            raise Misuse(f"{where}: x and y are not 32 bytes each")
        try:
            fixed = algorithm(parsed[_ALG]) if _ALG in parsed else None
        except Refused as error:
            raise Misuse(f"{where}: {error.message}") from None
        try:
            point = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), b"\x04" + x + y)
        except ValueError:
            raise Misuse(f"{where}: not a point of P-256") from None
        return cls.of(point, fixed=fixed)

    @property
    def pem(self) -> bytes:
        """Answer the key as PEM SubjectPublicKeyInfo."""
        return self.handle().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )

    @property
    def fingerprint(self) -> str:
        """Answer the SHA-256 of the SubjectPublicKeyInfo, in lower-case hex."""
        return hashlib.sha256(self.spki).hexdigest()

    def handle(self) -> ec.EllipticCurvePublicKey:
        """Answer the key as `cryptography` uses it."""
        loaded = serialization.load_der_public_key(self.spki)
        if not isinstance(loaded, ec.EllipticCurvePublicKey):
            raise AssertionError
        return loaded

    def verify(self, signature: bytes, tbs: bytes, *, algorithm: Algorithm) -> None:
        """Return when `signature`, raw r || s, is this key's over `tbs` (RFC 9053 2.1).

        Raises `Refused`: unsupported-algorithm when the key is fixed to another one,
        bad-signature for anything else. A high s is valid: identity is the digest.
        """
        if self.fixed is not None and self.fixed is not algorithm:
            raise Refused(
                Reason.UNSUPPORTED_ALGORITHM,
                f"the key is for {self.fixed.name}, the signature says {algorithm.name}",
            )
        self.verify_der(raw_to_der(signature, algorithm), tbs, algorithm=algorithm)

    def verify_der(self, signature: bytes, tbs: bytes, *, algorithm: Algorithm) -> None:
        """Return when the DER signature is this key's over `tbs`; raises `Refused`."""
        try:
            self.handle().verify(signature, tbs, ec.ECDSA(ECDSA[algorithm].hash))
        except InvalidSignature:
            raise Refused(Reason.BAD_SIGNATURE, "the signature does not verify") from None


def raw_to_der(signature: bytes, algorithm: Algorithm) -> bytes:
    """Answer r || s as DER; raises `Refused` (bad-signature) for another length."""
    size = ECDSA[algorithm].size
    if len(signature) != 2 * size:
        raise Refused(
            Reason.BAD_SIGNATURE, f"{len(signature)} bytes of signature, {2 * size} expected"
        )
    r, s = signature[:size], signature[size:]
    return encode_dss_signature(int.from_bytes(r, "big"), int.from_bytes(s, "big"))


def der_to_raw(signature: bytes, algorithm: Algorithm) -> bytes:
    """Answer a DER ECDSA signature as r || s; raises `Refused` (bad-signature)."""
    size = ECDSA[algorithm].size
    try:
        r, s = decode_dss_signature(signature)
        return r.to_bytes(size, "big") + s.to_bytes(size, "big")
    except (ValueError, OverflowError):
        raise Refused(Reason.BAD_SIGNATURE, "not a DER ECDSA signature") from None
