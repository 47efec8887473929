"""Every cause that the explainer knows is built into the example, and named; nothing else is."""

from __future__ import annotations

import dataclasses
import functools
import gzip
import io
import os
import shutil
import subprocess
import tarfile
import tempfile
import zipfile
import zlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import projects
from fwseal.build import explain, parts, toolchain
from fwseal.build.causes import MENDS, Cause
from fwseal.image import elf, intelhex, mcuboot
from needs import need_module, need_program

GCC = "arm-none-eabi-gcc"
MAGICS = [
    b"\x7fELF\x01\x01\x01", b"!<arch>\n", b"PK\x03\x04", b"\x1f\x8b\x08", b":10",
    mcuboot.MAGIC.to_bytes(4, "little"),
]  # fmt: skip


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Build:
    """How the example is built: code behind main.c, flags, words for make, edits of target.mk."""

    code: str = ""
    flags: tuple[str, ...] = ()
    make: tuple[str, ...] = ()
    cc: str = GCC
    epoch: int = 0
    edits: tuple[tuple[str, str], ...] = ()


@functools.cache
def built(one: Build) -> bytes:
    """Answer the example's ELF file, by a real compiler."""
    need_program("make")
    cc = one.cc
    if cc == GCC:
        need_program(GCC)
    with tempfile.TemporaryDirectory() as folder:
        for name in ("examples/demo-plc", "targets"):
            shutil.copytree(
                projects.ROOT / name, Path(folder, name), ignore=shutil.ignore_patterns("out")
            )
        place = Path(folder, "examples/demo-plc")
        with (place / "main.c").open("a", encoding="utf-8") as file:
            file.write(f"\n{one.code}\n")
        for old, new in one.edits:
            projects.edit(Path(folder, "targets/mps2-an385/target.mk"), old, new)
        variables = {
            "PATH": os.environ["PATH"], "SOURCE_DATE_EPOCH": str(one.epoch), "LC_ALL": "C.UTF-8",
            "ZIG_GLOBAL_CACHE_DIR": f"{folder}/g", "ZIG_LOCAL_CACHE_DIR": f"{folder}/l",
        }  # fmt: skip
        subprocess.run(
            ["make", "-s", "-C", place, f"CC={' '.join((cc, *one.flags))}", *one.make],
            env=variables, check=True, timeout=120, capture_output=True,
        )  # fmt: skip
        return (place / "out/demo-plc.elf").read_bytes()


def constant(value: str, *, name: str = "seed", kind: str = "char") -> Build:
    """Answer the example with one more constant in flash."""
    code = f"extern const {kind} {name}[]; const {kind} {name}[] = {value};"
    return Build(code=code, flags=(f"-Wl,-u,{name}",))


def text(value: str, *, name: str = "seed") -> Build:
    return constant(f'"{value}"', name=name)


def macro(value: str, *, name: str = "SEED") -> Build:
    """Answer the example with one more macro in its debug information."""
    return Build(flags=("-g3", f"""-D{name}='"{value}"'"""))


def numbers(*values: int, kind: str, name: str = "seed") -> Build:
    return constant("{" + ", ".join(map(str, values)) + "}", name=name, kind=kind)


def squeezed(data: bytes, level: int) -> Build:
    return numbers(*zlib.compress(data, level), kind="unsigned char")


TEXTS = {
    Cause.PATH: ("seed", "/home/alice/plc/control.c", "/srv/ci/42/plc/control.c"),
    Cause.TEMPORARY: ("seed", "made of /tmp/ccAbC123.s", "made of /tmp/ccZyX987.s"),
    Cause.DATE: ("seed", "Built : 12:01:02, Nov  3 2025", "Built : 23:59:58, Jan 14 2026"),
    Cause.ZONE: ("seed", "2026-01-02 10:22:33 +0000", "2026-01-02 10:22:33 +0200"),
    Cause.HOST: ("build_host", "alpha", "buildbox-7"),
    Cause.USER: ("built_by", "alice@ci", "jenkins@ci"),
    Cause.REVISION: ("seed", "v1.2-3-gabc1234", "v1.2-4-gdef5678-dirty"),
    Cause.COUNTER: ("seed", "pump, build 41", "pump, build 42"),
    Cause.UUID: ("seed", "6f1b2c3d-0a1b-4c2d-8e3f-001122334455",
                 "0e9d8c7b-5a4b-4f3e-9d2c-665544332211"),
    Cause.SEED: ("seed", "_GLOBAL__N_main_1a2b3c4d", "_GLOBAL__N_main_99aa88bb"),
    Cause.POINTER: ("seed", "<object at 0x7f3a12bc4d60>", "<object at 0x7f91ab54cc20>"),
    Cause.LOCALE: ("seed", "gain 3.25", "gain 3,25"),
}  # fmt: skip
"""Texts by their cause: the name of what holds them, and two that differ in nothing else."""

KEYS = (bytes.fromhex("5f1c9e27b3d84a60c7f2118d94ae3b76"),
        bytes.fromhex("e81b4d03f6927c5a29b0cd6e157fa384"))  # fmt: skip
LIST = b"a list of parameters, " * 40

BACKWARDS = (
    "SOURCES=startup.c selftest.c main.c control.c "
    "$(addprefix $(TARGET)/,mem.c slot.c uart.c vectors.c)"
)

FLASH = {
    **{cause: (text(a, name=name), text(b, name=name)) for cause, (name, a, b) in TEXTS.items()},
    Cause.EPOCH: tuple(numbers(n, kind="unsigned") for n in (1_700_000_000, 1_710_000_123)),
    Cause.CHANCE: tuple(numbers(*key, kind="unsigned char") for key in KEYS),
    Cause.TABLE: (numbers(11, 22, 33, 44, 55, kind="int"), numbers(44, 22, 55, 11, 33, kind="int")),
    Cause.COMPRESSION: (squeezed(LIST, 0), squeezed(LIST, 9)),
    Cause.ORDER: (
        Build(),
        Build(make=(BACKWARDS,)),
    ),
}  # fmt: skip
DEBUG = {cause: (macro(a, name=name), macro(b, name=name)) for cause, (name, a, b) in TEXTS.items()}


def explained(one: Build, other: Build) -> explain.Explained:
    return explain.explain(built(one), built(other))


def causes(found: explain.Explained, *, flash: bool | None = None) -> set[Cause]:
    return {one.cause for one in found.differences if flash in (None, one.flash)}


@pytest.mark.parametrize("cause", FLASH, ids=lambda cause: cause.value)
def test_a_cause_in_flash_is_named_and_no_other(cause: Cause) -> None:
    found = explained(*FLASH[cause])
    assert causes(found, flash=True) == {cause}
    assert causes(found) == {cause}


@pytest.mark.parametrize("cause", DEBUG, ids=lambda cause: cause.value)
def test_a_cause_in_debug_information_is_named_and_no_device_gets_it(cause: Cause) -> None:
    found = explained(*DEBUG[cause])
    assert causes(found) == {cause}
    assert causes(found, flash=True) == set()
    one, other = (elf.segments(built(each)) for each in DEBUG[cause])
    assert one == other


@pytest.mark.parametrize(
    "cause",
    sorted(set(FLASH) - {Cause.ORDER}, key=lambda one: one.value),
    ids=lambda cause: cause.value,
)
def test_a_cause_in_flash_comes_with_variable_and_source_line(cause: Cause) -> None:
    one, other = FLASH[cause]
    (found,) = explained(one, other).differences[:1]
    name = TEXTS[cause][0] if cause in TEXTS else "seed"
    lines = (projects.ROOT / "examples/demo-plc/main.c").read_text(encoding="utf-8").count("\n")
    assert (found.symbol, found.source) == (name, f"main.c:{lines + 2}")
    assert found.address in range(0x20000200, 0x20040000)
    assert found.place == (".rodata, inflated" if cause is Cause.COMPRESSION else ".rodata")


def test_what_differs_is_shown_and_nothing_around_it() -> None:
    (found,) = explained(*FLASH[Cause.USER]).differences
    assert (found.was, found.now) == ("alice", "jenkins")


def test_a_date_by_the_compiler_itself_is_found_where_the_image_uses_it() -> None:
    code = "void seed(void);\nvoid seed(void) { uart_text(__DATE__); }"
    one = Build(code=code, flags=("-Wl,-u,seed",), edits=(("-Werror=date-time", ""),))
    found = explained(one, dataclasses.replace(one, epoch=34_560_000))
    assert causes(found, flash=True) == {Cause.DATE}
    assert [(each.was, each.now, each.symbol) for each in found.differences if each.flash] == [
        ("Jan  1 1970", "Feb  5 1971", "seed")
    ]


def test_a_path_in_debug_information_and_the_build_id_it_changes_in_flash_are_two_causes() -> None:
    unmapped = ("-ffile-prefix-map=", "-I")
    one = Build(edits=(unmapped, ("--build-id=none", "--build-id=sha1")))
    found = explained(one, dataclasses.replace(one, make=("ALIKE=1",)))
    assert causes(found, flash=True) == {Cause.BUILD_ID}
    assert causes(found, flash=False) == {Cause.PATH}
    one = Build(edits=(unmapped,))
    found = explained(one, dataclasses.replace(one, make=("ALIKE=1",)))
    assert causes(found) == {Cause.PATH}


def test_two_compilers_are_a_toolchain() -> None:
    need_module("ziglang")
    home = toolchain.find("zig").home
    found = explained(Build(), Build(cc=f"{home}/zig cc"))
    assert Cause.TOOLCHAIN in causes(found)
    assert found.rest


def test_one_compiler_with_other_flags_is_flags() -> None:
    found = explained(Build(), Build(flags=("-fno-inline",)))
    assert causes(found) == {Cause.FLAGS}


def test_a_cause_inside_of_a_compressed_stream_is_named() -> None:
    one, other = (
        squeezed(LIST + f"made on {host}".encode(), 9) for host in ("2025-01-02", "2026-11-12")
    )
    found = explained(one, other)
    assert causes(found) == {Cause.DATE}
    assert found.differences[0].place == ".rodata, inflated"


@pytest.mark.parametrize(
    "code",
    ["int seed(int n);\nint seed(int n) { return n * %d; }",
     "extern const int seed[];\nconst int seed[] = {%d};",
     'extern const char seed[];\nconst char seed[] = "%d bar";'],
    ids=["code", "number", "text"],
)  # fmt: skip
def test_other_sources_have_no_cause_that_a_flag_would_mend(code: str) -> None:
    flags = ("-Wl,-u,seed",)
    found = explained(Build(code=code % 3, flags=flags), Build(code=code % 77, flags=flags))
    assert causes(found) == {Cause.UNKNOWN}
    assert any(one.flash for one in found.differences)


@pytest.mark.parametrize(
    "one", [Build(), FLASH[Cause.DATE][0], DEBUG[Cause.PATH][0]], ids=["plain", "flash", "debug"]
)
def test_what_is_the_same_is_said_to_be_and_nothing_else_is(one: Build) -> None:
    data = built(one)
    assert explain.explain(data, bytes(data)) == explain.Explained()
    for at in range(0, len(data), len(data) // 97):
        other = bytearray(data)
        other[at] ^= 0x10
        assert explain.explain(data, bytes(other)).differences, hex(at)


def forms(data: bytes) -> dict[str, bytes]:
    """Answer an ELF file in the forms that devices and servers take."""
    segments = elf.segments(data)
    flat = elf.flat(segments)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(zipfile.ZipInfo("image.bin"), flat)
    return {
        "bin": flat,
        "hex": intelhex.write(segments),
        "mcuboot": mcuboot.unsigned(
            flat, version=mcuboot.Version.parse("1.0.0"), load_address=0x20000000,
            header_size=0x200, security_counter=1,
        ),
        "gzip": gzip.compress(flat, mtime=0),
        "zip": packed.getvalue(),
        "tar": tarred({"image.bin": flat}),
    }  # fmt: skip


def tarred(members: dict[str, bytes], **fields: object) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, data in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            for key, value in fields.items():
                setattr(member, key, value)
            archive.addfile(member, io.BytesIO(data))
    return out.getvalue()


@pytest.mark.parametrize("form", ["bin", "hex", "mcuboot", "gzip", "zip", "tar"])
@pytest.mark.parametrize(
    "cause", [Cause.DATE, Cause.PATH, Cause.UUID, Cause.EPOCH], ids=lambda cause: cause.value
)
def test_a_cause_is_named_in_every_form_of_an_image(cause: Cause, form: str) -> None:
    one, other = (forms(built(each))[form] for each in FLASH[cause])
    found = explain.explain(one, other)
    assert cause in causes(found)
    assert causes(found) <= {cause, Cause.COMPRESSION}


@pytest.mark.parametrize(
    ("cause", "fields"),
    [(Cause.MEMBER_TIME, {"mtime": 1_700_000_000}), (Cause.OWNER, {"uid": 1000, "uname": "alice"}),
     (Cause.MODE, {"mode": 0o600})],
    ids=lambda one: one.value if isinstance(one, Cause) else "",
)  # fmt: skip
def test_what_an_archive_says_of_a_member_is_a_cause(
    cause: Cause, fields: dict[str, object]
) -> None:
    members = {"a": b"one", "b": b"two"}
    assert causes(explain.explain(tarred(members), tarred(members, **fields))) == {cause}
    if cause is Cause.MEMBER_TIME:
        assert causes(explain.explain(gzip.compress(b"a", mtime=0), gzip.compress(b"a", mtime=9)))


def test_members_in_another_order_are_a_cause() -> None:
    one, other = tarred({"a": b"one", "b": b"two"}), tarred({"b": b"two", "a": b"one"})
    assert causes(explain.explain(one, other)) == {Cause.MEMBERS}


def test_a_library_tells_its_members_times_and_objects_their_seeds(tmp_path: Path) -> None:
    need_program(GCC)
    (tmp_path / "a.c").write_text("int f(void) { return 1; }", encoding="ascii")

    def library(*flags: str, when: int = 0) -> bytes:
        subprocess.run([GCC, "-c", "a.c", "-o", "a.o", *flags], cwd=tmp_path, check=True)
        os.utime(tmp_path / "a.o", (when, when))
        subprocess.run(["arm-none-eabi-ar", "rcU", "a.a", "a.o"], cwd=tmp_path, check=True)
        data = (tmp_path / "a.a").read_bytes()
        (tmp_path / "a.a").unlink()
        return data

    assert causes(explain.explain(library(), library(when=99))) == {Cause.MEMBER_TIME}
    one, other = (library("-flto", f"-frandom-seed={seed}") for seed in ("one", "two"))
    assert Cause.SEED in causes(explain.explain(one, other))


def test_every_cause_has_a_mend_and_is_seeded_somewhere() -> None:
    assert set(MENDS) == set(Cause)
    others = {
        Cause.BUILD_ID, Cause.TOOLCHAIN, Cause.FLAGS, Cause.MEMBER_TIME, Cause.OWNER, Cause.MODE,
        Cause.MEMBERS, Cause.UNKNOWN,
    }  # fmt: skip
    assert set(FLASH) | others == set(Cause)
    assert len(FLASH) >= 14


@given(one=st.binary(max_size=300), other=st.binary(max_size=300))
def test_any_two_files_are_the_same_or_have_a_difference(one: bytes, other: bytes) -> None:
    found = explain.explain(one, other)
    assert bool(found.differences) is (one != other)


@given(
    magic=st.sampled_from(MAGICS),
    tail=st.binary(max_size=400),
)  # fmt: skip
def test_a_file_that_only_begins_like_one_is_one_part(magic: bytes, tail: bytes) -> None:
    assert parts.opened(magic + tail)


def test_a_lying_elf_file_is_explained_as_bytes_or_sections_and_never_crashes() -> None:
    data = built(Build())
    for at in range(16, 52 + 64):
        other = bytearray(data)
        other[at] ^= 0xFF
        assert explain.explain(data, bytes(other)).differences, at


def test_an_archive_whose_member_has_a_negative_size_is_one_part() -> None:
    head = b"a/".ljust(16) + b"0".ljust(12) + b"0".ljust(6) * 2 + b"644".ljust(8) + b"-60".ljust(10)
    assert len(parts.opened(b"!<arch>\n" + (head + b"`\n") * 2)) == 1
    tar = bytearray(tarred({"a": b"one"}))
    tar[124:136] = b"-1000".ljust(12, b"\0")
    assert len(parts.opened(bytes(tar))) == 1
