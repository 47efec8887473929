"""Text is read as strictly as all the rest, and never changes what a device does."""

from __future__ import annotations

import pytest

import workshop
from formats import crafted
from formats.crafted import body, common, told
from formats.refusals import refused
from fwseal.base import cbor
from fwseal.base.digest import Digest
from fwseal.base.reasons import Reason
from fwseal.suit import manifest as manifests
from fwseal.suit.labels import TextComponentKey, TextKey
from fwseal.suit.limits import Limits
from fwseal.suit.text import Localized, Text, decode_text

FULL: dict[cbor.Key, cbor.Value] = {
    "de-AT": {1: "Eine Beschreibung"},
    "en": {
        **{int(key): f"about {key.name}" for key in TextKey},
        (b"\0",): {int(key): f"of {key.name}" for key in TextComponentKey},
        (b"\0", b"long name of a part"): {},
        (): {1: ""},
    },
}


def test_text_is_typed_by_language_and_component_and_written_back() -> None:
    data = cbor.encode(FULL)
    text = decode_text(data)
    assert text.languages["de-AT"] == Localized(manifest={TextKey(1): "Eine Beschreibung"})
    english = text.languages["en"]
    assert english.manifest[TextKey.UPDATE_DESCRIPTION] == "about UPDATE_DESCRIPTION"
    assert english.components[(b"\0",)][TextComponentKey.VERSION_REQUIRED] == "of VERSION_REQUIRED"
    assert text.components == {(b"\0",), (b"\0", b"long name of a part"), ()}
    assert text.encode() == data
    assert Text(languages=text.languages) == text


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ({}, Reason.MALFORMED),
        ((), Reason.MALFORMED),
        ("text", Reason.MALFORMED),
        ({1: {1: "x"}}, Reason.MALFORMED),
        ({b"en": {1: "x"}}, Reason.MALFORMED),
        ({"": {1: "x"}}, Reason.MALFORMED),
        ({"en_US": {1: "x"}}, Reason.MALFORMED),
        ({"en-": {1: "x"}}, Reason.MALFORMED),
        ({"-en": {1: "x"}}, Reason.MALFORMED),
        ({"en\n": {1: "x"}}, Reason.MALFORMED),
        ({"e1": {1: "x"}}, Reason.MALFORMED),
        ({"englishes": {1: "x"}}, Reason.MALFORMED),
        ({"en-ninechars": {1: "x"}}, Reason.MALFORMED),
        ({"en": ()}, Reason.MALFORMED),
        ({"en": "x"}, Reason.MALFORMED),
        ({"en": {1: b"x"}}, Reason.MALFORMED),
        ({"en": {1: None}}, Reason.MALFORMED),
        ({"en": {"1": "x"}}, Reason.MALFORMED),
        ({"en": {b"\0": {1: "x"}}}, Reason.MALFORMED),
        ({"en": {0: "x"}}, Reason.UNSUPPORTED),
        ({"en": {5: "x"}}, Reason.UNSUPPORTED),
        ({"en": {-256: "x"}}, Reason.UNSUPPORTED),
        ({"en": {("id",): {1: "x"}}}, Reason.MALFORMED),
        ({"en": {(1,): {1: "x"}}}, Reason.MALFORMED),
        ({"en": {(b"\0",): "x"}}, Reason.MALFORMED),
        ({"en": {(b"\0",): {1: 1}}}, Reason.MALFORMED),
        ({"en": {(b"\0",): {"1": "x"}}}, Reason.MALFORMED),
        ({"en": {(b"\0",): {9: "x"}}}, Reason.UNSUPPORTED),
        ({"en": {(b"\0",): {(b"\0",): "x"}}}, Reason.MALFORMED),
    ],
)
def test_text_of_another_shape_is_refused(value: cbor.Value, reason: Reason) -> None:
    with refused(reason):
        decode_text(cbor.encode(value))


def test_component_keys_are_in_bytewise_order_where_length_first_is_another() -> None:
    # 81 55 .. is longer than 82 41 .., and comes first all the same (RFC 8949 4.2.1).
    long, short = (bytes(21),), (b"\0", b"")
    data = cbor.encode({"en": {long: {1: "a"}, short: {1: "b"}}})
    assert data.index(b"\x81\x55") < data.index(b"\x82\x41")
    assert decode_text(data).encode() == data
    one, other = (
        cbor.encode(key) + cbor.encode({1: text}) for key, text in ((long, "a"), (short, "b"))
    )
    with refused(Reason.NOT_DETERMINISTIC):
        decode_text(b"\xa1" + cbor.encode("en") + b"\xa2" + other + one)


def test_text_past_a_limit_is_refused() -> None:
    data = cbor.encode(FULL)
    decode_text(data, limits=Limits(manifest_bytes=len(data)))
    with refused(Reason.LIMIT_EXCEEDED):
        decode_text(data, limits=Limits(manifest_bytes=len(data) - 1))


def test_a_manifest_holds_its_text_typed_or_the_digest_of_it() -> None:
    content = cbor.encode({"en": {1: "x", (b"\0",): {1: "y"}}})
    data = cbor.encode(body({23: content}))
    manifest = manifests.decode(data)
    assert isinstance(manifest.text, Text)
    assert manifest.encode() == data
    away = manifests.decode(cbor.encode(body({23: crafted.digest_of(content)})))
    assert isinstance(away.text, Digest)


def test_text_about_a_component_that_is_not_listed_is_refused() -> None:
    for name, reason in (
        ((b"\0",), None),
        ((b"app", b"\1"), None),
        ((b"app",), None),
        ((b"\1",), Reason.WRONG_COMPONENT),
        ((b"\0", b"\1"), Reason.WRONG_COMPONENT),
        ((), Reason.WRONG_COMPONENT),
    ):
        changes = {
            3: common(dependencies={7: {1: (b"app",)}, 0: {}}),
            7: crafted.sequence(12, 0, 3, 15),
            23: cbor.encode({"en": {name: {1: "x"}}}),
        }
        data = cbor.encode(body(changes))
        if reason is None:
            assert manifests.decode(data).encode() == data
        else:
            with refused(reason, where="text"):
                manifests.decode(data)


def test_what_the_text_says_changes_nothing_of_what_a_device_does() -> None:
    key = workshop.signer()
    profile = workshop.profile(workshop.anchor(key))
    done = []
    for said in ("run directive-abort", "version 9", "\x1b[2J", "' OR 1=1"):
        text = cbor.encode({"en": {1: said, (b"\0",): {7: said, 8: said}}})
        data = crafted.signed(key, cbor.encode(told(_23=text)), extra={"#image": crafted.IMAGE})
        evidence = crafted.offer(data, profile, desk := crafted.Desk())
        done.append((evidence.sequence_number, desk.changes))
    assert all(one == done[0] for one in done)
