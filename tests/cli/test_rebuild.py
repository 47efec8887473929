"""A second builder gets the same digest from release and source alone, or attests nothing."""

from __future__ import annotations

import base64
import dataclasses
import importlib.metadata
import json
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from securesystemslib.dsse import Envelope
from securesystemslib.signer import SSlibKey

import projects
from build import benches
from fwseal.base.ids import PayloadFormat
from fwseal.base.release import Payload, Release, State
from fwseal.build import provenance, rebuild, recorder, walls
from fwseal.build.rebuild import Attested
from fwseal.build.walls import Level
from fwseal.cli import verify_rebuild
from needs import need_program
from projects import BUILT, PROFILE, RECIPE, here

SOURCE = "build/source.tar"
UNSIGNED = f"{BUILT}/unsigned/demo-plc.bin"


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    need_program("make")
    need_program("strace")
    folder = projects.new(tmp_path_factory.mktemp("rebuild") / "shop")
    here("keys", "init", "--dev", "--in", "files", cwd=folder)
    here("build", RECIPE, "-o", BUILT, "--source-archive", SOURCE, cwd=folder)
    here("sign", BUILT, cwd=folder)
    return folder


@pytest.fixture
def shop(original: Path, tmp_path: Path) -> Path:
    return shutil.copytree(original, tmp_path / "shop", symlinks=True)


@pytest.fixture
def elsewhere(shop: Path, tmp_path: Path) -> Path:
    """Answer the folder of a second builder: the release, the source archive, keys of its own."""
    folder = tmp_path / "elsewhere"
    shutil.copytree(shop / BUILT, folder / "release")
    shutil.copy(shop / SOURCE, folder / "source.tar")
    other = projects.new(tmp_path / "other project")
    here("keys", "init", "--dev", "--in", "files", cwd=other)
    shutil.copytree(other / "build/dev", folder / "keys")
    return folder


AGAIN = ("rebuild", "release", "--source", "source.tar", "--keyring", "keys/keyring.toml")


def statement(release: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Answer the one rebuild's DSSE envelope, and the statement inside."""
    (path,) = release.glob("statements/rebuild-*.dsse.json")
    envelope = json.loads(path.read_bytes())
    return envelope, json.loads(base64.b64decode(envelope["payload"]))


def test_a_second_builder_needs_the_release_and_the_source_and_nothing_else(
    elsewhere: Path,
) -> None:
    before = json.loads((elsewhere / "release/release.json").read_bytes())
    done = here(*AGAIN, cwd=elsewhere)
    assert done.body["unsigned_sha256"] == {
        "demo-plc.bin": before["payloads"][0]["unsigned_sha256"]
    }
    envelope, said = statement(elsewhere / "release")
    assert said["subject"][0]["digest"]["sha256"] == before["payloads"][0]["unsigned_sha256"]
    assert said["predicateType"] == rebuild.PREDICATE_TYPE
    assert said["predicate"]["environment"].keys() == {
        "host", "operator", "kernel", "compiler", "sandbox", "recorder",
    }  # fmt: skip
    key = serialization.load_pem_public_key((elsewhere / "keys/dev-builder.pem").read_bytes())
    known = SSlibKey.from_crypto(key, keyid="dev-builder")
    assert list(Envelope.from_dict(envelope).verify([known], 1)) == ["dev-builder"]


@pytest.mark.parametrize("level", list(Level), ids=lambda level: level.value)
def test_every_sandbox_level_and_another_installation_give_the_same_digest(
    elsewhere: Path, level: Level, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    benches.need_level(level)
    tools = tmp_path / "mine/zig"
    package = importlib.metadata.distribution("ziglang").locate_file("ziglang")
    shutil.copytree(Path(str(package)), tools)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    done = here(*AGAIN, "--toolchain", tools, "--sandbox", level.value, cwd=elsewhere)
    assert done.body["sandbox"] == level.value
    _, said = statement(elsewhere / "release")
    assert said["predicate"]["environment"]["compiler"].startswith("folder zig sha256:")


def test_another_user_gets_the_same_digest(elsewhere: Path) -> None:
    if os.getuid():
        pytest.skip("only root can become another user")
    for place in (elsewhere, *elsewhere.rglob("*")):
        os.chown(place, 65534, 65534)
    for above in elsewhere.parents[:3]:
        above.chmod(above.stat().st_mode | 0o055)
    # Python's own path may lie in root's home; the system's finds the same packages.
    packages = f"{projects.ROOT / 'toolchain'}:{sysconfig.get_path('purelib')}"
    here_python = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    python = shutil.which(here_python, path="/usr/bin") or sys.executable
    words = [python, "-m", "fwseal", *AGAIN, "--json"]
    env = {
        **projects.environment(), "HOME": str(elsewhere), "TMPDIR": "/var/tmp",
        "PYTHONPATH": packages,
    }  # fmt: skip
    done = subprocess.run(
        words, cwd=elsewhere, env=env, user=65534, group=65534, extra_groups=[],
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["words"] == "repeatable"


def test_one_changed_byte_of_the_source_is_no_rebuild(elsewhere: Path) -> None:
    data = bytearray((elsewhere / "source.tar").read_bytes())
    data[data.index(b"int main")] ^= 1
    (elsewhere / "source.tar").write_bytes(data)
    done = here(*AGAIN, cwd=elsewhere, code=1)
    assert done.reason == "digest-mismatch"
    assert not list(elsewhere.glob("release/statements/rebuild-*"))


def test_a_digest_that_does_not_come_out_is_not_attested(elsewhere: Path) -> None:
    path = elsewhere / "release/release.json"
    body = json.loads(path.read_bytes())
    body["payloads"][0]["unsigned_sha256"] = "00" * 32
    path.write_bytes(json.dumps(body).encode())
    done = here(*AGAIN, cwd=elsewhere, code=1)
    assert done.reason == "not-reproduced"
    assert done.body["error"]["where"] == "demo-plc.bin"
    assert not list(elsewhere.glob("release/statements/rebuild-*"))


def test_another_compiler_than_the_locked_one_attests_nothing(
    elsewhere: Path, tmp_path: Path
) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "zig").write_bytes(b"another")
    done = here(*AGAIN, "--toolchain", tools, cwd=elsewhere, code=1)
    assert done.reason == "undeclared-input"
    assert not list(elsewhere.glob("release/statements/rebuild-*"))


def test_a_dry_run_attests_nothing(elsewhere: Path) -> None:
    here(*AGAIN, "--dry-run", cwd=elsewhere)
    assert not list(elsewhere.glob("release/statements/rebuild-*"))


@pytest.mark.parametrize(
    ("change", "code", "reason"),
    [
        ("recipe.toml", 1, "digest-mismatch"),
        ("layout.toml", 2, None),
        ("toolchain.lock.toml", 2, None),
        ("statements/provenance.dsse.json", 1, "malformed"),
    ],
)
def test_a_release_whose_files_were_changed_is_not_rebuilt(
    elsewhere: Path, change: str, code: int, reason: str | None
) -> None:
    (elsewhere / "release" / change).write_bytes(b"x = 1")
    assert here(*AGAIN, cwd=elsewhere, code=code).reason == reason
    assert not list(elsewhere.glob("release/statements/rebuild-*"))


def test_a_key_that_is_no_builders_attests_nothing(elsewhere: Path) -> None:
    here(*AGAIN, "--as", "dev-release", cwd=elsewhere, code=2)
    here(*AGAIN, "--as", "nobody", cwd=elsewhere, code=2)
    here(*AGAIN, "--as", "dev-builder", "--dry-run", cwd=elsewhere)


def test_builders_of_one_machine_are_repeatable_and_a_strangers_word_does_not_count(
    shop: Path,
) -> None:
    done = here("rebuild", BUILT, "--source", SOURCE, cwd=shop)
    assert (done.body["builders"], done.body["words"]) == (1, "repeatable")
    forged = json.loads((shop / BUILT / "statements/provenance.dsse.json").read_bytes())
    forged["signatures"][0]["keyid"] = "stranger"
    place = shop / BUILT / "statements/other.dsse.json"
    place.write_bytes(json.dumps(forged).encode())
    done = here("rebuild", BUILT, "--source", SOURCE, cwd=shop)
    assert "other.dsse.json does not count" in done.err
    assert done.body["builders"] == 1


ONE, TWO, THREE = (
    Attested(host=f"host {name}", operator=f"operator {name}", compiler=f"compiler {name}")
    for name in "abc"
)


@pytest.mark.parametrize(
    ("several", "count", "words"),
    [
        ((), 0, "repeatable"),
        ((ONE,), 1, "repeatable"),
        ((ONE, ONE), 1, "repeatable"),
        ((ONE, Attested(host="x", operator="x", compiler=ONE.compiler)), 1, "repeatable"),
        ((ONE, Attested(host="x", operator=ONE.operator, compiler="x")), 1, "repeatable"),
        ((ONE, Attested(host=ONE.host, operator="x", compiler="x")), 1, "repeatable"),
        ((ONE, TWO), 2, "reproduced by 2"),
        ((ONE, ONE, TWO, THREE, TWO), 3, "reproduced by 3"),
    ],
)
def test_only_builders_that_differ_in_everything_confirm_one_another(
    several: tuple[Attested, ...], count: int, words: str
) -> None:
    assert rebuild.builders(several) == count
    assert rebuild.words(count) == words


@pytest.mark.parametrize("payload", [b"", b"[]", b"{}", b'{"subject": []}', b"[" * 100_000])
def test_a_statement_of_something_else_names_no_source_and_attests_nothing(payload: bytes) -> None:
    with pytest.raises(rebuild.Refused, match="names no source"):
        rebuild.origin(payload)
    assert rebuild.attested(payload, RELEASE) is None


def body(kind: str, digest: str = "11" * 32) -> bytes:
    subject = {"name": "unsigned/app.bin", "digest": {"sha256": digest}}
    facts = {"host": "h", "operator": "o", "compiler": "wheel zig sha256:x"}
    predicate = {"environment": facts, "buildDefinition": {"internalParameters": facts}}
    found = {"subject": [subject], "predicateType": kind, "predicate": predicate}
    return json.dumps(found).encode()


RELEASE = Release(
    name="app", line="plc", version="1.0.0", sequence_number=1, state=State.BUILT,
    recipe_sha256="00" * 32, vendor_id="", class_id="",
    payloads=(
        Payload(
            uri="1/app.bin", file="app.bin", component="00", format=PayloadFormat.RAW,
            unsigned_sha256="11" * 32,
        ),
    ),
)  # fmt: skip


def test_a_statement_counts_for_the_digests_it_names_and_no_others() -> None:
    word = Attested(host="h", operator="o", compiler="sha256:x")
    assert rebuild.attested(body(rebuild.PREDICATE_TYPE), RELEASE) == word
    assert rebuild.attested(body(provenance.PREDICATE_TYPE), RELEASE) == word
    assert rebuild.attested(body("urn:something-else"), RELEASE) is None
    assert rebuild.attested(body(rebuild.PREDICATE_TYPE, "22" * 32), RELEASE) is None
    nothing = dataclasses.replace(RELEASE, payloads=())
    assert rebuild.attested(body(rebuild.PREDICATE_TYPE), nothing) is None


def test_without_a_recorder_a_rebuild_says_so_in_its_attestation(
    elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder, "available", lambda: False)
    done = here(*AGAIN, cwd=elsewhere)
    assert done.body["recorder"] == "none"
    assert "nothing was recorded" in done.err
    _, said = statement(elsewhere / "release")
    assert said["predicate"]["environment"]["recorder"] == "none"


def test_a_rebuild_whose_commands_fail_shows_the_end_of_what_they_said(
    elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(walls, "_BEGIN", walls._BEGIN + "echo the last words; exit 7\n")
    done = here(*AGAIN, "--sandbox", "none", cwd=elsewhere, code=1)
    assert done.reason == "command-failed"
    assert "fwseal: build: the last words" in done.err


def test_a_payload_is_named_where_a_release_has_several() -> None:
    two = dataclasses.replace(
        RELEASE,
        payloads=(*RELEASE.payloads, dataclasses.replace(RELEASE.payloads[0], file="radio.bin")),
    )
    assert verify_rebuild._payload(two, "radio.bin").file == "radio.bin"
    with pytest.raises(rebuild.Misuse, match=r"no payload other\.bin") as caught:
        verify_rebuild._payload(two, "other.bin")
    assert caught.value.hint == "--file app.bin or radio.bin"


# A customer's own build


def test_a_customers_own_build_is_what_was_signed_and_the_signatures_hold(shop: Path) -> None:
    done = here("verify-rebuild", BUILT, UNSIGNED, "--device", PROFILE, cwd=shop)
    assert done.body["payload"] == "demo-plc.bin"
    assert done.body["signers"] == ["dev-release"]
    without = here("verify-rebuild", BUILT, UNSIGNED, cwd=shop)
    assert without.body["signers"] is None
    assert "no signature was judged" in without.err


@pytest.mark.parametrize(
    ("offset", "place"),
    [(0, "the header"), (20, "the header"), (600, "the image, address 0x20000258"),
     (-1, "the protected TLVs")],
)  # fmt: skip
def test_one_flipped_bit_of_a_customers_build_is_placed(
    shop: Path, offset: int, place: str
) -> None:
    data = bytearray((shop / UNSIGNED).read_bytes())
    data[offset] ^= 1
    (shop / "mine.bin").write_bytes(data)
    done = here("verify-rebuild", BUILT, "mine.bin", cwd=shop, code=1)
    assert done.reason == "not-reproduced"
    assert f"differs in {place}" in done.err


def test_a_build_that_is_shorter_or_longer_is_not_the_same(shop: Path) -> None:
    data = (shop / UNSIGNED).read_bytes()
    for other in (data[:-1], data + b"\0", b""):
        (shop / "mine.bin").write_bytes(other)
        done = here("verify-rebuild", BUILT, "mine.bin", cwd=shop, code=1)
        assert f"{len(other)} bytes, not {len(data)}" in done.err


def test_the_signed_image_proves_nothing_about_itself(shop: Path) -> None:
    here("verify-rebuild", BUILT, f"{BUILT}/payloads/demo-plc.bin", cwd=shop, code=2)


def test_a_payload_that_was_exchanged_is_refused(shop: Path) -> None:
    place = shop / BUILT / "payloads/demo-plc.bin"
    place.write_bytes(place.read_bytes() + b"\0")
    done = here("verify-rebuild", BUILT, UNSIGNED, cwd=shop, code=1)
    assert done.reason == "digest-mismatch"


def test_a_release_nobody_signed_is_refused_where_signatures_are_asked_for(shop: Path) -> None:
    envelope = bytearray((shop / BUILT / "envelope.suit").read_bytes())
    envelope[envelope.index(b"dev-release") + 14] ^= 1
    (shop / BUILT / "envelope.suit").write_bytes(envelope)
    done = here("verify-rebuild", BUILT, UNSIGNED, "--device", PROFILE, cwd=shop, code=1)
    assert done.reason == "bad-signature"


def test_a_raw_payload_is_compared_whole() -> None:
    assert rebuild.compare(b"abc", b"abc", PayloadFormat.RAW, name="x")
    for other in (b"abd", b"ab", b"abcd"):
        with pytest.raises(rebuild.Refused, match="the payload at offset"):
            rebuild.compare(b"abc", other, PayloadFormat.RAW, name="x")
