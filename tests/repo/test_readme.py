"""The README's worked example is run as it stands."""

from __future__ import annotations

import re
import subprocess
from typing import TYPE_CHECKING

from needs import need_program

if TYPE_CHECKING:
    from pathlib import Path


def example(readme: str) -> str:
    """Answer the shell lines of the worked example."""
    (block,) = re.findall(r"runs these lines.*?-->\n```sh\n(.*?)```", readme, re.DOTALL)
    return str(block)


def test_the_worked_example_of_the_readme_runs_as_written(
    clone: Path, environment: dict[str, str]
) -> None:
    for program in ("softhsm2-util", "qemu-system-arm", "bwrap", "make"):
        need_program(program)
    lines = example((clone / "README.md").read_text(encoding="utf-8"))
    assert lines.count("fwseal ") >= 10
    done = subprocess.run(
        ["sh", "-eu", "-c", lines],
        cwd=clone,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert "demo-plc: self-test passed" in done.stdout
    assert "accepted: sequence number 2" in done.stdout
    assert "rollback: " in done.stdout
