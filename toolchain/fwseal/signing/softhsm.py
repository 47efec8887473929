"""A SoftHSM token for development: made by its own tool, the PIN never on a command line."""

from __future__ import annotations

import os
import pty
import select
import shutil
import signal
import time

from fwseal.base.errors import Unavailable

_TOOL = "softhsm2-util"
_PATIENCE = 20.0


def installed() -> bool:
    """Answer whether SoftHSM's tool is on the PATH."""
    return shutil.which(_TOOL) is not None


def config(tokens: str) -> str:
    """Answer a softhsm2.conf whose tokens live in that folder."""
    return f"directories.tokendir = {tokens}\nobjectstore.backend = file\nlog.level = ERROR\n"


def init_token(label: str, *, pin: str) -> None:
    """Make a token; SOFTHSM2_CONF in the environment says where. Raises `Unavailable`.

    The tool asks for both PINs twice on its terminal, so it is given one: arguments can be read
    by every user of the machine.
    """
    tool = shutil.which(_TOOL)
    if tool is None:
        raise Unavailable("softhsm2-util is not installed", hint="apt install softhsm2")
    child, terminal = pty.fork()
    if child == 0:  # pragma: no cover - the child is another program at once
        os.execv(tool, [tool, "--init-token", "--free", "--label", label])  # noqa: S606 - whole path
    said, answers, deadline = b"", [pin] * 4, time.monotonic() + _PATIENCE
    try:
        while time.monotonic() < deadline:
            if not select.select([terminal], [], [], 0.2)[0]:
                continue
            try:
                piece = os.read(terminal, 4096)
            except OSError:
                piece = b""  # how Linux says that the tool has gone
            if not piece:
                break
            said += piece
            if said.rstrip().endswith(b":") and answers:
                os.write(terminal, answers.pop().encode() + b"\n")
                said = b""
    finally:
        os.close(terminal)
    if time.monotonic() >= deadline:
        # A closed terminal hangs up on a tool that has opened it, and on no other.
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    if os.waitstatus_to_exitcode(status) != 0:
        raise Unavailable(
            f"softhsm2-util could not make token {label!r}",
            hint="check that the token folder can be written and has space",
        )
