"""Firmware that others wrote builds in our sandbox, twice and twice again, to the same bytes."""

from __future__ import annotations

import dataclasses
import re
import shutil
import tomllib
from typing import TYPE_CHECKING, Any

import pytest

import projects
import sources
from needs import need_module, need_program
from projects import ROOT, here

if TYPE_CHECKING:
    from pathlib import Path

FOREIGN = "examples/foreign"
PACKAGES = {"tf-a": "arm-trusted-firmware", "bearssl": "bearssl", "mbedtls": "mbedtls"}
"""The Debian source package of each example."""
SAID = {
    "tf-a": (rb"v2\.8\(release\):[0-9a-f]{12}\0", rb"Built : reproducibly\0"),
    "bearssl": (rb"main\.c\0",),
    "mbedtls": (rb"VERSION_FEATURES\0",),
}
"""What each image says of itself: a version and a date declared, a path of no machine, a table."""
FIRST = "build/first"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Shop:
    """A project with one example, and its source archive beside it."""

    folder: Path
    name: str

    def build(self, out: str, *options: str) -> dict[str, str]:
        """Answer the digests of what a build makes."""
        found: dict[str, str] = self.run(out, *options)["unsigned_sha256"]
        return found

    def run(self, out: str, *options: str) -> dict[str, Any]:
        """Answer what a build says."""
        recipe = f"{FOREIGN}/{self.name}/recipe.toml"
        return here("build", recipe, "-o", out, *options, cwd=self.folder).body


def shop(name: str, folder: Path) -> Shop:
    """Answer a project that can build an example; its compiler must be here."""
    need_program("strace")
    recipe = f"{FOREIGN}/{name}/recipe.toml"
    what = tomllib.loads((ROOT / recipe).read_text(encoding="utf-8"))
    compiler = what["toolchain"]["compiler"]
    need_module("ziglang") if compiler == "zig" else need_program(compiler)
    (archive,) = what["source"]["archive"]
    fetched = sources.debian(PACKAGES[name], archive["file"], archive["sha256"])
    projects.new(folder)
    for part in (name, "libc"):
        shutil.copytree(ROOT / FOREIGN / part, folder / FOREIGN / part)
    (folder / ".gitignore").write_text("/build/\n*.tar.*\n", encoding="utf-8")
    shutil.copy(fetched, folder / FOREIGN / name)
    projects.commit(folder)
    here("keys", "init", "--dev", "--in", "files", cwd=folder)
    return Shop(folder=folder, name=name)


def test_every_example_of_foreign_firmware_is_built_here() -> None:
    assert {path.parent.name for path in (ROOT / FOREIGN).glob("*/recipe.toml")} == set(PACKAGES)


@pytest.fixture(scope="module", params=sorted(PACKAGES))
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Shop:
    """Answer a project with a first release of its example, and its lock."""
    found = shop(request.param, tmp_path_factory.mktemp(request.param) / "shop")
    assert found.build(FIRST, "--lock")
    return found


def test_foreign_firmware_is_the_same_when_it_is_built_again_under_its_lock(made: Shop) -> None:
    known = (made.folder / FIRST / "release.json").read_text(encoding="utf-8")
    again = made.build("build/again")
    assert len(again) == 1
    assert all(digest in known for digest in again.values())


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("tf-a", marks=pytest.mark.heavy),
        pytest.param("bearssl", marks=pytest.mark.heavy),
        "mbedtls",
    ],
)
def test_foreign_firmware_is_the_same_on_machines_that_differ(name: str, tmp_path: Path) -> None:
    need_program("faketime")
    place = shop(name, tmp_path / "shop")
    done = place.run("build/varied", "--lock", "--vary")
    outcomes = {one["name"]: one["outcome"] for one in done["variations"]}
    cold = {"warm caches": "same" if name == "mbedtls" else "could not vary"}
    assert len(outcomes) == 16
    assert {what: said for what, said in outcomes.items() if said != "same" or what in cold} == cold


def test_what_upstream_asks_git_the_clock_or_a_script_for_is_in_the_image(made: Shop) -> None:
    (path,) = (made.folder / FIRST / "unsigned").glob("*.bin")
    image = path.read_bytes()
    assert all(re.search(pattern, image) for pattern in SAID[made.name]), made.name


def test_a_table_that_a_script_makes_names_the_script_among_its_inputs(made: Shop) -> None:
    read = (made.folder / FIRST / "reports/inputs.json").read_text(encoding="utf-8")
    assert ("generate_features.pl" in read) is (made.name == "mbedtls")
