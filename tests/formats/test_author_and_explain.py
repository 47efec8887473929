"""What an author says comes out as bytes, and comes back as words."""

from __future__ import annotations

import dataclasses
import hashlib
import uuid

import cbor2

import workshop
from formats.crafted import IMAGE, sequence
from formats.refusals import misuse
from fwseal.base.release import Payload, PayloadFormat, Release, State
from fwseal.base.tables import Table
from fwseal.suit import author
from fwseal.suit import manifest as manifests
from fwseal.suit.labels import (
    Parameter,
)
from fwseal.suit.sequence import (
    Override,
    TryEach,
    decode_sequence,
)

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
