"""A manifest is carried out as a pure machine: one effect out, one event in, until it is done.

`start` and `step` walk the sequences; nothing here touches the world, and payloads never pass
through. The values are in `machine`, the commands in `conditions` and `directives`, the way in is
`admission`.

draft-ietf-suit-manifest-37 6.4 to 6.7, 8.4.10.2, 8.4.10.8.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, TypeVar

from fwseal.base.errors import Refused
from fwseal.base.reasons import Reason
from fwseal.device.admission import populated
from fwseal.device.commands import complete, perform
from fwseal.device.directives import entered, processed, validated
from fwseal.device.effects import Effect, Event, Finish
from fwseal.device.machine import Failed, Frame, Kind, Procedure, State
from fwseal.suit.labels import Parameter
from fwseal.suit.sequence import Override, Plain, RunSequence, SetIndex, SetParameters

if TYPE_CHECKING:
    from fwseal.device.machine import Applicable, Known
    from fwseal.suit.sequence import Parameters, Sequence, Step

R = TypeVar("R", bound=Refused)


def start(what: Applicable, procedure: Procedure = Procedure.UPDATE) -> tuple[State, Effect]:
    """Answer the machine at its first effect; raises `Refused` as `step` does."""
    populated(what.root.manifest, procedure)
    return _walk(_section(State(what=what, procedure=procedure), 0))


def step(state: State, event: Event) -> tuple[State, Effect]:
    """Answer the machine after the effect it waited for.

    Raises `Refused`, placed at the command: wrong-vendor, wrong-class, wrong-device, wrong-slot,
    aborted, payload-size, payload-digest, digest-mismatch, condition-failed, command-failed,
    dependency-missing, dependency-refused, limit-exceeded.
    """
    command = state.frame.steps[state.frame.position]
    if not isinstance(command, Plain):
        raise AssertionError(command)
    try:
        after = complete(state, command.command, event).advanced()
    except Failed as failure:
        after = _failed(state, _placed(failure, state))
    except Refused as error:
        raise _placed(error, state) from None
    return _walk(after)


def _walk(state: State) -> tuple[State, Effect]:
    """Answer the next effect; what needs none is carried out on the way."""
    while state.frames:
        frame = state.frame
        if frame.position == len(frame.steps):
            state = _ended(state)
            continue
        try:
            state = _counted(state)  # a command that fails has been carried out as well
            state, effect = _execute(state, frame.steps[frame.position])
            if effect is not None:
                return _asked(state), effect
        except Failed as failure:
            state = _failed(state, _placed(failure, state))
        except Refused as error:
            raise _placed(error, state) from None
    return state, _finish(state)


def _placed(error: R, state: State) -> R:
    where = f"{state.frame.where}/{error.where}".rstrip("/")
    return type(error)(error.reason, error.message, where=where)


def _counted(state: State) -> State:
    limit = state.what.profile.limits.steps
    if state.executed >= limit:
        raise Refused(Reason.LIMIT_EXCEEDED, f"more than {limit} commands are carried out")
    return dataclasses.replace(state, executed=state.executed + 1)


def _asked(state: State) -> State:
    limit = state.what.profile.limits.effects
    if state.asked >= limit:
        raise Refused(Reason.LIMIT_EXCEEDED, f"more than {limit} commands touch a component")
    return dataclasses.replace(state, asked=state.asked + 1)


def _execute(state: State, command: Step) -> tuple[State, Effect | None]:
    match command:
        case Plain():
            before = state.frames
            state, effect = perform(state, command.command)
            if effect is None and state.frames is before:
                state = state.advanced()
            return state, effect
        case SetIndex():
            return _indexed(state, command), None
        case Override():
            return _set(state, command.parameters, override=True).advanced(), None
        case SetParameters():
            return _set(state, command.parameters, override=False).advanced(), None
        case RunSequence():
            return _run(state, command.steps), None
        case _:  # TryEach
            return _tried(state.advanced(), state.frame, command.branches), None


# Index and parameters: all of these are barriers to what runs without an order (6.7)


def _barrier(state: State) -> State:
    if not all(frame.strict for frame in state.frames[:-1]):
        return state  # what this sequence waits for, those beside it do not
    return dataclasses.replace(state, sources=frozenset(), targets=frozenset())


def _indexed(state: State, command: SetIndex) -> State:
    frame, index = state.frame, command.index
    if frame.fixed:
        # SUIT manifest-37 6.7: such a sequence is for the components it was started with.
        raise Refused(Reason.ABORTED, "the component index may not be set again here")
    return _barrier(
        state.with_frame(
            dataclasses.replace(
                frame,
                indices=command.among(frame.instance.indices()),
                several=index is True or isinstance(index, tuple),
                every=index is True,
                position=frame.position + 1,
                turn=0,
                fixed=frame.fixes,
            )
        )
    )


def _set(state: State, new: Parameters, *, override: bool) -> State:
    frame = state.frame
    # SUIT manifest-37 8.4.8.14, .15: these two are the sequence's, and have a value from its start.
    own = {Parameter.SOFT_FAILURE, Parameter.STRICT_ORDER}
    if override:
        frame = dataclasses.replace(
            frame,
            soft=bool(new.get(Parameter.SOFT_FAILURE, frame.soft)),
            strict=bool(new.get(Parameter.STRICT_ORDER, frame.strict)),
        )
    added: Known = {
        key: frame.instance.component(value)
        if key is Parameter.SOURCE_COMPONENT and isinstance(value, int)
        else value
        for key, value in new.items()
        if key not in own
    }
    kept = state.of(frame.component)
    merged = {**kept, **added} if override else {**added, **kept}
    parameters = {**state.parameters, frame.component: merged}
    return _barrier(dataclasses.replace(state.with_frame(frame), parameters=parameters))


# Sequences inside sequences


def _inner(state: State, frame: Frame, steps: Sequence, kind: Kind) -> Frame:
    return Frame(
        kind=kind,
        instance=frame.instance,
        steps=steps,
        name=frame.where,
        indices=(frame.index,),
        fixed=frame.fixed,
        soft=kind is Kind.TRY,
        saved=state.parameters,
    )


def _run(state: State, steps: Sequence) -> State:
    frame = state.frame
    inner = _inner(state, frame, steps, Kind.RUN)
    if not frame.strict:
        # SUIT manifest-37 6.7: run side by side, each sequence is for components of its own.
        if frame.several:
            inner = dataclasses.replace(inner, fixed=True)
        elif isinstance(steps[0], SetIndex):
            inner = dataclasses.replace(inner, fixes=True)
        else:
            raise Refused(Reason.ABORTED, "a sequence without an order must set its component")
    return state.advanced().pushed(inner)


def _tried(state: State, frame: Frame, branches: tuple[Sequence | None, ...]) -> State:
    """Answer the state inside the first of the branches; nil does nothing, and succeeds."""
    if branches[0] is None:
        return state
    inner = _inner(state, frame, branches[0], Kind.TRY)
    return state.pushed(dataclasses.replace(inner, alternatives=branches[1:], outer=frame))


def _failed(state: State, failure: Failed) -> State:
    """Answer the state where a failure ends: behind the innermost soft sequence around it.

    Raises `Refused` when there is none. What a failed sequence set is forgotten; what it wrote is
    not. SUIT manifest-37 8.4.8.15, 8.4.10.2, 8.4.10.8.
    """
    while True:
        frame = state.frame
        if frame.kind in (Kind.SECTION, Kind.SHARED):
            # A dependency that fails is a directive that fails: nothing outside may be soft on it.
            raise failure
        state = _left(state)
        if frame.soft:
            state = dataclasses.replace(state, parameters=frame.saved)
            if frame.kind is Kind.RUN:
                return state
            if frame.alternatives and frame.outer is not None:
                return _tried(state, frame.outer, frame.alternatives)
        # not soft, or every sequence was tried: the sequence around fails as well


def _left(state: State) -> State:
    """Answer the state behind a sequence; one without an order goes on beside what was in it."""
    state = state.popped()
    return state if state.unordered else _barrier(state)


def _ended(state: State) -> State:
    """Answer the state after a sequence that came to its end."""
    frame = state.frame
    state = _left(state)
    if frame.kind is not Kind.SECTION:
        return state
    if frame.instance.path:
        # Off-spec: trust-domains-12 5.3 lets them persist, and then a dependency's signer could
        # say which digest the root's own image has.
        return dataclasses.replace(state, parameters=frame.saved)
    return _section(state, state.section + 1)


def _section(state: State, first: int) -> State:
    """Answer the state at the next section that the root has, counted from `first`."""
    root = state.what.root
    for section in range(first, len(state.procedure.value)):
        state = dataclasses.replace(state, section=section)
        if state.key in root.manifest.sequences:
            return entered(state, root)
    return state


# The end


def _finish(state: State) -> Finish:
    root = state.what.root
    processed(state, root, state.procedure.value)
    validated(state)
    if state.procedure is Procedure.INVOCATION and not state.invoked:
        # SUIT manifest-37 6.3: an invocation ends in an error or in an invoked image.
        raise Refused(Reason.COMMAND_FAILED, "the manifest invokes nothing")
    numbers = {
        path[-1]: one.instance.manifest.sequence_number for path, one in state.dependencies.items()
    }
    return Finish(
        components=tuple(sorted(state.written)),
        sequence_number=root.manifest.sequence_number,
        dependencies=tuple(sorted(numbers.items())),
    )
