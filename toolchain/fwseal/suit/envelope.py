"""An envelope is well formed or it is not; nothing here says whether to trust it.

draft-ietf-suit-manifest-37 8.2, 8.3. The received bytes are kept and are what gets hashed.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import cbor2

from fwseal.base import cbor
from fwseal.base.digest import Digest
from fwseal.base.errors import Refused
from fwseal.base.reasons import Reason
from fwseal.suit.labels import (
    TAG_ENVELOPE,
    EnvelopeKey,
    ManifestKey,
    known,
    spelled,
    unsupported,
)
from fwseal.suit.limits import DEFAULT, Limits
from fwseal.suit.values import byte_string, decode_digest, encode_digest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fwseal.cose.messages import Block


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """A well-formed envelope: what arrived, taken apart.

    `digest_bytes` is the content of element 0 of the authentication wrapper, which signatures
    cover; `blocks` the encoded COSE messages behind it; `manifest` the manifest's bytes without
    their byte-string head; `severed` the members the manifest names by digest; `integrated` the
    payloads by URI.
    """

    digest_bytes: bytes
    digest: Digest
    blocks: tuple[bytes, ...]
    manifest: bytes
    severed: Mapping[ManifestKey, bytes]
    integrated: Mapping[str, bytes]

    def encode(self) -> bytes:
        """Answer the deterministic CBOR of the envelope, tag 107 included."""
        wrapper = cbor.encode((self.digest_bytes, *self.blocks))
        body: dict[cbor.Key, cbor.Value] = {
            int(EnvelopeKey.AUTHENTICATION_WRAPPER): wrapper,
            int(EnvelopeKey.MANIFEST): self.manifest,
        }
        body.update({int(key): content for key, content in self.severed.items()})
        body.update(self.integrated)
        return cbor.encode(cbor2.CBORTag(TAG_ENVELOPE, body))


def seal(
    manifest: bytes,
    *,
    severed: Mapping[ManifestKey, bytes] | None = None,
    integrated: Mapping[str, bytes] | None = None,
) -> Envelope:
    """Answer an envelope around a manifest's bytes, without any signature yet.

    `severed` are the members that the manifest names by digest, `integrated` payloads by URI.
    """
    # SUIT manifest-37 8.3: the digest covers the manifest with its byte-string head.
    digest = Digest.of(cbor.wrapped(manifest))
    return Envelope(
        digest_bytes=encode_digest(digest),
        digest=digest,
        blocks=(),
        manifest=manifest,
        severed=severed or {},
        integrated=integrated or {},
    )


def with_block(envelope: Envelope, block: Block) -> Envelope:
    """Answer the envelope with one more authentication block, behind those it has."""
    return dataclasses.replace(envelope, blocks=(*envelope.blocks, block.encode()))


def decode(data: bytes, *, limits: Limits = DEFAULT) -> Envelope:
    """Answer the well-formed envelope that the bytes are.

    Raises `Refused`: malformed, not-deterministic, limit-exceeded, unsupported,
    unsupported-algorithm.
    """
    tagged = cbor.decode(data, tags=frozenset({TAG_ENVELOPE}), limits=limits.envelope)
    # SUIT manifest-37 appendix A: SUIT_Envelope_Tagged; an untagged map is another thing.
    if not isinstance(tagged, cbor2.CBORTag):
        raise Refused(Reason.MALFORMED, "not a SUIT envelope: tag 107 is missing")
    body = tagged.value
    if not isinstance(body, cbor.MAP):
        raise Refused(Reason.MALFORMED, "a SUIT envelope is a map")
    severed: dict[ManifestKey, bytes] = {}
    integrated: dict[str, bytes] = {}
    for key, content in body.items():
        if not isinstance(content, bytes):
            raise Refused(Reason.MALFORMED, "an envelope member is a byte string", where=repr(key))
        if isinstance(key, str):
            integrated[key] = content
        else:
            _member(key, content, severed)
    for required in (EnvelopeKey.AUTHENTICATION_WRAPPER, EnvelopeKey.MANIFEST):
        if required not in body:
            raise Refused(Reason.MALFORMED, f"{spelled(required)} is missing")
    digest_bytes, blocks = _wrapper(body[EnvelopeKey.AUTHENTICATION_WRAPPER], limits)
    return Envelope(
        digest_bytes=digest_bytes,
        digest=decode_digest(digest_bytes),
        blocks=blocks,
        manifest=body[EnvelopeKey.MANIFEST],
        severed=severed,
        integrated=integrated,
    )


def _member(key: object, content: bytes, severed: dict[ManifestKey, bytes]) -> None:
    label = known(EnvelopeKey, key, what="envelope element")
    if label in (EnvelopeKey.AUTHENTICATION_WRAPPER, EnvelopeKey.MANIFEST):
        return
    if label is EnvelopeKey.DELEGATION:
        # SUIT manifest-37 11.1: 1 is reserved; delegation left the draft.
        raise unsupported(label, what="envelope element")
    severed[ManifestKey(label)] = content


def _wrapper(data: bytes, limits: Limits) -> tuple[bytes, tuple[bytes, ...]]:
    parts = cbor.decode(data, limits=limits.document)
    if not isinstance(parts, tuple) or not parts:
        raise Refused(Reason.MALFORMED, "the authentication wrapper is an array of one or more")
    if len(parts) > limits.blocks + 1:
        raise Refused(Reason.LIMIT_EXCEEDED, f"more than {limits.blocks} authentication blocks")
    digest_bytes, *blocks = (byte_string(part, "an authentication block") for part in parts)
    return digest_bytes, tuple(blocks)
