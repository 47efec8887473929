"""The examples of draft-ietf-suit-manifest-37, appendix B, and what older tools made."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import pytest

import workshop
from formats.refusals import refused
from fwseal.base.ids import Kid
from fwseal.base.reasons import Reason
from fwseal.cose.algorithms import Algorithm
from fwseal.cose.keys import PublicKey
from fwseal.suit import envelope as envelopes
from fwseal.suit import manifest as manifests
from fwseal.suit.authenticate import Anchor, authenticate
from fwseal.suit.explain import explain
from fwseal.suit.labels import ManifestKey

if TYPE_CHECKING:
    from pathlib import Path

SIGNED = (*(f"example{number}.signed.suit" for number in range(6)), "example2.signed-severed.suit")
UNSIGNED = (
    *(f"example{number}.unsigned.suit" for number in range(6) if number != 2),
    "example2.unsigned-severed.suit",
)
DOMAINS = ("example0_dependent.hex", "example1_process.hex")
LEGACY = ("legacy-draft10-example0.signed.suit", "legacy-draft10-example0.suit")


@pytest.fixture
def spec(vectors: Path) -> Path:
    """Answer the folder of the draft's examples, which hold what the names above say."""
    folder = vectors / "spec-manifest-37"
    assert {path.name for path in folder.glob("*.suit")} == {*SIGNED, *UNSIGNED}
    return folder


def anchor(spec: Path, *algorithms: Algorithm) -> Anchor:
    key = PublicKey.from_pem((spec / "public_key.pem").read_bytes(), where="public_key.pem")
    return Anchor(
        kid=Kid("spec"),
        key=key,
        algorithms=frozenset(algorithms),
        roles=frozenset({"release"}),
    )


@pytest.mark.parametrize("name", SIGNED)
def test_a_signed_example_authenticates_and_is_written_back_to_the_same_bytes(
    spec: Path, name: str
) -> None:
    data = (spec / name).read_bytes()
    envelope = envelopes.decode(data)
    answer = authenticate(envelope, anchors=(anchor(spec, Algorithm.ES256),))
    assert answer.signers == (Kid("spec"),)
    assert envelope.encode() == data
    assert manifests.decode(envelope.manifest).encode() == envelope.manifest


@pytest.mark.parametrize("name", SIGNED)
def test_a_deprecated_algorithm_that_the_anchor_does_not_name_is_refused(
    spec: Path, name: str
) -> None:
    envelope = envelopes.decode((spec / name).read_bytes())
    with refused(Reason.UNSUPPORTED_ALGORITHM, where="authentication[0]"):
        authenticate(envelope, anchors=(anchor(spec, Algorithm.ESP256),))


@pytest.mark.parametrize("name", SIGNED)
def test_a_signed_example_under_a_strangers_anchor_is_refused(spec: Path, name: str) -> None:
    key = workshop.signer().public()
    stranger = Anchor(
        kid=Kid("spec"),
        key=key,
        algorithms=frozenset({Algorithm.ES256}),
        roles=frozenset({"release"}),
    )
    with refused(Reason.BAD_SIGNATURE):
        authenticate(envelopes.decode((spec / name).read_bytes()), anchors=(stranger,))


@pytest.mark.parametrize("name", UNSIGNED)
def test_an_unsigned_example_is_refused_as_unsigned(spec: Path, name: str) -> None:
    data = (spec / name).read_bytes()
    envelope = envelopes.decode(data)
    assert envelope.encode() == data
    with refused(Reason.UNSIGNED):
        authenticate(envelope, anchors=(anchor(spec, Algorithm.ES256),))


@pytest.mark.parametrize("name", DOMAINS)
def test_an_example_of_trust_domains_authenticates_and_is_written_back_to_the_same_bytes(
    spec: Path, vectors: Path, name: str
) -> None:
    folder = vectors / "spec-trust-domains"
    assert {path.name for path in folder.glob("*.hex")} == set(DOMAINS)
    data = bytes.fromhex((folder / name).read_text())
    envelope = envelopes.decode(data)
    answer = authenticate(envelope, anchors=(anchor(spec, Algorithm.ESP256),))
    assert answer.signers == (Kid("spec"),)
    assert envelope.encode() == data
    assert answer.manifest.encode() == envelope.manifest
    depends = {1: (b"dependent.suit",)} if name == "example1_process.hex" else {}
    assert answer.manifest.dependencies == depends
    with refused(Reason.BAD_SIGNATURE):
        authenticate(envelope, anchors=(workshop.anchor(workshop.signer()),))


@pytest.mark.parametrize("name", LEGACY)
def test_an_untagged_envelope_of_an_older_draft_is_refused_as_malformed(
    vectors: Path, name: str
) -> None:
    folder = vectors / "suit-tool"
    assert {path.name for path in folder.glob("*.suit")} == set(LEGACY)
    with refused(Reason.MALFORMED):
        envelopes.decode((folder / name).read_bytes())


def test_the_severed_example_is_the_whole_one_without_its_members(spec: Path) -> None:
    whole = envelopes.decode((spec / "example2.signed.suit").read_bytes())
    severed = envelopes.decode((spec / "example2.signed-severed.suit").read_bytes())
    assert whole.manifest == severed.manifest
    assert severed.severed == {}
    assert set(whole.severed) == {ManifestKey.INSTALL, ManifestKey.TEXT}
    anchors = (anchor(spec, Algorithm.ES256),)
    attached = authenticate(whole, anchors=anchors).manifest
    assert attached.severed() == {}
    assert set(authenticate(severed, anchors=anchors).manifest.severed()) == set(whole.severed)


@pytest.mark.parametrize("member", [ManifestKey.INSTALL, ManifestKey.TEXT])
def test_a_member_of_the_severed_example_with_one_bit_flipped_is_refused(
    spec: Path, member: ManifestKey
) -> None:
    whole = envelopes.decode((spec / "example2.signed.suit").read_bytes())
    content = whole.severed[member]
    for index in range(len(content)):
        changed = content[:index] + bytes([content[index] ^ 1]) + content[index + 1 :]
        tampered = dataclasses.replace(whole, severed={**whole.severed, member: changed})
        with refused(Reason.SEVERED_MISMATCH):
            authenticate(tampered, anchors=(anchor(spec, Algorithm.ES256),))


@pytest.mark.parametrize("name", [*SIGNED, *UNSIGNED])
def test_an_example_is_explained_in_the_same_words_each_time(spec: Path, name: str) -> None:
    envelope = envelopes.decode((spec / name).read_bytes())
    text = explain(envelope)
    assert text == explain(envelopes.decode(envelope.encode()))
    assert envelope.digest.hex() in text
    assert ("COSE_Sign1 ES256" in text) is (name in SIGNED)
    assert all(line.isprintable() for line in text.splitlines())


@pytest.mark.parametrize(
    ("file", "fixed"),
    [("key_es256.cose", Algorithm.ES256), ("key_esp256.cose", Algorithm.ESP256)],
)
def test_a_cose_key_is_the_same_key_as_its_pem_and_fixed_to_its_algorithm(
    spec: Path, file: str, fixed: Algorithm
) -> None:
    key = PublicKey.from_cose_key((spec / file).read_bytes(), where=file)
    assert key.fixed is fixed
    assert key.pem == (spec / "public_key.pem").read_bytes()


def test_a_cose_key_fixed_to_another_algorithm_does_not_verify_an_example(spec: Path) -> None:
    envelope = envelopes.decode((spec / "example0.signed.suit").read_bytes())
    both = anchor(spec, Algorithm.ES256, Algorithm.ESP256)
    es256, esp256 = (
        dataclasses.replace(both, key=PublicKey.from_cose_key(path.read_bytes(), where="key"))
        for path in (spec / "key_es256.cose", spec / "key_esp256.cose")
    )
    assert authenticate(envelope, anchors=(es256,)).signers == (Kid("spec"),)
    with refused(Reason.UNSUPPORTED_ALGORITHM):
        authenticate(envelope, anchors=(esp256,))
