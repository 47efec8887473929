"""One table of signature and MAC algorithms: all that is to be known of one stands in its row."""

from __future__ import annotations

import dataclasses
import enum
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.asymmetric import ec

from fwseal.base.errors import Refused
from fwseal.base.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Mapping


class Algorithm(enum.IntEnum):
    """COSE Algorithms registry: RFC 9864, 9964, 9053 3.1; the deprecated ones RFC 9053 2."""

    ESP256 = -9
    ESP384 = -51
    ESP512 = -52
    ED25519 = -19
    ML_DSA_44 = -48
    ML_DSA_65 = -49
    ML_DSA_87 = -50
    HMAC_256 = 5
    ES256 = -7
    ES384 = -35
    ES512 = -36
    EDDSA = -8


class Kind(enum.Enum):
    """What a key is; it signs or verifies only with algorithms of its kind."""

    P256 = "P-256"
    P384 = "P-384"
    P521 = "P-521"
    ED25519 = "Ed25519"
    ML_DSA_44 = "ML-DSA-44"
    ML_DSA_65 = "ML-DSA-65"
    ML_DSA_87 = "ML-DSA-87"
    SECRET = "shared secret"  # noqa: S105 - the name of a kind


CURVES: Mapping[Kind, ec.EllipticCurve] = {
    Kind.P256: ec.SECP256R1(),
    Kind.P384: ec.SECP384R1(),
    Kind.P521: ec.SECP521R1(),
}
"""The kinds of key that sign with ECDSA."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """An algorithm: `size` is that of a raw signature or tag in bytes, `hash` named by hashlib."""

    name: str
    kind: Kind
    size: int
    hash: str = ""
    deprecated: bool = False
    """RFC 9864 deprecates what leaves the curve open: only a profile that names it accepts it."""


TABLE: Mapping[Algorithm, Row] = {
    Algorithm.ESP256: Row(name="ESP256", kind=Kind.P256, size=64, hash="sha256"),
    Algorithm.ESP384: Row(name="ESP384", kind=Kind.P384, size=96, hash="sha384"),
    Algorithm.ESP512: Row(name="ESP512", kind=Kind.P521, size=132, hash="sha512"),
    Algorithm.ED25519: Row(name="Ed25519", kind=Kind.ED25519, size=64),
    Algorithm.ML_DSA_44: Row(name="ML-DSA-44", kind=Kind.ML_DSA_44, size=2420),
    Algorithm.ML_DSA_65: Row(name="ML-DSA-65", kind=Kind.ML_DSA_65, size=3309),
    Algorithm.ML_DSA_87: Row(name="ML-DSA-87", kind=Kind.ML_DSA_87, size=4627),
    Algorithm.HMAC_256: Row(name="HMAC 256/256", kind=Kind.SECRET, size=32, hash="sha256"),
    # Off-spec: RFC 9053 2 leaves the curve of these to the key; here each is bound to one.
    Algorithm.ES256: Row(name="ES256", kind=Kind.P256, size=64, hash="sha256", deprecated=True),
    Algorithm.ES384: Row(name="ES384", kind=Kind.P384, size=96, hash="sha384", deprecated=True),
    Algorithm.ES512: Row(name="ES512", kind=Kind.P521, size=132, hash="sha512", deprecated=True),
    Algorithm.EDDSA: Row(name="EdDSA", kind=Kind.ED25519, size=64, deprecated=True),
}

NAMES: Mapping[str, Algorithm] = {row.name: one for one, row in TABLE.items()}
"""Every algorithm by the name that the registry gives it: what profiles and keyrings say."""

_OF_KIND: Mapping[Kind, Algorithm] = {
    row.kind: one for one, row in TABLE.items() if not row.deprecated
}


def algorithm(number: object) -> Algorithm:
    """Answer the algorithm of a COSE number.

    Raises `Refused` (unsupported-algorithm).
    """
    try:
        return Algorithm(number)  # type: ignore[arg-type]  # whatever it is, it is looked up
    except ValueError:
        raise Refused(
            Reason.UNSUPPORTED_ALGORITHM, f"COSE algorithm {number!r} is not supported"
        ) from None


def algorithm_named(name: str) -> Algorithm:
    """Answer the algorithm of a registry name such as `ESP256`; raises `KeyError`."""
    return NAMES[name]


def algorithm_for(kind: Kind) -> Algorithm:
    """Answer the fully specified algorithm of a kind of key."""
    return _OF_KIND[kind]


def registered(number: Algorithm) -> str:
    """Answer the name that the COSE Algorithms registry gives it, such as `HMAC 256/256`."""
    return TABLE[number].name
