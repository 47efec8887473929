"""What an author says comes out as bytes, and comes back as words."""

from __future__ import annotations

import dataclasses
import hashlib
import uuid
from typing import TYPE_CHECKING

import cbor2
import pytest

import workshop
from formats import crafted
from formats.crafted import DIGEST, IMAGE, UUID5, body, common, sequence
from formats.refusals import misuse
from fwseal.base import cbor
from fwseal.base.reasons import Reason
from fwseal.base.release import Payload, PayloadFormat, Release, State
from fwseal.base.tables import Table
from fwseal.suit import author
from fwseal.suit import envelope as envelopes
from fwseal.suit import manifest as manifests
from fwseal.suit.explain import explain
from fwseal.suit.labels import (
    Parameter,
)
from fwseal.suit.sequence import (
    Override,
    TryEach,
    decode_sequence,
)

if TYPE_CHECKING:
    from fwseal.signing.softkey import SoftKey


@pytest.fixture(scope="module")
def key() -> SoftKey:
    return workshop.signer()


def test_explain_names_every_part_of_an_envelope(key: SoftKey) -> None:
    steps = sequence(
        12, True, 12, (0, 1), 20, {1: cbor2.CBORTag(112, b"\1"), 2: UUID5, 12: True, 18: b"\xaa"},
        15, (sequence(3, 15), None), 32, sequence(14, 0), 20, {3: DIGEST, 14: 9, 21: "#image"},
    )  # fmt: skip
    ids = common(components=((b"\0",), (b"\1", b"\2")))
    manifest = cbor.encode({
        1: 1, 2: 5, 3: ids, 4: "https://example.com", 7: sequence(12, 0, 3, 15), 8: steps,
        16: crafted.digest_of(b"away"), 20: crafted.digest_of(steps), 23: crafted.digest_of(b""),
    })  # fmt: skip
    data = crafted.signed(key, manifest, extra={20: steps, "#image": IMAGE})
    text = explain(envelopes.decode(data))
    for part in (
        "COSE_Sign1 ESP256, kid 'release'",
        "sequence number  5",
        "component 1      01/02",
        "reference uri    'https://example.com'",
        "load:",
        "directive-set-component-index all",
        "directive-set-component-index (0, 1)",
        str(workshop.VENDOR),
        "content = aa",
        "try 1:",
        "condition-abort",
        "payload-fetch: severed, not here",
        "install: severed, attached",
        "text: severed, not here",
        "integrated payload '#image': 8 bytes",
    ):
        assert part in text
    text_there = cbor.encode(body({23: cbor.encode({"en": {}})}))
    unsigned = explain(envelopes.decode(crafted.envelope(text_there)))
    assert "text: 5 bytes" in unsigned
    assert "signature        none" in unsigned


def test_explain_says_what_is_wrong_with_a_block_and_shows_the_rest(key: SoftKey) -> None:
    manifest = cbor.encode(body())
    good = crafted.covered(manifest)
    nameless = crafted.block(key, good, unprotected={})
    data = crafted.envelope(manifest, crafted.block(key, good, tag=98), nameless, b"\xff")
    text = explain(envelopes.decode(data))
    assert f"signature        {Reason.UNSUPPORTED.value}: " in text
    assert f"signature        {Reason.MALFORMED.value}: " in text
    assert "COSE_Sign1 ESP256, kid none" in text


def test_explain_quotes_text_that_would_write_on_the_readers_terminal(key: SoftKey) -> None:
    evil = "\x1b[2Jtrusted\nsignature        verified"
    sequences = {4: evil, 20: sequence(20, {21: evil}, 21, 2)}
    manifest = cbor.encode(body(sequences))
    made = crafted.block(key, crafted.covered(manifest), unprotected={4: evil.encode()})
    text = explain(envelopes.decode(crafted.envelope(manifest, made, extra={evil: IMAGE})))
    assert len([line for line in text.splitlines() if line.startswith("signature ")]) == 1
    assert all(line.isprintable() for line in text.splitlines())


SPEC = author.Spec(template="single-image", reference_uri=None)


def release(**changes: object) -> Release:
    payload = Payload(
        uri="2/app.bin",
        file="app.bin",
        component="00/0a",
        format=PayloadFormat.RAW,
        unsigned_sha256=hashlib.sha256(IMAGE).hexdigest(),
    )
    made = Release(
        name="demo",
        line="plc",
        version="1.0.0",
        sequence_number=2,
        state=State.BUILT,
        recipe_sha256="00" * 32,
        vendor_id=str(workshop.VENDOR),
        class_id=str(workshop.CLASS),
        payloads=(payload,),
    )
    return dataclasses.replace(made, **changes)  # type: ignore[arg-type]


def test_a_manifest_made_from_a_release_names_its_payload() -> None:
    done, data = author.finalized(release(), SPEC, {"app.bin": IMAGE})
    manifest = manifests.decode(data)
    assert manifest.encode() == data
    assert manifest.components == ((b"\0", b"\x0a"),)
    first = manifest.shared_sequence[0]
    assert isinstance(first, Override)
    assert first.parameters[Parameter.IMAGE_SIZE] == len(IMAGE)
    assert first.parameters[Parameter.VENDOR_IDENTIFIER] == uuid.UUID(done.vendor_id).bytes
    (payload,) = done.payloads
    assert payload.sha512 == hashlib.sha512(IMAGE).hexdigest()
    assert first.parameters[Parameter.IMAGE_DIGEST].hex() == payload.sha256  # type: ignore[union-attr]


def test_a_reference_uri_stands_in_the_manifest() -> None:
    spec = author.Spec(template="single-image", reference_uri="https://example.com/m")
    _, data = author.finalized(release(), spec, {"app.bin": IMAGE})
    assert cbor2.loads(data)[4] == "https://example.com/m"


def test_a_release_without_manifest_part_or_with_two_payloads_is_misuse() -> None:
    with misuse():
        author.finalized(release(), None, {"app.bin": IMAGE})
    with misuse():
        author.finalized(release(payloads=2 * release().payloads), SPEC, {"app.bin": IMAGE})
    with misuse():
        author.finalized(release(payloads=()), SPEC, {})


def test_the_manifest_part_of_a_recipe_is_read_key_by_key() -> None:
    read = author.spec(Table({"template": "single-image"}, where="recipe"))
    assert read == SPEC
    given_uri = {"template": "single-image", "reference-uri": "https://example.com"}
    assert author.spec(Table(given_uri, where="recipe")).reference_uri == "https://example.com"
    for wrong in ({}, {"template": "two-images"}, {"template": "single-image", "x": 1}):
        with misuse():
            author.spec(Table(wrong, where="recipe"))


def test_a_try_each_of_two_sequences_and_nothing_is_written_back() -> None:
    data = sequence(15, (sequence(3, 15), sequence(14, 0), None))
    (step,) = decode_sequence(data, indices=frozenset({0}))
    assert isinstance(step, TryEach)
    assert [branch is None for branch in step.branches] == [False, False, True]
