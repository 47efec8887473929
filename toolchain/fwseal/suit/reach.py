"""Which URIs a manifest can fetch: those that are set where a fetch stands, and no others."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fwseal.suit.labels import Command, Parameter
from fwseal.suit.sequence import Override, Plain, RunSequence, SetIndex, SetParameters

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fwseal.suit.manifest import Manifest
    from fwseal.suit.sequence import Sequence

_Uris = dict[int, frozenset[str]]
"""For each component index, the URIs that may be set there."""


def fetched(manifest: Manifest) -> frozenset[str]:
    """Answer the URIs that some fetch of the sequences that are here may name.

    A branch that may be left early counts as carried out and as not: more is answered, never less.
    """
    walk = _Walk(tuple(sorted(manifest.common.indices)))
    uris: _Uris = {}
    for sequence in manifest.sequences.values():
        if isinstance(sequence, tuple):
            for part in (manifest.shared_sequence, sequence):
                uris = _either(uris, walk.through(part, (0,), uris))
    return frozenset(walk.found)


class _Walk:
    def __init__(self, indices: tuple[int, ...]) -> None:
        self._indices = indices
        self.found: set[str] = set()

    def through(self, sequence: Sequence, indices: tuple[int, ...], before: _Uris) -> _Uris:
        """Answer what may be set behind a sequence that begins with these indices."""
        uris = dict(before)
        for step in sequence:
            match step:
                case SetIndex():
                    indices = step.among(self._indices)
                case Override() | SetParameters():
                    _set(uris, step, indices)
                case Plain():
                    if step.command is Command.DIRECTIVE_FETCH:
                        self.found.update(*(uris.get(one, ()) for one in indices))
                case _:  # RunSequence, TryEach
                    inner = (step.steps,) if isinstance(step, RunSequence) else step.branches
                    for one in indices:
                        for branch in inner:
                            uris = _either(uris, self.through(branch or (), (one,), uris))
        return uris


def _set(uris: _Uris, step: Override | SetParameters, indices: tuple[int, ...]) -> None:
    uri = step.parameters.get(Parameter.URI)
    if not isinstance(uri, str):
        return
    for one in indices:
        kept = uris.get(one, frozenset()) if isinstance(step, SetParameters) else frozenset()
        uris[one] = kept | {uri}


def _either(one: Mapping[int, frozenset[str]], other: Mapping[int, frozenset[str]]) -> _Uris:
    none: frozenset[str] = frozenset()
    return {
        index: one.get(index, none) | other.get(index, none) for index in one.keys() | other.keys()
    }
