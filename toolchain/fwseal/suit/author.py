"""From what a recipe says and what a payload is to a manifest; encodings are never guessed.

draft-ietf-suit-manifest-37 7: the templates' sequences, in the drafts' own order.
"""

from __future__ import annotations

import dataclasses
import hashlib
import uuid
from typing import TYPE_CHECKING

from fwseal.base.digest import Digest, DigestAlgorithm
from fwseal.base.errors import Misuse
from fwseal.suit.labels import Command, ManifestKey, Parameter
from fwseal.suit.manifest import Manifest
from fwseal.suit.sequence import Override, Plain

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fwseal.base.ids import ComponentId
    from fwseal.base.release import Release
    from fwseal.base.tables import Table

TEMPLATES = ("single-image",)

_RECORD_ALL = 15
_RECORD_FAILURE = 2
"""Reporting policies (M 8.4.7) as the drafts' own examples set them."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    """The `[manifest]` part of a recipe."""

    template: str
    reference_uri: str | None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class PayloadFacts:
    """What the manifest must say of a payload; size in bytes."""

    component: ComponentId
    uri: str
    size: int
    sha256: bytes


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Which device the manifest is for, and where it stands in the order of releases."""

    vendor_id: uuid.UUID
    class_id: uuid.UUID
    sequence_number: int


def spec(table: Table) -> Spec:
    """Answer the `[manifest]` table; raises `Misuse`."""
    found = Spec(
        template=table.one_of("template", TEMPLATES),
        reference_uri=table.take("reference-uri", str) if table.has("reference-uri") else None,
    )
    table.done()
    return found


def single_image(what: Spec, target: Target, payload: PayloadFacts) -> bytes:
    """Answer the manifest that fetches one image, checks it, and validates it on each boot."""
    match = Plain(Command.CONDITION_IMAGE_MATCH, _RECORD_ALL)
    digest = Digest(algorithm=DigestAlgorithm.SHA256, value=payload.sha256)
    manifest = Manifest(
        sequence_number=target.sequence_number,
        components=(payload.component,),
        shared_sequence=(
            Override(
                {
                    Parameter.VENDOR_IDENTIFIER: target.vendor_id.bytes,
                    Parameter.CLASS_IDENTIFIER: target.class_id.bytes,
                    Parameter.IMAGE_DIGEST: digest,
                    Parameter.IMAGE_SIZE: payload.size,
                }
            ),
            Plain(Command.CONDITION_VENDOR_IDENTIFIER, _RECORD_ALL),
            Plain(Command.CONDITION_CLASS_IDENTIFIER, _RECORD_ALL),
        ),
        reference_uri=what.reference_uri,
        sequences={
            ManifestKey.VALIDATE: (match,),
            ManifestKey.INSTALL: (
                Override({Parameter.URI: payload.uri}),
                Plain(Command.DIRECTIVE_FETCH, _RECORD_FAILURE),
                match,
            ),
        },
    )
    return manifest.encode()


def finalized(
    release: Release, what: Spec | None, images: Mapping[str, bytes]
) -> tuple[Release, bytes]:
    """Answer the release with its payloads' sizes and digests, and its manifest, made once.

    `images` maps payload file names to the bytes devices fetch. Raises `Misuse` for a recipe
    without a manifest, or with other than one payload.
    """
    if what is None or len(release.payloads) != 1:
        raise Misuse(
            f"release {release.name} has {len(release.payloads)} payloads and "
            f"{'no' if what is None else 'a'} manifest",
            hint="template single-image ships exactly one payload",
        )
    (payload,) = release.payloads
    image = images[payload.file]
    payload = dataclasses.replace(
        payload,
        size=len(image),
        sha256=hashlib.sha256(image).hexdigest(),
        sha512=hashlib.sha512(image).hexdigest(),
    )
    target = Target(
        vendor_id=uuid.UUID(release.vendor_id),
        class_id=uuid.UUID(release.class_id),
        sequence_number=release.sequence_number,
    )
    facts = PayloadFacts(
        component=tuple(bytes.fromhex(part) for part in payload.component.split("/")),
        uri=payload.uri,
        size=payload.size,
        sha256=bytes.fromhex(payload.sha256),
    )
    return dataclasses.replace(release, payloads=(payload,)), single_image(what, target, facts)
