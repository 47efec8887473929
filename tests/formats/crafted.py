"""Envelopes as an attacker crafts them: every part can be another, and the rest is right."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import cbor2

import workshop
from fwseal.base import cbor
from fwseal.base.ports import NotThere
from fwseal.device import driver
from fwseal.device.admission import Installed
from fwseal.device.storage import Content, Scratch
from fwseal.suit import envelope as envelopes
from fwseal.suit.authenticate import Anchor, Authenticated, authenticate

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from fwseal.base.ids import ComponentId, Uri
    from fwseal.device.profile import DeviceProfile
    from fwseal.signing.softkey import SoftKey

ESP256 = cbor.encode({1: -9})


UUID5 = workshop.VENDOR.bytes
DIGEST = cbor.encode((-16, bytes(32)))
FETCH = (20, {21: "#image"}, 21, 2)
IMAGE = b"an image"

Body = dict[cbor.Key, cbor.Value]


def sequence(*items: cbor.Value) -> bytes:
    """Answer a command sequence of these items."""
    return cbor.encode(items)


def common(*, components: cbor.Value = ((b"\0",),), **more: cbor.Value) -> bytes:
    """Answer the common part of a manifest."""
    numbers = {"dependencies": 1, "shared": 4}
    body: Body = {2: components, **{numbers[name]: value for name, value in more.items()}}
    return cbor.encode(body)


def body(changes: Body | None = None) -> Body:
    """Answer the members of a small manifest that is right, with these changes."""
    return {1: 1, 2: 5, 3: common(), 7: sequence(3, 15), **(changes or {})}


def digest_of(content: bytes) -> tuple[int, bytes]:
    """Answer the SUIT_Digest of a member: over the byte string, head included."""
    return (-16, hashlib.sha256(cbor.wrapped(content)).digest())


def block(
    key: SoftKey,
    covered: bytes,
    *,
    protected: bytes = ESP256,
    unprotected: cbor.Value = None,
    payload: cbor.Value = None,
    tag: int | None = 18,
    context: str = "Signature1",
    aad: bytes = b"",
    signature: bytes | None = None,
) -> bytes:
    """Answer one authentication block over the digest's bytes."""
    if unprotected is None:
        unprotected = {4: key.kid.encode()}
    if signature is None:
        signature = key.sign(cbor.encode((context, protected, aad, covered)))
    body = (protected, unprotected, payload, signature)
    return cbor.encode(body if tag is None else cbor2.CBORTag(tag, body))


def covered(manifest: bytes) -> bytes:
    """Answer the encoded SUIT_Digest that signatures over a manifest cover."""
    return cbor.encode(digest_of(manifest))


def envelope(
    manifest: bytes,
    *blocks: bytes,
    digest: bytes | None = None,
    extra: Mapping[cbor.Key, cbor.Value] | None = None,
) -> bytes:
    """Answer an envelope with these blocks, and members beside them."""
    wrapper = (covered(manifest) if digest is None else digest, *blocks)
    body: dict[cbor.Key, cbor.Value] = {2: cbor.encode(wrapper), 3: manifest, **(extra or {})}
    return cbor.encode(cbor2.CBORTag(107, body))


def signed(
    key: SoftKey, manifest: bytes, *, extra: Mapping[cbor.Key, cbor.Value] | None = None
) -> bytes:
    """Answer an envelope whose one block is right."""
    return envelope(manifest, block(key, covered(manifest)), extra=extra)


def accept(data: bytes, *keys: SoftKey, threshold: int = 1) -> Authenticated:
    """Answer what a device that trusts these keys makes of the bytes."""
    anchors = tuple(workshop.anchor(key) for key in keys)
    return accept_under(data, *anchors, threshold=threshold)


def accept_under(data: bytes, *anchors: Anchor, threshold: int = 1) -> Authenticated:
    """Answer what a device with these anchors makes of the bytes."""
    return authenticate(envelopes.decode(data), anchors=anchors, threshold=threshold)


def told(*, seed: bytes = IMAGE, uri: str = "#image", **changes: cbor.Value) -> Body:
    """Answer the members of a manifest that the test device installs from its envelope.

    `changes` are members by number: `told(_20=...)`.
    """
    digest = cbor.encode((-16, hashlib.sha256(seed).digest()))
    identity = {1: UUID5, 2: workshop.CLASS.bytes, 3: digest, 14: len(seed)}
    shared = sequence(20, identity, 1, 15, 2, 15)
    body: Body = {
        1: 1,
        2: 5,
        3: common(shared=shared),
        7: sequence(3, 15),
        20: sequence(20, {21: uri}, 21, 2, 3, 15),
    }
    return {**body, **{int(key[1:]): value for key, value in changes.items()}}


class Nowhere:
    """A source that has nothing."""

    def fetch(self, uri: Uri, *, max_size: int) -> Iterator[bytes]:  # noqa: ARG002 - a port
        """Raise `NotThere`."""
        raise NotThere(uri)


class Desk(Scratch):
    """Storage that keeps account of what it was asked to change."""

    def __init__(self) -> None:
        super().__init__()
        self.changes: list[str] = []

    def begin(self, component: ComponentId, again: Content) -> None:
        """Note it."""
        self.changes.append("begin")
        super().begin(component, again)

    def append(self, component: ComponentId, data: bytes) -> None:
        """Note it."""
        self.changes.append("append")
        super().append(component, data)

    def finish(self, components: tuple[ComponentId, ...]) -> None:
        """Note it."""
        self.changes.append("finish")
        super().finish(components)


def offer(data: bytes, profile: DeviceProfile, desk: Desk, *, number: int = 1) -> driver.Evidence:
    """Answer what a device that accepted `number` before makes of an envelope, whole."""
    return driver.install(
        data,
        profile=profile,
        installed=Installed(sequence_number=number),
        storage=desk,
        fetcher=Nowhere(),
    )
