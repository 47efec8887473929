"""A clone of this repository at HEAD, as a stranger gets it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from needs import need_program

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """Answer a fresh clone."""
    place = tmp_path / "clone"
    git = need_program("git")
    subprocess.run([git, "clone", "--quiet", ROOT, place], check=True, timeout=60)
    return place


@pytest.fixture
def environment(clone: Path) -> dict[str, str]:
    """Answer an environment in which `fwseal` is the clone's code."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    kept = {key: value for key, value in os.environ.items() if key != "SOFTHSM2_CONF"}
    return {**kept, "PATH": path, "PYTHONPATH": str(clone / "toolchain")}
