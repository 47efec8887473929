"""`fwseal author` signs what the recipe says with the keys it is given, or leaves nothing."""

from __future__ import annotations

import os
import shutil
import stat
from typing import TYPE_CHECKING

import pytest

import projects
from fwseal.base.ids import Kid
from fwseal.cli import author
from fwseal.cose.algorithms import Algorithm
from fwseal.cose.recipients import Kek, KeyAlgorithm, new_recipient_key
from fwseal.signing import softkey
from fwseal.suit import envelope as envelopes
from projects import edit, here

if TYPE_CHECKING:
    from pathlib import Path

RECIPE = "manifests/pump.toml"
IMAGE = bytes(range(256)) * 4
OTHER = "build/dev/other.key"
KEYS = ("--key", "dev-release")
SHARED = """shared-sequence = [
    { directive-override-parameters = {
      vendor-identifier = { device = true }, class-identifier = { device = true } } },
    "condition-vendor-identifier", "condition-class-identifier",
]""".replace("{\n      ", "{ ")
SECRETS = """
[payload.encryption]
algorithm = "A128CTR"
[[payload.recipients]]
kid = "kek"
key = "../build/dev/kek.cose"
algorithm = "A128KW"

[manifest]
@shared@
install = [
    { directive-override-parameters = {
      uri = { payload = "pump.bin" }, encryption-info = { payload = "pump.bin" } } },
    "directive-fetch", "condition-image-match",
]
validate = ["condition-image-match"]
""".replace("{\n      ", "{ ").replace("@shared@", SHARED)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Answer a project with file keys, and one payload beside its recipe."""
    folder = tmp_path_factory.mktemp("author") / "pump"
    folder.mkdir()
    here("init", "pump", "--vendor", "example.com", cwd=folder)
    here("keys", "init", "--dev", "--in", "files", cwd=folder)
    (folder / "manifests/pump.bin").write_bytes(IMAGE)
    (folder / OTHER).write_bytes(softkey.generate(Algorithm.ED25519))
    kek = new_recipient_key(KeyAlgorithm.A128KW, kid=Kid("kek"), random=os.urandom)
    assert isinstance(kek, Kek)
    (folder / "build/dev/kek.cose").write_bytes(kek.encode())
    (folder / "build/dev/mac.cose").write_bytes(softkey.generate(Algorithm.HMAC_256))
    return folder


@pytest.fixture
def pump(project: Path, tmp_path: Path) -> Path:
    """Answer a copy of that project."""
    return shutil.copytree(project, tmp_path / "pump")


@pytest.fixture
def secret(pump: Path) -> Path:
    """Answer a project whose payload is encrypted."""
    edit(pump / RECIPE, '\n[manifest]\ntemplate = "single-image"\n', SECRETS)
    return pump


def authored(folder: Path, *words: str, code: int = 0) -> projects.Done:
    """Author x.suit, which is not there when it fails."""
    done = here("author", RECIPE, "-o", "x.suit", *words, cwd=folder, code=code)
    assert (folder / "x.suit").exists() is (code == 0 and "--dry-run" not in words)
    return done


def blocks(folder: Path) -> int:
    """Answer how many signatures the envelope carries."""
    return len(envelopes.decode((folder / "x.suit").read_bytes()).blocks)


def test_every_key_signs_once_in_the_order_given(pump: Path) -> None:
    done = authored(pump, *KEYS, "--key", f"file:{OTHER}", "--key", "file:build/dev/mac.cose")
    assert done.body["payloads"] == []
    assert blocks(pump) == 3
    assert "other" in authored(pump, "--key", f"file:{OTHER}", "-v").err


def test_a_key_named_twice_is_misuse_by_whatever_names(pump: Path) -> None:
    authored(pump, *KEYS, "--key", "file:build/dev/dev-release.key", code=2)
    authored(pump, *KEYS, *KEYS, code=2)
    authored(pump, *KEYS, *KEYS, "--dry-run", code=2)
    authored(pump, code=2)


def test_a_key_that_may_not_sign_stops_all_others(pump: Path) -> None:
    assert authored(pump, *KEYS, "--key", "dev-boot", code=1).reason == "signer-not-authorized"
    edit(pump / "build/dev/keyring.toml", '["release"]', '["release"]\nstatus = "spare"')
    authored(pump, "--key", f"file:{OTHER}", *KEYS, code=2)


def test_a_dry_run_says_who_would_sign_which_digest_and_writes_nothing(pump: Path) -> None:
    before = projects.files(pump)
    said = authored(pump, *KEYS, "--key", f"file:{OTHER}", "--dry-run").body
    assert projects.files(pump) == before
    assert said["would_sign"] == ["dev-release", f"file:{OTHER}"]
    authored(pump, *KEYS)
    envelope = envelopes.decode((pump / "x.suit").read_bytes())
    assert envelope.digest.hex() == said["manifest_digest"]


def test_a_recipe_without_a_manifest_authors_nothing(pump: Path) -> None:
    edit(pump / RECIPE, '\n[manifest]\ntemplate = "single-image"\n', "")
    authored(pump, *KEYS, code=2)


def test_a_profile_that_names_no_device_or_another_is_misuse(pump: Path) -> None:
    profile = pump / "targets/pump.toml"
    edit(profile, "class-id = ", "class = ")
    authored(pump, *KEYS, code=2)
    profile.unlink()
    authored(pump, *KEYS, code=2)


def test_files_that_a_recipe_names_lie_beside_it_or_are_named(pump: Path) -> None:
    write = (
        f"[manifest]\n{SHARED}\n"
        'install = [{ directive-override-parameters = { uri = { payload = "pump.bin" },'
        ' content = { file = "c.txt" } } }, "directive-fetch",'
        ' "condition-image-match"]'
    )
    edit(pump / RECIPE, '[manifest]\ntemplate = "single-image"', write)
    authored(pump, *KEYS, code=2)
    (pump / "elsewhere").write_bytes(b"content")
    authored(pump, *KEYS, "--payload", "c.txt=elsewhere")
    assert b"content" in (pump / "x.suit").read_bytes()
    authored_again = ("--payload", "c.txt=elsewhere", "--payload", "d.txt=elsewhere")
    here("author", RECIPE, "-o", "y.suit", *KEYS, *authored_again, cwd=pump, code=2)


def test_an_encrypted_payload_is_written_only_where_it_was_asked_for(secret: Path) -> None:
    authored(secret, *KEYS, code=2)
    done = authored(secret, *KEYS, "--payloads", "out")
    assert done.body["payloads"] == ["out/pump.bin"]
    assert len((secret / "out/pump.bin").read_bytes()) == len(IMAGE)
    assert (secret / "out/pump.bin").read_bytes() != IMAGE
    assert (secret / "manifests/pump.bin").read_bytes() == IMAGE
    assert sorted(path.name for path in (secret / "out").iterdir()) == ["pump.bin"]


def test_an_integrated_payload_that_is_encrypted_needs_no_folder(secret: Path) -> None:
    edit(secret / RECIPE, 'file = "pump.bin"', 'file = "pump.bin"\nintegrated = true')
    authored(secret, *KEYS, "--payloads", "out", code=2)
    authored(secret, *KEYS)
    (data,) = envelopes.decode((secret / "x.suit").read_bytes()).integrated.values()
    assert data != IMAGE
    assert len(data) == len(IMAGE)


def test_a_folder_for_payloads_where_none_is_encrypted_is_misuse(pump: Path) -> None:
    authored(pump, *KEYS, "--payloads", "out", code=2)


def test_neither_a_plaintext_nor_the_recipe_is_ever_overwritten(secret: Path) -> None:
    before = projects.files(secret)
    authored(secret, *KEYS, "--payloads", "manifests", code=2)
    for output in (RECIPE, "manifests/../manifests/pump.bin", "out/pump.bin"):
        words = ("author", RECIPE, *KEYS, "--payloads", "out", "-o", output)
        here(*words, cwd=secret, code=2)
    assert projects.files(secret) == before


def test_a_key_of_another_algorithm_than_the_recipe_says_encrypts_nothing(secret: Path) -> None:
    edit(secret / RECIPE, "A128KW", "A256KW")
    authored(secret, *KEYS, "--payloads", "out", code=2)
    edit(secret / RECIPE, "A256KW", "A128KW")
    edit(secret / RECIPE, 'kid = "kek"', 'kid = "another"')
    authored(secret, *KEYS, "--payloads", "out", code=2)
    edit(secret / RECIPE, "kek.cose", "missing.cose")
    authored(secret, *KEYS, "--payloads", "out", code=2)


def test_a_failure_while_writing_leaves_neither_payload_nor_envelope(secret: Path) -> None:
    (secret / "x").mkdir()
    words = ("author", RECIPE, *KEYS, "--payloads", "out")
    here(*words, "-o", "x", cwd=secret, code=2)
    assert not (secret / "out").exists()
    assert list((secret / "x").iterdir()) == []
    here(*words, "-o", "n" * 300, cwd=secret, code=3)
    assert list((secret / "out").iterdir()) == []
    assert not [path for path in secret.rglob(".*") if path.name.endswith((".new", ".staged"))]


def test_what_is_written_is_readable_by_those_who_publish_it(secret: Path) -> None:
    authored(secret, *KEYS, "--payloads", "out")
    for path in (secret / "x.suit", secret / "out/pump.bin"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o644


def test_the_role_is_the_one_that_devices_ask_for() -> None:
    from fwseal.suit.authenticate import ROLE

    assert author.RELEASE == ROLE
