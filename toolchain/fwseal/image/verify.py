"""One desk check of a signed MCUboot image: an anchor is obligatory, and it raises."""

from __future__ import annotations

import dataclasses
import hmac
from typing import TYPE_CHECKING

from fwseal.base.errors import Refused
from fwseal.base.reasons import Reason
from fwseal.cose.algorithms import Algorithm
from fwseal.image import mcuboot
from fwseal.image.mcuboot import Image, Tlv

if TYPE_CHECKING:
    from fwseal.cose.keys import PublicKey

_KNOWN = (Tlv.SHA256, Tlv.KEYHASH, Tlv.ECDSA_SIG)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """Which image it is, and the fingerprint of the key that signed it; hex."""

    image: Image
    digest: str
    signer: str


def verify(data: bytes, *, anchors: tuple[PublicKey, ...]) -> Evidence:
    """Answer what a signed image file is, when one of the anchors signed it.

    Raises `Refused`: malformed, unsigned, unsupported (an unprotected TLV that nothing covers),
    unknown-signer, digest-mismatch, bad-signature.
    """
    image = mcuboot.decode(data)
    for kind, _ in image.unprotected:
        if kind not in _KNOWN:
            raise Refused(Reason.UNSUPPORTED, f"unprotected TLV {kind:#x} is covered by nothing")
    digest, keyhash, signature = (image.one(kind) for kind in _KNOWN)
    if signature is None or keyhash is None:
        raise Refused(Reason.UNSIGNED, "the image carries no signature with its key's hash")
    if digest is None or not hmac.compare_digest(digest, image.digest().value):
        raise Refused(Reason.DIGEST_MISMATCH, "the SHA256 TLV is not the image's digest")
    for anchor in anchors:
        if hmac.compare_digest(bytes.fromhex(anchor.fingerprint), keyhash):
            anchor.verify_der(signature, image.covered(), algorithm=Algorithm.ESP256)
            return Evidence(image=image, digest=image.digest().hex(), signer=anchor.fingerprint)
    raise Refused(Reason.UNKNOWN_SIGNER, "the image's key hash names no anchor")
