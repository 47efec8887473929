"""Nothing secret, foreign or machine-bound stands in the repository or leaves the demo."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from needs import need_program

ROOT = Path(__file__).resolve().parents[2]

SECRETS = (
    re.compile(rb"-----BEGIN [A-Z ]*PRIVATE KEY"),
    re.compile(rb"\x30\x77\x02\x01\x01\x04\x20"),  # SEC 1 ECPrivateKey of P-256, DER
    re.compile(rb"\x30\x81\x87\x02\x01\x00\x30\x13"),  # PKCS#8 of P-256, DER
)
REGISTRY = re.compile(
    # Spelled in parts, since this file is searched too.
    rb"--(?:extra-)?index" + rb"-url|--find" + rb"-links|https?://[^ \"]*(?:"
    rb"/simple|/packages|pypi|npmjs|debian)"
)


def tracked() -> list[Path]:
    """Answer every file git tracks."""
    git = need_program("git")
    listed = subprocess.run([git, "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True)
    return [ROOT / name for name in listed.stdout.decode().split("\0") if name]


def test_no_private_key_pin_or_token_store_is_tracked() -> None:
    files = tracked()
    assert len(files) > 100
    for path in files:
        assert path.suffix not in (".key", ".p12", ".pfx", ".sqlite3", ".object"), path
        assert path.name != "pin", path
        data = path.read_bytes()
        for secret in SECRETS:
            # This test spells what it looks for.
            assert path == Path(__file__) or not secret.search(data), path


def test_no_registry_address_is_tracked_lock_files_included() -> None:
    assert (ROOT / "requirements/dev.txt").is_file()
    for path in tracked():
        if path != ROOT / "LICENSE":
            found = REGISTRY.search(path.read_bytes())
            assert not found, (path, found)


def test_no_absolute_path_of_this_machine_is_tracked() -> None:
    places = (str(ROOT), str(Path.home()))
    whole = re.compile("|".join(rf"(?<!\w){re.escape(place)}/" for place in places).encode())
    for path in tracked():
        assert not whole.search(path.read_bytes()), path


@pytest.mark.parametrize(("lock", "least"), [("dev.txt", 30), ("oracles.txt", 5), ("fuzz.txt", 4)])
def test_every_locked_requirement_is_locked_by_hash(lock: str, least: int) -> None:
    text = (ROOT / "requirements" / lock).read_text(encoding="utf-8")
    pins = re.findall(r"^([A-Za-z0-9_.-]+)==\S+(.*?)(?=^\S|\Z)", text, re.MULTILINE | re.DOTALL)
    assert len(pins) > least
    for name, rest in pins:
        assert "--hash=sha256:" in rest, name


def test_every_dependency_stands_in_the_list_with_its_license() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    wanted = {
        re.match(r"[A-Za-z0-9-]+", one)[0]
        for one in [*project["dependencies"], *(one for group in extras.values() for one in group)]
    }
    text = (ROOT / "docs/explanation/dependencies.md").read_text(encoding="utf-8")
    listed = set(re.findall(r"^\| ([a-z0-9-]+) \| \S", text, re.MULTILINE)) - {"package"}
    assert listed == wanted


def test_every_decision_stands_in_the_index() -> None:
    folder = ROOT / "docs/adr"
    index = (folder / "README.md").read_text(encoding="utf-8")
    pages = sorted(path.name for path in folder.glob("0*.md"))
    assert pages
    assert re.findall(r"\((0\d{3}[^)]*)\)", index) == pages


def test_the_demo_refuses_its_attacks_and_leaks_neither_pin_nor_path(
    clone: Path, environment: dict[str, str]
) -> None:
    for program in ("softhsm2-util", "qemu-system-arm", "bwrap", "make"):
        need_program(program)
    demo = clone / "examples/demo-plc/demo.py"
    done = subprocess.run(
        [sys.executable, demo],
        cwd=clone,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    pin = (clone / "build/dev/pin").read_bytes().strip()
    assert len(pin) == 16
    outputs = [path for path in (clone / "build").rglob("*") if path.is_file()]
    outputs = [path for path in outputs if clone / "build/dev" not in path.parents]
    assert len(outputs) > 40
    said = {"output": (done.stdout + done.stderr).encode()}
    for name, data in (said | {str(path): path.read_bytes() for path in outputs}).items():
        assert pin not in data, name
        assert str(clone).encode() not in data, name


@pytest.mark.parametrize("name", ["demo-plc", "demo-plc-1.0.0", "demo-plc-faulty"])
def test_the_recipes_of_the_product_differ_in_declared_values_only(name: str) -> None:
    def values(stem: str) -> dict[str, dict[str, object]]:
        text = (ROOT / f"manifests/{stem}.toml").read_text(encoding="utf-8")
        found: dict[str, dict[str, object]] = tomllib.loads(text)
        for table, keys in (
            ("product", ("version", "sequence-number")),
            ("parameters", ("fault",)),
        ):
            for key in keys:
                del found[table][key]
        return found

    assert values(name) == values("demo-plc")
