"""From what a recipe says and what its files are to an envelope that wants a signature.

What is written is read back: a manifest our own codec refuses is refused here, at its place.
draft-ietf-suit-manifest-37 7, 8.
"""

from __future__ import annotations

import dataclasses
import hashlib
from typing import TYPE_CHECKING

from fwseal.base.digest import Digest, DigestAlgorithm
from fwseal.base.errors import Misuse
from fwseal.suit import envelope as envelopes
from fwseal.suit import manifest as manifests
from fwseal.suit import severing
from fwseal.suit.labels import Command, ManifestKey, Parameter
from fwseal.suit.manifest import Manifest
from fwseal.suit.recipes import TEMPLATES, Spec, component, dependencies, payload_uri, spec
from fwseal.suit.sequence import Override, Plain, SetParameters

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from fwseal.base.ids import ComponentId
    from fwseal.base.release import Release
    from fwseal.cose.encryption import Encrypt
    from fwseal.suit.envelope import Envelope
    from fwseal.suit.sequence import Sequence

    _Sequences = tuple[Sequence, dict[ManifestKey, Sequence]]

__all__ = [
    "TEMPLATES", "Draft", "Goods", "PayloadFacts", "Spec", "Target",
    "component", "dependencies", "drafted", "facts_of", "payload_uri", "released", "spec",
]  # fmt: skip
"""Reading a recipe and writing its manifest, under one name."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class PayloadFacts:
    """What the manifest must say of a payload; size in bytes, both of the plaintext."""

    component: ComponentId
    uri: str
    size: int
    sha256: bytes
    encryption: Encrypt | None = None

    @property
    def digest(self) -> Digest:
        """Answer the digest as a manifest has it."""
        return Digest(algorithm=DigestAlgorithm.SHA256, value=self.sha256)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Which device the manifest is for, and where it stands in the order of releases.

    The identifiers are the bytes of UUIDs.
    """

    vendor_id: bytes
    class_id: bytes
    sequence_number: int


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Goods:
    """What a recipe speaks of, by file name.

    `files` holds the bytes of dependencies, of contents, and of integrated payloads as they travel.
    """

    payloads: Mapping[str, PayloadFacts]
    files: Mapping[str, bytes] = dataclasses.field(default_factory=dict)

    def file(self, name: str) -> bytes:
        """Answer a file's bytes; raises `Misuse` when it was not handed in."""
        if name not in self.files:
            raise Misuse(f"file {name} is not there", hint="put it beside the recipe")
        return self.files[name]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A manifest's bytes, and what stands beside it in its envelope."""

    manifest: bytes
    severed: Mapping[ManifestKey, bytes]
    integrated: Mapping[str, bytes]

    def envelope(self) -> Envelope:
        """Answer the envelope, without any signature yet."""
        return envelopes.seal(self.manifest, severed=self.severed, integrated=self.integrated)


def drafted(what: Spec, target: Target, goods: Goods) -> Draft:
    """Answer what a recipe's `[manifest]` says of these goods, for that device.

    Raises `Misuse` for a recipe that does not fit its files, and `Refused` for a manifest or a
    dependency that our own codec refuses.
    """
    shared, sequences = (
        _single_image(target, goods) if what.template else _planned(what, target, goods)
    )
    components = what.components or _components(what, goods)
    whole = Manifest(
        sequence_number=target.sequence_number,
        components=components,
        dependencies=_dependencies(what, components),
        component_id=what.component_id,
        shared_sequence=shared,
        reference_uri=what.reference_uri,
        sequences=sequences,
        text=what.text,
    )
    shipped = {file: one.uri for file, one in goods.payloads.items()}
    shipped |= {one.file: one.uri for one in what.dependencies}
    _all_are_fetched(whole, shipped.values())
    manifest, severed = severing.severed(whole, what.sever)
    draft = Draft(
        manifest=manifest.encode(),
        severed=severed,
        integrated={uri: goods.file(file) for file, uri in shipped.items() if uri[:1] == "#"},
    )
    severing.attached(manifests.decode(draft.manifest), draft.envelope())
    return draft


def _components(what: Spec, goods: Goods) -> tuple[ComponentId, ...]:
    listed = [one.component for one in goods.payloads.values()]
    listed += [one.component for one in what.dependencies if one.component is not None]
    return tuple(dict.fromkeys(listed))


def _dependencies(what: Spec, components: tuple[ComponentId, ...]) -> dict[int, ComponentId | None]:
    """Answer the dependencies by index: in the list of components, or from its end on."""
    found: dict[int, ComponentId | None] = {}
    past = len(components)
    for one in what.dependencies:
        if one.component is None:
            index, past = past, past + 1
        elif one.component in components:
            index = components.index(one.component)
        else:
            raise Misuse(
                f"the component of dependency {one.file} is not listed",
                hint="add it to components of [manifest]",
            )
        if index in found:
            raise Misuse(f"dependency {one.file} shares its component with another")
        found[index] = one.prefix
    return found


def _all_are_fetched(whole: Manifest, shipped: Iterable[str]) -> None:
    named = {
        step.parameters.get(Parameter.URI)
        for step in whole.steps()
        if isinstance(step, Override | SetParameters)
    }
    for uri in shipped:
        if uri not in named:
            raise Misuse(
                f"{uri} is shipped and no command names it",
                hint="set the uri parameter before directive-fetch, or leave the file out",
            )


def _planned(what: Spec, target: Target, goods: Goods) -> _Sequences:
    """Answer the sequences that a recipe spells out, every value in its place."""
    from fwseal.suit.recipe_steps import Resolver

    resolver = Resolver(target, goods, {one.file: one.uri for one in what.dependencies})
    members = {key: resolver.sequence(plan) for key, plan in what.sequences.items()}
    return resolver.sequence(what.shared_sequence), members


_RECORD_ALL, _RECORD_FAILURE = 15, 2
"""Reporting policies (M 8.4.7) as the drafts' own examples set them."""


def _single_image(target: Target, goods: Goods) -> _Sequences:
    """Answer the sequences that fetch one image, check it, and validate it on each boot.

    Raises `Misuse` for another number of payloads.
    """
    if len(goods.payloads) != 1:
        raise Misuse(
            f"template single-image ships exactly one payload, not {len(goods.payloads)}",
            hint="fwseal recipe list names others",
        )
    (payload,) = goods.payloads.values()
    match = Plain(Command.CONDITION_IMAGE_MATCH, _RECORD_ALL)
    shared = (
        Override(
            {
                Parameter.VENDOR_IDENTIFIER: target.vendor_id,
                Parameter.CLASS_IDENTIFIER: target.class_id,
                Parameter.IMAGE_DIGEST: payload.digest,
                Parameter.IMAGE_SIZE: payload.size,
            }
        ),
        Plain(Command.CONDITION_VENDOR_IDENTIFIER, _RECORD_ALL),
        Plain(Command.CONDITION_CLASS_IDENTIFIER, _RECORD_ALL),
    )
    install = (
        Override({Parameter.URI: payload.uri}),
        Plain(Command.DIRECTIVE_FETCH, _RECORD_FAILURE),
        match,
    )
    return shared, {ManifestKey.VALIDATE: (match,), ManifestKey.INSTALL: install}


def released(
    release: Release,
    what: Spec | None,
    images: Mapping[str, bytes],
    *,
    files: Mapping[str, bytes] | None = None,
    locked: Mapping[str, tuple[Encrypt, bytes]] | None = None,
) -> tuple[Release, Draft]:
    """Answer the release with its payloads' sizes and digests, and what is to be signed.

    `images` maps payload file names to plaintexts; `locked` those that are encrypted to what
    `cose.encryption.encrypted` answered, whose ciphertexts are what the release's sizes and digests
    speak of. `files` holds what else the recipe names. Raises `Misuse` for a recipe without a
    manifest, and as `drafted` does.
    """
    import uuid

    if what is None or not release.payloads:
        raise Misuse(
            f"release {release.name} has {len(release.payloads)} payloads and "
            f"{'no' if what is None else 'a'} manifest",
            hint="template single-image ships exactly one payload",
        )
    locked = locked or {}
    travels = {name: ciphertext for name, (_, ciphertext) in locked.items()}
    travels = {one.file: travels.get(one.file, images[one.file]) for one in release.payloads}
    facts = {
        one.file: facts_of(
            images[one.file],
            component=tuple(bytes.fromhex(part) for part in one.component.split("/")),
            uri=one.uri,
            encryption=locked[one.file][0] if one.file in locked else None,
        )
        for one in release.payloads
    }
    if len(facts) != len(release.payloads):
        raise Misuse(f"release {release.name} ships a file twice")
    target = Target(
        vendor_id=uuid.UUID(release.vendor_id).bytes,
        class_id=uuid.UUID(release.class_id).bytes,
        sequence_number=release.sequence_number,
    )
    payloads = tuple(
        dataclasses.replace(
            one,
            size=len(travels[one.file]),
            sha256=hashlib.sha256(travels[one.file]).hexdigest(),
            sha512=hashlib.sha512(travels[one.file]).hexdigest(),
        )
        for one in release.payloads
    )
    draft = drafted(what, target, Goods(payloads=facts, files={**(files or {}), **travels}))
    return dataclasses.replace(release, payloads=payloads), draft


def facts_of(
    image: bytes, *, component: ComponentId, uri: str, encryption: Encrypt | None = None
) -> PayloadFacts:
    """Answer what the manifest says of a payload, measured on its plaintext."""
    return PayloadFacts(
        component=component,
        uri=uri,
        size=len(image),
        sha256=hashlib.sha256(image).digest(),
        encryption=encryption,
    )
