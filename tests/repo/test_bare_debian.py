"""A fresh clone in a bare Debian: a newcomer's first two commands do there what they promise."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from needs import absent, need_program

SCRIPT = Path(__file__).with_name("bare_debian.sh")
DIGEST = re.compile(r"[0-9a-f]{64}")

pytestmark = pytest.mark.heavy


class BareDebian:
    """One root, entered anew for each command."""

    def __init__(self, root: Path) -> None:
        need_program("debootstrap")
        need_program("bwrap")
        self.root = root

    def make(self, account: str, verb: str) -> None:
        done = subprocess.run(
            [SCRIPT, "--keep", self.root, account, "make", verb],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if done.returncode == 77:
            absent(done.stdout)
        assert done.returncode == 0, done.stdout[-10_000:]

    def demo(self, account: str) -> dict[str, Any]:
        summary = self.root / "srv/fwseal/build/demo/summary.json"
        summary.unlink(missing_ok=True)
        self.make(account, "demo")
        loaded: dict[str, Any] = json.loads(summary.read_text())
        return loaded


@pytest.fixture
def bare_debian(tmp_path: Path) -> Iterator[BareDebian]:
    root = tmp_path / "root"
    yield BareDebian(root)
    shutil.rmtree(root, ignore_errors=True)


def check_main_job(summary: dict[str, Any]) -> None:
    assert summary["schema_version"] == 1
    assert summary["steps"]
    assert [step for step in summary["steps"] if not step["ok"]] == []
    assert summary["device"]["banner"]
    assert DIGEST.fullmatch(summary["device"]["image_digest"])
    refusals = summary["refusals"]
    assert len(refusals) >= 6
    assert len({refusal["reason"] for refusal in refusals}) >= 5
    assert all(DIGEST.fullmatch(refusal["booted_digest"]) for refusal in refusals)


def test_root_gets_every_real_part_a_second_demo_passes_and_so_do_the_tests(
    bare_debian: BareDebian, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(2):
        summary = bare_debian.demo("root")
        check_main_job(summary)
        assert summary["substitutes"] == []
    monkeypatch.setenv("CI", "true")  # a test that skips for a missing package fails
    bare_debian.make("root", "test")


def test_an_unprivileged_user_gets_the_whole_job_and_is_told_each_substitute(
    bare_debian: BareDebian,
) -> None:
    summary = bare_debian.demo("user")
    check_main_job(summary)
    used = {row["real"]: row["used"] for row in summary["substitutes"]}
    assert used["SoftHSM"] == "development key file"
    assert used["QEMU"] == "Unicorn"
    assert "bubblewrap" in used
