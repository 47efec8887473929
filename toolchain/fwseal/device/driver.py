"""Effects are carried out here: bytes stream from a fetcher to storage, and are read back.

The order is the promise: payload, validation, trailer, and the sequence number last.
"""

from __future__ import annotations

import dataclasses
import itertools
from typing import TYPE_CHECKING

from fwseal.base.errors import Refused
from fwseal.base.ports import Fetcher, NotThere
from fwseal.base.reasons import Reason
from fwseal.device import admission, processor
from fwseal.device.effects import (
    Copy,
    Done,
    Effect,
    Event,
    Fetch,
    Finish,
    Invoke,
    Load,
    Loaded,
    Measure,
    Swap,
    Write,
)
from fwseal.suit import envelope as envelopes
from fwseal.suit.authenticate import Authenticated, authenticate

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fwseal.base.digest import Digest
    from fwseal.base.ids import ComponentId, Kid
    from fwseal.cose.encryption import Encrypt
    from fwseal.device.admission import Installed
    from fwseal.device.machine import Applicable
    from fwseal.device.profile import DeviceProfile
    from fwseal.device.storage import Content, Storage
    from fwseal.suit.labels import Command


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """Why an update was accepted."""

    sequence_number: int
    manifest_digest: Digest
    signers: tuple[Kid, ...]
    dependencies: tuple[tuple[ComponentId, int], ...] = ()


def admit(
    envelope: bytes,
    *,
    profile: DeviceProfile,
    installed: Installed,
    offers: frozenset[Command] = admission.COMMANDS,
) -> tuple[Authenticated, Applicable]:
    """Answer the manifest once it is authentic and for this device; raises `Refused`."""
    authenticated = authenticate(
        envelopes.decode(envelope, limits=profile.limits),
        anchors=profile.anchors,
        threshold=profile.threshold,
        limits=profile.limits,
    )
    return authenticated, admission.applicable(
        authenticated, profile=profile, installed=installed, offers=offers
    )


def install(
    envelope: bytes,
    *,
    profile: DeviceProfile,
    installed: Installed,
    storage: Storage,
    fetcher: Fetcher,
) -> Evidence:
    """Carry out an envelope up to, and not including, the commit of its sequence numbers.

    The caller commits `Evidence.sequence_number` last. Raises `Refused` with nothing bootable
    changed, `Unavailable` when a source does not answer.
    """
    authenticated, what = admit(
        envelope, profile=profile, installed=installed, offers=storage.offers
    )
    return carry_out(authenticated, what, storage=storage, fetcher=fetcher)


def carry_out(
    authenticated: Authenticated, what: Applicable, *, storage: Storage, fetcher: Fetcher
) -> Evidence:
    """Carry out an update that was admitted; as `install`."""
    state, effect = processor.start(what)
    while not isinstance(effect, Finish):
        state, effect = processor.step(state, carried_out(effect, what, storage, fetcher))
    storage.finish(effect.components)
    return Evidence(
        sequence_number=effect.sequence_number,
        manifest_digest=authenticated.digest,
        signers=authenticated.signers,
        dependencies=effect.dependencies,
    )


def carried_out(effect: Effect, what: Applicable, storage: Storage, source: Fetcher) -> Event:
    """Answer what came of one effect of an update; raises `Refused`, `Unavailable`."""
    match effect:
        case Fetch():
            _fetch(effect, what, storage, source)
        case Copy():
            _copy(effect, what, storage)
        case Write():
            _into(_target(effect, what, storage), lambda: iter((effect.content,)), what, storage)
        case Swap():
            _swap(effect, storage)
        case Measure():
            return storage.measure(effect.component, effect.algorithm)
        case Load():
            return Loaded(_load(effect, storage))
        case Invoke() | Finish():
            raise AssertionError(effect)  # an update invokes nothing
    return Done()


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Target:
    """What is written where: at most `limit` bytes as they come; more are `longer`."""

    component: ComponentId
    encryption: Encrypt | None
    limit: int
    longer: Reason


def _target(effect: Fetch | Copy | Write, what: Applicable, storage: Storage) -> _Target:
    """Answer how much of a payload a component takes; raises `Refused` when it is too little."""
    room, full = storage.capacity(effect.component), Reason.STORAGE_FULL
    if isinstance(effect, Fetch) and effect.manifest:
        most = what.profile.limits.envelope_bytes
        room, full = (room, full) if room < most else (most, Reason.LIMIT_EXCEEDED)
    size = None if isinstance(effect, Write) else effect.size
    if size is not None and size > room:
        raise Refused(full, f"the payload has {size} bytes, {room} may come")
    overhead = 0 if effect.encryption is None else effect.encryption.overhead
    return _Target(
        component=effect.component,
        encryption=effect.encryption,
        limit=(room if size is None else size) + overhead,
        longer=full if size is None else Reason.PAYLOAD_SIZE,
    )


def _longer(target: _Target) -> Refused:
    return Refused(target.longer, f"the payload is longer than {target.limit} bytes")


def _fetch(effect: Fetch, what: Applicable, storage: Storage, source: Fetcher) -> None:
    component, size, digest = effect.component, effect.size, effect.digest
    if size is not None and digest is not None and storage.holds(component, size, digest):
        return  # a retry must not destroy what the first try has installed
    target = _target(effect, what, storage)
    try:
        _into(
            target,
            lambda: (
                source.fetch(effect.uri, max_size=target.limit)
                if effect.content is None
                else iter((effect.content,))
            ),
            what,
            storage,
        )
    except NotThere:
        raise Refused(
            Reason.DEPENDENCY_MISSING if effect.manifest else Reason.PAYLOAD_MISSING,
            f"payload {effect.uri!r} is not there",
            where=effect.uri,
        ) from None
    except Refused as error:
        if error.reason is Reason.LIMIT_EXCEEDED:
            error = _longer(target)  # a source that knows the length says so first
        raise Refused(error.reason, error.message, where=error.where or effect.uri) from None


def _into(target: _Target, content: Content, what: Applicable, storage: Storage) -> None:
    """Write what comes into a component, decrypted where the manifest says so."""

    def plain() -> Iterator[bytes]:
        pieces = _bounded(content(), target)
        if target.encryption is not None:
            pieces = _decrypted(pieces, target.encryption, what)
        return filter(None, pieces)

    pieces = plain()
    first = tuple(itertools.islice(pieces, 1))  # nothing is erased for what does not come
    storage.begin(target.component, plain)
    for piece in itertools.chain(first, pieces):
        storage.append(target.component, piece)


def _bounded(pieces: Iterator[bytes], target: _Target) -> Iterator[bytes]:
    # SUIT manifest-37 8.4.10.4: the size is enforced while bytes arrive, not afterwards.
    total = 0
    for piece in pieces:
        total += len(piece)
        if total > target.limit:
            raise _longer(target)
        yield piece


def _decrypted(pieces: Iterator[bytes], info: Encrypt, what: Applicable) -> Iterator[bytes]:
    from fwseal.cose.encryption import decryptor  # most updates are not encrypted

    opened = decryptor(info, what.profile.recipients)
    return itertools.chain(
        (opened.update(piece) for piece in pieces), (opened.finish() for _ in range(1))
    )


def _copy(effect: Copy, what: Applicable, storage: Storage) -> None:
    # SUIT manifest-37 8.4.10.5: a source that is absent makes the command fail.
    target = _target(effect, what, storage)
    try:
        _into(target, storage.read(effect.source), what, storage)
    except NotThere:
        raise Refused(Reason.COMMAND_FAILED, "the source component holds nothing") from None


def _swap(effect: Swap, storage: Storage) -> None:
    try:
        storage.swap(effect.source, effect.component)
    except NotThere:
        raise Refused(Reason.COMMAND_FAILED, "a component to be swapped holds nothing") from None


def _load(effect: Load, storage: Storage) -> bytes | None:
    pieces: list[bytes] = []
    left = effect.max_size + 1
    try:
        for piece in storage.read(effect.component)():
            pieces.append(piece[:left])
            left -= len(pieces[-1])
            if not left:
                break
    except NotThere:
        return None
    return b"".join(pieces)
