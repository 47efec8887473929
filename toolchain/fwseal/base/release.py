"""A release grows step by step and never loses a file; `release.json` says where it stands."""

from __future__ import annotations

import dataclasses
import enum
from typing import Any

from fwseal.base.errors import Misuse
from fwseal.base.ids import PayloadFormat as PayloadFormat
from fwseal.base.ids import plain_name

SCHEMA_VERSION = 1


class State(enum.Enum):
    """How far a release has come."""

    BUILT = "built"
    IMAGES_SIGNED = "images-signed"
    SIGNED = "signed"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Payload:
    """One file devices fetch.

    `size`, `sha256`, `sha512` speak of the file in payloads/ and are empty until it is there;
    `unsigned_sha256` speaks of the file in unsigned/: for `mcuboot` header, image and protected
    TLVs, which is the image's own SHA256 TLV. Digests in lower-case hex, size in bytes.
    """

    uri: str
    file: str
    component: str
    format: PayloadFormat
    unsigned_sha256: str
    size: int = 0
    sha256: str = ""
    sha512: str = ""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """What `release.json` says."""

    name: str
    line: str
    version: str
    sequence_number: int
    state: State
    recipe_sha256: str
    vendor_id: str
    class_id: str
    payloads: tuple[Payload, ...]

    def to_json(self) -> bytes:
        """Answer the file's bytes."""
        import json  # the recipe's reader needs none of it

        body: dict[str, Any] = {"schema_version": SCHEMA_VERSION, **dataclasses.asdict(self)}
        body["state"] = self.state.value
        for entry, payload in zip(body["payloads"], self.payloads, strict=True):
            entry["format"] = payload.format.value
        return (json.dumps(body, indent=1) + "\n").encode()

    @classmethod
    def from_json(cls, data: bytes, *, where: str) -> Release:
        """Answer the release a file describes; raises `Misuse` for any other content.

        A release may come from elsewhere: its file names must be plain, so that they stay inside.
        """
        import json

        try:
            body = json.loads(data)
            if body.pop("schema_version") != SCHEMA_VERSION:
                raise Misuse(f"{where}: made by another version of fwseal")
            payloads = tuple(
                Payload(**{**entry, "format": PayloadFormat(entry["format"])})
                for entry in _array(body.pop("payloads"))
            )
            release = cls(**{**body, "state": State(body["state"]), "payloads": payloads})
            _check(release)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise Misuse(f"{where}: not a release.json: {error}") from None
        return release


def _array(value: object) -> list[Any]:
    if type(value) is not list:
        raise Misuse("payloads of release.json is not an array")
    return value


def _check(release: Release) -> None:
    """Return when the fields that JSON filled are what their annotations say.

    Raises `Misuse`, or what reading a value of a wrong type raises.
    """
    import uuid

    texts = [release.name, release.line, release.version, release.recipe_sha256]
    numbers = [release.sequence_number]
    uuid.UUID(release.vendor_id)
    uuid.UUID(release.class_id)
    for one in release.payloads:
        plain_name(one.file, what="payload file")
        texts += [one.uri, one.unsigned_sha256, one.sha256, one.sha512]
        numbers += [one.size]
        for part in one.component.split("/"):
            bytes.fromhex(part)
    if not all(type(text) is str for text in texts):
        raise Misuse("a text of release.json is of another type")
    if not all(type(number) is int and 0 <= number < 2**64 for number in numbers):
        raise Misuse("a number of release.json is not an unsigned integer")
