"""A signer elsewhere is told what it signs; what comes back is verified, and only then embedded."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

import pytest

import projects
from fwseal.base.ids import KeyLabel, Kid
from fwseal.signing.softkey import SoftKey
from fwseal.suit import envelope as envelopes
from projects import BUILT, FAULTY, NEW, PROFILE, edit, files, offer
from projects import here as fwseal

if TYPE_CHECKING:
    from pathlib import Path

KEYRING = "build/dev/keyring.toml"
PREPARE = ("prepare", BUILT, "--as", "release")
ATTACH = ("attach", BUILT, "--as", "release", "--key", "dev-release", "--signature", "it.raw")
TBS = "requests/release-dev-release.tbs"


@pytest.fixture
def booted(shop: Path) -> Path:
    """Answer a project whose release has its images signed, and a keyring without private keys."""
    fwseal("sign", BUILT, "--as", "boot", cwd=shop)
    (shop / "elsewhere").mkdir()
    for name in ("dev-release", "dev-boot"):
        (shop / f"build/dev/{name}.key").rename(shop / f"elsewhere/{name}.key")
    return shop


def elsewhere(shop: Path, tbs: bytes, *, key: str = "dev-release") -> bytes:
    """Answer the raw signature another machine makes; it is handed over as it.raw."""
    pem = (shop / f"elsewhere/{key}.key").read_bytes()
    signature = SoftKey(pem, label=KeyLabel(key), kid=Kid(key), where=key).sign(tbs)
    (shop / "it.raw").write_bytes(signature)
    return signature


def test_signature_made_elsewhere_ends_in_the_same_release_as_one_made_here(booted: Path) -> None:
    said = fwseal(*PREPARE, cwd=booted).body
    assert said["tbs"] == f"{BUILT}/{TBS}"
    request = json.loads((booted / said["request"]).read_bytes())
    projects.validator("request").validate(request)
    tbs = (booted / said["tbs"]).read_bytes()
    assert request == {"schema_version": 1, **said["asks"]}
    assert request["tbs_sha256"] == hashlib.sha256(tbs).hexdigest()
    assert (request["product"], request["version"], request["line"]) == ("demo-plc", "1.1.0", "plc")
    assert (request["sequence_number"], request["algorithm"]) == (2, "ESP256")
    signature = elsewhere(booted, tbs)
    assert len(signature) == 64
    dry = fwseal(*ATTACH, "--dry-run", cwd=booted).body
    assert dry["state"] == "images-signed"
    assert not (booted / BUILT / "envelope.suit").exists()
    done = fwseal(*ATTACH, cwd=booted).body
    assert done == {
        "schema_version": 1, "release": BUILT, "state": "signed",
        "verified": {"release": "dev-release"},
    }  # fmt: skip
    evidence = fwseal("verify", *offer(BUILT), "--device", PROFILE, cwd=booted).body["evidence"]
    assert evidence["manifest_digest"] == request["manifest_digest"]
    made = envelopes.decode((booted / BUILT / "envelope.suit").read_bytes())
    here = envelopes.decode((booted / NEW / "envelope.suit").read_bytes())
    assert made.manifest != here.manifest  # each signature of an image is another
    assert len(made.blocks) == len(here.blocks)
    assert fwseal("sign", BUILT, cwd=booted).body["signed"] == {}
    fwseal("publish", BUILT, cwd=booted)


def test_prepared_twice_is_the_same_request(booted: Path) -> None:
    fwseal(*PREPARE, cwd=booted)
    before = files(booted / BUILT)
    said = fwseal(*PREPARE, "--key", "dev-release", cwd=booted, as_json=False)
    assert said.out.count("\n") == 2
    assert files(booted / BUILT) == before


def refused(shop: Path, *words: str, code: int = 1) -> str | None:
    """Answer the Reason of a command that must change nothing."""
    before = files(shop / BUILT)
    done = fwseal(*words, cwd=shop, code=code)
    assert files(shop / BUILT) == before
    return done.reason


def test_signature_that_is_not_the_keys_over_exactly_that_changes_nothing(booted: Path) -> None:
    fwseal(*PREPARE, cwd=booted)
    tbs = (booted / BUILT / TBS).read_bytes()
    good = elsewhere(booted, tbs)
    for bad in (b"", good[:-1], good + b"\0", bytes(64), good[32:] + good[:32],
                bytes([good[0] ^ 1]) + good[1:]):  # fmt: skip
        (booted / "it.raw").write_bytes(bad)
        assert refused(booted, *ATTACH) == "bad-signature"
    elsewhere(booted, tbs, key="dev-boot")
    assert refused(booted, *ATTACH) == "bad-signature"
    elsewhere(booted, tbs + b"\0")
    assert refused(booted, *ATTACH) == "bad-signature"
    (booted / "it.raw").unlink()
    refused(booted, *ATTACH, code=2)


def test_signature_over_another_manifest_is_refused(booted: Path) -> None:
    other = envelopes.decode((booted / NEW / "envelope.suit").read_bytes())
    fwseal(*PREPARE, cwd=booted)
    tbs = (booted / BUILT / TBS).read_bytes()
    mine = envelopes.decode((booted / NEW / "envelope.suit").read_bytes()).digest_bytes
    assert mine == other.digest_bytes
    assert mine not in tbs
    elsewhere(booted, tbs[: -len(mine)] + mine)
    assert refused(booted, *ATTACH) == "bad-signature"


def test_request_is_no_authority_for_what_gets_signed(booted: Path) -> None:
    fwseal(*PREPARE, cwd=booted)
    tbs = booted / BUILT / TBS
    elsewhere(booted, tbs.read_bytes())
    tbs.write_bytes(b"something else")
    fwseal(*ATTACH, cwd=booted)
    fwseal("verify", *offer(BUILT), "--device", PROFILE, cwd=booted)


def test_payload_that_changed_since_it_was_prepared_is_refused(booted: Path) -> None:
    fwseal(*PREPARE, cwd=booted)
    elsewhere(booted, (booted / BUILT / TBS).read_bytes())
    payload = booted / BUILT / "payloads/demo-plc.bin"
    data = payload.read_bytes()
    payload.write_bytes(data[:600] + bytes([data[600] ^ 1]) + data[601:])
    assert refused(booted, *ATTACH) == "digest-mismatch"
    assert refused(booted, *PREPARE) == "digest-mismatch"


def test_nothing_is_prepared_that_lint_refuses(booted: Path) -> None:
    edit(booted / PROFILE, "[device]", "[device]\nsequence-number = 2")
    assert refused(booted, *PREPARE) == "rollback"
    assert not (booted / BUILT / "requests").exists()
    (booted / "it.raw").write_bytes(bytes(64))
    assert refused(booted, *ATTACH) == "rollback"


def test_what_is_not_due_is_misuse(shop: Path) -> None:
    (shop / "it.raw").write_bytes(bytes(64))
    for words in (PREPARE, ATTACH):
        refused(shop, *words, code=2)  # the images are not signed
        refused(shop, words[0], BUILT, "--as", "boot", *words[4:], code=2)
        refused(shop, words[0], NEW, *words[2:], code=2)  # signed already
    assert not (shop / BUILT / "requests").exists()
    assert (shop / FAULTY).is_dir()


def test_key_that_may_not_sign_is_asked_for_nothing(booted: Path) -> None:
    assert refused(booted, *PREPARE, "--key", "dev-boot") == "signer-not-authorized"
    refused(booted, *PREPARE, "--key", "nobody", code=2)
    ring = booted / KEYRING
    before = ring.read_text(encoding="utf-8")
    label = 'label = "dev-release"'
    for more, reason, code in (
        ('lines = ["pump"]', "signer-not-authorized", 1),
        ('status = "spare"', None, 2),
        ('status = "revoked"', "key-revoked", 1),
        ('not-after = "2001-01-31"', "key-expired", 1),
    ):
        ring.write_text(before.replace(label, f"{label}\n{more}"), encoding="utf-8")
        assert refused(booted, *PREPARE, "--key", "dev-release", code=code) == reason
    ring.write_text(before.replace(label, f'{label}\nlines = ["plc"]'), encoding="utf-8")
    fwseal(*PREPARE, "--key", "dev-release", cwd=booted)
