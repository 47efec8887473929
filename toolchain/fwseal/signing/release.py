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
from fwseal.signing.sign import attached, sign_image, signed
from fwseal.suit import author

if TYPE_CHECKING:
    from collections.abc import Callable

    from fwseal.base.release import Payload
    from fwseal.cose.keys import PublicKey
    from fwseal.cose.signer import Signer
    from fwseal.signing.keyring import Key
    from fwseal.suit.envelope import Envelope

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
    images = built(release, read=read)
    for payload in release.payloads:
        if payload.format is PayloadFormat.MCUBOOT:
            images[payload.file] = sign_image(images[payload.file], signer)
    release, draft = author.released(release, spec, images, files=beside(spec, read=read))
    files = {f"payloads/{name}": data for name, data in images.items()}
    return Grown(
        release=dataclasses.replace(release, state=State.IMAGES_SIGNED),
        files={**files, "manifest.cbor": draft.manifest},
    )


def sign_release(release: Release, envelope: Envelope, *, signer: Signer) -> Grown:
    """Answer the release with its envelope, signed; `envelope` is what `unsigned` answered.

    What is signed is what was looked at, whatever became of the files since. Raises `Unavailable`.
    """
    return _grown(release, signed(envelope, signer))


def attach_release(release: Release, envelope: Envelope, *, key: Key, signature: bytes) -> Grown:
    """Answer the release with a signature in its envelope that was made elsewhere.

    `envelope` is what `unsigned` answered. Raises `Refused` (bad-signature, unsupported-algorithm)
    for one that is not the key's over exactly that.
    """
    done = attached(
        envelope, key=key.public, algorithm=key.algorithm, kid=key.kid, signature=signature
    )
    return _grown(release, done)


def _grown(release: Release, envelope: Envelope) -> Grown:
    return Grown(
        release=dataclasses.replace(release, state=State.SIGNED),
        files={"envelope.suit": envelope.encode()},
    )


def unsigned(
    release: Release,
    spec: author.Spec | None,
    *,
    read: Callable[[str], bytes],
    boot: PublicKey | None,
) -> Envelope:
    """Answer the envelope of a release whose images are final, as the release key is to sign it.

    `boot` is the key that signed the MCUboot images. Raises `Misuse` before they are signed,
    `Refused` (layers-disagree) when manifest.cbor is not the manifest of exactly these payloads,
    or a payload not the image that was built: the key signs nothing it was not meant for.
    """
    if BOOT in remaining(release):
        raise Misuse("the images are not signed yet", hint="fwseal sign RELEASE --as boot")
    images = {one.file: read(f"payloads/{one.file}") for one in release.payloads}
    for payload in release.payloads:
        _check_payload(release, payload, images[payload.file], boot)
    made, draft = author.released(release, spec, images, files=beside(spec, read=read))
    if (made, draft.manifest) != (release, read("manifest.cbor")):
        raise Refused(
            Reason.LAYERS_DISAGREE,
            "manifest.cbor is not the manifest of this release's payloads",
            where="manifest.cbor",
        )
    return draft.envelope()


def planned(
    release: Release, spec: author.Spec | None, *, read: Callable[[str], bytes]
) -> tuple[Envelope, dict[str, bytes]]:
    """Answer the envelope that a release would have if its images were signed as they are.

    With it the images by their file names. Nobody signs this; it is what lint can look at before
    a key is asked. Raises `Refused` (digest-mismatch), `Misuse`.
    """
    images = built(release, read=read)
    _, draft = author.released(release, spec, images, files=beside(spec, read=read))
    return draft.envelope(), images


def built(release: Release, *, read: Callable[[str], bytes]) -> dict[str, bytes]:
    """Answer the images as they were built; raises `Refused` (digest-mismatch) for others."""
    images = {}
    for payload in release.payloads:
        data = images[payload.file] = read(f"unsigned/{payload.file}")
        if sha256_hex(data) != payload.unsigned_sha256:
            raise Refused(
                Reason.DIGEST_MISMATCH,
                f"{payload.file} is not the file that was built",
                where=f"unsigned/{payload.file}",
            )
    return images


def beside(spec: author.Spec | None, *, read: Callable[[str], bytes]) -> dict[str, bytes]:
    """Answer the files that a manifest speaks of and no build made: dependencies and contents."""
    if spec is None:
        return {}
    names = {one.file for one in spec.dependencies} | spec.files()
    return {name: read(f"inputs/{name}") for name in sorted(names)}


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
