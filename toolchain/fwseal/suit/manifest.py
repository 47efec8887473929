"""A manifest is typed both ways: what `decode` reads, `encode` writes to the same bytes.

draft-ietf-suit-manifest-37 8.4. The received bytes are kept by the caller and stay the identity;
this is what they mean.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from fwseal.base import cbor
from fwseal.base.digest import Digest
from fwseal.base.errors import Refused
from fwseal.base.reasons import Reason
from fwseal.suit.labels import (
    MANIFEST_VERSION,
    SEQUENCES,
    SEVERABLE,
    CommonKey,
    ManifestKey,
    known,
    spelled,
    unsupported,
)
from fwseal.suit.sequence import (
    Plain,
    Sequence,
    SetIndex,
    Step,
    decode_sequence,
    encode_sequence,
    nested,
)
from fwseal.suit.values import byte_string, digest, digest_value, mapping, text_string, unsigned

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fwseal.base.ids import ComponentId

MAX_COMPONENTS = 16


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """One release of one device's software, as its author signed it.

    `sequences` maps each command sequence to its steps, or to a Digest where it was severed;
    `text` likewise to its CBOR bytes.
    """

    sequence_number: int
    components: tuple[ComponentId, ...]
    shared_sequence: Sequence = ()
    reference_uri: str | None = None
    sequences: Mapping[ManifestKey, Sequence | Digest]
    text: bytes | Digest | None = None

    def encode(self) -> bytes:
        """Answer the deterministic CBOR of the manifest."""
        common: dict[cbor.Key, cbor.Value] = {int(CommonKey.COMPONENTS): self.components}
        if self.shared_sequence:
            common[int(CommonKey.SHARED_SEQUENCE)] = encode_sequence(self.shared_sequence)
        body: dict[cbor.Key, cbor.Value] = {
            int(ManifestKey.VERSION): MANIFEST_VERSION,
            int(ManifestKey.SEQUENCE_NUMBER): self.sequence_number,
            int(ManifestKey.COMMON): cbor.encode(common),
        }
        if self.reference_uri is not None:
            body[int(ManifestKey.REFERENCE_URI)] = self.reference_uri
        for key, sequence in self.sequences.items():
            body[int(key)] = (
                digest_value(sequence)
                if isinstance(sequence, Digest)
                else encode_sequence(sequence)
            )
        if self.text is not None:
            body[int(ManifestKey.TEXT)] = (
                digest_value(self.text) if isinstance(self.text, Digest) else self.text
            )
        return cbor.encode(body)

    def severed(self) -> dict[ManifestKey, Digest]:
        """Answer which members a digest stands for."""
        found = {key: one for key, one in self.sequences.items() if isinstance(one, Digest)}
        if isinstance(self.text, Digest):
            found[ManifestKey.TEXT] = self.text
        return found

    def with_member(self, key: ManifestKey, content: bytes) -> Manifest:
        """Answer the manifest with a severed member read in; its digest was checked before."""
        if key is ManifestKey.TEXT:
            return dataclasses.replace(self, text=_text(content))
        sequence = _placed(spelled(key), content, len(self.components))
        return dataclasses.replace(self, sequences={**self.sequences, key: sequence})

    def steps(self) -> tuple[Step, ...]:
        """Answer every step of every sequence that is here, nested ones included."""
        found: list[Step] = []
        pending: list[Sequence] = [self.shared_sequence]
        pending += [one for one in self.sequences.values() if isinstance(one, tuple)]
        while pending:
            for step in pending.pop():
                found.append(step)
                pending += nested(step)
        return tuple(found)


def decode(data: bytes) -> Manifest:
    """Answer what the manifest's bytes say.

    Raises `Refused`: malformed, not-deterministic, limit-exceeded, unsupported.
    """
    body = mapping(cbor.decode(data), "the manifest")
    keys = tuple(known(ManifestKey, key, what="manifest element") for key in body)
    for required in (ManifestKey.VERSION, ManifestKey.SEQUENCE_NUMBER, ManifestKey.COMMON):
        if required not in keys:
            raise Refused(Reason.MALFORMED, f"{spelled(required)} is missing")
    version = unsigned(body[ManifestKey.VERSION], "manifest-version")
    if version != MANIFEST_VERSION:
        # SUIT manifest-37 8.4.1: a recipient refuses a version it does not know.
        raise Refused(Reason.UNSUPPORTED, f"manifest version {version} is not 1")
    components, shared = _common(byte_string(body[ManifestKey.COMMON], "common"))
    reference_uri: str | None = None
    sequences: dict[ManifestKey, Sequence | Digest] = {}
    text: bytes | Digest | None = None
    for key in keys:
        value = body[key]
        if key in _HEAD:
            continue
        if key is ManifestKey.REFERENCE_URI:
            reference_uri = text_string(value, "reference-uri")
        elif key in SEQUENCES | {ManifestKey.TEXT}:
            severed = digest(value) if isinstance(value, tuple) and key in SEVERABLE else None
            content = b"" if severed else byte_string(value, spelled(key))
            if key is ManifestKey.TEXT:
                text = severed or _text(content)
            else:
                sequences[key] = severed or _placed(spelled(key), content, len(components))
        else:
            raise unsupported(key, what="manifest element")
    return Manifest(
        sequence_number=unsigned(body[ManifestKey.SEQUENCE_NUMBER], "sequence number"),
        components=components,
        shared_sequence=shared,
        reference_uri=reference_uri,
        sequences=sequences,
        text=text,
    )


_HEAD = (ManifestKey.VERSION, ManifestKey.SEQUENCE_NUMBER, ManifestKey.COMMON)


def _placed(where: str, data: bytes, components: int) -> Sequence:
    try:
        sequence = decode_sequence(data, components=components)
    except Refused as error:
        raise error.at(where) from None
    # SUIT manifest-37 6.2: with several components, a sequence says first which it is about.
    if components > 1 and not isinstance(sequence[0], SetIndex):
        raise Refused(Reason.MALFORMED, "no component index before a command", where=where)
    return sequence


def _common(data: bytes) -> tuple[tuple[ComponentId, ...], Sequence]:
    body = mapping(cbor.decode(data), "common")
    for key in body:
        label = known(CommonKey, key, what="common element")
        if label is CommonKey.DEPENDENCIES:
            raise unsupported(label, what="common element")
    components = _components(body.get(CommonKey.COMPONENTS))
    shared: Sequence = ()
    if CommonKey.SHARED_SEQUENCE in body:
        content = byte_string(body[CommonKey.SHARED_SEQUENCE], "shared-sequence")
        shared = _placed("common/shared-sequence", content, len(components))
        _shared_only(shared)
    return components, shared


def _components(value: object) -> tuple[ComponentId, ...]:
    if not isinstance(value, tuple) or not value:
        raise Refused(Reason.MALFORMED, "components is an array of one or more")
    if len(value) > MAX_COMPONENTS:
        raise Refused(Reason.LIMIT_EXCEEDED, f"more than {MAX_COMPONENTS} components")
    for component in value:
        if not isinstance(component, tuple) or not all(type(p) is bytes for p in component):
            raise Refused(Reason.MALFORMED, "a component identifier is an array of byte strings")
    if len(set(value)) != len(value):
        raise Refused(Reason.MALFORMED, "a component is listed twice")
    return value


def _shared_only(sequence: Sequence) -> None:
    # SUIT manifest-37 6.2: a shared sequence holds conditions and four directives, nothing else.
    for step in sequence:
        if isinstance(step, Plain) and step.command.name.startswith("DIRECTIVE"):
            raise Refused(
                Reason.MALFORMED, f"{spelled(step.command)} may not stand in a shared sequence"
            )
        for inner in nested(step):
            _shared_only(inner)


def _text(data: bytes) -> bytes:
    mapping(cbor.decode(data), "text")
    return data
