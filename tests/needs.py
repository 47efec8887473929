"""A test names what it needs of the machine; without it, it skips, and under CI it fails."""

import importlib
import importlib.util
import os
import shutil
from pathlib import Path
from types import ModuleType
from typing import NoReturn

import pytest


def absent(reason: str) -> NoReturn:
    """Skip for a stated reason; CI has installed everything, so there it is a failure."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


def need_program(name: str) -> str:
    """Return the path of a program of the system."""
    return shutil.which(name) or absent(f"{name} is not installed")


def need_module(name: str) -> ModuleType:
    """Import a module of an optional extra."""
    if importlib.util.find_spec(name) is None:
        absent(f"{name} is not installed")
    return importlib.import_module(name)


def need_oracle() -> Path:
    """Return the Python that has cwt; `make setup-test` makes its environment."""
    place = Path(__file__).resolve().parents[1] / ".venv-oracles"
    if not (place / ".locked").exists():
        absent("cwt is not installed: make setup-test")
    return place / "bin/python"


def need_fuzzer() -> Path:
    """Return the Python that has atheris; `make setup-heavy` makes its environment."""
    place = Path(__file__).resolve().parents[1] / ".venv-fuzz"
    if not (place / ".locked").exists():
        absent("atheris is not installed: make setup-heavy")
    return place / "bin/python"
