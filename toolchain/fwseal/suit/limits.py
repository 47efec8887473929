"""Everything a manifest could grow without end has one number, and a profile may set it."""

from __future__ import annotations

import dataclasses

from fwseal.base import cbor


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much of an update is read and carried out before it is refused (limit-exceeded)."""

    manifest_bytes: int = 65536
    """Of one manifest, severed member or authentication block."""
    envelope_bytes: int = 1 << 24
    """Of an envelope, integrated payloads included, and of all its dependencies' together."""
    depth: int = 16
    """Of containers inside one CBOR document."""
    items: int = 10_000
    """Of CBOR items in one document."""
    commands: int = 256
    """In one sequence."""
    branches: int = 16
    """Of one try-each."""
    nesting: int = 4
    """Of sequences inside sequences."""
    components: int = 16
    """Of one manifest."""
    blocks: int = 4
    """Authentication blocks of one envelope."""
    dependencies: int = 4
    """Of one manifest."""
    dependency_depth: int = 3
    """Of manifests below the root."""
    steps: int = 10_000
    """Commands carried out in one procedure, dependencies included."""
    effects: int = 256
    """Of those, the ones that touch a component: each may read or write all of it."""

    document: cbor.Limits = dataclasses.field(init=False, repr=False, compare=False)
    """Of one CBOR document inside an envelope."""
    envelope: cbor.Limits = dataclasses.field(init=False, repr=False, compare=False)
    """Of the envelope around them."""

    def __post_init__(self) -> None:
        """Derive the limits of CBOR documents once: each document is read within them."""
        for name, size in (("document", self.manifest_bytes), ("envelope", self.envelope_bytes)):
            made = cbor.Limits(bytes=size, depth=self.depth, items=self.items)
            object.__setattr__(self, name, made)


DEFAULT = Limits()
