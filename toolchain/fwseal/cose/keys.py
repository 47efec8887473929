"""A key is bound to what it may verify; verification raises or returns nothing."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import hmac
from collections.abc import Mapping
from typing import TYPE_CHECKING

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, mldsa
from cryptography.hazmat.primitives.asymmetric.utils import (
    decode_dss_signature,
    encode_dss_signature,
)

from fwseal.base import cbor
from fwseal.base.errors import Misuse, Refused
from fwseal.base.reasons import Reason
from fwseal.cose.algorithms import CURVES, TABLE, Algorithm, Kind, algorithm, registered

if TYPE_CHECKING:
    from collections.abc import Callable

    from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes

Handle = (
    ec.EllipticCurvePublicKey
    | ed25519.Ed25519PublicKey
    | mldsa.MLDSA44PublicKey
    | mldsa.MLDSA65PublicKey
    | mldsa.MLDSA87PublicKey
)
Members = Mapping[cbor.Key, cbor.Value]

SCHEMES: Mapping[str, ec.ECDSA] = {
    "sha256": ec.ECDSA(hashes.SHA256()),
    "sha384": ec.ECDSA(hashes.SHA384()),
    "sha512": ec.ECDSA(hashes.SHA512()),
}
_BY_CURVE = {curve.name: kind for kind, curve in CURVES.items()}
_BLOCK = 64
"""Bytes of a block of SHA-256: HMAC fills a shorter secret with zeros and hashes a longer one."""

# RFC 9052 7.1, RFC 9053 7, RFC 9964 4: COSE_Key labels and values.
_KTY, _KID, _ALG, _KEY_OPS, _CRV, _X, _Y, _D = 1, 2, 3, 4, -1, -2, -3, -4
_PUB, _PRIV, _K = -1, -2, -1
_COMMON = frozenset({_KTY, _KID, _ALG, _KEY_OPS})
_OKP, _EC2, _SYMMETRIC, _AKP = 1, 2, 4, 7
_EC2_CURVES = {1: Kind.P256, 2: Kind.P384, 3: Kind.P521}
_OKP_ED25519 = 6
_OP_VERIFY, _OP_MAC_VERIFY = 2, 10


@functools.lru_cache(maxsize=128)
def _loaded(spki: bytes) -> tuple[Kind, Handle]:
    """Answer a public key as `cryptography` uses it; raises `Misuse` for what we never use."""
    return _known(serialization.load_der_public_key(spki))


def _known(key: PublicKeyTypes) -> tuple[Kind, Handle]:
    match key:
        case ec.EllipticCurvePublicKey() if key.curve.name in _BY_CURVE:
            return _BY_CURVE[key.curve.name], key
        case ed25519.Ed25519PublicKey():
            return Kind.ED25519, key
        case mldsa.MLDSA44PublicKey():
            return Kind.ML_DSA_44, key
        case mldsa.MLDSA65PublicKey():
            return Kind.ML_DSA_65, key
        case mldsa.MLDSA87PublicKey():
            return Kind.ML_DSA_87, key
        case _:
            raise Misuse(
                "a key of a kind that no algorithm here uses",
                hint="use P-256, P-384, P-521, Ed25519 or ML-DSA",
            )


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class PublicKey:
    """A public key; `spki` is its DER SubjectPublicKeyInfo.

    `fixed` is the one algorithm a COSE_Key names, or None where the holder decides.
    """

    spki: bytes
    fixed: Algorithm | None = None

    @classmethod
    def of(cls, key: PublicKeyTypes, *, fixed: Algorithm | None = None) -> PublicKey:
        """Answer the key as a value; raises `Misuse` for a kind that no algorithm here uses."""
        _, handle = _known(key)
        der = handle.public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        return cls(spki=der, fixed=fixed)

    @classmethod
    def from_pem(cls, data: bytes, *, where: str) -> PublicKey:
        """Answer the one key of a PEM SubjectPublicKeyInfo; raises `Misuse`."""
        if data.count(b"-----BEGIN ") != 1:
            raise Misuse(f"{where}: not one PEM public key")
        try:
            return cls.of(serialization.load_pem_public_key(data))
        except (ValueError, UnsupportedAlgorithm):
            raise Misuse(f"{where}: not a PEM public key") from None
        except Misuse as error:
            raise Misuse(f"{where}: {error.message}", hint=error.hint) from None

    @classmethod
    def from_cose_key(cls, data: bytes, *, where: str) -> PublicKey:
        """Answer the key of a public COSE_Key; raises `Misuse`, for a private one too."""
        key = _cose_key(data, where=where)
        if not isinstance(key, PublicKey):
            raise Misuse(f"{where}: a shared secret, not a public key")
        return key

    @property
    def kind(self) -> Kind:
        """Answer what the key is."""
        return _loaded(self.spki)[0]

    @property
    def identity(self) -> bytes:
        """Answer what tells two keys apart, whatever they are called or fixed to."""
        return self.spki

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

    def handle(self) -> Handle:
        """Answer the key as `cryptography` uses it."""
        return _loaded(self.spki)[1]

    def verify(self, signature: bytes, tbs: bytes, *, algorithm: Algorithm) -> None:
        """Return when `signature`, raw (for ECDSA r || s, RFC 9053 2.1), is this key's over `tbs`.

        Raises `Refused`: unsupported-algorithm when the key is of another kind or fixed to another
        algorithm, bad-signature for anything else. A high s is valid: identity is the digest.
        """
        _bound(self.kind, self.fixed, algorithm)
        self.verify_der(as_der(signature, algorithm), tbs, algorithm=algorithm)

    def verify_der(self, signature: bytes, tbs: bytes, *, algorithm: Algorithm) -> None:
        """Return when the signature, ECDSA in DER and any other raw, is this key's over `tbs`.

        That is how X.509, TUF, DSSE and MCUboot carry one. Raises `Refused` as `verify` does.
        """
        kind, handle = _loaded(self.spki)
        _bound(kind, self.fixed, algorithm)
        try:
            if isinstance(handle, ec.EllipticCurvePublicKey):
                handle.verify(signature, tbs, SCHEMES[TABLE[algorithm].hash])
            else:
                # RFC 9964 3: pure ML-DSA with an empty context.
                handle.verify(signature, tbs)
        except InvalidSignature:
            raise Refused(Reason.BAD_SIGNATURE, "the signature does not verify") from None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class MacKey:
    """A secret that the signer and the device share; whoever can verify can also sign."""

    secret: bytes = dataclasses.field(repr=False)
    fixed: Algorithm | None = None

    @classmethod
    def from_cose_key(cls, data: bytes, *, where: str) -> MacKey:
        """Answer the key of a Symmetric COSE_Key (RFC 9053 7.3); raises `Misuse`."""
        key = _cose_key(data, where=where)
        if not isinstance(key, MacKey):
            raise Misuse(f"{where}: a public key, not a shared secret")
        return key

    @property
    def kind(self) -> Kind:
        """Answer what the key is."""
        return Kind.SECRET

    @property
    def identity(self) -> bytes:
        """Answer what tells two secrets apart and gives neither away.

        HMAC fills a secret with zeros up to a block, so one that ends in them has twins.
        """
        return hashlib.sha256(self.secret.ljust(_BLOCK, b"\0")).digest()

    def tag(self, tbm: bytes) -> bytes:
        """Answer the HMAC 256/256 of a message (RFC 9053 3.1)."""
        return hmac.digest(self.secret, tbm, "sha256")

    def verify(self, signature: bytes, tbs: bytes, *, algorithm: Algorithm) -> None:
        """Return when `signature` is this secret's tag over `tbs`, compared in constant time.

        Raises `Refused`: unsupported-algorithm for anything but a MAC, bad-signature.
        """
        _bound(Kind.SECRET, self.fixed, algorithm)
        if not hmac.compare_digest(self.tag(tbs), signature):
            raise Refused(Reason.BAD_SIGNATURE, "the MAC does not verify")


VerificationKey = PublicKey | MacKey
"""What a trust anchor may hold."""


def verification_key(data: bytes, *, where: str) -> VerificationKey:
    """Answer the key of a file: a PEM SubjectPublicKeyInfo, or a COSE_Key; raises `Misuse`.

    A COSE_Key is public (EC2, OKP, AKP), or the Symmetric one of a MAC.
    """
    if data.lstrip().startswith(b"-----BEGIN "):
        return PublicKey.from_pem(data, where=where)
    return _cose_key(data, where=where)


def _bound(kind: Kind, fixed: Algorithm | None, asked: Algorithm) -> None:
    """Return when a key may verify with the algorithm that a message asks for."""
    # RFC 9053 2.1, RFC 9864 4: the algorithm is checked against the key, never taken from it.
    if TABLE[asked].kind is not kind:
        raise Refused(
            Reason.UNSUPPORTED_ALGORITHM,
            f"a key of kind {kind.value} does not verify {registered(asked)}",
        )
    # RFC 9052 7.1: a key that names an algorithm is for no other.
    if fixed not in (None, asked):
        raise Refused(
            Reason.UNSUPPORTED_ALGORITHM,
            f"the key is for another algorithm than {registered(asked)}",
        )


def _cose_key(data: bytes, *, where: str) -> VerificationKey:
    """Answer the key of a COSE_Key; raises `Misuse` for anything but what a device may hold."""
    try:
        return _read(cbor.decode(data))
    except (Misuse, Refused) as error:
        raise Misuse(f"{where}: {error.message}", hint=error.hint) from None
    except (ValueError, UnsupportedAlgorithm):
        raise Misuse(f"{where}: not a key of that kind") from None


def _read(parsed: cbor.Value) -> VerificationKey:
    # Exact types: in Python True is 1.
    if not isinstance(parsed, Mapping) or type(parsed.get(_KTY)) is not int:
        raise Misuse("not a COSE_Key")
    if parsed[_KTY] not in _READERS:
        raise Misuse(f"key type {parsed[_KTY]!r} is not supported")
    return _READERS[parsed[_KTY]](parsed)


def _only(parsed: Members, own: frozenset[int], *, private: int | None, operation: int) -> None:
    """Return when the key holds nothing but its labels, and may be used for the operation."""
    for label in parsed:
        if label not in _COMMON | own:
            what = "a private key" if label == private else f"label {label!r}"
            raise Misuse(
                f"{what} may not stand in a key of this kind", hint="provision public keys only"
            )
    # RFC 9052 7.1: key_ops restricts what the key is used for.
    allowed = parsed.get(_KEY_OPS, (operation,))
    if not isinstance(allowed, tuple) or operation not in allowed:
        raise Misuse("key_ops does not allow to verify")


def _fixed(parsed: Members, kind: Kind) -> Algorithm | None:
    """Answer the algorithm a COSE_Key names, which must be one of its kind, or None."""
    if _ALG not in parsed:
        return None
    fixed = algorithm(parsed[_ALG])
    if TABLE[fixed].kind is not kind:
        raise Misuse(f"{registered(fixed)} is not for a key of kind {kind.value}")
    return fixed


def _bytes(parsed: Members, label: int, size: int) -> bytes:
    value = parsed.get(label)
    if not isinstance(value, bytes) or len(value) != size:
        raise Misuse(f"label {label} is not {size} bytes")
    return value


def _ec2(parsed: Members) -> PublicKey:
    """RFC 9053 7.1.1; a compressed point, y as a boolean, is not read."""
    _only(parsed, frozenset({_CRV, _X, _Y}), private=_D, operation=_OP_VERIFY)
    number = parsed.get(_CRV)
    if type(number) is not int or number not in _EC2_CURVES:
        raise Misuse(f"curve {number!r} is not P-256, P-384 or P-521")
    kind = _EC2_CURVES[number]
    curve = CURVES[kind]
    size = (curve.key_size + 7) // 8
    point = b"\x04" + _bytes(parsed, _X, size) + _bytes(parsed, _Y, size)
    handle = ec.EllipticCurvePublicKey.from_encoded_point(curve, point)
    return PublicKey.of(handle, fixed=_fixed(parsed, kind))


def _okp(parsed: Members) -> PublicKey:
    """RFC 9053 7.2."""
    _only(parsed, frozenset({_CRV, _X}), private=_D, operation=_OP_VERIFY)
    number = parsed.get(_CRV)
    if number != _OKP_ED25519:
        raise Misuse(f"curve {number!r} is not Ed25519")
    handle = ed25519.Ed25519PublicKey.from_public_bytes(_bytes(parsed, _X, 32))
    return PublicKey.of(handle, fixed=_fixed(parsed, Kind.ED25519))


_ML_DSA: Mapping[Algorithm, Callable[[bytes], Handle]] = {
    Algorithm.ML_DSA_44: mldsa.MLDSA44PublicKey.from_public_bytes,
    Algorithm.ML_DSA_65: mldsa.MLDSA65PublicKey.from_public_bytes,
    Algorithm.ML_DSA_87: mldsa.MLDSA87PublicKey.from_public_bytes,
}


def _akp(parsed: Members) -> PublicKey:
    """RFC 9964 4: an algorithm key pair says which algorithm it is for."""
    _only(parsed, frozenset({_PUB}), private=_PRIV, operation=_OP_VERIFY)
    fixed = algorithm(parsed.get(_ALG))
    if fixed not in _ML_DSA:
        raise Misuse(f"{registered(fixed)} is not for an algorithm key pair")
    public = parsed.get(_PUB)
    if not isinstance(public, bytes):
        raise Misuse("pub is not a byte string")
    return PublicKey.of(_ML_DSA[fixed](public), fixed=fixed)


def _symmetric(parsed: Members) -> MacKey:
    """RFC 9053 7.3, 3.1: a secret as long as the hash, and at most a block of it."""
    _only(parsed, frozenset({_K}), private=None, operation=_OP_MAC_VERIFY)
    secret = parsed.get(_K)
    if not isinstance(secret, bytes) or not TABLE[Algorithm.HMAC_256].size <= len(secret) <= _BLOCK:
        raise Misuse("k is not 32 to 64 bytes")
    return MacKey(secret=secret, fixed=_fixed(parsed, Kind.SECRET))


_READERS: Mapping[object, Callable[[Members], VerificationKey]] = {
    _OKP: _okp,
    _EC2: _ec2,
    _SYMMETRIC: _symmetric,
    _AKP: _akp,
}


def as_der(signature: bytes, algorithm: Algorithm) -> bytes:
    """Answer a raw signature as X.509, TUF and DSSE carry it: ECDSA in DER, any other as it is."""
    if TABLE[algorithm].kind not in CURVES:
        return signature
    return raw_to_der(signature, algorithm)


def raw_to_der(signature: bytes, algorithm: Algorithm) -> bytes:
    """Answer r || s as DER; raises `Refused` (bad-signature) for another length."""
    size = TABLE[algorithm].size
    if len(signature) != size:
        raise Refused(Reason.BAD_SIGNATURE, f"{len(signature)} bytes of signature, {size} expected")
    r, s = signature[: size // 2], signature[size // 2 :]
    return encode_dss_signature(int.from_bytes(r, "big"), int.from_bytes(s, "big"))


def der_to_raw(signature: bytes, algorithm: Algorithm) -> bytes:
    """Answer a DER ECDSA signature as r || s; raises `Refused` (bad-signature)."""
    size = TABLE[algorithm].size // 2
    try:
        r, s = decode_dss_signature(signature)
        return r.to_bytes(size, "big") + s.to_bytes(size, "big")
    except (ValueError, OverflowError):
        raise Refused(Reason.BAD_SIGNATURE, "not a DER ECDSA signature") from None
