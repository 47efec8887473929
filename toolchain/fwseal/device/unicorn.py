"""One power-on of the board in Unicorn, which is GPL: in a process of its own, never in ours."""

from __future__ import annotations

import ctypes
import importlib
import importlib.util
import math
import mmap
import os
import pathlib
import signal
import sys
from typing import TYPE_CHECKING, Final

from fwseal.base.errors import Unavailable
from fwseal.device.board import FLASH_ORIGIN, FLASH_SIZE
from fwseal.device.qemu import check_flash, supervise

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fwseal.device.board import Run

_CODE: Final = (0x0000_0000, 0x40_0000)
_RAM: Final = (0x2000_0000, 0x40_0000)
_UART0: Final = (0x4000_4000, 0x1000)
_UART_DATA: Final = 0
_SYSTEM_CONTROL: Final = (0xE000_E000, 0x1000)
_VTOR: Final = 0xE000_ED08
_HARD_FAULT: Final = 3

_THUMB: Final = 1
_NOWHERE: Final = 0xFFFF_FFFE
_NO_EXCEPTION: Final = -1
_BREAKPOINT: Final = 7  # QEMU's EXCP_BKPT, as Unicorn's hook reports it
_BKPT_SEMIHOSTING: Final = b"\xab\xbe"
_SYS_EXIT: Final = 0x18
_SYS_EXIT_EXTENDED: Final = 0x20
_APPLICATION_EXIT: Final = 0x20026


def run(*, boot: pathlib.Path, flash: pathlib.Path, timeout: float = 10.0) -> Run:
    """Answer what the device did from reset to its exit; `flash` keeps what it wrote.

    Raises `Unavailable` when Unicorn is missing or does not start.
    """
    if importlib.util.find_spec("unicorn") is None:
        raise Unavailable("unicorn is not installed", hint="pip install 'fwseal[emulator]'")
    check_flash(flash)
    command = [sys.executable, "-P", "-m", __name__, str(boot), str(flash), str(timeout)]
    result, complaints = supervise(command, timeout=timeout)
    if result.exit_code == 1 and not result.uart:
        raise Unavailable(f"unicorn did not start: {complaints}")
    return result


def main(arguments: Sequence[str]) -> int:
    """Answer the exit code of the firmware: BOOT FLASH SECONDS."""
    boot, flash, seconds = arguments
    signal.alarm(math.ceil(float(seconds)) + 1)  # should whoever started us be gone by then
    with pathlib.Path(flash).open("r+b") as file, mmap.mmap(file.fileno(), FLASH_SIZE) as content:
        return _Board(pathlib.Path(boot).read_bytes(), content).power_on()


class _Board:
    """As much of an MPS2 with AN385 as the boot program and its applications use."""

    def __init__(self, boot: bytes, flash: mmap.mmap) -> None:
        unicorn = importlib.import_module("unicorn")
        self._arm = importlib.import_module("unicorn.arm_const")
        self._error = unicorn.UcError
        self._uc = unicorn.Uc(unicorn.UC_ARCH_ARM, unicorn.UC_MODE_THUMB | unicorn.UC_MODE_MCLASS)
        self._uc.ctl_set_cpu_model(self._arm.UC_CPU_ARM_CORTEX_M3)
        self._exception = _NO_EXCEPTION
        for region in (_CODE, _RAM, _SYSTEM_CONTROL):
            self._uc.mem_map(*region)
        # The file itself is the memory: what was written stays, however this process ends.
        address = ctypes.addressof(ctypes.c_char.from_buffer(flash))
        self._uc.mem_map_ptr(FLASH_ORIGIN, FLASH_SIZE, unicorn.UC_PROT_ALL, address)
        self._uc.mmio_map(*_UART0, _uart_read, None, _uart_write, None)
        self._uc.hook_add(unicorn.UC_HOOK_INTR, self._stop)
        self._uc.mem_write(_CODE[0], boot)

    def power_on(self) -> int:
        """Answer the code the firmware exits with."""
        self._uc.reg_write(self._arm.UC_ARM_REG_SP, self._word(_CODE[0]))
        code = self._execute(self._word(_CODE[0] + 4))
        if code is None:
            code = self._execute(self._word(self._word(_VTOR) + 4 * _HARD_FAULT))
        if code is None:
            os.abort()  # a fault in the fault handler locks the core up: QEMU aborts too
        return code

    def _execute(self, pc: int) -> int | None:
        """Answer the exit code, or nothing at a fault."""
        while self._reaches_semihosting(pc):
            code = self._semihosting()
            if code is not None:
                return code
            pc = self._uc.reg_read(self._arm.UC_ARM_REG_PC) + 2 | _THUMB
        return None

    def _reaches_semihosting(self, pc: int) -> bool:
        self._exception = _NO_EXCEPTION
        try:
            self._uc.emu_start(pc, _NOWHERE)
        except self._error:
            return False
        if self._exception == _NO_EXCEPTION:
            signal.pause()  # wfi, and no interrupt is ever enabled
        at = self._uc.reg_read(self._arm.UC_ARM_REG_PC)
        return self._exception == _BREAKPOINT and self._uc.mem_read(at, 2) == _BKPT_SEMIHOSTING

    def _stop(self, _uc: object, exception: int, _context: object) -> None:
        self._exception = exception
        self._uc.emu_stop()

    def _semihosting(self) -> int | None:
        operation, parameter = (
            self._uc.reg_read(register)
            for register in (self._arm.UC_ARM_REG_R0, self._arm.UC_ARM_REG_R1)
        )
        if operation == _SYS_EXIT:
            return int(parameter != _APPLICATION_EXIT)
        if operation == _SYS_EXIT_EXTENDED:
            code = self._word(parameter + 4) & 0xFF
            return code if self._word(parameter) == _APPLICATION_EXIT else 1
        return None  # no other call reaches this host

    def _word(self, address: int) -> int:
        return int.from_bytes(self._uc.mem_read(address, 4), "little")


def _uart_read(_uc: object, _offset: int, _size: int, _context: object) -> int:
    return 0  # the transmitter is never full


def _uart_write(_uc: object, offset: int, _size: int, value: int, _context: object) -> None:
    if offset == _UART_DATA:
        os.write(sys.stdout.fileno(), bytes([value & 0xFF]))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
