"""A command sequence is typed step by step; a command nobody knows is refused by its number.

draft-ietf-suit-manifest-37 8.4.7 to 8.4.10.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import TYPE_CHECKING, TypeAlias

import cbor2

from fwseal.base import cbor
from fwseal.base.digest import Digest
from fwseal.base.errors import Refused
from fwseal.base.reasons import Reason
from fwseal.suit.labels import TAG_PEN, Command, Parameter, known, spelled, unsupported
from fwseal.suit.limits import DEFAULT, Limits
from fwseal.suit.values import (
    boolean,
    byte_string,
    decode_digest,
    encode_digest,
    mapping,
    text_string,
    unsigned,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from fwseal.cose.encryption import Encrypt

ParameterValue: TypeAlias = "int | bool | bytes | str | Digest | Encrypt | cbor2.CBORTag"
Parameters: TypeAlias = "Mapping[Parameter, ParameterValue]"


@dataclasses.dataclass(frozen=True, slots=True)
class Plain:
    """A condition or directive whose argument is a reporting policy (M 8.4.7)."""

    command: Command
    policy: int


@dataclasses.dataclass(frozen=True, slots=True)
class SetIndex:
    """directive-set-component-index: an index, True for all, or several."""

    index: int | tuple[int, ...]

    def among(self, every: tuple[int, ...]) -> tuple[int, ...]:
        """Answer the indices that it sets, in order, where these are all there are."""
        if self.index is True:
            return every
        return self.index if isinstance(self.index, tuple) else (self.index,)


@dataclasses.dataclass(frozen=True, slots=True)
class Override:
    """directive-override-parameters."""

    parameters: Parameters


@dataclasses.dataclass(frozen=True, slots=True)
class SetParameters:
    """directive-set-parameters: only what is not set yet (SUIT trust-domains-12 5.6.1)."""

    parameters: Parameters


@dataclasses.dataclass(frozen=True, slots=True)
class RunSequence:
    """directive-run-sequence."""

    steps: Sequence


@dataclasses.dataclass(frozen=True, slots=True)
class TryEach:
    """directive-try-each: branches in order; the last may be None, which succeeds."""

    branches: tuple[Sequence | None, ...]


Step = Plain | SetIndex | Override | SetParameters | RunSequence | TryEach
Sequence = tuple[Step, ...]


def nested(step: Step) -> tuple[Sequence, ...]:
    """Answer the sequences that stand inside a step."""
    if isinstance(step, RunSequence):
        return (step.steps,)
    if isinstance(step, TryEach):
        return tuple(branch for branch in step.branches if branch is not None)
    return ()


@dataclasses.dataclass(frozen=True, slots=True)
class _Context:
    """What a sequence may name and hold, and how much of it is read."""

    indices: frozenset[int]
    barred: frozenset[Command]
    limits: Limits
    nesting: int = 0


def decode_sequence(
    data: bytes,
    *,
    indices: frozenset[int],
    barred: frozenset[Command] = frozenset(),
    limits: Limits = DEFAULT,
) -> Sequence:
    """Answer the steps of a command sequence over these component indices.

    `barred` are commands that may not stand in it, however deep. Raises `Refused`, with the index
    of the command: malformed, not-deterministic, limit-exceeded, unsupported,
    unsupported-algorithm, wrong-component.
    """
    return _decoded(data, _Context(indices, barred, limits))


def _decoded(data: bytes, context: _Context) -> Sequence:
    limits = context.limits
    if context.nesting > limits.nesting:
        raise Refused(Reason.LIMIT_EXCEEDED, f"sequences nested deeper than {limits.nesting}")
    items = cbor.decode(data, tags=_TAGS, limits=limits.document)
    if not isinstance(items, tuple) or not items or len(items) % 2:
        raise Refused(Reason.MALFORMED, "a command sequence is an array of pairs")
    if len(items) > 2 * limits.commands:
        raise Refused(Reason.LIMIT_EXCEEDED, f"more than {limits.commands} commands in a sequence")
    steps: list[Step] = []
    for index in range(0, len(items), 2):
        try:
            command = known(Command, items[index], what="command")
            steps.append(_step(command, items[index + 1], context))
        except Refused as error:
            raise error.at(f"[{index // 2}]") from None
    return tuple(steps)


_TAGS = frozenset({TAG_PEN})


def _step(command: Command, value: cbor.Value, context: _Context) -> Step:
    if command in POLICY_COMMANDS:
        if command in context.barred:
            raise Refused(Reason.MALFORMED, f"{spelled(command)} may not stand here")
        return _plain(command, unsigned(value, "a reporting policy"))
    if command is Command.DIRECTIVE_SET_COMPONENT_INDEX:
        return SetIndex(_index(value, context.indices))
    if command is Command.DIRECTIVE_OVERRIDE_PARAMETERS:
        return Override(_parameters(value, context))
    if command is Command.DIRECTIVE_SET_PARAMETERS:
        return SetParameters(_parameters(value, context))
    if command is Command.DIRECTIVE_RUN_SEQUENCE:
        return RunSequence(_inner(value, context))
    if command is Command.DIRECTIVE_TRY_EACH:
        # SUIT manifest-37 8.4.10.2: two or more, and nil only as the last.
        if not isinstance(value, tuple) or len(value) < 2 or None in value[:-1]:
            raise Refused(Reason.MALFORMED, "try-each holds two or more sequences, nil only last")
        if len(value) > context.limits.branches:
            raise Refused(
                Reason.LIMIT_EXCEEDED, f"try-each of more than {context.limits.branches} sequences"
            )
        return TryEach(tuple(one if one is None else _inner(one, context) for one in value))
    raise unsupported(command, what="command")


@functools.lru_cache(maxsize=256)
def _plain(command: Command, policy: int) -> Plain:
    # There are few of these, and each manifest is full of them.
    return Plain(command, policy)


def _inner(value: object, context: _Context) -> Sequence:
    content = byte_string(value, "a nested sequence")
    return _decoded(content, dataclasses.replace(context, nesting=context.nesting + 1))


POLICY_COMMANDS = frozenset({
    Command.CONDITION_VENDOR_IDENTIFIER, Command.CONDITION_CLASS_IDENTIFIER,
    Command.CONDITION_DEVICE_IDENTIFIER, Command.CONDITION_IMAGE_MATCH,
    Command.CONDITION_COMPONENT_SLOT, Command.CONDITION_CHECK_CONTENT, Command.CONDITION_ABORT,
    Command.CONDITION_DEPENDENCY_INTEGRITY, Command.CONDITION_IS_DEPENDENCY,
    Command.DIRECTIVE_PROCESS_DEPENDENCY, Command.DIRECTIVE_FETCH, Command.DIRECTIVE_COPY,
    Command.DIRECTIVE_WRITE, Command.DIRECTIVE_SWAP, Command.DIRECTIVE_INVOKE,
})  # fmt: skip
"""Commands whose argument is a reporting policy (M 8.4.7)."""

DIRECTIVES = frozenset(one for one in POLICY_COMMANDS if one.name.startswith("DIRECTIVE"))
INVOKE = frozenset({Command.DIRECTIVE_INVOKE})
"""What is barred from a shared sequence, and from all but suit-invoke."""


def encode_sequence(sequence: Sequence) -> bytes:
    """Answer the CBOR of a command sequence."""
    items: list[cbor.Value] = []
    for step in sequence:
        items += _pair(step)
    return cbor.encode(tuple(items))


def _pair(step: Step) -> tuple[int, cbor.Value]:
    match step:
        case Plain():
            return int(step.command), step.policy
        case SetIndex():
            return int(Command.DIRECTIVE_SET_COMPONENT_INDEX), step.index
        case Override():
            return int(Command.DIRECTIVE_OVERRIDE_PARAMETERS), {
                int(key): _parameter_value(value) for key, value in step.parameters.items()
            }
        case SetParameters():
            return int(Command.DIRECTIVE_SET_PARAMETERS), {
                int(key): _parameter_value(value) for key, value in step.parameters.items()
            }
        case RunSequence():
            return int(Command.DIRECTIVE_RUN_SEQUENCE), encode_sequence(step.steps)
        case _:  # TryEach
            return int(Command.DIRECTIVE_TRY_EACH), tuple(
                None if branch is None else encode_sequence(branch) for branch in step.branches
            )


def _parameter_value(value: ParameterValue) -> cbor.Value:
    if isinstance(value, Digest):
        return encode_digest(value)
    if isinstance(value, int | bytes | str | cbor2.CBORTag):
        return value
    # firmware-encryption-26 4: a byte string that holds the COSE_Encrypt.
    return value.encode()


def _index(value: cbor.Value, indices: frozenset[int]) -> int | tuple[int, ...]:
    if value is True:
        return True
    found: list[int] = []
    for one in value if isinstance(value, tuple) else (value,):
        if type(one) is not int:
            raise Refused(Reason.MALFORMED, "a component index is an integer, true or an array")
        if one not in indices:
            raise Refused(Reason.WRONG_COMPONENT, f"component index {one} names no component")
        found.append(one)
    if not found or len(set(found)) != len(found):
        raise Refused(Reason.MALFORMED, "component indices are one or more, each once")
    return tuple(found) if isinstance(value, tuple) else found[0]


def _parameters(value: object, context: _Context) -> Parameters:
    body = mapping(value, "the parameters")
    if not body:
        raise Refused(Reason.MALFORMED, "no parameter is set")
    found: dict[Parameter, ParameterValue] = {}
    for key, content in body.items():
        parameter = known(Parameter, key, what="parameter")
        read = PARAMETERS.get(parameter)
        if read is None:
            raise unsupported(parameter, what="parameter")
        found[parameter] = read(content, spelled(parameter))
    source = found.get(Parameter.SOURCE_COMPONENT)
    if source is not None and source not in context.indices:
        # SUIT manifest-37 8.4.8.11: an index, as set-component-index takes one.
        raise Refused(Reason.WRONG_COMPONENT, f"source-component {source!r} names no component")
    if not context.nesting and Parameter.SOFT_FAILURE in found:
        # SUIT manifest-37 8.4.8.15: only a sequence inside try-each or run-sequence may be soft.
        raise Refused(Reason.MALFORMED, "soft-failure outside of a nested sequence")
    return found


def _identifier(value: object, what: str) -> bytes | cbor2.CBORTag:
    # SUIT manifest-37 8.4.8.2: a UUID of 16 bytes, or a private enterprise number under tag 112.
    if isinstance(value, cbor2.CBORTag) and isinstance(value.value, bytes):
        return value
    return _uuid(value, what)


def _uuid(value: object, what: str) -> bytes:
    content = byte_string(value, what)
    if len(content) != 16:
        raise Refused(Reason.MALFORMED, f"{what} is a UUID of 16 bytes")
    # SUIT manifest-37 8.4.8.2: version 3, 4 or 5 (RFC 9562 4.1, 4.2: byte 8 holds the variant).
    if content[6] >> 4 not in (3, 4, 5) or content[8] >> 6 != 2:
        raise Refused(Reason.MALFORMED, f"{what} is not a UUID of version 3, 4 or 5")
    return content


def _digest_parameter(value: object, what: str) -> Digest:
    return decode_digest(byte_string(value, what))


def _encryption_info(value: object, what: str) -> Encrypt:
    from fwseal.cose.encryption import decode_encrypt  # most payloads are not encrypted

    try:
        return decode_encrypt(byte_string(value, what))
    except Refused as error:
        raise error.at(what) from None


PARAMETERS: Mapping[Parameter, Callable[[object, str], ParameterValue]] = {
    Parameter.VENDOR_IDENTIFIER: _identifier,
    Parameter.CLASS_IDENTIFIER: _uuid,
    Parameter.DEVICE_IDENTIFIER: _uuid,
    Parameter.IMAGE_DIGEST: _digest_parameter,
    Parameter.IMAGE_SIZE: unsigned,
    Parameter.COMPONENT_SLOT: unsigned,
    Parameter.SOURCE_COMPONENT: unsigned,
    Parameter.STRICT_ORDER: boolean,
    Parameter.SOFT_FAILURE: boolean,
    Parameter.CONTENT: byte_string,
    Parameter.ENCRYPTION_INFO: _encryption_info,
    Parameter.INVOKE_ARGS: byte_string,
    Parameter.FETCH_ARGUMENTS: byte_string,
    Parameter.URI: text_string,
}
"""How each parameter that this version knows is read; the rest is refused by name."""
