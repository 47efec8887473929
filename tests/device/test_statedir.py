"""What a device keeps between calls survives crashes, and damage is never taken for freshness."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from fwseal.base.errors import Misuse, Refused, Unavailable
from fwseal.base.reasons import Reason
from fwseal.device import statedir
from fwseal.device.statedir import FileFlash, StateDir
from fwseal.image.memory_map import Region

REGION = Region(origin=0x1000, size=0x400)


@pytest.fixture
def state(tmp_path: Path) -> StateDir:
    made = StateDir(tmp_path / "device")
    made.create(sequence_number=None, emulator="qemu")
    return made


def test_number_is_kept_when_commit_returns_and_the_emulator_with_it(state: StateDir) -> None:
    assert state.sequence_number() is None
    for number in (0, 7, 2**64 - 1):
        state.commit(number)
        again = StateDir(state.path)
        assert again.sequence_number() == number
        assert again.emulator() == "qemu"
    assert sorted(path.name for path in state.path.iterdir()) == ["state.json"]


def test_commit_syncs_the_file_and_then_its_folder(
    state: StateDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[str] = []
    real = os.fsync

    def noted(handle: int) -> None:
        synced.append(Path(f"/proc/self/fd/{handle}").readlink().name)
        real(handle)

    monkeypatch.setattr(os, "fsync", noted)
    state.commit(3)
    assert synced == [".state.json.new", "device"]


@pytest.mark.parametrize(
    "content",
    [
        "", "{", "[]", "null", "{}", '{"sequence_number": 1}', '{"emulator": "qemu"}',
        '{"sequence_number": "7", "emulator": "qemu"}',
        '{"sequence_number": true, "emulator": "qemu"}',
        '{"sequence_number": 7.5, "emulator": "qemu"}',
        '{"sequence_number": 7, "emulator": null}',
    ],
)  # fmt: skip
def test_damaged_state_is_misuse_and_never_a_device_that_accepted_nothing(
    content: str, state: StateDir
) -> None:
    state.commit(7)
    (state.path / "state.json").write_text(content)
    with pytest.raises(Misuse):
        state.sequence_number()


def test_folder_that_is_no_device_is_misuse(tmp_path: Path) -> None:
    with pytest.raises(Misuse):
        StateDir.existing(tmp_path)


def test_file_of_the_profile_is_kept_under_any_name_and_a_missing_one_is_misuse(
    state: StateDir,
) -> None:
    state.provision("../keys/a.pem", b"key")
    assert state.provisioned("../keys/a.pem") == b"key"
    assert not (state.path.parent / "keys").exists()
    with pytest.raises(Misuse):
        state.provisioned("a.pem")
    assert (state.boot.parent, state.flash.parent) == (state.path, state.path)


def test_metadata_is_kept_byte_for_byte_and_only_roles_are_answered(state: StateDir) -> None:
    assert state.metadata() == {}
    state.keep("root", b"\x00root")
    state.keep("timestamp", b"one")
    state.keep("timestamp", b"two")
    (state.path / "tuf" / "other.json").write_bytes(b"x")
    assert state.metadata() == {"root": b"\x00root", "timestamp": b"two"}


@pytest.mark.parametrize("blocked", ["file", "folder"])
def test_write_that_fails_is_unavailable_and_leaves_what_was_there(
    blocked: str, tmp_path: Path
) -> None:
    place = tmp_path / "sub" / "file"
    if blocked == "file":
        (tmp_path / "sub").write_bytes(b"in the way")
    else:
        (place / "full").mkdir(parents=True)
    with pytest.raises(Unavailable):
        statedir.write(place, b"new")
    left = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")}
    assert left == ({"sub"} if blocked == "file" else {"sub", "sub/file", "sub/file/full"})


@pytest.fixture
def flash(tmp_path: Path) -> FileFlash:
    made = FileFlash(tmp_path / "flash.img", REGION)
    made.create()
    return made


def test_flash_in_a_file_clears_bits_and_only_erase_sets_them(flash: FileFlash) -> None:
    assert flash.read(0x1000, 0x400) == b"\xff" * 0x400
    flash.program(0x1010, b"\xf0\x0f")
    flash.program(0x1010, b"\xf0\x0e")
    with pytest.raises(Refused) as caught:
        flash.program(0x1010, b"\xf0\x0f")
    assert caught.value.reason is Reason.STORAGE_FAULT
    assert flash.read(0x100F, 4) == b"\xff\xf0\x0e\xff"
    flash.erase(0x1010, 1)
    assert flash.read(0x100F, 4) == b"\xff\xff\x0e\xff"


@pytest.mark.parametrize(("address", "size"), [(0xFFF, 1), (0x1000, 0x401), (0x1400, 1)])
def test_address_outside_the_flash_is_our_bug_and_touches_nothing(
    address: int, size: int, flash: FileFlash
) -> None:
    for attempt in (
        lambda: flash.read(address, size),
        lambda: flash.erase(address, size),
        lambda: flash.program(address, bytes(size)),
    ):
        with pytest.raises(AssertionError):
            attempt()
    assert flash.read(0x1000, 0x400) == b"\xff" * 0x400


def test_flash_file_that_is_gone_or_short_is_unavailable(flash: FileFlash, tmp_path: Path) -> None:
    (tmp_path / "flash.img").write_bytes(b"\xff" * 16)
    with pytest.raises(Unavailable):
        flash.program(0x1010, b"x")
    (tmp_path / "flash.img").unlink()
    for attempt in (lambda: flash.read(0x1000, 1), lambda: flash.erase(0x1000, 1)):
        with pytest.raises(Unavailable):
            attempt()
