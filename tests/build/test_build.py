"""Two builds agree byte by byte, or there is no release; and it is written down what went in."""

from __future__ import annotations

import base64
import hashlib
import json
import shutil
import struct
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from securesystemslib.dsse import Envelope
from securesystemslib.signer import SSlibKey

import elves
import projects
from build import benches
from fwseal.build import sandbox, source, toolchain, vary
from fwseal.build.walls import Level
from needs import need_program
from projects import BUILT, PROFILE, RECIPE, here, offer

if TYPE_CHECKING:
    from pathlib import Path

X = "build/x"
ELF = "examples/demo-plc/out/demo-plc.elf"
COMMANDS = """[[
    "make", "-C", "examples/demo-plc", "CC={cc}",
    "VERSION={version}", "BUILD_ID={build-id}", "SELFTEST_FAULT={fault}",
]]"""
HOST = ('host = ["make", "mkdir", "sh"]', 'host = ["cp", "date", "head", "mkdir", "od", "sh"]')
AS_RAW = ('format = "mcuboot"\nload-address = 0x20000000', 'format = "raw"')


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Answer a project with file keys and one release built."""
    need_program("make")
    folder = projects.new(tmp_path_factory.mktemp("built") / "shop")
    here("keys", "init", "--dev", "--in", "files", cwd=folder)
    here("build", RECIPE, "-o", BUILT, cwd=folder)
    return folder


@pytest.fixture
def shop(built: Path, tmp_path: Path) -> Path:
    return shutil.copytree(built, tmp_path / "shop", symlinks=True)


def gives(shop: Path, elf: bytes, more: str = "true") -> None:
    """Let the recipe's build take a committed file for its output instead of compiling."""
    (shop / "examples/demo-plc/app.elf").write_bytes(elf)
    projects.commit(shop)
    script = f"mkdir examples/demo-plc/out; cp examples/demo-plc/app.elf {ELF}; {more}"
    projects.edit(shop / RECIPE, COMMANDS, json.dumps([["sh", "-c", script]]))
    projects.edit(shop / RECIPE, *HOST)


@pytest.mark.parametrize("compiler", ["zig", "arm-none-eabi-gcc"])
def test_two_builds_agree_and_so_does_a_later_release_of_the_same_commit(
    shop: Path, compiler: str
) -> None:
    if compiler != "zig":
        need_program(compiler)
        projects.edit(shop / RECIPE, 'compiler = "zig"', f'compiler = "{compiler}"')
        here("build", RECIPE, "-o", "build/first", "--lock", cwd=shop)
    here("build", RECIPE, "-o", X, cwd=shop)
    first = shop / (BUILT if compiler == "zig" else "build/first")
    for name in ("demo-plc.elf", "demo-plc.hex", "demo-plc.bin"):
        assert (shop / X / "unsigned" / name).read_bytes() == (
            first / "unsigned" / name
        ).read_bytes()


@pytest.mark.parametrize("draw", ["head -c 8 /dev/urandom | od -An -tx1 | tr -d ' '", "date +%N"])
def test_a_build_that_reads_chance_or_the_clock_is_refused_and_leaves_no_release(
    shop: Path, draw: str
) -> None:
    makefile = shop / "examples/demo-plc/Makefile"
    projects.edit(makefile, "'\"$(VERSION)\"'", f"'\"'$$({draw})'\"'")
    projects.edit(shop / RECIPE, HOST[0], HOST[1].replace('"head"', '"head", "make", "tr"'))
    projects.commit(shop)
    done = here("build", RECIPE, "-o", X, cwd=shop, code=1)
    assert done.reason == "not-reproduced"
    assert done.body["error"]["where"] == ELF
    assert not (shop / X).exists()
    assert not list((shop / "build").glob(".*"))


def test_outputs_that_differ_in_length_only_are_refused(shop: Path) -> None:
    more = f"head -c $(od -An -N2 -tu2 /dev/urandom) /dev/zero >> {ELF}"
    gives(shop, elves.elf((elves.LOAD, elves.vectors())), more)
    assert here("build", RECIPE, "-o", X, cwd=shop, code=1).reason == "not-reproduced"
    assert not (shop / X).exists()


def test_a_small_image_becomes_a_release_with_all_its_files(shop: Path) -> None:
    body = elves.vectors()
    gives(shop, elves.elf((elves.LOAD, body)))
    here("build", RECIPE, "-o", X, cwd=shop)
    files = projects.files(shop / X)
    assert set(files) == {
        "release.json", "recipe.toml", "layout.toml", "toolchain.lock.toml",
        "reports/inputs.json", "reports/images.json", "sbom.cdx.json",
        "unsigned/demo-plc.elf", "unsigned/demo-plc.hex", "unsigned/demo-plc.bin",
        "statements/provenance.dsse.json",
    }  # fmt: skip
    assert files["unsigned/demo-plc.bin"][0x200 : 0x200 + len(body)] == body
    assert files["recipe.toml"] == (shop / RECIPE).read_bytes()


@pytest.mark.parametrize(
    ("segments", "code", "reason"),
    [
        pytest.param(
            [(elves.LOAD, elves.vectors(stack=0x10000000))], 2, None, id="stack outside RAM"
        ),
        pytest.param(
            [(elves.LOAD, elves.vectors(stack=elves.STACK + 4))], 2, None, id="stack unaligned"
        ),
        pytest.param(
            [(elves.LOAD, struct.pack("<II", elves.STACK, elves.LOAD + 8))], 2, None,
            id="reset vector even",
        ),
        pytest.param(
            [(elves.LOAD, struct.pack("<II", elves.STACK, 9))], 2, None, id="reset outside"
        ),
        pytest.param([(elves.LOAD, b"\0\0")], 2, None, id="no vector table"),
        pytest.param(
            [(elves.LOAD + 512, elves.vectors(elves.LOAD + 512))], 2, None, id="starts late"
        ),
        pytest.param([(0, elves.vectors(0))], 2, None, id="linked elsewhere"),
        pytest.param(
            [(elves.LOAD, elves.vectors()), (0x20070000, bytes(0x20000))], 1, "storage-full",
            id="second segment past the slot",
        ),
        pytest.param(
            [(elves.LOAD, elves.vectors(size=0x80000))], 1, "storage-full", id="past the slot"
        ),
        pytest.param(
            [(elves.LOAD, elves.vectors(size=0x7EE00))], 1, "storage-full",
            id="fits without its TLVs only",
        ),
        pytest.param(
            [(elves.LOAD, elves.vectors()), (elves.LOAD + 32, bytes(64))], 1, "malformed",
            id="segments overlap",
        ),
        pytest.param(
            [(elves.LOAD, elves.vectors()), (0x60000000, bytes(4))], 1, "limit-exceeded",
            id="huge span",
        ),
    ],
)  # fmt: skip
def test_an_image_that_cannot_work_or_does_not_fit_its_slot_is_refused(
    shop: Path, segments: list[tuple[int, bytes]], code: int, reason: str | None
) -> None:
    gives(shop, elves.elf(*segments))
    assert here("build", RECIPE, "-o", X, cwd=shop, code=code).reason == reason
    assert not (shop / X).exists()


@pytest.mark.parametrize("data", [b"", b"\x7fELF", b"not an ELF file" * 10])
def test_an_output_that_is_no_elf_file_is_refused(shop: Path, data: bytes) -> None:
    gives(shop, data)
    assert here("build", RECIPE, "-o", X, cwd=shop, code=1).reason == "malformed"
    assert not (shop / X).exists()


def test_a_raw_payload_needs_no_image_signature_and_its_manifest_is_made_at_once(
    shop: Path,
) -> None:
    projects.edit(shop / RECIPE, *AS_RAW)
    gives(shop, elves.elf((0, elves.vectors(0))))
    here("build", RECIPE, "-o", X, cwd=shop)
    files = projects.files(shop / X)
    assert files["payloads/demo-plc.bin"] == files["unsigned/demo-plc.bin"] == elves.vectors(0)
    assert "manifest.cbor" in files
    assert here("sign", X, cwd=shop).body["signed"] == {"release": "dev-release"}
    here("verify", *offer(X), "--device", PROFILE, cwd=shop)
    here("publish", X, cwd=shop)


def test_a_raw_image_must_lie_where_the_device_runs_code(shop: Path) -> None:
    projects.edit(shop / RECIPE, *AS_RAW)
    gives(shop, elves.elf((elves.LOAD, elves.vectors())))
    here("build", RECIPE, "-o", X, cwd=shop, code=2)
    assert not (shop / X).exists()


@pytest.mark.parametrize(
    "change",
    [
        ('[manifest]\ntemplate = "single-image"', ""),
        (
            "[manifest]",
            '[[payload]]\nfile = "demo-plc.bin"\ncomponent = ["01"]\nformat = "raw"\n\n[manifest]',
        ),
    ],
    ids=["no manifest", "two payloads"],
)
def test_what_no_manifest_can_say_is_no_release(shop: Path, change: tuple[str, str]) -> None:
    projects.edit(shop / RECIPE, *AS_RAW)
    gives(shop, elves.elf((0, elves.vectors(0))))
    projects.edit(shop / RECIPE, *change)
    here("build", RECIPE, "-o", X, cwd=shop, code=2)
    assert not (shop / X).exists()


def test_a_lower_sandbox_level_is_said_on_stderr_in_the_answer_and_in_the_provenance(
    shop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gives(shop, elves.elf((elves.LOAD, elves.vectors())))
    monkeypatch.setattr(sandbox, "best_level", lambda: Level.NONE)
    done = here("build", RECIPE, "-o", X, cwd=shop)
    assert done.body["sandbox"] == "none"
    assert "sandbox level none" in done.err
    _, statement = opened(shop / X)
    assert statement["predicate"]["buildDefinition"]["internalParameters"]["sandbox"] == "none"


def opened(release: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Answer a release's provenance: the DSSE envelope, and the statement inside."""
    envelope = json.loads((release / "statements/provenance.dsse.json").read_bytes())
    return envelope, json.loads(base64.b64decode(envelope["payload"]))


def pae(kind: str, payload: bytes) -> bytes:
    """Answer DSSE's pre-authentication encoding, written from its specification."""
    sizes = (str(len(kind)).encode(), str(len(payload)).encode())
    return b" ".join([b"DSSEv1", sizes[0], kind.encode(), sizes[1], payload])


def builder_key(shop: Path) -> ec.EllipticCurvePublicKey:
    key = serialization.load_pem_public_key((shop / "build/dev/dev-builder.pem").read_bytes())
    assert isinstance(key, ec.EllipticCurvePublicKey)
    return key


def test_the_provenance_verifies_with_plain_cryptography_and_not_over_other_bytes(
    built: Path,
) -> None:
    envelope, _ = opened(built / BUILT)
    kind = envelope["payloadType"]
    assert kind == "application/vnd.in-toto+json"
    (signature,) = envelope["signatures"]
    assert signature["keyid"] == "dev-builder"
    key, algorithm = builder_key(built), ec.ECDSA(hashes.SHA256())
    payload, sig = base64.b64decode(envelope["payload"]), base64.b64decode(signature["sig"])
    key.verify(sig, pae(kind, payload), algorithm)
    for other in (payload, pae("text/plain", payload), pae(kind, payload[1:])):
        with pytest.raises(InvalidSignature):
            key.verify(sig, other, algorithm)


def test_the_provenance_verifies_as_dsse_in_securesystemslib(built: Path) -> None:
    body, _ = opened(built / BUILT)
    key = SSlibKey.from_crypto(builder_key(built), keyid="dev-builder")
    assert list(Envelope.from_dict(body).verify([key], 1)) == ["dev-builder"]


def test_the_provenance_says_what_went_in_and_its_subject_is_the_unsigned_payload(
    built: Path,
) -> None:
    _, statement = opened(built / BUILT)
    commit, archive = source.export(built, "HEAD", ("examples/demo-plc", "targets/mps2-an385"))
    digest = hashlib.sha256((built / BUILT / "unsigned/demo-plc.bin").read_bytes()).hexdigest()
    assert statement["_type"] == "https://in-toto.io/Statement/v1"
    assert statement["predicateType"] == "https://slsa.dev/provenance/v1"
    assert statement["subject"] == [{"name": "unsigned/demo-plc.bin", "digest": {"sha256": digest}}]
    release = json.loads((built / BUILT / "release.json").read_bytes())
    assert release["payloads"][0]["unsigned_sha256"] == digest
    definition = statement["predicate"]["buildDefinition"]
    assert definition["externalParameters"] == {
        "layout": {
            "sha256": hashlib.sha256(
                (built / "targets/mps2-an385/layout.toml").read_bytes()
            ).hexdigest()
        },
        "recipe": {"sha256": hashlib.sha256((built / RECIPE).read_bytes()).hexdigest()},
        "parameters": {"fault": "0", "version": "1.1.0"},
    }
    assert definition["internalParameters"]["builds"] == 2
    inputs = {one["name"]: one["digest"] for one in definition["resolvedDependencies"]}
    assert {"make", "libc6"} < inputs.keys()
    assert {name: inputs[name] for name in ("source", "zig")} == {
        "source": {"gitCommit": commit, "sha256": hashlib.sha256(archive).hexdigest()},
        "zig": {"sha256": toolchain.find("zig").sha256},
    }
    builder = statement["predicate"]["runDetails"]["builder"]["id"]
    assert builder == "urn:fwseal:builder:dev-builder"


def test_nothing_of_a_release_names_this_machine(built: Path) -> None:
    files = projects.files(built / BUILT)
    assert len(files) == 11
    for name, data in files.items():
        for place in (str(built.parent), "fwseal-build-", "site-packages"):
            assert place.encode() not in data, (name, place)
        assert b"/toolchain" not in data or not name.startswith("unsigned/"), name


def test_the_unsigned_digest_is_what_the_signed_image_starts_with(shop: Path) -> None:
    here("sign", BUILT, cwd=shop)
    release = json.loads((shop / BUILT / "release.json").read_bytes())
    projects.validator("release").validate(release)
    (payload,) = release["payloads"]
    unsigned = (shop / BUILT / "unsigned/demo-plc.bin").read_bytes()
    shipped = (shop / BUILT / "payloads/demo-plc.bin").read_bytes()
    assert shipped.startswith(unsigned)
    assert hashlib.sha256(unsigned).hexdigest() == payload["unsigned_sha256"]
    assert hashlib.sha256(shipped).hexdigest() == payload["sha256"]
    assert hashlib.sha512(shipped).hexdigest() == payload["sha512"]
    assert len(shipped) == payload["size"]


def test_a_release_tells_what_its_bytes_do_not_depend_on(shop: Path) -> None:
    need_program("faketime")
    benches.need_level(Level.BUBBLEWRAP)
    done = here("build", RECIPE, "-o", X, "--vary", cwd=shop)
    report = json.loads((shop / X / vary.FILE).read_bytes())
    projects.validator("variations").validate(report)
    assert report["variations"] == done.body["variations"]
    assert len(report["variations"]) == 16
    assert {one["outcome"] for one in report["variations"]} == {"same"}
    assert (shop / X / "unsigned/demo-plc.elf").read_bytes() == (
        shop / BUILT / "unsigned/demo-plc.elf"
    ).read_bytes()


def test_an_image_that_depends_on_its_path_is_refused_by_name_and_leaves_nothing(
    shop: Path,
) -> None:
    benches.need_level(Level.BUBBLEWRAP)
    gives(shop, elves.elf((elves.LOAD, elves.vectors())), f"pwd >> {ELF}")
    done = here("build", RECIPE, "-o", X, "--vary", cwd=shop, code=1)
    assert done.reason == "not-reproduced"
    assert f"{ELF} depends on path" in done.err
    assert f"fwseal: path: differs: {ELF}" in done.err.splitlines()
    assert not (shop / X).exists()
