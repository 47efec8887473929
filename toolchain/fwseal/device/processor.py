"""A manifest is carried out as a pure machine: one effect out, one event in, until it is done.

`applicable` refuses before anything happens; `start` and `step` then walk the commands. Payloads
never pass through here: the driver streams them and reports size and digest.

draft-ietf-suit-manifest-37 6. This version walks linear sequences of the commands in `COMMANDS`;
all others are refused as unsupported, by name, before the first effect.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from fwseal.base.digest import Digest, DigestAlgorithm
from fwseal.base.errors import Refused
from fwseal.base.ids import ComponentId, Uri
from fwseal.base.reasons import Reason
from fwseal.device.profile import DeviceProfile, Equal
from fwseal.suit.labels import Command, ManifestKey, Parameter, spelled, unsupported
from fwseal.suit.sequence import Override, Parameters, Plain, SetIndex, Step

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fwseal.suit.authenticate import Authenticated
    from fwseal.suit.manifest import Manifest

UPDATE = (ManifestKey.PAYLOAD_FETCH, ManifestKey.INSTALL, ManifestKey.VALIDATE)
"""SUIT manifest-37 8.4.6: the sequences of an update, in their order."""

COMMANDS = frozenset({
    Command.CONDITION_VENDOR_IDENTIFIER, Command.CONDITION_CLASS_IDENTIFIER,
    Command.CONDITION_DEVICE_IDENTIFIER, Command.CONDITION_IMAGE_MATCH, Command.CONDITION_ABORT,
    Command.DIRECTIVE_FETCH,
})  # fmt: skip
PARAMETERS = frozenset({
    Parameter.VENDOR_IDENTIFIER, Parameter.CLASS_IDENTIFIER, Parameter.DEVICE_IDENTIFIER,
    Parameter.IMAGE_DIGEST, Parameter.IMAGE_SIZE, Parameter.URI,
})  # fmt: skip


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Installed:
    """What the device holds: the highest number accepted, and the confirmed image's digests.

    `confirmed` names one file by every algorithm a manifest may use; None where nobody knows, and
    then no offer is a retry.
    """

    sequence_number: int | None
    confirmed: frozenset[Digest] | None = None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Applicable:
    """An authenticated manifest that is for this device and not older than what it accepted."""

    manifest: Manifest
    profile: DeviceProfile


@dataclasses.dataclass(frozen=True, slots=True)
class Fetch:
    """Write the payload at `uri` into a component.

    `size` in bytes and `digest` are what the manifest has said of it so far, or None.
    """

    component: ComponentId
    uri: Uri
    size: int | None
    digest: Digest | None


@dataclasses.dataclass(frozen=True, slots=True)
class Measure:
    """Read a component back; answer its size and digest."""

    component: ComponentId
    algorithm: DigestAlgorithm


@dataclasses.dataclass(frozen=True, slots=True)
class Finish:
    """Make the components bootable, then commit the sequence number, in that order."""

    components: tuple[ComponentId, ...]
    sequence_number: int


Effect = Fetch | Measure | Finish


@dataclasses.dataclass(frozen=True, slots=True)
class Fetched:
    """The payload was written."""


@dataclasses.dataclass(frozen=True, slots=True)
class Measured:
    """What a component holds; size in bytes."""

    size: int
    digest: Digest


Event = Fetched | Measured


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """Where the machine stands: the steps left are `program[position:]`."""

    what: Applicable
    program: tuple[tuple[ManifestKey, Step], ...]
    position: int = 0
    component: int = 0
    parameters: Mapping[int, Parameters]
    written: frozenset[ComponentId] = frozenset()
    validated: frozenset[ComponentId] = frozenset()


def applicable(
    authenticated: Authenticated, *, profile: DeviceProfile, installed: Installed
) -> Applicable:
    """Answer the manifest as one this device may carry out.

    Raises `Refused`: malformed, rollback, wrong-component, severed-missing, unsupported.
    """
    manifest = authenticated.manifest
    if ManifestKey.VALIDATE not in manifest.sequences:
        raise Refused(Reason.MALFORMED, "the manifest has no validate sequence")
    _newer(manifest, profile, installed)
    for component in manifest.components:
        if component not in profile.components:
            name = "/".join(part.hex() for part in component)
            raise Refused(Reason.WRONG_COMPONENT, f"component {name} is not one of this device")
    for key in UPDATE:
        if isinstance(manifest.sequences.get(key), Digest):
            raise Refused(Reason.SEVERED_MISSING, f"{spelled(key)} was severed and is not here")
    for key in manifest.sequences:
        if key not in UPDATE:
            raise unsupported(key, what="manifest element")
    for step in manifest.steps():
        _supported(step)
    return Applicable(manifest=manifest, profile=profile)


def _newer(manifest: Manifest, profile: DeviceProfile, installed: Installed) -> None:
    # SUIT manifest-37 8.4.2: lower is refused; equal is our policy, and a retry always may.
    accepted = installed.sequence_number
    if accepted is None or manifest.sequence_number > accepted:
        return
    if manifest.sequence_number == accepted:
        if profile.equal is Equal.REAPPLY:
            return
        wanted = [
            step.parameters[Parameter.IMAGE_DIGEST]
            for step in manifest.steps()
            if isinstance(step, Override) and Parameter.IMAGE_DIGEST in step.parameters
        ]
        confirmed = installed.confirmed
        if confirmed is not None and any(digest not in confirmed for digest in wanted):
            return
    raise Refused(
        Reason.ROLLBACK,
        f"sequence number {manifest.sequence_number} is not above {accepted}",
        where="manifest/sequence-number",
    )


def _supported(step: Step) -> None:
    if isinstance(step, Plain) and step.command in COMMANDS:
        return
    if isinstance(step, SetIndex) and type(step.index) is int:
        return
    if isinstance(step, Override):
        for parameter in step.parameters:
            if parameter not in PARAMETERS:
                raise unsupported(parameter, what="parameter")
        return
    name = spelled(step.command) if isinstance(step, Plain) else type(step).__name__
    raise Refused(Reason.UNSUPPORTED, f"command {name} is not supported by this device")


def start(what: Applicable) -> tuple[State, Effect]:
    """Answer the machine at its first effect; raises `Refused` as `step` does."""
    manifest = what.manifest
    program: list[tuple[ManifestKey, Step]] = []
    for key in UPDATE:
        sequence = manifest.sequences.get(key)
        if isinstance(sequence, tuple):
            # SUIT manifest-37 8.4.5: the shared sequence runs before each sequence.
            program += [(key, step) for step in (*manifest.shared_sequence, *sequence)]
    parameters: dict[int, Parameters] = {}
    state = State(what=what, program=tuple(program), parameters=parameters)
    return _walk(state)


def step(state: State, event: Event) -> tuple[State, Effect]:
    """Answer the machine after the effect it waited for.

    Raises `Refused`: wrong-vendor, wrong-class, wrong-device, aborted, payload-missing (no uri),
    payload-size, payload-digest, digest-mismatch, command-failed.
    """
    section, command = state.program[state.position]
    match event:
        case Fetched():
            fetched = {_component(state)}
            state = dataclasses.replace(
                state, written=state.written | fetched, validated=state.validated - fetched
            )
        case Measured():
            _image_match(state, section, event)
            if section is ManifestKey.VALIDATE:
                validated = state.validated | {_component(state)}
                state = dataclasses.replace(state, validated=validated)
        case _:
            raise AssertionError(command)
    return _walk(dataclasses.replace(state, position=state.position + 1))


def _walk(state: State) -> tuple[State, Effect]:
    """Answer the next effect; conditions on what is known already are decided on the way."""
    while state.position < len(state.program):
        _, command = state.program[state.position]
        match command:
            case Override():
                merged = {**state.parameters.get(state.component, {}), **command.parameters}
                state = dataclasses.replace(
                    state, parameters={**state.parameters, state.component: merged}
                )
            case SetIndex(index=int(index)):
                state = dataclasses.replace(state, component=index)
            case Plain():
                effect = _plain(state, command)
                if effect is not None:
                    return state, effect
            case _:
                raise AssertionError(command)
        state = dataclasses.replace(state, position=state.position + 1)
    if state.written - state.validated:
        # SUIT manifest-37 7.3 leaves it to the author; bytes that no digest covers end here.
        raise Refused(Reason.CONDITION_FAILED, "a component was written and is never validated")
    return state, Finish(tuple(sorted(state.written)), state.what.manifest.sequence_number)


def _component(state: State) -> ComponentId:
    return state.what.manifest.components[state.component]


def _parameter(state: State, parameter: Parameter) -> object:
    return state.parameters.get(state.component, {}).get(parameter)


_IDENTITY = {
    Command.CONDITION_VENDOR_IDENTIFIER: (Parameter.VENDOR_IDENTIFIER, Reason.WRONG_VENDOR),
    Command.CONDITION_CLASS_IDENTIFIER: (Parameter.CLASS_IDENTIFIER, Reason.WRONG_CLASS),
    Command.CONDITION_DEVICE_IDENTIFIER: (Parameter.DEVICE_IDENTIFIER, Reason.WRONG_DEVICE),
}


def _plain(state: State, command: Plain) -> Effect | None:
    if command.command in _IDENTITY:
        # SUIT manifest-37 8.4.9.1: the parameter must be set and match exactly.
        parameter, reason = _IDENTITY[command.command]
        profile = state.what.profile
        own = {
            Parameter.VENDOR_IDENTIFIER: profile.vendor_id,
            Parameter.CLASS_IDENTIFIER: profile.class_id,
            Parameter.DEVICE_IDENTIFIER: profile.device_id,
        }[parameter]
        if own is None or _parameter(state, parameter) != own.bytes:
            raise Refused(reason, f"{spelled(parameter)} is not this device's")
        return None
    if command.command is Command.CONDITION_ABORT:
        raise Refused(Reason.ABORTED, "the manifest aborts here")  # SUIT manifest-37 8.4.9.5
    if command.command is Command.CONDITION_IMAGE_MATCH:
        # SUIT manifest-37 8.4.9.2: the digest parameter must be set.
        digest = _parameter(state, Parameter.IMAGE_DIGEST)
        if not isinstance(digest, Digest):
            raise Refused(Reason.CONDITION_FAILED, "image-match without an image-digest")
        return Measure(_component(state), digest.algorithm)
    uri, size = _parameter(state, Parameter.URI), _parameter(state, Parameter.IMAGE_SIZE)
    if not isinstance(uri, str):
        raise Refused(Reason.COMMAND_FAILED, "fetch without a uri")  # SUIT manifest-37 8.4.10.4
    digest = _parameter(state, Parameter.IMAGE_DIGEST)
    return Fetch(
        _component(state),
        Uri(uri),
        size if isinstance(size, int) else None,
        digest if isinstance(digest, Digest) else None,
    )


def _image_match(state: State, section: ManifestKey, found: Measured) -> None:
    validating = section is ManifestKey.VALIDATE
    size = _parameter(state, Parameter.IMAGE_SIZE)
    if isinstance(size, int) and found.size != size:
        raise Refused(
            Reason.DIGEST_MISMATCH if validating else Reason.PAYLOAD_SIZE,
            f"the component holds {found.size} bytes, the manifest says {size}",
        )
    wanted = _parameter(state, Parameter.IMAGE_DIGEST)
    if not isinstance(wanted, Digest) or not found.digest.fits(wanted):
        raise Refused(
            Reason.DIGEST_MISMATCH if validating else Reason.PAYLOAD_DIGEST,
            "the component's digest is not the one the manifest names",
        )
