"""What rides in an envelope is covered by a digest or a signature, or the envelope is refused."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import cbor2
import pytest

import workshop
from formats import crafted
from formats.crafted import DIGEST, FETCH, IMAGE, Body, body, sequence
from formats.refusals import misuse, refused
from fwseal.base import cbor
from fwseal.base.errors import Refused
from fwseal.base.reasons import Reason
from fwseal.suit import envelope as envelopes
from fwseal.suit import manifest as manifests
from fwseal.suit import severing
from fwseal.suit.authenticate import authenticate
from fwseal.suit.labels import (
    SEVERABLE,
    EnvelopeKey,
    ManifestKey,
)
from fwseal.suit.limits import Limits

if TYPE_CHECKING:
    from fwseal.signing.softkey import SoftKey


def decode(changes: Body | None = None, *, without: int | None = None) -> manifests.Manifest:
    made = body(changes)
    if without is not None:
        del made[without]
    return manifests.decode(cbor.encode(made))


@pytest.fixture(scope="module")
def key() -> SoftKey:
    return workshop.signer()


def severed(number: int, content: bytes, changes: Body | None = None) -> bytes:
    return cbor.encode(body({number: crafted.digest_of(content), **(changes or {})}))


@pytest.mark.parametrize("number", [16, 20])
def test_a_severed_sequence_is_attached_as_if_it_had_never_left(key: SoftKey, number: int) -> None:
    content = sequence(*FETCH)
    manifest = severed(number, content)
    whole = crafted.accept(crafted.signed(key, manifest, extra={number: content}), key)
    assert whole.manifest == decode({number: content})
    alone = crafted.accept(crafted.signed(key, manifest), key).manifest
    assert set(alone.severed()) == {ManifestKey(number)}
    assert alone.encode() == manifest


def test_a_severed_text_is_attached_and_an_absent_one_is_fine(key: SoftKey) -> None:
    content = cbor.encode({"en": {1: "an update"}})
    manifest = severed(23, content)
    whole = crafted.accept(crafted.signed(key, manifest, extra={23: content}), key).manifest
    assert whole == decode({23: content})
    assert whole.encode() == cbor.encode(body({23: content}))
    assert crafted.accept(crafted.signed(key, manifest), key).manifest.encode() == manifest


@pytest.mark.parametrize("number", [16, 20, 23])
def test_a_tampered_severed_member_is_refused(key: SoftKey, number: int) -> None:
    manifest = severed(number, sequence(*FETCH))
    naked = cbor.encode(body({number: (-16, hashlib.sha256(sequence(*FETCH)).digest())}))
    for made, content in (
        (manifest, sequence(20, {21: "#other"}, 21, 2)),
        (manifest, sequence(*FETCH) + b"\0"),
        (manifest, b""),
        (naked, sequence(*FETCH)),
    ):
        with refused(Reason.SEVERED_MISMATCH):
            crafted.accept(crafted.signed(key, made, extra={number: content}), key)


@pytest.mark.parametrize("number", [14, 15, 16, 18, 20, 23])
def test_a_severed_member_that_no_digest_names_is_refused(key: SoftKey, number: int) -> None:
    content = sequence(*FETCH)
    for manifest in (cbor.encode(body()), cbor.encode(body({20: content}))):
        with refused(Reason.MALFORMED):
            crafted.accept(crafted.signed(key, manifest, extra={number: content}), key)


def test_a_severed_sequence_is_read_as_strictly_as_one_in_place(key: SoftKey) -> None:
    for content, reason, where in (
        (sequence(21, 2, 99, 0), Reason.UNSUPPORTED, "install[1]"),
        (sequence(21), Reason.MALFORMED, "install"),
        (sequence(12, 1), Reason.WRONG_COMPONENT, "install[0]"),
    ):
        manifest = severed(20, content)
        with refused(reason, where=where):
            crafted.accept(crafted.signed(key, manifest, extra={20: content}), key)
    text = cbor.encode(("en",))
    with refused(Reason.MALFORMED):
        crafted.accept(crafted.signed(key, severed(23, text), extra={23: text}), key)


@pytest.mark.parametrize("number", [7, 8, 9])
def test_a_member_that_may_not_be_severed_is_refused(number: int) -> None:
    assert ManifestKey(number) not in SEVERABLE
    with refused(Reason.MALFORMED):
        decode({number: (-16, bytes(32))})


@pytest.mark.parametrize("wrong", [(-16, bytes(31)), (-16,), ("-16", bytes(32)), (2, bytes(32))])
def test_a_severed_member_with_a_digest_of_another_shape_is_refused(wrong: cbor.Value) -> None:
    with pytest.raises(Refused) as caught:
        decode({20: wrong})
    assert caught.value.reason in (Reason.MALFORMED, Reason.UNSUPPORTED_ALGORITHM)


@pytest.mark.parametrize("number", [7, 8, 9, 24, 5, 99, 0, -1])
def test_an_envelope_member_that_no_draft_severs_is_refused(key: SoftKey, number: int) -> None:
    data = crafted.signed(key, cbor.encode(body()), extra={number: sequence(3, 15)})
    with refused(Reason.UNSUPPORTED):
        crafted.accept(data, key)


def test_a_delegation_chain_is_refused_as_unsupported_by_name(key: SoftKey) -> None:
    for number in EnvelopeKey:
        assert number is EnvelopeKey.DELEGATION or int(number) in (2, 3, *SEVERABLE)
    with refused(Reason.UNSUPPORTED):
        envelopes.decode(crafted.signed(key, cbor.encode(body()), extra={1: b""}))


def test_an_integrated_payload_that_a_command_names_is_kept(key: SoftKey) -> None:
    manifest = cbor.encode(body({20: sequence(*FETCH)}))
    data = crafted.signed(key, manifest, extra={"#image": IMAGE})
    answer = crafted.accept(data, key)
    assert answer.integrated == {"#image": IMAGE}
    assert envelopes.decode(data).encode() == data


def test_an_integrated_payload_named_inside_a_branch_or_a_severed_member_is_kept(
    key: SoftKey,
) -> None:
    branch = sequence(15, (sequence(3, 15), sequence(32, sequence(*FETCH))))
    for manifest, extra in (
        (cbor.encode(body({20: branch})), {"#image": IMAGE}),
        (severed(20, branch), {"#image": IMAGE, 20: branch}),
    ):
        answer = crafted.accept(crafted.signed(key, manifest, extra=extra), key)
        assert answer.integrated == {"#image": IMAGE}


@pytest.mark.parametrize("uri", ["", "#Image", "image", "#image ", "#other"])
def test_an_integrated_payload_that_no_command_names_is_refused(key: SoftKey, uri: str) -> None:
    manifest = cbor.encode(body({20: sequence(*FETCH)}))
    with refused(Reason.MALFORMED):
        crafted.accept(crafted.signed(key, manifest, extra={uri: b"stowaway"}), key)
    severed_away = severed(20, sequence(*FETCH))
    with refused(Reason.MALFORMED):
        crafted.accept(crafted.signed(key, severed_away, extra={"#image": IMAGE}), key)


@pytest.mark.parametrize(
    "value",
    [
        pytest.param({}, id="empty"),
        pytest.param((), id="array"),
        pytest.param({2: b"\x80", 3: b""}, id="empty wrapper"),
        pytest.param({2: b"\xa0", 3: b""}, id="wrapper is a map"),
        pytest.param({2: b"", 3: b""}, id="wrapper is nothing"),
        pytest.param({3: b""}, id="no wrapper"),
        pytest.param({2: cbor.encode((DIGEST,))}, id="no manifest"),
        pytest.param({2: cbor.encode((DIGEST, 1)), 3: b""}, id="block is a number"),
        pytest.param({2: cbor.encode(((-16, bytes(32)),)), 3: b""}, id="digest not wrapped"),
        pytest.param({2: (DIGEST,), 3: b""}, id="wrapper not wrapped"),
        pytest.param({2: cbor.encode((DIGEST,)), 3: {1: 1}}, id="manifest not wrapped"),
        pytest.param({2: cbor.encode((DIGEST,)), 3: b"", "#a": "text"}, id="payload is text"),
        pytest.param({2: cbor.encode((DIGEST,)), 3: b"", b"#a": b""}, id="key is bytes"),
        pytest.param({2: cbor.encode((DIGEST,)), 3: b"", (1,): b""}, id="key is an array"),
    ],
)
def test_an_envelope_of_another_shape_is_refused_as_malformed(value: cbor.Value) -> None:
    with refused(Reason.MALFORMED):
        envelopes.decode(cbor.encode(cbor2.CBORTag(107, value)))


def test_an_envelope_without_its_tag_or_under_another_is_refused(key: SoftKey) -> None:
    data = workshop.envelope(key)
    assert data[:2] == b"\xd8\x6b"
    for wrong in (
        data[2:],
        b"\xd8\x6c" + data[2:],
        b"\xd9\x04\x2e" + data[2:],
        b"\xd8\x6b" + data,
        b"\xd9\xd9\xf7" + data,
        cbor.wrapped(data),
    ):
        with refused(Reason.MALFORMED):
            envelopes.decode(wrong)


def test_a_manifest_before_its_authentication_is_refused(key: SoftKey) -> None:
    data = workshop.envelope(key)
    body = cbor2.loads(data).value
    swapped = b"\xd8\x6b\xa2\x03" + cbor.wrapped(body[3]) + b"\x02" + cbor.wrapped(body[2])
    assert len(swapped) == len(data)
    with refused(Reason.NOT_DETERMINISTIC):
        envelopes.decode(swapped)


def test_an_envelope_past_the_size_limit_is_refused() -> None:
    with refused(Reason.LIMIT_EXCEEDED):
        envelopes.decode(bytes(envelopes.DEFAULT.envelope_bytes + 1))


def test_a_key_that_would_write_on_the_readers_terminal_is_quoted() -> None:
    made = cbor2.CBORTag(107, {"\x1b[2J\n": 1})
    with pytest.raises(Refused) as caught:
        envelopes.decode(cbor.encode(made))
    assert caught.value.where.isprintable()
    assert caught.value.message.isprintable()


def whole() -> manifests.Manifest:
    text = cbor.encode({"en": {1: "an update"}})
    return decode({16: sequence(*FETCH), 20: sequence(*FETCH), 23: text})


def test_what_may_not_be_severed_or_is_not_there_is_misuse() -> None:
    left, members = severing.severed(whole(), [ManifestKey.INSTALL, ManifestKey.TEXT])
    assert set(members) == {ManifestKey.INSTALL, ManifestKey.TEXT}
    assert set(left.severed()) == set(members)
    for manifest, key in (
        (whole(), ManifestKey.VALIDATE),
        (whole(), ManifestKey.COMMON),
        (whole(), ManifestKey.DEPENDENCY_RESOLUTION),
        (decode(), ManifestKey.TEXT),
        (left, ManifestKey.INSTALL),
        (left, ManifestKey.TEXT),
    ):
        with misuse():
            severing.severed(manifest, [key])


def test_a_member_is_taken_out_and_put_back_and_the_signature_stays(key: SoftKey) -> None:
    left, members = severing.severed(whole(), [ManifestKey.INSTALL, ManifestKey.TEXT])
    extra = {int(name): content for name, content in members.items()}
    data = crafted.signed(key, left.encode(), extra={**extra, "#image": IMAGE})
    sealed = envelopes.decode(data)
    thin = severing.without(sealed, ManifestKey.TEXT)
    assert set(thin.severed) == {ManifestKey.INSTALL}
    assert crafted.accept(thin.encode(), key).manifest.text == left.text
    again = severing.with_member(thin, ManifestKey.TEXT, members[ManifestKey.TEXT])
    assert again.encode() == data
    with misuse():
        severing.without(thin, ManifestKey.TEXT)
    with refused(Reason.SEVERED_MISMATCH):
        severing.with_member(thin, ManifestKey.TEXT, members[ManifestKey.INSTALL])
    with refused(Reason.MALFORMED, where="payload-fetch"):
        severing.with_member(thin, ManifestKey.PAYLOAD_FETCH, members[ManifestKey.INSTALL])


def test_an_integrated_payload_that_set_parameters_or_a_shared_sequence_names_is_kept(
    key: SoftKey,
) -> None:
    shared = crafted.common(shared=sequence(20, {21: "#image"}))
    for changes in ({20: sequence(19, {21: "#image"}, 21, 2)}, {3: shared, 20: sequence(21, 2)}):
        data = crafted.signed(key, cbor.encode(body(changes)), extra={"#image": IMAGE})
        assert crafted.accept(data, key).integrated == {"#image": IMAGE}


def test_a_profile_may_lower_every_limit_of_an_envelope(key: SoftKey) -> None:
    data = workshop.envelope(key)
    anchors = (workshop.anchor(key),)
    for lower in ({"envelope_bytes": len(data) - 1}, {"blocks": 0}, {"manifest_bytes": 100}):
        with refused(Reason.LIMIT_EXCEEDED):
            envelopes.decode(data, limits=Limits(**lower))
    small = Limits(commands=1)
    with refused(Reason.LIMIT_EXCEEDED):
        authenticate(envelopes.decode(data), anchors=anchors, limits=small)
    content = sequence(*FETCH)
    split = crafted.signed(key, severed(20, content), extra={20: content})
    authenticate(envelopes.decode(split), anchors=anchors)
    with refused(Reason.LIMIT_EXCEEDED):
        authenticate(envelopes.decode(split), anchors=anchors, limits=small)
