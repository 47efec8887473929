"""What the machine asks of the world, and what the world answers; payloads are in neither.

Effects name components and say what the manifest has said of their content; events report sizes
and digests. Only manifests, which are small and bounded, pass through as bytes.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fwseal.base.digest import Digest, DigestAlgorithm
    from fwseal.base.ids import ComponentId, Uri
    from fwseal.cose.encryption import Encrypt


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Fetch:
    """Write the payload at `uri` into a component.

    `size` in bytes and `digest` are what the manifest has said of the component so far, or None;
    with `encryption` both speak of the plaintext, which is what is written. `content` is the
    payload where the envelope carries it (SUIT manifest-37 7.5); `manifest` says that it is a
    dependency's envelope, which has a size limit of its own.
    """

    component: ComponentId
    uri: Uri
    content: bytes | None
    size: int | None
    digest: Digest | None
    encryption: Encrypt | None = None
    manifest: bool = False


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Copy:
    """Write what one component holds into another; `size` and `encryption` as of `Fetch`."""

    source: ComponentId
    component: ComponentId
    size: int | None
    encryption: Encrypt | None = None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Write:
    """Write bytes that stand in the manifest into a component; `encryption` as of `Fetch`."""

    component: ComponentId
    content: bytes
    encryption: Encrypt | None = None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Swap:
    """Exchange what two components hold, so that a cut in between can be resumed."""

    source: ComponentId
    component: ComponentId


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """Read a component back; answer its size and digest."""

    component: ComponentId
    algorithm: DigestAlgorithm


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """Answer the bytes of a component that should hold a dependency's envelope."""

    component: ComponentId
    max_size: int


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Invoke:
    """Hand execution to a component; `Done` where it returns."""

    component: ComponentId
    arguments: bytes


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Finish:
    """Make the components bootable, then commit the sequence numbers, in that order.

    `dependencies` maps the components that hold dependencies to the numbers of their manifests.
    """

    components: tuple[ComponentId, ...]
    sequence_number: int
    dependencies: tuple[tuple[ComponentId, int], ...] = ()


Effect = Fetch | Copy | Write | Swap | Measure | Load | Invoke | Finish


@dataclasses.dataclass(frozen=True, slots=True)
class Done:
    """It was carried out."""


@dataclasses.dataclass(frozen=True, slots=True)
class Measured:
    """What a component holds; size in bytes."""

    size: int
    digest: Digest


@dataclasses.dataclass(frozen=True, slots=True)
class Loaded:
    """The bytes of a dependency's envelope, with at most one too many; None where nothing is."""

    data: bytes | None


Event = Done | Measured | Loaded
