"""The signatures of a release: the boot stage's over the image, the device's over the manifest.

The image is signed first: its file is then final, and the manifest can name it. Each signature is
verified with the public key of the inventory before it is answered; one that was made elsewhere,
before it is embedded.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from fwseal.base.errors import Misuse, Refused
from fwseal.base.ids import KeyLabel
from fwseal.base.reasons import Reason
from fwseal.cose.algorithms import TABLE, Kind
from fwseal.cose.keys import as_der, raw_to_der
from fwseal.cose.messages import new_block
from fwseal.cose.signer import public_key, sign_checked
from fwseal.suit import envelope as envelopes

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fwseal.base.ids import Kid
    from fwseal.cose.algorithms import Algorithm
    from fwseal.cose.keys import VerificationKey
    from fwseal.cose.messages import Block
    from fwseal.cose.signer import Signer
    from fwseal.signing.keyring import Key
    from fwseal.suit.envelope import Envelope


def sign_image(unsigned: bytes, signer: Signer) -> bytes:
    """Answer the MCUboot image that devices fetch; raises `Refused` when it is not one.

    Raises `Misuse` for a key that the boot stage cannot verify with.
    """
    from fwseal.image import mcuboot  # only images want it, and all verbs that sign start here

    covered = mcuboot.decode(unsigned).covered()
    public = public_key(signer)
    if TABLE[signer.algorithm].kind is not Kind.P256:
        raise Misuse(
            f"key {signer.label!r} is no P-256 key, which the boot stage verifies with",
            hint="make a boot key for ESP256",
        )
    raw = sign_checked(signer, covered)
    return mcuboot.with_signature(
        unsigned,
        keyhash=bytes.fromhex(public.fingerprint),
        signature_der=raw_to_der(raw, signer.algorithm),
    )


def sign_envelope(manifest: bytes, *signers: Signer) -> bytes:
    """Answer the envelope around exactly these manifest bytes, with one block of each signer."""
    return signed(envelopes.seal(manifest), *signers).encode()


def signed(envelope: Envelope, *signers: Signer) -> Envelope:
    """Answer the envelope with one more block of each signer, behind those it has.

    SUIT manifest-37 8.3; RFC 9052 4.4, 6.3. Raises `Unavailable`.
    """
    for signer in signers:
        block = new_block(signer.algorithm, signer.kid)
        raw = sign_checked(signer, block.tbs(envelope.digest_bytes))
        envelope = _with(envelope, block, raw)
    return envelope


def to_be_signed(envelope: Envelope, *, algorithm: Algorithm) -> bytes:
    """Answer the Sig_structure or MAC_structure that a signer elsewhere signs, whole."""
    return new_block(algorithm, None).tbs(envelope.digest_bytes)


def attached(
    envelope: Envelope,
    *,
    key: VerificationKey,
    algorithm: Algorithm,
    kid: Kid,
    signature: bytes,
) -> Envelope:
    """Answer the envelope with a raw signature (for ECDSA r || s) that was made elsewhere.

    Raises `Refused` when it is not the key's over `to_be_signed`: unsupported-algorithm,
    bad-signature.
    """
    block = new_block(algorithm, kid)
    key.verify(signature, block.tbs(envelope.digest_bytes), algorithm=algorithm)
    return _with(envelope, block, signature)


def _with(envelope: Envelope, block: Block, signature: bytes) -> Envelope:
    return envelopes.with_block(envelope, dataclasses.replace(block, signature=signature))


def verified_statement(data: bytes, keys: Mapping[KeyLabel, Key]) -> bytes:
    """Answer the in-toto Statement of a DSSE envelope that one of the keys signed.

    Raises `Refused`: malformed, unsigned, unknown-signer, bad-signature (DSSE v1.0.2).
    """
    from fwseal.base import statements

    payload, signatures = statements.opened(data)
    if not signatures:
        raise Refused(Reason.UNSIGNED, "nobody signed the statement")
    for keyid, signature in signatures:
        key = keys.get(KeyLabel(keyid))
        if key:
            key.public.verify_der(signature, statements.pae(payload), algorithm=key.algorithm)
            return payload
    raise Refused(Reason.UNKNOWN_SIGNER, f"{signatures[0][0]!r} is no key of the keyring")


def sign_statement(payload: bytes, signer: Signer) -> bytes:
    """Answer a DSSE envelope around an in-toto Statement; raises `Misuse` for a shared secret."""
    from fwseal.base import statements

    public_key(signer)
    raw = sign_checked(signer, statements.pae(payload))
    return statements.envelope(payload, keyid=signer.label, signature=as_der(raw, signer.algorithm))
