"""From a well-formed envelope to an authenticated manifest: one function, and it raises.

draft-ietf-suit-manifest-37 6.2, 8.3: authenticity before the manifest is parsed.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from fwseal.base import cbor
from fwseal.base.digest import Digest
from fwseal.base.errors import Refused
from fwseal.base.reasons import Reason
from fwseal.cose.messages import Sign1, decode_sign1
from fwseal.suit import manifest as manifests
from fwseal.suit.labels import Parameter, spelled
from fwseal.suit.sequence import Override

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fwseal.base.ids import Kid
    from fwseal.cose.algorithms import Algorithm
    from fwseal.cose.keys import PublicKey
    from fwseal.suit.envelope import Envelope
    from fwseal.suit.manifest import Manifest

ROLE = "release"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Anchor:
    """A key a device trusts, for exactly these algorithms and roles."""

    kid: Kid
    key: PublicKey
    algorithms: frozenset[Algorithm]
    roles: frozenset[str]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Authenticated:
    """A manifest that enough of the device's anchors signed, with who they were."""

    manifest: Manifest
    digest: Digest
    signers: tuple[Kid, ...]
    integrated: Mapping[str, bytes]


def authenticate(
    envelope: Envelope, *, anchors: tuple[Anchor, ...], threshold: int = 1
) -> Authenticated:
    """Answer the manifest with severed members attached, and which anchors signed it.

    Raises `Refused`: unsigned, unsupported-algorithm, unknown-signer, bad-signature,
    signer-not-authorized, threshold-not-met, digest-mismatch, then whatever the manifest's own
    structure gives, severed-mismatch, and malformed for a member that nothing names.
    """
    if not envelope.blocks:
        # SUIT manifest-37 8.3: a processor requires at least one authentication block.
        raise Refused(Reason.UNSIGNED, "the envelope carries no signature")
    signers: list[Anchor] = []
    for index, block in enumerate(envelope.blocks):
        try:
            signers.append(_signer(decode_sign1(block), envelope.digest_bytes, anchors))
        except Refused as error:
            raise error.at(f"authentication[{index}]") from None
    # Keys are counted, not names: one key under two kids is one signer.
    count = len({one.key.spki for one in signers})
    if count < threshold:
        raise Refused(Reason.THRESHOLD_NOT_MET, f"{count} of {threshold} anchors signed")
    covered = cbor.wrapped(envelope.manifest)
    if not Digest.of(covered, envelope.digest.algorithm).fits(envelope.digest):
        raise Refused(Reason.DIGEST_MISMATCH, "the manifest is not the one that was signed")
    manifest = _attached(manifests.decode(envelope.manifest), envelope)
    _nothing_rides_along(manifest, envelope)
    return Authenticated(
        manifest=manifest,
        digest=envelope.digest,
        signers=tuple(one.kid for one in signers),
        integrated=envelope.integrated,
    )


def _signer(block: Sign1, payload: bytes, anchors: tuple[Anchor, ...]) -> Anchor:
    """Answer the anchor whose signature the block is."""
    candidates = [one for one in anchors if block.kid is None or one.kid == block.kid]
    if not candidates and block.kid is not None:
        raise Refused(Reason.UNKNOWN_SIGNER, f"kid {block.kid!r} names no trust anchor")
    allowed = [one for one in candidates if block.algorithm in one.algorithms]
    if candidates and not allowed:
        raise Refused(Reason.UNSUPPORTED_ALGORITHM, f"no anchor may use {block.algorithm.name}")
    tbs = block.tbs(payload)
    for anchor in allowed:
        try:
            anchor.key.verify(block.signature, tbs, algorithm=block.algorithm)
        except Refused as error:
            if error.reason is Reason.UNSUPPORTED_ALGORITHM and len(allowed) == 1:
                raise
            continue
        if ROLE not in anchor.roles:
            raise Refused(
                Reason.SIGNER_NOT_AUTHORIZED, f"anchor {anchor.kid!r} does not hold role {ROLE}"
            )
        return anchor
    raise Refused(Reason.BAD_SIGNATURE, "the signature verifies under no trust anchor")


def _attached(manifest: Manifest, envelope: Envelope) -> Manifest:
    named = manifest.severed()
    for key, content in envelope.severed.items():
        if key not in named:
            raise Refused(
                Reason.MALFORMED,
                f"severed {spelled(key)} is named by no digest",
                where=spelled(key),
            )
        # SUIT manifest-37 8.4.12: the digest of a severed member covers its byte-string head.
        if not Digest.of(cbor.wrapped(content), named[key].algorithm).fits(named[key]):
            raise Refused(
                Reason.SEVERED_MISMATCH, f"{spelled(key)} is not the one the manifest names"
            )
        manifest = manifest.with_member(key, content)
    return manifest


def _nothing_rides_along(manifest: Manifest, envelope: Envelope) -> None:
    uris = {
        step.parameters.get(Parameter.URI)
        for step in manifest.steps()
        if isinstance(step, Override)
    }
    for uri in envelope.integrated:
        if uri not in uris:
            raise Refused(Reason.MALFORMED, f"integrated payload {uri!r} is named by no command")
