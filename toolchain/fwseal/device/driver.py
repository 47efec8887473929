"""Effects are carried out here: bytes stream from a fetcher to storage, and are read back.

The order is the promise: payload, validation, trailer, and the sequence number last.
"""

from __future__ import annotations

import dataclasses
import itertools
from typing import TYPE_CHECKING, Protocol

from fwseal.base.digest import Digest, DigestAlgorithm, Hash
from fwseal.base.errors import Refused
from fwseal.base.ports import Fetcher, NotThere
from fwseal.base.reasons import Reason
from fwseal.device import processor
from fwseal.device.processor import Fetch, Fetched, Finish, Installed, Measured
from fwseal.suit import envelope as envelopes
from fwseal.suit.authenticate import Authenticated, authenticate

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from fwseal.base.ids import ComponentId, Kid, Uri
    from fwseal.device.processor import Applicable
    from fwseal.device.profile import DeviceProfile
    from fwseal.device.slots import Slots

MAX_PAYLOAD = 1 << 32
"""Bytes of a payload that are read where neither manifest nor storage sets a limit (4 GiB)."""


class Storage(Protocol):
    """Where components are kept while an update is on its way."""

    @property
    def capacity(self) -> int:
        """Answer how many bytes a component may have."""
        ...

    def holds(self, component: ComponentId, size: int, digest: Digest) -> bool:
        """Answer whether exactly that content is there already, waiting to be used."""
        ...

    def begin(self, component: ComponentId) -> None:
        """Make room for a component; what was there is gone."""
        ...

    def append(self, component: ComponentId, data: bytes) -> None:
        """Write the next bytes."""
        ...

    def measure(self, component: ComponentId, algorithm: DigestAlgorithm) -> Measured:
        """Answer size and digest of what was kept, read back."""
        ...

    def finish(self, components: tuple[ComponentId, ...]) -> None:
        """Make what was written bootable."""
        ...


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """Why an update was accepted."""

    sequence_number: int
    manifest_digest: Digest
    signers: tuple[Kid, ...]


class _Integrated:
    """Integrated payloads first, then the outer source (SUIT manifest-37 7.5)."""

    def __init__(self, payloads: Mapping[str, bytes], outer: Fetcher) -> None:
        self._payloads = payloads
        self._outer = outer

    def fetch(self, uri: Uri, *, max_size: int) -> Iterator[bytes]:
        if uri in self._payloads:
            return iter((self._payloads[uri],))
        return self._outer.fetch(uri, max_size=max_size)


def admit(
    envelope: bytes, *, profile: DeviceProfile, installed: Installed
) -> tuple[Authenticated, Applicable]:
    """Answer the manifest once it is authentic and for this device; raises `Refused`."""
    authenticated = authenticate(
        envelopes.decode(envelope), anchors=profile.anchors, threshold=profile.threshold
    )
    return authenticated, processor.applicable(authenticated, profile=profile, installed=installed)


def install(
    envelope: bytes,
    *,
    profile: DeviceProfile,
    installed: Installed,
    storage: Storage,
    fetcher: Fetcher,
) -> Evidence:
    """Carry out an envelope up to, and not including, the commit of its sequence number.

    The caller commits `Evidence.sequence_number` last. Raises `Refused` with nothing bootable
    changed, `Unavailable` when a source does not answer.
    """
    authenticated, applicable = admit(envelope, profile=profile, installed=installed)
    source = _Integrated(authenticated.integrated, fetcher)
    state, effect = processor.start(applicable)
    while not isinstance(effect, Finish):
        if isinstance(effect, Fetch):
            _fetch(effect, storage, source)
            state, effect = processor.step(state, Fetched())
        else:
            found = storage.measure(effect.component, effect.algorithm)
            state, effect = processor.step(state, found)
    storage.finish(effect.components)
    return Evidence(
        sequence_number=effect.sequence_number,
        manifest_digest=authenticated.digest,
        signers=authenticated.signers,
    )


def _fetch(effect: Fetch, storage: Storage, source: Fetcher) -> None:
    component, size, digest = effect.component, effect.size, effect.digest
    if size is not None and digest is not None and storage.holds(component, size, digest):
        return  # a retry must not destroy what the first try has installed
    if effect.size is not None and effect.size > storage.capacity:
        raise Refused(
            Reason.STORAGE_FULL,
            f"the payload has {effect.size} bytes, the component takes {storage.capacity}",
        )
    # SUIT manifest-37 8.4.10.4: the size is enforced while bytes arrive, not afterwards.
    limit = storage.capacity if effect.size is None else effect.size
    longer = Refused(
        Reason.STORAGE_FULL if effect.size is None else Reason.PAYLOAD_SIZE,
        f"the payload is longer than {limit} bytes",
        where=effect.uri,
    )
    try:
        pieces = iter(source.fetch(effect.uri, max_size=limit))
        first = next(pieces, b"")  # nothing is erased for a payload that does not come
        storage.begin(effect.component)
        total = 0
        for piece in itertools.chain((first,), pieces):
            total += len(piece)
            if total > limit:
                raise longer
            storage.append(effect.component, piece)
    except NotThere:
        raise Refused(
            Reason.PAYLOAD_MISSING, f"payload {effect.uri!r} is not there", where=effect.uri
        ) from None
    except Refused as error:
        if error.reason is Reason.LIMIT_EXCEEDED:
            raise longer from None
        raise


class Scratch:
    """Storage of a device that is only asked what it would say: bytes are hashed, not kept."""

    capacity = MAX_PAYLOAD

    def __init__(self, algorithms: frozenset[DigestAlgorithm]) -> None:
        self._algorithms = algorithms
        self._running: dict[ComponentId, dict[DigestAlgorithm, Hash]] = {}
        self._sizes: dict[ComponentId, int] = {}

    def holds(self, component: ComponentId, size: int, digest: Digest) -> bool:  # noqa: ARG002
        """Answer no: nothing is kept."""
        return False

    def begin(self, component: ComponentId) -> None:
        """Start the component's hashes."""
        self._running[component] = {one: one.new() for one in self._algorithms}
        self._sizes[component] = 0

    def append(self, component: ComponentId, data: bytes) -> None:
        """Hash the next bytes."""
        self._sizes[component] += len(data)
        for running in self._running[component].values():
            running.update(data)

    def measure(self, component: ComponentId, algorithm: DigestAlgorithm) -> Measured:
        """Answer size and digest of what was seen; nothing for a component never fetched."""
        running = self._running.get(component, {}).get(algorithm, algorithm.new())
        return Measured(
            self._sizes.get(component, 0), Digest(algorithm=algorithm, value=running.digest())
        )

    def finish(self, components: tuple[ComponentId, ...]) -> None:
        """Keep nothing."""


class SlotStorage:
    """Storage of a device with two MCUboot slots and one component."""

    def __init__(self, slots: Slots, *, images: bool = False) -> None:
        """Write to the slot that is not needed; `images`: only what its boot stage will start."""
        self._slots = slots
        self._images = images
        self._slot = slots.to_write()
        self._size = 0

    @property
    def capacity(self) -> int:
        """Answer how long an image file may be."""
        return self._slots.layout.max_image

    def holds(self, component: ComponentId, size: int, digest: Digest) -> bool:  # noqa: ARG002
        """Answer whether the slot holds that file, bootable and not tried yet."""
        view = self._slots.view()[self._slot]
        found = (
            view.bootable
            and not view.tried
            and size <= self.capacity
            and self._slots.digest(self._slot, size, digest.algorithm).fits(digest)
        )
        if found:
            self._size = size
        return found

    def begin(self, component: ComponentId) -> None:  # noqa: ARG002 - one component
        """Erase the slot that is not needed to boot."""
        self._slots.erase(self._slot)
        self._size = 0

    def append(self, component: ComponentId, data: bytes) -> None:  # noqa: ARG002
        """Program the next bytes."""
        self._slots.write(self._slot, self._size, data)
        self._size += len(data)

    def measure(self, component: ComponentId, algorithm: DigestAlgorithm) -> Measured:  # noqa: ARG002
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
