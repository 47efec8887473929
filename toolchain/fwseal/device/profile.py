"""A device profile says who a device is, whom it trusts and what it holds; outsiders write it."""

from __future__ import annotations

import dataclasses
import enum
import uuid
from typing import TYPE_CHECKING

from fwseal.base.errors import Misuse
from fwseal.base.ids import ComponentId, Kid, plain_name
from fwseal.cose.algorithms import Algorithm, algorithm_named
from fwseal.cose.keys import PublicKey
from fwseal.suit.authenticate import Anchor

if TYPE_CHECKING:
    from collections.abc import Callable

    from fwseal.base.tables import Table


class Equal(enum.Enum):
    """What to do with a manifest of exactly the accepted sequence number."""

    REFUSE = "refuse"
    REAPPLY = "reapply"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Emulator:
    """How the device is emulated: a machine and the files it needs, relative to the profile."""

    machine: str
    boot: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class DeviceProfile:
    """One kind of device. `sequence_number` is None where nothing was accepted yet."""

    name: str
    vendor_id: uuid.UUID
    class_id: uuid.UUID
    device_id: uuid.UUID | None
    sequence_number: int | None
    formats: tuple[str, ...]
    components: tuple[ComponentId, ...]
    anchors: tuple[Anchor, ...]
    threshold: int
    equal: Equal
    line: str
    layout: str
    """Path of the memory layout relative to the profile, or empty."""
    emulator: Emulator | None


def profile(table: Table, *, read: Callable[[str], bytes]) -> DeviceProfile:
    """Answer the profile of a parsed file; `read` answers a file named relative to it.

    Raises `Misuse`.
    """
    device = table.table("device")
    policy = table.table("policy", optional=True)
    delivery = table.table("delivery", optional=True)
    memory = table.table("memory", optional=True)
    formats = device.strings("formats", ("suit",))
    if not formats or set(formats) - {"suit", "mcuboot"}:
        raise device.misuse('formats must be of "suit" and "mcuboot"')
    built = DeviceProfile(
        name=plain_name(device.take("name", str), what="device name"),
        vendor_id=_uuid(device, "vendor-id"),
        class_id=_uuid(device, "class-id"),
        device_id=_uuid(device, "device-id") if device.has("device-id") else None,
        sequence_number=(device.uint("sequence-number") if device.has("sequence-number") else None),
        formats=formats,
        components=tuple(_component(entry) for entry in table.tables("components")),
        anchors=tuple(_anchor(entry, read) for entry in table.tables("trust-anchors")),
        threshold=policy.uint("threshold", 1),
        equal=Equal(policy.one_of("equal-sequence-number", ("refuse", "reapply"), "refuse")),
        line=delivery.take("line", str, ""),
        layout=memory.take("layout", str, ""),
        emulator=_emulator(table.table("emulator")) if table.has("emulator") else None,
    )
    for part in (device, policy, delivery, memory, table):
        part.done()
    if built.threshold < 1:
        raise Misuse("a device profile with threshold 0 trusts everybody")
    if not built.components:
        raise Misuse("a device profile names one component or more")
    if len({anchor.key.spki for anchor in built.anchors}) != len(built.anchors):
        # Signers are counted by kid: one key under two would meet a threshold of two.
        raise Misuse("a key stands in two trust anchors", hint="give one anchor both roles")
    return built


def _uuid(table: Table, key: str) -> uuid.UUID:
    text = table.take(key, str)
    try:
        found = uuid.UUID(text)
    except ValueError:
        raise table.misuse(f"{key} must be a UUID") from None
    if found.version not in (3, 4, 5) or str(found) != text:
        # SUIT manifest-37 8.4.8.2
        raise table.misuse(f"{key} must be a version 3, 4 or 5 UUID in lower case")
    return found


def _component(entry: Table) -> ComponentId:
    parts = entry.strings("id")
    entry.done()
    return tuple(entry.from_hex(part, "id") for part in parts)


def _anchor(entry: Table, read: Callable[[str], bytes]) -> Anchor:
    path = entry.take("key", str)
    data = read(path)
    load = PublicKey.from_cose_key if path.endswith(".cose") else PublicKey.from_pem
    key = load(data, where=path)
    names = entry.strings("algorithms")
    for name in names:
        if name not in Algorithm.__members__:
            raise entry.misuse(f"algorithm {name!r} is not supported", hint="see SUPPORTED.md")
    anchor = Anchor(
        kid=Kid(entry.take("kid", str)),
        key=key,
        algorithms=frozenset(algorithm_named(name) for name in names),
        roles=frozenset(entry.strings("roles")),
    )
    entry.done()
    return anchor


def _emulator(table: Table) -> Emulator:
    found = Emulator(machine=table.take("machine", str), boot=table.take("boot", str))
    table.done()
    return found
