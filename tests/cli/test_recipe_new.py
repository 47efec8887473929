"""Every recipe that we write for users does what its own comments say, to the installed update."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization

import projects
from fwseal.base.ids import Kid
from fwseal.cli import recipe as recipes
from fwseal.cose.algorithms import Algorithm
from fwseal.cose.recipients import AgreementKey, KeyAlgorithm, new_recipient_key
from fwseal.signing import softkey
from fwseal.suit import envelope as envelopes
from fwseal.suit import manifest as manifests
from fwseal.suit.labels import ManifestKey
from projects import Done, edit, fwseal, here

PROFILE = "targets/pump.toml"
IMAGE = bytes(range(256)) * 12
PAYLOADS = {
    "pump.bin": IMAGE,
    "pump-a.bin": IMAGE + b"a",
    "pump-b.bin": IMAGE + b"b",
    "radio.bin": b"radio" * 99,
}
FETCHED = {
    "single-image": ("pump.bin",),
    "a-b-slots": ("pump-a.bin", "pump-b.bin"),
    "two-processors": ("pump.bin", "radio.bin"),
    "encrypted-aes-kw": ("pump.bin",),
    "encrypted-ecdh": ("pump.bin",),
    "severed": ("pump.bin",),
    "hybrid-signature": ("pump.bin",),
}
"""What devices fetch for each recipe; radio-processor is the half of two-processors."""
ENCRYPTED = ("encrypted-aes-kw", "encrypted-ecdh")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Answer a project as `fwseal init` writes it, with file keys and built payloads."""
    folder = tmp_path_factory.mktemp("recipes") / "pump"
    folder.mkdir()
    here("init", "pump", "--vendor", "example.com", cwd=folder)
    here("keys", "init", "--dev", "--in", "files", cwd=folder)
    for name, data in PAYLOADS.items():
        (folder / "manifests" / name).write_bytes(data)
    keys = folder / "build/dev"
    device = new_recipient_key(KeyAlgorithm.ECDH_ES_A128KW, kid=Kid("device-1"), random=os.urandom)
    assert isinstance(device, AgreementKey)
    (keys / "device.cose").write_bytes(device.encode())
    pem = (
        device.public()
        .point.handle()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    (keys / "device.pem").write_bytes(pem)
    # The commands of hybrid-signature make this key, with an OpenSSL that few systems have yet.
    later = softkey.generate(Algorithm.ML_DSA_65)
    (keys / "release-pq.key").write_bytes(later)
    (keys / "release-pq.pem").write_bytes(softkey.public_of(later, where="release-pq").pem)
    return folder


@pytest.fixture
def pump(project: Path, tmp_path: Path) -> Path:
    """Answer a copy of that project."""
    return shutil.copytree(project, tmp_path / "pump")


def new(folder: Path, name: str) -> Path:
    """Write a recipe where its own comments expect it."""
    path = folder / f"manifests/{name}.toml"
    here("recipe", "new", name, "-o", path, cwd=folder)
    return path


def follow(folder: Path, name: str) -> None:
    """Do what a recipe's comments say: add to the profile, and run the commands."""
    text = (folder / f"manifests/{name}.toml").read_text(encoding="utf-8")
    said = re.findall(r"^#     (.+)$", text, re.MULTILINE)
    commands = [line.removeprefix("$ ") for line in said if line.startswith("$ ")]
    profile = "\n".join(line for line in said if not line.startswith("$ "))
    assert any(command.startswith("fwseal author ") for command in commands)
    known = (folder / PROFILE).read_text(encoding="utf-8")
    if 'id = ["00"]' in profile:
        known = known.replace('[[components]]\nid = ["00"]', profile)
    elif profile:
        known += f"\n{profile}\n"
    (folder / PROFILE).write_text(known, encoding="utf-8")
    for command in commands:
        if command.startswith("fwseal "):
            here(*shlex.split(command)[1:], cwd=folder)
        elif not command.startswith("openssl "):
            subprocess.run(command, shell=True, cwd=folder, check=True, timeout=60)  # noqa: S602 - as a user types it


def ready(folder: Path, name: str) -> Path:
    """Answer the envelope of a recipe, made as its comments say."""
    for one in ("radio-processor", name) if name == "two-processors" else (name,):
        new(folder, one)
        follow(folder, one)
    return folder / f"build/{name}.suit"


def verified(folder: Path, name: str, *, code: int = 0) -> Done:
    """Answer what the device says to a recipe's envelope, and what it fetches."""
    place = f"build/{name}" if name in ENCRYPTED else "manifests"
    options = [word for file in FETCHED[name] for word in ("--payload", f"1/{file}={place}/{file}")]
    return here(
        "verify", f"build/{name}.suit", "--device", PROFILE, *options, cwd=folder, code=code
    )


def test_every_recipe_is_listed_and_tried_here(tmp_path: Path) -> None:
    said = here("recipe", "list", cwd=tmp_path).body["recipes"]
    assert {one["name"] for one in said} == {*FETCHED, "radio-processor"}
    assert all(one["about"] for one in said)
    folder = Path(recipes.__file__).parent / "templates"
    assert {path.stem for path in folder.glob("*.toml")} == set(recipes.NAMES)


@pytest.mark.parametrize("name", FETCHED)
def test_a_recipe_does_what_its_comments_say_and_the_device_installs_it(
    pump: Path, name: str
) -> None:
    ready(pump, name)
    assert verified(pump, name).body["verdict"] == "accepted"


@pytest.mark.parametrize("name", FETCHED)
def test_a_payload_changed_behind_a_recipe_is_refused(pump: Path, name: str) -> None:
    ready(pump, name)
    place = pump / (f"build/{name}" if name in ENCRYPTED else "manifests")
    changed = place / FETCHED[name][-1 if name == "two-processors" else 0]
    data = changed.read_bytes()
    changed.write_bytes(data[:9] + bytes([data[9] ^ 1]) + data[10:])
    wanted = "decryption-failed" if name in ENCRYPTED else "payload-digest"
    assert verified(pump, name, code=1).reason == wanted


@pytest.mark.parametrize("name", FETCHED)
def test_an_envelope_of_a_recipe_with_one_bit_flipped_is_refused(pump: Path, name: str) -> None:
    path = ready(pump, name)
    data = path.read_bytes()
    for at in range(3, len(data), max(1, len(data) // 12)):
        path.write_bytes(data[:at] + bytes([data[at] ^ 4]) + data[at + 1 :])
        assert verified(pump, name, code=1).reason


def test_a_device_takes_the_build_for_its_own_slot(pump: Path) -> None:
    ready(pump, "a-b-slots")
    only_b = ("--payload", "1/pump-b.bin=manifests/pump-b.bin")
    offer = ("verify", "build/a-b-slots.suit", "--device", PROFILE, *only_b)
    assert here(*offer, cwd=pump, code=1).reason == "payload-missing"
    edit(pump / PROFILE, "slots = [0, 1]", "slots = [1]")
    here(*offer, cwd=pump)
    edit(pump / PROFILE, "slots = [1]", "slots = [2]")
    assert here(*offer, cwd=pump, code=1).reason


def test_a_dependency_may_be_fetched_instead_of_travelling_along(pump: Path) -> None:
    ready(pump, "two-processors")
    edit(pump / "manifests/two-processors.toml", "\nintegrated = true", "\n# integrated = true")
    follow(pump, "two-processors")
    assert verified(pump, "two-processors", code=1).reason == "dependency-missing"
    envelope = envelopes.decode((pump / "build/two-processors.suit").read_bytes())
    assert not envelope.integrated
    files = ("1/pump.bin", "1/radio.bin", "1/radio-processor.suit")
    options = [w for uri in files for w in ("--payload", f"{uri}=manifests/{uri[2:]}")]
    here("verify", "build/two-processors.suit", "--device", PROFILE, *options, cwd=pump)


def test_an_encrypted_payload_is_no_longer_the_plaintext_and_new_each_time(pump: Path) -> None:
    ready(pump, "encrypted-aes-kw")
    path = pump / "build/encrypted-aes-kw/pump.bin"
    first = path.read_bytes()
    assert IMAGE not in first
    assert len(first) == len(IMAGE) + 16
    assert (pump / "manifests/pump.bin").read_bytes() == IMAGE
    (pump / "manifests/encrypted-aes-kw.toml").unlink()
    ready(pump, "encrypted-aes-kw")
    assert path.read_bytes() != first


@pytest.mark.parametrize("name", ENCRYPTED)
def test_a_device_without_the_key_cannot_read_an_encrypted_payload(pump: Path, name: str) -> None:
    ready(pump, name)
    edit(pump / PROFILE, "[[recipients]]", "[[trust-anchors-of-no-use]]")
    here("verify", f"build/{name}.suit", "--device", PROFILE, cwd=pump, code=2)
    text = (pump / PROFILE).read_text(encoding="utf-8").partition("[[trust-anchors-of-no-use]]")[0]
    (pump / PROFILE).write_text(text, encoding="utf-8")
    assert verified(pump, name, code=1).reason == "decryption-failed"


def test_a_severed_envelope_keeps_install_and_text_beside_its_manifest(pump: Path) -> None:
    envelope = envelopes.decode(ready(pump, "severed").read_bytes())
    assert set(envelope.severed) == {ManifestKey.INSTALL, ManifestKey.TEXT}
    assert set(manifests.decode(envelope.manifest).severed()) == set(envelope.severed)


def test_both_signatures_of_a_hybrid_envelope_are_demanded(pump: Path) -> None:
    path = ready(pump, "hybrid-signature")
    edit(pump / PROFILE, "threshold = 1", "threshold = 2")
    evidence = verified(pump, "hybrid-signature").body["evidence"]
    assert evidence["signers"] == ["dev-release", "release-pq"]
    one = ("author", "manifests/hybrid-signature.toml", "--key", "dev-release", "-o", path)
    here(*one, cwd=pump)
    assert verified(pump, "hybrid-signature", code=1).reason == "threshold-not-met"


def test_a_recipe_goes_to_stdout_unless_a_file_is_named(pump: Path) -> None:
    before = projects.files(pump)
    said = here("recipe", "new", "severed", cwd=pump, as_json=False).out
    assert projects.files(pump) == before
    body = here("recipe", "new", "severed", cwd=pump).body
    assert (body["recipe"], body["file"], body["template"]) == (said, None, "severed")
    assert new(pump, "severed").read_text(encoding="utf-8") == said
    assert "@" not in said


def test_a_recipe_is_never_overwritten(pump: Path) -> None:
    before = projects.files(pump)
    here("recipe", "new", "severed", "-o", "manifests/pump.toml", cwd=pump, code=2)
    (pump / "link.toml").symlink_to("nowhere")
    here("recipe", "new", "severed", "-o", "link.toml", cwd=pump, code=2)
    (pump / "link.toml").unlink()
    assert projects.files(pump) == before


def test_a_recipe_is_for_one_device_of_the_project_and_asks_when_there_are_more(
    pump: Path,
) -> None:
    shutil.copy(pump / PROFILE, pump / "targets/valve.toml")
    edit(pump / "targets/valve.toml", 'name = "pump"', 'name = "valve"')
    edit(pump / "targets/valve.toml", 'line = "pump"', "")
    here("recipe", "new", "severed", cwd=pump, code=2)
    named = ("recipe", "new", "severed", "--device")
    text = here(*named, "targets/valve.toml", cwd=pump).body["recipe"]
    assert 'device = "targets/valve.toml"' in text
    assert 'line = "valve"' in text
    for path in (pump / PROFILE, pump / "targets/valve.toml"):
        path.rename(path.with_suffix(".away"))
    here("recipe", "new", "severed", cwd=pump, code=2)
    here("recipe", "new", "other", cwd=pump, code=2)
    here("recipe", "new", cwd=pump, code=2)
    (pump / "targets/a b.toml").write_bytes((pump / "targets/pump.away").read_bytes())
    here(*named, "targets/a b.toml", cwd=pump, code=2)
    (pump.parent / "outside.toml").write_bytes((pump / "targets/pump.away").read_bytes())
    here(*named, "../outside.toml", cwd=pump, code=2)
    here("recipe", "new", "severed", cwd=pump.parent, code=2)


def test_the_wheel_carries_every_recipe(tmp_path: Path) -> None:
    import sys
    import zipfile

    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(command, cwd=projects.ROOT, check=True, capture_output=True, timeout=120)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    assert {f"fwseal/cli/templates/{name}.toml" for name in recipes.NAMES} <= names


def test_a_recipe_written_without_json_says_where(pump: Path) -> None:
    said = fwseal(
        "recipe", "new", "single-image", "-o", "manifests/x.toml", cwd=pump, as_json=False
    )
    assert said.out == "wrote manifests/x.toml\n"
