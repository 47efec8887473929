"""Our keys and Signers as python-tuf and securesystemslib know them; nothing is registered."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

from securesystemslib.signer import Key, Signature, SSlibKey
from securesystemslib.signer import Signer as SSlibSigner

from fwseal.base.errors import Misuse
from fwseal.cose.algorithms import CURVES, Kind
from fwseal.cose.keys import as_der
from fwseal.cose.signer import public_key, sign_checked

if TYPE_CHECKING:
    from fwseal.base.ids import KeyLabel
    from fwseal.cose.keys import PublicKey
    from fwseal.cose.signer import Signer

_KINDS = frozenset({*CURVES, Kind.ED25519})


def tuf_key(public: PublicKey, *, label: KeyLabel) -> SSlibKey:
    """Answer the key as it stands in metadata; its human label goes with it.

    Raises `Misuse` for ML-DSA: securesystemslib's scheme for it signs other bytes than ours.
    """
    if public.kind not in _KINDS:
        raise Misuse(
            f"key {label!r}: {public.kind.value} signs no TUF metadata", hint="use ECDSA or Ed25519"
        )
    key = SSlibKey.from_crypto(public.handle())
    key.unrecognized_fields["x-fwseal-label"] = str(label)
    return key


class TufSigner(SSlibSigner):
    """A Signer where securesystemslib wants one; ECDSA signatures in DER, as TUF has them."""

    def __init__(self, signer: Signer) -> None:
        self._signer = signer
        self._key = tuf_key(public_key(signer), label=signer.label)

    @property
    def public_key(self) -> Key:
        """Answer the key as it stands in metadata."""
        return self._key

    @classmethod
    def from_priv_key_uri(cls, *_: object, **__: object) -> NoReturn:
        """Refuse: keys come from the keyring, never from a URI in passing."""
        raise NotImplementedError

    def sign(self, payload: bytes) -> Signature:
        """Answer the verified signature over the payload."""
        raw = sign_checked(self._signer, payload)
        return Signature(self._key.keyid, as_der(raw, self._signer.algorithm).hex())
