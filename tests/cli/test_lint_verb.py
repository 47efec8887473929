"""Lint says what a device would refuse before a key is asked; sign refuses what lint refuses."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import pytest

from fwseal.base.reasons import REASONS, Reason
from projects import BUILT, FAULTY, NEW, OLD, PROFILE, RECIPE, URI, commit, edit, files, offer
from projects import here as fwseal

if TYPE_CHECKING:
    from pathlib import Path

KEYRING = "build/dev/keyring.toml"
OWN = "build/own"
SHARED = """shared-sequence = [
    { directive-override-parameters = { vendor-identifier = { device = true } } },
    { directive-override-parameters = { class-identifier = { device = true } } },
    "condition-vendor-identifier",
    "condition-class-identifier",
    { directive-override-parameters = { image-digest = { payload = "demo-plc.bin" } } },
    { directive-override-parameters = { image-size = { payload = "demo-plc.bin" } } },
]"""
INSTALL = """install = [
    { directive-override-parameters = { uri = { payload = "demo-plc.bin" } } },
    "directive-fetch",
    "condition-image-match",
]"""
VALIDATE = 'validate = ["condition-image-match"]'


def built(shop: Path, *manifest: str, payload: str = "") -> str:
    """Build the demo with another manifest and payload entry; answer the release."""
    recipe = shop / RECIPE
    edit(recipe, 'template = "single-image"', "\n".join(manifest))
    edit(recipe, 'format = "mcuboot"\n', f'format = "mcuboot"\n{payload}')
    commit(shop)
    fwseal("build", RECIPE, "-o", OWN, cwd=shop)
    return OWN


@pytest.mark.parametrize("release", [BUILT, NEW, OLD, FAULTY])
def test_releases_of_the_demo_have_no_finding(shop: Path, release: str) -> None:
    assert fwseal("lint", release, cwd=shop).body["findings"] == []
    assert fwseal("lint", release, "--device", PROFILE, cwd=shop).body["findings"] == []
    assert fwseal("lint", release, cwd=shop, as_json=False).out == "nothing found\n"


def test_envelope_is_looked_at_for_the_device_named(shop: Path) -> None:
    words = ("lint", *offer(), "--device", PROFILE)
    assert fwseal(*words, cwd=shop).body["findings"] == []
    fwseal("lint", *offer(), cwd=shop, code=2)
    without = fwseal("lint", f"{NEW}/envelope.suit", "--device", PROFILE, cwd=shop, code=1)
    assert [one["reason"] for one in without.body["findings"]] == ["payload-missing"]
    (shop / "fwseal.toml").unlink()
    fwseal(*words, cwd=shop)
    edit(shop / PROFILE, "1492af14-2569-5e48-bf42-9b2d51f2ab45",
         "fa6b4a53-d5ad-5fdf-be9d-e663e4d41ffe")  # fmt: skip
    found = fwseal(*words, cwd=shop, code=1).body["findings"]
    assert [one["reason"] for one in found] == ["wrong-class"]
    assert found[0]["remedy"] == REASONS[Reason.WRONG_CLASS].remedy


def test_number_that_the_profile_or_the_repository_knows_is_refused_by_lint_and_sign(
    shop: Path,
) -> None:
    fwseal("publish", NEW, cwd=shop)
    for words in (("lint", BUILT), ("lint", *offer(), "--device", PROFILE)):
        found = fwseal(*words, cwd=shop, code=1).body["findings"]
        assert [(one["reason"], one["where"]) for one in found] == [
            ("rollback", "manifest/sequence-number")
        ]
    assert fwseal("sign", BUILT, cwd=shop, code=1).reason == "rollback"
    assert fwseal("sign", BUILT, "--dry-run", cwd=shop, code=1).reason == "rollback"
    assert not (shop / BUILT / "payloads").exists()
    assert fwseal("lint", FAULTY, cwd=shop).body["findings"] == []
    edit(shop / PROFILE, "[device]", "[device]\nsequence-number = 3")
    assert fwseal("lint", FAULTY, cwd=shop, code=1).body["findings"][0]["reason"] == "rollback"


def test_people_read_reason_place_words_and_remedy_of_each_finding(shop: Path) -> None:
    edit(shop / PROFILE, "[device]", "[device]\nsequence-number = 9")
    said = fwseal("lint", BUILT, cwd=shop, code=1, as_json=False)
    assert said.out.startswith("rollback  manifest/sequence-number\n  ")
    assert said.out.count("\n") == 3
    assert "10" in said.out.splitlines()[2]
    assert said.err.startswith("fwseal: error: rollback: ")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (('kid = "dev-release"\nkey', 'kid = "else"\nkey'), "unknown-signer"),
        (('["ESP256"]\nroles = ["release"]', '["ES256"]\nroles = ["release"]'),
         "unsupported-algorithm"),
        (('roles = ["release"]', 'roles = ["report"]'), "signer-not-authorized"),
        (("dev-release.pem", "dev-tuf-root.pem"), "bad-signature"),
        (("threshold = 1", "threshold = 2"), "threshold-not-met"),
        (('id = ["00"]', 'id = ["07"]'), "wrong-component"),
    ],
)  # fmt: skip
def test_sign_refuses_what_no_device_of_the_profile_would_accept_before_a_key_is_touched(
    shop: Path, change: tuple[str, str], reason: str
) -> None:
    edit(shop / PROFILE, *change)
    edit(shop / KEYRING, "dev-boot.key", "gone.key")  # whoever touches a key finds it gone
    edit(shop / KEYRING, "dev-release.key", "gone.key")
    before = files(shop / BUILT)
    refused = fwseal("sign", BUILT, cwd=shop, code=1)
    assert refused.reason == reason
    assert refused.body["error"]["hint"] == REASONS[Reason(reason)].remedy
    assert files(shop / BUILT) == before


@pytest.mark.parametrize(
    ("manifest", "where"),
    [
        ((SHARED.replace('    "condition-vendor-identifier",\n', ""), INSTALL, VALIDATE),
         "common/shared-sequence"),
        ((SHARED, INSTALL.replace('    "condition-image-match",\n', ""), VALIDATE), "install[1]"),
    ],
)  # fmt: skip
def test_sign_refuses_a_manifest_that_leaves_a_check_out(
    shop: Path, manifest: tuple[str, ...], where: str
) -> None:
    release = built(shop, *manifest)
    found = fwseal("lint", release, cwd=shop, code=1).body["findings"]
    assert [(one["reason"], one["where"]) for one in found] == [("unchecked", where)]
    refused = fwseal("sign", release, cwd=shop, code=1)
    assert (refused.reason, refused.body["error"]["where"]) == ("unchecked", where)
    assert refused.body["error"]["hint"] == found[0]["remedy"]
    assert not (shop / release / "envelope.suit").exists()


def test_release_with_severed_members_and_an_integrated_payload_goes_all_the_way(
    shop: Path,
) -> None:
    text = '[manifest.text.en]\nmanifest-description = "What this is for"'
    release = built(
        shop, 'sever = ["install", "text"]', SHARED, INSTALL, VALIDATE, text,
        payload="integrated = true\n",
    )  # fmt: skip
    assert fwseal("lint", release, cwd=shop).body["findings"] == []
    fwseal("sign", release, cwd=shop)
    envelope = f"{release}/envelope.suit"
    fwseal("verify", envelope, "--device", PROFILE, cwd=shop)
    listed = fwseal("publish", release, cwd=shop).body["targets"]
    assert [name.rpartition("/")[2] for name in listed] == ["current.suit"]
    assert fwseal("lint", release, cwd=shop, code=1).body["findings"][0]["reason"] == "rollback"


def test_severed_manifest_that_is_not_of_these_payloads_is_not_signed(shop: Path) -> None:
    release = shop / built(shop, 'sever = ["install"]', SHARED, INSTALL, VALIDATE)
    fwseal("sign", OWN, "--as", "boot", cwd=shop)
    data = (release / "manifest.cbor").read_bytes()
    (release / "manifest.cbor").write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    assert fwseal("sign", OWN, cwd=shop, code=1).reason == "layers-disagree"
    assert not (release / "envelope.suit").exists()


def test_content_beside_a_recipe_becomes_part_of_the_release(shop: Path) -> None:
    (shop / "manifests/settings.bin").write_bytes(b"settings")
    written = INSTALL.replace(
        '    "directive-fetch",\n',
        '    "directive-fetch",\n    "condition-image-match",\n'
        "    { directive-override-parameters = { content = "
        '{ file = "settings.bin" } } },\n',
    )
    release = built(shop, SHARED, written, VALIDATE)
    assert (shop / release / "inputs/settings.bin").read_bytes() == b"settings"
    fwseal("sign", release, "--as", "boot", cwd=shop)
    (shop / release / "inputs/settings.bin").write_bytes(b"settingz")
    assert fwseal("sign", release, cwd=shop, code=1).reason == "layers-disagree"
    (shop / release / "inputs/settings.bin").write_bytes(b"settings")
    fwseal("sign", release, cwd=shop)


def test_what_a_release_cannot_be_yet_is_misuse_before_anything_is_built(shop: Path) -> None:
    recipe = shop / RECIPE
    before = recipe.read_text(encoding="utf-8")
    dependency = '\n[[dependency]]\nfile = "radio.suit"\ncomponent = ["01"]\n'
    recipe.write_text(
        before.replace('template = "single-image"', f"{SHARED}\n{INSTALL}\n{VALIDATE}")
        + dependency,
        encoding="utf-8",
    )
    fwseal("build", RECIPE, "-o", OWN, cwd=shop, code=2)
    locked = (
        'format = "mcuboot"\nencryption = { algorithm = "A128GCM" }\n'
        'recipients = [{ kid = "device", key = "device.cose", algorithm = "A128KW" }]'
    )
    recipe.write_text(before.replace('format = "mcuboot"', locked), encoding="utf-8")
    fwseal("build", RECIPE, "-o", OWN, cwd=shop, code=2)
    assert not (shop / OWN).exists()


def test_lint_writes_nothing_and_needs_no_key(shop: Path) -> None:
    shutil.rmtree(shop / "build/repository", ignore_errors=True)
    (shop / KEYRING).unlink()
    before = files(shop / "build")
    fwseal("lint", BUILT, cwd=shop)
    assert files(shop / "build") == before
    body = json.loads((shop / BUILT / "release.json").read_bytes())
    assert body["state"] == "built"


def test_payload_that_lies_elsewhere_is_named(shop: Path) -> None:
    named = ("--payload", f"{URI}={NEW}/payloads/demo-plc.bin")
    fwseal("lint", BUILT, *named, cwd=shop)
    fwseal("sign", BUILT, "--dry-run", *named, cwd=shop)
    fwseal("lint", BUILT, "--payload", "nothing", cwd=shop, code=2)


def test_author_refuses_what_lint_refuses_before_it_looks_for_the_key(shop: Path) -> None:
    words = ("author", RECIPE, "--key", "file:gone.key", "-o", "x.suit",
             "--payload", f"{URI}={NEW}/payloads/demo-plc.bin")  # fmt: skip
    fwseal(*words, cwd=shop, code=2)
    careless = SHARED.replace('    "condition-class-identifier",\n', "")
    edit(shop / RECIPE, 'template = "single-image"', f"{careless}\n{INSTALL}\n{VALIDATE}")
    refused = fwseal(*words, cwd=shop, code=1)
    assert (refused.reason, refused.body["error"]["where"]) == (
        "unchecked", "common/shared-sequence",
    )  # fmt: skip
    assert not (shop / "x.suit").exists()
