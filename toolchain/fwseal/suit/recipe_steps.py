"""A sequence of a recipe is read command by command, and written once its files are known.

draft-ietf-suit-manifest-37 8.4.7 to 8.4.10.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from fwseal.base import cbor
from fwseal.base.digest import Digest
from fwseal.base.errors import Misuse, Refused
from fwseal.base.reasons import Reason
from fwseal.suit import envelope as envelopes
from fwseal.suit.labels import Command, Parameter, RepPolicy, spelled, unsupported
from fwseal.suit.recipe_values import From, Names, Origin, Planned, value
from fwseal.suit.sequence import (
    POLICY_COMMANDS,
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
    from collections.abc import Callable, Iterable, Mapping

    from fwseal.base.tables import Table
    from fwseal.suit.author import Goods, PayloadFacts, Target


RECORD_ALL = 15
RECORD_FAILURE = 2
"""Reporting policies (M 8.4.7) as the drafts' own examples set them."""


@dataclasses.dataclass(frozen=True, slots=True)
class Assign:
    """directive-override-parameters or directive-set-parameters, values still to come."""

    command: Command
    parameters: Mapping[Parameter, Planned]


@dataclasses.dataclass(frozen=True, slots=True)
class Nest:
    """directive-try-each or directive-run-sequence; a branch of None is nil."""

    command: Command
    branches: tuple[Plan | None, ...]


PlanStep = Plain | SetIndex | Assign | Nest
Plan = tuple[PlanStep, ...]


def plan(table: Table, key: str, names: Names) -> Plan:
    """Answer the sequence under a key; raises `Misuse`, `Refused` (unsupported)."""
    steps = _steps(table, key, table.take(key, list), names)
    if not steps:
        raise table.misuse(f"{key} holds no command")
    return steps


def _steps(table: Table, place: str, items: list[object], names: Names) -> Plan:
    return tuple(_step(table, f"{place}[{at}]", item, names) for at, item in enumerate(items))


_COMMANDS = {spelled(command): command for command in Command}


def _step(table: Table, place: str, item: object, names: Names) -> PlanStep:
    """Answer one command: its bare name, or a table of its name and its argument."""
    content = {item: None} if isinstance(item, str) else item
    if not isinstance(content, dict) or len(content) != 1:
        raise table.misuse(
            f"{place} is not one command",
            hint='write "directive-fetch", or { directive-fetch = ARGUMENT }',
        )
    (name,) = content
    entry = table.inside(place, content)
    command = _COMMANDS.get(name)
    if command is None:
        raise entry.misuse(
            f"command {name!r} is not known", hint="spell it as the drafts do, without suit-"
        )
    try:
        if command in POLICY_COMMANDS:
            bare = isinstance(item, str)
            return Plain(command, _default(command) if bare else _policy(entry, name))
        read = _ARGUMENTS.get(command, _unsupported)
        return read(entry, command, names)
    except Refused as error:
        raise error.at(place) from None


def _unsupported(entry: Table, command: Command, names: Names) -> PlanStep:
    del entry, names
    raise unsupported(command, what="command")


def _default(command: Command) -> int:
    return RECORD_ALL if command.name.startswith("CONDITION") else RECORD_FAILURE


_POLICY = {bit.name.lower().replace("_", "-"): int(bit) for bit in RepPolicy if bit.name}


def _policy(entry: Table, name: str) -> int:
    bits = entry.strings(name)
    if set(bits) - set(_POLICY) or len(set(bits)) != len(bits):
        raise entry.misuse(f"{name} takes of {', '.join(_POLICY)}, each once")
    return sum(_POLICY[bit] for bit in bits)


def _set_index(entry: Table, command: Command, names: Names) -> SetIndex:
    del names
    name = spelled(command)
    if entry.kind(name) is int:
        return SetIndex(entry.uint(name))
    if entry.kind(name) is list:
        indices = entry.take(name, list)
        if indices and all(type(index) is int and index >= 0 for index in indices):
            return SetIndex(tuple(indices))
    elif entry.take(name, bool):
        return SetIndex(index=True)
    raise entry.misuse(f"{name} takes an index, true, or an array of indices")


_PARAMETERS = {spelled(parameter): parameter for parameter in Parameter}


def _assign(entry: Table, command: Command, names: Names) -> Assign:
    given = entry.table(spelled(command))
    found = {}
    for name in given.items_left():
        parameter = _PARAMETERS.get(name)
        if parameter is None:
            raise given.misuse(
                f"parameter {name!r} is not known", hint="spell it as the drafts do, without suit-"
            )
        found[parameter] = value(given, parameter, names)
    if not found:
        raise given.misuse("no parameter is set")
    return Assign(command, found)


def _run(entry: Table, command: Command, names: Names) -> Nest:
    return Nest(command, (plan(entry, spelled(command), names),))


def _try_each(entry: Table, command: Command, names: Names) -> Nest:
    name = spelled(command)
    branches: list[Plan | None] = []
    for index, branch in enumerate(entry.take(name, list)):
        if type(branch) is not list:
            raise entry.misuse(f"{name} takes an array of sequences")
        branches.append(_steps(entry, f"{name}[{index}]", branch, names) or None)
    # SUIT manifest-37 8.4.10.2: two or more, and nil only as the last.
    if len(branches) < 2 or None in branches[:-1]:
        raise entry.misuse(f"{name} takes two sequences or more; an empty one only last, for nil")
    return Nest(command, tuple(branches))


_ARGUMENTS: Mapping[Command, Callable[[Table, Command, Names], PlanStep]] = {
    Command.DIRECTIVE_SET_COMPONENT_INDEX: _set_index,
    Command.DIRECTIVE_OVERRIDE_PARAMETERS: _assign,
    Command.DIRECTIVE_SET_PARAMETERS: _assign,
    Command.DIRECTIVE_RUN_SEQUENCE: _run,
    Command.DIRECTIVE_TRY_EACH: _try_each,
}


def files(plans: Iterable[Plan]) -> frozenset[str]:
    """Answer the names of files whose bytes stand in the manifest as they are."""
    found = set()
    pending = list(plans)
    while pending:
        for step in pending.pop():
            if isinstance(step, Nest):
                pending += [branch for branch in step.branches if branch is not None]
            elif isinstance(step, Assign):
                values = [one for one in step.parameters.values() if isinstance(one, From)]
                found |= {one.name for one in values if one.origin is Origin.FILE}
    return frozenset(found)


class Resolver:
    """Values in the places of references; `uris` are those of dependencies."""

    def __init__(self, target: Target, goods: Goods, uris: dict[str, str]) -> None:
        self.target = target
        self.goods = goods
        self.uris = uris

    def sequence(self, plan: Plan) -> Sequence:
        """Answer the steps; raises `Misuse`, and `Refused` for a dependency that is none."""
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
            return self.target.vendor_id if vendor else self.target.class_id
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
    return facts.digest


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
