"""A device profile says who a device is, whom it trusts and what it holds; outsiders write it."""

from __future__ import annotations

import dataclasses
import enum
import uuid
from typing import TYPE_CHECKING

from fwseal.base.cbor import DEEPEST
from fwseal.base.errors import Misuse
from fwseal.base.ids import ComponentId, Kid, plain_name
from fwseal.cose.algorithms import TABLE, Algorithm, algorithm_named
from fwseal.cose.keys import verification_key
from fwseal.suit.authenticate import DEPENDENCY, Anchor
from fwseal.suit.limits import Limits

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from fwseal.base.tables import Table
    from fwseal.cose.encryption import RecipientKey
    from fwseal.cose.keys import VerificationKey


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
class Component:
    """One component of a device.

    `slots` are those an update may be written to, none where the component has no slots; the
    identifiers are its own where it is another processor's, else None (SUIT manifest-37 8.4.9.1).
    """

    slots: tuple[int, ...] = ()
    vendor_id: uuid.UUID | None = None
    class_id: uuid.UUID | None = None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class DeviceProfile:
    """One kind of device. `sequence_number` is None where nothing was accepted yet.

    `recipients` are the keys it decrypts with; `dependency_threshold` is how many anchors must
    have signed a dependency, `threshold` how many the root.
    """

    name: str
    vendor_id: uuid.UUID
    class_id: uuid.UUID
    device_id: uuid.UUID | None
    sequence_number: int | None
    formats: tuple[str, ...]
    components: Mapping[ComponentId, Component]
    anchors: tuple[Anchor, ...]
    recipients: tuple[RecipientKey, ...]
    threshold: int
    dependency_threshold: int
    equal: Equal
    limits: Limits
    line: str
    layout: str
    """Path of the memory layout relative to the profile, or empty."""
    emulator: Emulator | None


def profile(table: Table, *, read: Callable[[str], bytes]) -> DeviceProfile:
    """Answer the profile of a parsed file; `read` answers a file named relative to it.

    Raises `Misuse`.
    """
    device = table.table("device")
    limits = table.table("limits", optional=True)
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
        components=_components(table.tables("components")),
        anchors=tuple(_anchor(entry, read) for entry in table.tables("trust-anchors")),
        recipients=tuple(
            _recipient(entry, read) for entry in table.tables("recipients", optional=True)
        ),
        threshold=policy.uint("threshold", 1),
        dependency_threshold=policy.uint("dependency-threshold", 1),
        equal=Equal(policy.one_of("equal-sequence-number", ("refuse", "reapply"), "refuse")),
        limits=_limits(limits),
        line=delivery.take("line", str, ""),
        layout=memory.take("layout", str, ""),
        emulator=_emulator(table.table("emulator")) if table.has("emulator") else None,
    )
    for part in (device, policy, delivery, memory, limits, table):
        part.done()
    if not built.threshold or not built.dependency_threshold:
        raise Misuse("a device profile with threshold 0 trusts everybody")
    if not built.components:
        raise Misuse("a device profile names one component or more")
    if len({anchor.key.identity for anchor in built.anchors}) != len(built.anchors):
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


def _components(entries: tuple[Table, ...]) -> Mapping[ComponentId, Component]:
    found: dict[ComponentId, Component] = {}
    for entry in entries:
        name = _component_id(entry.strings("id"), entry)
        if name in found:
            raise entry.misuse("a component is listed twice")
        found[name] = Component(
            slots=entry.uints("slots", ()),
            vendor_id=_uuid(entry, "vendor-id") if entry.has("vendor-id") else None,
            class_id=_uuid(entry, "class-id") if entry.has("class-id") else None,
        )
        entry.done()
    return found


def _component_id(parts: tuple[str, ...], entry: Table) -> ComponentId:
    return tuple(entry.from_hex(part, "id") for part in parts)


def _limits(table: Table) -> Limits:
    settable = [field.name for field in dataclasses.fields(Limits) if field.init]
    named = {name: name.replace("_", "-") for name in settable}
    found = {name: table.uint(key) for name, key in named.items() if table.has(key)}
    for name, value in found.items():
        most = _DEEPEST.get(name, value)
        if not 0 < value <= most:
            raise table.misuse(f"{named[name]} must be 1 to {most}" if value else "a limit of 0")
    return Limits(**found)


_DEEPEST = {"depth": DEEPEST, "nesting": 32, "dependency_depth": 16}
"""What is read by recursion has an end, whatever a profile says."""


def _anchor(entry: Table, read: Callable[[str], bytes]) -> Anchor:
    path = entry.take("key", str)
    key = verification_key(read(path), where=path)
    limited = entry.has("components")
    anchor = Anchor(
        kid=Kid(entry.take("kid", str)),
        key=key,
        algorithms=frozenset(_algorithm(name, key, entry) for name in entry.strings("algorithms")),
        roles=frozenset(entry.strings("roles")),
        components=tuple(
            _component_id(tuple(prefix.split("/")), entry)
            for prefix in entry.strings("components", ())
        ),
    )
    if limited and not anchor.components:
        raise entry.misuse("components names none", hint="left out, it means all of them")
    if DEPENDENCY in anchor.roles and not limited:
        raise entry.misuse(
            "an anchor for dependencies says which components it may speak of",
            hint='components = ["01"]',
        )
    entry.done()
    return anchor


def _algorithm(name: str, key: VerificationKey, entry: Table) -> Algorithm:
    try:
        found = algorithm_named(name)
    except KeyError:
        raise entry.misuse(
            f"algorithm {name!r} is not supported", hint="see SUPPORTED.md"
        ) from None
    if TABLE[found].kind is not key.kind or key.fixed not in (None, found):
        raise entry.misuse(f"the key does not verify {name}")
    return found


def _recipient(entry: Table, read: Callable[[str], bytes]) -> RecipientKey:
    from fwseal.cose.encryption import recipient_key  # most devices hold no key of their own

    path = entry.take("key", str)
    found = recipient_key(read(path), kid=Kid(entry.take("kid", str)), where=path)
    entry.done()
    return found


def _emulator(table: Table) -> Emulator:
    found = Emulator(machine=table.take("machine", str), boot=table.take("boot", str))
    table.done()
    return found
