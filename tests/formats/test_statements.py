"""Statements, releases, tables and reasons: what other programs read is read strictly by us."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from securesystemslib.dsse import Envelope
from securesystemslib.exceptions import VerificationError
from securesystemslib.signer import SSlibKey

import workshop
from formats.refusals import misuse, reason_of, refused
from fwseal.base import statements
from fwseal.base.digest import Digest, DigestAlgorithm, sha256_hex
from fwseal.base.errors import FwsealError, Misuse, Refused, Unavailable
from fwseal.base.ids import plain_name
from fwseal.base.ports import NotThere
from fwseal.base.reasons import REASONS, Reason
from fwseal.base.release import Payload, PayloadFormat, Release, State
from fwseal.base.tables import Table
from fwseal.signing.sign import sign_statement

if TYPE_CHECKING:
    from collections.abc import Callable

PAYLOAD = statements.statement(
    subjects=(statements.Subject(name="app.bin", sha256="ab" * 32),),
    predicate_type="https://example.com/reviewed/v1",
    predicate={"reviewer": "Zoë", "b": 1, "a": [True, None]},
)


def trusted(key: workshop.SoftKey, keyid: str) -> SSlibKey:
    public = {"public": key.public().pem.decode()}
    return SSlibKey(keyid, "ecdsa", "ecdsa-sha2-nistp256", public)


def test_securesystemslib_verifies_a_statement_we_signed() -> None:
    key = workshop.signer("approver")
    envelope = Envelope.from_dict(json.loads(sign_statement(PAYLOAD, key)))
    assert envelope.payload == PAYLOAD
    assert envelope.payload_type == statements.PAYLOAD_TYPE
    assert envelope.pae() == statements.pae(PAYLOAD)
    accepted = envelope.verify([trusted(key, "approver")], 1)
    assert list(accepted) == ["approver"]
    with pytest.raises(VerificationError):
        envelope.verify([trusted(workshop.signer(), "approver")], 1)


def test_securesystemslib_refuses_a_statement_with_another_payload() -> None:
    key = workshop.signer("approver")
    body = json.loads(sign_statement(PAYLOAD, key))
    body["payload"] = base64.b64encode(PAYLOAD.replace(b"app.bin", b"ape.bin")).decode()
    with pytest.raises(VerificationError):
        Envelope.from_dict(body).verify([trusted(key, "approver")], 1)


def test_a_statement_is_one_line_of_sorted_utf8() -> None:
    body = json.loads(PAYLOAD)
    assert body["_type"] == "https://in-toto.io/Statement/v1"
    assert body["subject"] == [{"name": "app.bin", "digest": {"sha256": "ab" * 32}}]
    assert "Zoë".encode() in PAYLOAD
    again = json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert again.encode() == PAYLOAD


def test_an_envelope_is_opened_to_the_bytes_that_were_signed() -> None:
    key = workshop.signer("approver")
    payload, ((keyid, signature),) = statements.opened(sign_statement(PAYLOAD, key))
    assert (payload, keyid) == (PAYLOAD, "approver")
    key.public().verify_der(signature, statements.pae(payload), algorithm=key.algorithm)


GOOD = {
    "payload": "e30=",
    "payloadType": statements.PAYLOAD_TYPE,
    "signatures": [{"keyid": "a", "sig": "AA=="}],
}


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"\xff\xfe", id="not text"),
        pytest.param(b"[]", id="a list"),
        pytest.param(b'"text"', id="text"),
        pytest.param(b"{}", id="empty"),
        pytest.param(b"[" * 100_000, id="a hundred thousand brackets"),
        pytest.param(b'{"a":' * 100_000, id="a hundred thousand braces"),
        pytest.param(b'{"payloadType":' + b"9" * 10_000 + b"}", id="a number of 10000 digits"),
        pytest.param(json.dumps({**GOOD, "payload": "e30"}).encode(), id="base64 cut short"),
        pytest.param(json.dumps({**GOOD, "payload": "e3 0="}).encode(), id="base64 with a space"),
        pytest.param(json.dumps({**GOOD, "payload": "é"}).encode(), id="base64 not ASCII"),
        pytest.param(json.dumps({**GOOD, "payload": None}).encode(), id="payload null"),
        pytest.param(json.dumps({**GOOD, "signatures": 1}).encode(), id="signatures a number"),
        pytest.param(json.dumps({**GOOD, "signatures": ["sig"]}).encode(), id="signature as text"),
        pytest.param(json.dumps({**GOOD, "signatures": [{"sig": "AA=="}]}).encode(), id="no keyid"),
        pytest.param(
            json.dumps({**GOOD, "signatures": [{"keyid": 7, "sig": "AA=="}]}).encode(),
            id="keyid a number",
        ),
    ],
)
def test_what_is_no_dsse_envelope_is_refused_as_malformed(data: bytes) -> None:
    with refused(Reason.MALFORMED):
        statements.opened(data)


def test_an_envelope_around_another_type_of_payload_is_refused_as_unsupported() -> None:
    with refused(Reason.UNSUPPORTED):
        statements.opened(json.dumps({**GOOD, "payloadType": "text/plain"}).encode())


@settings(max_examples=200, deadline=None)
@given(
    st.binary(max_size=60)
    | st.fixed_dictionaries(
        {}, optional={name: st.none() | st.text() | st.lists(st.text()) for name in GOOD}
    ).map(lambda body: json.dumps({**GOOD, **body}).encode())
)
def test_arbitrary_bytes_are_a_dsse_envelope_or_refused(data: bytes) -> None:
    assert reason_of(lambda: statements.opened(data)) in (
        None,
        Reason.MALFORMED,
        Reason.UNSUPPORTED,
    )


# release.json


def release() -> Release:
    payload = Payload(
        uri="2/app.bin",
        file="app.bin",
        component="00/0a",
        format=PayloadFormat.MCUBOOT,
        unsigned_sha256="ab" * 32,
        size=12,
    )
    return Release(
        name="demo",
        line="plc",
        version="1.0.0",
        sequence_number=2,
        state=State.IMAGES_SIGNED,
        recipe_sha256="cd" * 32,
        vendor_id=str(workshop.VENDOR),
        class_id=str(workshop.CLASS),
        payloads=(payload,),
    )


def test_a_release_is_read_back_as_it_was_written() -> None:
    data = release().to_json()
    assert Release.from_json(data, where="release.json") == release()
    assert next(iter(json.loads(data))) == "schema_version"


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("schema_version",), 2),
        (("schema_version",), None),
        (("state",), "shipped"),
        (("sequence_number",), "2"),
        (("sequence_number",), True),
        (("sequence_number",), -1),
        (("sequence_number",), 2**64),
        (("name",), 7),
        (("version",), None),
        (("vendor_id",), "acme"),
        (("vendor_id",), 5),
        (("class_id",), ""),
        (("extra",), 1),
        (("payloads",), {}),
        (("payloads",), None),
        (("payloads", 0), "app.bin"),
        (("payloads", 0, "format"), "elf"),
        (("payloads", 0, "file"), "../../escape"),
        (("payloads", 0, "file"), "/etc/passwd"),
        (("payloads", 0, "file"), ".."),
        (("payloads", 0, "file"), ""),
        (("payloads", 0, "file"), None),
        (("payloads", 0, "component"), "zz"),
        (("payloads", 0, "component"), 0),
        (("payloads", 0, "size"), "12"),
        (("payloads", 0, "size"), 1.5),
        (("payloads", 0, "uri"), ["2/app.bin"]),
        (("payloads", 0, "extra"), 1),
    ],
)
def test_a_release_json_from_elsewhere_is_read_strictly(
    path: tuple[str | int, ...], value: object
) -> None:
    body: Any = json.loads(release().to_json())
    place = body
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    with misuse():
        Release.from_json(json.dumps(body).encode(), where="release.json")


@pytest.mark.parametrize("data", [b"", b"\xff", b"[]", b"1", b"{}", b"[" * 100_000])
def test_what_is_no_release_json_is_misuse(data: bytes) -> None:
    with misuse():
        Release.from_json(data, where="release.json")


# Tables


def test_a_table_is_taken_key_by_key_and_a_key_left_over_is_misuse() -> None:
    text = 'name = "x"\nn = 7\nraw = "0aff"\nl = ["a", "b"]\n[t]\nflag = true\n[[many]]\nk = 1\n'
    table = Table.parse(text, where="file.toml")
    assert table.has("name")
    with misuse():
        table.done()
    assert table.take("name", str) == "x"
    assert not table.has("name")
    assert table.take("name", str, "default") == "default"
    assert (table.uint("n"), table.uint("absent", 9)) == (7, 9)
    assert table.hex("raw") == b"\x0a\xff"
    assert table.strings("l") == ("a", "b")
    assert table.strings("absent", ("c",)) == ("c",)
    inner = table.table("t")
    assert inner.items_left() == ("flag",)
    assert inner.take("flag", bool) is True
    (one,) = table.tables("many")
    assert one.one_of("k2", ("v",), "v") == "v"
    assert one.uint("k") == 1
    assert table.table("absent", optional=True).items_left() == ()
    assert table.tables("absent", optional=True) == ()
    for part in (one, inner, table):
        part.done()


@pytest.mark.parametrize(
    "call",
    [
        lambda table: table.take("absent", str),
        lambda table: table.take("flag", int),
        lambda table: table.take("n", bool),
        lambda table: table.take("n", str),
        lambda table: table.uint("minus"),
        lambda table: table.uint("flag"),
        lambda table: table.uint("absent", 2**64),
        lambda table: table.one_of("name", ("y", "z")),
        lambda table: table.strings("l"),
        lambda table: table.strings("absent"),
        lambda table: table.hex("name"),
        lambda table: table.table("n"),
        lambda table: table.table("absent"),
        lambda table: table.tables("l"),
        lambda table: table.tables("absent"),
    ],
)
def test_a_key_of_another_type_is_misuse(call: Callable[[Table], object]) -> None:
    content = {"name": "x", "n": 7, "flag": True, "minus": -1, "l": ["a", 1]}
    with misuse():
        call(Table(content, where="file.toml"))


@pytest.mark.parametrize("text", ["a =", "a = 1\na = 2", "\0", "a = " + "[" * 100_000])
def test_what_is_not_toml_is_misuse(text: str) -> None:
    with misuse():
        Table.parse(text, where="file.toml")


# Small things that everything stands on


@pytest.mark.parametrize("name", ["a", "0", "Release-2026_a.bin", "a" * 64])
def test_a_plain_name_is_answered_unchanged(name: str) -> None:
    assert plain_name(name, what="name") == name


@pytest.mark.parametrize(
    "name", ["", ".", "..", "-a", "_a", "a/b", "a b", "a\n", "a\0", "é", "a" * 65, "../a", "a\\b"]
)
def test_a_name_that_could_leave_its_folder_or_its_line_is_misuse(name: str) -> None:
    with misuse():
        plain_name(name, what="name")


def test_every_reason_is_documented_and_every_slug_is_its_own() -> None:
    assert set(REASONS) == set(Reason)
    assert all(entry.when and entry.fault and entry.remedy for entry in REASONS.values())
    assert all(reason.value == reason.name.lower().replace("_", "-") for reason in Reason)


def test_a_refusal_is_placed_from_the_inside_out() -> None:
    inner = Refused(Reason.MALFORMED, "wrong", where="[2]")
    assert inner.at("install").at("manifest").where == "manifest/install[2]"
    assert Refused(Reason.MALFORMED, "wrong").at("install").where == "install"
    assert inner.at("install").reason is Reason.MALFORMED


def test_what_is_not_there_is_neither_refused_nor_unavailable() -> None:
    # A driver that cannot find a payload says so; only the device decides what that means.
    assert not issubclass(NotThere, FwsealError)
    assert {kind.__base__ for kind in (Refused, Unavailable, Misuse)} == {FwsealError}


@pytest.mark.parametrize("algorithm", list(DigestAlgorithm))
def test_digests_fit_only_the_same_bytes_under_the_same_algorithm(
    algorithm: DigestAlgorithm,
) -> None:
    digest = Digest.of(b"abc", algorithm)
    assert len(digest.value) == algorithm.size
    assert digest.fits(Digest.of(b"abc", algorithm))
    assert not digest.fits(Digest.of(b"abd", algorithm))
    others = [one for one in DigestAlgorithm if one is not algorithm]
    assert others
    assert not any(digest.fits(Digest(algorithm=one, value=digest.value)) for one in others)


def test_the_digest_of_abc_is_the_one_fips_180_prints() -> None:
    expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert sha256_hex(b"abc") == expected == Digest.of(b"abc").hex()
