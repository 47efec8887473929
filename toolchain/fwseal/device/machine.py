"""The machine as a value: which manifests, where in them, and what is known of the components.

draft-ietf-suit-manifest-37 6.4; draft-ietf-suit-trust-domains-12 5.3.
"""

from __future__ import annotations

import dataclasses
import enum
from typing import TYPE_CHECKING

from fwseal.base.digest import Digest
from fwseal.base.errors import Refused
from fwseal.suit.labels import ManifestKey, Parameter

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fwseal.base.ids import ComponentId
    from fwseal.device.profile import DeviceProfile
    from fwseal.suit.authenticate import Anchor
    from fwseal.suit.labels import Command
    from fwseal.suit.manifest import Manifest
    from fwseal.suit.sequence import ParameterValue, Sequence

    Known = Mapping[Parameter, ParameterValue | ComponentId]


class Procedure(enum.Enum):
    """SUIT manifest-37 8.4.6, trust-domains-12 7: sequences in the order they are carried out."""

    value: tuple[ManifestKey, ...]
    UPDATE = (
        ManifestKey.DEPENDENCY_RESOLUTION,
        ManifestKey.PAYLOAD_FETCH,
        ManifestKey.CANDIDATE_VERIFICATION,
        ManifestKey.INSTALL,
        ManifestKey.VALIDATE,
    )
    INVOCATION = (ManifestKey.VALIDATE, ManifestKey.LOAD, ManifestKey.INVOKE)


class Failed(Refused):
    """A condition that does not hold: a soft sequence ends with it, the rest refuses."""


class Kind(enum.Enum):
    """Why a sequence is being carried out, and so what follows it."""

    SHARED = "shared"
    SECTION = "section"
    TRY = "try"
    RUN = "run"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Instance:
    """One manifest of the tree, as this device admitted it.

    `path` names the components that hold it and its dependents, the root's path being empty;
    `prefix` stands before each of its component identifiers (SUIT trust-domains-12 5.2.2);
    `integrated` are the payloads that its envelope carries, by URI.
    """

    manifest: Manifest
    path: tuple[ComponentId, ...] = ()
    prefix: ComponentId = ()
    integrated: Mapping[str, bytes] = dataclasses.field(default_factory=dict)

    def component(self, index: int) -> ComponentId:
        """Answer which of the device's components an index names."""
        listed = self.manifest.components
        found = listed[index] if index < len(listed) else self.manifest.dependencies[index]
        return self.prefix + (found or ())

    def indices(self) -> tuple[int, ...]:
        """Answer every index, in the order of the component list."""
        return tuple(sorted(self.manifest.common.indices))

    def components(self) -> frozenset[ComponentId]:
        """Answer all of the device's components that it may name."""
        return frozenset(self.component(index) for index in self.indices())


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """One sequence that is being carried out.

    The command at `position` is due for `indices[turn]`. `several` says that the indices were set
    by an array or by True, `every` by True; `fixed` that they may not be set again, `fixes` that
    the next setting is the last.
    `soft` and `strict` are the values of soft-failure and strict-order, which end with the
    sequence (SUIT manifest-37 8.4.8.14, .15). `saved` holds the parameters from before it,
    `alternatives` what try-each would do next, for the frame `outer` that tries.
    """

    kind: Kind
    instance: Instance
    steps: Sequence
    name: str
    indices: tuple[int, ...]
    position: int = 0
    turn: int = 0
    several: bool = False
    every: bool = False
    fixed: bool = False
    fixes: bool = False
    soft: bool = False
    strict: bool = True
    saved: Mapping[ComponentId, Known] = dataclasses.field(default_factory=dict)
    alternatives: tuple[Sequence | None, ...] = ()
    outer: Frame | None = None

    @property
    def index(self) -> int:
        """Answer the current component index."""
        return self.indices[self.turn]

    @property
    def component(self) -> ComponentId:
        """Answer the current component."""
        return self.instance.component(self.index)

    @property
    def where(self) -> str:
        """Answer where in the manifest the frame stands."""
        return f"{self.name}[{self.position}]"

    def advanced(self) -> Frame:
        """Answer the frame at the next index of the command, or at the next command."""
        if self.turn + 1 < len(self.indices):
            return dataclasses.replace(self, turn=self.turn + 1)
        return dataclasses.replace(self, position=self.position + 1, turn=0)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Dependency:
    """A dependency whose integrity was checked, and which of its sequences were carried out.

    `size` is its envelope's, in bytes.
    """

    instance: Instance
    size: int
    processed: frozenset[ManifestKey] = frozenset()


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Applicable:
    """An authenticated manifest that is for this device and not older than what it accepted.

    `slots` says for each component that has slots which one an update would be written to,
    `numbers` which sequence number was accepted from the dependency kept in a component.
    """

    root: Instance
    profile: DeviceProfile
    anchors: tuple[Anchor, ...]
    offers: frozenset[Command]
    slots: Mapping[ComponentId, int]
    numbers: Mapping[ComponentId, int]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """Where the machine stands.

    `parameters` hold a source-component as the component that it names. `unmatched` are components
    that were written and whose content nobody has checked since; `written` those to be made
    bootable; `sources` and `targets` what was read and written since the last barrier, where
    strict-order is off (SUIT manifest-37 6.7).
    """

    what: Applicable
    procedure: Procedure
    section: int = 0
    frames: tuple[Frame, ...] = ()
    parameters: Mapping[ComponentId, Known] = dataclasses.field(default_factory=dict)
    dependencies: Mapping[tuple[ComponentId, ...], Dependency] = dataclasses.field(
        default_factory=dict
    )
    written: frozenset[ComponentId] = frozenset()
    unmatched: frozenset[ComponentId] = frozenset()
    matched: frozenset[ComponentId] = frozenset()
    sources: frozenset[ComponentId] = frozenset()
    targets: frozenset[ComponentId] = frozenset()
    invoked: bool = False
    executed: int = 0
    asked: int = 0

    @property
    def frame(self) -> Frame:
        """Answer the sequence that is being carried out now."""
        return self.frames[-1]

    @property
    def key(self) -> ManifestKey:
        """Answer the section of the procedure."""
        return self.procedure.value[self.section]

    @property
    def unordered(self) -> bool:
        """Answer whether the commands of any sequence around have no order."""
        return not all(frame.strict for frame in self.frames)

    def of(self, component: ComponentId) -> Known:
        """Answer the parameters of a component (SUIT manifest-37 6.4)."""
        return self.parameters.get(component, {})

    def parameter(self, parameter: Parameter) -> object:
        """Answer what the current component was told, or None."""
        return self.of(self.frame.component).get(parameter)

    @property
    def size(self) -> int | None:
        """Answer how many bytes the current component's image has, where that was told."""
        size = self.parameter(Parameter.IMAGE_SIZE)
        return size if isinstance(size, int) else None

    @property
    def digest(self) -> Digest | None:
        """Answer the current component's image digest, where that was told."""
        digest = self.parameter(Parameter.IMAGE_DIGEST)
        return digest if isinstance(digest, Digest) else None

    @property
    def is_dependency(self) -> bool:
        """Answer whether the current component holds a dependency's envelope."""
        return self.frame.index in self.frame.instance.manifest.dependencies

    def with_frame(self, frame: Frame) -> State:
        """Answer the state with another innermost frame in the place of the one it has."""
        return dataclasses.replace(self, frames=(*self.frames[:-1], frame))

    def pushed(self, *frames: Frame) -> State:
        """Answer the state inside more sequences, the last of them innermost."""
        return dataclasses.replace(self, frames=(*self.frames, *frames))

    def popped(self) -> State:
        """Answer the state after the innermost sequence."""
        return dataclasses.replace(self, frames=self.frames[:-1])

    def advanced(self) -> State:
        """Answer the state after the current command for the current index."""
        return self.with_frame(self.frame.advanced())
