"""The reference board as the tests use it: compile, sign with imgtool, flash, power on."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import os
import pathlib
import struct
import subprocess
import sys
import tomllib
from typing import TYPE_CHECKING, Any

from fwseal.device.board import BootReport, Run, parse_boot
from needs import need_module, need_program

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

ROOT = pathlib.Path(__file__).parents[1]
TARGET = ROOT / "targets" / "mps2-an385"
DEMO = ROOT / "examples" / "demo-plc"

LAYOUT: dict[str, Any] = tomllib.loads((TARGET / "layout.toml").read_text())
LOAD_ADDRESS: int = LAYOUT["image"]["load-address"]
HEADER_SIZE: int = LAYOUT["image"]["header-size"]
SLOT_SIZE: int = LAYOUT["slots"]["size"]
IMAGE_MAX_SIZE = SLOT_SIZE - LAYOUT["slots"]["erase-size"]
FLASH_SIZE: int = LAYOUT["memory"]["flash"]["size"]
SLOT_OFFSETS = [
    origin - LAYOUT["memory"]["flash"]["origin"] for origin in LAYOUT["slots"]["origins"]
]

MAGIC = bytes.fromhex("77c295f360d2ef7f3552500f2cb67980")
SET = b"\x01" + 7 * b"\xff"
UNSET = 8 * b"\xff"


def zig() -> str:
    """Return the C compiler that pip alone gives."""
    module = need_module("ziglang")
    return f"{pathlib.Path(str(module.__file__)).parent / 'zig'} cc"


def gcc() -> str:
    """Return the C compiler that the projects out there use."""
    return need_program("arm-none-eabi-gcc")


def make(folder: pathlib.Path, out: pathlib.Path, cc: str, **variables: object) -> None:
    """Build as a fresh machine would: nothing in the environment, no cache."""
    subprocess.run(
        [
            need_program("make"),
            "--silent",
            f"CC={cc}",
            f"OUT={out}",
            *(f"{name}={value}" for name, value in variables.items()),
        ],
        cwd=folder,
        env={
            "PATH": os.environ["PATH"],
            "ZIG_GLOBAL_CACHE_DIR": f"{out}-zig-global",
            "ZIG_LOCAL_CACHE_DIR": f"{out}-zig-local",
        },
        check=True,
    )


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """A PT_LOAD of an ELF file."""

    address: int
    load_address: int
    flags: int
    content: bytes


def segments(elf: bytes) -> list[Segment]:
    """Return what is loaded of an ELF file."""
    (offset,) = struct.unpack_from("<I", elf, 28)
    size, count = struct.unpack_from("<HH", elf, 42)
    headers = [struct.unpack_from("<8I", elf, offset + size * index) for index in range(count)]
    return [
        Segment(
            address=header[2],
            load_address=header[3],
            flags=header[6],
            content=elf[header[1] : header[1] + header[4]],
        )
        for header in headers
        if header[0] == 1
    ]


def flat(elf: bytes) -> bytes:
    """Return what objcopy -O binary makes of an ELF file."""
    loads = sorted((load.load_address, load.content) for load in segments(elf) if load.content)
    binary = bytearray()
    for address, content in loads:
        binary += bytes(address - loads[0][0] - len(binary)) + content
    return bytes(binary)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Firmware:
    """What one compiler makes of the sources: flat binaries."""

    boot: bytes
    demo: bytes
    faulty: bytes


def build(out: pathlib.Path, cc: str) -> Firmware:
    """Compile the boot program, the demo and its faulty twin."""
    make(TARGET, out, cc)
    make(DEMO, out, cc, VERSION="1.1.0", BUILD_ID="1a2b3c4d5e6f")
    make(DEMO, out / "faulty", cc, VERSION="1.2.0", BUILD_ID="1a2b3c4d5e6f", SELFTEST_FAULT=1)
    return Firmware(
        boot=flat((out / "boot.elf").read_bytes()),
        demo=flat((out / "demo-plc.elf").read_bytes()),
        faulty=flat((out / "faulty" / "demo-plc.elf").read_bytes()),
    )


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Imgtool:
    """The independent maker of images; it works in a folder of its own."""

    folder: pathlib.Path

    @functools.cache  # noqa: B019 - one instance, for the session
    def sign(self, payload: bytes, version: str = "1.0.0", *options: str) -> bytes:
        """Return an image with its trailer unless told otherwise: a slot's content, as a trial."""
        raw, signed = self.folder / "payload.bin", self.folder / "signed.bin"
        raw.write_bytes(payload)
        arguments = {
            "--version": version,
            "--header-size": hex(HEADER_SIZE),
            "--align": "8",
            "--slot-size": hex(SLOT_SIZE),
            "--load-addr": hex(LOAD_ADDRESS),
        }
        subprocess.run(
            [
                *(sys.executable, "-m", "imgtool.main", "sign", "--pad-header", "--pad"),
                *(word for pair in arguments.items() for word in pair),
                *(*options, raw, signed),
            ],
            check=True,
            stdout=subprocess.DEVNULL,
        )
        image = signed.read_bytes()
        assert len(image) == SLOT_SIZE
        return image


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Board:
    """One device: a boot program, a flash, and what powers it on."""

    boot: pathlib.Path
    flash: pathlib.Path
    emulate: Callable[..., Run]

    def write(self, slots: Mapping[int, bytes]) -> None:
        """Flash these slots and erase the rest."""
        content = bytearray(FLASH_SIZE * b"\xff")
        for slot, image in slots.items():
            content[SLOT_OFFSETS[slot] : SLOT_OFFSETS[slot] + len(image)] = image
        self.flash.write_bytes(content)

    def slot(self, number: int) -> bytes:
        """Return what the flash holds in a slot."""
        offset = SLOT_OFFSETS[number]
        return self.flash.read_bytes()[offset : offset + SLOT_SIZE]

    def power_on(self) -> Run:
        """Run to the exit."""
        return self.emulate(boot=self.boot, flash=self.flash)

    def report(self) -> BootReport:
        """Run to the exit and return what the UART said."""
        return parse_boot(self.power_on().uart)


def erased(slot: bytes) -> bool:
    """Return whether nothing is left of a slot."""
    return slot == SLOT_SIZE * b"\xff"


def trailer(slot: bytes) -> tuple[bytes, bytes, bytes]:
    """Return copy-done, image-ok and the magic of a slot."""
    return slot[-32:-24], slot[-24:-16], slot[-16:]


def with_trailer(image: bytes, *, copy_done: bytes = UNSET, image_ok: bytes = UNSET) -> bytes:
    """Return a slot whose trailer says this of the image in it."""
    body = image[: SLOT_SIZE - 32]
    return body.ljust(SLOT_SIZE - 32, b"\xff") + copy_done + image_ok + MAGIC


def content_end(image: bytes) -> int:
    """Return where the TLVs of an image start."""
    return HEADER_SIZE + int(struct.unpack_from("<I", image, 12)[0])


def hashed_end(image: bytes) -> int:
    """Return where the part of an image ends that its digest covers."""
    return content_end(image) + int(struct.unpack_from("<H", image, 10)[0])


def digest(image: bytes) -> str:
    """Return the SHA-256 that the image has to claim."""
    return hashlib.sha256(image[: hashed_end(image)]).hexdigest()


def patched(image: bytes, offset: int, content: bytes) -> bytes:
    """Return an image with other bytes at a place."""
    return image[:offset] + content + image[offset + len(content) :]


def flipped(image: bytes, offset: int) -> bytes:
    """Return an image with one bit of one byte flipped."""
    return patched(image, offset, bytes([image[offset] ^ 0x10]))


def tlv(kind: int, value: bytes, *, length: int | None = None) -> bytes:
    """Return one TLV, which may lie about its length."""
    return struct.pack("<HH", kind, len(value) if length is None else length) + value


def tlv_area(content: bytes, *, magic: int = 0x6907, total: int | None = None) -> bytes:
    """Return an area of TLVs, which may lie about its size."""
    return struct.pack("<HH", magic, len(content) + 4 if total is None else total) + content
