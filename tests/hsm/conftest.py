"""One project with its keys in a SoftHSM token a run; each test gets a copy that is its own."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

import projects
from needs import need_program


@pytest.fixture(scope="session")
def token_project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Answer a project with a token, and a release that is built and not signed."""
    need_program("softhsm2-util")
    need_program("make")
    folder = projects.new(tmp_path_factory.mktemp("token") / "shop")
    projects.fwseal("keys", "init", "--dev", cwd=folder)
    projects.fwseal("build", projects.RECIPE, "-o", projects.BUILT, cwd=folder)
    return folder


@pytest.fixture
def shop(token_project: Path, tmp_path: Path) -> Path:
    """Answer a copy of that project; its softhsm2.conf names a copy of the token."""
    folder = shutil.copytree(token_project, tmp_path / "shop", symlinks=True)
    projects.edit(folder / "build/dev/softhsm2.conf", str(token_project), str(folder))
    return folder


@pytest.fixture(scope="session")
def faulty_module(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Answer the interposed PKCS#11 module, compiled."""
    source = Path(__file__).with_name("faulty_module.c")
    module = tmp_path_factory.mktemp("module") / "faulty_module.so"
    command = [need_program("cc"), "-shared", "-fPIC", "-o", module, source, "-ldl"]
    subprocess.run(command, check=True, timeout=60)
    return module
