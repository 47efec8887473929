"""Who signed, over what, and with which header: everything else is refused by name."""

from __future__ import annotations

import dataclasses
import hashlib
import hmac

import cbor2
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from hypothesis import given, settings
from hypothesis import strategies as st

import workshop
from formats import crafted
from formats.refusals import bit_flips, refused, truncations
from fwseal.base import cbor
from fwseal.base.errors import Refused, Unavailable
from fwseal.base.ids import Kid
from fwseal.base.reasons import REASONS, Reason
from fwseal.cose.algorithms import Algorithm, algorithm_named
from fwseal.cose.keys import MacKey, der_to_raw, raw_to_der
from fwseal.cose.messages import decode_block
from fwseal.cose.signer import sign_checked
from fwseal.signing import softkey
from fwseal.signing.softkey import SoftKey
from fwseal.suit import envelope as envelopes
from fwseal.suit.authenticate import DEPENDENCY, ROLE, Anchor, authenticate
from fwseal.suit.limits import DEFAULT

N = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
MANIFEST = workshop.manifest()
COVERED = crafted.covered(MANIFEST)


@pytest.fixture(scope="module")
def key() -> SoftKey:
    return workshop.signer()


def test_what_we_sign_authenticates_and_says_who_signed_what(key: SoftKey) -> None:
    answer = crafted.accept(workshop.envelope(key), key)
    assert answer.signers == ("release",)
    assert answer.digest.value == crafted.digest_of(MANIFEST)[1]
    assert answer.manifest.encode() == MANIFEST
    assert crafted.accept(crafted.signed(key, MANIFEST), key).manifest == answer.manifest


def test_no_bit_flip_and_no_truncation_of_a_signed_envelope_is_accepted(key: SoftKey) -> None:
    data = workshop.envelope(key)
    crafted.accept(data, key)
    reasons = set()
    count = 0
    for changed in (*bit_flips(data), *truncations(data)):
        count += 1
        with pytest.raises(Refused) as caught:
            crafted.accept(changed, key)
        reasons.add(caught.value.reason)
    assert count == 9 * len(data)
    assert len(data) > 200
    assert {
        Reason.MALFORMED,
        Reason.NOT_DETERMINISTIC,
        Reason.BAD_SIGNATURE,
        Reason.UNKNOWN_SIGNER,
        Reason.DIGEST_MISMATCH,
        Reason.UNSUPPORTED_ALGORITHM,
    } <= reasons
    assert reasons <= set(REASONS)


@settings(max_examples=50, deadline=None)
@given(st.binary(max_size=80))
def test_bytes_behind_an_envelope_are_refused(tail: bytes) -> None:
    data = workshop.envelope(workshop.signer())
    if tail:
        with refused(Reason.MALFORMED, where=str(len(data))):
            envelopes.decode(data + tail)


def test_an_envelope_without_any_block_is_refused_as_unsigned(key: SoftKey) -> None:
    with refused(Reason.UNSIGNED):
        crafted.accept(crafted.envelope(MANIFEST), key)
    with refused(Reason.UNSIGNED):
        crafted.accept(envelopes.seal(MANIFEST).encode(), key)


def test_a_manifest_signed_by_a_stranger_is_refused(key: SoftKey) -> None:
    stranger = workshop.signer()
    with refused(Reason.BAD_SIGNATURE, where="authentication[0]"):
        crafted.accept(workshop.envelope(stranger), key)
    nameless = crafted.envelope(MANIFEST, crafted.block(stranger, COVERED, unprotected={}))
    with refused(Reason.BAD_SIGNATURE):
        crafted.accept_under(nameless)


def test_a_kid_that_names_no_anchor_is_refused_as_unknown_even_with_a_good_signature(
    key: SoftKey,
) -> None:
    made = crafted.block(key, COVERED, unprotected={4: b"somebody"})
    with refused(Reason.UNKNOWN_SIGNER, where="authentication[0]"):
        crafted.accept(crafted.envelope(MANIFEST, made), key)


def test_a_kid_that_names_another_anchor_does_not_verify_under_the_right_one(key: SoftKey) -> None:
    other = workshop.signer("other")
    made = crafted.block(key, COVERED, unprotected={4: b"other"})
    with refused(Reason.BAD_SIGNATURE):
        crafted.accept(crafted.envelope(MANIFEST, made), key, other)


def test_a_block_without_kid_is_tried_under_each_anchor(key: SoftKey) -> None:
    other = workshop.signer("other")
    data = crafted.envelope(MANIFEST, crafted.block(key, COVERED, unprotected={}))
    assert crafted.accept(data, other, key).signers == ("release",)
    with refused(Reason.BAD_SIGNATURE):
        crafted.accept(data, other)


def test_a_block_of_ours_without_kid_is_read_back_to_the_same_bytes(key: SoftKey) -> None:
    data = crafted.block(key, COVERED, unprotected={})
    message = decode_block(data)
    assert message.kid is None
    assert message.encode() == data
    named = crafted.block(key, COVERED)
    assert decode_block(named).encode() == named


def test_an_empty_kid_is_a_kid_and_no_absent_one(key: SoftKey) -> None:
    made = crafted.block(key, COVERED, unprotected={4: b""})
    with refused(Reason.UNKNOWN_SIGNER):
        crafted.accept(crafted.envelope(MANIFEST, made), key)


@pytest.mark.parametrize(
    ("unprotected", "reason"),
    [
        ({4: b"\xff\xfe"}, Reason.UNKNOWN_SIGNER),
        ({4: "release"}, Reason.MALFORMED),
        ({4: 7}, Reason.MALFORMED),
        ({4: None}, Reason.MALFORMED),
        ({33: b"certificate"}, Reason.MALFORMED),
        ({4: b"release", 33: b"certificate"}, Reason.MALFORMED),
        ({394: (b"receipt",)}, Reason.UNSUPPORTED),
        ({1: -9}, Reason.MALFORMED),
        ({1: -9, 4: b"release"}, Reason.MALFORMED),
        ({5: b"iv"}, Reason.UNSUPPORTED),
        ({11: b"countersignature"}, Reason.UNSUPPORTED),
        ({"kid": b"release"}, Reason.UNSUPPORTED),
        ({b"\x04": b"release"}, Reason.UNSUPPORTED),
        (b"", Reason.MALFORMED),
        ((), Reason.MALFORMED),
    ],
)
def test_an_unprotected_header_holds_a_utf8_kid_and_nothing_else(
    key: SoftKey, unprotected: cbor.Value, reason: Reason
) -> None:
    made = crafted.block(key, COVERED, unprotected=unprotected)
    with refused(reason, where="authentication[0]"):
        crafted.accept(crafted.envelope(MANIFEST, made), key)


@pytest.mark.parametrize(
    ("protected", "reason"),
    [
        (b"", Reason.UNSUPPORTED_ALGORITHM),
        (cbor.encode({}), Reason.UNSUPPORTED_ALGORITHM),
        (cbor.encode({1: -999}), Reason.UNSUPPORTED_ALGORITHM),
        (cbor.encode({1: None}), Reason.UNSUPPORTED_ALGORITHM),
        (cbor.encode({1: "ESP256"}), Reason.UNSUPPORTED_ALGORITHM),
        (cbor.encode({1: (-9,)}), Reason.UNSUPPORTED_ALGORITHM),
        (cbor.encode({1: {}}), Reason.UNSUPPORTED_ALGORITHM),
        (cbor.encode({1: True}), Reason.UNSUPPORTED_ALGORITHM),
        (cbor.encode({1: 5}), Reason.UNSUPPORTED_ALGORITHM),
        (cbor.encode({1: -8}), Reason.UNSUPPORTED_ALGORITHM),
        (cbor.encode({1: -7}), Reason.UNSUPPORTED_ALGORITHM),
        (cbor.encode({1: -9, 2: (4,)}), Reason.UNSUPPORTED),
        (cbor.encode({1: -9, 2: ()}), Reason.MALFORMED),
        (cbor.encode({1: -9, 3: "text/plain"}), Reason.UNSUPPORTED),
        (cbor.encode({1: -9, 4: b"release"}), Reason.MALFORMED),
        (cbor.encode({1: -9, "x": 1}), Reason.UNSUPPORTED),
        (cbor.encode((1, -9)), Reason.MALFORMED),
        (bytes.fromhex("a2012801 28"), Reason.MALFORMED),
        (crafted.ESP256 + b"\0", Reason.MALFORMED),
        (bytes.fromhex("a1013808"), Reason.NOT_DETERMINISTIC),
        (bytes.fromhex("bf0128ff"), Reason.NOT_DETERMINISTIC),
    ],
)
def test_a_protected_header_names_a_supported_algorithm_and_nothing_else(
    key: SoftKey, protected: bytes, reason: Reason
) -> None:
    made = crafted.block(key, COVERED, protected=protected)
    with refused(reason):
        crafted.accept(crafted.envelope(MANIFEST, made), key)


def test_an_attached_payload_is_refused(key: SoftKey) -> None:
    for payload in (COVERED, b"", MANIFEST):
        made = crafted.block(key, COVERED, payload=payload)
        with refused(Reason.UNSUPPORTED):
            crafted.accept(crafted.envelope(MANIFEST, made), key)


def test_a_message_that_is_no_tagged_sign1_is_refused_by_name(key: SoftKey) -> None:
    for tag, reason in (
        (16, Reason.UNSUPPORTED),
        (17, Reason.UNSUPPORTED_ALGORITHM),
        (96, Reason.UNSUPPORTED),
        (97, Reason.UNSUPPORTED),
        (98, Reason.UNSUPPORTED),
    ):
        made = crafted.block(key, COVERED, tag=tag)
        with refused(reason):
            crafted.accept(crafted.envelope(MANIFEST, made), key)
    made = [crafted.block(key, COVERED, tag=tag) for tag in (None, 107, 61)]
    made.append(cbor.encode(cbor2.CBORTag(18, cbor2.CBORTag(18, ()))))
    for wrong in made:
        with refused(Reason.MALFORMED):
            crafted.accept(crafted.envelope(MANIFEST, wrong), key)


@pytest.mark.parametrize(
    "body",
    [
        {},
        (),
        (crafted.ESP256, {}, None),
        (crafted.ESP256, {}, None, b"", b""),
        ({1: -9}, {}, None, bytes(64)),
        (crafted.ESP256, {}, None, "signature"),
        (crafted.ESP256, {}, None, None),
    ],
)
def test_a_sign1_of_another_shape_is_refused_as_malformed(body: cbor.Value) -> None:
    with refused(Reason.MALFORMED):
        decode_block(cbor.encode(cbor2.CBORTag(18, body)))


def test_a_signature_of_another_length_or_form_is_refused(key: SoftKey) -> None:
    tbs = cbor.encode(("Signature1", crafted.ESP256, b"", COVERED))
    good = key.sign(tbs)
    wrong = {
        "empty": b"",
        "63 bytes": good[:-1],
        "65 bytes": good + b"\0",
        "r alone": good[:32],
        "DER": raw_to_der(good, Algorithm.ESP256),
        "DER cut to 64 bytes": raw_to_der(good, Algorithm.ESP256)[:64],
        "r = 0": bytes(32) + good[32:],
        "s = 0": good[:32] + bytes(32),
        "both 0": bytes(64),
        "r = n": N.to_bytes(32, "big") + good[32:],
        "s and r swapped": good[32:] + good[:32],
        "all ones": b"\xff" * 64,
    }
    for name, signature in wrong.items():
        made = crafted.block(key, COVERED, signature=signature)
        with refused(Reason.BAD_SIGNATURE):
            crafted.accept(crafted.envelope(MANIFEST, made), key)
        assert name
    made = crafted.block(key, COVERED, signature=good)
    crafted.accept(crafted.envelope(MANIFEST, made), key)


def test_s_and_n_minus_s_both_verify_and_name_the_same_manifest(key: SoftKey) -> None:
    good = key.sign(cbor.encode(("Signature1", crafted.ESP256, b"", COVERED)))
    other = good[:32] + (N - int.from_bytes(good[32:], "big")).to_bytes(32, "big")
    answers = [
        crafted.accept(
            crafted.envelope(MANIFEST, crafted.block(key, COVERED, signature=signature)), key
        )
        for signature in (good, other)
    ]
    assert good != other
    assert answers[0] == answers[1]


def test_a_signature_from_another_context_or_with_external_data_is_refused(key: SoftKey) -> None:
    for made in (
        crafted.block(key, COVERED, context="Signature"),
        crafted.block(key, COVERED, context="CounterSignature"),
        crafted.block(key, COVERED, aad=b"external"),
        crafted.block(key, cbor.wrapped(COVERED)),
        crafted.block(key, MANIFEST),
    ):
        stolen = cbor2.loads(made).value[3]
        replayed = crafted.block(key, COVERED, signature=stolen)
        with refused(Reason.BAD_SIGNATURE):
            crafted.accept(crafted.envelope(MANIFEST, replayed), key)


def test_a_mac_made_with_the_public_key_as_its_secret_is_refused(key: SoftKey) -> None:
    protected = cbor.encode({1: 5})
    tbm = cbor.encode(("MAC0", protected, b"", COVERED))
    tag = hmac.new(key.public().spki, tbm, hashlib.sha256).digest()
    made = crafted.block(key, COVERED, protected=protected, tag=17, signature=tag)
    anchor = workshop.anchor(key)
    careless = dataclasses.replace(anchor, algorithms=frozenset(Algorithm))
    for one in (anchor, careless):
        with refused(Reason.UNSUPPORTED_ALGORITHM):
            crafted.accept_under(crafted.envelope(MANIFEST, made), one)


def test_the_algorithm_an_anchor_does_not_name_is_refused(key: SoftKey) -> None:
    es256 = crafted.block(key, COVERED, protected=cbor.encode({1: -7}))
    data = crafted.envelope(MANIFEST, es256)
    with refused(Reason.UNSUPPORTED_ALGORITHM):
        crafted.accept(data, key)
    both = dataclasses.replace(workshop.anchor(key), algorithms=frozenset(Algorithm))
    assert crafted.accept_under(data, both).signers == ("release",)


def test_a_key_fixed_to_another_algorithm_refuses_it_even_if_the_anchor_names_it(
    key: SoftKey,
) -> None:
    fixed = dataclasses.replace(key.public(), fixed=Algorithm.ES256)
    anchor = dataclasses.replace(workshop.anchor(key), key=fixed, algorithms=frozenset(Algorithm))
    with refused(Reason.UNSUPPORTED_ALGORITHM):
        crafted.accept_under(workshop.envelope(key), anchor)
    other = workshop.anchor(workshop.signer("release"))
    with refused(Reason.BAD_SIGNATURE):
        crafted.accept_under(workshop.envelope(key), anchor, other)
    same = dataclasses.replace(workshop.anchor(key), kid=Kid("release"))
    assert crafted.accept_under(workshop.envelope(key), anchor, same).signers == ("release",)


def test_an_anchor_without_the_release_role_is_refused_as_not_authorized(key: SoftKey) -> None:
    for roles in ({"boot"}, set(), {"releases"}):
        anchor = dataclasses.replace(workshop.anchor(key), roles=frozenset(roles))
        with refused(Reason.SIGNER_NOT_AUTHORIZED, where="authentication[0]"):
            crafted.accept_under(workshop.envelope(key), anchor)


def test_two_anchors_meet_a_threshold_of_two(key: SoftKey) -> None:
    other = workshop.signer("other")
    data = crafted.envelope(MANIFEST, crafted.block(key, COVERED), crafted.block(other, COVERED))
    answer = crafted.accept(data, key, other, threshold=2)
    assert answer.signers == ("release", "other")
    with refused(Reason.THRESHOLD_NOT_MET):
        crafted.accept(data, key, other, threshold=3)


def test_one_signer_twice_does_not_meet_a_threshold_of_two(key: SoftKey) -> None:
    with refused(Reason.THRESHOLD_NOT_MET):
        crafted.accept(workshop.envelope(key), key, threshold=2)
    twice = crafted.envelope(MANIFEST, crafted.block(key, COVERED), crafted.block(key, COVERED))
    with refused(Reason.THRESHOLD_NOT_MET):
        crafted.accept(twice, key, threshold=2)
    hidden = crafted.envelope(
        MANIFEST, crafted.block(key, COVERED), crafted.block(key, COVERED, unprotected={})
    )
    with refused(Reason.THRESHOLD_NOT_MET):
        crafted.accept(hidden, key, threshold=2)


def test_one_key_under_two_kids_is_one_signer(key: SoftKey) -> None:
    anchors = (workshop.anchor(key, kid="first"), workshop.anchor(key, kid="second"))
    data = crafted.envelope(
        MANIFEST,
        crafted.block(key, COVERED, unprotected={4: b"first"}),
        crafted.block(key, COVERED, unprotected={4: b"second"}),
    )
    with refused(Reason.THRESHOLD_NOT_MET):
        crafted.accept_under(data, *anchors, threshold=2)


def test_one_key_that_signed_twice_is_refused_though_one_signature_is_enough(
    key: SoftKey,
) -> None:
    twice = crafted.envelope(MANIFEST, crafted.block(key, COVERED), crafted.block(key, COVERED))
    with refused(Reason.MALFORMED):
        crafted.accept(twice, key)


@pytest.mark.parametrize("bad_first", [True, False])
def test_a_bad_block_beside_a_good_one_is_refused(key: SoftKey, bad_first: bool) -> None:
    bad = crafted.block(key, COVERED, signature=bytes(64))
    blocks = [crafted.block(key, COVERED)]
    blocks.insert(0 if bad_first else 1, bad)
    place = f"authentication[{0 if bad_first else 1}]"
    with refused(Reason.BAD_SIGNATURE, where=place):
        crafted.accept(crafted.envelope(MANIFEST, *blocks), key)


def test_more_blocks_than_the_limit_are_refused(key: SoftKey) -> None:
    keys = [key, *(workshop.signer(f"other-{number}") for number in range(1, DEFAULT.blocks))]
    blocks = [crafted.block(one, COVERED) for one in keys]
    crafted.accept(crafted.envelope(MANIFEST, *blocks), *keys)
    with refused(Reason.LIMIT_EXCEEDED):
        crafted.accept(crafted.envelope(MANIFEST, *blocks, blocks[0]), *keys)


def test_a_manifest_that_is_not_the_one_signed_is_refused(key: SoftKey) -> None:
    made = crafted.block(key, COVERED)
    swapped = crafted.envelope(workshop.manifest(number=3), made, digest=COVERED)
    with refused(Reason.DIGEST_MISMATCH):
        crafted.accept(swapped, key)


def test_a_digest_over_the_manifest_without_its_head_is_refused(key: SoftKey) -> None:
    naked = cbor.encode((-16, hashlib.sha256(MANIFEST).digest()))
    with refused(Reason.DIGEST_MISMATCH):
        crafted.accept(crafted.envelope(MANIFEST, crafted.block(key, naked), digest=naked), key)


@pytest.mark.parametrize(("number", "name"), [(-43, "sha384"), (-44, "sha512")])
def test_the_longer_digests_are_checked_too(key: SoftKey, number: int, name: str) -> None:
    value = hashlib.new(name, cbor.wrapped(MANIFEST)).digest()
    good = cbor.encode((number, value))
    data = crafted.envelope(MANIFEST, crafted.block(key, good), digest=good)
    assert crafted.accept(data, key).digest.value == value
    wrong = cbor.encode((number, value[::-1]))
    with refused(Reason.DIGEST_MISMATCH):
        crafted.accept(crafted.envelope(MANIFEST, crafted.block(key, wrong), digest=wrong), key)


@pytest.mark.parametrize(
    ("digest", "reason"),
    [
        ((-16, b""), Reason.MALFORMED),
        ((-16, bytes(31)), Reason.MALFORMED),
        ((-16, bytes(33)), Reason.MALFORMED),
        ((-16, bytes(64)), Reason.MALFORMED),
        ((-43, bytes(32)), Reason.MALFORMED),
        ((-16, "x" * 32), Reason.MALFORMED),
        ((-16,), Reason.MALFORMED),
        ((-16, bytes(32), 0), Reason.MALFORMED),
        ({-16: bytes(32)}, Reason.MALFORMED),
        (bytes(32), Reason.MALFORMED),
        ((2, bytes(32)), Reason.UNSUPPORTED_ALGORITHM),
        ((-14, bytes(20)), Reason.UNSUPPORTED_ALGORITHM),
        ((-15, bytes(8)), Reason.UNSUPPORTED_ALGORITHM),
        ((-18, bytes(16)), Reason.UNSUPPORTED_ALGORITHM),
        (("SHA-256", bytes(32)), Reason.UNSUPPORTED_ALGORITHM),
        ((None, bytes(32)), Reason.UNSUPPORTED_ALGORITHM),
    ],
)
def test_a_digest_of_another_shape_or_algorithm_is_refused(
    key: SoftKey, digest: cbor.Value, reason: Reason
) -> None:
    data = cbor.encode(digest)
    with refused(reason):
        crafted.accept(crafted.envelope(MANIFEST, crafted.block(key, data), digest=data), key)


def test_a_signer_whose_public_key_is_another_is_caught_before_anyone_sees_its_signature(
    key: SoftKey,
) -> None:
    class Crossed(SoftKey):
        """A token that holds another key than the inventory says."""

        def sign(self, tbs: bytes) -> bytes:
            return workshop.signer().sign(tbs)

    crossed = Crossed(softkey.generate(), label=key.label, kid=key.kid, where="crossed")
    with pytest.raises(Unavailable) as caught:
        sign_checked(crossed, b"message")
    assert caught.value.hint
    assert len(sign_checked(key, b"message")) == 64


def test_a_der_signature_becomes_raw_and_back_and_anything_else_is_refused() -> None:
    private = ec.generate_private_key(ec.SECP256R1())
    der = private.sign(b"message", ec.ECDSA(hashes.SHA256()))
    raw = der_to_raw(der, Algorithm.ESP256)
    r, s = decode_dss_signature(der)
    assert raw == r.to_bytes(32, "big") + s.to_bytes(32, "big")
    assert raw_to_der(raw, Algorithm.ESP256) == der
    too_large = bytes.fromhex("3026 022101" + "00" * 32 + "020101")
    negative = bytes.fromhex("3006 0201ff 020101")
    for wrong in (b"", der[:-1], der + b"\0", b"\x30\x00", too_large, negative):
        with refused(Reason.BAD_SIGNATURE):
            der_to_raw(wrong, Algorithm.ESP256)


def test_algorithms_are_named_as_the_registry_names_them() -> None:
    assert algorithm_named("ESP256") is Algorithm.ESP256
    with pytest.raises(KeyError):
        algorithm_named("none")


def test_the_anchors_that_signed_come_with_their_rights(key: SoftKey) -> None:
    anchor = dataclasses.replace(workshop.anchor(key), components=((b"\0",),))
    answer = crafted.accept_under(
        workshop.envelope(key), workshop.anchor(workshop.signer("x")), anchor
    )
    assert answer.anchors == (anchor,)
    assert answer.signers == (anchor.kid,)


def test_an_anchor_for_dependencies_signs_no_root_and_one_for_releases_signs_both(
    key: SoftKey,
) -> None:
    envelope = envelopes.decode(workshop.envelope(key))
    both = frozenset({ROLE, DEPENDENCY})
    limited = workshop.anchor(key, DEPENDENCY)
    assert authenticate(envelope, anchors=(limited,), roles=both).anchors == (limited,)
    assert authenticate(envelope, anchors=(workshop.anchor(key),), roles=both).signers
    with refused(Reason.SIGNER_NOT_AUTHORIZED):
        authenticate(envelope, anchors=(limited,))
    with refused(Reason.SIGNER_NOT_AUTHORIZED):
        authenticate(envelope, anchors=(workshop.anchor(key, "boot"),), roles=both)


def mac_block(secret: bytes, kid: str) -> bytes:
    """Answer a COSE_Mac0 of a shared secret."""
    protected = cbor.encode({1: 5})
    tag = hmac.digest(secret, cbor.encode(("MAC0", protected, b"", COVERED)), "sha256")
    body = (protected, {4: kid.encode()}, None, tag)
    return cbor.encode(cbor2.CBORTag(17, body))


def test_a_mac_authenticates_under_its_secret_alone_and_a_secret_counts_once(key: SoftKey) -> None:
    def anchor(kid: str, secret: bytes) -> Anchor:
        return Anchor(
            kid=Kid(kid),
            key=MacKey(secret=secret),
            algorithms=frozenset({Algorithm.HMAC_256}),
            roles=frozenset({ROLE}),
        )

    secret = bytes(range(32))
    first, second = anchor("first", secret), anchor("second", secret)
    data = crafted.envelope(MANIFEST, mac_block(secret, "first"))
    assert crafted.accept_under(data, first).signers == ("first",)
    with refused(Reason.BAD_SIGNATURE):
        crafted.accept_under(data, anchor("first", secret[::-1]))
    twice = crafted.envelope(MANIFEST, mac_block(secret, "first"), mac_block(secret, "second"))
    with refused(Reason.MALFORMED):
        crafted.accept_under(twice, first, second)
    with refused(Reason.THRESHOLD_NOT_MET):
        crafted.accept_under(twice, first, second, threshold=2)
    hybrid = crafted.envelope(MANIFEST, mac_block(secret, "first"), crafted.block(key, COVERED))
    crafted.accept_under(hybrid, first, workshop.anchor(key), threshold=2)
