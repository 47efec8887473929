"""Diagnostic notation: no byte is left out unsaid, and no word of the sender's is a command."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import cbor2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from formats.refusals import refused
from fwseal.base import cbor
from fwseal.base.errors import Refused
from fwseal.base.reasons import Reason
from fwseal.suit import contexts, diagnostic, labels

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

UUID = bytes.fromhex("fa6b4a53d5ad5fdfbe9de663e4d41ffe")
DIGEST = cbor.encode((-16, bytes(range(32))))


def sealed(manifest: Mapping[int, cbor.Value], **integrated: bytes) -> bytes:
    """Answer an envelope, unsigned, around a manifest."""
    body: dict[cbor.Key, cbor.Value] = {
        2: cbor.encode((DIGEST, cbor.encode(cbor2.CBORTag(18, (b"\xa1\x01\x28", {}, None, b"s"))))),
        3: cbor.encode(dict(manifest)),
    }
    body.update({f"#{name}": content for name, content in integrated.items()})
    return cbor.encode(cbor2.CBORTag(107, body))


def accounted(data: bytes, *, elide: int | None = diagnostic.ELIDE) -> str:
    """Check from the printed lines alone that they account for the file; answer the notation."""
    shown = diagnostic.diagnostic(data, elide=elide).split("\n")
    made = diagnostic.lines(data, elide=elide)
    assert [str(line) for line in made] == shown
    at = 0
    for line, text in zip(made, shown, strict=True):
        assert int(text[:6], 16) == line.offset == at
        column = text[8:24].strip()
        if line.left_out:
            gone = data[at : at + line.left_out]
            assert column == "." * 16
            assert f"{len(gone)} bytes" in text
            assert hashlib.sha256(gone).hexdigest() in text
            at += line.left_out
        else:
            assert bytes.fromhex(column) == data[at : at + len(line.data)]
            at += len(line.data)
        assert text.isascii()
        assert text.isprintable()
    assert at == len(data)
    return "\n".join(line.text for line in made)


def test_the_lines_of_every_vector_put_together_are_the_file(vectors: Path) -> None:
    files = sorted(vectors.glob("**/*.suit"))
    assert files
    read = 0
    for path in files:
        data = path.read_bytes()
        try:
            cbor.decode(data, tags=frozenset({107}), limits=cbor.Limits(bytes=1 << 24))
        except Refused:
            continue
        accounted(data)
        accounted(data, elide=None)
        accounted(data, elide=16)
        read += 1
    assert read > 10


def test_every_layer_of_an_envelope_is_opened_and_named() -> None:
    common = cbor.encode({
        1: {1: {1: (b"dep",)}},
        2: ((b"\x00",), (b"a/b",)),
        4: cbor.encode((20, {1: UUID, 3: DIGEST, 14: 5}, 1, 15)),
    })  # fmt: skip
    branch = cbor.encode((12, True, 32, cbor.encode((3, 15))))
    manifest = {1: 1, 3: common, 7: cbor.encode((15, (branch, None))), 20: (-16, bytes(32))}
    text = accounted(sealed(manifest))
    for words in (
        "/ authentication-wrapper / 2: <<", "/ digest / <<", "/ algorithm-id / -16 / sha256 /",
        "/ alg / 1: -9 / ESP256 /", "/ signature / h'73'", "/ manifest / 3: <<",
        "/ common / 3: <<", "/ prefix / 1: [", "h'646570' / dep /", "h'612f62'\n",
        "/ shared-sequence / 4: <<", "/ directive-override-parameters / 20, {",
        "be9de663e4d41ffe' / fa6b4a53-d5ad-5fdf-be9d-e663e4d41ffe /", "/ image-size / 14: 5",
        "/ condition-vendor-identifier / 1, 15", "/ directive-try-each / 15, [",
        "/ directive-set-component-index / 12, true", "/ directive-run-sequence / 32, <<",
        "null", "/ install / 20: [", "/ payload / null",
    ):  # fmt: skip
        assert words in text, words


def test_text_and_encryption_info_and_an_integrated_dependency_are_opened() -> None:
    text = cbor.encode({"en": {1: "a", (b"\x00",): {1: "acme"}}})
    recipient = (b"", {1: -3, 4: b"kid-1"}, bytes(24))
    key = {-1: {1: 2, -1: 1, -2: bytes(32)}}
    other = (cbor.encode({1: -29}), key, bytes(24))
    info = cbor.encode(
        cbor2.CBORTag(96, (b"\xa1\x01\x01", {5: bytes(12)}, None, (recipient, other)))
    )
    manifest = {20: cbor.encode((20, {19: info}, 21, 2)), 23: text}
    shown = accounted(sealed(manifest, dep=sealed({1: 1}), raw=b"\xd8\x6bno"))
    for words in (
        '"en": {', "/ manifest-description / 1: \"a\"", "[h'00']: {", '/ vendor-name / 1: "acme"',
        "/ encryption-info / 19: <<", "/ alg / 1: 1 / A128GCM /", "/ alg / 1: -3 / A128KW /",
        "/ kid / 4: h'6b69642d31' / kid-1 /", "-29 / ECDH-ES+A128KW /", "/ ephemeral-key / -1: {",
        '"#dep": <<', "\"#raw\": h'd86b6e6f'", "/ protected / h''",
    ):  # fmt: skip
        assert words in shown, words


def test_what_no_draft_names_is_shown_and_not_refused() -> None:
    manifest = {99: (1, False), -700: {"x": cbor2.CBORTag(4711, b"\x01")}, 7: b"\xff", 8: b""}
    manifest |= {9: cbor.encode((-300, None, 4000, 3, 12))}
    shown = accounted(sealed(manifest))
    for words in ("99: [", "4711(", "-700: {", "/ validate / 7: h'ff'", "/ load / 8: h''",
                  "-300, null", "4000, 3", "false"):  # fmt: skip
        assert words in shown, words
    assert "12\n" in shown
    for data in (b"\x00", b"\x80", b"\xa0", b"\xd9\x04\x2e\xa0", cbor.encode({(b"a", 1): "b"})):
        accounted(data)


@pytest.mark.parametrize(
    "text", ["\x1b[2J", "\r\n", '"', "\\", "\x7f\x9b", "\u202e", "/ ) /", "\U0001f525"]
)
def test_no_text_of_the_sender_reaches_the_terminal_or_ends_a_comment(text: str) -> None:
    data = sealed({4: text, 5: (text.encode(),), 23: cbor.encode({text: {1: text}})})
    shown = accounted(data, elide=None)
    for line in shown.split("\n"):
        assert line.isprintable()
    assert "/ / ) / /" not in shown


def test_a_long_payload_is_named_by_offset_length_and_digest() -> None:
    payload = bytes(reversed(range(256))) * 5
    data = sealed({1: 1}, app=payload)
    shown = diagnostic.diagnostic(data)
    assert hashlib.sha256(payload).hexdigest() in shown
    assert f"{data.index(payload):06x}  " + "." * 16 in shown
    assert payload[:8].hex() not in shown
    assert payload[:8].hex() in diagnostic.diagnostic(data, elide=None)
    accounted(data)
    accounted(data, elide=None)
    exact = sealed({1: 1}, app=bytes(diagnostic.ELIDE))
    assert "left out" not in diagnostic.diagnostic(exact)


def test_a_thousand_byte_strings_inside_each_other_do_not_exhaust_the_stack() -> None:
    sequence = cbor.encode((3, 15))
    for _ in range(1000):
        sequence = cbor.encode((32, sequence))
    shown = accounted(sealed({7: sequence}), elide=None)
    assert shown.count("directive-run-sequence") == diagnostic.MAX_LAYERS - 1


def test_bytes_that_are_not_cbor_are_refused_with_the_offset() -> None:
    with refused(Reason.MALFORMED, where="1"):
        diagnostic.lines(b"\x81")
    with refused(Reason.NOT_DETERMINISTIC, where="0"):
        diagnostic.lines(b"\x9f\xff")
    with refused(Reason.LIMIT_EXCEEDED):
        diagnostic.lines(b"\x81" * 100 + b"\x00")


items = st.recursive(
    st.integers(-(2**64), 2**64 - 1) | st.text() | st.binary(max_size=40) | st.booleans(),
    lambda inner: (
        st.lists(inner, max_size=5).map(tuple)
        | st.dictionaries(st.integers(-40, 40) | st.text(max_size=5), inner, max_size=5)
        | inner.map(cbor.encode)
        | st.builds(cbor2.CBORTag, st.sampled_from([16, 17, 18, 96, 97, 98, 107, 1070]), inner)
    ),
    max_leaves=15,
)


@settings(max_examples=200, deadline=None)
@given(items, st.sampled_from([None, 0, 16]))
def test_whatever_stands_where_another_thing_should_every_byte_is_accounted_for(
    value: cbor.Value, elide: int | None
) -> None:
    body = {2: value, 3: cbor.encode(dict.fromkeys((1, 3, 5, 7, 20, 23), value))}
    accounted(cbor.encode(cbor2.CBORTag(107, body)), elide=elide)


def test_every_context_that_is_named_is_there() -> None:
    named = {contexts.ROOT}
    for context in contexts.CONTEXTS.values():
        named |= {context.rest, context.named, context.keyed, context.each[1]}
        named |= {name for _title, name in (*context.items, *context.labels.values())}
        named |= {*context.tags.values(), *filter(None, [context.content])}
    assert named == set(contexts.CONTEXTS)


def test_every_label_has_its_name() -> None:
    for kind, name in (
        (labels.EnvelopeKey, "envelope"),
        (labels.ManifestKey, "manifest"),
        (labels.Command, "sequence"),
        (labels.Parameter, "parameters"),
    ):
        found = contexts.CONTEXTS[name].labels
        assert {number: title for number, (title, _) in found.items()} == {
            int(label): labels.spelled(label) for label in kind
        }
