"""What each condition asks and each directive does, for one component at a time.

draft-ietf-suit-manifest-37 8.4.9, 8.4.10; draft-ietf-suit-trust-domains-12 5.6.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import TYPE_CHECKING, cast

from fwseal.base import cbor
from fwseal.base.digest import Digest, DigestAlgorithm
from fwseal.base.errors import Refused
from fwseal.base.ids import Uri
from fwseal.base.reasons import Reason
from fwseal.device import admission
from fwseal.device.effects import (
    Copy,
    Done,
    Effect,
    Event,
    Fetch,
    Invoke,
    Load,
    Loaded,
    Measure,
    Measured,
    Swap,
    Write,
)
from fwseal.device.machine import Dependency, Failed, Frame, Instance, Kind, Procedure, State
from fwseal.suit import envelope as envelopes
from fwseal.suit.labels import Command, ManifestKey, Parameter, spelled

if TYPE_CHECKING:
    from collections.abc import Callable

    from fwseal.base.ids import ComponentId
    from fwseal.cose.encryption import Encrypt


def perform(state: State, command: Command) -> tuple[State, Effect | None]:
    """Answer the state after a command, or the effect that it waits for.

    Raises `Failed` for a condition that does not hold, `Refused` for what aborts.
    """
    return _COMMANDS[command](state)


def complete(state: State, command: Command, event: Event) -> State:
    """Answer the state after the effect of a command; raises as `perform` does."""
    match event, command:
        case Done(), Command.DIRECTIVE_INVOKE:
            return dataclasses.replace(state, invoked=True)
        case Done(), Command.DIRECTIVE_COPY:
            return _copied(state)
        case Done(), Command.DIRECTIVE_SWAP:
            return _swapped(state)
        case Done(), Command.DIRECTIVE_FETCH | Command.DIRECTIVE_WRITE:
            return _wrote(state)
        case Measured(), Command.CONDITION_IMAGE_MATCH:
            return _image_match(state, event)
        case Measured(), Command.CONDITION_CHECK_CONTENT:
            return _check_content(state, event)
        case Loaded(), Command.CONDITION_IMAGE_MATCH:
            return _manifest_match(state, event)
        case Loaded(), Command.CONDITION_DEPENDENCY_INTEGRITY:
            return _integrity(state, event)
        case _:
            raise AssertionError(command)


# What a command reads


def _parameter(state: State, parameter: Parameter) -> object:
    return state.of(state.frame.component).get(parameter)


def _size(state: State) -> int | None:
    size = _parameter(state, Parameter.IMAGE_SIZE)
    return size if isinstance(size, int) else None


def _digest(state: State) -> Digest | None:
    digest = _parameter(state, Parameter.IMAGE_DIGEST)
    return digest if isinstance(digest, Digest) else None


def _encryption(state: State) -> Encrypt | None:
    # Read as nothing else; its type is not loaded for the many updates that are not encrypted.
    return cast("Encrypt | None", _parameter(state, Parameter.ENCRYPTION_INFO))


def _content(state: State, otherwise: Refused) -> bytes:
    content = _parameter(state, Parameter.CONTENT)
    if not isinstance(content, bytes):
        raise otherwise
    return content


def _is_dependency(state: State) -> bool:
    return state.frame.index in state.frame.instance.manifest.dependencies


def _source(state: State) -> ComponentId:
    # SUIT manifest-37 8.4.10.5, .9: the parameter must be set, and name another component.
    # What another manifest has set is a source here only where this one may name it, too.
    source = _parameter(state, Parameter.SOURCE_COMPONENT)
    if not isinstance(source, tuple) or source not in state.frame.instance.components():
        raise Refused(Reason.COMMAND_FAILED, "there is no source-component")
    if source == state.frame.component:
        raise Refused(Reason.COMMAND_FAILED, "a component cannot be its own source")
    return source


# Conditions


def _identifier(parameter: Parameter, reason: Reason, state: State) -> tuple[State, None]:
    # SUIT manifest-37 8.4.9.1: the parameter must be set and match exactly, for each component.
    profile = state.what.profile
    component = profile.components[state.frame.component]
    own = {
        Parameter.VENDOR_IDENTIFIER: component.vendor_id or profile.vendor_id,
        Parameter.CLASS_IDENTIFIER: component.class_id or profile.class_id,
        Parameter.DEVICE_IDENTIFIER: profile.device_id,
    }[parameter]
    if own is None or _parameter(state, parameter) != own.bytes:
        raise Failed(reason, f"{spelled(parameter)} is not this device's")
    return state, None


def _slot(state: State) -> tuple[State, None]:
    # SUIT manifest-37 8.4.9.4
    wanted = _parameter(state, Parameter.COMPONENT_SLOT)
    slot = state.what.slots.get(state.frame.component)
    if slot is None or wanted != slot:
        raise Failed(Reason.WRONG_SLOT, f"slot {wanted} is not the one to be written, {slot}")
    return state, None


def _abort(_: State) -> tuple[State, None]:
    raise Failed(Reason.ABORTED, "the manifest aborts here")  # SUIT manifest-37 8.4.9.5


def _dependency_condition(state: State) -> tuple[State, None]:
    if not _is_dependency(state):  # SUIT trust-domains-12 5.6.3
        raise Failed(Reason.CONDITION_FAILED, "the component is no dependency")
    return state, None


def _match(state: State) -> tuple[State, Effect]:
    # SUIT manifest-37 8.4.9.2: the digest parameter must be set.
    digest = _digest(state)
    if digest is None:
        raise Failed(Reason.CONDITION_FAILED, "image-match without an image-digest")
    if _is_dependency(state):
        # SUIT trust-domains-12 5.2.2: the digest of a dependency covers its manifest alone.
        return state, _load(state)
    return state, Measure(component=state.frame.component, algorithm=digest.algorithm)


def _load(state: State) -> Load:
    limit = state.what.profile.limits.envelope_bytes
    return Load(component=state.frame.component, max_size=limit)


def _image_match(state: State, found: Measured) -> State:
    validating = state.key is ManifestKey.VALIDATE
    size, wanted = _size(state), _digest(state)
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


def _manifest_match(state: State, found: Loaded) -> State:
    wanted = _digest(state)
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


_NO_CONTENT = "there is no content to compare or write"


def _content_match(state: State) -> tuple[State, Effect]:
    _content(state, Failed(Reason.CONDITION_FAILED, _NO_CONTENT))
    return state, Measure(component=state.frame.component, algorithm=DigestAlgorithm.SHA256)


def _check_content(state: State, found: Measured) -> State:
    # SUIT manifest-37 8.4.9.3: in constant time; digests of both are compared, which is.
    content = _content(state, Failed(Reason.CONDITION_FAILED, _NO_CONTENT))
    if not Digest.of(content).fits(found.digest):
        raise Failed(Reason.CONDITION_FAILED, "the component does not hold the content")
    return _matched(state)


def _check_integrity(state: State) -> tuple[State, Effect]:
    # SUIT trust-domains-12 5.6.4: any failure aborts, whatever soft-failure says.
    if not _is_dependency(state):
        raise Refused(Reason.ABORTED, "the component is no dependency")
    if _digest(state) is None:
        raise Refused(Reason.ABORTED, "dependency-integrity without an image-digest")
    path = state.frame.instance.path
    if len(path) >= state.what.profile.limits.dependency_depth:
        raise Refused(Reason.LIMIT_EXCEEDED, f"dependencies deeper than {len(path)}")
    if state.frame.component in path:
        raise Refused(Reason.DEPENDENCY_REFUSED, "a dependency depends on itself")
    return state, _load(state)


def _integrity(state: State, found: Loaded) -> State:
    frame, wanted = state.frame, _digest(state)
    if wanted is None:
        raise AssertionError
    if found.data is None:
        raise Refused(Reason.DEPENDENCY_MISSING, "the component holds no manifest")
    own = frame.instance.manifest.dependencies[frame.index]
    place = Instance(
        manifest=frame.instance.manifest,
        path=(*frame.instance.path, frame.component),
        prefix=frame.instance.prefix + (own or ()),
    )
    instance = admission.dependency(
        found.data, what=state.what, procedure=state.procedure, wanted=wanted, place=place
    )
    before = state.dependencies.get(place.path)
    # A check that is repeated forgets nothing of what was carried out from the same manifest.
    same = before is not None and before.instance.manifest == instance.manifest
    known = before if before is not None and same else Dependency(instance=instance)
    return dataclasses.replace(
        state,
        dependencies={**state.dependencies, place.path: known},
        # This is all that a component owes which holds manifests, unless it is to boot as well.
        unmatched=state.unmatched - ({frame.component} - state.written),
    )


# Directives


def _ordered(state: State, *, source: ComponentId | None = None) -> State:
    """Answer the state with what a command reads and writes; raises `Refused` (aborted)."""
    if not state.unordered:
        return state
    sources = state.sources | ({source} if source is not None else set())
    targets = state.targets | {state.frame.component}
    if sources & targets:
        # SUIT manifest-37 6.7: without an order nobody may read what another command writes.
        raise Refused(Reason.ABORTED, "a component is source and target, and strict-order is off")
    return dataclasses.replace(state, sources=sources, targets=targets)


def _fetch(state: State) -> tuple[State, Effect]:
    uri = _parameter(state, Parameter.URI)
    if not isinstance(uri, str):
        raise Refused(Reason.COMMAND_FAILED, "fetch without a uri")  # SUIT manifest-37 8.4.10.4
    return _ordered(state), Fetch(
        component=state.frame.component,
        uri=Uri(uri),
        content=state.frame.instance.integrated.get(uri),
        size=_size(state),
        digest=_digest(state),
        encryption=_encryption(state),
        manifest=_is_dependency(state),
    )


def _copy(state: State) -> tuple[State, Effect]:
    source = _source(state)
    return _ordered(state, source=source), Copy(
        source=source,
        component=state.frame.component,
        size=_size(state),
        encryption=_encryption(state),
    )


def _swap(state: State) -> tuple[State, Effect]:
    source = _source(state)
    if _encryption(state) is not None:
        raise Refused(Reason.COMMAND_FAILED, "a swap decrypts nothing")
    return _ordered(state, source=source), Swap(source=source, component=state.frame.component)


def _write(state: State) -> tuple[State, Effect]:
    content = _content(state, Refused(Reason.COMMAND_FAILED, _NO_CONTENT))
    return _ordered(state), Write(
        component=state.frame.component, content=content, encryption=_encryption(state)
    )


def _invoke(state: State) -> tuple[State, Effect]:
    # SUIT manifest-37 6.3: nothing is invoked that is not validated, dependencies included.
    validated(state)
    if state.frame.component not in state.matched:
        raise Refused(Reason.CONDITION_FAILED, "the component to be invoked was never validated")
    processed(state, state.what.root, (ManifestKey.VALIDATE, ManifestKey.LOAD))
    arguments = _parameter(state, Parameter.INVOKE_ARGS)
    return state, Invoke(
        component=state.frame.component,
        arguments=arguments if isinstance(arguments, bytes) else b"",
    )


def _wrote(state: State) -> State:
    """Answer the state with a component rewritten: what was known of it is known no more."""
    component = state.frame.component
    return dataclasses.replace(
        _forgotten(state, component),
        matched=state.matched - {component},
        written=state.written if _is_dependency(state) else state.written | {component},
        unmatched=state.unmatched | {component},
    )


def _forgotten(state: State, component: ComponentId) -> State:
    """Answer the state without the dependencies that a component held, or led to."""
    kept = {path: one for path, one in state.dependencies.items() if component not in path}
    return dataclasses.replace(state, dependencies=kept)


def _copied(state: State) -> State:
    """Answer the state behind a copy: what the source owed, its copy owes."""
    source = _source(state)
    return _wrote(
        dataclasses.replace(
            state, written=state.written - {source}, unmatched=state.unmatched - {source}
        )
    )


def _swapped(state: State) -> State:
    """Answer the state behind a swap: each goes by what is known of the other."""
    source, component = _source(state), state.frame.component
    other = {source: component, component: source}
    # What was matched before was matched for another component: it is owed for once more.
    owed = {source} if component in state.written | state.unmatched else set()
    return _wrote(
        dataclasses.replace(
            _forgotten(state, source),
            matched=state.matched - {source},
            written=frozenset(other.get(one, one) for one in state.written),
            unmatched=(state.unmatched - {source}) | owed,
        )
    )


def _process(state: State) -> tuple[State, None]:
    frame = state.frame
    if not _is_dependency(state):
        if frame.every:  # SUIT trust-domains-12 5.6.2: True means all dependencies
            return state.advanced(), None
        raise Refused(Reason.ABORTED, "the component is no dependency")
    path = (*frame.instance.path, frame.component)
    found = state.dependencies.get(path)
    if found is None:
        raise Refused(Reason.ABORTED, "the dependency's integrity was not checked")
    done = dataclasses.replace(found, processed=found.processed | {state.key})
    state = dataclasses.replace(state, dependencies={**state.dependencies, path: done})
    return entered(state.advanced(), found.instance), None


def validated(state: State) -> None:
    """Return when nothing was written that was not checked since; raises `Refused`."""
    if state.unmatched:
        # SUIT manifest-37 7.3 leaves it to the author; bytes that no digest covers end here.
        raise Refused(Reason.CONDITION_FAILED, "a component was written and is never validated")


def processed(state: State, instance: Instance, sections: tuple[ManifestKey, ...]) -> None:
    """Return when these sequences of every dependency were carried out (trust-domains-12 5.1).

    Raises `Refused` (dependency-missing, dependency-refused).
    """
    for index in instance.manifest.dependencies:
        component = instance.component(index)
        name = "/".join(part.hex() for part in component)
        found = state.dependencies.get((*instance.path, component))
        if found is None:
            raise Refused(Reason.DEPENDENCY_MISSING, f"dependency {name} is never checked")
        for key in sections:
            if key in found.instance.manifest.sequences and key not in found.processed:
                raise Refused(
                    Reason.DEPENDENCY_REFUSED,
                    f"{spelled(key)} of dependency {name} is never carried out",
                )
        processed(state, found.instance, sections)


def entered(state: State, instance: Instance) -> State:
    """Answer the state at the begin of a manifest's current section, behind its shared sequence.

    SUIT manifest-37 8.4.5: the shared sequence runs before each sequence. A manifest without the
    section has nothing to do (SUIT trust-domains-12 5.3.1).
    """
    steps = instance.manifest.sequences.get(state.key)
    if not isinstance(steps, tuple):
        return state
    place = "".join(f"{'/'.join(part.hex() for part in one)}:" for one in instance.path)
    section = Frame(
        kind=Kind.SECTION,
        instance=instance,
        steps=steps,
        name=f"{place}{spelled(state.key)}",
        indices=(0,),
        saved=state.parameters,
    )
    shared = dataclasses.replace(
        section,
        kind=Kind.SHARED,
        steps=instance.manifest.shared_sequence,
        name=f"{place}common/shared-sequence",
    )
    return state.pushed(section, shared)


_COMMANDS: dict[Command, Callable[[State], tuple[State, Effect | None]]] = {
    Command.CONDITION_VENDOR_IDENTIFIER: functools.partial(
        _identifier, Parameter.VENDOR_IDENTIFIER, Reason.WRONG_VENDOR
    ),
    Command.CONDITION_CLASS_IDENTIFIER: functools.partial(
        _identifier, Parameter.CLASS_IDENTIFIER, Reason.WRONG_CLASS
    ),
    Command.CONDITION_DEVICE_IDENTIFIER: functools.partial(
        _identifier, Parameter.DEVICE_IDENTIFIER, Reason.WRONG_DEVICE
    ),
    Command.CONDITION_COMPONENT_SLOT: _slot,
    Command.CONDITION_ABORT: _abort,
    Command.CONDITION_IS_DEPENDENCY: _dependency_condition,
    Command.CONDITION_IMAGE_MATCH: _match,
    Command.CONDITION_CHECK_CONTENT: _content_match,
    Command.CONDITION_DEPENDENCY_INTEGRITY: _check_integrity,
    Command.DIRECTIVE_FETCH: _fetch,
    Command.DIRECTIVE_COPY: _copy,
    Command.DIRECTIVE_SWAP: _swap,
    Command.DIRECTIVE_WRITE: _write,
    Command.DIRECTIVE_INVOKE: _invoke,
    Command.DIRECTIVE_PROCESS_DEPENDENCY: _process,
}
