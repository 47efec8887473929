"""Firmware is compiled once a session; every test gets a device of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import boards
from fwseal.device import qemu, unicorn
from needs import need_module, need_program

if TYPE_CHECKING:
    import pathlib
    from collections.abc import Callable

    from fwseal.device.board import Run


@pytest.fixture(scope="session")
def firmware(tmp_path_factory: pytest.TempPathFactory) -> boards.Firmware:
    return boards.build(tmp_path_factory.mktemp("zig") / "out", boards.zig())


@pytest.fixture(scope="session")
def imgtool(tmp_path_factory: pytest.TempPathFactory) -> boards.Imgtool:
    need_module("imgtool")
    return boards.Imgtool(folder=tmp_path_factory.mktemp("imgtool"))


@pytest.fixture(params=["qemu", "unicorn"])
def emulate(request: pytest.FixtureRequest) -> Callable[..., Run]:
    if request.param == "qemu":
        need_program("qemu-system-arm")
        return qemu.run
    need_module("unicorn")
    return unicorn.run


@pytest.fixture
def board(
    tmp_path: pathlib.Path, firmware: boards.Firmware, emulate: Callable[..., Run]
) -> boards.Board:
    boot = tmp_path / "boot.bin"
    boot.write_bytes(firmware.boot)
    board = boards.Board(boot=boot, flash=tmp_path / "flash.img", emulate=emulate)
    board.write({})
    return board
