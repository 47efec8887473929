"""Promises of the command line that users and other programs rely on, one by one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

import projects
from fwseal.cli import releasedir
from projects import BUILT, NEW, PROFILE, RECIPE, edit, environment, fwseal, here, offer

if TYPE_CHECKING:
    from pathlib import Path

BARE_PROFILE = """
[device]
name = "demo-plc"
vendor-id = "fa6b4a53-d5ad-5fdf-be9d-e663e4d41ffe"
class-id = "1492af14-2569-5e48-bf42-9b2d51f2ab45"
sequence-number = 0
[[components]]
id = ["00"]
[[trust-anchors]]
kid = "dev-release"
key = "build/dev/dev-release.pem"
algorithms = ["ESP256"]
roles = ["release"]
[policy]
threshold = 1
equal-sequence-number = "refuse"
"""
DUT = ("device", "mps2-an385")


def command(*words: str, cwd: Path, **options: object) -> subprocess.CompletedProcess[str]:
    """Run a command line as it stands."""
    return subprocess.run(
        [sys.executable, "-m", "fwseal", *words],
        cwd=cwd, env=environment(), text=True, check=False, timeout=60, **options,
    )  # fmt: skip


def test_a_profile_without_sections_of_ours_is_provisioned_offered_and_refused_a_rollback(
    shop: Path,
) -> None:
    (shop / "bare.toml").write_text(BARE_PROFILE, encoding="utf-8")
    state = ("--state", "build/device")
    here(*DUT, "provision", *state, "bare.toml", cwd=shop)
    here(*DUT, "offer", *state, *offer(NEW), cwd=shop)
    old = offer("build/1.0.0", uri="1/demo-plc.bin")
    assert here(*DUT, "offer", *state, *old, cwd=shop, code=1).reason == "rollback"


def test_a_device_under_test_answers_json_without_being_asked_for_it(shop: Path) -> None:
    state = ("--state", "build/device")
    said = command(*DUT, "capabilities", cwd=shop, capture_output=True)
    assert json.loads(said.stdout)["formats"] == ["suit"]
    for words, code in (
        (("provision", *state, PROFILE), 0),
        (("offer", *state, *offer(NEW)), 0),
        (("offer", *state, *offer("build/1.0.0", uri="1/demo-plc.bin")), 1),
    ):
        said = command(*DUT, *words, cwd=shop, capture_output=True)
        assert said.returncode == code, said.stderr
        assert said.stdout.count("\n") == 1
        assert json.loads(said.stdout)["schema_version"] == 1
        assert said.stderr
    assert json.loads(said.stdout)["reason"] == "rollback"


def test_verify_of_the_number_the_profile_accepted_follows_its_policy(shop: Path) -> None:
    profile = shop / PROFILE
    edit(profile, 'formats = ["suit", "mcuboot"]', "sequence-number = 2\nformats = ['suit']")
    verify = ("verify", *offer(NEW), "--device", PROFILE)
    assert here(*verify, cwd=shop, code=1).reason == "rollback"
    edit(profile, '"refuse"', '"reapply"')
    here(*verify, cwd=shop)


def test_development_keys_and_pins_are_invisible_to_git(shop: Path) -> None:
    (shop / ".gitignore").unlink()
    projects.git(shop, "add", "--all")
    staged = projects.git(shop, "diff", "--cached", "--name-only").splitlines()
    assert any(name.startswith("build/") for name in staged)
    assert not [name for name in staged if name.startswith("build/dev/")]


def test_a_dry_run_builds_compares_and_writes_nothing(shop: Path) -> None:
    before = projects.files(shop)
    done = fwseal("build", RECIPE, "-o", "build/x", "--dry-run", cwd=shop)
    assert done.body["release"] is None
    assert len(done.body["unsigned_sha256"]["demo-plc.bin"]) == 64
    assert projects.files(shop) == before


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("2026-01-31T12:00:00Z", 0),
        ("2026-01-31t12:00:00z", 0),
        ("2026-01-31T12:00:00.25+01:00", 0),
        ("1769860800", 0),
        ("20260131T120000Z", 2),
        ("2026-W05-6T12:00:00Z", 2),
        ("2026-01-31T12:00:00", 2),
        ("2026-01-31", 2),
        ("\uff11\uff12\uff13", 2),
        ("now", 2),
    ],
)
def test_a_time_is_rfc_3339_or_epoch_seconds(shop: Path, text: str, code: int) -> None:
    here("verify", *offer(NEW), "--device", PROFILE, "--at", text, cwd=shop, code=code)


def test_options_that_say_nothing_about_the_file_are_misuse(shop: Path) -> None:
    image, key = f"{NEW}/payloads/demo-plc.bin", "build/dev/dev-boot.pem"
    here("verify", image, "--anchor", key, cwd=shop)
    here("verify", image, "--anchor", key, "--payload", f"x={image}", cwd=shop, code=2)
    here("verify", image, "--anchor", key, "--state", "build", cwd=shop, code=2)
    here("verify", *offer(NEW), "--device", PROFILE, "--anchor", key, cwd=shop, code=2)


def test_a_closed_stream_changes_no_exit_code_and_gives_no_traceback(shop: Path) -> None:
    for closing, words, code in (
        (">&-", "explain rollback", 3),
        ("2>&-", "explain nosuch", 2),
        (">&- 2>&-", "explain nosuch", 2),
    ):
        line = f'"{sys.executable}" -m fwseal {words} {closing}'
        done = subprocess.run(
            ["sh", "-c", line],
            cwd=shop,
            env=environment(),
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == code
        assert "Traceback" not in done.stderr + done.stdout


def test_a_release_that_another_command_writes_to_is_unavailable_and_unchanged(
    shop: Path,
) -> None:
    before = projects.files(shop / BUILT)
    with releasedir.writing(shop / BUILT):
        fwseal("sign", BUILT, cwd=shop, code=3)
    assert projects.files(shop / BUILT) == before
    fwseal("sign", BUILT, cwd=shop)
    here("sign", "build/nowhere", cwd=shop, code=2)


def test_a_state_of_another_device_class_or_with_two_components_is_misuse(shop: Path) -> None:
    state = ("--state", "build/device")
    here(*DUT, "provision", *state, PROFILE, cwd=shop)
    verify = ("verify", *offer(NEW), *state, "--device")
    here(*verify, PROFILE, cwd=shop)
    other = (shop / PROFILE).read_text(encoding="utf-8").replace("1492af14", "2492af14")
    (shop / "targets/other.toml").write_text(other, encoding="utf-8")
    here(*verify, "targets/other.toml", cwd=shop, code=2)
    edit(shop / "build/device/profile.toml", "[policy]", '[[components]]\nid = ["01"]\n[policy]')
    here(*DUT, "offer", *state, *offer(NEW), cwd=shop, code=2)


def test_a_root_that_is_none_is_misuse_when_the_device_is_made(shop: Path) -> None:
    words = (*DUT, "provision", "--state", "build/device", PROFILE, "--tuf-root", RECIPE)
    here(*words, cwd=shop, code=2)
    assert not (shop / "build/device").exists()


def test_a_damaged_device_says_so_without_a_traceback(shop: Path) -> None:
    state = ("--state", "build/device")
    here(*DUT, "provision", *state, PROFILE, cwd=shop)
    for text in (
        "[" * 100_000,
        '{"sequence_number": -5, "emulator": "qemu"}',
        f'{{"sequence_number": {10**23}, "emulator": "qemu"}}',
    ):
        (shop / "build/device/state.json").write_text(text, encoding="utf-8")
        here(*DUT, "offer", *state, *offer(NEW), cwd=shop, code=2)
    odd = '{"sequence_number": null, "emulator": "nope"}'
    (shop / "build/device/state.json").write_text(odd, encoding="utf-8")
    here(*DUT, "boot", *state, cwd=shop, code=2)


def test_an_integer_of_ten_thousand_digits_is_misuse(shop: Path) -> None:
    (shop / "bad.toml").write_text("a = " + "9" * 10_000, encoding="utf-8")
    here("build", "bad.toml", "-o", "build/x", cwd=shop, code=2)


def test_a_nul_in_a_project_path_is_misuse(shop: Path) -> None:
    edit(shop / "fwseal.toml", '"build/repository"', '"a\\u0000b"')
    here("publish", NEW, cwd=shop, code=2)


def test_a_narrow_terminal_loses_no_result(shop: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "fwseal", "publish", NEW, "--to", "d\u00e9p\u00f4t"],
        cwd=shop,
        env=environment(PYTHONIOENCODING="ascii", PYTHONUTF8="0"),
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert b"published demo-plc 1.1.0" in done.stdout


def test_a_pin_comes_from_a_variable_the_uri_names(token_shop: Path) -> None:
    pin = (token_shop / "build/dev/pin").read_text(encoding="ascii").strip()
    edit(token_shop / "build/dev/keyring.toml", "pin-source=file:pin", "pin-source=env:THE_PIN")
    fwseal("sign", BUILT, cwd=token_shop, code=2)
    fwseal("sign", BUILT, cwd=token_shop, env=environment(THE_PIN=pin))


def test_a_pin_comes_from_a_descriptor_the_uri_names(token_shop: Path) -> None:
    pin = (token_shop / "build/dev/pin").read_text(encoding="ascii").strip()
    reading, writing = os.pipe()
    os.write(writing, f"{pin}\n".encode())
    os.close(writing)
    keyring = token_shop / "build/dev/keyring.toml"
    edit(keyring, "pin-source=file:pin", f"pin-source=fd:{reading}")
    fwseal("sign", BUILT, cwd=token_shop, code=2)
    done = command("sign", BUILT, cwd=token_shop, pass_fds=(reading,), capture_output=True)
    os.close(reading)
    assert done.returncode == 0, done.stderr
    assert pin not in done.stdout + done.stderr
