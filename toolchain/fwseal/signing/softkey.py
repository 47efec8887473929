"""A key in a file is for development: it says so, and refuses any other use."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, mldsa
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from fwseal.base import cbor
from fwseal.base.errors import Misuse, Refused
from fwseal.base.reasons import Reason
from fwseal.cose.algorithms import CURVES, TABLE, Algorithm, Kind, algorithm_for
from fwseal.cose.keys import SCHEMES, MacKey, PublicKey, der_to_raw

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from fwseal.base.ids import KeyLabel, Kid
    from fwseal.cose.keys import VerificationKey
    from fwseal.signing.keyring import Key

PrivateKey = (
    ec.EllipticCurvePrivateKey
    | ed25519.Ed25519PrivateKey
    | mldsa.MLDSA44PrivateKey
    | mldsa.MLDSA65PrivateKey
    | mldsa.MLDSA87PrivateKey
)

_MAP = 5
"""The CBOR major type of a COSE_Key."""

_GENERATE: Mapping[Kind, Callable[[], PrivateKey]] = {
    Kind.ED25519: ed25519.Ed25519PrivateKey.generate,
    Kind.ML_DSA_44: mldsa.MLDSA44PrivateKey.generate,
    Kind.ML_DSA_65: mldsa.MLDSA65PrivateKey.generate,
    Kind.ML_DSA_87: mldsa.MLDSA87PrivateKey.generate,
}


def generate(algorithm: Algorithm = Algorithm.ESP256) -> bytes:
    """Answer a new key for a file of mode 0600: unencrypted PKCS#8 PEM, for a MAC a COSE_Key."""
    kind = TABLE[algorithm].kind
    if kind is Kind.SECRET:
        secret = AESGCM.generate_key(bit_length=256)
        # RFC 9053 7.3: kty Symmetric, alg, k.
        return cbor.encode({1: 4, 3: int(algorithm), -1: secret})
    curve = CURVES.get(kind)
    made = ec.generate_private_key(curve) if curve is not None else _GENERATE[kind]()
    return made.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def public_of(pem: bytes, *, where: str) -> PublicKey:
    """Answer the public half of a private key; raises `Misuse`, for a shared secret too."""
    return PublicKey.of(_private(pem, where).public_key())


def _private(pem: bytes, where: str) -> PrivateKey:
    try:
        key = serialization.load_pem_private_key(pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise Misuse(f"{where}: not an unencrypted PEM private key") from None
    if not isinstance(key, PrivateKey):
        raise Misuse(f"{where}: not a P-256, P-384, P-521, Ed25519 or ML-DSA key")
    return key


def _load(data: bytes, where: str) -> PrivateKey | MacKey:
    # No PEM begins like this: it is how a CBOR map does.
    if data[:1] and data[0] >> 5 == _MAP:
        return MacKey.from_cose_key(data, where=where)
    return _private(data, where)


class SoftKey:
    """A `Signer` whose key is in memory; for development only."""

    def __init__(self, data: bytes, *, label: KeyLabel, kid: Kid, where: str) -> None:
        self.label = label
        self.kid = kid
        self._key = _load(data, where)
        self._public: VerificationKey = (
            self._key if isinstance(self._key, MacKey) else PublicKey.of(self._key.public_key())
        )
        self.algorithm = algorithm_for(self._public.kind)

    @classmethod
    def of(cls, entry: Key, data: bytes, *, where: str) -> SoftKey:
        """Answer the signer of an inventory entry whose URI is `file:`.

        Raises `Refused` (key-attributes) for a production key, `Misuse` for a file that holds
        another key than the inventory says.
        """
        from fwseal.signing.keyring import Environment  # a key named by its file needs no keyring

        if entry.environment is not Environment.DEVELOPMENT:
            raise Refused(
                Reason.KEY_ATTRIBUTES, f"production key {entry.label!r} may not live in a file"
            )
        signer = cls(data, label=entry.label, kid=entry.kid, where=where)
        if signer.public().identity != entry.public.identity:
            raise Misuse(
                f"{where} is not the key that the keyring names {entry.label!r}",
                hint="compare fingerprints: fwseal keys list",
            )
        signer.algorithm = entry.algorithm
        return signer

    def public(self) -> VerificationKey:
        """Answer the public key, or for a MAC the secret itself."""
        return self._public

    def sign(self, tbs: bytes) -> bytes:
        """Answer the raw signature (for ECDSA r || s) or tag over the message."""
        if isinstance(self._key, MacKey):
            return self._key.tag(tbs)
        if isinstance(self._key, ec.EllipticCurvePrivateKey):
            scheme = SCHEMES[TABLE[self.algorithm].hash]
            return der_to_raw(self._key.sign(tbs, scheme), self.algorithm)
        return self._key.sign(tbs)
