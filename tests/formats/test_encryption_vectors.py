"""The drafts' and the working group's encryption examples: each decrypted, or refused by name."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import cbor2
import pytest

from formats.refusals import refused
from fwseal.base.ids import Kid
from fwseal.base.reasons import Reason
from fwseal.cose.encryption import (
    ContentAlgorithm,
    Encrypt,
    Kek,
    KeyAlgorithm,
    decode_encrypt,
    decryptor,
)

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

DRAFT_PLAINTEXT = b"This is a real firmware image."
DRAFT_KEK = Kek(kid=Kid("kid-1"), secret=b"a" * 16)

DRAFT: Mapping[str, KeyAlgorithm] = {
    "suit-encryption-info-aes-kw-aes-gcm.hex": KeyAlgorithm.A128KW,
    "suit-encryption-info-es-ecdh-aes-gcm.hex": KeyAlgorithm.ECDH_ES_A128KW,
}
DRAFT_PAYLOADS = {
    "encrypted-payload-aes-kw-aes-gcm.hex",
    "encrypted-payload-es-ecdh-aes-gcm.hex",
}
DRAFT_WORDS = {
    "suit-encryption-info-aes-kw-aes-gcm.diag",
    "suit-encryption-info-es-ecdh-aes-gcm.diag",
}
"""Diagnostic notation: for people, the .hex beside it says the same."""

# Every cose-wg file carries its ciphertext inside, where SUIT has the payload outside.
ATTACHED = "an attached ciphertext"
ENCRYPT0 = "COSE_Encrypt0"
WORKING_GROUP: Mapping[str, tuple[str, bool]] = {
    # file: (the feature it is refused for, whether its tag is good)
    "aes-gcm-01.json": (ATTACHED, True),
    "aes-gcm-02.json": (ATTACHED, True),
    "aes-gcm-03.json": (ATTACHED, True),
    "aes-gcm-04.json": (ATTACHED, False),
    "aes-gcm-05.json": (ATTACHED, True),
    "aes-gcm-enc-01.json": (ENCRYPT0, True),
    "aes-gcm-enc-02.json": (ENCRYPT0, True),
    "aes-gcm-enc-03.json": (ENCRYPT0, True),
    "aes-gcm-enc-04.json": (ENCRYPT0, False),
}
PARTIAL_IV = "aes-gcm-05.json"


@pytest.fixture
def draft(vectors: Path) -> Path:
    folder = vectors / "spec-firmware-encryption"
    assert {path.name for path in folder.iterdir()} == {*DRAFT, *DRAFT_PAYLOADS, *DRAFT_WORDS}
    return folder


@pytest.fixture
def group(vectors: Path) -> Path:
    folder = vectors / "cose-wg/aes-gcm-examples"
    assert {path.name for path in folder.iterdir()} == set(WORKING_GROUP)
    return folder


def hexed(path: Path) -> bytes:
    return bytes.fromhex("".join(path.read_text(encoding="ascii").split()))


def load(path: Path) -> tuple[bytes, dict[str, Any]]:
    example: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return bytes.fromhex(example["output"]["cbor"]), example


@pytest.mark.parametrize(("name", "wrap"), DRAFT.items())
def test_encryption_info_of_the_draft_is_written_back_to_the_same_bytes(
    draft: Path, name: str, wrap: KeyAlgorithm
) -> None:
    data = hexed(draft / name)
    info = decode_encrypt(data)
    assert info.encode() == data
    assert info.algorithm is ContentAlgorithm.A128GCM
    assert [one.algorithm for one in info.recipients] == [wrap]


def test_the_drafts_key_wrap_example_decrypts(draft: Path) -> None:
    info = decode_encrypt(hexed(draft / "suit-encryption-info-aes-kw-aes-gcm.hex"))
    stream = decryptor(info, (DRAFT_KEK,))
    ciphertext = hexed(draft / "encrypted-payload-aes-kw-aes-gcm.hex")
    assert stream.update(ciphertext) + stream.finish() == DRAFT_PLAINTEXT
    assert len(ciphertext) == len(DRAFT_PLAINTEXT) + info.overhead


def test_the_drafts_agreement_example_is_not_for_the_key_wrap_key(draft: Path) -> None:
    # The receiver's private key is not among the vectors, so the plaintext cannot be asked for
    # here. The oracle's tests do that with keys of their own; that both examples carry one
    # content key and one IV is what the draft's equal payloads say.
    info = decode_encrypt(hexed(draft / "suit-encryption-info-es-ecdh-aes-gcm.hex"))
    assert info.recipients[0].kid is None
    with refused(Reason.DECRYPTION_FAILED):
        decryptor(info, (DRAFT_KEK,))
    other = decode_encrypt(hexed(draft / "suit-encryption-info-aes-kw-aes-gcm.hex"))
    assert info.iv == other.iv
    payloads = {hexed(draft / name) for name in DRAFT_PAYLOADS}
    assert len(payloads) == 1


@pytest.mark.parametrize(("name", "feature"), [(k, v[0]) for k, v in WORKING_GROUP.items()])
def test_an_example_of_the_working_group_is_refused_for_its_feature(
    group: Path, name: str, feature: str
) -> None:
    data, _ = load(group / name)
    message = cbor2.loads(data)
    assert message.tag == (96 if feature is ATTACHED else 16)
    assert isinstance(message.value[2], bytes)
    with refused(Reason.UNSUPPORTED):
        decode_encrypt(data)


@pytest.mark.parametrize(
    "name", [name for name, row in WORKING_GROUP.items() if row[0] is ATTACHED]
)
def test_a_detached_example_is_refused_for_the_key_that_both_sides_share(
    group: Path, name: str
) -> None:
    data, _ = load(group / name)
    tagged = cbor2.loads(data)
    protected, unprotected, _, recipients = tagged.value
    detached = cbor2.dumps(cbor2.CBORTag(96, [protected, unprotected, None, recipients]))
    assert [one[1][1] for one in recipients] == [-6]  # direct: no key is wrapped
    if name == PARTIAL_IV:
        assert set(unprotected) == {6}
        with refused(Reason.UNSUPPORTED):
            decode_encrypt(detached)
    else:
        with refused(Reason.UNSUPPORTED_ALGORITHM, where="recipients[0]"):
            decode_encrypt(detached)


@pytest.mark.parametrize(
    ("name", "good"),
    [
        (name, row[1])
        for name, row in WORKING_GROUP.items()
        if row[0] is ATTACHED and name != PARTIAL_IV
    ],
)
def test_its_content_decrypts_once_its_key_is_wrapped_and_never_with_a_bad_tag(
    group: Path, name: str, good: bool
) -> None:
    data, example = load(group / name)
    protected, unprotected, ciphertext, _ = cbor2.loads(data).value
    content_key = bytes.fromhex(example["intermediates"]["CEK_hex"])
    kek = Kek(kid=None, secret=bytes(32))
    info = Encrypt(
        algorithm=ContentAlgorithm(cbor2.loads(protected)[1]),
        iv=unprotected[5],
        recipients=(kek.wrap(content_key, bytes),),
    )
    assert info.protected == protected
    stream = decryptor(decode_encrypt(info.encode()), (kek,))
    streamed = stream.update(ciphertext)
    if good:
        assert streamed + stream.finish() == example["input"]["plaintext"].encode()
    else:
        with refused(Reason.DECRYPTION_FAILED):
            stream.finish()
