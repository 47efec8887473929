"""What an image should not hold is found in the bytes that are flashed, by address."""

from __future__ import annotations

import struct
import subprocess
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from hypothesis import given
from hypothesis import strategies as st

import elves
from fwseal.base.errors import Refused
from fwseal.image import report
from fwseal.image.report import Report
from needs import need_program

if TYPE_CHECKING:
    from pathlib import Path


ROOM = 4096


def said(body: bytes, *, names: tuple[str, ...] = ()) -> Report:
    """Answer the report of an image with some bytes behind its vector table."""
    data = elves.elf((elves.LOAD, elves.vectors() + body))
    return report.report(data, name="app.bin", room=ROOM, names=names)


def kinds(body: bytes, *, names: tuple[str, ...] = ()) -> list[str]:
    return [one.kind for one in said(body, names=names).findings]


EC = ec.generate_private_key(ec.SECP256R1())
RSA = rsa.generate_private_key(65537, 2048)
ED = ed25519.Ed25519PrivateKey.generate()
PEM, DER = serialization.Encoding.PEM, serialization.Encoding.DER
PKCS8, OLD = serialization.PrivateFormat.PKCS8, serialization.PrivateFormat.TraditionalOpenSSL
OPEN = serialization.NoEncryption()


@pytest.mark.parametrize(
    "key",
    [
        EC.private_bytes(PEM, PKCS8, OPEN), EC.private_bytes(DER, PKCS8, OPEN),
        EC.private_bytes(PEM, OLD, OPEN), EC.private_bytes(DER, OLD, OPEN),
        RSA.private_bytes(PEM, PKCS8, OPEN), RSA.private_bytes(DER, OLD, OPEN),
        ED.private_bytes(PEM, PKCS8, OPEN), ED.private_bytes(DER, PKCS8, OPEN),
    ],
    ids=["ec pem", "ec der", "sec1 pem", "sec1 der", "rsa pem", "rsa der", "ed pem", "ed der"],
)  # fmt: skip
def test_a_private_key_in_flash_is_found_and_never_printed(key: bytes) -> None:
    found = said(b"\xff" * 40 + key)
    assert found.findings[0].kind == "key-material"
    assert found.findings[0].address == elves.LOAD + 64 + 40
    assert found.findings[0].detail == ""


@pytest.mark.parametrize(
    "key",
    [
        EC.public_key().public_bytes(DER, serialization.PublicFormat.SubjectPublicKeyInfo),
        RSA.public_key().public_bytes(DER, serialization.PublicFormat.SubjectPublicKeyInfo),
        ED.public_key().public_bytes(PEM, serialization.PublicFormat.SubjectPublicKeyInfo),
    ],
    ids=["ec", "rsa", "ed"],
)
def test_a_public_key_is_no_secret(key: bytes) -> None:
    assert kinds(key) == []


@pytest.mark.parametrize(
    "path", [b"/home/me/src/a.c", b"/usr/lib/gcc/x.h", b"C:\\work\\a.c", b"/build/a.c", b"/srv/x/y"]
)
def test_a_path_of_the_building_machine_is_found_with_its_address(path: bytes) -> None:
    (found,) = said(b"\0" * 8 + path + b"\0").findings
    assert (found.kind, found.address) == ("host-path", elves.LOAD + 64 + 8)
    assert found.detail == path.decode()


@pytest.mark.parametrize("text", [b"src/a.c", b"1/2", b"/api/v1/home", b"24/7", b"/dev"])
def test_other_texts_with_a_slash_are_no_paths(text: bytes) -> None:
    assert kinds(b"\0" + text + b"\0") == []


def test_an_image_without_vectors_has_no_stack_reset_or_fault_handlers(tmp_path: Path) -> None:
    (tmp_path / "a.c").write_text("void start(void) { for (;;) {} }", encoding="utf-8")
    words = [need_program("riscv64-unknown-elf-gcc"), "-nostdlib", "-Wl,-e,start", "-o", "a.elf"]
    subprocess.run([*words, "a.c"], cwd=tmp_path, check=True, timeout=60)
    found = report.report((tmp_path / "a.elf").read_bytes(), name="a.bin", room=1 << 20)
    assert (found.stack, found.reset, found.faults) == (None, None, ())


def test_the_name_of_a_host_or_user_is_found_where_it_stands_alone() -> None:
    assert kinds(b"built on forge7!", names=("forge7",)) == ["host-name"]
    assert kinds(b"built on forge70", names=("forge7",)) == []
    assert kinds(b"root", names=("me",)) == []


def test_a_list_without_end_is_cut_and_counted() -> None:
    found = said(b"/home/me\0" * (report.MAX_FINDINGS + 5))
    assert len(found.findings) == report.MAX_FINDINGS
    assert found.more == 5


def test_the_vector_table_tells_stack_reset_and_fault_handlers() -> None:
    words = struct.pack("<7I", elves.STACK, elves.LOAD + 9, 0, elves.LOAD + 9, 0, 0, 0)
    found = report.report(elves.elf((elves.LOAD, words)), name="a", room=ROOM)
    assert (found.stack, found.reset, found.faults) == (elves.STACK, elves.LOAD + 9, ("HardFault",))
    assert (found.size, found.room) == (28, ROOM)


def compiled(tmp_path: Path, *flags: str, linker: str = "") -> Report:
    """Answer the report of a small program that a real compiler made."""
    compiler = need_program("arm-none-eabi-gcc")
    (tmp_path / "a.c").write_text(
        """
        extern int _start(void);
        const void *table[] __attribute__((section(".vectors"))) = {(void *)0x20000100, _start};
        int values[4] = {1};
        void __stack_chk_fail(void) {}
        unsigned long __stack_chk_guard = 7;
        const char *place(void) { return __FILE__; }
        int _start(void) { char text[40]; __builtin_memset(text, values[0], 40);
          return text[values[1]] + *place(); }
        """,
        encoding="ascii",
    )
    (tmp_path / "a.ld").write_text(
        linker
        or """
        PHDRS { code PT_LOAD FLAGS(5); data PT_LOAD FLAGS(6); }
        SECTIONS { . = 0; .text : { *(.vectors) *(.text*) *(.rodata*) } :code
          . = 0x8000; .data : { *(.data*) } :data .bss : { *(.bss*) } :data }
        """,
        encoding="ascii",
    )
    words = [
        compiler, "-mcpu=cortex-m3", "-mthumb", "-nostdlib", "-Os", "-fno-builtin",
        "-Wl,--build-id=none", "-Wl,-T,a.ld", "-o", "a.elf", *flags,
    ]  # fmt: skip
    subprocess.run([*words, str(tmp_path / "a.c")], cwd=tmp_path, check=True, capture_output=True)
    data = (tmp_path / "a.elf").read_bytes()
    return report.report(data, name="a.bin", room=ROOM)


def test_a_real_compiler_and_its_flags_are_named_by_the_debug_information(tmp_path: Path) -> None:
    found = compiled(tmp_path, "-g", "-fstack-protector-all")
    assert any("GNU C" in one and "-fstack-protector-all" in one for one in found.producers)
    assert found.units == (str(tmp_path / "a.c"),)
    assert found.stack_protector
    bare = compiled(tmp_path)
    assert (bare.producers, bare.units) == ((), ())


def test_a_path_that_a_macro_left_in_flash_is_found_with_its_symbol(tmp_path: Path) -> None:
    (one,) = (one for one in compiled(tmp_path).findings if one.kind == "host-path")
    assert one.detail == str(tmp_path / "a.c")
    mapped = compiled(tmp_path, f"-ffile-prefix-map={tmp_path}=.")
    assert [one.kind for one in mapped.findings] == []


def test_debug_information_that_lies_is_refused_or_reported(tmp_path: Path) -> None:
    compiled(tmp_path, "-g")
    data = (tmp_path / "a.elf").read_bytes()
    start = data.index(b"GNU C")
    answers = set()
    for at in range(max(0, start - 2000), start, 7):
        damaged = data[:at] + b"\xff\xff" + data[at + 2 :]
        try:
            answers.add(type(report.report(damaged, name="a", room=ROOM)))
        except Refused as refused:
            answers.add(type(refused))
    assert answers == {Report, Refused}


def test_memory_that_may_be_written_and_run_is_found(tmp_path: Path) -> None:
    one = "PHDRS { all PT_LOAD FLAGS(7); }\nSECTIONS { . = 0; .text : { *(.vectors) *(*) } :all }"
    assert "writable-executable" in [one.kind for one in compiled(tmp_path, linker=one).findings]
    assert "writable-executable" not in [one.kind for one in compiled(tmp_path).findings]


def test_the_sections_are_those_that_objdump_prints(tmp_path: Path) -> None:
    found = compiled(tmp_path)
    objdump = need_program("arm-none-eabi-objdump")
    words = [objdump, "-h", "-w", tmp_path / "a.elf"]
    lines = subprocess.run(words, check=True, capture_output=True, text=True).stdout.splitlines()
    allocated = {
        (part[1], int(part[3], 16), int(part[2], 16))
        for part in map(str.split, lines)
        if "ALLOC" in " ".join(part) and int(part[2], 16)
    }
    assert allocated == {(one.name, one.address, one.size) for one in found.sections}
    assert {one.name for one in found.sections if one.writable} == {".data"}
    assert {one.name for one in found.sections if one.executable} == {".text"}


@given(st.integers(0, 120), st.integers(0, 255))
def test_a_damaged_file_is_refused_or_reported_and_never_crashes(at: int, value: int) -> None:
    data = bytearray(elves.elf((elves.LOAD, elves.vectors())))
    data[at % len(data)] = value
    try:
        report.report(bytes(data), name="a", room=ROOM)
    except Refused as refused:
        assert refused.message  # noqa: PT017 - either answer is one
