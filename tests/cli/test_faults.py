"""The world fails: disks fill, ports are taken, programs are missing. Nothing stays half made."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

import projects
from fwseal.base.errors import FwsealError
from fwseal.build import toolchain
from fwseal.cli import files, main
from needs import absent, need_program
from projects import BUILT, NEW, OLD, PROFILE, RECIPE, URI, fwseal, here, offer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

FILE_KEY = "file:build/dev/dev-release.key"


UNMEASURED = {"COVERAGE_PROCESS_CONFIG": None, "COVERAGE_PROCESS_START": None}
"""Coverage would write its own file, and fail as everything else does."""


def full(*words: str, cwd: Path, size: int) -> None:
    """Run a command that cannot write a longer file; it must say that it is unavailable."""
    env = projects.environment(**UNMEASURED)
    fwseal(*words, cwd=cwd, code=3, env=env, preexec_fn=at_most(size))


def at_most(size: int) -> Callable[[], None]:
    """Answer what makes a process unable to write a longer file."""
    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


@pytest.mark.parametrize(
    "words",
    [
        ("build", RECIPE, "-o", "build/x"),
        ("author", RECIPE, "--key", FILE_KEY, "-o", "x.suit", "--payload", f"{URI}={PROFILE}"),
        ("sign", BUILT),
        ("publish", NEW, "--to", "build/elsewhere"),
        ("device", "mps2-an385", "provision", "--state", "build/device", PROFILE),
    ],
    ids=lambda words: words[0],
)
def test_a_full_disk_is_unavailable_and_leaves_no_output(
    shop: Path, words: tuple[str, ...]
) -> None:
    before = projects.files(shop)
    full(*words, cwd=shop, size=64)
    assert projects.files(shop) == before
    assert not (shop / "build/device").exists()


@pytest.mark.parametrize("place", ["softhsm", "files"])
def test_a_full_disk_leaves_no_key_behind(tmp_path: Path, place: str) -> None:
    if place == "softhsm":
        need_program("softhsm2-util")
    fwseal("init", "pump", "--vendor", "example.com", cwd=tmp_path)
    before = projects.files(tmp_path)
    init = ("keys", "init", "--dev", "--in", place)
    full(*init, cwd=tmp_path, size=8)
    full(*init, cwd=tmp_path, size=190)
    assert projects.files(tmp_path) == before
    fwseal(*init, cwd=tmp_path)


def test_a_full_disk_leaves_no_part_of_a_new_project(tmp_path: Path) -> None:
    words = ("init", "pump", "--vendor", "example.com")
    full(*words, cwd=tmp_path, size=400)
    assert projects.files(tmp_path) == {}
    (tmp_path / "manifests").write_bytes(b"a file")
    here(*words, cwd=tmp_path, code=3)
    assert projects.files(tmp_path) == {"manifests": b"a file"}


@contextlib.contextmanager
def mounted(folder: Path, options: str) -> Iterator[Path]:
    """Mount a small disk on a folder; skips where that is not allowed."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", options, "none", str(folder)]
    if os.geteuid() or subprocess.run(mount, capture_output=True, check=False).returncode:
        absent("a small disk can only be mounted by root")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def test_a_disk_too_small_for_the_release_gets_none_of_it(shop: Path) -> None:
    with mounted(shop.parent / "disk", "size=32k") as disk:
        here("build", RECIPE, "-o", disk / "x", cwd=shop, code=3)
        assert list(disk.iterdir()) == []
        with contextlib.suppress(OSError):
            (disk / "filler").write_bytes(bytes(1 << 16))
        words = ("author", RECIPE, "--key", FILE_KEY, "--payload", f"{URI}={PROFILE}")
        here(*words, "-o", disk / "x.suit", cwd=shop, code=3)
        assert [path.name for path in disk.iterdir()] == ["filler"]


@pytest.mark.parametrize(
    "words",
    [
        ("build", RECIPE, "-o", "{}/x"),
        ("author", RECIPE, "--key", FILE_KEY, "-o", "{}/x", "--payload", f"{URI}={PROFILE}"),
        ("publish", NEW, "--to", "{}"),
        ("device", "mps2-an385", "provision", "--state", "{}/x", PROFILE),
    ],
    ids=lambda words: words[0],
)
def test_a_read_only_folder_is_unavailable(shop: Path, words: tuple[str, ...]) -> None:
    with mounted(shop.parent / "disk", "ro") as disk:
        here(*(word.format(disk) for word in words), cwd=shop, code=3)
        assert list(disk.iterdir()) == []


def test_a_file_where_a_folder_should_be_is_unavailable(shop: Path) -> None:
    here("build", RECIPE, "-o", "fwseal.toml/x", cwd=shop, code=3)
    here("publish", NEW, "--to", "fwseal.toml", cwd=shop, code=3)
    (shop / "loop").symlink_to("loop")
    here("build", RECIPE, "-o", "loop/x", cwd=shop, code=3)
    here("build", RECIPE, "-o", "loop", cwd=shop, code=2)
    author = ("author", RECIPE, "--key", FILE_KEY, "--payload", f"{URI}={PROFILE}")
    here(*author, "-o", "build", cwd=shop, code=2)
    here(*author, "-o", "", cwd=shop, code=2)
    for precious in (FILE_KEY.removeprefix("file:"), PROFILE, "fwseal.toml", RECIPE):
        kept = (shop / precious).read_bytes()
        here(*author, "-o", precious, cwd=shop, code=2)
        assert (shop / precious).read_bytes() == kept
    here(*author, "-o", "n" * 300, cwd=shop, code=3)
    here("build", RECIPE, "-o", "n" * 300, cwd=shop, code=3)


def test_keys_cannot_be_made_where_no_folder_can_be(tmp_path: Path) -> None:
    here("init", "pump", "--vendor", "example.com", cwd=tmp_path)
    (tmp_path / "build").write_bytes(b"")
    here("keys", "init", "--dev", "--in", "files", cwd=tmp_path, code=3)
    assert (tmp_path / "build").read_bytes() == b""


def test_a_missing_compiler_is_unavailable_and_no_release_is_made(
    shop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ziglang", None)
    done = here("build", RECIPE, "-o", "build/x", cwd=shop, code=3)
    assert "install" in done.body["error"]["hint"]
    projects.edit(shop / RECIPE, 'compiler = "zig"', 'compiler = "arm-none-eabi-gcc"')
    monkeypatch.setattr(toolchain, "PATH", str(shop))
    done = here("build", RECIPE, "-o", "build/x", cwd=shop, code=3)
    assert done.body["error"]["hint"] == "apt install gcc-arm-none-eabi"
    assert not (shop / "build/x").exists()


def test_missing_programs_are_unavailable(
    shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here("device", "mps2-an385", "provision", "--state", "build/device", PROFILE, cwd=shop)
    monkeypatch.setenv("PATH", str(shop))
    here("build", RECIPE, "-o", "build/x", cwd=shop, code=3)
    here("device", "mps2-an385", "boot", "--state", "build/device", cwd=shop, code=3)
    fresh = tmp_path / "fresh"
    fresh.mkdir()
    here("init", "pump", "--vendor", "example.com", cwd=fresh)
    here("keys", "init", "--dev", cwd=fresh, code=3)
    assert not (fresh / "build/dev").exists()


def test_a_boot_program_that_was_not_built_is_unavailable(shop: Path) -> None:
    shutil.rmtree(shop / projects.BOOT)
    words = ("provision", "--state", "build/device", PROFILE)
    here("device", "mps2-an385", *words, cwd=shop, code=3)
    assert not (shop / "build/device").exists()


def test_a_profile_of_another_machine_cannot_be_provisioned(shop: Path) -> None:
    words = ("device", "mps2-an385", "provision", "--state", "build/device", PROFILE)
    projects.edit(shop / PROFILE, '"mps2-an385"', '"mps2-an386"')
    here(*words, cwd=shop, code=2)
    projects.edit(shop / PROFILE, "[emulator]\nmachine", "[emulator]\nmachines")
    here(*words, cwd=shop, code=2)
    assert not (shop / "build/device").exists()


def test_a_port_in_use_and_a_port_that_is_none_are_told_apart(shop: Path) -> None:
    here("publish", NEW, cwd=shop)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        here("repo", "serve", "--port", port, cwd=shop, code=3)
    here("repo", "serve", "--port", "70000", cwd=shop, code=2)
    served = here("repo", "serve", "--port", "0", "--seconds", "0", cwd=shop)
    assert served.body["metadata_url"].startswith("http://127.0.0.1:")


def test_an_update_from_a_server_that_is_gone_or_not_trusted_changes_nothing(shop: Path) -> None:
    here("publish", NEW, cwd=shop)
    root = ("--tuf-root", "build/repository/metadata/1.root.json")
    state = ("--state", "build/device")
    device = ("device", "mps2-an385")
    here(*device, "provision", *state, PROFILE, cwd=shop)
    with socket.create_server(("127.0.0.1", 0)) as closed:
        url = f"http://127.0.0.1:{closed.getsockname()[1]}"
    at = ("--metadata-url", url, "--target-base-url", url)
    before = projects.files(shop / "build/device")
    here(*device, "update", *state, *at, cwd=shop, code=2)
    for bad in ("ftp://x", "nonsense"):
        here(*device, "update", *state, *at[:3], bad, cwd=shop, code=2)
    assert projects.files(shop / "build/device") == before
    shutil.rmtree(shop / "build/device")
    here(*device, "provision", *state, PROFILE, *root, cwd=shop)
    before = projects.files(shop / "build/device")
    here(*device, "update", *state, *at, cwd=shop, code=3)
    assert projects.files(shop / "build/device") == before


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"sequence_number": "2"}', b"\xff"])
def test_a_damaged_state_of_a_device_is_misuse_and_never_a_fresh_device(
    shop: Path, content: bytes
) -> None:
    state = ("--state", "build/device")
    here("device", "mps2-an385", "provision", *state, PROFILE, cwd=shop)
    (shop / "build/device/state.json").write_bytes(content)
    here("device", "mps2-an385", "offer", *state, *offer(), cwd=shop, code=2)
    here("device", "mps2-an385", "boot", *state, cwd=shop, code=2)
    assert (shop / "build/device/state.json").read_bytes() == content


def test_a_device_without_its_flash_or_its_profile_says_so(shop: Path) -> None:
    state = ("--state", "build/device")
    here("device", "mps2-an385", "provision", *state, PROFILE, cwd=shop)
    (shop / "build/device/flash.img").unlink()
    here("device", "mps2-an385", "offer", *state, *offer(), cwd=shop, code=2)
    (shop / "build/device/profile.toml").unlink()
    here("device", "mps2-an385", "offer", *state, *offer(), cwd=shop, code=2)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_key_ceremony_that_is_interrupted_leaves_nothing_behind(
    tmp_path: Path, number: signal.Signals
) -> None:
    need_program("softhsm2-util")
    fwseal("init", "pump", "--vendor", "example.com", cwd=tmp_path)
    before = projects.files(tmp_path)
    # A job in the background of a script has SIGINT ignored, and so would all that it starts.
    ours = signal.signal(number, signal.default_int_handler)
    with subprocess.Popen(
        [sys.executable, "-m", "fwseal", "keys", "init", "--dev"],
        cwd=tmp_path, env=projects.environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as process:  # fmt: skip
        signal.signal(number, ours)
        end = time.monotonic() + 30
        while not (tmp_path / "build/.dev.new/pin").exists() and time.monotonic() < end:
            time.sleep(0.001)
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (130, b"", b"fwseal: interrupted\n")
    assert projects.files(tmp_path) == before
    assert list((tmp_path / "build").iterdir()) == []


def test_keys_are_never_overwritten(shop: Path) -> None:
    before = projects.files(shop / "build/dev")
    for place in ("softhsm", "files"):
        here("keys", "init", "--dev", "--in", place, cwd=shop, code=2)
    assert projects.files(shop / "build/dev") == before


def test_a_write_that_fails_keeps_what_was_there(tmp_path: Path) -> None:
    place = tmp_path / "x"
    place.mkdir()
    (place / "kept").write_bytes(b"1")
    for name in (place, tmp_path / ("n" * 300)):
        with pytest.raises(FwsealError):
            files.write(name, b"data")
    assert projects.files(tmp_path) == {"x/kept": b"1"}


def test_a_release_that_appears_meanwhile_is_not_overwritten(
    shop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fwseal.cli import releasedir

    release = releasedir.load(shop / BUILT)
    with pytest.raises(Exception, match="there already"):
        releasedir.create(shop / BUILT, release, {})
    monkeypatch.setattr(releasedir, "vacant", lambda _: None)
    with pytest.raises(Exception, match="cannot make"):
        releasedir.create(shop / BUILT, release, {})
    assert (shop / BUILT / "unsigned").is_dir()
    assert not list((shop / "build").glob(".*"))


def test_an_interrupt_is_said_and_has_its_own_code(
    shop: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    here("publish", NEW, cwd=shop)
    monkeypatch.chdir(shop)
    signal.signal(signal.SIGALRM, lambda *_: main._terminated())
    signal.setitimer(signal.ITIMER_REAL, 1.0)
    assert main.main(["repo", "serve", "--port", "0"]) == 0
    assert capsys.readouterr().err == "fwseal: stopped\n"


def removals() -> list[tuple[str, str]]:
    built = ("release.json", "recipe.toml", "unsigned/demo-plc.bin")
    signed = ("release.json", "envelope.suit", "payloads/demo-plc.bin")
    return [("sign", name) for name in built] + [("publish", name) for name in signed]


@pytest.mark.parametrize(("verb", "name"), removals())
def test_a_release_with_a_file_missing_is_neither_signed_nor_published(
    shop: Path, verb: str, name: str
) -> None:
    release = BUILT if verb == "sign" else NEW
    (shop / release / name).unlink()
    before = projects.files(shop)
    here(verb, release, cwd=shop, code=2)
    assert projects.files(shop) == before


@pytest.mark.parametrize(
    ("name", "reason"),
    [("unsigned/demo-plc.bin", "digest-mismatch"), ("recipe.toml", "digest-mismatch")],
)
def test_a_file_changed_since_the_build_is_not_signed(shop: Path, name: str, reason: str) -> None:
    file = shop / BUILT / name
    file.write_bytes(file.read_bytes() + b"\n")
    before = projects.files(shop)
    assert here("sign", BUILT, cwd=shop, code=1).reason == reason
    assert projects.files(shop) == before


@pytest.mark.parametrize("name", ["manifest.cbor", "payloads/demo-plc.bin"])
@pytest.mark.parametrize("source", [OLD, None])
def test_the_release_key_signs_no_manifest_but_that_of_the_release_payloads(
    shop: Path, name: str, source: str | None
) -> None:
    here("sign", BUILT, "--as", "boot", cwd=shop)
    content = (shop / source / name).read_bytes() if source else b"garbage" * 9
    (shop / BUILT / name).write_bytes(content)
    before = projects.files(shop)
    reason = "malformed" if name.startswith("payloads") and not source else "layers-disagree"
    assert here("sign", BUILT, cwd=shop, code=1).reason == reason
    assert projects.files(shop) == before


def test_a_payload_changed_after_signing_is_not_published(shop: Path) -> None:
    file = shop / NEW / "payloads/demo-plc.bin"
    file.write_bytes(file.read_bytes()[:-1] + b"\0")
    assert here("publish", NEW, cwd=shop, code=1).reason == "payload-digest"
    (shop / NEW / "envelope.suit").write_bytes(b"\xd8")
    assert here("publish", NEW, cwd=shop, code=1).reason == "malformed"
    assert not (shop / "build/repository").exists()


@pytest.mark.parametrize(
    "change",
    [
        {"line": "../../outside"},
        {"line": 5},
        {"schema_version": 2},
        {"state": "half"},
        {"sequence_number": "2"},
        {"sequence_number": -1},
        {"class_id": "x"},
        {"payloads": [{}]},
        {"payloads": 5},
        {"color": "red"},
    ],
    ids=str,
)
def test_a_release_json_of_anything_else_is_misuse(shop: Path, change: dict[str, object]) -> None:
    for release, verb in ((BUILT, "sign"), (NEW, "publish")):
        file = shop / release / "release.json"
        file.write_text(json.dumps({**json.loads(file.read_bytes()), **change}), encoding="utf-8")
        before = projects.files(shop)
        here(verb, release, cwd=shop, code=2)
        assert projects.files(shop) == before


def test_a_payload_may_not_name_a_file_outside_the_release(shop: Path) -> None:
    file = shop / BUILT / "release.json"
    body = json.loads(file.read_bytes())
    body["payloads"][0]["file"] = "../../../victim"
    file.write_text(json.dumps(body), encoding="utf-8")
    here("sign", BUILT, cwd=shop, code=2)
    assert not (shop.parent / "victim").exists()


def test_signing_twice_signs_nothing_again(shop: Path) -> None:
    before = projects.files(shop)
    done = here("sign", NEW, cwd=shop)
    assert done.body["signed"] == {}
    assert done.body["state"] == "signed"
    assert here("sign", NEW, "--as", "release", cwd=shop).body["signed"] == {}
    assert projects.files(shop) == before
