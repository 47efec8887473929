"""A parameter's value in a recipe names its own encoding: `{ hex = "00ff" }`, `{ text = "00ff" }`.

draft-ietf-suit-manifest-37 8.4.8.
"""

from __future__ import annotations

import dataclasses
import enum
from typing import TYPE_CHECKING, TypeAlias

from fwseal.base.digest import Digest, DigestAlgorithm
from fwseal.base.ids import plain_name
from fwseal.suit.labels import Parameter, spelled, unsupported

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from fwseal.base.tables import Table
    from fwseal.suit.sequence import ParameterValue


class Origin(enum.Enum):
    """Where a value comes from that the recipe cannot hold itself."""

    DEVICE = "device"
    PAYLOAD = "payload"
    DEPENDENCY = "dependency"
    FILE = "file"


@dataclasses.dataclass(frozen=True, slots=True)
class From:
    """A value that is known once its file is; of the device, `name` is empty."""

    origin: Origin
    name: str


Planned: TypeAlias = "ParameterValue | From"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """Which files a recipe ships: payloads, those of them encrypted, and dependencies."""

    payloads: frozenset[str] = frozenset()
    encrypted: frozenset[str] = frozenset()
    dependencies: frozenset[str] = frozenset()


def value(table: Table, parameter: Parameter, names: Names) -> Planned:
    """Answer what a table of parameters says of one.

    Raises `Misuse` for any form but those of this parameter, `Refused` (unsupported) for a
    parameter that this version does not process.
    """
    name = spelled(parameter)
    if parameter not in _VALUES:
        raise unsupported(parameter, what="parameter")
    plain, forms = _VALUES[parameter]
    if plain is not None and (table.kind(name) is not dict or not forms):
        return table.uint(name) if plain is int else table.take(name, plain)
    given = table.table(name)
    left = given.items_left()
    if len(left) != 1 or left[0] not in forms:
        raise given.misuse(f"the value is one of {', '.join(forms)}", hint="name exactly one")
    if parameter is Parameter.ENCRYPTION_INFO:
        names = dataclasses.replace(names, payloads=names.encrypted)
    return _FORMS[left[0]](given, names)


_BYTES = ("hex", "text", "file")
_VALUES: Mapping[Parameter, tuple[type[int | bool | str] | None, tuple[str, ...]]] = {
    Parameter.VENDOR_IDENTIFIER: (None, ("device", "uuid", "pen")),
    Parameter.CLASS_IDENTIFIER: (None, ("device", "uuid")),
    Parameter.DEVICE_IDENTIFIER: (None, ("uuid",)),
    Parameter.IMAGE_DIGEST: (None, ("sha-256", "sha-384", "sha-512", "payload", "dependency")),
    Parameter.IMAGE_SIZE: (int, ("payload",)),
    Parameter.COMPONENT_SLOT: (int, ()),
    Parameter.SOURCE_COMPONENT: (int, ()),
    Parameter.STRICT_ORDER: (bool, ()),
    Parameter.SOFT_FAILURE: (bool, ()),
    Parameter.CONTENT: (None, _BYTES),
    Parameter.INVOKE_ARGS: (None, _BYTES),
    Parameter.FETCH_ARGUMENTS: (None, _BYTES),
    Parameter.ENCRYPTION_INFO: (None, ("payload",)),
    Parameter.URI: (str, ("payload", "dependency")),
}
"""How each parameter is written: as TOML's own type, as a table of one of these keys, or both."""


def _device(given: Table, names: Names) -> From:
    del names
    if not given.take("device", bool):
        raise given.misuse("device is true or left out")
    return From(Origin.DEVICE, "")


def _payload(given: Table, names: Names) -> From:
    return From(Origin.PAYLOAD, _one_of(given, "payload", names.payloads))


def _dependency(given: Table, names: Names) -> From:
    return From(Origin.DEPENDENCY, _one_of(given, "dependency", names.dependencies))


def _one_of(given: Table, what: str, known: frozenset[str]) -> str:
    file = given.take(what, str)
    if file not in known:
        raise given.misuse(
            f"the recipe has no such {what}: {file!r}",
            hint=f"it has {', '.join(sorted(known)) or 'none'}",
        )
    return file


def _file(given: Table, names: Names) -> From:
    del names
    return From(Origin.FILE, plain_name(given.take("file", str), what="file"))


def _hex(given: Table, names: Names) -> bytes:
    del names
    return given.hex("hex")


def _text(given: Table, names: Names) -> bytes:
    del names
    return given.take("text", str).encode()


def _uuid(given: Table, names: Names) -> bytes:
    del names
    return given.uuid("uuid")


def _pen(given: Table, names: Names) -> ParameterValue:
    import cbor2

    from fwseal.suit.labels import TAG_PEN

    del names
    left = given.uint("pen")
    # RFC 9090 2, 4: tag 112 holds the arc below 1.3.6.1.4.1, base 128, the last byte below 0x80.
    octets = [left & 0x7F]
    while left := left >> 7:
        octets.append(left & 0x7F | 0x80)
    return cbor2.CBORTag(TAG_PEN, bytes(reversed(octets)))


def _digest(algorithm: DigestAlgorithm) -> Callable[[Table, Names], Digest]:
    def read(given: Table, names: Names) -> Digest:
        del names
        (name,) = given.items_left()
        found = given.hex(name)
        if len(found) != algorithm.size:
            raise given.misuse(f"{name} has {algorithm.size} bytes, not {len(found)}")
        return Digest(algorithm=algorithm, value=found)

    return read


_FORMS: Mapping[str, Callable[[Table, Names], Planned]] = {
    "device": _device,
    "payload": _payload,
    "dependency": _dependency,
    "file": _file,
    "hex": _hex,
    "text": _text,
    "uuid": _uuid,
    "pen": _pen,
    "sha-256": _digest(DigestAlgorithm.SHA256),
    "sha-384": _digest(DigestAlgorithm.SHA384),
    "sha-512": _digest(DigestAlgorithm.SHA512),
}
