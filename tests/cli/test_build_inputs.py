"""`fwseal build` releases nothing that read what nobody declared, and says what changed."""

from __future__ import annotations

import hashlib
import json
import shutil
import tarfile
from typing import TYPE_CHECKING

import pytest

import elves
import projects
from build import benches
from fwseal.build import recorder
from needs import need_program
from projects import RECIPE, here

if TYPE_CHECKING:
    from pathlib import Path

X = "build/x"
LOCK = "manifests/toolchain.lock.toml"
ELF = elves.elf((elves.LOAD, elves.vectors()))


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    need_program("strace")
    folder = projects.new(tmp_path_factory.mktemp("inputs") / "shop")
    here("keys", "init", "--dev", "--in", "files", cwd=folder)
    commands = '["sh", "-c", "cp app.elf demo-plc.elf"]'
    text = (folder / RECIPE).read_text(encoding="utf-8")
    before, _, after = text.partition("commands = [[")
    after = after.partition("]]\n")[2].partition("\n")[2]
    text = f'{before}commands = [{commands}]\noutputs = ["demo-plc.elf"]\n{after}'
    text = text.replace('["examples/demo-plc", "targets/mps2-an385"]', '["app.elf"]')
    text = text.replace('host = ["make", "mkdir", "sh"]', 'host = ["cp", "sh"]')
    (folder / RECIPE).write_text(text, encoding="utf-8")
    (folder / "app.elf").write_bytes(ELF)
    projects.commit(folder)
    return folder


@pytest.fixture
def shop(original: Path, tmp_path: Path) -> Path:
    return shutil.copytree(original, tmp_path / "shop", symlinks=True)


def script(shop: Path, words: str) -> None:
    projects.edit(shop / RECIPE, "cp app.elf demo-plc.elf", f"cp app.elf demo-plc.elf; {words}")


def test_an_undeclared_input_makes_no_release_and_is_named(shop: Path) -> None:
    script(shop, "cp /usr/include/stdio.h .")
    done = here("build", RECIPE, "-o", X, cwd=shop, code=1)
    assert done.reason == "undeclared-input"
    assert done.body["error"]["where"] == "/usr/include/stdio.h"
    assert "fwseal build --lock" in done.err
    assert not (shop / X).exists()


def test_what_is_locked_may_be_read_until_it_changes(shop: Path) -> None:
    script(shop, "cp /usr/include/stdio.h .")
    before = (shop / LOCK).read_bytes()
    here("build", RECIPE, "-o", X, "--lock", "--dry-run", cwd=shop)
    assert (shop / LOCK).read_bytes() == before
    here("build", RECIPE, "-o", X, "--lock", cwd=shop)
    lock = (shop / LOCK).read_text(encoding="utf-8")
    assert 'name = "libc6-dev"' in lock
    assert (shop / X / "toolchain.lock.toml").read_text(encoding="utf-8") == lock
    here("build", RECIPE, "-o", "build/y", cwd=shop)
    (line,) = [one for one in lock.splitlines() if "stdio.h" in one]
    projects.edit(shop / LOCK, line, '"/usr/include/stdio.h" = "' + "0" * 64 + '"')
    done = here("build", RECIPE, "-o", "build/z", cwd=shop, code=1)
    assert done.reason == "undeclared-input"
    assert "not the one that is locked" in done.err


def test_a_build_without_a_lock_is_refused_and_told_how_to_get_one(shop: Path) -> None:
    (shop / LOCK).unlink()
    done = here("build", RECIPE, "-o", X, cwd=shop, code=1)
    assert done.reason == "undeclared-input"
    assert "fwseal build --lock" in done.err
    assert not (shop / X).exists()
    here("build", RECIPE, "-o", X, "--lock", cwd=shop)
    assert 'name = "zig"' in (shop / LOCK).read_text(encoding="utf-8")


@pytest.mark.parametrize("content", [b"", b"\xff", b"schema-version = 9", b"x"])
def test_a_lock_that_is_none_is_misuse(shop: Path, content: bytes) -> None:
    (shop / LOCK).write_bytes(content)
    here("build", RECIPE, "-o", X, cwd=shop, code=2)
    assert not (shop / X).exists()


def test_a_build_that_reaches_for_the_network_makes_no_release(shop: Path) -> None:
    script(shop, "getent hosts a.example || :")
    done = here("build", RECIPE, "-o", X, "--lock", cwd=shop, code=1)
    assert done.reason == "network-attempt"
    assert "getent wanted to talk to" in done.err
    assert not (shop / X).exists()


def test_two_releases_tell_which_inputs_changed_between_them(shop: Path) -> None:
    here("build", RECIPE, "-o", X, cwd=shop)
    here("build", RECIPE, "-o", "build/y", cwd=shop)
    same = here("explain-diff", X, "build/y", cwd=shop).body
    assert (same["same"], same["changes"]) == (True, [])
    assert [one["name"] for one in same["files"]] == ["demo-plc.elf"]
    (shop / "app.elf").write_bytes(elves.elf((elves.LOAD, elves.vectors(size=128))))
    projects.commit(shop)
    here("build", RECIPE, "-o", "build/z", cwd=shop)
    other = here("explain-diff", X, "build/z", cwd=shop).body
    assert (other["same"], other["changes"]) == (False, ["source app.elf: changed"])
    assert other["files"][0]["differences"][0]["cause"] == "unknown"
    manifest = json.loads((shop / "build/z/reports/inputs.json").read_bytes())
    assert manifest["source"] == {
        "app.elf": hashlib.sha256((shop / "app.elf").read_bytes()).hexdigest()
    }
    here("explain-diff", X, f"{X}/unsigned/demo-plc.elf", cwd=shop, code=2)
    here("explain-diff", X, "manifests", cwd=shop, code=2)
    (shop / "build/z/reports/inputs.json").write_bytes(b"{}")
    here("explain-diff", X, "build/z", cwd=shop, code=2)
    (shop / "build/z/unsigned/demo-plc.elf").rename(shop / "build/z/unsigned/other.elf")
    (shop / "build/z/reports/inputs.json").unlink()
    done = here("explain-diff", X, "build/z", cwd=shop, code=2)
    assert "its inputs were not recorded" in done.err
    assert "only one release has other.elf" in done.err


def test_without_a_recorder_a_build_says_so_wherever_it_speaks(
    shop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here("build", RECIPE, "-o", X, cwd=shop)
    monkeypatch.setattr(recorder, "available", lambda: False)
    done = here("build", RECIPE, "-o", "build/y", cwd=shop)
    assert done.body["recorder"] == "none"
    assert "nothing was recorded" in done.err
    assert not (shop / "build/y/reports/inputs.json").exists()
    assert here("explain-diff", X, "build/y", cwd=shop).body["changes"] is None


def test_the_source_that_was_built_can_be_handed_on(shop: Path) -> None:
    here("build", RECIPE, "-o", X, "--source-archive", "build/source.tar", cwd=shop)
    with tarfile.open(shop / "build/source.tar") as tar:
        assert [one.name for one in tar if one.isreg()] == ["app.elf"]


def test_an_archive_is_built_by_its_digest_and_no_other(shop: Path) -> None:
    data = benches.archive({"app-1.0/app.elf": ELF})
    (shop / "manifests/app.tar").write_bytes(data)
    digest = hashlib.sha256(data).hexdigest()
    projects.edit(shop / RECIPE, 'commit = "HEAD"\npaths = ["app.elf"]\n', "")
    with (shop / RECIPE).open("a", encoding="utf-8") as file:
        file.write(f'\n[[source.archive]]\nfile = "app.tar"\nsha256 = "{digest}"\n')
    done = here("build", RECIPE, "-o", X, cwd=shop)
    assert done.body["commit"] == ""
    (shop / "manifests/app.tar").write_bytes(benches.archive({"app-1.0/app.elf": b"other"}))
    done = here("build", RECIPE, "-o", "build/y", cwd=shop, code=1)
    assert done.reason == "digest-mismatch"
    assert not (shop / "build/y").exists()


def test_a_declared_folder_is_the_compiler_when_it_is_locked_whole(shop: Path) -> None:
    tools = shop / "manifests/tools/bin"
    tools.mkdir(parents=True)
    shutil.copy("/usr/bin/cp", tools / "fcp")
    (tools / "data").write_bytes(b"1")
    text = (shop / RECIPE).read_text(encoding="utf-8")
    text = text.replace('compiler = "zig" ', 'compiler = "bin/fcp"\nfolder = "tools" ')
    text = text.replace("cp app.elf", "{cc} app.elf")
    (shop / RECIPE).write_text(text, encoding="utf-8")
    done = here("build", RECIPE, "-o", X, cwd=shop, code=1)
    assert done.reason == "undeclared-input"
    here("build", RECIPE, "-o", X, "--lock", cwd=shop)
    assert '[[folder]]\nname = "bin/fcp"' in (shop / LOCK).read_text(encoding="utf-8")
    (tools / "data").write_bytes(b"2")
    done = here("build", RECIPE, "-o", "build/y", cwd=shop, code=1)
    assert "not the one that is locked" in done.err
    (tools / "fcp").rename(tools / "gone")
    here("build", RECIPE, "-o", "build/z", cwd=shop, code=3)


def test_an_input_manifest_is_what_its_schema_says(shop: Path) -> None:
    here("build", RECIPE, "-o", X, cwd=shop)
    body = json.loads((shop / X / "reports/inputs.json").read_bytes())
    projects.validator("inputs").validate(body)
    assert body["files"]
    projects.validator("images").validate(
        json.loads((shop / X / "reports/images.json").read_bytes())
    )
    assert {one["component"].partition(" ")[0] for one in body["files"]} >= {"coreutils", "libc6"}
