"""A manifest is typed both ways: what `decode` reads, `encode` writes to the same bytes.

draft-ietf-suit-manifest-37 8.4. The received bytes are kept by the caller and stay the identity;
this is what they mean.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, TypedDict

from fwseal.base import cbor
from fwseal.base.digest import Digest
from fwseal.base.errors import Refused
from fwseal.base.reasons import Reason
from fwseal.suit.common import Common, decode_common, placed
from fwseal.suit.labels import (
    MANIFEST_VERSION,
    SEQUENCES,
    SEVERABLE,
    ManifestKey,
    known,
    spelled,
    unsupported,
)
from fwseal.suit.limits import DEFAULT
from fwseal.suit.sequence import INVOKE, Sequence, Step, encode_sequence, nested
from fwseal.suit.values import (
    byte_string,
    component_id,
    digest,
    digest_value,
    mapping,
    text_string,
    unsigned,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fwseal.base.ids import ComponentId
    from fwseal.suit.limits import Limits
    from fwseal.suit.text import Text


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """One release of one device's software, as its author signed it.

    `dependencies` maps component indices to the prefix of what the manifest there is about (SUIT
    trust-domains-12 5.2.2); `component_id` is where this manifest itself is kept (5.2.1).
    `sequences` maps each command sequence to its steps, or to a Digest where it was severed;
    `text` is one where it was severed.
    """

    sequence_number: int
    components: tuple[ComponentId, ...]
    dependencies: Mapping[int, ComponentId | None] = dataclasses.field(default_factory=dict)
    component_id: ComponentId | None = None
    shared_sequence: Sequence = ()
    reference_uri: str | None = None
    sequences: Mapping[ManifestKey, Sequence | Digest]
    text: Text | Digest | None = None

    @property
    def common(self) -> Common:
        """Answer the common part."""
        return Common(
            components=self.components,
            dependencies=self.dependencies,
            shared_sequence=self.shared_sequence,
        )

    def encode(self) -> bytes:
        """Answer the deterministic CBOR of the manifest."""
        body: dict[cbor.Key, cbor.Value] = {
            int(ManifestKey.VERSION): MANIFEST_VERSION,
            int(ManifestKey.SEQUENCE_NUMBER): self.sequence_number,
            int(ManifestKey.COMMON): self.common.encode(),
        }
        if self.reference_uri is not None:
            body[int(ManifestKey.REFERENCE_URI)] = self.reference_uri
        if self.component_id is not None:
            body[int(ManifestKey.COMPONENT_ID)] = self.component_id
        for key, sequence in self.sequences.items():
            body[int(key)] = (
                digest_value(sequence)
                if isinstance(sequence, Digest)
                else encode_sequence(sequence)
            )
        if self.text is not None:
            body[int(ManifestKey.TEXT)] = (
                digest_value(self.text) if isinstance(self.text, Digest) else self.text.encode()
            )
        return cbor.encode(body)

    def severed(self) -> dict[ManifestKey, Digest]:
        """Answer which members a digest stands for."""
        found = {key: one for key, one in self.sequences.items() if isinstance(one, Digest)}
        if isinstance(self.text, Digest):
            found[ManifestKey.TEXT] = self.text
        return found

    def with_member(
        self, key: ManifestKey, content: bytes, *, limits: Limits = DEFAULT
    ) -> Manifest:
        """Answer the manifest with a severed member read in; its digest was checked before."""
        if key is ManifestKey.TEXT:
            return dataclasses.replace(self, text=_text(content, self.common, limits))
        sequence = _section(key, content, self.common.indices, limits)
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


def decode(data: bytes, *, limits: Limits = DEFAULT) -> Manifest:
    """Answer what the manifest's bytes say.

    Raises `Refused`: malformed, not-deterministic, limit-exceeded, unsupported, wrong-component.
    """
    body = mapping(cbor.decode(data, limits=limits.document), "the manifest")
    keys = tuple(known(ManifestKey, key, what="manifest element") for key in body)
    for required in (ManifestKey.VERSION, ManifestKey.SEQUENCE_NUMBER, ManifestKey.COMMON):
        if required not in keys:
            raise Refused(Reason.MALFORMED, f"{spelled(required)} is missing")
    version = unsigned(body[ManifestKey.VERSION], "manifest-version")
    if version != MANIFEST_VERSION:
        # SUIT manifest-37 8.4.1: a recipient refuses a version it does not know.
        raise Refused(Reason.UNSUPPORTED, f"manifest version {version} is not 1")
    common = decode_common(byte_string(body[ManifestKey.COMMON], "common"), limits=limits)
    return Manifest(
        sequence_number=unsigned(body[ManifestKey.SEQUENCE_NUMBER], "sequence number"),
        components=common.components,
        dependencies=common.dependencies,
        shared_sequence=common.shared_sequence,
        **_members(keys, body, common, limits),
    )


_HEAD = (ManifestKey.VERSION, ManifestKey.SEQUENCE_NUMBER, ManifestKey.COMMON)


class _Members(TypedDict):
    """What a manifest may hold beside its head."""

    reference_uri: str | None
    component_id: ComponentId | None
    sequences: Mapping[ManifestKey, Sequence | Digest]
    text: Text | Digest | None


def _members(
    keys: tuple[ManifestKey, ...],
    body: Mapping[cbor.Key, cbor.Value],
    common: Common,
    limits: Limits,
) -> _Members:
    sequences: dict[ManifestKey, Sequence | Digest] = {}
    indices = common.indices
    found = _Members(reference_uri=None, component_id=None, sequences=sequences, text=None)
    for key in keys:
        value = body[key]
        if key in _HEAD:
            continue
        if key is ManifestKey.REFERENCE_URI:
            found["reference_uri"] = text_string(value, "reference-uri")
        elif key is ManifestKey.COMPONENT_ID:
            found["component_id"] = component_id(value)
        elif key is ManifestKey.TEXT or key in SEQUENCES:
            severed = digest(value) if isinstance(value, tuple) and key in SEVERABLE else None
            content = b"" if severed else byte_string(value, spelled(key))
            if key is ManifestKey.TEXT:
                found["text"] = severed or _text(content, common, limits)
            else:
                sequences[key] = severed or _section(key, content, indices, limits)
        else:
            raise unsupported(key, what="manifest element")
    return found


def _section(key: ManifestKey, data: bytes, indices: frozenset[int], limits: Limits) -> Sequence:
    # SUIT manifest-37 6.3: what is invoked was validated, and suit-invoke comes behind that.
    barred = frozenset() if key is ManifestKey.INVOKE else INVOKE
    return placed(spelled(key), data, indices=indices, barred=barred, limits=limits)


def _text(data: bytes, common: Common, limits: Limits) -> Text:
    from fwseal.suit.text import decode_text  # most manifests hold none, and none needs it

    try:
        text = decode_text(data, limits=limits)
    except Refused as error:
        raise error.at(spelled(ManifestKey.TEXT)) from None
    for component in text.components:
        # SUIT manifest-37 8.4.4: text is about components of this manifest, or of a dependency's.
        if not common.covers(component):
            raise Refused(
                Reason.WRONG_COMPONENT,
                "text about a component that is not listed",
                where=spelled(ManifestKey.TEXT),
            )
    return text
