"""A content key reaches a device wrapped, and only the key it was wrapped for gives it back.

AES Key Wrap (RFC 9053 6.2.1) and ECDH-ES + A128KW on P-256 (RFC 9053 6.4.1), as
draft-ietf-suit-firmware-encryption-24 5 profiles them.
"""

from __future__ import annotations

import dataclasses
import enum
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives import hashes, keywrap
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from fwseal.base import cbor
from fwseal.base.errors import Misuse, Refused
from fwseal.base.reasons import Reason
from fwseal.cose.messages import Header

if TYPE_CHECKING:
    from collections.abc import Callable

    from fwseal.base.ids import Kid

P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
EPHEMERAL_KEY = -1
"""COSE Header Algorithm Parameters registry (RFC 9053 6.3.1)."""

WRAPPING = 8
"""Bytes that AES Key Wrap adds (RFC 3394 2.2.1)."""

_COORDINATE = 32
_TRIES = 64
_SUPP_PUB_OTHER = b"SUIT Payload Encryption"
_NO_PARTY = (None, None, None)


class KeyAlgorithm(enum.IntEnum):
    """COSE Algorithms registry: how a content key is wrapped."""

    A128KW = -3
    A192KW = -4
    A256KW = -5
    ECDH_ES_A128KW = -29

    @property
    def registered(self) -> str:
        """Answer the registry's own name."""
        return "ECDH-ES+A128KW" if self is KeyAlgorithm.ECDH_ES_A128KW else self.name

    @property
    def protected(self) -> bytes:
        """Answer the one protected header a recipient of this algorithm has."""
        if self is KeyAlgorithm.ECDH_ES_A128KW:
            return cbor.encode({int(Header.ALG): int(self)})
        return b""  # RFC 9052 8.5.2: zero length, since AES Key Wrap covers no header


KEK_SIZES = {KeyAlgorithm.A128KW: 16, KeyAlgorithm.A192KW: 24, KeyAlgorithm.A256KW: 32}
"""Key-encryption keys, in bytes."""


class KeyLabel(enum.IntEnum):
    """COSE_Key parameters (RFC 9052 7.1) and those of EC2 (RFC 9053 7.1.1)."""

    KTY = 1
    KID = 2
    ALG = 3
    KEY_OPS = 4
    CRV = -1
    X = -2
    Y = -3
    D = -4


SYMMETRIC_K = -1
EC2, SYMMETRIC, P256 = 2, 4, 1
"""Key types and the curve."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """A point of P-256 that was checked to be one; no other can be made."""

    x: bytes
    y: bytes

    def __post_init__(self) -> None:
        self.handle()

    def handle(self) -> ec.EllipticCurvePublicKey:
        """Answer the point as `cryptography` uses it; raises `ValueError` off the curve."""
        if (len(self.x), len(self.y)) != (_COORDINATE, _COORDINATE):
            raise ValueError("x and y are not 32 bytes each")
        # An invalid curve would let an ephemeral key read the device's own, bit by bit.
        return ec.EllipticCurvePublicKey.from_encoded_point(
            ec.SECP256R1(), b"\x04" + self.x + self.y
        )

    @classmethod
    def of(cls, key: ec.EllipticCurvePublicKey) -> Point:
        """Answer the point of a P-256 key."""
        numbers = key.public_numbers()
        return cls(
            x=numbers.x.to_bytes(_COORDINATE, "big"), y=numbers.y.to_bytes(_COORDINATE, "big")
        )

    def cose_key(self) -> dict[cbor.Key, cbor.Value]:
        """Answer the COSE_Key that holds the point and nothing else."""
        return {
            int(KeyLabel.KTY): EC2,
            int(KeyLabel.CRV): P256,
            int(KeyLabel.X): self.x,
            int(KeyLabel.Y): self.y,
        }


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Recipient:
    """One COSE_recipient: a content key, wrapped; `ephemeral` is there for ECDH alone."""

    algorithm: KeyAlgorithm
    kid: Kid | None
    ephemeral: Point | None = None
    wrapped: bytes

    @property
    def protected(self) -> bytes:
        """Answer the protected header, which the algorithm fixes."""
        return self.algorithm.protected

    def structure(self) -> tuple[cbor.Value, ...]:
        """Answer the COSE_recipient array (RFC 9052 5.1)."""
        unprotected: dict[cbor.Key, cbor.Value] = {}
        if self.ephemeral is None:
            unprotected[int(Header.ALG)] = int(self.algorithm)
        else:
            unprotected[EPHEMERAL_KEY] = self.ephemeral.cose_key()
        if self.kid is not None:
            unprotected[int(Header.KID)] = self.kid.encode()
        return (self.protected, unprotected, self.wrapped)


def kdf_context(protected: bytes) -> bytes:
    """Answer the COSE_KDF_Context of a 128-bit wrapping key (RFC 9053 5.2).

    draft-ietf-suit-firmware-encryption-24 5.2.4: AlgorithmID is that of the key wrap, parties are
    nil, and the protected header of the recipient is bound in.
    """
    supp_pub_info = (8 * KEK_SIZES[KeyAlgorithm.A128KW], protected, _SUPP_PUB_OTHER)
    return cbor.encode((int(KeyAlgorithm.A128KW), _NO_PARTY, _NO_PARTY, supp_pub_info))


def _agreed(private: ec.EllipticCurvePrivateKey, public: Point) -> bytes:
    """Answer the wrapping key of both sides: ECDH, then HKDF-SHA-256 without salt."""
    secret = private.exchange(ec.ECDH(), public.handle())
    return HKDF(
        algorithm=hashes.SHA256(),
        length=KEK_SIZES[KeyAlgorithm.A128KW],
        salt=None,
        info=kdf_context(KeyAlgorithm.ECDH_ES_A128KW.protected),
    ).derive(secret)


def _unwrapped(kek: bytes, wrapped: bytes) -> bytes:
    try:
        return keywrap.aes_key_unwrap(kek, wrapped)
    except keywrap.InvalidUnwrap:
        raise Refused(Reason.DECRYPTION_FAILED, "the content key does not unwrap") from None


def _scalar(random: Callable[[int], bytes]) -> int:
    # Rejection, so that every scalar is as likely as any other (FIPS 186-5 A.2.2).
    for _ in range(_TRIES):
        scalar = int.from_bytes(random(_COORDINATE), "big")
        if 0 < scalar < P256_ORDER:
            return scalar
    raise Misuse("the source of randomness gives no scalar of P-256")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Kek:
    """A key-encryption key that author and device share."""

    kid: Kid | None
    secret: bytes = dataclasses.field(repr=False)

    @property
    def algorithm(self) -> KeyAlgorithm:
        """Answer the AES Key Wrap of the key's size."""
        return next(name for name, size in KEK_SIZES.items() if size == len(self.secret))

    def wrap(self, content_key: bytes, random: Callable[[int], bytes]) -> Recipient:
        """Answer the recipient that holds the content key; AES Key Wrap draws nothing."""
        del random
        wrapped = keywrap.aes_key_wrap(self.secret, content_key)
        return Recipient(algorithm=self.algorithm, kid=self.kid, wrapped=wrapped)

    def unwrap(self, recipient: Recipient) -> bytes:
        """Answer the content key of a recipient; raises `Refused` (decryption-failed)."""
        return _unwrapped(self.secret, recipient.wrapped)

    def encode(self) -> bytes:
        """Answer the key as a COSE_Key file; it is secret."""
        fields: dict[cbor.Key, cbor.Value] = {
            int(KeyLabel.KTY): SYMMETRIC,
            int(KeyLabel.ALG): int(self.algorithm),
            SYMMETRIC_K: self.secret,
        }
        return _cose_key(fields, self.kid)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class AgreementPublic:
    """What an author knows of a device that agrees on keys: its public point."""

    kid: Kid | None
    point: Point

    @property
    def algorithm(self) -> KeyAlgorithm:
        """Answer ECDH-ES+A128KW, the only agreement there is here."""
        return KeyAlgorithm.ECDH_ES_A128KW

    def wrap(self, content_key: bytes, random: Callable[[int], bytes]) -> Recipient:
        """Answer the recipient that holds the content key, under a fresh ephemeral key.

        Raises `Misuse` when the randomness gives no key.
        """
        private = ec.derive_private_key(_scalar(random), ec.SECP256R1())
        return Recipient(
            algorithm=self.algorithm,
            kid=self.kid,
            ephemeral=Point.of(private.public_key()),
            wrapped=keywrap.aes_key_wrap(_agreed(private, self.point), content_key),
        )

    def encode(self) -> bytes:
        """Answer the key as a COSE_Key file; it may be given away."""
        return _cose_key(self.point.cose_key(), self.kid)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class AgreementKey:
    """What a device holds of its own: the private half of a P-256 key."""

    kid: Kid | None
    scalar: bytes = dataclasses.field(repr=False)

    @property
    def algorithm(self) -> KeyAlgorithm:
        """Answer ECDH-ES+A128KW, the only agreement there is here."""
        return KeyAlgorithm.ECDH_ES_A128KW

    def public(self) -> AgreementPublic:
        """Answer the half that authors are given."""
        return AgreementPublic(kid=self.kid, point=Point.of(self._handle().public_key()))

    def unwrap(self, recipient: Recipient) -> bytes:
        """Answer the content key of a recipient; raises `Refused` (decryption-failed)."""
        if recipient.ephemeral is None:
            raise AssertionError
        return _unwrapped(_agreed(self._handle(), recipient.ephemeral), recipient.wrapped)

    def encode(self) -> bytes:
        """Answer the key as a COSE_Key file; it is secret."""
        fields = self.public().point.cose_key()
        fields[int(KeyLabel.ALG)] = int(self.algorithm)
        fields[int(KeyLabel.D)] = self.scalar
        return _cose_key(fields, self.kid)

    def _handle(self) -> ec.EllipticCurvePrivateKey:
        return ec.derive_private_key(int.from_bytes(self.scalar, "big"), ec.SECP256R1())


RecipientKey = Kek | AgreementKey
"""What a device holds."""

RecipientPublic = Kek | AgreementPublic
"""What an author encrypts for."""


def new_recipient_key(
    algorithm: KeyAlgorithm, *, kid: Kid | None, random: Callable[[int], bytes]
) -> RecipientKey:
    """Answer a new key for a device, from randomness that is handed in; raises `Misuse`."""
    if algorithm is KeyAlgorithm.ECDH_ES_A128KW:
        return AgreementKey(kid=kid, scalar=_scalar(random).to_bytes(_COORDINATE, "big"))
    return Kek(kid=kid, secret=random(KEK_SIZES[algorithm]))


def _cose_key(fields: dict[cbor.Key, cbor.Value], kid: Kid | None) -> bytes:
    return cbor.encode(fields if kid is None else {**fields, int(KeyLabel.KID): kid.encode()})
