"""The small parts of TUF: keys, strict JSON, names, and trust one step at a time."""

from __future__ import annotations

import json

import pytest
from tuf.api.metadata import Metadata, Root

from fwseal.base.errors import Misuse, Refused
from fwseal.base.ids import KeyLabel, Kid
from fwseal.base.reasons import Reason
from fwseal.cose.algorithms import Algorithm
from fwseal.signing import softkey
from fwseal.tuf import keys, repository, strict, trusted
from repositories import NOW, Author, published, sealed, signed_part, signers
from workshop import signer


def refused(data: bytes) -> Reason:
    with pytest.raises(Refused) as caught:
        strict.check(data)
    return caught.value.reason


@pytest.mark.parametrize(
    "text",
    [
        '{"a":1,"a":2}',
        '{"b":[{"a":1,"a":1}]}',
        '{"a":1.0}',
        '{"a":1e3}',
        '{"a":NaN}',
        '{"a":-Infinity}',
        '{"a":' + "9" * 21 + "}",
        '{"a":"\\ud800"}',
        '{"\\uDFFF":1}',
        '[["\\ud83d \\ude00"]]',
        '{"a":1}x',
        "{",
        "",
    ],
)
def test_json_that_two_readers_may_read_in_two_ways_is_refused_as_malformed(text: str) -> None:
    assert refused(text.encode()) is Reason.MALFORMED


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32", "utf-8-sig"])
def test_json_in_another_encoding_than_utf_8_is_refused_as_malformed(encoding: str) -> None:
    assert refused('{"a":1}'.encode(encoding)) is Reason.MALFORMED


def test_json_is_refused_one_level_below_the_deepest_that_is_read() -> None:
    strict.check(b"[" * strict.MAX_DEPTH + b"]" * strict.MAX_DEPTH)
    over = strict.MAX_DEPTH + 1
    assert refused(b"[" * over + b"]" * over) is Reason.LIMIT_EXCEEDED
    assert refused(b'{"a":' * 500_000) is Reason.LIMIT_EXCEEDED


@pytest.mark.parametrize(
    "text",
    [
        '{"a":"[[[[\\\\\\"{{{{' + "[" * 100 + '"}',
        '{"a":"\\ud83d\\ude00"}',
        '{"a":' + "9" * 20 + "}",
        '{"a":"\\\\ud800"}',
        '[{"a":1},{"a":2}]',
        '{"a":"é"}',
    ],
)
def test_json_that_every_reader_reads_alike_is_let_through_unchanged(text: str) -> None:
    strict.check(text.encode())
    assert json.loads(text)


def test_key_in_metadata_carries_its_label_and_no_key_comes_from_a_uri() -> None:
    key = signer("boss")
    made = keys.TufSigner(key)
    assert made.public_key.unrecognized_fields == {"x-fwseal-label": "boss"}
    made.public_key.verify_signature(made.sign(b"payload"), b"payload")
    with pytest.raises(NotImplementedError):
        keys.TufSigner.from_priv_key_uri("file:x", made.public_key)


def test_stored_name_puts_the_hash_before_the_file_and_beside_keeps_the_folder() -> None:
    def stored(path: str) -> str:
        return repository.NewTarget(path=path, size=1, sha256="ab", custom={}).stored

    assert stored("plc/id/current.suit") == "plc/id/ab.current.suit"
    assert stored("current.suit") == "ab.current.suit"
    assert repository.beside("plc/id/current.suit", "2/app.bin") == "plc/id/2/app.bin"
    assert repository.beside("current.suit", "app.bin") == "app.bin"


@pytest.mark.parametrize("uri", ["", ".", "a/../b", "/a", "a//b", "http://h/a", "a/"])
def test_uri_that_is_not_plainly_relative_is_misuse(uri: str) -> None:
    with pytest.raises(Misuse):
        repository.beside("plc/id/current.suit", uri)


def test_root_names_one_key_a_role_and_the_online_key_is_not_the_root_key() -> None:
    made = signers()
    root = Metadata[Root].from_bytes(repository.new_root(made, NOW)).signed
    assert {role: entry.threshold for role, entry in root.roles.items()} == {
        "root": 1, "targets": 1, "snapshot": 1, "timestamp": 1,
    }  # fmt: skip
    ids = {role: tuple(entry.keyids) for role, entry in root.roles.items()}
    assert ids["snapshot"] == ids["timestamp"]
    assert len(set(ids.values())) == 3


def test_root_that_does_not_sign_itself_is_refused_and_gives_no_trust() -> None:
    tree = published(signers(), 2)
    body = signed_part(tree["metadata/1.root.json"])
    with pytest.raises(Refused) as caught:
        trusted.first(sealed(body, signer("stranger")))
    assert caught.value.reason is Reason.METADATA_SIGNATURE


def test_kept_metadata_that_no_longer_verifies_is_not_trusted() -> None:
    made = signers()
    tree = published(made, 2)
    author = Author(tree, made)
    have = trusted.first(tree["metadata/1.root.json"])
    stamp, shot = tree["metadata/timestamp.json"], tree[author.role("snapshot")]
    assert trusted.kept_timestamp(have, stamp) is not None
    assert trusted.kept_snapshot(have, shot) is not None
    assert trusted.kept_timestamp(have, None) is None
    assert trusted.kept_timestamp(have, shot) is None
    assert trusted.kept_timestamp(have, b"{}") is None
    stranger = sealed(signed_part(shot), signer("stranger"))
    assert trusted.kept_snapshot(have, stranger) is None


def test_target_is_unknown_before_there_are_targets() -> None:
    have = trusted.first(published(signers(), 2)["metadata/1.root.json"])
    with pytest.raises(Refused) as caught:
        trusted.target(have, "anything")
    assert caught.value.reason is Reason.TARGET_UNKNOWN


@pytest.mark.parametrize(
    "algorithm", [Algorithm.ESP256, Algorithm.ESP384, Algorithm.ESP512, Algorithm.ED25519]
)
def test_a_key_of_every_kind_that_tuf_knows_signs_metadata(algorithm: Algorithm) -> None:
    key = softkey.SoftKey(
        softkey.generate(algorithm), label=KeyLabel("key"), kid=Kid("key"), where="key"
    )
    made = keys.TufSigner(key)
    made.public_key.verify_signature(made.sign(b"payload"), b"payload")


@pytest.mark.parametrize("algorithm", [Algorithm.ML_DSA_44, Algorithm.HMAC_256])
def test_ml_dsa_and_a_shared_secret_sign_no_metadata(algorithm: Algorithm) -> None:
    key = softkey.SoftKey(
        softkey.generate(algorithm), label=KeyLabel("key"), kid=Kid("key"), where="key"
    )
    with pytest.raises(Misuse):
        keys.TufSigner(key)
