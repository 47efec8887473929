"""The part of a manifest that every sequence rests on: components, dependencies, shared sequence.

draft-ietf-suit-manifest-37 8.4.5; draft-ietf-suit-trust-domains-12 5.2.2.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from fwseal.base import cbor
from fwseal.base.errors import Refused
from fwseal.base.reasons import Reason
from fwseal.suit.labels import CommonKey, DependencyKey, known
from fwseal.suit.sequence import (
    DIRECTIVES,
    Sequence,
    SetIndex,
    decode_sequence,
    encode_sequence,
)
from fwseal.suit.values import byte_string, component_id, mapping, unsigned

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fwseal.base.ids import ComponentId
    from fwseal.suit.labels import Command
    from fwseal.suit.limits import Limits


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Common:
    """What SUIT_Common holds.

    `dependencies` maps component indices to the prefix of what the manifest there is about, or
    None.
    """

    components: tuple[ComponentId, ...]
    dependencies: Mapping[int, ComponentId | None]
    shared_sequence: Sequence

    def encode(self) -> bytes:
        """Answer the deterministic CBOR of the common part."""
        body: dict[cbor.Key, cbor.Value] = {int(CommonKey.COMPONENTS): self.components}
        if self.dependencies:
            body[int(CommonKey.DEPENDENCIES)] = {
                index: {} if prefix is None else {int(DependencyKey.PREFIX): prefix}
                for index, prefix in self.dependencies.items()
            }
        if self.shared_sequence:
            body[int(CommonKey.SHARED_SEQUENCE)] = encode_sequence(self.shared_sequence)
        return cbor.encode(body)

    @property
    def indices(self) -> frozenset[int]:
        """Answer the component indices that commands may name."""
        return frozenset(range(len(self.components))) | self.dependencies.keys()

    def covers(self, component: ComponentId) -> bool:
        """Answer whether a component is listed, or stands under the prefix of a dependency."""
        return component in self.components or any(
            prefix is not None and component[: len(prefix)] == prefix
            for prefix in self.dependencies.values()
        )


def decode_common(data: bytes, *, limits: Limits) -> Common:
    """Answer what the common part's bytes say; raises `Refused`."""
    body = mapping(cbor.decode(data, limits=limits.document), "common")
    for key in body:
        known(CommonKey, key, what="common element")
    components = _components(body.get(CommonKey.COMPONENTS), limits)
    dependencies: Mapping[int, ComponentId | None] = {}
    if CommonKey.DEPENDENCIES in body:
        dependencies = _dependencies(body[CommonKey.DEPENDENCIES], len(components), limits)
    shared: Sequence = ()
    if CommonKey.SHARED_SEQUENCE in body:
        content = byte_string(body[CommonKey.SHARED_SEQUENCE], "shared-sequence")
        indices = frozenset(range(len(components))) | dependencies.keys()
        # SUIT manifest-37 6.2, trust-domains-12 5.6.1: a shared sequence holds conditions and the
        # directives that touch nothing outside of the machine.
        shared = placed(
            "common/shared-sequence", content, indices=indices, barred=DIRECTIVES, limits=limits
        )
    return Common(components=components, dependencies=dependencies, shared_sequence=shared)


def placed(
    where: str,
    data: bytes,
    *,
    indices: frozenset[int],
    barred: frozenset[Command],
    limits: Limits,
) -> Sequence:
    """Answer a sequence that stands in the manifest itself; raises `Refused` placed there."""
    try:
        sequence = decode_sequence(data, indices=indices, barred=barred, limits=limits)
    except Refused as error:
        raise error.at(where) from None
    # SUIT manifest-37 6.2: with several components, a sequence says first which it is about.
    if len(indices) > 1 and not isinstance(sequence[0], SetIndex):
        raise Refused(Reason.MALFORMED, "no component index before a command", where=where)
    return sequence


def _components(value: object, limits: Limits) -> tuple[ComponentId, ...]:
    if not isinstance(value, tuple) or not value:
        raise Refused(Reason.MALFORMED, "components is an array of one or more")
    if len(value) > limits.components:
        raise Refused(Reason.LIMIT_EXCEEDED, f"more than {limits.components} components")
    found = tuple(component_id(one) for one in value)
    if len(set(found)) != len(found):
        raise Refused(Reason.MALFORMED, "a component is listed twice")
    return found


def _dependencies(
    value: object, components: int, limits: Limits
) -> Mapping[int, ComponentId | None]:
    body = mapping(value, "dependencies")
    if not body:
        raise Refused(Reason.MALFORMED, "dependencies names none")
    if len(body) > limits.dependencies:
        raise Refused(Reason.LIMIT_EXCEEDED, f"more than {limits.dependencies} dependencies")
    found: dict[int, ComponentId | None] = {}
    for key, metadata in body.items():
        index = unsigned(key, "the component index of a dependency")
        entries = mapping(metadata, "dependency metadata")
        for label in entries:
            known(DependencyKey, label, what="dependency metadata")
        prefix = entries.get(DependencyKey.PREFIX)
        if prefix is None and index >= components:
            # SUIT trust-domains-12 A.2 keeps a dependency past the list: its prefix is its name.
            raise Refused(
                Reason.WRONG_COMPONENT, f"dependency {index} is no component and has no prefix"
            )
        found[index] = None if DependencyKey.PREFIX not in entries else component_id(prefix)
    return found
