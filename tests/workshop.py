"""Keys, anchors, envelopes and profiles that tests are made from; each call makes new keys."""

from __future__ import annotations

import dataclasses
import uuid

from fwseal.base.ids import KeyLabel, Kid
from fwseal.cose.algorithms import Algorithm
from fwseal.device.profile import Component, DeviceProfile, Equal
from fwseal.signing import softkey
from fwseal.signing.sign import sign_envelope
from fwseal.signing.softkey import SoftKey
from fwseal.suit import author
from fwseal.suit.authenticate import Anchor
from fwseal.suit.limits import DEFAULT

VENDOR = uuid.UUID("fa6b4a53-d5ad-5fdf-be9d-e663e4d41ffe")
CLASS = uuid.UUID("1492af14-2569-5e48-bf42-9b2d51f2ab45")
COMPONENT = (b"\x00",)
PAYLOAD = bytes(range(256)) * 4
URI = "2/app.bin"


def signer(label: str = "release") -> SoftKey:
    """Answer a signer with a new P-256 key; its kid is its label."""
    return SoftKey(softkey.generate(), label=KeyLabel(label), kid=Kid(label), where=label)


def anchor(key: SoftKey, *roles: str, kid: str | None = None) -> Anchor:
    """Answer the anchor that trusts a signer, for ESP256 and (by default) role release."""
    return Anchor(
        kid=Kid(kid or key.kid),
        key=key.public(),
        algorithms=frozenset({Algorithm.ESP256}),
        roles=frozenset(roles or ("release",)),
    )


def manifest(payload: bytes = PAYLOAD, *, number: int = 2, uri: str = URI) -> bytes:
    """Answer the single-image manifest of a payload for the test device."""
    drafted = author.drafted(
        author.Spec(template="single-image"),
        author.Target(vendor_id=VENDOR.bytes, class_id=CLASS.bytes, sequence_number=number),
        author.Goods(payloads={"image": author.facts_of(payload, component=COMPONENT, uri=uri)}),
    )
    return drafted.manifest


def envelope(key: SoftKey, payload: bytes = PAYLOAD, *, number: int = 2, uri: str = URI) -> bytes:
    """Answer the signed envelope of a payload."""
    return sign_envelope(manifest(payload, number=number, uri=uri), key)


def profile(*anchors: Anchor, **changes: object) -> DeviceProfile:
    """Answer the test device that trusts these anchors and has accepted nothing yet."""
    made = DeviceProfile(
        name="test-device",
        vendor_id=VENDOR,
        class_id=CLASS,
        device_id=None,
        sequence_number=None,
        formats=("suit",),
        components={COMPONENT: Component()},
        anchors=anchors,
        recipients=(),
        threshold=1,
        dependency_threshold=1,
        equal=Equal.REFUSE,
        limits=DEFAULT,
        line="plc",
        layout="",
        emulator=None,
    )
    return dataclasses.replace(made, **changes)
