"""A device is asked before anyone signs: the real machine over an envelope that has no signature.

What a release would meet on every device of a profile, whichever slots those would write to, and
at each boot behind it; only the signatures are taken as given.
"""

from __future__ import annotations

import dataclasses
import itertools
from typing import TYPE_CHECKING

from fwseal.base.errors import Refused
from fwseal.base.reasons import Reason
from fwseal.cose.algorithms import registered
from fwseal.device import admission, driver, processor
from fwseal.device.effects import Copy, Done, Fetch, Finish, Invoke
from fwseal.device.machine import Procedure
from fwseal.device.storage import Scratch, Storage
from fwseal.suit.authenticate import ROLE, Authenticated, authenticate, opened
from fwseal.suit.labels import ManifestKey
from fwseal.suit.lint import Finding, lint

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from fwseal.base.ids import ComponentId, Kid
    from fwseal.base.ports import Fetcher
    from fwseal.cose.algorithms import Algorithm
    from fwseal.cose.keys import VerificationKey
    from fwseal.device.admission import Installed
    from fwseal.device.effects import Effect
    from fwseal.device.machine import Applicable
    from fwseal.device.profile import DeviceProfile
    from fwseal.suit.authenticate import Anchor
    from fwseal.suit.envelope import Envelope

MAX_DEVICES = 256
"""Combinations of slots that are all tried; past them, slots that stand at the same position."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Signatory:
    """Who is going to sign: the key identifier its block will carry, its key, its algorithm."""

    kid: Kid
    key: VerificationKey
    algorithm: Algorithm


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """The device that is asked, and where its payloads come from.

    `plaintexts` maps the URIs of encrypted payloads to what they were before: who signs does not
    hold the devices' keys.
    """

    profile: DeviceProfile
    installed: Installed
    fetcher: Fetcher
    plaintexts: Mapping[str, bytes] = dataclasses.field(default_factory=dict)


def findings(
    envelope: Envelope, desk: Desk, *, signers: tuple[Signatory, ...] = ()
) -> tuple[Finding, ...]:
    """Answer all that should keep an envelope from being signed: what devices refuse comes first.

    `desk.installed` holds the sequence number of the last release. Raises `Misuse` and
    `Unavailable` as the fetcher does.
    """
    try:
        manifest = opened(envelope, limits=desk.profile.limits)
    except Refused as error:
        return (Finding.of(error),)
    unwise = lint(manifest, above=desk.installed.sequence_number)
    try:
        rehearse(envelope, desk, signers=signers)
    except Refused as error:
        first = Finding.of(error)
        same = [one for one in unwise if (one.reason, one.where) == (first.reason, first.where)]
        return (*(same or [first]), *(one for one in unwise if one not in same))
    return unwise


def rehearse(envelope: Envelope, desk: Desk, *, signers: tuple[Signatory, ...] = ()) -> None:
    """Return when the devices of a profile accept an envelope once these have signed it too.

    Signatures that it carries are verified. With neither, nothing is asked about who signs.
    Raises `Refused` as `authenticate`, `applicable` and the machine do; `Misuse`, `Unavailable`
    as the fetcher does.
    """
    authenticated = _authenticated(envelope, desk.profile, signers)
    for slots in _devices(desk.profile):
        what = admission.applicable(
            authenticated,
            profile=desk.profile,
            installed=dataclasses.replace(desk.installed, slots=slots),
        )
        storage = Scratch()
        _carry_out(what, Procedure.UPDATE, desk, storage)
        if ManifestKey.INVOKE in authenticated.manifest.sequences:
            _carry_out(what, Procedure.INVOCATION, desk, storage)


def _authenticated(
    envelope: Envelope, profile: DeviceProfile, signers: tuple[Signatory, ...]
) -> Authenticated:
    limits = profile.limits
    anchors = tuple(
        _anchor(one, profile, f"authentication[{len(envelope.blocks) + position}]")
        for position, one in enumerate(signers)
    )
    if envelope.blocks:
        threshold = 1 if signers else profile.threshold
        found = authenticate(envelope, anchors=profile.anchors, threshold=threshold, limits=limits)
        anchors = found.anchors + anchors
    count = len({one.key.identity for one in anchors})
    if anchors and count < profile.threshold:
        raise Refused(Reason.THRESHOLD_NOT_MET, f"{count} of {profile.threshold} anchors sign")
    return Authenticated(
        manifest=opened(envelope, limits=limits),
        digest=envelope.digest,
        anchors=anchors,
        integrated=envelope.integrated,
    )


def _anchor(signer: Signatory, profile: DeviceProfile, where: str) -> Anchor:
    """Answer the anchor that will verify a signature; in the order in which a device refuses."""
    named = [one for one in profile.anchors if one.kid == signer.kid]
    if not named:
        raise Refused(
            Reason.UNKNOWN_SIGNER,
            f"device {profile.name} has no anchor for kid {signer.kid!r}",
            where=where,
        )
    allowed = [one for one in named if signer.algorithm in one.algorithms]
    if not allowed:
        raise Refused(
            Reason.UNSUPPORTED_ALGORITHM,
            f"anchor {signer.kid!r} may not use {registered(signer.algorithm)}",
            where=where,
        )
    for anchor in allowed:
        if anchor.key.identity == signer.key.identity:
            if ROLE not in anchor.roles:
                raise Refused(
                    Reason.SIGNER_NOT_AUTHORIZED,
                    f"anchor {signer.kid!r} does not hold role {ROLE}",
                    where=where,
                )
            return anchor
    raise Refused(
        Reason.BAD_SIGNATURE,
        f"the key of anchor {signer.kid!r} is not the one that signs",
        where=where,
    )


def _devices(profile: DeviceProfile) -> Iterator[dict[ComponentId, int]]:
    """Answer which slot of each component an update might be written to, device by device."""
    choices = {name: one.slots for name, one in profile.components.items() if one.slots}
    total, longest = 1, 1
    for slots in choices.values():
        total, longest = total * len(slots), max(longest, len(slots))
    if total <= MAX_DEVICES:
        for combination in itertools.product(*choices.values()):
            yield dict(zip(choices, combination, strict=True))
        return
    for position in range(longest):
        yield {name: slots[position % len(slots)] for name, slots in choices.items()}


def _carry_out(what: Applicable, procedure: Procedure, desk: Desk, storage: Storage) -> None:
    state, effect = processor.start(what, procedure)
    while not isinstance(effect, Finish):
        if isinstance(effect, Invoke):
            state, effect = processor.step(state, Done())
            continue
        asked = _plain(effect, desk.plaintexts)
        state, effect = processor.step(
            state, driver.carried_out(asked, what, storage, desk.fetcher)
        )


def _plain(effect: Effect, plaintexts: Mapping[str, bytes]) -> Effect:
    """Answer an effect as it is where payloads were never encrypted."""
    if isinstance(effect, Fetch) and effect.uri in plaintexts:
        return dataclasses.replace(effect, content=plaintexts[effect.uri], encryption=None)
    if isinstance(effect, Copy) and plaintexts:
        return dataclasses.replace(effect, encryption=None)
    return effect
