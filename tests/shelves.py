"""Storage in memory that keeps every byte: what a device with many components would hold."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fwseal.base.digest import Digest, DigestAlgorithm
from fwseal.base.ids import Uri
from fwseal.base.ports import NotThere
from fwseal.device import admission
from fwseal.device.effects import Measured

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from fwseal.base.ids import ComponentId
    from fwseal.device.driver import Content
    from fwseal.suit.labels import Command

PIECE = 64


class Shelves:
    """Components by name; `bootable` are those that were finished and not touched since."""

    offers: frozenset[Command] = admission.COMMANDS

    def __init__(
        self, kept: Mapping[ComponentId, bytes] | None = None, *, capacity: int = 1 << 24
    ) -> None:
        self.kept = dict(kept or {})
        self.bootable: set[ComponentId] = set()
        self.finished: list[tuple[ComponentId, ...]] = []
        self.log: list[str] = []
        self._capacity = capacity

    def capacity(self, component: ComponentId) -> int:  # noqa: ARG002 - all are alike
        """Answer how long a component may be."""
        return self._capacity

    def holds(self, component: ComponentId, size: int, digest: Digest) -> bool:
        """Answer whether that content was installed and waits to be booted."""
        kept = self.kept.get(component, b"")
        return (
            component in self.bootable
            and len(kept) == size
            and Digest.of(kept, digest.algorithm).fits(digest)
        )

    def begin(self, component: ComponentId, again: Content) -> None:  # noqa: ARG002 - all is kept
        """Empty a component."""
        self.log.append("begin")
        self.bootable.discard(component)
        self.kept[component] = b""

    def append(self, component: ComponentId, data: bytes) -> None:
        """Write behind what is there."""
        assert data
        self.log.append("append")
        self.kept[component] += data

    def read(self, component: ComponentId) -> Content:
        """Answer what is there now, in pieces."""
        if component not in self.kept:
            raise NotThere(Uri(repr(component)))
        content = self.kept[component]

        def pieces() -> Iterator[bytes]:
            for at in range(0, len(content), PIECE):
                yield content[at : at + PIECE]

        return pieces

    def swap(self, one: ComponentId, other: ComponentId) -> None:
        """Exchange two components."""
        self.read(one), self.read(other)
        self.log.append("swap")
        self.bootable -= {one, other}
        self.kept[one], self.kept[other] = self.kept[other], self.kept[one]

    def measure(self, component: ComponentId, algorithm: DigestAlgorithm) -> Measured:
        """Answer what is there; nothing where nobody wrote."""
        kept = self.kept.get(component, b"")
        return Measured(len(kept), Digest.of(kept, algorithm))

    def finish(self, components: tuple[ComponentId, ...]) -> None:
        """Remember what may boot."""
        self.finished.append(components)
        self.bootable.update(components)
