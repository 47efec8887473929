"""From what a recipe says and what its files are to an envelope that wants a signature.

What is written is read back: a manifest our own codec refuses is refused here, at its place.
draft-ietf-suit-manifest-37 7, 8.
"""

from __future__ import annotations

import dataclasses
import hashlib
from typing import TYPE_CHECKING

from fwseal.base import cbor
from fwseal.base.digest import Digest, DigestAlgorithm
from fwseal.base.errors import Misuse, Refused
from fwseal.base.reasons import Reason
from fwseal.suit import envelope as envelopes
from fwseal.suit import manifest as manifests
from fwseal.suit import severing
from fwseal.suit.labels import Command, ManifestKey, Parameter
from fwseal.suit.manifest import Manifest
from fwseal.suit.recipe_values import From, Names, Origin, Planned
from fwseal.suit.recipes import (
    TEMPLATES,
    Assign,
    Spec,
    component,
    dependencies,
    expanded,
    payload_uri,
    spec,
)
from fwseal.suit.sequence import (
    Override,
    ParameterValue,
    Plain,
    RunSequence,
    Sequence,
    SetIndex,
    SetParameters,
    Step,
    TryEach,
)

if TYPE_CHECKING:
    import uuid
    from collections.abc import Iterable, Mapping

    from fwseal.base.ids import ComponentId
    from fwseal.base.release import Release
    from fwseal.cose.encryption import Encrypt
    from fwseal.suit.envelope import Envelope
    from fwseal.suit.recipes import Plan, PlanStep

__all__ = [
    "TEMPLATES", "Draft", "Goods", "Locked", "Names", "PayloadFacts", "Spec", "Target",
    "component", "dependencies", "drafted", "facts_of", "finalized", "payload_uri", "released",
    "single_image", "spec",
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


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Which device the manifest is for, and where it stands in the order of releases."""

    vendor_id: uuid.UUID
    class_id: uuid.UUID
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
class Locked:
    """A payload as it travels: encrypted, and what a device needs to decrypt it."""

    info: Encrypt
    ciphertext: bytes


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
    what = expanded(what, tuple(goods.payloads))
    components = what.components or _components(what, goods)
    resolver = _Resolver(target, goods, {one.file: one.uri for one in what.dependencies})
    whole = Manifest(
        sequence_number=target.sequence_number,
        components=components,
        dependencies=_dependencies(what, components),
        component_id=what.component_id,
        shared_sequence=resolver.sequence(what.shared_sequence),
        reference_uri=what.reference_uri,
        sequences={key: resolver.sequence(plan) for key, plan in what.sequences.items()},
        text=what.text,
    )
    shipped = {file: one.uri for file, one in goods.payloads.items()}
    shipped |= resolver.uris
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


@dataclasses.dataclass(frozen=True, slots=True)
class _Resolver:
    """Values in the places of references."""

    target: Target
    goods: Goods
    uris: dict[str, str]
    """Of dependencies."""

    def sequence(self, plan: Plan) -> Sequence:
        return tuple(self._step(step) for step in plan)

    def _step(self, step: PlanStep) -> Step:
        if isinstance(step, Plain | SetIndex):
            return step
        if isinstance(step, Assign):
            values = {key: self._value(key, one) for key, one in step.parameters.items()}
            if step.command is Command.DIRECTIVE_SET_PARAMETERS:
                return SetParameters(values)
            return Override(values)
        branches = tuple(None if one is None else self.sequence(one) for one in step.branches)
        if step.command is Command.DIRECTIVE_TRY_EACH:
            return TryEach(branches)
        return RunSequence(branches[0] or ())

    def _value(self, parameter: Parameter, planned: Planned) -> ParameterValue:
        if not isinstance(planned, From):
            return planned
        if planned.origin is Origin.FILE:
            return self.goods.file(planned.name)
        if planned.origin is Origin.DEPENDENCY:
            if parameter is Parameter.URI:
                return self.uris[planned.name]
            return _dependency_digest(planned.name, self.goods.file(planned.name))
        if planned.origin is Origin.DEVICE:
            vendor = parameter is Parameter.VENDOR_IDENTIFIER
            return (self.target.vendor_id if vendor else self.target.class_id).bytes
        return _of_payload(parameter, planned.name, self.goods.payloads[planned.name])


def _of_payload(parameter: Parameter, file: str, facts: PayloadFacts) -> ParameterValue:
    if parameter is Parameter.IMAGE_SIZE:
        return facts.size
    if parameter is Parameter.URI:
        return facts.uri
    if parameter is Parameter.ENCRYPTION_INFO:
        if facts.encryption is None:
            raise Misuse(f"payload {file} is not encrypted yet")
        return facts.encryption
    return Digest(algorithm=DigestAlgorithm.SHA256, value=facts.sha256)


def _dependency_digest(file: str, data: bytes) -> Digest:
    """Answer the digest a dependency's envelope is known by; raises `Refused` placed in it."""
    try:
        envelope = envelopes.decode(data)
    except Refused as error:
        raise error.at(file) from None
    covered = cbor.wrapped(envelope.manifest)
    # SUIT trust-domains-12 5.2.2: the digest is over the manifest with its byte-string head.
    if not Digest.of(covered, envelope.digest.algorithm).fits(envelope.digest):
        raise Refused(Reason.DIGEST_MISMATCH, "not the manifest that was signed", where=file)
    return envelope.digest


def single_image(what: Spec, target: Target, payload: PayloadFacts) -> bytes:
    """Answer the manifest that fetches one image, checks it, and validates it on each boot."""
    return drafted(what, target, Goods(payloads={"image": payload})).manifest


def released(
    release: Release,
    what: Spec | None,
    images: Mapping[str, bytes],
    *,
    files: Mapping[str, bytes] | None = None,
    locked: Mapping[str, Locked] | None = None,
) -> tuple[Release, Draft]:
    """Answer the release with its payloads' sizes and digests, and what is to be signed.

    `images` maps payload file names to plaintexts, `locked` those that are encrypted to what
    devices fetch, which is what the release's sizes and digests speak of. `files` holds what
    else the recipe names. Raises `Misuse` for a recipe without a manifest, and as `drafted` does.
    """
    import uuid

    if what is None or not release.payloads:
        raise Misuse(
            f"release {release.name} has {len(release.payloads)} payloads and "
            f"{'no' if what is None else 'a'} manifest",
            hint="template single-image ships exactly one payload",
        )
    locked = locked or {}
    travels = {name: one.ciphertext for name, one in locked.items()}
    travels = {one.file: travels.get(one.file, images[one.file]) for one in release.payloads}
    facts = {
        one.file: facts_of(
            images[one.file],
            component=tuple(bytes.fromhex(part) for part in one.component.split("/")),
            uri=one.uri,
            encryption=locked[one.file].info if one.file in locked else None,
        )
        for one in release.payloads
    }
    if len(facts) != len(release.payloads):
        raise Misuse(f"release {release.name} ships a file twice")
    target = Target(
        vendor_id=uuid.UUID(release.vendor_id),
        class_id=uuid.UUID(release.class_id),
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


def finalized(
    release: Release, what: Spec | None, images: Mapping[str, bytes]
) -> tuple[Release, bytes]:
    """Answer the release with its payloads' sizes and digests, and its manifest, made once.

    `images` maps payload file names to the bytes devices fetch. Raises `Misuse` for a recipe
    whose envelope holds more than its manifest, and as `released` does.
    """
    done, draft = released(release, what, images)
    if draft.severed or draft.integrated:
        raise Misuse(
            f"release {release.name} has members beside its manifest",
            hint="fwseal author signs it in one step",
        )
    return done, draft.manifest


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
