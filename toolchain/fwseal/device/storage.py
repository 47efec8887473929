"""Where components are kept while an update is on its way: on a desk, and in two slots of flash."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from fwseal.base.digest import Digest, DigestAlgorithm
from fwseal.base.errors import Refused
from fwseal.base.ids import Uri
from fwseal.base.ports import NotThere
from fwseal.base.reasons import Reason
from fwseal.device import admission
from fwseal.device.effects import Measured
from fwseal.suit.labels import Command

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fwseal.base.ids import ComponentId
    from fwseal.device.slots import Slots

MAX_PAYLOAD = 1 << 32
"""Bytes of a payload that are read where neither manifest nor storage sets a limit (4 GiB)."""

MAX_COPIES = 32
"""How often a desk fetches through: each copy of a copy reads the one before."""

Content = Callable[[], "Iterator[bytes]"]
"""What a component is written with, from the beginning each time it is called."""


class Storage(Protocol):
    """Where components are kept while an update is on its way."""

    @property
    def offers(self) -> frozenset[Command]:
        """Answer the commands it can carry out."""
        ...

    def capacity(self, component: ComponentId) -> int:
        """Answer how many bytes a component may have."""
        ...

    def holds(self, component: ComponentId, size: int, digest: Digest) -> bool:
        """Answer whether exactly that content is there already, waiting to be used."""
        ...

    def begin(self, component: ComponentId, again: Content) -> None:
        """Make room for a component; what was there is gone.

        `again` answers its content once more, for storage that keeps none.
        """
        ...

    def append(self, component: ComponentId, data: bytes) -> None:
        """Write the next bytes."""
        ...

    def read(self, component: ComponentId) -> Content:
        """Answer what a component holds; raises `NotThere`."""
        ...

    def swap(self, one: ComponentId, other: ComponentId) -> None:
        """Exchange two components; raises `NotThere`."""
        ...

    def measure(self, component: ComponentId, algorithm: DigestAlgorithm) -> Measured:
        """Answer size and digest of what was kept, read back."""
        ...

    def finish(self, components: tuple[ComponentId, ...]) -> None:
        """Make what was written bootable."""
        ...


class Scratch:
    """Storage of a device that is only asked what it would say: bytes are hashed, not kept.

    What is read back - copied, or a dependency's envelope - is fetched once more.
    """

    offers = admission.COMMANDS - {Command.DIRECTIVE_INVOKE}

    def __init__(self) -> None:
        self._seen: dict[ComponentId, _Seen] = {}
        self._open = 0

    def capacity(self, component: ComponentId) -> int:  # noqa: ARG002 - as any desk
        """Answer what no device has."""
        return MAX_PAYLOAD

    def holds(self, component: ComponentId, size: int, digest: Digest) -> bool:  # noqa: ARG002 - as above
        """Answer no: nothing is kept."""
        return False

    def begin(self, component: ComponentId, again: Content) -> None:
        """Start the component's hash."""
        self._seen[component] = _Seen(again, DigestAlgorithm.SHA256)

    def append(self, component: ComponentId, data: bytes) -> None:
        """Hash the next bytes."""
        self._seen[component].update(data)

    def read(self, component: ComponentId) -> Content:
        """Answer what was seen, fetched once more."""
        if component not in self._seen:
            raise NotThere(Uri("/".join(part.hex() for part in component)))
        again = self._seen[component].again

        def content() -> Iterator[bytes]:
            if self._open == MAX_COPIES:
                raise Refused(
                    Reason.LIMIT_EXCEEDED, f"a copy of a copy, more than {MAX_COPIES} deep"
                )
            self._open += 1
            try:
                yield from again()
            finally:
                self._open -= 1

        return content

    def swap(self, one: ComponentId, other: ComponentId) -> None:
        """Exchange what was seen."""
        for component in (one, other):
            self.read(component)
        self._seen[one], self._seen[other] = self._seen[other], self._seen[one]

    def measure(self, component: ComponentId, algorithm: DigestAlgorithm) -> Measured:
        """Answer size and digest of what was seen; nothing for a component never written."""
        seen = self._seen.get(component)
        if seen is None:
            return Measured(0, Digest.of(b"", algorithm))
        if algorithm is not seen.algorithm:  # rare, and worth a second reading
            seen = _Seen(seen.again, algorithm)
            for piece in seen.again():
                seen.update(piece)
        return Measured(seen.size, Digest(algorithm=algorithm, value=seen.running.digest()))

    def finish(self, components: tuple[ComponentId, ...]) -> None:
        """Keep nothing."""


class _Seen:
    """One component of a desk: how to have its bytes again, their number, and their hash."""

    def __init__(self, again: Content, algorithm: DigestAlgorithm) -> None:
        self.again = again
        self.algorithm = algorithm
        self.running = algorithm.new()
        self.size = 0

    def update(self, data: bytes) -> None:
        """Count and hash the next bytes."""
        self.size += len(data)
        self.running.update(data)


class SlotStorage:
    """Storage of a device with two MCUboot slots and one component."""

    offers = admission.CONDITIONS | {Command.DIRECTIVE_FETCH, Command.DIRECTIVE_WRITE}

    def __init__(self, slots: Slots, *, images: bool = False) -> None:
        """Write to the slot that is not needed; `images`: only what its boot stage will start."""
        self._slots = slots
        self._images = images
        self._slot = slots.to_write()
        self._size = 0

    def capacity(self, component: ComponentId) -> int:  # noqa: ARG002 - one component
        """Answer how long an image file may be."""
        return self._slots.layout.max_image

    def holds(self, component: ComponentId, size: int, digest: Digest) -> bool:
        """Answer whether the slot holds that file, bootable and not tried yet."""
        view = self._slots.view()[self._slot]
        found = (
            view.bootable
            and not view.tried
            and size <= self.capacity(component)
            and self._slots.digest(self._slot, size, digest.algorithm).fits(digest)
        )
        if found:
            self._size = size
        return found

    def begin(self, component: ComponentId, again: Content) -> None:  # noqa: ARG002 - one component, and it is kept
        """Erase the slot that is not needed to boot."""
        self._slots.erase(self._slot)
        self._size = 0

    def append(self, component: ComponentId, data: bytes) -> None:  # noqa: ARG002 - one component
        """Program the next bytes."""
        self._slots.write(self._slot, self._size, data)
        self._size += len(data)

    def read(self, component: ComponentId) -> Content:
        """Answer nothing: no command that this storage offers reads a component back."""
        raise NotThere(Uri("/".join(part.hex() for part in component)))

    def swap(self, one: ComponentId, other: ComponentId) -> None:  # noqa: ARG002 - not offered
        """Exchange nothing."""
        self.read(one)

    def measure(self, component: ComponentId, algorithm: DigestAlgorithm) -> Measured:  # noqa: ARG002 - one component
        """Answer what the flash holds."""
        return Measured(self._size, self._slots.digest(self._slot, self._size, algorithm))

    def finish(self, components: tuple[ComponentId, ...]) -> None:
        """Write the trailer magic of what was written.

        Raises `Refused` (malformed, version-mismatch) for an image that would never boot.
        """
        if components:
            if self._images:
                self._slots.check_bootable(self._slot)
            self._slots.activate(self._slot)
