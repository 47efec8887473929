"""A digest is an algorithm and bytes; both are compared, in constant time."""

from __future__ import annotations

import dataclasses
import enum
import hashlib
import hmac
from typing import Protocol


class Hash(Protocol):
    """A running hash as hashlib makes them."""

    def update(self, data: bytes, /) -> None:
        """Take in more bytes."""
        ...

    def digest(self) -> bytes:
        """Answer the hash of all bytes so far."""
        ...


class DigestAlgorithm(enum.IntEnum):
    """COSE Algorithms registry (RFC 9054): those a SUIT_Digest may name."""

    SHA256 = -16
    SHA384 = -43
    SHA512 = -44

    @property
    def size(self) -> int:
        """Answer the length of the digest in bytes."""
        return _SIZES[self]

    def new(self) -> Hash:
        """Answer a fresh running hash."""
        return _HASHLIB[self]()


_HASHLIB = {
    DigestAlgorithm.SHA256: hashlib.sha256,
    DigestAlgorithm.SHA384: hashlib.sha384,
    DigestAlgorithm.SHA512: hashlib.sha512,
}
_SIZES = {one: new().digest_size for one, new in _HASHLIB.items()}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Digest:
    """What the bytes of one thing hash to."""

    algorithm: DigestAlgorithm
    value: bytes

    @classmethod
    def of(cls, data: bytes, algorithm: DigestAlgorithm = DigestAlgorithm.SHA256) -> Digest:
        """Answer the digest of the bytes given."""
        running = algorithm.new()
        running.update(data)
        return cls(algorithm=algorithm, value=running.digest())

    def fits(self, other: Digest) -> bool:
        """Answer whether both name the same bytes."""
        return self.algorithm is other.algorithm and hmac.compare_digest(self.value, other.value)

    def hex(self) -> str:
        """Answer the value in lower-case hex."""
        return self.value.hex()


def sha256_hex(data: bytes) -> str:
    """Answer the SHA-256 of the bytes given, in lower-case hex."""
    return hashlib.sha256(data).hexdigest()
