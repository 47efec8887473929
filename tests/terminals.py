"""A terminal for one command: what a person would see, and type."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def on_terminal(
    *words: str, cwd: Path, env: dict[str, str], typed: bytes = b"", after: bytes = b":"
) -> tuple[int, str]:
    """Run `fwseal` on a terminal; type once it ends a line with `after`; answer code and screen."""
    ours, theirs = pty.openpty()
    said, end = b"", time.monotonic() + 60
    with subprocess.Popen(
        [sys.executable, "-m", "fwseal", *words],
        cwd=cwd, env=env, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True,
    ) as process:  # fmt: skip
        os.close(theirs)
        while time.monotonic() < end:
            if not select.select([ours], [], [], 0.1)[0]:
                continue
            try:
                piece = os.read(ours, 4096)
            except OSError:
                break
            said += piece
            if typed and said.rstrip().endswith(after):
                os.write(ours, typed)
                typed = b""
        os.close(ours)
        return process.wait(timeout=30), said.decode(errors="replace")
