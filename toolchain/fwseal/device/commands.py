"""Which condition or directive a command is, and what becomes of its effect.

draft-ietf-suit-manifest-37 8.4.9, 8.4.10; draft-ietf-suit-trust-domains-12 5.6.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from fwseal.base.reasons import Reason
from fwseal.device import conditions, directives
from fwseal.device.effects import Done, Measured
from fwseal.suit.labels import Command, Parameter

if TYPE_CHECKING:
    from collections.abc import Callable

    from fwseal.device.effects import Effect, Event, Loaded
    from fwseal.device.machine import State


def perform(state: State, command: Command) -> tuple[State, Effect | None]:
    """Answer the state after a command, or the effect that it waits for.

    Raises `Failed` for a condition that does not hold, `Refused` for what aborts.
    """
    return _COMMANDS[command](state)


def complete(state: State, command: Command, event: Event) -> State:
    """Answer the state after the effect of a command; raises as `perform` does."""
    if isinstance(event, Done):
        return _DONE[command](state)
    if isinstance(event, Measured):
        return _MEASURED[command](state, event)
    return _LOADED[command](state, event)


_COMMANDS: dict[Command, Callable[[State], tuple[State, Effect | None]]] = {
    Command.CONDITION_VENDOR_IDENTIFIER: functools.partial(
        conditions.identifier, Parameter.VENDOR_IDENTIFIER, Reason.WRONG_VENDOR
    ),
    Command.CONDITION_CLASS_IDENTIFIER: functools.partial(
        conditions.identifier, Parameter.CLASS_IDENTIFIER, Reason.WRONG_CLASS
    ),
    Command.CONDITION_DEVICE_IDENTIFIER: functools.partial(
        conditions.identifier, Parameter.DEVICE_IDENTIFIER, Reason.WRONG_DEVICE
    ),
    Command.CONDITION_COMPONENT_SLOT: conditions.slot,
    Command.CONDITION_ABORT: conditions.abort,
    Command.CONDITION_IS_DEPENDENCY: conditions.dependency,
    Command.CONDITION_IMAGE_MATCH: conditions.image_match,
    Command.CONDITION_CHECK_CONTENT: conditions.check_content,
    Command.CONDITION_DEPENDENCY_INTEGRITY: conditions.dependency_integrity,
    Command.DIRECTIVE_FETCH: directives.fetch,
    Command.DIRECTIVE_COPY: directives.copy,
    Command.DIRECTIVE_SWAP: directives.swap,
    Command.DIRECTIVE_WRITE: directives.write,
    Command.DIRECTIVE_INVOKE: directives.invoke,
    Command.DIRECTIVE_PROCESS_DEPENDENCY: directives.process,
}

_DONE: dict[Command, Callable[[State], State]] = {
    Command.DIRECTIVE_FETCH: directives.wrote,
    Command.DIRECTIVE_WRITE: directives.wrote,
    Command.DIRECTIVE_COPY: directives.copied,
    Command.DIRECTIVE_SWAP: directives.swapped,
    Command.DIRECTIVE_INVOKE: directives.invoked,
}
_MEASURED: dict[Command, Callable[[State, Measured], State]] = {
    Command.CONDITION_IMAGE_MATCH: conditions.image_matches,
    Command.CONDITION_CHECK_CONTENT: conditions.content_matches,
}
_LOADED: dict[Command, Callable[[State, Loaded], State]] = {
    Command.CONDITION_IMAGE_MATCH: conditions.manifest_matches,
    Command.CONDITION_DEPENDENCY_INTEGRITY: conditions.integrity_holds,
}
