"""Whoever signs is asked two things: which key, and a signature; where the key lives is theirs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from fwseal.base.errors import Refused, Unavailable

if TYPE_CHECKING:
    from fwseal.base.ids import KeyLabel, Kid
    from fwseal.cose.algorithms import Algorithm
    from fwseal.cose.keys import PublicKey


class Signer(Protocol):
    """A key inside an HSM, behind a program, or in a development file."""

    @property
    def label(self) -> KeyLabel:
        """Answer the name people gave the key."""
        ...

    @property
    def kid(self) -> Kid:
        """Answer the key identifier that envelopes carry."""
        ...

    @property
    def algorithm(self) -> Algorithm:
        """Answer the one algorithm the key is for."""
        ...

    def public(self) -> PublicKey:
        """Answer the public key, as the inventory records it."""
        ...

    def sign(self, tbs: bytes) -> bytes:
        """Answer the raw signature over the whole message (for ECDSA r || s).

        Raises `Unavailable` when the key cannot be reached.
        """
        ...


def sign_checked(signer: Signer, tbs: bytes) -> bytes:
    """Answer a raw signature that was verified with the public key before anyone saw it."""
    signature = signer.sign(tbs)
    try:
        signer.public().verify(signature, tbs, algorithm=signer.algorithm)
    except Refused:
        raise Unavailable(
            f"key {signer.label!r} made a signature that its public key does not verify",
            hint="the inventory may name another key than the token holds; see fwseal keys list",
        ) from None
    return signature
