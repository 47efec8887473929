"""Whoever signs is asked two things: which key, and a signature; where the key lives is theirs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from fwseal.base.errors import Misuse, Refused, Unavailable
from fwseal.cose.keys import PublicKey

if TYPE_CHECKING:
    from fwseal.base.ids import KeyLabel, Kid
    from fwseal.cose.algorithms import Algorithm
    from fwseal.cose.keys import VerificationKey


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

    def public(self) -> VerificationKey:
        """Answer what verifies its signatures: the public key, as the inventory records it.

        For a MAC that is the shared secret, which is never written out.
        """
        ...

    def sign(self, tbs: bytes) -> bytes:
        """Answer the raw signature over the whole message (for ECDSA r || s), or its MAC.

        Raises `Unavailable` when the key cannot be reached.
        """
        ...


def public_key(signer: Signer) -> PublicKey:
    """Answer the signer's public key; raises `Misuse` for a shared secret, which has none."""
    key = signer.public()
    if not isinstance(key, PublicKey):
        raise Misuse(
            f"key {signer.label!r} is a shared secret and authenticates manifests only",
            hint="use a key pair here",
        )
    return key


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
