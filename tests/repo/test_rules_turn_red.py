"""`make check` is worth something: each rule of the house is broken once, and turns red."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def house(tmp_path: Path) -> Path:
    """Answer a copy of the code and its rules."""
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "toolchain", tmp_path / "toolchain", ignore=ignored)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def lint_imports(house: Path) -> subprocess.CompletedProcess[str]:
    """Answer what import-linter says of a house."""
    command = [Path(sys.executable).with_name("lint-imports"), "--no-logo", "--no-cache"]
    environment = {**os.environ, "PYTHONPATH": str(house / "toolchain")}
    return subprocess.run(
        command, cwd=house, env=environment, capture_output=True, text=True, check=False, timeout=60
    )


def ruff(house: Path) -> subprocess.CompletedProcess[str]:
    """Answer what ruff says of a house."""
    command = [Path(sys.executable).with_name("ruff"), "check", "--no-cache", "toolchain"]
    return subprocess.run(
        command, cwd=house, capture_output=True, text=True, check=False, timeout=60
    )


def append(path: Path, line: str) -> None:
    """Add a line to a module."""
    path.write_text(path.read_text(encoding="utf-8") + line + "\n", encoding="utf-8")


def test_the_house_as_it_stands_is_green(house: Path) -> None:
    assert lint_imports(house).returncode == 0
    assert ruff(house).returncode == 0


def test_an_upward_import_turns_the_check_red(house: Path) -> None:
    append(house / "toolchain/fwseal/suit/labels.py", "import fwseal.device.profile")
    done = lint_imports(house)
    assert done.returncode == 1
    assert "fwseal.suit is not allowed to import fwseal.device" in done.stdout


def test_a_neighbor_imported_by_a_neighbor_turns_the_check_red(house: Path) -> None:
    append(house / "toolchain/fwseal/device/slots.py", "import fwseal.signing.keyring")
    assert lint_imports(house).returncode == 1


@pytest.mark.parametrize(
    ("room", "module"),
    [
        ("suit/manifest.py", "os"),
        ("tuf/trusted.py", "time"),
        ("signing/sign.py", "pathlib"),
        ("device/driver.py", "socket"),
        ("base/cbor.py", "random"),
    ],
)
def test_an_impure_import_in_a_pure_file_turns_the_check_red(
    house: Path, room: str, module: str
) -> None:
    append(house / "toolchain/fwseal" / room, f"import {module}")
    done = lint_imports(house)
    assert done.returncode == 1
    assert f"-> {module}" in done.stdout


def test_a_new_impure_file_beside_the_listed_ones_turns_the_check_red(house: Path) -> None:
    new = house / "toolchain/fwseal/signing/vault.py"
    new.write_text('"""A file nobody listed."""\n\nimport subprocess\n', encoding="utf-8")
    done = lint_imports(house)
    assert done.returncode == 1
    assert "fwseal.signing.vault -> subprocess" in done.stdout


def test_a_module_that_chose_no_room_turns_the_check_red(house: Path) -> None:
    new = house / "toolchain/fwseal/helpers.py"
    new.write_text('"""A module without a room."""\n', encoding="utf-8")
    done = lint_imports(house)
    assert done.returncode == 1
    assert "fwseal.helpers" in done.stdout


@pytest.mark.parametrize(
    ("line", "rule"),
    [
        ('x = open("secret", "rb")', "PTH123"),
        ("from datetime import datetime\nx = datetime.now()", "TID251"),
        ("from uuid import uuid4", "TID251"),
        ("import toolchain.fwseal", "TID251"),
    ],
)
def test_a_file_a_clock_or_chance_in_a_pure_file_turns_ruff_red(
    house: Path, line: str, rule: str
) -> None:
    append(house / "toolchain/fwseal/suit/labels.py", line)
    done = ruff(house)
    assert done.returncode == 1
    assert rule in done.stdout
