"""Whether a manifest is for this device: decided whole, before the first effect.

draft-ietf-suit-manifest-37 6.1, 6.2, 8.4.2, 9; draft-ietf-suit-trust-domains-12 5.1, 10.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from fwseal.base.digest import Digest
from fwseal.base.errors import Refused
from fwseal.base.reasons import Reason
from fwseal.device.machine import Applicable, Instance, Procedure
from fwseal.device.profile import Equal
from fwseal.suit import envelope as envelopes
from fwseal.suit.authenticate import DEPENDENCY, ROLE, authenticate
from fwseal.suit.labels import Command, ManifestKey, Parameter, spelled, unsupported
from fwseal.suit.sequence import Override, Plain, SetIndex, SetParameters, nested

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fwseal.base.ids import ComponentId
    from fwseal.device.profile import DeviceProfile
    from fwseal.suit.authenticate import Anchor, Authenticated
    from fwseal.suit.manifest import Manifest
    from fwseal.suit.sequence import Sequence

CONDITIONS = frozenset({
    Command.CONDITION_VENDOR_IDENTIFIER, Command.CONDITION_CLASS_IDENTIFIER,
    Command.CONDITION_DEVICE_IDENTIFIER, Command.CONDITION_IMAGE_MATCH,
    Command.CONDITION_CHECK_CONTENT, Command.CONDITION_COMPONENT_SLOT, Command.CONDITION_ABORT,
    Command.CONDITION_IS_DEPENDENCY, Command.CONDITION_DEPENDENCY_INTEGRITY,
})  # fmt: skip
DIRECTIVES = frozenset({
    Command.DIRECTIVE_FETCH, Command.DIRECTIVE_COPY, Command.DIRECTIVE_WRITE,
    Command.DIRECTIVE_SWAP, Command.DIRECTIVE_INVOKE, Command.DIRECTIVE_PROCESS_DEPENDENCY,
})  # fmt: skip
COMMANDS = CONDITIONS | DIRECTIVES
"""What the machine knows beside index, parameters, try-each and run-sequence."""

PARAMETERS = frozenset({
    Parameter.VENDOR_IDENTIFIER, Parameter.CLASS_IDENTIFIER, Parameter.DEVICE_IDENTIFIER,
    Parameter.IMAGE_DIGEST, Parameter.IMAGE_SIZE, Parameter.COMPONENT_SLOT, Parameter.URI,
    Parameter.SOURCE_COMPONENT, Parameter.CONTENT, Parameter.ENCRYPTION_INFO,
    Parameter.INVOKE_ARGS, Parameter.STRICT_ORDER, Parameter.SOFT_FAILURE,
})  # fmt: skip

_POPULATED = {
    Procedure.UPDATE: (
        ManifestKey.DEPENDENCY_RESOLUTION,
        ManifestKey.PAYLOAD_FETCH,
        ManifestKey.INSTALL,
        ManifestKey.VALIDATE,
    ),
    Procedure.INVOCATION: Procedure.INVOCATION.value,
}
"""What a manifest with dependencies must have (SUIT trust-domains-12 7.1); candidate-verification
is an addition of that draft which its own examples leave out."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Installed:
    """What the device holds: the highest number accepted, and the confirmed images' digests.

    `confirmed` names the file of a component by every algorithm a manifest may use; a component
    that is not in it is known to nobody, and makes no offer a retry. `slots` says which slot of a
    component an update would be written to, `numbers` what was accepted from the dependency kept
    in a component.
    """

    sequence_number: int | None
    confirmed: Mapping[ComponentId, frozenset[Digest]] = dataclasses.field(default_factory=dict)
    slots: Mapping[ComponentId, int] = dataclasses.field(default_factory=dict)
    numbers: Mapping[ComponentId, int] = dataclasses.field(default_factory=dict)


def applicable(
    authenticated: Authenticated,
    *,
    profile: DeviceProfile,
    installed: Installed,
    offers: frozenset[Command] = COMMANDS,
) -> Applicable:
    """Answer the manifest as one this device may carry out; `offers` is what its storage can do.

    Raises `Refused`: malformed, rollback, wrong-component, signer-not-authorized,
    severed-missing, unsupported.
    """
    manifest = authenticated.manifest
    if ManifestKey.VALIDATE not in manifest.sequences:
        raise Refused(Reason.MALFORMED, "the manifest has no validate sequence")
    populated(manifest, Procedure.UPDATE)
    _newer(manifest, profile, installed)
    root = Instance(manifest=manifest, integrated=authenticated.integrated)
    _allowed(root, profile, authenticated.anchors)
    _supported(manifest, offers)
    slots = {name: one.slots[0] for name, one in profile.components.items() if one.slots}
    return Applicable(
        root=root,
        profile=profile,
        anchors=authenticated.anchors,
        offers=offers,
        slots={**slots, **installed.slots},
        numbers=installed.numbers,
    )


def dependency(
    data: bytes, *, what: Applicable, procedure: Procedure, wanted: Digest, place: Instance
) -> Instance:
    """Answer the manifest of a dependency's envelope, admitted into the tree at `place`.

    `place` says where, and holds its dependent's manifest; `wanted` is the digest its dependent
    names. Raises `Refused` (dependency-refused), with the refusal's own words inside.
    """
    try:
        return _dependency(data, what, procedure, wanted, place)
    except Refused as error:
        raise Refused(
            Reason.DEPENDENCY_REFUSED, f"{error.reason.value}: {error.message}", where=error.where
        ) from None


def _dependency(
    data: bytes, what: Applicable, procedure: Procedure, wanted: Digest, place: Instance
) -> Instance:
    profile, component = what.profile, place.path[-1]
    found = authenticate(
        envelopes.decode(data, limits=profile.limits),
        anchors=profile.anchors,
        threshold=profile.dependency_threshold,
        roles=frozenset({ROLE, DEPENDENCY}),
        limits=profile.limits,
    )
    if not found.digest.fits(wanted):
        # SUIT trust-domains-12 5.6.4: the hash the dependent provides names one manifest.
        raise Refused(Reason.DIGEST_MISMATCH, "it is not the manifest that its dependent names")
    populated(found.manifest, procedure)
    _not_older(found.manifest, what.numbers.get(component))
    own = found.manifest.component_id
    # Off-spec: trust-domains-12 5.2.1 leaves it out where nothing else needs it; here it ties the
    # manifest to the component whose number it is compared with.
    if own is None:
        raise Refused(Reason.MALFORMED, "it does not say in which component it is kept")
    if component not in (own, place.prefix + own):
        raise Refused(Reason.LAYERS_DISAGREE, "it says that it is kept in another component")
    instance = dataclasses.replace(place, manifest=found.manifest, integrated=found.integrated)
    _allowed(instance, profile, found.anchors)
    _supported(found.manifest, what.offers)
    return instance


def populated(manifest: Manifest, procedure: Procedure) -> None:
    """Return when a manifest with dependencies has every sequence of a procedure.

    Raises `Refused` (malformed); SUIT trust-domains-12 7.1.
    """
    for key in _POPULATED[procedure] if manifest.dependencies else ():
        if key not in manifest.sequences:
            raise Refused(
                Reason.MALFORMED, f"a manifest with dependencies needs a {spelled(key)} sequence"
            )


def _newer(manifest: Manifest, profile: DeviceProfile, installed: Installed) -> None:
    # SUIT manifest-37 8.4.2: lower is refused; equal is our policy, and a retry always may.
    # Off-spec: one number a device, whatever manifest-component-id says, so that no other root
    # can reset it.
    accepted = installed.sequence_number
    if accepted is None or manifest.sequence_number > accepted:
        return
    if manifest.sequence_number == accepted:
        if profile.equal is Equal.REAPPLY:
            return
        confirmed = installed.confirmed
        if any(
            name in confirmed and not confirmed[name] & digests
            for name, digests in _wanted(manifest).items()
        ):
            return
    raise Refused(
        Reason.ROLLBACK,
        f"sequence number {manifest.sequence_number} is not above {accepted}",
        where="manifest/sequence-number",
    )


def _not_older(manifest: Manifest, accepted: int | None) -> None:
    # SUIT manifest-37 8.4.2; a new root may name the dependency that is there already.
    if accepted is not None and manifest.sequence_number < accepted:
        raise Refused(
            Reason.ROLLBACK, f"sequence number {manifest.sequence_number} is below {accepted}"
        )


def _wanted(manifest: Manifest) -> dict[ComponentId, set[Digest]]:
    """Answer the image digests that a manifest names for each component, dependencies aside."""
    found: dict[int, set[Digest]] = {}
    everything = tuple(range(len(manifest.components)))

    def walk(sequence: Sequence, indices: tuple[int, ...]) -> None:
        for step in sequence:
            if isinstance(step, SetIndex):
                indices = step.among(everything)
            elif isinstance(step, Override | SetParameters):
                digest = step.parameters.get(Parameter.IMAGE_DIGEST)
                if isinstance(digest, Digest):
                    for index in indices:
                        found.setdefault(index, set()).add(digest)
            for inner in nested(step):
                walk(inner, indices)

    for sequence in (manifest.shared_sequence, *manifest.sequences.values()):
        if isinstance(sequence, tuple):
            walk(sequence, (0,))
    return {
        manifest.components[index]: one
        for index, one in found.items()
        if index not in manifest.dependencies
    }


def _allowed(instance: Instance, profile: DeviceProfile, anchors: tuple[Anchor, ...]) -> None:
    if len(instance.components()) < len(instance.indices()):
        # What holds for a component under one index must hold under all.
        raise Refused(Reason.MALFORMED, "two component indices name one component")
    for index in instance.indices():
        component = instance.component(index)
        name = "/".join(part.hex() for part in component)
        if component not in profile.components:
            raise Refused(Reason.WRONG_COMPONENT, f"component {name} is not one of this device")
        for anchor in anchors:
            # SUIT manifest-37 9: a right is a prefix of component identifiers.
            if anchor.components and not any(
                component[: len(prefix)] == prefix for prefix in anchor.components
            ):
                raise Refused(
                    Reason.SIGNER_NOT_AUTHORIZED,
                    f"anchor {anchor.kid!r} holds no right to component {name}",
                )


def _supported(manifest: Manifest, offers: frozenset[Command]) -> None:
    for key, sequence in manifest.sequences.items():
        if isinstance(sequence, Digest):  # only what updates run can be severed
            raise Refused(Reason.SEVERED_MISSING, f"{spelled(key)} was severed and is not here")
    for step in manifest.steps():
        if isinstance(step, Plain) and step.command not in offers:
            raise unsupported(step.command, what="command")
        if isinstance(step, Override | SetParameters):
            for parameter in step.parameters:
                if parameter not in PARAMETERS:
                    raise unsupported(parameter, what="parameter")
