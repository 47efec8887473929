"""A compiler is its files, wherever they lie; without a list of them it is none."""

from __future__ import annotations

import email.message
import hashlib
import importlib.metadata
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from fwseal.base.errors import Misuse, Unavailable
from fwseal.build import lock, toolchain

if TYPE_CHECKING:
    from pathlib import Path


def test_a_wheels_digest_is_what_sha256sum_says_of_its_files(tmp_path: Path) -> None:
    found = toolchain.find("zig")
    assert found.home
    some = sorted(found.files)[:40]
    words = ["sha256sum", *some]
    said = subprocess.run(words, cwd=found.home, capture_output=True, text=True, check=True)
    assert said.stdout == "".join(f"{found.files[name]}  {name}\n" for name in some)
    small = {name: found.files[name] for name in some}
    assert lock.tree_sha256(small) == hashlib.sha256(said.stdout.encode()).hexdigest()
    assert not tmp_path.joinpath("anything").exists()


def test_the_same_files_in_a_folder_are_the_same_compiler(tmp_path: Path) -> None:
    folder = tmp_path / "tools"
    (folder / "bin").mkdir(parents=True)
    (folder / "bin/cc").write_bytes(b"compiler")
    first = toolchain.find("bin/cc", folder=folder)
    shutil.copytree(folder, tmp_path / "elsewhere")
    (tmp_path / "elsewhere/__pycache__").mkdir()
    (tmp_path / "elsewhere/__pycache__/x.pyc").write_bytes(b"left by Python")
    assert toolchain.find("bin/cc", folder=tmp_path / "elsewhere").sha256 == first.sha256
    (tmp_path / "elsewhere/extra").write_bytes(b"")
    assert toolchain.find("bin/cc", folder=tmp_path / "elsewhere").sha256 != first.sha256
    assert first.cc == "/toolchain/bin/cc"


def test_a_folder_without_the_compiler_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(Unavailable) as caught:
        toolchain.find("bin/cc", folder=tmp_path)
    assert caught.value.hint


def test_a_folder_that_cannot_be_read_whole_is_misuse(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cc").write_bytes(b"")

    def denied(path: Path) -> str:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(toolchain, "sha256", denied)
    with pytest.raises(Misuse, match="permission denied"):
        toolchain.find("cc", folder=tmp_path)


def test_a_wheel_without_a_list_of_its_files_is_unavailable(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(importlib.metadata, "distributions", lambda **_: iter(()))
    with pytest.raises(Unavailable, match="no list of its files"):
        toolchain.find("zig")


@pytest.mark.parametrize(
    ("lines", "creator"),
    [
        ((("Name", "x"), ("Project-URL", "Homepage, https://x")), "x <https://x>"),
        ((("Author", "me"), ("Project-URL", "Source, https://x")), "me <https://x>"),
        ((("Author", "me"), ("Project-URL", "Tracker, https://x")), "me"),
        ((("Name", "x"),), ""),
    ],
)
def test_who_made_a_wheel_is_what_it_says_itself(
    lines: tuple[tuple[str, str], ...], creator: str
) -> None:
    metadata = email.message.Message()
    for key, value in lines:
        metadata[key] = value
    assert toolchain._creator(metadata) == creator
