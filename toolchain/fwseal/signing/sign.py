"""The two signatures of a release: the boot stage's over the image, the device's over the manifest.

The image is signed first: its file is then final, and the manifest can name it. Each signature is
verified with the public key of the inventory before it is answered.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fwseal.base import statements
from fwseal.cose.keys import raw_to_der
from fwseal.cose.messages import Sign1, protected_header
from fwseal.cose.signer import sign_checked
from fwseal.image import mcuboot
from fwseal.suit import envelope as envelopes

if TYPE_CHECKING:
    from fwseal.cose.signer import Signer


def sign_image(unsigned: bytes, signer: Signer) -> bytes:
    """Answer the MCUboot image that devices fetch; raises `Refused` when it is not one."""
    covered = mcuboot.decode(unsigned).covered()
    raw = sign_checked(signer, covered)
    return mcuboot.with_signature(
        unsigned,
        keyhash=bytes.fromhex(signer.public().fingerprint),
        signature_der=raw_to_der(raw, signer.algorithm),
    )


def sign_envelope(manifest: bytes, signer: Signer) -> bytes:
    """Answer the envelope around exactly these manifest bytes, with one COSE_Sign1.

    SUIT manifest-37 8.3; RFC 9052 4.4.
    """
    sealed = envelopes.seal(manifest)
    block = Sign1(
        protected=protected_header(signer.algorithm),
        algorithm=signer.algorithm,
        kid=signer.kid,
        signature=b"",
    )
    raw = sign_checked(signer, block.tbs(sealed.digest_bytes))
    signed = Sign1(
        protected=block.protected, algorithm=block.algorithm, kid=block.kid, signature=raw
    )
    return envelopes.with_block(sealed, signed).encode()


def sign_statement(payload: bytes, signer: Signer) -> bytes:
    """Answer a DSSE envelope around an in-toto Statement."""
    raw = sign_checked(signer, statements.pae(payload))
    return statements.envelope(
        payload, keyid=signer.label, signature=raw_to_der(raw, signer.algorithm)
    )
