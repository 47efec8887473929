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
from fwseal.cose.algorithms import registered
from fwseal.cose.messages import Block, decode_block
from fwseal.suit import manifest as manifests
from fwseal.suit.limits import DEFAULT, Limits
from fwseal.suit.severing import attached

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fwseal.base.ids import ComponentId, Kid
    from fwseal.cose.algorithms import Algorithm
    from fwseal.cose.keys import VerificationKey
    from fwseal.suit.envelope import Envelope
    from fwseal.suit.manifest import Manifest

ROLE, DEPENDENCY = "release", "dependency"
"""What an anchor may sign: any manifest, or those of dependencies alone."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Anchor:
    """A key a device trusts, for exactly these algorithms and roles.

    `components` are prefixes of the components it may write to; none means all (SUIT manifest-37
    9).
    """

    kid: Kid
    key: VerificationKey
    algorithms: frozenset[Algorithm]
    roles: frozenset[str]
    components: tuple[ComponentId, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Authenticated:
    """A manifest that enough of the device's anchors signed, with who they were."""

    manifest: Manifest
    digest: Digest
    anchors: tuple[Anchor, ...]
    integrated: Mapping[str, bytes]

    @property
    def signers(self) -> tuple[Kid, ...]:
        """Answer the kids of the anchors that signed."""
        return tuple(one.kid for one in self.anchors)


def authenticate(
    envelope: Envelope,
    *,
    anchors: tuple[Anchor, ...],
    threshold: int = 1,
    roles: frozenset[str] = frozenset({ROLE}),
    limits: Limits = DEFAULT,
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
            signers.append(signer(decode_block(block), envelope.digest_bytes, anchors, roles))
        except Refused as error:
            raise error.at(f"authentication[{index}]") from None
    # Keys are counted, not names: one key under two kids is one signer.
    count = len({one.key.identity for one in signers})
    if count < threshold:
        raise Refused(Reason.THRESHOLD_NOT_MET, f"{count} of {threshold} anchors signed")
    if count < len(signers):
        # One signature of a key says it; another could be added by anybody who has seen one.
        raise Refused(Reason.MALFORMED, "one key signed twice")
    covered = cbor.wrapped(envelope.manifest)
    if not Digest.of(covered, envelope.digest.algorithm).fits(envelope.digest):
        raise Refused(Reason.DIGEST_MISMATCH, "the manifest is not the one that was signed")
    return Authenticated(
        manifest=opened(envelope, limits=limits),
        digest=envelope.digest,
        anchors=tuple(signers),
        integrated=envelope.integrated,
    )


def opened(envelope: Envelope, *, limits: Limits = DEFAULT) -> Manifest:
    """Answer what an envelope says, severed members attached, whoever signed it.

    Raises `Refused`: whatever the manifest's own structure gives, severed-mismatch, and malformed
    for a member that nothing names.
    """
    manifest = attached(manifests.decode(envelope.manifest, limits=limits), envelope, limits=limits)
    _nothing_rides_along(manifest, envelope)
    return manifest


def signer(
    block: Block, payload: bytes, anchors: tuple[Anchor, ...], roles: frozenset[str]
) -> Anchor:
    """Answer the anchor whose signature, over the digest's bytes, the block is.

    Raises `Refused`: unsupported-algorithm, unknown-signer, bad-signature, signer-not-authorized,
    and malformed for a certificate.
    """
    candidates = [one for one in anchors if block.kid is None or one.kid == block.kid]
    if not candidates and block.kid is not None:
        raise Refused(Reason.UNKNOWN_SIGNER, f"kid {block.kid!r} names no trust anchor")
    allowed = [one for one in candidates if block.algorithm in one.algorithms]
    if candidates and not allowed:
        raise Refused(
            Reason.UNSUPPORTED_ALGORITHM, f"no anchor may use {registered(block.algorithm)}"
        )
    tbs = block.tbs(payload)
    for anchor in allowed:
        try:
            anchor.key.verify(block.signature, tbs, algorithm=block.algorithm)
        except Refused:
            if len(allowed) == 1:
                raise
            continue
        if block.chain:
            from fwseal.cose import certificates  # few blocks carry any

            certificates.judge(block.chain, signer=anchor.key, anchors=[one.key for one in anchors])
        if not roles & anchor.roles:
            raise Refused(
                Reason.SIGNER_NOT_AUTHORIZED,
                f"anchor {anchor.kid!r} does not hold role {' or '.join(sorted(roles))}",
            )
        return anchor
    raise Refused(Reason.BAD_SIGNATURE, "the signature verifies under no trust anchor")


def _nothing_rides_along(manifest: Manifest, envelope: Envelope) -> None:
    # A payload whose sequence was severed and is not here is named by nothing that can be read.
    if not envelope.integrated:
        return
    from fwseal.suit.reach import fetched  # few envelopes carry any

    uris = fetched(manifest)
    for uri in envelope.integrated:
        if uri not in uris:
            raise Refused(Reason.MALFORMED, f"integrated payload {uri!r} is fetched by no command")
