"""What each condition asks, for one component at a time, and what it makes of the answer.

draft-ietf-suit-manifest-37 8.4.9; draft-ietf-suit-trust-domains-12 5.6.3, 5.6.4.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from fwseal.base import cbor
from fwseal.base.digest import Digest, DigestAlgorithm
from fwseal.base.errors import Refused
from fwseal.base.reasons import Reason
from fwseal.device import admission
from fwseal.device.effects import Load, Measure
from fwseal.device.machine import Dependency, Failed, Instance, Procedure
from fwseal.suit import envelope as envelopes
from fwseal.suit.labels import ManifestKey, Parameter, spelled

if TYPE_CHECKING:
    from fwseal.device.effects import Effect, Loaded, Measured
    from fwseal.device.machine import State


def identifier(parameter: Parameter, reason: Reason, state: State) -> tuple[State, None]:
    """Go on if an identifier is this device's own; raises `Failed` with that reason."""
    # SUIT manifest-37 8.4.9.1: the parameter must be set and match exactly, for each component.
    profile = state.what.profile
    component = profile.components[state.frame.component]
    own = {
        Parameter.VENDOR_IDENTIFIER: component.vendor_id or profile.vendor_id,
        Parameter.CLASS_IDENTIFIER: component.class_id or profile.class_id,
        Parameter.DEVICE_IDENTIFIER: profile.device_id,
    }[parameter]
    if own is None or state.parameter(parameter) != own.bytes:
        raise Failed(reason, f"{spelled(parameter)} is not this device's")
    return state, None


def slot(state: State) -> tuple[State, None]:
    """Go on if the slot is the one to be written; raises `Failed` (wrong-slot)."""
    # SUIT manifest-37 8.4.9.4
    wanted = state.parameter(Parameter.COMPONENT_SLOT)
    slot = state.what.slots.get(state.frame.component)
    if slot is None or wanted != slot:
        raise Failed(Reason.WRONG_SLOT, f"slot {wanted} is not the one to be written, {slot}")
    return state, None


def abort(_: State) -> tuple[State, None]:
    """Never go on; raises `Failed` (aborted)."""
    raise Failed(Reason.ABORTED, "the manifest aborts here")  # SUIT manifest-37 8.4.9.5


def dependency(state: State) -> tuple[State, None]:
    """Go on if the component is a dependency; raises `Failed` (condition-failed)."""
    if not state.is_dependency:  # SUIT trust-domains-12 5.6.3
        raise Failed(Reason.CONDITION_FAILED, "the component is no dependency")
    return state, None


def image_match(state: State) -> tuple[State, Effect]:
    """Ask for the content's digest; raises `Failed` (condition-failed) with none to compare."""
    # SUIT manifest-37 8.4.9.2: the digest parameter must be set.
    digest = state.digest
    if digest is None:
        raise Failed(Reason.CONDITION_FAILED, "image-match without an image-digest")
    if state.is_dependency:
        # SUIT trust-domains-12 5.2.2: the digest of a dependency covers its manifest alone.
        return state, _load(state)
    return state, Measure(component=state.frame.component, algorithm=digest.algorithm)


def _load(state: State) -> Load:
    limit = state.what.profile.limits.envelope_bytes
    return Load(component=state.frame.component, max_size=limit)


def image_matches(state: State, found: Measured) -> State:
    """Go on if size and digest are as named; raises `Failed` (payload-*, digest-mismatch)."""
    validating = state.key is ManifestKey.VALIDATE
    size, wanted = state.size, state.digest
    if size is not None and found.size != size:
        raise Failed(
            Reason.DIGEST_MISMATCH if validating else Reason.PAYLOAD_SIZE,
            f"the component holds {found.size} bytes, the manifest says {size}",
        )
    if wanted is None:
        raise AssertionError
    if not found.digest.fits(wanted):
        raise Failed(
            Reason.DIGEST_MISMATCH if validating else Reason.PAYLOAD_DIGEST,
            "the component's digest is not the one the manifest names",
        )
    return _matched(state)


def _matched(state: State) -> State:
    component = state.frame.component
    state = dataclasses.replace(state, matched=state.matched | {component})
    # An update owes it to validate, which runs before every invocation; what load writes comes
    # behind validate, and is checked where it is.
    if state.procedure is Procedure.UPDATE and state.key is not ManifestKey.VALIDATE:
        return state
    return dataclasses.replace(state, unmatched=state.unmatched - {component})


def manifest_matches(state: State, found: Loaded) -> State:
    """Go on if that manifest is there; raises `Failed` (digest-mismatch)."""
    wanted = state.digest
    try:
        manifest = envelopes.decode(found.data or b"", limits=state.what.profile.limits).manifest
    except Refused as error:
        # Whatever else is there is not that manifest: a condition that does not hold.
        raise Failed(Reason.DIGEST_MISMATCH, f"no manifest is there: {error.message}") from None
    if wanted is None:
        raise AssertionError
    if not Digest.of(cbor.wrapped(manifest), wanted.algorithm).fits(wanted):
        raise Failed(Reason.DIGEST_MISMATCH, "the dependency is not the manifest that is named")
    return state


def _content(state: State) -> bytes:
    content = state.parameter(Parameter.CONTENT)
    if not isinstance(content, bytes):
        raise Failed(Reason.CONDITION_FAILED, "there is no content to compare")
    return content


def check_content(state: State) -> tuple[State, Effect]:
    """Ask what the component holds; raises `Failed` (condition-failed) without content."""
    _content(state)
    return state, Measure(component=state.frame.component, algorithm=DigestAlgorithm.SHA256)


def content_matches(state: State, found: Measured) -> State:
    """Go on if it holds the content; raises `Failed` (condition-failed)."""
    # SUIT manifest-37 8.4.9.3: in constant time; digests of both are compared, which is.
    content = _content(state)
    if not Digest.of(content).fits(found.digest):
        raise Failed(Reason.CONDITION_FAILED, "the component does not hold the content")
    return _matched(state)


def dependency_integrity(state: State) -> tuple[State, Effect]:
    """Ask for a dependency's envelope.

    Raises `Refused` (aborted, limit-exceeded, dependency-refused).
    """
    # SUIT trust-domains-12 5.6.4: any failure aborts, whatever soft-failure says.
    if not state.is_dependency:
        raise Refused(Reason.ABORTED, "the component is no dependency")
    if state.digest is None:
        raise Refused(Reason.ABORTED, "dependency-integrity without an image-digest")
    path = state.frame.instance.path
    if len(path) >= state.what.profile.limits.dependency_depth:
        raise Refused(Reason.LIMIT_EXCEEDED, f"dependencies deeper than {len(path)}")
    if state.frame.component in path:
        raise Refused(Reason.DEPENDENCY_REFUSED, "a dependency depends on itself")
    return state, _load(state)


def integrity_holds(state: State, found: Loaded) -> State:
    """Admit a dependency into the tree.

    Raises `Refused` (dependency-missing, dependency-refused, limit-exceeded).
    """
    frame, wanted = state.frame, state.digest
    if wanted is None:
        raise AssertionError
    if found.data is None:
        raise Refused(Reason.DEPENDENCY_MISSING, "the component holds no manifest")
    own = frame.instance.manifest.dependencies[frame.index]
    path = (*frame.instance.path, frame.component)
    limit = state.what.profile.limits.envelope_bytes
    kept = sum(one.size for other, one in state.dependencies.items() if other != path)
    if kept + len(found.data) > limit:
        raise Refused(Reason.LIMIT_EXCEEDED, f"dependencies of more than {limit} bytes together")
    place = Instance(
        manifest=frame.instance.manifest,
        path=path,
        prefix=frame.instance.prefix + (own or ()),
    )
    instance = admission.dependency(
        found.data, what=state.what, procedure=state.procedure, wanted=wanted, place=place
    )
    before = state.dependencies.get(path)
    # A check that is repeated forgets nothing of what was carried out from the same manifest.
    same = before is not None and before.instance.manifest == instance.manifest
    known = (
        before
        if before is not None and same
        else Dependency(instance=instance, size=len(found.data))
    )
    return dataclasses.replace(
        state,
        dependencies={**state.dependencies, path: known},
        # This is all that a component owes which holds manifests, unless it is to boot as well.
        unmatched=state.unmatched - ({frame.component} - state.written),
    )
