"""One power-on of the board in QEMU: the flash file is the device, and nothing else is touched."""

from __future__ import annotations

import os
import selectors
import shutil
import signal
import subprocess
import tempfile
import time
from typing import IO, TYPE_CHECKING, Final, cast

from fwseal.base.errors import Misuse, Unavailable
from fwseal.device.board import FLASH_SIZE, Run

if TYPE_CHECKING:
    import pathlib
    from collections.abc import Sequence

_PROGRAM: Final = "qemu-system-arm"
_UART_LIMIT: Final = 1 << 20


def run(*, boot: pathlib.Path, flash: pathlib.Path, timeout: float = 10.0) -> Run:
    """Answer what the device did from reset to its exit; `flash` keeps what it wrote.

    Raises `Unavailable` when QEMU is missing or does not start.
    """
    program = shutil.which(_PROGRAM)
    if program is None:
        raise Unavailable(
            f"{_PROGRAM} is not installed", hint=f"apt-get install {_PROGRAM}, or use unicorn"
        )
    check_flash(flash)
    result, complaints = supervise([program, *_arguments(boot, flash)], timeout=timeout)
    if result.exit_code == 1 and not result.uart:
        raise Unavailable(f"{_PROGRAM} did not start: {complaints}")
    return result


def check_flash(flash: pathlib.Path) -> None:
    """Answer nothing: the file is as large as the board's flash, which no emulator may change."""
    if flash.stat().st_size != FLASH_SIZE:
        raise Misuse(f"{flash} is not a flash of {FLASH_SIZE:#x} bytes")


def supervise(command: Sequence[str], *, timeout: float) -> tuple[Run, str]:
    """Answer how an emulator ended, and its complaints; none of it is left running.

    It is killed when its time is up or its UART text passes a megabyte.
    """
    begin = time.monotonic()
    with (
        tempfile.TemporaryFile() as stderr,
        subprocess.Popen(  # noqa: S603 - the program and its arguments are ours
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=stderr,
            start_new_session=True,
        ) as process,
    ):
        try:
            uart = _read(cast("IO[bytes]", process.stdout), deadline=begin + timeout)
            code = _wait(process, deadline=begin + timeout) if len(uart) <= _UART_LIMIT else None
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
        seconds = time.monotonic() - begin
        stderr.seek(0)
        complaints = stderr.read().decode(errors="replace").strip()
    text = uart[:_UART_LIMIT].decode("ascii", errors="backslashreplace")
    return Run(uart=text, exit_code=code, seconds=seconds), complaints


def _read(stream: IO[bytes], *, deadline: float) -> bytes:
    output = bytearray()
    with selectors.DefaultSelector() as selector:
        selector.register(stream, selectors.EVENT_READ)
        while len(output) <= _UART_LIMIT and selector.select(max(0, deadline - time.monotonic())):
            chunk = os.read(stream.fileno(), 1 << 16)
            if not chunk:
                break
            output += chunk
    return bytes(output)


def _wait(process: subprocess.Popen[bytes], *, deadline: float) -> int | None:
    try:
        return process.wait(max(0, deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
        return None


def _arguments(boot: pathlib.Path, flash: pathlib.Path) -> list[str]:
    memory = f"memory-backend-file,id=flash,size={FLASH_SIZE},mem-path={_escape(flash)},share=on"
    loader = f"loader,file={_escape(boot)},addr=0x0,force-raw=on"
    return [
        *("-M", "mps2-an385,memory-backend=flash", "-object", memory, "-device", loader),
        *("-nodefaults", "-no-reboot", "-display", "none", "-monitor", "none", "-nic", "none"),
        *("-serial", "stdio"),
        # target=gdb, and no gdb: exit works, but the firmware cannot open files or run commands
        # on this host, both of which are semihosting calls and work with target=native.
        *("-semihosting-config", "enable=on,target=gdb"),
    ]


def _escape(path: pathlib.Path) -> str:
    return str(path.absolute()).replace(",", ",,")
