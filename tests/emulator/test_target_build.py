"""What the sources of the reference board become: the same bytes anywhere, nothing to hide."""

from __future__ import annotations

import ctypes
import hashlib
import random
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

import boards
from fwseal.base.errors import Misuse
from fwseal.image.layout_header import c_header

if TYPE_CHECKING:
    import pathlib

    from boards import Firmware, Imgtool

PF_X, PF_W = 1, 2


def test_layout_h_is_what_layout_toml_says() -> None:
    assert (boards.TARGET / "layout.h").read_text() == c_header(boards.LAYOUT)


def test_another_alignment_moves_the_trailer_and_changes_its_magic() -> None:
    # MCUboot design, "Image trailer": the magic of an alignment other than 8 starts with it
    slots = {**boards.LAYOUT["slots"], "align": 32}
    header = c_header({**boards.LAYOUT, "slots": slots})
    assert "#define TRAILER_IMAGE_OK_OFFSET  U(0x0007ffc0)" in header
    assert "#define TRAILER_COPY_DONE_OFFSET U(0x0007ffa0)" in header
    assert "#define TRAILER_MAGIC {0x20, 0x00, 0x2d, 0xe1," in header


@pytest.mark.parametrize("section", ["memory", "image", "slots", "application", "boot"])
def test_a_layout_with_a_key_too_many_or_too_few_is_misuse(section: str) -> None:
    with pytest.raises(Misuse, match="unknown key"):
        c_header({**boards.LAYOUT, section: {**boards.LAYOUT[section], "typo": 1}})
    with pytest.raises(Misuse, match="is missing"):
        c_header({**boards.LAYOUT, section: {}})


@pytest.fixture(params=["zig", "gcc"])
def cc(request: pytest.FixtureRequest) -> str:
    return boards.zig() if request.param == "zig" else boards.gcc()


def elves(tree: pathlib.Path, out: pathlib.Path, cc: str) -> list[bytes]:
    for folder in (boards.TARGET, boards.DEMO):
        boards.make(tree / folder.relative_to(boards.ROOT), out, cc, VERSION="1.1.0")
    return [(out / name).read_bytes() for name in ("boot.elf", "demo-plc.elf")]


def test_a_build_elsewhere_gives_the_same_bytes_and_writes_nothing_beside_its_sources(
    tmp_path: pathlib.Path, cc: str
) -> None:
    here = elves(boards.ROOT, tmp_path / "out", cc)
    tree = tmp_path / "some" / "where" / "else"
    for folder in (boards.TARGET, boards.DEMO):
        shutil.copytree(folder, tree / folder.relative_to(boards.ROOT))
    before = sorted(tree.rglob("*"))
    there = elves(tree, tmp_path / "another-out", cc)
    assert there == here
    assert sorted(tree.rglob("*")) == before
    assert not any(str(path).encode() in elf for path in (tmp_path, boards.ROOT) for elf in here)


def test_no_segment_is_both_writable_and_executable(tmp_path: pathlib.Path, cc: str) -> None:
    for elf in elves(boards.ROOT, tmp_path / "out", cc):
        flags = [segment.flags for segment in boards.segments(elf)]
        assert flags
        assert not any(flag & PF_X and flag & PF_W for flag in flags)


def test_the_image_starts_with_its_vectors_right_behind_the_header(
    tmp_path: pathlib.Path, cc: str
) -> None:
    _, demo = elves(boards.ROOT, tmp_path / "out", cc)
    text = boards.segments(demo)[0]
    assert text.address == text.load_address == boards.LOAD_ADDRESS + boards.HEADER_SIZE
    stack, reset = (int.from_bytes(boards.flat(demo)[at : at + 4], "little") for at in (0, 4))
    ram = boards.LAYOUT["application"]["ram"]
    assert stack == ram["origin"] + ram["size"]
    assert reset % 2 == 1
    assert text.address < reset < text.address + len(text.content)


# The boot program's own SHA-256 and parser, compiled for this machine


class Image(ctypes.Structure):
    _fields_ = (
        ("major", ctypes.c_uint8),
        ("minor", ctypes.c_uint8),
        ("revision", ctypes.c_uint16),
        ("build", ctypes.c_uint32),
        ("hashed_size", ctypes.c_uint32),
        ("size", ctypes.c_uint32),
        ("digest_offset", ctypes.c_uint32),
    )


GOOD = 0


@pytest.fixture(scope="session")
def native(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    folder = tmp_path_factory.mktemp("native")
    library = folder / "target.so"
    subprocess.run(
        [
            *(*boards.zig().split(), "-shared", "-fPIC", "-nostdlib", "-ffreestanding", "-O2"),
            *("-std=c11", "-fno-sanitize=undefined", "-Wl,-Bsymbolic"),
            *("sha256.c", "image.c", "mem.c", "-o", str(library)),
        ],
        cwd=boards.TARGET,
        env={"ZIG_GLOBAL_CACHE_DIR": str(folder / "g"), "ZIG_LOCAL_CACHE_DIR": str(folder / "l")},
        check=True,
    )
    return ctypes.CDLL(str(library))


def sha256(native: ctypes.CDLL, content: bytes) -> bytes:
    digest = ctypes.create_string_buffer(32)
    native.sha256(content, ctypes.c_size_t(len(content)), digest)
    return digest.raw


def parse(native: ctypes.CDLL, content: bytes) -> tuple[int, Image]:
    image = Image()
    return native.image_parse(content, ctypes.c_uint32(len(content)), ctypes.byref(image)), image


def test_sha256_of_every_short_length_is_what_hashlib_says(native: ctypes.CDLL) -> None:
    content = random.Random(1).randbytes(4096)  # noqa: S311 - any bytes, the same each time
    for size in (*range(201), 1000, 4095, 4096):
        assert sha256(native, content[:size]) == hashlib.sha256(content[:size]).digest()


@pytest.mark.parametrize(
    ("message", "digest"),
    [  # FIPS 180-4 examples, by NIST
        (b"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
        (
            b"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1",
        ),
        (1_000_000 * b"a", "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"),
    ],
)
def test_sha256_gives_the_digests_nist_published(
    native: ctypes.CDLL, message: bytes, digest: str
) -> None:
    assert sha256(native, message).hex() == digest


@pytest.fixture(scope="session")
def image(firmware: Firmware, imgtool: Imgtool) -> bytes:
    slot = imgtool.sign(firmware.demo, "1.2.3+4", "--security-counter", "2")
    end = boards.hashed_end(slot)
    return slot[: end + int.from_bytes(slot[end + 2 : end + 4], "little")]


def test_the_parser_reads_an_image_of_imgtool(native: ctypes.CDLL, image: bytes) -> None:
    status, parsed = parse(native, image)
    assert status == GOOD
    assert (parsed.major, parsed.minor, parsed.revision, parsed.build) == (1, 2, 3, 4)
    assert (parsed.hashed_size, parsed.size) == (boards.hashed_end(image), len(image))
    assert image[parsed.digest_offset :][:32].hex() == boards.digest(image)


def test_no_image_that_was_cut_is_good_at_any_length(native: ctypes.CDLL, image: bytes) -> None:
    for size in range(len(image)):
        assert parse(native, image[:size])[0] != GOOD


def test_no_single_flipped_bit_that_matters_is_started(native: ctypes.CDLL, image: bytes) -> None:
    survived = 0
    content = bytearray(image)
    for bit in range(8 * len(image)):
        content[bit // 8] ^= 1 << bit % 8
        flipped = bytes(content)
        status, parsed = parse(native, flipped)
        if status == GOOD:
            digest = flipped[parsed.digest_offset :][:32]
            if sha256(native, flipped[: parsed.hashed_size]) == digest:
                survived += 1
        content[bit // 8] ^= 1 << bit % 8
    assert survived == 0  # the digest is the only unprotected TLV of this image
