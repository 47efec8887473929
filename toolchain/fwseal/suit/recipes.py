"""The `[manifest]` part of a recipe is the drafts' sequences, in the drafts' own names.

A value that could be more than one thing says which it is; nothing is guessed. What files alone
can tell (a digest, a size) stays a reference here, and `author` puts the value in its place.

draft-ietf-suit-manifest-37 8.4; draft-ietf-suit-trust-domains-12 5.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from fwseal.base.ids import plain_name
from fwseal.suit.labels import SEQUENCES, SEVERABLE, ManifestKey, spelled, unsupported

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fwseal.base.ids import ComponentId
    from fwseal.base.tables import Table
    from fwseal.suit.recipe_steps import Plan
    from fwseal.suit.text import Text

TEMPLATES = ("single-image",)


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
        if self.template:
            return frozenset()
        from fwseal.suit.recipe_steps import files

        return files((self.shared_sequence, *self.sequences.values()))


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
    table: Table,
    *,
    payloads: frozenset[str] = frozenset(),
    encrypted: frozenset[str] = frozenset(),
    dependencies: tuple[Dependency, ...] = (),
) -> Spec:
    """Answer the `[manifest]` table; the rest is what it may name.

    Raises `Misuse` at the place, and `Refused` (unsupported) for what the drafts name and this
    version does not process.
    """
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
    keys = _sequences(table)
    shared: Plan = ()
    sequences: dict[ManifestKey, Plan] = {}
    if keys or table.has(_SHARED):
        from fwseal.suit import recipe_steps as steps  # most recipes leave them to a template
        from fwseal.suit.recipe_values import Names

        known = frozenset(one.file for one in dependencies)
        names = Names(payloads=payloads, encrypted=encrypted, dependencies=known)
        shared = steps.plan(table, _SHARED, names) if table.has(_SHARED) else ()
        sequences = {key: steps.plan(table, spelled(key), names) for key in keys}
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


_SHARED = "shared-sequence"
_MEMBERS = {spelled(key): key for key in SEQUENCES}
_LATER = {
    spelled(key): key
    for key in (ManifestKey.SET_VERSION, ManifestKey.COSWID, ManifestKey.UNINSTALL)
}


def _sequences(table: Table) -> tuple[ManifestKey, ...]:
    """Answer which sequences a recipe spells out."""
    left = table.items_left()
    for name in left:
        if name in _LATER:
            raise unsupported(_LATER[name], what="manifest element")
    return tuple(_MEMBERS[name] for name in left if name in _MEMBERS)
