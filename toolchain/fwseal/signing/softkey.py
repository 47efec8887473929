"""A key in a file is for development: it says so, and refuses any other use."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from fwseal.base.errors import Misuse, Refused
from fwseal.base.reasons import Reason
from fwseal.cose.algorithms import ECDSA, Algorithm
from fwseal.cose.keys import PublicKey, der_to_raw
from fwseal.signing.keyring import Environment

if TYPE_CHECKING:
    from fwseal.base.ids import KeyLabel, Kid
    from fwseal.signing.keyring import Key


def generate() -> bytes:
    """Answer a new P-256 private key as unencrypted PKCS#8 PEM, for a file of mode 0600."""
    return ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def public_of(pem: bytes, *, where: str) -> PublicKey:
    """Answer the public half of a private key; raises `Misuse`."""
    return PublicKey.of(_load(pem, where).public_key())


def _load(pem: bytes, where: str) -> ec.EllipticCurvePrivateKey:
    try:
        key = serialization.load_pem_private_key(pem, password=None)
    except (ValueError, TypeError):
        raise Misuse(f"{where}: not an unencrypted PEM private key") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise Misuse(f"{where}: not an elliptic-curve key")
    return key


class SoftKey:
    """A `Signer` whose key is in memory; for development only."""

    algorithm = Algorithm.ESP256

    def __init__(self, pem: bytes, *, label: KeyLabel, kid: Kid, where: str) -> None:
        self.label = label
        self.kid = kid
        self._key = _load(pem, where)
        self._public = PublicKey.of(self._key.public_key())

    @classmethod
    def of(cls, entry: Key, pem: bytes, *, where: str) -> SoftKey:
        """Answer the signer of an inventory entry whose URI is `file:`.

        Raises `Refused` (key-attributes) for a production key, `Misuse` for a file that holds
        another key than the inventory says.
        """
        if entry.environment is not Environment.DEVELOPMENT:
            raise Refused(
                Reason.KEY_ATTRIBUTES, f"production key {entry.label!r} may not live in a file"
            )
        signer = cls(pem, label=entry.label, kid=entry.kid, where=where)
        if signer.public().spki != entry.public.spki:
            raise Misuse(
                f"{where} is not the key that the keyring names {entry.label!r}",
                hint="compare fingerprints: fwseal keys list",
            )
        signer.algorithm = entry.algorithm
        return signer

    def public(self) -> PublicKey:
        """Answer the public key."""
        return self._public

    def sign(self, tbs: bytes) -> bytes:
        """Answer r || s over the message."""
        spec = ECDSA[self.algorithm]
        return der_to_raw(self._key.sign(tbs, ec.ECDSA(spec.hash)), self.algorithm)
