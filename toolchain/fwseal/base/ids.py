"""Names that must not be mixed up: a kid is not a label, a URI not a path."""

from __future__ import annotations

import enum
import re
from typing import NewType

from fwseal.base.errors import Misuse

Kid = NewType("Kid", str)
KeyLabel = NewType("KeyLabel", str)
Role = NewType("Role", str)
Uri = NewType("Uri", str)
ComponentId = tuple[bytes, ...]


class PayloadFormat(enum.Enum):
    """What the device's boot stage reads."""

    RAW = "raw"
    MCUBOOT = "mcuboot"


_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z")


def plain_name(value: str, *, what: str) -> str:
    """Answer the name unchanged when it can stand in a path, a URI and a shell line.

    Raises `Misuse` for anything else: 1 to 64 of letters, digits, `.`, `_`, `-`, the first a
    letter or digit.
    """
    if not _PLAIN.match(value):
        raise Misuse(
            f"{what} {value!r} is not a plain name",
            hint="use 1 to 64 letters, digits, dots, dashes or underscores",
        )
    return value
