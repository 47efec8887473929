"""The release key signs what was built and planned, and nothing that was slipped in between."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import uuid
from typing import TYPE_CHECKING, Any

import pytest

from fwseal.base.release import Release
from fwseal.suit import author
from projects import BUILT, NEW, PROFILE, edit, environment, fwseal, offer

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def described(release: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Change release.json."""
    path = release / "release.json"
    body = json.loads(path.read_bytes())
    change(body)
    path.write_text(json.dumps(body), encoding="utf-8")


@pytest.mark.parametrize(
    ("key", "value"),
    [("sequence_number", 77), ("version", "9.9.9"), ("name", "other"), ("line", "other")],
)
def test_release_that_says_other_than_its_recipe_is_refused_and_nothing_is_signed(
    shop: Path, key: str, value: object
) -> None:
    described(shop / BUILT, lambda body: body.update({key: value}))
    if key == "line":  # a key for another line is not even looked for
        edit(shop / BUILT / "release.json", '"other"', '"plc2"')
    assert fwseal("sign", BUILT, cwd=shop, code=1).reason == "layers-disagree"
    assert not (shop / BUILT / "payloads").exists()


def test_payload_uri_that_the_recipe_does_not_say_is_refused(shop: Path) -> None:
    described(shop / BUILT, lambda body: body["payloads"][0].update(uri="77/x.bin"))
    assert fwseal("sign", BUILT, cwd=shop, code=1).reason == "layers-disagree"


def slipped_in(release: Path, payload: bytes) -> None:
    """Replace a payload after the boot key signed, and make everything unsigned agree with it."""
    found = Release.from_json((release / "release.json").read_bytes(), where="")
    recipe = author.Spec(template="single-image")
    made, draft = author.released(found, recipe, {"demo-plc.bin": payload})
    (release / "payloads/demo-plc.bin").write_bytes(payload)
    (release / "manifest.cbor").write_bytes(draft.manifest)
    (release / "release.json").write_bytes(made.to_json())


def test_payload_the_boot_key_never_signed_is_refused_by_the_release_key(shop: Path) -> None:
    fwseal("sign", BUILT, "--as", "boot", cwd=shop)
    release = shop / BUILT
    good = (release / "payloads/demo-plc.bin").read_bytes()
    for evil, reason in (
        (b"EVIL" * 500, "malformed"),
        (good[:600] + bytes([good[600] ^ 1]) + good[601:], "digest-mismatch"),
        ((release / "unsigned/demo-plc.bin").read_bytes(), "unsigned"),
    ):
        slipped_in(release, evil)
        assert fwseal("sign", BUILT, cwd=shop, code=1).reason == reason
        assert not (release / "envelope.suit").exists()
    slipped_in(release, good)
    fwseal("sign", BUILT, cwd=shop)


def test_image_of_another_release_that_the_boot_key_did_sign_is_refused(shop: Path) -> None:
    fwseal("sign", BUILT, "--as", "boot", cwd=shop)
    other = (shop / "build/1.0.0/payloads/demo-plc.bin").read_bytes()
    slipped_in(shop / BUILT, other)
    assert fwseal("sign", BUILT, cwd=shop, code=1).reason == "layers-disagree"
    assert not (shop / BUILT / "envelope.suit").exists()


def test_release_before_boot_and_boot_without_an_image_are_misuse(shop: Path) -> None:
    fwseal("sign", BUILT, "--as", "release", "--dry-run", cwd=shop, code=2)
    fwseal("sign", BUILT, "--as", "release", cwd=shop, code=2)
    assert not (shop / BUILT / "payloads").exists()


def test_of_two_that_sign_at_once_no_release_comes_out_torn(shop: Path) -> None:
    command = [sys.executable, "-m", "fwseal", "sign", BUILT, "--json"]
    pair = [
        subprocess.Popen(
            command,
            cwd=shop,
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        for _ in range(2)
    ]
    answers = [(one.communicate(timeout=60)[0], one.returncode) for one in pair]
    assert {code for _, code in answers} <= {0, 3}
    signed = [json.loads(out).get("signed") for out, code in answers if code == 0]
    assert [one for one in signed if one] != []
    assert len([one for one in signed if one]) == 1
    fwseal("verify", *offer(BUILT), "--device", PROFILE, cwd=shop)
    body = json.loads((shop / BUILT / "release.json").read_bytes())
    payload = (shop / BUILT / "payloads/demo-plc.bin").read_bytes()
    assert body["payloads"][0]["sha256"] == hashlib.sha256(payload).hexdigest()
    assert uuid.UUID(body["vendor_id"])
    assert (shop / NEW).is_dir()
