"""One table of signature algorithms: number, curve, hash, and whether a profile must name it."""

from __future__ import annotations

import dataclasses
import enum
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from fwseal.base.errors import Refused
from fwseal.base.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Mapping


class Algorithm(enum.IntEnum):
    """COSE Algorithms registry; RFC 9864 for the fully specified, RFC 9053 for the deprecated."""

    ESP256 = -9
    ES256 = -7


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Ecdsa:
    """How an ECDSA algorithm signs; `size` is the length of r or s in bytes."""

    curve: ec.EllipticCurve
    hash: hashes.HashAlgorithm
    size: int
    deprecated: bool = False


ECDSA: Mapping[Algorithm, Ecdsa] = {
    Algorithm.ESP256: Ecdsa(curve=ec.SECP256R1(), hash=hashes.SHA256(), size=32),
    # RFC 9864 deprecates the polymorphic ES256; only a profile that names it accepts it.
    Algorithm.ES256: Ecdsa(curve=ec.SECP256R1(), hash=hashes.SHA256(), size=32, deprecated=True),
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
    return Algorithm[name]
