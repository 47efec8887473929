"""The `[manifest]` part of a recipe is the drafts' sequences, in the drafts' own names.

A value that could be more than one thing says which it is; nothing is guessed. What files alone
can tell (a digest, a size) stays a reference here, and `author` puts the value in its place.

draft-ietf-suit-manifest-37 8.4; draft-ietf-suit-trust-domains-12 5.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from fwseal.base.errors import Misuse, Refused
from fwseal.base.ids import plain_name
from fwseal.suit.labels import (
    SEQUENCES,
    SEVERABLE,
    Command,
    ManifestKey,
    Parameter,
    RepPolicy,
    spelled,
    unsupported,
)
from fwseal.suit.recipe_values import From, Names, Origin, Planned, value
from fwseal.suit.sequence import POLICY_COMMANDS, Plain, SetIndex

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from fwseal.base.ids import ComponentId
    from fwseal.base.tables import Table
    from fwseal.suit.text import Text

TEMPLATES = ("single-image",)

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


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Dependency:
    """An envelope that was signed elsewhere, and which of the components it is about.

    `component` is where its manifest is kept; without one it stands past the list of components,
    under its `prefix` (SUIT trust-domains-12 5.2.2).
    """

    file: str
    uri: str
    component: ComponentId | None
    prefix: ComponentId | None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    """The `[manifest]` part of a recipe and its `[[dependency]]` entries.

    `template` is empty where the sequences are spelled out; `components` is empty where they are
    those of the payloads and dependencies, in their order.
    """

    template: str = ""
    reference_uri: str | None = None
    component_id: ComponentId | None = None
    components: tuple[ComponentId, ...] = ()
    sever: tuple[ManifestKey, ...] = ()
    shared_sequence: Plan = ()
    sequences: Mapping[ManifestKey, Plan] = dataclasses.field(default_factory=dict)
    text: Text | None = None
    dependencies: tuple[Dependency, ...] = ()

    def files(self) -> frozenset[str]:
        """Answer the names of files whose bytes stand in the manifest as they are."""
        found = set()
        pending = [self.shared_sequence, *self.sequences.values()]
        while pending:
            for step in pending.pop():
                if isinstance(step, Nest):
                    pending += [branch for branch in step.branches if branch is not None]
                elif isinstance(step, Assign):
                    values = [one for one in step.parameters.values() if isinstance(one, From)]
                    found |= {one.name for one in values if one.origin is Origin.FILE}
        return frozenset(found)


def dependencies(tables: tuple[Table, ...], number: int) -> tuple[Dependency, ...]:
    """Answer the `[[dependency]]` entries of a recipe of that sequence number; raises `Misuse`."""
    return tuple(_dependency(entry, number) for entry in tables)


def _dependency(entry: Table, number: int) -> Dependency:
    file = plain_name(entry.take("file", str), what="dependency file")
    found = Dependency(
        file=file,
        uri=payload_uri(entry, file, number),
        component=component(entry, "component") if entry.has("component") else None,
        prefix=component(entry, "prefix") if entry.has("prefix") else None,
    )
    if found.component is None and found.prefix is None:
        raise entry.misuse(
            "a dependency names its component or its prefix",
            hint='component = ["01"] is where its manifest is kept',
        )
    entry.done()
    return found


def payload_uri(entry: Table, file: str, number: int) -> str:
    """Answer where a file is fetched: beside the envelope, or with `integrated` out of it."""
    integrated = entry.has("integrated") and entry.take("integrated", bool)
    uri = entry.take("uri", str, f"#{file}" if integrated else f"{number}/{file}")
    # SUIT manifest-37 7.5: what travels in the envelope is named by a fragment of its own.
    if uri.startswith("#") is not integrated or uri in ("", "#"):
        raise entry.misuse(
            f"uri {uri!r} and integrated disagree",
            hint="a uri that begins with # is of what is integrated, and no other is",
        )
    return uri


def component(entry: Table, key: str) -> ComponentId:
    """Answer a component identifier, its parts in hex; raises `Misuse`."""
    parts = entry.strings(key)
    if not parts:
        raise entry.misuse(f"{key} must have one part or more")
    return tuple(entry.from_hex(part, key) for part in parts)


def spec(
    table: Table, *, payloads: Names | None = None, dependencies: tuple[Dependency, ...] = ()
) -> Spec:
    """Answer the `[manifest]` table, with what it may name.

    Raises `Misuse` at the place, and `Refused` (unsupported) for what the drafts name and this
    version does not process.
    """
    names = dataclasses.replace(
        payloads or Names(), dependencies=frozenset(d.file for d in dependencies)
    )
    template = table.one_of("template", TEMPLATES) if table.has("template") else ""
    found = Spec(
        template=template,
        reference_uri=table.take("reference-uri", str) if table.has("reference-uri") else None,
        component_id=component(table, "component-id") if table.has("component-id") else None,
        components=_components(table) if table.has("components") else (),
        text=_text(table.table("text")) if table.has("text") else None,
        dependencies=dependencies,
    )
    sever = table.strings("sever", ())
    shared = plan(table, "shared-sequence", names) if table.has("shared-sequence") else ()
    sequences = _sequences(table, names)
    table.done()
    if template and (shared or sequences or found.components or dependencies):
        raise table.misuse(
            f"template {template} writes the sequences itself",
            hint="leave out template, or the sequences, components and dependencies",
        )
    if not template and not sequences:
        raise table.misuse("there is no sequence", hint="or name a template: single-image")
    present = {ManifestKey.INSTALL} if template else set(sequences)
    if found.text is not None:
        present.add(ManifestKey.TEXT)
    return dataclasses.replace(
        found, sever=_severed(table, sever, present), shared_sequence=shared, sequences=sequences
    )


def _components(table: Table) -> tuple[ComponentId, ...]:
    found = []
    for index, parts in enumerate(table.take("components", list)):
        entry = table.inside(f"components[{index}]", {"id": parts})
        found.append(component(entry, "id"))
    return tuple(found)


def _severed(
    table: Table, names: tuple[str, ...], present: set[ManifestKey]
) -> tuple[ManifestKey, ...]:
    found = tuple(key for key in ManifestKey if spelled(key) in names)
    if len(found) != len(names):
        raise table.misuse("sever names members of the manifest, each once")
    for key in found:
        # SUIT manifest-37 8.4.12: what a device needs at each boot cannot be left out.
        if key not in SEVERABLE or key not in present:
            raise table.misuse(f"{spelled(key)} cannot be severed, or is not there")
    return found


def _text(table: Table) -> Text:
    from fwseal.suit.recipe_text import text

    return text(table, component=component)


_MEMBERS = {spelled(key): key for key in SEQUENCES}
_LATER = {
    spelled(key): key
    for key in (ManifestKey.SET_VERSION, ManifestKey.COSWID, ManifestKey.UNINSTALL)
}


def _sequences(table: Table, names: Names) -> dict[ManifestKey, Plan]:
    found = {}
    for name in table.items_left():
        if name in _LATER:
            raise unsupported(_LATER[name], what="manifest element")
        if name in _MEMBERS:
            found[_MEMBERS[name]] = plan(table, name, names)
    return found


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

_DEVICE = From(Origin.DEVICE, "")
_MATCH = Plain(Command.CONDITION_IMAGE_MATCH, RECORD_ALL)


def expanded(what: Spec, files: tuple[str, ...]) -> Spec:
    """Answer a recipe's sequences, those of its template written out for the one payload.

    Raises `Misuse` where the template ships another number of files.
    """
    if not what.template:
        return what
    if len(files) != 1:
        raise Misuse(
            f"template {what.template} ships exactly one payload, not {len(files)}",
            hint="fwseal recipe list names others",
        )
    payload = From(Origin.PAYLOAD, files[0])
    assign = Command.DIRECTIVE_OVERRIDE_PARAMETERS
    return dataclasses.replace(
        what,
        template="",
        shared_sequence=(
            Assign(
                assign,
                {
                    Parameter.VENDOR_IDENTIFIER: _DEVICE,
                    Parameter.CLASS_IDENTIFIER: _DEVICE,
                    Parameter.IMAGE_DIGEST: payload,
                    Parameter.IMAGE_SIZE: payload,
                },
            ),
            Plain(Command.CONDITION_VENDOR_IDENTIFIER, RECORD_ALL),
            Plain(Command.CONDITION_CLASS_IDENTIFIER, RECORD_ALL),
        ),
        sequences={
            ManifestKey.VALIDATE: (_MATCH,),
            ManifestKey.INSTALL: (
                Assign(assign, {Parameter.URI: payload}),
                Plain(Command.DIRECTIVE_FETCH, RECORD_FAILURE),
                _MATCH,
            ),
        },
    )
