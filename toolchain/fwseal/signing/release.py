"""A release is signed in order: images by the boot key, then the envelope by the release key.

Each role answers the release's next state and the files that it adds; a role already signed is
not signed again.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from fwseal.base.digest import sha256_hex
from fwseal.base.errors import Misuse, Refused
from fwseal.base.ids import Role
from fwseal.base.reasons import Reason
from fwseal.base.release import PayloadFormat, Release, State
from fwseal.image import mcuboot
from fwseal.image.verify import verify
from fwseal.signing.sign import sign_envelope, sign_image
from fwseal.suit import author

if TYPE_CHECKING:
    from collections.abc import Callable

    from fwseal.base.release import Payload
    from fwseal.cose.keys import PublicKey
    from fwseal.cose.signer import Signer

BOOT, RELEASE = Role("boot"), Role("release")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Grown:
    """A release one signature further, and the files it gained."""

    release: Release
    files: dict[str, bytes]


def remaining(release: Release) -> tuple[Role, ...]:
    """Answer the roles that still have to sign, in their order."""
    if release.state is State.SIGNED:
        return ()
    images = any(one.format is PayloadFormat.MCUBOOT for one in release.payloads)
    if release.state is State.BUILT and images:
        return (BOOT, RELEASE)
    return (RELEASE,)


def sign_boot(
    release: Release, spec: author.Spec | None, *, read: Callable[[str], bytes], signer: Signer
) -> Grown:
    """Answer the release with signed images, final payloads and the manifest made from them.

    Raises `Refused` (digest-mismatch) for an image that is not the one that was built.
    """
    images = {}
    for payload in release.payloads:
        unsigned = read(f"unsigned/{payload.file}")
        if sha256_hex(unsigned) != payload.unsigned_sha256:
            raise Refused(
                Reason.DIGEST_MISMATCH,
                f"{payload.file} is not the file that was built",
                where=f"unsigned/{payload.file}",
            )
        is_image = payload.format is PayloadFormat.MCUBOOT
        images[payload.file] = sign_image(unsigned, signer) if is_image else unsigned
    release, manifest = author.finalized(release, spec, images)
    files = {f"payloads/{name}": data for name, data in images.items()}
    return Grown(
        release=dataclasses.replace(release, state=State.IMAGES_SIGNED),
        files={**files, "manifest.cbor": manifest},
    )


def sign_release(
    release: Release,
    spec: author.Spec | None,
    *,
    read: Callable[[str], bytes],
    signer: Signer,
    boot: PublicKey | None,
) -> Grown:
    """Answer the release with its envelope; `boot` is the key that signed the MCUboot images.

    Raises `Misuse` before the images are signed, `Refused` (layers-disagree) when manifest.cbor is
    not the manifest of exactly these payloads, or a payload not the image that was built: the key
    signs nothing it was not meant for.
    """
    if BOOT in remaining(release):
        raise Misuse("the images are not signed yet", hint="fwseal sign RELEASE --as boot")
    images = {one.file: read(f"payloads/{one.file}") for one in release.payloads}
    for payload in release.payloads:
        _check_payload(release, payload, images[payload.file], boot)
    manifest = read("manifest.cbor")
    if author.finalized(release, spec, images) != (release, manifest):
        raise Refused(
            Reason.LAYERS_DISAGREE,
            "manifest.cbor is not the manifest of this release's payloads",
            where="manifest.cbor",
        )
    envelope = sign_envelope(manifest, signer)
    return Grown(
        release=dataclasses.replace(release, state=State.SIGNED),
        files={"envelope.suit": envelope},
    )


def _check_payload(release: Release, payload: Payload, data: bytes, boot: PublicKey | None) -> None:
    """Return when a final payload is what was built, for this version and number."""
    if payload.format is PayloadFormat.RAW or boot is None:
        digest, said = sha256_hex(data), payload.unsigned_sha256
    else:
        image = verify(data, anchors=(boot,)).image
        version = mcuboot.Version.parse(release.version)
        counter = int.from_bytes(image.one(mcuboot.Tlv.SEC_CNT) or b"", "little")
        digest = f"{image.digest().hex()} {image.header.version} {counter}"
        said = f"{payload.unsigned_sha256} {version} {release.sequence_number}"
    if digest != said:
        raise Refused(
            Reason.LAYERS_DISAGREE,
            f"{payload.file} is {digest}, the release says {said}",
            where=f"payloads/{payload.file}",
        )
