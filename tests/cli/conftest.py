"""One project is built and signed a run; each test gets a copy that is its own."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

import projects
from needs import need_program

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="session")
def workshop_project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Answer a project with file keys, the boot program, and releases signed and unsigned."""
    need_program("make")
    folder = projects.new(tmp_path_factory.mktemp("project") / "shop")
    projects.fwseal("keys", "init", "--dev", "--in", "files", cwd=folder)
    projects.fwseal("build", projects.BOOT_RECIPE, "-o", projects.BOOT, cwd=folder)
    projects.fwseal("build", projects.RECIPE, "-o", projects.BUILT, cwd=folder)
    projects.fwseal("build", projects.OLD_RECIPE, "-o", projects.OLD, cwd=folder)
    shutil.copytree(folder / projects.BUILT, folder / projects.NEW)
    projects.fwseal("build", projects.FAULTY_RECIPE, "-o", projects.FAULTY, cwd=folder)
    for release in (projects.NEW, projects.OLD, projects.FAULTY):
        projects.fwseal("sign", release, cwd=folder)
    return folder


@pytest.fixture
def shop(workshop_project: Path, tmp_path: Path) -> Path:
    """Answer a copy of that project."""
    return shutil.copytree(workshop_project, tmp_path / "shop", symlinks=True)


@pytest.fixture(scope="session")
def token_project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Answer a project whose keys are in a SoftHSM token; tests do not change it."""
    need_program("softhsm2-util")
    folder = projects.new(tmp_path_factory.mktemp("token") / "shop")
    projects.fwseal("keys", "init", "--dev", cwd=folder)
    return folder


@pytest.fixture
def token_shop(token_project: Path, workshop_project: Path, tmp_path: Path) -> Path:
    """Answer a copy with an unsigned release; its softhsm2.conf names a copy of the token."""
    folder = shutil.copytree(token_project, tmp_path / "shop", symlinks=True)
    shutil.copytree(workshop_project / projects.BUILT, folder / projects.BUILT)
    projects.edit(folder / "build/dev/softhsm2.conf", str(token_project), str(folder))
    return folder
