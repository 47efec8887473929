"""Small sources, sandboxes and programs for the tests of the build."""

from __future__ import annotations

import io
import struct
import subprocess
import tarfile
from datetime import UTC, datetime

import boards
import workshop
from fwseal.base.tables import Table
from fwseal.build import lock, sandbox, toolchain, walls
from fwseal.build import recipe as recipes
from fwseal.build.run import Order
from fwseal.image import memory_map
from needs import absent, need_program

LAYOUT = memory_map.layout(Table(boards.LAYOUT, where="layout.toml"))
NO_COMPILER = toolchain.Compiler(
    name="none", kind="program", version="", sha256="", home=None, cc="cc"
)
PROBES = {
    walls.Level.BUBBLEWRAP: ("bwrap", "--unshare-all", "--ro-bind", "/", "/", "true"),
    walls.Level.UNSHARE: ("unshare", "--user", "--map-root-user", "--net", "--mount", "true"),
}


def need_level(level: walls.Level) -> walls.Level:
    """Answer the level when the kernel lets its program work here, or skip."""
    if level in PROBES:
        need_program(PROBES[level][0])
        done = subprocess.run(PROBES[level], capture_output=True, check=False, timeout=20)
        if done.returncode:
            absent(f"{level.value} does not work here")
    return level


def archive(files: dict[str, bytes], *, links: dict[str, str] | None = None) -> bytes:
    """Answer a tar archive as git writes it."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, aim in (links or {}).items():
            member = tarfile.TarInfo(name)
            member.type, member.linkname = tarfile.SYMTYPE, aim
            tar.addfile(member)
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(data), 0o644
            tar.addfile(member, io.BytesIO(data))
    return out.getvalue()


def job(
    *commands: tuple[str, ...], source: bytes | None = None, outputs: tuple[str, ...] = ()
) -> sandbox.Job:
    """Answer one build that needs no compiler."""
    return sandbox.Job(
        archive=archive({"here": b""}) if source is None else source,
        commands=commands,
        outputs=outputs,
        compiler=NO_COMPILER,
        epoch=0,
    )


def said(script: str, level: walls.Level, *, source: bytes | None = None) -> str:
    """Answer what a shell script prints in a build."""
    words = ("sh", "-c", f"( {script} ) > said 2>&1 || :")
    return sandbox.build(job(words, source=source, outputs=("said",)), level)["said"].decode()


def program(
    *, address: int | None = None, stack: int = 0x20100000, reset: int | None = None, size: int = 64
) -> bytes:
    """Answer an ELF file of one segment, by default an application that fits the layout."""
    if address is None:
        address = LAYOUT.load_address + LAYOUT.header_size
    body = struct.pack("<II", stack, address + 9 if reset is None else reset).ljust(size, b"\x42")
    head = b"\x7fELF\x01\x01\x01" + bytes(9)
    head += struct.pack("<HHIIIIIHHHHHH", 2, 40, 1, 0, 52, 0, 0, 52, 32, 1, 40, 0, 0)
    return head + struct.pack("<8I", 1, 84, address, address, size, size, 5, 4) + body


RECIPE = """
[product]
name = "app"
line = "plc"
version = "1.2.3"
sequence-number = 7
device = "targets/mps2-an385.toml"

[source]
commit = "HEAD"
paths = ["."]

[toolchain]
compiler = "zig"
host = ["cp"]

[build]
commands = [["cp", "{from}", "app.elf"]]
outputs = ["app.elf"]

[parameters]
from = "made.elf"

[[payload]]
file = "app.bin"
component = ["00"]
format = "mcuboot"
load-address = 0x20000000

[manifest]
template = "single-image"
"""


def changed(*edits: tuple[str, str]) -> str:
    """Answer the recipe with texts replaced that must be there."""
    text = RECIPE
    for old, new in edits:
        assert old in text, old
        text = text.replace(old, new)
    return text


def parsed(text: str) -> recipes.Recipe:
    """Answer the recipe of a text."""
    return recipes.recipe(Table.parse(text, where="app.toml"))


def order(text: str, source: bytes, *, commit: str = "ab" * 20) -> Order:
    """Answer what to build for the reference device."""
    return Order(
        recipe=parsed(text),
        recipe_bytes=text.encode(),
        commit=commit,
        archive=source,
        compiler=toolchain.find("zig"),
        lock=lock.Lock(),
        locking=True,
        layout=LAYOUT,
        layout_bytes=b"",
        vendor_id=workshop.VENDOR,
        class_id=workshop.CLASS,
        now=datetime(2026, 1, 1, tzinfo=UTC),
    )
