"""What every device of a profile would say is known before anyone signs, and who would be wrong."""

from __future__ import annotations

import dataclasses
import itertools
from typing import TYPE_CHECKING, Any

import pytest

import workshop
from formats.refusals import refused
from fwseal.base.digest import Digest
from fwseal.base.ids import Kid
from fwseal.base.ports import NotThere
from fwseal.base.reasons import Reason
from fwseal.cose.algorithms import Algorithm
from fwseal.cose.encryption import ContentAlgorithm, encrypted, recipient_key
from fwseal.device.admission import Installed
from fwseal.device.profile import Component, Equal
from fwseal.device.rehearsal import MAX_DEVICES, Desk, Signatory, findings, rehearse
from fwseal.signing.sign import signed
from fwseal.suit import envelope as envelopes
from fwseal.suit.labels import Command, ManifestKey, Parameter
from fwseal.suit.manifest import Manifest
from fwseal.suit.sequence import Override, Plain, SetIndex, TryEach
from workshop import CLASS, COMPONENT, PAYLOAD, URI, VENDOR

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fwseal.base.ids import ComponentId, Uri
    from fwseal.cose.encryption import Encrypt, RecipientKey
    from fwseal.signing.softkey import SoftKey
    from fwseal.suit.authenticate import Anchor
    from fwseal.suit.envelope import Envelope
    from fwseal.suit.sequence import Sequence, Step

MATCH = Plain(Command.CONDITION_IMAGE_MATCH, 15)
FETCH = Plain(Command.DIRECTIVE_FETCH, 2)
COPY = Plain(Command.DIRECTIVE_COPY, 2)
WRITE = Plain(Command.DIRECTIVE_WRITE, 2)
SLOT = Plain(Command.CONDITION_COMPONENT_SLOT, 15)
INVOKE = Plain(Command.DIRECTIVE_INVOKE, 2)
ABORT = Plain(Command.CONDITION_ABORT, 0)
SHARED: Sequence = (
    Override({
        Parameter.VENDOR_IDENTIFIER: VENDOR.bytes, Parameter.CLASS_IDENTIFIER: CLASS.bytes,
        Parameter.IMAGE_DIGEST: Digest.of(PAYLOAD), Parameter.IMAGE_SIZE: len(PAYLOAD),
    }),
    Plain(Command.CONDITION_VENDOR_IDENTIFIER, 15),
    Plain(Command.CONDITION_CLASS_IDENTIFIER, 15),
)  # fmt: skip
INSTALL: Sequence = (Override({Parameter.URI: URI}), FETCH, MATCH)
FRESH = Installed(sequence_number=None)
STAGING = (b"\x01",)


class Payloads:
    """A `Fetcher` of payloads by URI."""

    def __init__(self, payloads: dict[str, bytes]) -> None:
        self._payloads = payloads

    def fetch(self, uri: Uri, *, max_size: int) -> Iterator[bytes]:  # noqa: ARG002 - a port
        """Answer a payload."""
        if uri not in self._payloads:
            raise NotThere(uri)
        return iter((self._payloads[uri],))


def desk(*anchors: Anchor, **changes: Any) -> Desk:  # noqa: ANN401 - as profile and Desk have them
    """Answer the test device, with its payload at hand."""
    own = {name: changes.pop(name) for name in ("installed", "fetcher", "plaintexts")
           if name in changes}  # fmt: skip
    made = Desk(
        profile=workshop.profile(*anchors, **changes),
        installed=FRESH,
        fetcher=Payloads({URI: PAYLOAD}),
    )
    return dataclasses.replace(made, **own)


def sealed(
    *install: Step,
    shared: Sequence = SHARED,
    components: tuple[ComponentId, ...] = (COMPONENT,),
    number: int = 2,
    **sequences: Sequence,
) -> Envelope:
    """Answer an unsigned envelope of these sequences."""
    named: dict[ManifestKey, Sequence] = {
        ManifestKey.INSTALL: install or INSTALL, ManifestKey.VALIDATE: (MATCH,),
    }  # fmt: skip
    named |= {ManifestKey[name.upper()]: steps for name, steps in sequences.items()}
    manifest = Manifest(
        sequence_number=number, components=components, shared_sequence=shared, sequences=named
    )
    return envelopes.seal(manifest.encode())


def by(key: SoftKey, **changes: Any) -> tuple[Signatory, ...]:  # noqa: ANN401 - as Signatory has them
    """Answer one who is going to sign."""
    one = Signatory(kid=key.kid, key=key.public(), algorithm=key.algorithm)
    return (dataclasses.replace(one, **changes),)


# What devices say of the content


def test_envelope_that_every_device_accepts_is_accepted_before_it_is_signed() -> None:
    rehearse(sealed(), desk())


@pytest.mark.parametrize(
    ("envelope", "changes", "reason"),
    [
        (sealed(), {"vendor_id": CLASS}, Reason.WRONG_VENDOR),
        (sealed(), {"class_id": VENDOR}, Reason.WRONG_CLASS),
        (sealed(), {"components": {STAGING: Component()}}, Reason.WRONG_COMPONENT),
        (sealed(), {"fetcher": Payloads({})}, Reason.PAYLOAD_MISSING),
        (sealed(), {"fetcher": Payloads({URI: b"x" + PAYLOAD[1:]})}, Reason.PAYLOAD_DIGEST),
        (sealed(), {"installed": Installed(sequence_number=2)}, Reason.ROLLBACK),
        (sealed(ABORT), {}, Reason.ABORTED),
        (sealed(SLOT), {}, Reason.WRONG_SLOT),
        (sealed(validate=(ABORT,)), {}, Reason.ABORTED),
    ],
)
def test_what_a_device_would_refuse_is_refused_before_it_is_signed(
    envelope: Envelope, changes: dict[str, Any], reason: Reason
) -> None:
    with refused(reason):
        rehearse(envelope, desk(**changes))


def test_integrated_payload_that_no_command_names_is_refused() -> None:
    stowaway = dataclasses.replace(sealed(), integrated={"#more": b"x"})
    with refused(Reason.MALFORMED):
        rehearse(stowaway, desk())


# Slots


def choice(slot: int) -> Sequence:
    """Answer the branch for one slot."""
    return (Override({Parameter.COMPONENT_SLOT: slot, Parameter.URI: f"2/{slot}"}), SLOT)


def slotted(*slots: int, number: int = 1) -> dict[str, Any]:
    """Answer the changes to a device of that many components with these slots."""
    names = [COMPONENT, *((bytes([7, index]),) for index in range(number - 1))]
    return {
        "components": dict.fromkeys(names, Component(slots=slots)),
        "fetcher": Payloads({"2/0": PAYLOAD, "2/1": PAYLOAD}),
    }


def test_every_slot_that_an_update_may_be_written_to_is_tried() -> None:
    both = sealed(TryEach((choice(0), choice(1))), FETCH, MATCH)
    rehearse(both, desk(**slotted(0, 1)))
    with refused(Reason.WRONG_SLOT):
        rehearse(both, desk(**slotted(0, 1, 2)))
    with refused(Reason.WRONG_SLOT):
        rehearse(sealed(*choice(0), FETCH, MATCH), desk(**slotted(0, 1)))
    with refused(Reason.PAYLOAD_MISSING):
        missing = {**slotted(0, 1), "fetcher": Payloads({"2/0": PAYLOAD})}
        rehearse(both, desk(**missing))


def test_slots_of_two_components_are_tried_in_every_combination() -> None:
    second = (b"\x07\x00",)
    uri = Override({Parameter.URI: "2/0"})

    def at(index: int, slot: int) -> Sequence:
        return (SetIndex(index), Override({Parameter.COMPONENT_SLOT: slot}), SLOT)

    def envelope(*pairs: tuple[int, int]) -> Envelope:
        branches = tuple((*at(0, one), *at(1, other)) for one, other in pairs)
        shared = (SetIndex(index=True), *SHARED)
        return sealed(
            SetIndex(0), uri, FETCH, MATCH, TryEach((*branches, (ABORT,))),
            shared=shared, components=(COMPONENT, second),
            validate=(SetIndex(0), MATCH),
        )  # fmt: skip

    every = list(itertools.product((0, 1), repeat=2))
    rehearse(envelope(*every), desk(**slotted(0, 1, number=2)))
    for left_out in every:
        with refused(Reason.ABORTED):
            rehearse(
                envelope(*(one for one in every if one != left_out)),
                desk(**slotted(0, 1, number=2)),
            )


def test_past_the_bound_slots_at_the_same_position_are_tried() -> None:
    assert 2**9 > MAX_DEVICES >= 2**8
    both = sealed(TryEach((choice(0), choice(1))), FETCH, MATCH)
    many = slotted(0, 1, number=9)
    components = many["components"]
    components[(b"\x07\x00",)] = Component(slots=(0,))
    components[(b"\x09",)] = Component(slots=(0, 1))
    rehearse(both, desk(**many))
    with refused(Reason.WRONG_SLOT):
        rehearse(sealed(*choice(0), FETCH, MATCH), desk(**many))
    with refused(Reason.WRONG_SLOT):
        rehearse(sealed(*choice(1), FETCH, MATCH), desk(**many))


# Invocation


def test_manifest_that_invokes_is_carried_out_to_the_invocation() -> None:
    rehearse(sealed(invoke=(INVOKE,)), desk())
    with refused(Reason.ABORTED):
        rehearse(sealed(load=(ABORT,), invoke=(INVOKE,)), desk())
    rehearse(sealed(load=(ABORT,)), desk())
    with refused(Reason.COMMAND_FAILED):
        rehearse(sealed(invoke=(MATCH,)), desk())


# Who signs


def test_signer_that_the_profile_trusts_is_taken_as_having_signed() -> None:
    key = workshop.signer()
    rehearse(sealed(), desk(workshop.anchor(key)), signers=by(key))


def test_signer_that_no_device_would_believe_is_refused_in_the_devices_words() -> None:
    key, other = workshop.signer(), workshop.signer()
    anchor = workshop.anchor(key)
    where = "authentication[0]"
    with refused(Reason.UNKNOWN_SIGNER, where=where):
        rehearse(sealed(), desk(anchor), signers=by(key, kid=Kid("else")))
    with refused(Reason.UNSUPPORTED_ALGORITHM, where=where):
        rehearse(sealed(), desk(anchor), signers=by(key, algorithm=Algorithm.ES256))
    with refused(Reason.BAD_SIGNATURE, where=where):
        rehearse(sealed(), desk(anchor), signers=by(other))
    with refused(Reason.SIGNER_NOT_AUTHORIZED, where=where):
        rehearse(sealed(), desk(workshop.anchor(key, "boot")), signers=by(key))
    with refused(Reason.SIGNER_NOT_AUTHORIZED):
        limited = dataclasses.replace(anchor, components=(STAGING,))
        rehearse(sealed(), desk(limited), signers=by(key))
    twice = (workshop.anchor(other), anchor)
    rehearse(sealed(), desk(*twice), signers=by(key))


def test_fewer_keys_than_the_profile_asks_for_are_refused() -> None:
    one, other = workshop.signer("one"), workshop.signer("other")
    anchors = (workshop.anchor(one), workshop.anchor(other))
    both = desk(*anchors, threshold=2)
    rehearse(sealed(), both, signers=by(one) + by(other))
    for few in (by(one), by(one) + by(one)):
        with refused(Reason.THRESHOLD_NOT_MET):
            rehearse(sealed(), both, signers=few)
    rehearse(sealed(), both)  # nobody was named, and nobody is asked for


def test_signatures_that_an_envelope_carries_are_verified_and_count() -> None:
    one, other, stranger = (workshop.signer(name) for name in ("one", "other", "stranger"))
    both = desk(workshop.anchor(one), workshop.anchor(other), threshold=2)
    first = signed(sealed(), one)
    rehearse(first, both, signers=by(other))
    rehearse(signed(first, other), both)
    with refused(Reason.THRESHOLD_NOT_MET):
        rehearse(first, both)
    with refused(Reason.THRESHOLD_NOT_MET):
        rehearse(first, both, signers=by(one))
    with refused(Reason.UNKNOWN_SIGNER, where="authentication[0]"):
        rehearse(signed(sealed(), stranger), both)
    with refused(Reason.UNKNOWN_SIGNER, where="authentication[1]"):
        rehearse(first, both, signers=by(stranger))


# Encrypted payloads


def kek() -> RecipientKey:
    """Answer a recipient whose key is all in one."""
    from fwseal.base import cbor

    data = cbor.encode({1: 4, 3: -3, -1: bytes(range(16))})
    return recipient_key(data, kid=Kid("device"), where="device.cose")


def locked() -> tuple[Encrypt, bytes]:
    """Answer what encrypts the payload for the device, and its ciphertext."""
    draws = itertools.count(1)
    info, ciphertext = encrypted(
        PAYLOAD,
        algorithm=ContentAlgorithm.A128GCM,
        recipients=(kek(),),
        random=lambda size: bytes([next(draws)]) * size,
    )
    return info, ciphertext


def test_encrypted_payload_is_rehearsed_by_whoever_made_it_without_the_devices_key() -> None:
    info, ciphertext = locked()
    told = Override({Parameter.URI: URI, Parameter.ENCRYPTION_INFO: info})
    envelope = sealed(told, FETCH, MATCH)
    source = Payloads({URI: ciphertext})
    with refused(Reason.DECRYPTION_FAILED):
        rehearse(envelope, desk(fetcher=source))
    rehearse(envelope, desk(fetcher=source, recipients=(kek(),)))
    rehearse(envelope, desk(fetcher=source, plaintexts={URI: PAYLOAD}))
    with refused(Reason.PAYLOAD_DIGEST):
        wrong = {URI: b"x" + PAYLOAD[1:]}
        rehearse(envelope, desk(fetcher=source, plaintexts=wrong))


def test_encrypted_payload_that_is_copied_out_of_a_staging_area_is_rehearsed_too() -> None:
    info, ciphertext = locked()
    told = Override({Parameter.SOURCE_COMPONENT: 1, Parameter.ENCRYPTION_INFO: info})
    envelope = sealed(
        SetIndex(1), Override({Parameter.URI: URI}), FETCH, SetIndex(0), told, COPY, MATCH,
        shared=(SetIndex(0), *SHARED), components=(COMPONENT, STAGING),
        validate=(SetIndex(0), MATCH),
    )  # fmt: skip
    two = {"components": {COMPONENT: Component(), STAGING: Component()}}
    source = Payloads({URI: ciphertext})
    rehearse(envelope, desk(fetcher=source, plaintexts={URI: PAYLOAD}, **two))
    with refused(Reason.DECRYPTION_FAILED):
        rehearse(envelope, desk(fetcher=source, **two))
    with refused(Reason.DECRYPTION_FAILED):
        rehearse(envelope, desk(fetcher=source, recipients=(), **two))


def test_other_payloads_are_fetched_where_some_are_encrypted() -> None:
    rehearse(sealed(), desk(plaintexts={"2/other": b""}))


# Findings


def reasons(envelope: Envelope, where: Desk, **who: tuple[Signatory, ...]) -> list[Reason]:
    """Answer why an envelope should not be signed."""
    return [one.reason for one in findings(envelope, where, **who)]


def test_what_devices_refuse_comes_before_what_is_unwise() -> None:
    assert reasons(sealed(), desk()) == []
    anonymous = sealed(shared=SHARED[:1])
    assert reasons(anonymous, desk()) == [Reason.UNCHECKED] * 2
    assert reasons(anonymous, desk(fetcher=Payloads({}))) == [
        Reason.PAYLOAD_MISSING, Reason.UNCHECKED, Reason.UNCHECKED,
    ]  # fmt: skip
    key = workshop.signer()
    assert reasons(sealed(), desk(), signers=by(key)) == [Reason.UNKNOWN_SIGNER]


def test_envelope_that_cannot_be_read_is_one_finding() -> None:
    stowaway = dataclasses.replace(sealed(), integrated={"#more": b"x"})
    assert reasons(stowaway, desk()) == [Reason.MALFORMED]


def test_number_that_both_refuse_is_one_finding_with_the_better_remedy() -> None:
    found = findings(sealed(), desk(installed=Installed(sequence_number=8)))
    assert [one.reason for one in found] == [Reason.ROLLBACK]
    assert "9" in found[0].remedy


def test_number_that_a_device_would_apply_again_is_no_number_for_a_release() -> None:
    again = {"installed": Installed(sequence_number=2), "equal": Equal.REAPPLY}
    rehearse(sealed(), desk(**again))
    assert reasons(sealed(), desk(**again)) == [Reason.ROLLBACK]


def test_limits_of_the_profile_hold_for_what_is_read() -> None:
    small = dataclasses.replace(desk().profile.limits, manifest_bytes=8)
    assert reasons(sealed(), desk(limits=small)) == [Reason.LIMIT_EXCEEDED]
