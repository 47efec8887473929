"""Whatever stands on the command line or in a file: one line, a hint, the right exit code, and
nothing written."""

from __future__ import annotations

import json
import os
import shutil
from typing import TYPE_CHECKING

import pytest

import projects
from fwseal.base.errors import Misuse
from fwseal.cli import files, inputs
from fwseal.cli.main import VERBS
from projects import BUILT, NEW, OLD, PROFILE, RECIPE, URI, edit, offer
from projects import here as fwseal

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PEM = "build/dev/dev-release.pem"
KEYRING = "build/dev/keyring.toml"


@pytest.mark.parametrize(
    "words",
    [
        ["publsh"],
        ["--json"],
        ["-v"],
        ["../keys"],
        ["render"],
        ["build"],
        ["build", RECIPE],
        ["build", RECIPE, "-o"],
        ["build", RECIPE, "--output", "x", "--fast"],
        ["build", RECIPE, "--outp", "x"],
        ["sign", BUILT, "--as", "owner"],
        ["sign", BUILT, "--pin", "1234"],
        ["keys"],
        ["keys", "init"],
        ["keys", "init", "--de"],
        ["keys", "burn"],
        ["keys", "list", "--dev"],
        ["repo"],
        ["repo", "serve", "--port", "eighty"],
        ["repo", "serve", "--seconds", "soon"],
        ["device"],
        ["device", "mps2-an386", "boot", "--state", "x"],
        ["device", "mps2-an385"],
        ["device", "mps2-an385", "boot"],
        ["device", "mps2-an385", "boot", "--stat", "x"],
        ["device", "mps2-an385", "provision", "--state", "x", PROFILE, "--emulator", "bochs"],
        ["verify"],
        ["verify", "a", "b"],
        ["explain"],
        ["init"],
        ["init", "pump"],
    ],
    ids=" ".join,
)
def test_a_command_line_that_means_nothing_is_misuse(
    workshop_project: Path, words: list[str]
) -> None:
    before = projects.files(workshop_project)
    fwseal(*words, cwd=workshop_project, code=2)
    assert projects.files(workshop_project) == before


def test_a_bare_command_shows_the_help_and_is_misuse(tmp_path: Path) -> None:
    import subprocess
    import sys

    done = subprocess.run(
        [sys.executable, "-m", "fwseal"], cwd=tmp_path, capture_output=True, text=True,
        check=False, timeout=30, env=projects.environment(),
    )  # fmt: skip
    assert done.returncode == 2
    assert all(verb in done.stdout for verb in VERBS)


NO_FILE = [
    ("build", "missing.toml", "-o", "x"),
    ("build", "targets", "-o", "x"),
    ("build", "n" * 300, "-o", "x"),
    ("author", "missing.toml", "--key", "dev-release", "-o", "x"),
    ("author", RECIPE, "--key", "file:missing", "-o", "x", "--payload", f"{URI}={PROFILE}"),
    ("author", RECIPE, "--key", "dev-release", "-o", "x"),
    ("author", RECIPE, "--key", "nobody", "-o", "x", "--payload", f"{URI}={PROFILE}"),
    ("author", RECIPE, "--key", "dev-release", "-o", "x", "--payload", f"7/x={PROFILE}"),
    ("sign", "missing"),
    ("sign", "targets"),
    ("sign", "n" * 300),
    ("publish", "missing"),
    ("verify", "missing", "--device", PROFILE),
    ("verify", "n" * 300, "--device", PROFILE),
    ("verify", f"{NEW}/envelope.suit", "--device", "missing"),
    ("verify", f"{NEW}/envelope.suit", "--device", RECIPE),
    ("verify", f"{NEW}/envelope.suit", "--device", f"{NEW}/envelope.suit"),
    ("verify", f"{NEW}/envelope.suit"),
    ("verify", f"{NEW}/payloads/demo-plc.bin"),
    ("verify", f"{NEW}/payloads/demo-plc.bin", "--anchor", "missing"),
    ("verify", f"{NEW}/payloads/demo-plc.bin", "--anchor", PROFILE),
    ("verify", f"{NEW}/payloads/demo-plc.bin", "--anchor", PEM, "--device", PROFILE),
    ("verify", *offer(), "--device", PROFILE, "--state", "missing"),
    ("verify", *offer(), "--device", PROFILE, "--payload", "no-equals-sign"),
    ("verify", *offer(), "--device", PROFILE, "--payload", "=file"),
    ("verify", *offer(), "--device", PROFILE, "--payload", "a=missing"),
    ("verify", *offer(), "--device", PROFILE, "--payload", "a=targets"),
    ("verify", *offer(), "--device", PROFILE, "--payload", "a=" + "n" * 300),
    ("verify", *offer(), "--device", PROFILE, "--payload", f"{URI}={PROFILE}"),
    ("verify", f"{NEW}/envelope.suit", "--payload", f"{URI}=/proc/self/mem", "--device", PROFILE),
    ("explain", "missing"),
    ("explain", "Rollback"),
    ("explain", "n" * 5000),
    ("explain", "targets"),
    ("repo", "serve", "missing"),
    ("repo", "serve", "--port", "0"),
    ("keys", "list", "--keyring", "missing"),
    ("keys", "list", "--keyring", "n" * 300),
    ("keys", "list", "--keyring", PROFILE),
    ("keys", "init", "--dev"),
    ("device", "mps2-an385", "boot", "--state", "missing"),
    ("device", "mps2-an385", "confirm", "--state", "targets"),
    ("device", "mps2-an385", "offer", "--state", "missing", *offer()),
    ("device", "mps2-an385", "provision", "--state", "targets", PROFILE),
    ("device", "mps2-an385", "provision", "--state", "fwseal.toml", PROFILE),
    ("device", "mps2-an385", "provision", "--state", "x", "missing"),
    ("device", "mps2-an385", "provision", "--state", "x", PROFILE, "--tuf-root", "missing"),
    ("init", "demo", "--vendor", "bad vendor"),
    ("init", "../demo", "--vendor", "example.com"),
    ("init", "demo", "--vendor", "example.com"),
    ("build", RECIPE, "-o", NEW),
    ("build", RECIPE, "-o", "fwseal.toml"),
    ("build", RECIPE, "-o", "."),
    ("publish", BUILT, "--to", "x"),
    ("publish", BUILT, "--to", "x", "--dry-run"),
    ("sign", BUILT, "--as", "release"),
    ("sign", "build/targets/mps2-an385"),
]


@pytest.mark.parametrize("words", NO_FILE, ids=lambda words: " ".join(words)[:70])
def test_what_cannot_be_used_is_misuse_and_nothing_is_written(
    workshop_project: Path, words: tuple[str, ...]
) -> None:
    before = projects.files(workshop_project)
    fwseal(*words, cwd=workshop_project, code=2)
    assert projects.files(workshop_project) == before


@pytest.mark.parametrize(
    "text",
    ["yesterday", "2026-01-31", "2026-01-31T12:00:00", "-5", "²", "99999999999999999999",
     "253402300799", "9999-12-31T23:59:59Z", "0001-01-01T00:00:00+14:00", ""],
)  # fmt: skip
@pytest.mark.parametrize("verb", ["publish", "verify"])
def test_a_time_that_is_none_or_that_no_lifetime_fits_behind_is_misuse(
    workshop_project: Path, verb: str, text: str
) -> None:
    words = (NEW, "--to", "x") if verb == "publish" else (*offer(), "--device", PROFILE)
    fwseal(verb, *words, f"--at={text}", cwd=workshop_project, code=2)
    assert not (workshop_project / "x").exists()


@pytest.mark.parametrize(
    "text", ["2026-11-23T12:00:00Z", "2026-11-23T13:00:00+01:00", "1795435200"]
)
def test_rfc_3339_and_epoch_seconds_mean_the_same_time(text: str) -> None:
    assert inputs.time(text).isoformat() == "2026-11-23T12:00:00+00:00"


def garbage() -> dict[str, Callable[[bytes], bytes]]:
    return {
        "empty": lambda _: b"",
        "text": lambda _: b"this is no envelope\n",
        "cut in half": lambda good: good[: len(good) // 2],
        "cut by one byte": lambda good: good[:-1],
        "one byte more": lambda good: good + b"\0",
        "nested": lambda _: b"\x81" * 5000,
        "zeros": lambda good: bytes(len(good)),
    }


@pytest.mark.parametrize("damage", garbage())
@pytest.mark.parametrize("name", ["envelope.suit", "payloads/demo-plc.bin"])
def test_a_damaged_file_is_refused_as_malformed_by_verify_and_explain(
    workshop_project: Path, tmp_path: Path, name: str, damage: str
) -> None:
    shop, file = workshop_project, tmp_path / "damaged"
    file.write_bytes(garbage()[damage]((shop / NEW / name).read_bytes()))
    verified = fwseal("verify", file, "--device", PROFILE, cwd=shop, code=1)
    assert verified.reason in ("malformed", "limit-exceeded")
    explained = fwseal("explain", file, cwd=shop, code=1)
    assert explained.reason == verified.reason
    for words in (("explain", file), ("verify", file, "--device", PROFILE)):
        said = fwseal(*words, cwd=shop, code=1, as_json=False)
        assert said.err.startswith(f"fwseal: error: {verified.reason}: ")
        assert said.out == ""


def test_a_device_takes_only_the_formats_its_profile_names(shop: Path) -> None:
    image = f"{NEW}/payloads/demo-plc.bin"
    edit(shop / PROFILE, '["suit", "mcuboot"]', '["suit"]')
    assert fwseal("verify", image, "--device", PROFILE, cwd=shop, code=1).reason == "unsupported"
    edit(shop / PROFILE, '["suit"]', '["mcuboot"]')
    fwseal("verify", image, "--device", PROFILE, cwd=shop)
    refused = fwseal("verify", *offer(), "--device", PROFILE, cwd=shop, code=1)
    assert refused.reason == "unsupported"


def test_an_image_is_accepted_under_its_key_alone_and_refused_under_another(shop: Path) -> None:
    image = f"{NEW}/payloads/demo-plc.bin"
    fwseal("verify", image, "--anchor", "build/dev/dev-boot.pem", cwd=shop)
    assert fwseal("verify", image, "--anchor", PEM, cwd=shop, code=1).reason == "unknown-signer"
    unsigned = fwseal(
        "verify", f"{NEW}/unsigned/demo-plc.bin", "--device", PROFILE, cwd=shop, code=1
    )
    assert unsigned.reason == "unsigned"


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        (RECIPE, "[product]", "[product]\ncolor = 'red'"),
        (RECIPE, "[build]", "[build]\nshell = true"),
        (RECIPE, "[[payload]]", "[[payload]]\nsize = 1"),
        (RECIPE, "[manifest]", "[manifest]\nrun = ['rm']"),
        (RECIPE, "[source]", "[extra]\na = 1\n[source]"),
        (RECIPE, "sequence-number = 2", "sequence-number = '2'"),
        (RECIPE, "sequence-number = 2", "sequence-number = -1"),
        (RECIPE, "sequence-number = 2", "sequence-number = 2.0"),
        (RECIPE, "sequence-number = 2", "sequence-number = 4294967296"),
        (RECIPE, 'version = "1.1.0"', "version = 1"),
        (RECIPE, 'version = "1.1.0"', 'version = "one"'),
        (RECIPE, 'version = "1.1.0"', ""),
        (RECIPE, 'name = "demo-plc"', 'name = "../demo"'),
        (RECIPE, 'device = "targets/mps2-an385.toml"', 'device = "targets/none.toml"'),
        (RECIPE, 'device = "targets/mps2-an385.toml"', 'device = "a\\u0000b"'),
        (RECIPE, "[product]", "[product"),
        (RECIPE, "0x20000000", "0x20000200"),
        (RECIPE, "examples/demo-plc\",", "examples/none\","),
        (RECIPE, "examples/demo-plc\",", "../examples\","),
        (RECIPE, "examples/demo-plc\",", "/etc\","),
        (RECIPE, 'commit = "HEAD"', 'commit = "main"'),
        (RECIPE, 'commit = "HEAD"', f'commit = "{"0" * 40}"'),
        (RECIPE, "out/demo-plc.elf", "out/other.elf"),
        (RECIPE, "{fault}", "{fault-injection}"),
        ("fwseal.toml", "[project]", "[project]\nsecret = 1"),
        ("fwseal.toml", "[project]", "[projects]"),
        ("fwseal.toml", "keyring =", "keyring = 1 #"),
        ("fwseal.toml", "[project]", "\u0000"),
        (PROFILE, "threshold = 1", "threshold = 0"),
        (PROFILE, "layout.toml", "none.toml"),
        (PROFILE, "[memory]\nlayout", "[memory]\n# layout"),
        ("targets/mps2-an385/layout.toml", "[memory]", "[memories]"),
    ],
)  # fmt: skip
def test_a_mistake_in_a_file_is_named_and_no_release_is_made(
    shop: Path, file: str, old: str, new: str
) -> None:
    edit(shop / file, old, new)
    done = fwseal("build", RECIPE, "-o", "build/x", cwd=shop, code=2)
    assert done.body["error"]["message"]
    assert not (shop / "build/x").exists()


@pytest.mark.parametrize(
    "file",
    [RECIPE, "fwseal.toml", PROFILE, "targets/mps2-an385/layout.toml", KEYRING, PEM],
)
@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"", b"\x00" * 100, b"[" * 10000])
def test_a_file_that_is_not_what_it_should_be_is_misuse_wherever_it_is_read(
    shop: Path, file: str, content: bytes
) -> None:
    (shop / file).write_bytes(content)
    fwseal("build", RECIPE, "-o", "build/x", cwd=shop, code=2)
    assert not (shop / "build/x").exists()
    assert not list((shop / "build").glob(".*"))


def test_without_a_project_file_the_hint_says_how_to_get_one(tmp_path: Path) -> None:
    for words in (["keys", "list"], ["keys", "init", "--dev"], ["repo", "serve"]):
        assert "init" in fwseal(*words, cwd=tmp_path, code=2).body["error"]["hint"]


def test_a_project_outside_git_and_a_folder_of_a_repository_are_told_apart(shop: Path) -> None:
    shutil.move(shop / ".git", shop / "git")
    done = fwseal("build", RECIPE, "-o", "build/x", cwd=shop, code=2)
    assert "git init" in done.body["error"]["hint"]
    (shop / "inner").mkdir()
    for name in ("examples", "targets", "manifests", "fwseal.toml", "build", ".gitignore"):
        shutil.move(shop / name, shop / "inner" / name)
    shutil.rmtree(shop / "git")
    projects.git(shop, "init", "--quiet")
    projects.commit(shop)
    fwseal("build", RECIPE, "-o", "build/x", cwd=shop / "inner")


def test_an_image_of_another_project_folder_is_read_from_beside_its_recipe(shop: Path) -> None:
    """`author` finds payloads beside the recipe; an empty one that is named is still the one."""
    (shop / "manifests/demo-plc.bin").write_bytes(b"beside")
    (shop / "empty.bin").write_bytes(b"")
    author = ("author", RECIPE, "--key", "file:build/dev/dev-release.key")
    fwseal(*author, "-o", "beside.suit", cwd=shop)
    fwseal(*author, "-o", "empty.suit", "--payload", f"{URI}=empty.bin", cwd=shop)
    for name, size in (("beside", 6), ("empty", 0)):
        text = fwseal("explain", f"{name}.suit", cwd=shop).body["text"]
        assert any(line.endswith(f"image-size = {size} bytes") for line in text)


def test_one_uri_is_given_one_file(shop: Path) -> None:
    twice = ("--payload", f"{URI}={OLD}/payloads/demo-plc.bin")
    fwseal("verify", *offer(), *twice, "--device", PROFILE, cwd=shop, code=2)


def test_text_of_a_hostile_name_never_reaches_the_terminal_as_it_is(shop: Path) -> None:
    name = "a\x1b[2Jb\nfwseal: error: fake"
    said = fwseal("explain", name, cwd=shop, code=2, as_json=False)
    assert "\x1b" not in said.err
    recipe = shop / "manifests/bad\x1bname.toml"
    recipe.write_text("[", encoding="utf-8")
    said = fwseal("build", recipe, "-o", "build/x", cwd=shop, code=2, as_json=False)
    assert "\x1b" not in said.err
    missing = os.fsencode("missing") + b"\xff"
    said = projects.fwseal("verify", os.fsdecode(missing), "--device", PROFILE, cwd=shop, code=2)
    assert json.loads(said.out)["error"]["message"].startswith("cannot read missing")


def test_a_null_character_in_a_name_is_misuse_not_a_crash(tmp_path: Path) -> None:
    with pytest.raises(Misuse):
        files.read(tmp_path / "a\0b")
