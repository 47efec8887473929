"""What a manifest may say and should not: legal, and a device is left without a check it needs.

Whatever a processor refuses is its own to say; `fwseal lint` asks it as well, and one of the two
is enough for `fwseal sign` to refuse. draft-ietf-suit-manifest-37 6.2, 7, 8.4.

Deliberately absent: a member that is severed though it is smaller than its digest (8.5 SHOULD NOT)
costs bytes and no check.
"""

from __future__ import annotations

import dataclasses
import functools
import re
from typing import TYPE_CHECKING

from fwseal.base.errors import Refused
from fwseal.base.reasons import REASONS, Reason
from fwseal.suit.labels import Command, ManifestKey, Parameter, spelled
from fwseal.suit.sequence import (
    Override,
    Plain,
    RunSequence,
    SetIndex,
    SetParameters,
    TryEach,
    nested,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from fwseal.suit.manifest import Manifest
    from fwseal.suit.sequence import Parameters, Sequence

SHARED = "common/shared-sequence"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Why a manifest should not be signed: the Reason, the place, and what to do there."""

    reason: Reason
    where: str
    message: str
    remedy: str

    @classmethod
    def of(cls, error: Refused) -> Finding:
        """Answer what a device would refuse as a finding."""
        return cls(
            reason=error.reason,
            where=error.where,
            message=error.message,
            remedy=error.hint or REASONS[error.reason].remedy,
        )

    def refusal(self) -> Refused:
        """Answer the finding as whoever was to sign has to hear it."""
        error = Refused(self.reason, self.message, where=self.where)
        error.hint = self.remedy
        return error


def lint(manifest: Manifest, *, above: int | None) -> tuple[Finding, ...]:
    """Answer what is unwise in a manifest, in the order in which a device would meet it.

    `above` is the sequence number that the last release had, or None. Severed members that are
    not attached are not looked into.
    """
    return (*_older(manifest, above), *_anonymous(manifest), *_Walk(manifest).findings())


def _older(manifest: Manifest, above: int | None) -> Iterator[Finding]:
    # SUIT manifest-37 8.4.2: equal may be applied again, which is for devices, not for releases.
    if above is not None and manifest.sequence_number <= above:
        yield Finding(
            reason=Reason.ROLLBACK,
            where="manifest/sequence-number",
            message=f"sequence number {manifest.sequence_number} is not above {above}, "
            "which the last release has",
            remedy=f"set sequence-number in [product] of the recipe to {above + 1} or more",
        )


def _anonymous(manifest: Manifest) -> Iterator[Finding]:
    # SUIT manifest-37 6.2: the shared sequence SHOULD check vendor and class before all else; a
    # component may be another processor's, with identifiers of its own (8.4.9.1).
    everything = tuple(sorted(manifest.common.indices))
    asked = set(_unconditional(manifest.shared_sequence, (0,), everything))
    written = {
        index
        for sequence in manifest.sequences.values()
        if isinstance(sequence, tuple)
        for index in _written(sequence, (0,), everything)
    } - manifest.dependencies.keys()
    for condition in (
        Command.CONDITION_VENDOR_IDENTIFIER,
        Command.CONDITION_CLASS_IDENTIFIER,
    ):
        there = {index for command, index in asked if command is condition}
        name, missing = spelled(condition), sorted(written - there)
        if missing or not there:
            whose = f" for component {missing[0]}" if there else ""
            yield Finding(
                reason=Reason.UNCHECKED,
                where=SHARED,
                message=f"{name} is not asked in any case{whose}",
                remedy=f"add {name}{whose} to shared-sequence, outside of try-each and of what is "
                "soft",
            )


def _unconditional(
    sequence: Sequence, indices: tuple[int, ...], everything: tuple[int, ...]
) -> Iterator[tuple[Command, int]]:
    """Answer the commands of a sequence that nothing can skip, for each component they are for."""
    for step in sequence:
        if isinstance(step, SetIndex):
            indices = step.among(everything)
        elif isinstance(step, Plain):
            yield from ((step.command, index) for index in indices)
        elif isinstance(step, RunSequence) and not _soft(step.steps):
            yield from _unconditional(step.steps, indices, everything)


def _written(
    sequence: Sequence, indices: tuple[int, ...], everything: tuple[int, ...]
) -> Iterator[int]:
    """Answer the components that a sequence writes, whatever branch is taken."""
    for step in sequence:
        if isinstance(step, SetIndex):
            indices = step.among(everything)
        elif isinstance(step, Plain) and step.command in _WRITES | _MOVES:
            yield from indices
        for inner in nested(step):
            yield from _written(inner, indices, everything)


def _soft(sequence: Sequence) -> bool:
    # SUIT manifest-37 8.4.8.15: a condition that fails then only ends the sequence.
    return any(
        isinstance(step, Override | SetParameters)
        and step.parameters.get(Parameter.SOFT_FAILURE) is True
        for step in sequence
    )


_SECTIONS = (
    ManifestKey.DEPENDENCY_RESOLUTION,
    ManifestKey.PAYLOAD_FETCH,
    ManifestKey.CANDIDATE_VERIFICATION,
    ManifestKey.INSTALL,
    ManifestKey.VALIDATE,
    ManifestKey.LOAD,
    ManifestKey.INVOKE,
)
"""In the order of SUIT manifest-37 8.4.6, trust-domains-12 7."""

_WRITES = frozenset({Command.DIRECTIVE_FETCH, Command.DIRECTIVE_WRITE})
_MOVES = frozenset({Command.DIRECTIVE_COPY, Command.DIRECTIVE_SWAP})
_IMAGE_CHECKS = frozenset({Command.CONDITION_IMAGE_MATCH, Command.CONDITION_CHECK_CONTENT})
_DEPENDENCY_CHECKS = frozenset({
    Command.CONDITION_IMAGE_MATCH, Command.CONDITION_DEPENDENCY_INTEGRITY,
})  # fmt: skip


@dataclasses.dataclass(frozen=True, slots=True)
class _Write:
    """One command that writes a component, and where it stands."""

    section: ManifestKey
    index: int
    where: str
    command: Command


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Known:
    """What stands at a command: what was written and not checked, and who is copied from whom."""

    pending: frozenset[_Write] = frozenset()
    sources: Mapping[int, frozenset[int]] = dataclasses.field(default_factory=dict)

    def wrote(self, write: _Write) -> _Known:
        """Answer what stands after a component was rewritten: only the last write is owed for."""
        pending = {one for one in self.pending if one.index != write.index}
        return dataclasses.replace(self, pending=frozenset(pending | {write}))

    def moved(self, write: _Write) -> _Known:
        """Answer what stands after a copy or swap: the duty goes with the content."""
        gone = self.sources.get(write.index, frozenset())
        pending = frozenset(one for one in self.pending if one.index not in gone)
        return dataclasses.replace(self, pending=pending).wrote(write)

    def checked(self, index: int, section: ManifestKey) -> _Known:
        """Answer what stands after a check of a component.

        It is for what its own section wrote; candidate-verification is for payload-fetch.
        """
        sections = {section}
        if section is ManifestKey.CANDIDATE_VERIFICATION:
            sections.add(ManifestKey.PAYLOAD_FETCH)
        pending = frozenset(
            one for one in self.pending if one.index != index or one.section not in sections
        )
        return dataclasses.replace(self, pending=pending)

    def told(self, index: int, parameters: Parameters, *, override: bool) -> _Known:
        """Answer what stands after parameters of a component were set."""
        source = parameters.get(Parameter.SOURCE_COMPONENT)
        if not isinstance(source, int) or (index in self.sources and not override):
            return self
        return dataclasses.replace(self, sources={**self.sources, index: frozenset({source})})

    def either(self, other: _Known) -> _Known:
        """Answer what may stand after one of two branches."""
        none: frozenset[int] = frozenset()
        sources = {
            index: self.sources.get(index, none) | other.sources.get(index, none)
            for index in self.sources.keys() | other.sources.keys()
        }
        return _Known(pending=self.pending | other.pending, sources=sources)


@dataclasses.dataclass(frozen=True, slots=True)
class _Place:
    """Where the walk is; `counts` is false where a check that fails ends nothing."""

    section: ManifestKey
    name: str
    counts: bool = True


class _Walk:
    """One pass over the sections, in order; a nested sequence gives the index back."""

    def __init__(self, manifest: Manifest) -> None:
        self._manifest = manifest
        self._all = tuple(sorted(manifest.common.indices))
        self._loose: dict[str, Finding] = {}

    def findings(self) -> Iterator[Finding]:
        """Answer digests that somebody else may set, then writes that nobody checks."""
        known = _Known()
        for key in _SECTIONS:
            steps = self._manifest.sequences.get(key)
            if isinstance(steps, tuple):
                # SUIT manifest-37 8.4.5: the shared sequence is carried out before each.
                shared = _Place(key, SHARED, counts=False)
                known = self._sequence(self._manifest.shared_sequence, (0,), known, shared)
                known = self._sequence(steps, (0,), known, _Place(key, spelled(key)))
        yield from self._loose.values()
        for write in sorted(known.pending, key=_position):
            yield self._owed(write)

    def _sequence(
        self, steps: Sequence, indices: tuple[int, ...], known: _Known, place: _Place
    ) -> _Known:
        for position, step in enumerate(steps):
            here = dataclasses.replace(place, name=f"{place.name}[{position}]")
            if isinstance(step, SetIndex):
                indices = step.among(self._all)
            elif isinstance(step, RunSequence):
                inner = dataclasses.replace(here, counts=here.counts and not _soft(step.steps))
                known = self._sequence(step.steps, indices, known, inner)
            elif isinstance(step, TryEach):
                known = self._tried(step, indices, known, here)
            else:
                for index in indices:
                    known = self._step(step, index, known, here)
        return known

    def _tried(
        self, step: TryEach, indices: tuple[int, ...], known: _Known, place: _Place
    ) -> _Known:
        after = [
            known if branch is None else self._sequence(branch, indices, known, place)
            for branch in step.branches
        ]
        return functools.reduce(_Known.either, after)

    def _step(
        self, step: Plain | Override | SetParameters, index: int, known: _Known, place: _Place
    ) -> _Known:
        dependency = index in self._manifest.dependencies
        if isinstance(step, Override):
            return known.told(index, step.parameters, override=True)
        if isinstance(step, SetParameters):
            if Parameter.IMAGE_DIGEST in step.parameters and not dependency:
                self._loose.setdefault(place.name, _overridable(place.name))
            return known.told(index, step.parameters, override=False)
        write = _Write(place.section, index, place.name, step.command)
        if step.command in _WRITES:
            return known.wrote(write)
        if step.command in _MOVES:
            return known.moved(write)
        checks = _DEPENDENCY_CHECKS if dependency else _IMAGE_CHECKS
        if place.counts and step.command in checks:
            return known.checked(index, place.section)
        return known

    def _owed(self, write: _Write) -> Finding:
        # SUIT manifest-37 7.3, 7.5; trust-domains-12 5.6.4: what was written is matched there.
        dependency = write.index in self._manifest.dependencies
        check = spelled(
            Command.CONDITION_DEPENDENCY_INTEGRITY if dependency else Command.CONDITION_IMAGE_MATCH
        )
        return Finding(
            reason=Reason.UNCHECKED,
            where=write.where,
            message=f"{spelled(write.command)} into component {write.index}, "
            f"and no {check} behind it",
            remedy=f"add {check} behind it, in the same sequence",
        )


def _position(write: _Write) -> tuple[int, list[int], int]:
    """Answer what puts writes into the order in which a device carries them out."""
    positions = [int(number) for number in re.findall(r"\d+", write.where)]
    return _SECTIONS.index(write.section), positions, write.index


def _overridable(where: str) -> Finding:
    # SUIT trust-domains-12 5.6.1, manifest-37 7: set-parameters gives way to a dependent.
    return Finding(
        reason=Reason.UNCHECKED,
        where=where,
        message="an image-digest by set-parameters yields to one that was set before",
        remedy="set it by directive-override-parameters; only a dependency's digest may be set so",
    )
