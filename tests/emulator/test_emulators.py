"""The emulators run firmware that may be hostile; the parser believes the boot program alone."""

from __future__ import annotations

import pathlib
import sys
import time
from typing import TYPE_CHECKING

import pytest

import boards
from fwseal.base.errors import Misuse, Unavailable
from fwseal.device import qemu, unicorn
from fwseal.device.board import BootReport, Erased, Started, parse_boot

if TYPE_CHECKING:
    from collections.abc import Callable

    from boards import Board, Imgtool
    from fwseal.device.board import Run

DIGEST = "5a" * 32
BANNER = "boot: mps2-an385 ram-load\n"
START = f"boot: start slot=1 version=1.1.0.0 digest={DIGEST} state=trial\n"
STARTED = Started(slot=1, version="1.1.0.0", digest=DIGEST, state="trial")

APPLICATION = """
#include "semihosting.h"
#include "uart.h"
#include "vectors.h"

void HardFault_Handler(void)
{
    uart_text("hostile: fault\\n");
    semihosting_exit(4);
}

__attribute__((unused)) static uint32_t call(uint32_t operation, const void *parameter)
{
    register uint32_t r0 __asm("r0") = operation;
    register const void *r1 __asm("r1") = parameter;

    __asm volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
    return r0;
}

void Reset_Handler(void)
{
    uart_init();
    uart_text("hostile\\n");
    %s
    uart_text("hostile: exit\\n");
    semihosting_exit(7);
}
"""

MAKEFILE = f"""
ROOT := {boards.ROOT}
TARGET := {boards.TARGET}
$(OUT)/hostile.elf: hostile.c $(OUT)/app.ld
	$(CC) $(CPU) $(CFLAGS) $(LDFLAGS) -Wl,-T,$(OUT)/app.ld hostile.c \\
		$(addprefix $(TARGET)/,mem.c uart.c vectors.c) -o $@
include $(TARGET)/target.mk
"""


def run_hostile(board: Board, imgtool: Imgtool, statements: str, *, timeout: float = 10.0) -> Run:
    folder = board.flash.parent / "hostile"
    folder.mkdir()
    (folder / "hostile.c").write_text(APPLICATION % statements)
    (folder / "Makefile").write_text(MAKEFILE)
    make_out = folder / "out"
    boards.make(folder, make_out, boards.zig())
    image = imgtool.sign(boards.flat((make_out / "hostile.elf").read_bytes()), "1.1.0")
    board.write({1: image})
    return board.emulate(boot=board.boot, flash=board.flash, timeout=timeout)


def processes_using(path: pathlib.Path) -> list[str]:
    found = []
    for entry in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = entry.read_bytes()
        except OSError:
            continue
        if str(path).encode() in command:
            found.append(command.decode(errors="replace"))
    return found


def test_firmware_that_asks_its_emulator_for_files_and_commands_reaches_nothing_of_the_host(
    board: Board, imgtool: Imgtool, tmp_path: pathlib.Path
) -> None:
    victim, file, command = (tmp_path / name for name in ("victim", "file", "command"))
    victim.touch()
    run = run_hostile(
        board,
        imgtool,
        f"""
        static const char file[] = "{file}", victim[] = "{victim}", touch[] = "touch {command}";
        call(0x01, (const uint32_t[]){{(uint32_t)file, 4, sizeof file - 1}});     /* open */
        call(0x12, (const uint32_t[]){{(uint32_t)touch, sizeof touch - 1}});      /* system */
        call(0x0e, (const uint32_t[]){{(uint32_t)victim, sizeof victim - 1}});    /* remove */
        """,
    )
    assert run.uart.endswith("hostile\nhostile: exit\n")
    assert run.exit_code == 7
    assert victim.exists()
    assert not file.exists()
    assert not command.exists()


@pytest.mark.parametrize(
    "fault",
    [
        "*(volatile uint32_t *)0x60000000u;",
        "((void (*)(void))0x60000001u)();",
        '__asm volatile("udf 0");',
    ],
    ids=["load", "jump", "undefined-instruction"],
)
def test_a_fault_enters_the_applications_handler(
    board: Board, imgtool: Imgtool, fault: str
) -> None:
    run = run_hostile(board, imgtool, fault)
    assert run.uart.endswith("hostile\nhostile: fault\n")
    assert run.exit_code == 4


@pytest.mark.parametrize(
    "hang", ["for (;;) { }", 'for (;;) { __asm volatile("wfi"); }'], ids=["spin", "sleep"]
)
def test_firmware_that_hangs_is_killed_in_time_and_leaves_no_process(
    board: Board, imgtool: Imgtool, hang: str
) -> None:
    begin = time.monotonic()
    run = run_hostile(board, imgtool, hang, timeout=1.0)
    assert run.exit_code is None
    assert 1.0 <= run.seconds < 3.0
    assert time.monotonic() - begin < 8.0
    assert run.uart.endswith("hostile\n")
    assert processes_using(board.flash) == []
    assert boards.trailer(board.slot(1))[0] == boards.SET


def test_firmware_that_talks_without_end_is_cut_and_leaves_no_process(
    board: Board, imgtool: Imgtool
) -> None:
    run = run_hostile(board, imgtool, "for (;;) { uart_text(__FILE__); }", timeout=30.0)
    assert len(run.uart) <= 1 << 20
    assert run.exit_code is None
    assert processes_using(board.flash) == []


def test_bytes_that_are_no_text_arrive_as_escapes(board: Board, imgtool: Imgtool) -> None:
    run = run_hostile(board, imgtool, 'uart_text("\\xff\\r\\n");')
    assert "hostile\n\\xff\r\nhostile: exit\n" in run.uart


def test_a_path_with_commas_names_the_file_and_no_option(
    board: Board, tmp_path: pathlib.Path
) -> None:
    folder = tmp_path / "a,size=1,readonly=on"
    folder.mkdir()
    boot, flash = folder / "boot,addr=0x1000.bin", folder / "flash,share=off.img"
    boot.write_bytes(board.boot.read_bytes())
    flash.write_bytes(board.flash.read_bytes())
    run = board.emulate(boot=boot, flash=flash)
    assert run.uart == BANNER + "boot: halt no-image\n"


@pytest.mark.parametrize("size", [0, boards.FLASH_SIZE - 1, boards.FLASH_SIZE + 1])
def test_a_file_that_is_no_flash_of_this_board_is_misuse_and_stays_as_it_is(
    board: Board, size: int
) -> None:
    with board.flash.open("wb") as file:
        file.truncate(size)
    with pytest.raises(Misuse, match="is not a flash"):
        board.power_on()
    assert board.flash.stat().st_size == size


def test_an_emulator_that_cannot_start_is_unavailable(board: Board, tmp_path: pathlib.Path) -> None:
    with pytest.raises(Unavailable, match="did not start"):
        board.emulate(boot=tmp_path / "absent.bin", flash=board.flash)


@pytest.mark.parametrize(
    ("run", "hint"), [(qemu.run, "qemu-system-arm"), (unicorn.run, "fwseal[emulator]")]
)
def test_a_missing_emulator_is_unavailable_and_says_what_to_install(
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
    run: Callable[..., Run],
    hint: str,
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setitem(sys.modules, "unicorn", None)
    with pytest.raises(Unavailable, match="is not installed") as caught:
        run(boot=tmp_path / "boot.bin", flash=tmp_path / "flash.img")
    assert hint in caught.value.hint


# What the UART said


def test_every_line_of_the_boot_program_is_understood() -> None:
    erased = "boot: erased slot=0 reason=malformed\nboot: erased slot=1 reason=trailer-invalid\n"
    assert parse_boot("") == BootReport()
    assert parse_boot(BANNER) == BootReport()
    assert parse_boot(BANNER + START) == BootReport(started=STARTED)
    assert parse_boot(BANNER + "boot: halt fault\n") == BootReport(halted="fault")
    assert parse_boot(BANNER + erased) == BootReport(
        erased=(Erased(slot=0, reason="malformed"), Erased(slot=1, reason="trailer-invalid"))
    )


def test_nothing_an_application_prints_passes_for_the_boot_program() -> None:
    spoof = (
        "demo\nboot: erased slot=0 reason=malformed\nboot: halt fault\n"
        + START.replace("slot=1", "slot=0")
        + "boot: nonsense\ndemo: confirmed slot=0\n"
    )
    assert parse_boot(BANNER + START + spoof) == BootReport(started=STARTED, banner="demo")


@pytest.mark.parametrize(
    ("said", "confirmed"),
    [
        ("demo-plc: confirmed slot=1", True),
        ("demo-plc: already confirmed slot=1", True),
        ("demo-plc: confirmed slot=0", False),
        ("demo-plc: confirmed slot=11", False),
        ("demo-plc: not confirmed slot=1", False),
    ],
)
def test_an_application_confirms_its_own_slot_only(said: str, *, confirmed: bool) -> None:
    report = parse_boot(f"{BANNER}{START}demo-plc 1.1.0\n{said}\n")
    assert report.confirmed is confirmed
    assert report.banner == "demo-plc 1.1.0"


def test_a_confirmed_start_is_confirmed_whatever_the_application_says() -> None:
    report = parse_boot(BANNER + START.replace("trial", "confirmed"))
    assert report.confirmed


@pytest.mark.parametrize(
    "uart",
    [
        "boot: ",
        BANNER[:-1],
        "\n" + BANNER,
        START,
        BANNER + BANNER,
        BANNER + "demo-plc 1.0.0\n",
        BANNER + "\n",
        BANNER + START[:-1],
        BANNER + START.replace("slot=1", "slot=01"),
        BANNER + START.replace("5a", "5A"),
        BANNER + START.replace("trial", "tried"),
        BANNER + START.replace("1.1.0.0", "1.1.0"),
        BANNER + " " + START,
        BANNER + START.replace("\n", "\r\n"),
        BANNER + "boot: erased slot=0 reason=boredom\n",
        BANNER + "boot: halt no-image\n" + START,
        BANNER + "boot: halt no-image\nmore",
        BANNER + "boot: halt sunday\n",
    ],
)
def test_a_line_the_boot_program_does_not_print_is_an_error(uart: str) -> None:
    with pytest.raises(ValueError, match="boot program"):
        parse_boot(uart)
