"""The main job, verb by verb, with every answer held against its schema."""

from __future__ import annotations

import argparse
import contextlib
import importlib
import importlib.util
import json
import re
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import jsonschema
import pytest

import projects
from fwseal.base.reasons import REASONS, Reason
from fwseal.cli import main
from needs import need_module, need_program
from projects import (
    BOOT,
    BOOT_RECIPE,
    FAULTY,
    FAULTY_RECIPE,
    NEW,
    OLD,
    PROFILE,
    RECIPE,
    ROOT,
    URI,
    fwseal,
    here,
    offer,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SCHEMAS = sorted(path.name.partition(".")[0] for path in projects.REFERENCE.glob("*.schema.json"))


def commands() -> set[str]:
    """Answer every command there is, as its words, from the parsers themselves."""
    found = set()
    for verb in main.VERBS:
        parser = main.Parser(prog=verb)
        main.module_of(verb).arguments(parser)
        inner = [one for one in parser._actions if isinstance(one, argparse._SubParsersAction)]
        found |= {f"{verb} {word}" for one in inner for word in one.choices} or {verb}
    return found


def elsewhere(folder: Path, tbs: bytes) -> bytes:
    """Answer what the release key's token signs for somebody who holds no PIN of it here."""
    code = (
        "import sys; from fwseal.cli import signers\n"
        "with signers.Signers(*signers.load(None)) as opened:\n"
        "    print(opened.for_role('release').sign(bytes.fromhex(sys.argv[1])).hex())"
    )
    return bytes.fromhex(in_python(code, tbs.hex(), cwd=folder))


@contextlib.contextmanager
def serving(folder: Path) -> Iterator[tuple[str, ...]]:
    """Serve the project's repository; answer the options that point a device to it."""
    command = [sys.executable, "-m", "fwseal", "repo", "serve", "--port", "0", "--json", "-v"]
    with subprocess.Popen(
        command, cwd=folder, env=projects.environment(), stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True,
    ) as server:  # fmt: skip
        assert server.stdout
        assert server.stderr
        line = server.stdout.readline()
        urls = projects.check_answer(("repo", "serve"), 0, line)
        yield "--metadata-url", urls["metadata_url"], "--target-base-url", urls["target_base_url"]
        server.terminate()
        assert server.wait(timeout=20) == 0
        assert server.stderr.read() == "fwseal: stopped\n"


def test_every_verb_does_the_main_job_in_order_and_answers_as_its_schema_says(
    tmp_path: Path,
) -> None:
    for program in ("softhsm2-util", "qemu-system-arm", "make"):
        need_program(program)
    folder, done = projects.new(tmp_path), set()

    def run(*words: str, code: int = 0) -> projects.Done:
        name = f"{words[0]} {words[2]}" if words[0] == "device" else " ".join(words[:2])
        done.add(words[0] if words[0] in commands() else name)
        return fwseal(*words, "-v", cwd=folder, code=code)

    def device(verb: str, *words: str, code: int = 0) -> projects.Done:
        return run("device", "mps2-an385", verb, "--state", "build/device", *words, code=code)

    assert run("keys", "init", "--dev").body["place"] == "softhsm"
    assert len(run("keys", "list").body["keys"]) == 6
    run("build", BOOT_RECIPE, "-o", BOOT)
    built = run("build", RECIPE, "-o", NEW, "--source-archive", "build/source.tar")
    assert built.body["commit"] == projects.git(folder, "rev-parse", "HEAD")
    digest = built.body["unsigned_sha256"]["demo-plc.bin"]
    assert run("sign", NEW, "--dry-run").body["would_sign"] == {
        "boot": "dev-boot", "release": "dev-release",
    }  # fmt: skip
    assert run("sign", NEW).body["state"] == "signed"
    assert run("rebuild", NEW, "--source", "build/source.tar").body["words"] == "repeatable"
    assert run("verify-rebuild", NEW, f"{NEW}/unsigned/demo-plc.bin").body["signers"] is None
    release = json.loads((folder / NEW / "release.json").read_bytes())
    projects.validator("release").validate(release)
    image = f"{NEW}/payloads/demo-plc.bin"
    author = ("author", RECIPE, "--key", "dev-release", "--payload", f"{URI}={image}")
    authored = ("-o", "build/short.suit")
    assert run(*author, *authored, "--dry-run").body["would_sign"] == ["dev-release"]
    assert not (folder / "build/short.suit").exists()
    run(*author, *authored)
    short = run("verify", "build/short.suit", "--device", PROFILE, "--payload", f"{URI}={image}")
    long = run("verify", *offer(), "--device", PROFILE)
    assert short.body["evidence"] == long.body["evidence"]
    assert long.body["evidence"]["signers"] == ["dev-release"]
    assert run("verify", image, "--device", PROFILE).body["evidence"]["image_digest"] == digest
    assert len(run("publish", NEW, "--dry-run").body["would_publish"]) == 2
    assert not (folder / "build/repository").exists()
    assert run("publish", NEW).body["timestamp"] == 2
    assert run("explain-diff", f"{NEW}/unsigned/demo-plc.bin", image).body["same"] is False
    assert run("explain", "rollback").body["reason"] == "rollback"
    assert any("fetch" in line for line in run("explain", f"{NEW}/envelope.suit").body["text"])

    assert "offer" in run("device", "mps2-an385", "capabilities").body["verbs"]
    root = "build/repository/metadata/1.root.json"
    device("provision", PROFILE, "--tuf-root", root)
    with serving(folder) as at:
        done.add("repo serve")
        assert device("update", *at).body["verdict"] == "accepted"
    booted = device("boot").body
    assert booted["image_digest"] == digest
    assert booted["sequence_number"] == 2
    assert device("offer", *offer(), code=1).reason == "rollback"
    assert device("boot").body["image_digest"] == digest
    run("build", FAULTY_RECIPE, "-o", FAULTY)
    assert run("lint", FAULTY).body["findings"] == []
    run("sign", FAULTY, "--as", "boot")
    asked = run("prepare", FAULTY, "--as", "release").body
    (folder / "it.raw").write_bytes(elsewhere(folder, (folder / asked["tbs"]).read_bytes()))
    attach = ("attach", FAULTY, "--as", "release", "--key", "dev-release")
    assert run(*attach, "--signature", "it.raw").body["state"] == "signed"
    device("offer", *offer(FAULTY, uri="3/demo-plc.bin"))
    trial = device("boot").body
    assert (trial["state"], trial["confirmed"]) == ("trial", False)
    assert device("confirm").body["slot"] == trial["slot"] != booted["slot"]
    state = ("--state", "build/device")
    assert run("verify", *offer(), "--device", PROFILE, *state, code=1).reason == "rollback"

    fresh = tmp_path / "fresh"
    fresh.mkdir()
    run_init = fwseal("init", "pump", "--vendor", "example.com", "-v", cwd=fresh)
    done.add("init")
    assert run("recipe", "new", "severed", "--device", PROFILE).body["file"] is None
    assert len(run("recipe", "list").body["recipes"]) >= 8
    assert [name for name in run_init.body["files"] if (fresh / name).is_file()] == list(
        run_init.body["files"]
    )
    assert done == commands()


def test_the_same_job_for_people_fits_on_a_page(shop: Path) -> None:
    def said(*words: str) -> str:
        return here(*words, cwd=shop, as_json=False).out

    assert re.fullmatch(
        r"built demo-plc 1\.1\.0 twice, alike, in build/again\n"
        r"  demo-plc\.bin  sha256 [0-9a-f]{64}\n",
        said("build", RECIPE, "-o", "build/again"),
    )
    assert said("sign", "build/again", "--dry-run") == (
        "dev-boot would sign as boot\ndev-release would sign as release\n"
    )
    assert said("sign", "build/again") == (
        "dev-boot signed demo-plc 1.1.0, sequence number 2, as boot\n"
        "dev-release signed demo-plc 1.1.0, sequence number 2, as release\n"
    )
    assert said("sign", "build/again") == "signed already\n"
    assert said("sign", "build/again", "--dry-run") == "nothing left\n"
    assert re.fullmatch(
        r"accepted: sequence number 2, manifest [0-9a-f]{64}, signed by dev-release\n",
        said("verify", *offer("build/again"), "--device", PROFILE),
    )
    assert said("publish", "build/again", "--dry-run").startswith("would publish plc/")
    assert said("publish", "build/again").startswith(
        "published demo-plc 1.1.0 to build/repository\n  plc/"
    )
    table = said("keys", "list").splitlines()
    assert table[0].split() == [
        "LABEL", "ROLES", "ALGORITHM", "STATUS", "ENVIRONMENT", "FINGERPRINT",
    ]  # fmt: skip
    assert len(table) == 7
    assert "manifest digest" in said("explain", f"{NEW}/envelope.suit")
    image = said("explain", f"{NEW}/payloads/demo-plc.bin")
    assert "unprotected   ECDSA_SIG" in image
    assert "protected     SEC_CNT 02000000" in image


def test_a_device_answers_json_on_stdout_and_people_on_stderr(shop: Path) -> None:
    need_module("unicorn")

    def said(verb: str, *words: str, code: int = 0) -> str:
        state = ("--state", "build/device")
        done = here(
            "device", "mps2-an385", verb, *state, *words, cwd=shop, code=code, as_json=False
        )
        return done.err

    assert said("provision", PROFILE, "--emulator", "unicorn") == (
        "provisioned demo-plc in build/device\n"
    )
    assert said("offer", *offer()) == "accepted: sequence number 2, signed by dev-release\n"
    assert "boot: start slot=0 version=1.1.0.0" in said("boot")
    assert said("offer", *offer(), code=1).startswith("fwseal: error: rollback: ")
    said("offer", *offer(FAULTY, uri="3/demo-plc.bin"))
    assert "boot: start slot=1 version=1.2.0.0" in said("boot")
    assert said("confirm") == "confirmed slot 1\n"


def test_a_device_that_holds_nothing_says_so_and_exits_1(shop: Path) -> None:
    need_module("unicorn")
    state = ("--state", "build/device")
    fwseal("device", "mps2-an385", "provision", *state, PROFILE, "--emulator", "unicorn", cwd=shop)
    body = fwseal("device", "mps2-an385", "boot", *state, cwd=shop, code=1).body
    assert body["halted"] == "no-image"
    assert body["image_digest"] is None


def test_a_board_whose_boot_program_is_another_is_not_believed(shop: Path) -> None:
    need_module("unicorn")
    state = ("--state", "build/device")
    fwseal("device", "mps2-an385", "provision", *state, PROFILE, "--emulator", "unicorn", cwd=shop)
    boot = shop / "build/device/boot.bin"
    boot.write_bytes(boot.read_bytes().replace(b"ram-load", b"RAM-LOAD"))
    fwseal("device", "mps2-an385", "boot", *state, cwd=shop, code=3)


def test_init_keys_and_a_recipe_make_a_project_whose_device_is_its_own(tmp_path: Path) -> None:
    fwseal("init", "pump", "--vendor", "example.com", cwd=tmp_path, as_json=False)
    fwseal("keys", "init", "--dev", "--in", "files", cwd=tmp_path)
    (tmp_path / "manifests/pump.bin").write_bytes(b"firmware")
    profile, key = "targets/pump.toml", "dev-release"
    fwseal("author", "manifests/pump.toml", "--key", key, "-o", "x.suit", cwd=tmp_path)
    verify = ("verify", "x.suit", "--device", profile)
    answered = fwseal(*verify, "--payload", "1/pump.bin=manifests/pump.bin", cwd=tmp_path)
    assert answered.body["evidence"]["sequence_number"] == 1
    assert fwseal(*verify, cwd=tmp_path, code=1).reason == "payload-missing"
    (tmp_path / "other.bin").write_bytes(b"firmwarf")
    other = fwseal(*verify, "--payload", "1/pump.bin=other.bin", cwd=tmp_path, code=1)
    assert other.reason == "payload-digest"


def test_help_of_the_program_names_every_verb(tmp_path: Path) -> None:
    for words in (["--help"], ["-h"], ["help"]):
        text = fwseal(*words, cwd=tmp_path, as_json=False).out
        assert [verb for verb in main.VERBS if f"\n  {verb} " in text] == list(main.VERBS)
    assert re.fullmatch(
        r"fwseal \d+\.\d+\.\d+\S*\n", fwseal("--version", cwd=tmp_path, as_json=False).out
    )
    text = fwseal("keys", "init", "--help", cwd=tmp_path, as_json=False).out
    assert text.startswith("usage: fwseal keys init ")


def test_help_of_each_verb_names_its_options(capsys: pytest.CaptureFixture[str]) -> None:
    assert len(commands()) >= 16
    for command in sorted(commands()):
        verb, *inner = command.split()
        words = [verb, *(["mps2-an385"] if verb == "device" else []), *inner]
        with pytest.raises(SystemExit) as done:
            main.main([*words, "--help"])
        assert done.value.code == 0
        text = capsys.readouterr().out
        assert text.startswith(f"usage: fwseal {verb} ")
        assert command.rpartition(" ")[2] in text
        assert "--verbose" in text


def test_no_verb_has_more_than_eight_options_and_each_takes_json_and_verbose() -> None:
    seen = 0
    for verb in main.VERBS:
        parser = main.Parser(prog=verb)
        main.module_of(verb).arguments(parser)
        inner = [one for one in parser._actions if isinstance(one, argparse._SubParsersAction)]
        leaves = [leaf for one in inner for leaf in one.choices.values()] or [parser]
        for leaf in leaves:
            options = [one for one in leaf._actions if one.option_strings and one.dest != "help"]
            assert {"json", "verbose"} <= {one.dest for one in options}, leaf.prog
            assert len(options) <= 8, leaf.prog
            seen += 1
    assert seen >= 16


def in_python(code: str, *arguments: str, cwd: Path) -> str:
    """Run Python code in a process of its own; answer what it printed."""
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=cwd, env=projects.environment(), capture_output=True, text=True, check=False,
        timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_help_imports_neither_cryptography_nor_tuf_nor_rich(tmp_path: Path) -> None:
    code = (
        "import sys; from fwseal.cli.main import main; assert main(['--help']) == 0\n"
        "print('\\n', *sorted({name.partition('.')[0] for name in sys.modules}))"
    )
    loaded = in_python(code, cwd=tmp_path).splitlines()[-1].split()
    assert "fwseal" in loaded
    assert not {"cryptography", "tuf", "rich", "cbor2", "securesystemslib"} & set(loaded)


BLOCKED = ("fcntl", "pwd", "grp", "resource", "termios", "pty")


@pytest.mark.parametrize(
    "words",
    [
        ("verify", *offer(), "--device", PROFILE),
        ("verify", *offer(), "--device", PROFILE, "--state", "build/device"),
        ("verify", f"{NEW}/payloads/demo-plc.bin", "--device", PROFILE),
        ("explain", f"{NEW}/envelope.suit"),
        ("explain", f"{NEW}/payloads/demo-plc.bin"),
        ("explain", "rollback"),
    ],
)
def test_offline_checks_run_where_no_posix_only_module_exists(
    shop: Path, words: tuple[str, ...]
) -> None:
    fwseal("device", "mps2-an385", "provision", "--state", "build/device", PROFILE, cwd=shop)
    code = (
        f"import sys; sys.modules.update(dict.fromkeys({BLOCKED!r})); "
        "from fwseal.cli.main import main; sys.exit(main(sys.argv[1:]))"
    )
    out = in_python(code, *words, "--json", cwd=shop)
    projects.check_answer(words, 0, out)


def test_verifying_loads_no_emulator_no_network_and_no_signing_code(shop: Path) -> None:
    code = (
        "import sys; from fwseal.cli.main import main; assert main(sys.argv[1:]) == 0\n"
        "print(*sys.modules)"
    )
    loaded = in_python(code, "verify", *offer(), "--device", PROFILE, cwd=shop).split()
    assert "fwseal.device.driver" in loaded
    for name in ("device.qemu", "device.unicorn", "delivery.download", "signing", "build", "tuf"):
        assert f"fwseal.{name}" not in loaded
    assert "urllib.request" not in loaded


def test_every_schema_is_one_that_is_closed_and_stands_in_the_index() -> None:
    assert len(SCHEMAS) >= 18
    index = (projects.REFERENCE / "README.md").read_text(encoding="utf-8")
    for name in SCHEMAS:
        body = projects.schema(name)
        jsonschema.Draft202012Validator.check_schema(body)
        assert f"({name}.schema.json)" in index
        assert open_objects(body, name) == ([] if name != "verify" else ["verify/evidence"])
    listed = set(re.findall(r"^\| `fwseal ([a-z -]+?)` \|", index.replace(" mps2-an385", ""), re.M))
    assert listed == commands()


def open_objects(schema: object, where: str) -> list[str]:
    """Answer where a schema lets an object have members it does not speak of."""
    if isinstance(schema, list):
        return [found for one in schema for found in open_objects(one, where)]
    if not isinstance(schema, dict):
        return []
    is_open = schema.get("type") == "object" and "additionalProperties" not in schema
    return [where] * is_open + [
        found
        for key, value in schema.items()
        for found in open_objects(value, where if key == "properties" else f"{where}/{key}")
    ]


def test_a_schema_refuses_a_member_more_and_a_member_less() -> None:
    good = {
        "schema_version": 1, "verdict": "refused", "reason": "rollback", "where": None,
        "evidence": {"message": "older"},
    }  # fmt: skip
    check = projects.validator("verify")
    check.validate(good)
    for bad in (
        {**good, "extra": 1},
        {key: value for key, value in good.items() if key != "where"},
        {**good, "verdict": "accepted"},
        {**good, "reason": "no-such-reason"},
        {**good, "evidence": {}},
        {**good, "schema_version": 2},
    ):
        with pytest.raises(jsonschema.ValidationError):
            check.validate(bad)


def test_the_reasons_of_the_schemas_are_exactly_those_of_the_code() -> None:
    body = projects.schema("reason")
    assert body["enum"] == [reason.value for reason in Reason]
    for name in ("error", "verify", "explain", "summary", "device-boot"):
        assert f'"$ref": "{body["$id"]}"' in json.dumps(projects.schema(name)), name


@pytest.mark.parametrize("reason", list(Reason))
def test_every_reason_is_explained_with_cause_fault_and_remedy(
    reason: Reason, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.main(["explain", reason.value, "--json"]) == 0
    body = projects.check_answer(("explain",), 0, capsys.readouterr().out)
    assert body["remedy"] == REASONS[reason].remedy


def test_the_summary_and_bench_writers_write_what_their_schemas_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = importlib.util.spec_from_file_location("demo", ROOT / "examples/demo-plc/demo.py")
    assert spec
    assert spec.loader
    demo = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(demo)
    monkeypatch.setattr(demo, "WORK", tmp_path)
    made = demo.Demo()
    with made.step("one") as detail:
        detail.append("done")
    with pytest.raises(demo.Failed), made.step("two"):
        raise demo.Failed("no")
    made.substitute("QEMU", "Unicorn")
    made.write()
    assert "FAILED  two" in capsys.readouterr().out
    summary = json.loads((tmp_path / "summary.json").read_bytes())
    projects.validator("summary").validate(summary)
    assert [step["ok"] for step in summary["steps"]] == [True, False]
    row = {"name": "help", "value": 0.1, "unit": "s", "against": None, "ratio": None, "goal": 1}
    projects.validator("bench").validate({"schema_version": 1, "rows": [row]})
    written = ROOT / "build/bench.json"
    if written.is_file():
        projects.validator("bench").validate(json.loads(written.read_bytes()))


def test_publishing_the_next_release_shows_it_and_the_older_one_is_refused(shop: Path) -> None:
    fwseal("publish", OLD, "--to", "build/elsewhere", cwd=shop)
    fwseal("publish", NEW, "--to", "build/elsewhere", cwd=shop)
    before = projects.files(shop / "build/elsewhere")
    for dry in ([], ["--dry-run"]):
        again = fwseal("publish", OLD, "--to", "build/elsewhere", *dry, cwd=shop, code=1)
        assert again.reason == "rollback"
    assert projects.files(shop / "build/elsewhere") == before


def test_a_release_moves_to_another_folder_and_is_signed_there(shop: Path) -> None:
    moved = shop.parent / "moved"
    shutil.copytree(shop / projects.BUILT, moved)
    fwseal("sign", moved, "--as", "boot", cwd=shop)
    assert json.loads((moved / "release.json").read_bytes())["state"] == "images-signed"
    fwseal("sign", moved, "--as", "boot", cwd=shop)
    fwseal("sign", moved, "--as", "release", cwd=shop)
    assert fwseal("verify", *offer(str(moved)), "--device", PROFILE, cwd=shop).code == 0
