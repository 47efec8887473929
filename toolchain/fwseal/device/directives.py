"""What each directive asks for, for one component at a time, and what is known behind it.

draft-ietf-suit-manifest-37 8.4.10; draft-ietf-suit-trust-domains-12 5.6.2.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, cast

from fwseal.base.errors import Refused
from fwseal.base.ids import Uri
from fwseal.base.reasons import Reason
from fwseal.device.effects import Copy, Fetch, Invoke, Swap, Write
from fwseal.device.machine import Frame, Instance, Kind
from fwseal.suit.labels import ManifestKey, Parameter, spelled

if TYPE_CHECKING:
    from fwseal.base.ids import ComponentId
    from fwseal.cose.encryption import Encrypt
    from fwseal.device.effects import Effect
    from fwseal.device.machine import State


def _source(state: State) -> ComponentId:
    # SUIT manifest-37 8.4.10.5, .9: the parameter must be set, and name another component.
    # What another manifest has set is a source here only where this one may name it, too.
    source = cast("ComponentId", state.parameter(Parameter.SOURCE_COMPONENT))  # or None: in none
    if source not in state.frame.instance.components():
        raise Refused(Reason.COMMAND_FAILED, "there is no source-component")
    if source == state.frame.component:
        raise Refused(Reason.COMMAND_FAILED, "a component cannot be its own source")
    return source


def _encryption(state: State) -> Encrypt | None:
    # Read as nothing else; its type is not loaded for the many updates that are not encrypted.
    return cast("Encrypt | None", state.parameter(Parameter.ENCRYPTION_INFO))


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


def fetch(state: State) -> tuple[State, Effect]:
    """Ask for a payload; raises `Refused` (command-failed, aborted)."""
    uri = state.parameter(Parameter.URI)
    if not isinstance(uri, str):
        raise Refused(Reason.COMMAND_FAILED, "fetch without a uri")  # SUIT manifest-37 8.4.10.4
    return _ordered(state), Fetch(
        component=state.frame.component,
        uri=Uri(uri),
        content=state.frame.instance.integrated.get(uri),
        size=state.size,
        digest=state.digest,
        encryption=_encryption(state),
        manifest=state.is_dependency,
    )


def copy(state: State) -> tuple[State, Effect]:
    """Ask for a copy of another component; raises `Refused` (command-failed, aborted)."""
    source = _source(state)
    return _ordered(state, source=source), Copy(
        source=source,
        component=state.frame.component,
        size=state.size,
        encryption=_encryption(state),
    )


def swap(state: State) -> tuple[State, Effect]:
    """Ask for an exchange of two components; raises `Refused` (command-failed, aborted)."""
    source = _source(state)
    if _encryption(state) is not None:
        raise Refused(Reason.COMMAND_FAILED, "a swap decrypts nothing")
    return _ordered(state, source=source), Swap(source=source, component=state.frame.component)


def write(state: State) -> tuple[State, Effect]:
    """Ask for the manifest's own content; raises `Refused` (command-failed, aborted)."""
    content = state.parameter(Parameter.CONTENT)
    if not isinstance(content, bytes):
        raise Refused(Reason.COMMAND_FAILED, "write without content")
    return _ordered(state), Write(
        component=state.frame.component, content=content, encryption=_encryption(state)
    )


def invoke(state: State) -> tuple[State, Effect]:
    """Ask for a component's start; raises `Refused` (condition-failed, dependency-*)."""
    # SUIT manifest-37 6.3: nothing is invoked that is not validated, dependencies included.
    validated(state)
    if state.frame.component not in state.matched:
        raise Refused(Reason.CONDITION_FAILED, "the component to be invoked was never validated")
    processed(state, state.what.root, (ManifestKey.VALIDATE, ManifestKey.LOAD))
    arguments = state.parameter(Parameter.INVOKE_ARGS)
    return state, Invoke(
        component=state.frame.component,
        arguments=arguments if isinstance(arguments, bytes) else b"",
    )


def invoked(state: State) -> State:
    """Answer the state behind an invocation: there is one."""
    return dataclasses.replace(state, invoked=True)


def wrote(state: State) -> State:
    """Answer the state with a component rewritten: what was known of it is known no more."""
    component = state.frame.component
    return dataclasses.replace(
        _forgotten(state, component),
        matched=state.matched - {component},
        written=state.written if state.is_dependency else state.written | {component},
        unmatched=state.unmatched | {component},
    )


def _forgotten(state: State, component: ComponentId) -> State:
    """Answer the state without the dependencies that a component held, or led to."""
    kept = {path: one for path, one in state.dependencies.items() if component not in path}
    return dataclasses.replace(state, dependencies=kept)


def copied(state: State) -> State:
    """Answer the state behind a copy: what the source owed, its copy owes."""
    source = _source(state)
    return wrote(
        dataclasses.replace(
            state, written=state.written - {source}, unmatched=state.unmatched - {source}
        )
    )


def swapped(state: State) -> State:
    """Answer the state behind a swap: each goes by what is known of the other."""
    source, component = _source(state), state.frame.component
    other = {source: component, component: source}
    # What was matched before was matched for another component: it is owed for once more.
    owed = {source} if component in state.written | state.unmatched else set()
    return wrote(
        dataclasses.replace(
            _forgotten(state, source),
            matched=state.matched - {source},
            written=frozenset(other.get(one, one) for one in state.written),
            unmatched=(state.unmatched - {source}) | owed,
        )
    )


def process(state: State) -> tuple[State, None]:
    """Go into a dependency's section; raises `Refused` (aborted)."""
    frame = state.frame
    if frame.every and not state.is_dependency:
        return state.advanced(), None  # SUIT trust-domains-12 5.6.2: True means all dependencies
    path = (*frame.instance.path, frame.component)
    found = state.dependencies.get(path)
    if found is None:
        raise Refused(Reason.ABORTED, "no dependency whose integrity was checked is there")
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
