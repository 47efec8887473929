"""A severed member is its digest in the manifest, and its bytes beside it or nowhere.

draft-ietf-suit-manifest-37 8.4.12. The manifest's own bytes, and with them its signatures, are the
same whether a member is there or not.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from fwseal.base import cbor
from fwseal.base.digest import Digest
from fwseal.base.errors import Misuse, Refused
from fwseal.base.reasons import Reason
from fwseal.suit import manifest as manifests
from fwseal.suit.labels import SEVERABLE, ManifestKey, spelled
from fwseal.suit.limits import DEFAULT
from fwseal.suit.sequence import encode_sequence

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from fwseal.suit.envelope import Envelope
    from fwseal.suit.limits import Limits
    from fwseal.suit.manifest import Manifest


def severed(
    whole: Manifest, members: Iterable[ManifestKey]
) -> tuple[Manifest, Mapping[ManifestKey, bytes]]:
    """Answer the manifest with digests in the places of these members, and the members' bytes.

    Raises `Misuse` for one that is not there, is severed already or may not be severed.
    """
    contents: dict[ManifestKey, bytes] = {}
    for key in members:
        contents[key] = _content(whole, key)
    digests = {key: Digest.of(cbor.wrapped(content)) for key, content in contents.items()}
    text = digests.pop(ManifestKey.TEXT, whole.text)
    left = dataclasses.replace(whole, sequences={**whole.sequences, **digests}, text=text)
    return left, contents


def _content(whole: Manifest, key: ManifestKey) -> bytes:
    if key is ManifestKey.TEXT and whole.text is not None and not isinstance(whole.text, Digest):
        return whole.text.encode()
    sequence = whole.sequences.get(key)
    if key not in SEVERABLE or not isinstance(sequence, tuple):
        raise Misuse(f"{spelled(key)} cannot be severed, or is not there")
    return encode_sequence(sequence)


def attached(manifest: Manifest, envelope: Envelope, *, limits: Limits = DEFAULT) -> Manifest:
    """Answer the manifest with the members that its envelope carries read in.

    Raises `Refused`: malformed for a member that no digest names, severed-mismatch, and what the
    member's own structure gives.
    """
    if not envelope.severed:
        return manifest
    named = manifest.severed()
    for key, content in envelope.severed.items():
        fits(content, key, named)
        manifest = manifest.with_member(key, content, limits=limits)
    return manifest


def fits(content: bytes, key: ManifestKey, named: Mapping[ManifestKey, Digest]) -> None:
    """Return when the bytes are the severed member that a manifest names; raises `Refused`."""
    if key not in named:
        raise Refused(
            Reason.MALFORMED, f"severed {spelled(key)} is named by no digest", where=spelled(key)
        )
    # SUIT manifest-37 8.4.12: the digest of a severed member covers its byte-string head.
    if not Digest.of(cbor.wrapped(content), named[key].algorithm).fits(named[key]):
        raise Refused(Reason.SEVERED_MISMATCH, f"{spelled(key)} is not the one the manifest names")


def without(envelope: Envelope, *members: ManifestKey) -> Envelope:
    """Answer the envelope without these severed members; raises `Misuse` for one not there."""
    for key in members:
        if key not in envelope.severed:
            raise Misuse(f"the envelope carries no severed {spelled(key)}")
    kept = {key: content for key, content in envelope.severed.items() if key not in members}
    return dataclasses.replace(envelope, severed=kept)


def with_member(
    envelope: Envelope, key: ManifestKey, content: bytes, *, limits: Limits = DEFAULT
) -> Envelope:
    """Answer the envelope with a severed member put back, when it is the one that was severed.

    Raises `Refused`: malformed for a member that no digest names, severed-mismatch.
    """
    named = manifests.decode(envelope.manifest, limits=limits).severed()
    fits(content, key, named)
    return dataclasses.replace(envelope, severed={**envelope.severed, key: content})
