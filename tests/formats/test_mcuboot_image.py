"""An MCUboot image: imgtool reads what we write, we read what it writes, and damage is refused."""

from __future__ import annotations

import dataclasses
import hashlib
import struct
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import boards
import workshop
from formats.refusals import bit_flips, misuse, reason_of, refused, truncations
from fwseal.base.ids import KeyLabel, Kid
from fwseal.base.reasons import REASONS, Reason
from fwseal.cose.algorithms import Algorithm
from fwseal.cose.keys import raw_to_der
from fwseal.image import mcuboot
from fwseal.image.mcuboot import Header, Image, Tlv, Trailer, Version
from fwseal.image.verify import verify
from fwseal.signing import softkey
from fwseal.signing.sign import sign_image
from fwseal.signing.softkey import SoftKey
from needs import need_module

if TYPE_CHECKING:
    from pathlib import Path

BODY = bytes(range(256)) * 2
LOAD, HEADER = boards.LOAD_ADDRESS, boards.HEADER_SIZE
VERSION = Version(1, 2, 3, 4)


def unsigned(body: bytes = BODY, *, header_size: int = HEADER, counter: int = 7) -> bytes:
    return mcuboot.unsigned(
        body,
        version=VERSION,
        load_address=LOAD,
        header_size=header_size,
        security_counter=counter,
    )


@pytest.fixture(scope="module")
def key() -> SoftKey:
    return workshop.signer("boot")


@pytest.fixture(scope="module")
def pem(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Answer the file of a throw-away private key, for imgtool."""
    path = tmp_path_factory.mktemp("key") / "boot.pem"
    path.write_bytes(softkey.generate())
    return path


def signer_of(path: Path) -> SoftKey:
    return SoftKey(
        path.read_bytes(),
        label=workshop.signer("boot").label,
        kid=workshop.signer("boot").kid,
        where="boot.pem",
    )


def imgtool(*words: object) -> str:
    need_module("imgtool")
    done = subprocess.run(
        [sys.executable, "-m", "imgtool.main", *map(str, words)],
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    return done.stdout


def signed_by_imgtool(folder: Path, pem: Path | None, *options: object, align: int = 8) -> bytes:
    raw, made = folder / "raw.bin", folder / "made.bin"
    raw.write_bytes(BODY)
    imgtool(
        *("sign", *(("-k", pem) if pem else ()), "--version", VERSION, "--pad-header"),
        *("--header-size", HEADER, "--align", align, "--slot-size", 0x8000),
        *("--load-addr", LOAD, "--security-counter", 7, *options, raw, made),
    )
    return made.read_bytes()


def test_imgtool_verifies_an_image_we_signed_and_no_other_key_does(
    tmp_path: Path, pem: Path
) -> None:
    image, stranger = tmp_path / "image.bin", tmp_path / "stranger.pem"
    image.write_bytes(sign_image(unsigned(), signer_of(pem)))
    stranger.write_bytes(softkey.generate())
    said = imgtool("verify", "-k", pem, image)
    assert "Image was correctly validated" in said
    assert "1.2.3+4" in said
    assert mcuboot.decode(image.read_bytes()).digest().hex() in said
    with pytest.raises(subprocess.CalledProcessError):
        imgtool("verify", "-k", stranger, image)


def test_imgtool_and_we_agree_on_every_field_of_an_image_we_signed(
    tmp_path: Path, pem: Path
) -> None:
    yaml = need_module("yaml")
    file, out = tmp_path / "image.bin", tmp_path / "info.yaml"
    file.write_bytes(sign_image(unsigned(), signer_of(pem)))
    imgtool("dumpinfo", "--silent", "--format", "yaml", "--outfile", out, file)
    info: dict[str, Any] = yaml.unsafe_load(out.read_text())
    image = mcuboot.decode(file.read_bytes())
    header = image.header
    assert info["header"] == {
        "magic": mcuboot.MAGIC,
        "load_addr": header.load_address,
        "hdr_size": header.header_size,
        "protected_tlv_size": header.protected_size,
        "img_size": header.image_size,
        "flags": header.flags,
        "version": str(header.version),
    }
    assert header.load_address == LOAD
    area = info["tlv_area"]
    for name, ours in (("tlvs_prot", image.protected), ("tlvs", image.unprotected)):
        assert [(one["type"], one["data"]) for one in area[name]] == list(ours)
        assert len(ours) > 0
    assert area["tlv_hdr_prot"]["tlv_tot"] == header.protected_size
    assert {one["type_name"] for one in area["tlvs"]} == {"SHA256", "KEYHASH", "ECDSASIG"}
    assert info["trailer"] == {}


def test_an_image_imgtool_signed_is_ours_but_for_its_padding_and_signature(
    tmp_path: Path, pem: Path
) -> None:
    theirs = signed_by_imgtool(tmp_path, pem, "--overwrite-only")
    image = mcuboot.decode(theirs)
    ours = mcuboot.decode(sign_image(unsigned(), signer_of(pem)))
    # imgtool pads the header with 0xff, we pad it with zeros; both are covered.
    assert dataclasses.replace(image, padding=bytes(len(image.padding))).covered() == unsigned()
    assert set(image.padding) == {0xFF}
    assert [kind for kind, _ in image.unprotected] == [kind for kind, _ in ours.unprotected]
    assert image.one(Tlv.KEYHASH) == ours.one(Tlv.KEYHASH)
    assert image.encode() == theirs
    evidence = verify(theirs, anchors=(signer_of(pem).public(),))
    assert evidence.image == image
    assert evidence.digest == hashlib.sha256(image.covered()).hexdigest()
    assert evidence.signer == signer_of(pem).public().fingerprint


@pytest.mark.parametrize("align", [8, 16, 32])
def test_imgtool_writes_the_trailer_where_we_look_for_it(tmp_path: Path, align: int) -> None:
    options = ("--pad", "--confirm", "--max-align", align, "--max-sectors", 8)
    slot = signed_by_imgtool(tmp_path, None, *options, align=align)
    trial = signed_by_imgtool(tmp_path, None, "--pad", *options[2:], align=align)
    trailer = Trailer(slot_size=len(slot), align=align)
    assert slot[trailer.magic_offset :] == trailer.magic == trial[trailer.magic_offset :]
    assert [at for at, (a, b) in enumerate(zip(slot, trial, strict=True)) if a != b] == [
        trailer.image_ok_offset
    ]
    field = slice(trailer.image_ok_offset, trailer.image_ok_offset + align)
    assert slot[field] == trailer.flag()
    assert trailer.image_ok_offset - trailer.copy_done_offset == align
    assert trailer.image_ok_offset % align == trailer.copy_done_offset % align == 0
    assert slot[trailer.copy_done_offset] == 0xFF


def test_no_bit_flip_and_no_truncation_of_a_signed_image_is_accepted(key: SoftKey) -> None:
    data = sign_image(unsigned(), key)
    anchors = (key.public(),)
    assert reason_of(lambda: verify(data, anchors=anchors)) is None
    reasons = [
        reason_of(lambda changed=changed: verify(changed, anchors=anchors))
        for changed in (*bit_flips(data), *truncations(data))
    ]
    assert len(reasons) == 9 * len(data) > 9 * 1024
    assert set(reasons) == {
        Reason.MALFORMED,
        Reason.UNSUPPORTED,
        Reason.UNSIGNED,
        Reason.DIGEST_MISMATCH,
        Reason.UNKNOWN_SIGNER,
        Reason.BAD_SIGNATURE,
    }


def test_bytes_behind_a_signed_image_are_refused(key: SoftKey) -> None:
    data = sign_image(unsigned(), key)
    for tail in (b"\0", b"\xff" * 32, data):
        with refused(Reason.MALFORMED, where=str(len(data))):
            verify(data + tail, anchors=(key.public(),))


def carrying(*tlvs: tuple[int, bytes]) -> bytes:
    """Answer an image with these unprotected TLVs instead of those we write."""
    covered = mcuboot.decode(unsigned()).covered()
    content = b"".join(boards.tlv(kind, value) for kind, value in tlvs)
    return covered + (boards.tlv_area(content) if tlvs else b"")


def parts(key: SoftKey) -> tuple[tuple[int, bytes], tuple[int, bytes], tuple[int, bytes]]:
    covered = unsigned()
    der = raw_to_der(key.sign(covered), Algorithm.ESP256)
    fingerprint = bytes.fromhex(key.public().fingerprint)
    return (0x10, hashlib.sha256(covered).digest()), (0x01, fingerprint), (0x22, der)


def test_the_tlvs_of_an_image_are_each_needed_and_each_allowed_once(key: SoftKey) -> None:
    sha, keyhash, signature = parts(key)
    anchors = (key.public(),)
    verify(carrying(signature, keyhash, sha), anchors=anchors)
    for tlvs, reason in (
        ((), Reason.UNSIGNED),
        ((sha,), Reason.UNSIGNED),
        ((sha, keyhash), Reason.UNSIGNED),
        ((sha, signature), Reason.UNSIGNED),
        ((keyhash, signature), Reason.DIGEST_MISMATCH),
        (((0x10, bytes(32)), keyhash, signature), Reason.DIGEST_MISMATCH),
        (((0x10, sha[1][:31]), keyhash, signature), Reason.DIGEST_MISMATCH),
        ((sha, keyhash, signature, signature), Reason.MALFORMED),
        ((sha, sha, keyhash, signature), Reason.MALFORMED),
        ((sha, keyhash, (0x01, bytes(32)), signature), Reason.MALFORMED),
        ((sha, keyhash, signature, (0x50, bytes(4))), Reason.UNSUPPORTED),
        ((sha, keyhash, signature, (0x25, b"\1")), Reason.UNSUPPORTED),
        ((sha, keyhash, signature, (0xFFA0, b"vendor")), Reason.UNSUPPORTED),
        ((sha, (0x01, b""), signature), Reason.UNKNOWN_SIGNER),
        ((sha, keyhash, (0x22, b"")), Reason.BAD_SIGNATURE),
        ((sha, keyhash, (0x22, signature[1] + b"\0")), Reason.BAD_SIGNATURE),
        ((sha, keyhash, (0x22, bytes(64))), Reason.BAD_SIGNATURE),
    ):
        with refused(reason):
            verify(carrying(*tlvs), anchors=anchors)


def test_an_image_signed_by_a_stranger_is_refused(key: SoftKey) -> None:
    stranger = workshop.signer()
    data = sign_image(unsigned(), stranger)
    with refused(Reason.UNKNOWN_SIGNER):
        verify(data, anchors=(key.public(),))
    with refused(Reason.UNKNOWN_SIGNER):
        verify(data, anchors=())
    sha, keyhash, _ = parts(key)
    forged = carrying(sha, keyhash, parts(stranger)[2])
    with refused(Reason.BAD_SIGNATURE):
        verify(forged, anchors=(stranger.public(), key.public()))


def header(**changes: int) -> Header:
    fields: dict[str, Any] = {
        "load_address": LOAD,
        "header_size": 32,
        "protected_size": 0,
        "image_size": 4,
        "flags": 0,
        "version": VERSION,
    }
    return Header(**{**fields, **changes})


AREA = boards.tlv_area(boards.tlv(0x50, bytes(4)), magic=0x6908)


@pytest.mark.parametrize(
    ("data", "where"),
    [
        pytest.param(b"", "0", id="nothing"),
        pytest.param(header().encode()[:31], "0", id="half a header"),
        pytest.param(b"\x3d" * 64, "0", id="another magic"),
        pytest.param(bytes(64), "0", id="zeros"),
        pytest.param(header(header_size=31).encode() + bytes(8), "8", id="header of 31 bytes"),
        pytest.param(header().encode()[:28] + b"\0\0\0\1" + bytes(4), "8", id="pad not zero"),
        pytest.param(header(header_size=64).encode() + bytes(8), "12", id="cut inside the header"),
        pytest.param(header().encode() + bytes(3), "12", id="cut inside the image"),
        pytest.param(header(image_size=2**32 - 1).encode() + bytes(4), "12", id="4 GB image"),
        pytest.param(header().encode() + bytes(5), "36", id="a byte behind the image"),
        pytest.param(header().encode() + bytes(8), "36", id="an area without magic"),
        pytest.param(
            header(protected_size=12).encode() + bytes(4), "36", id="protected area missing"
        ),
        pytest.param(
            header(protected_size=13).encode() + bytes(4) + AREA, "36", id="protected size wrong"
        ),
        pytest.param(header().encode() + bytes(4) + AREA, "36", id="protected and not said"),
        pytest.param(
            header(protected_size=4).encode() + bytes(4) + AREA[:2] + b"\4\0",
            "36",
            id="empty protected area",
        ),
        pytest.param(
            header(protected_size=12).encode() + bytes(4) + b"\x07\x69" + AREA[2:],
            "36",
            id="protected area with the other magic",
        ),
        pytest.param(
            header().encode() + bytes(4) + boards.tlv_area(b""), "36", id="empty area"
        ),
        pytest.param(
            header().encode() + bytes(4) + boards.tlv_area(bytes(8), total=99), "36", id="too long"
        ),
        pytest.param(
            header().encode() + bytes(4) + boards.tlv_area(bytes(8), total=2), "36", id="too short"
        ),
        pytest.param(
            header().encode() + bytes(4) + boards.tlv_area(b"\1\0\0"), "40", id="half a TLV head"
        ),
        pytest.param(
            header().encode() + bytes(4) + boards.tlv_area(boards.tlv(1, b"ab", length=3)),
            "44",
            id="a TLV past its area",
        ),
        pytest.param(
            header().encode() + bytes(4) + boards.tlv_area(boards.tlv(1, b"ab")) + AREA,
            "46",
            id="a second area",
        ),
    ],
)  # fmt: skip
def test_an_image_of_another_shape_is_refused_with_its_offset(data: bytes, where: str) -> None:
    with refused(Reason.MALFORMED, where=where):
        mcuboot.decode(data)


SMALL = sign_image(unsigned(b"body", header_size=32), workshop.signer())


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_an_image_is_written_back_to_the_same_bytes_or_refused(data: st.DataObject) -> None:
    made = bytearray(SMALL)
    for _ in range(data.draw(st.integers(0, 3))):
        made[data.draw(st.integers(0, len(made) - 1))] = data.draw(st.integers(0, 255))
    reason = reason_of(lambda: mcuboot.decode(bytes(made)))
    assert reason is None or reason in REASONS
    if reason is None:
        assert mcuboot.decode(bytes(made)).encode() == made


@pytest.mark.parametrize("algorithm", [Algorithm.ESP384, Algorithm.ED25519, Algorithm.HMAC_256])
def test_a_key_that_the_boot_stage_cannot_verify_with_signs_no_image(algorithm: Algorithm) -> None:
    other = SoftKey(softkey.generate(algorithm), label=KeyLabel("b"), kid=Kid("b"), where="b")
    with misuse():
        sign_image(unsigned(), other)


def test_an_image_that_carries_a_signature_is_not_signed_over(key: SoftKey) -> None:
    with misuse():
        sign_image(sign_image(unsigned(), key), key)
    with refused(Reason.MALFORMED):
        sign_image(BODY, key)


def test_what_builders_reproduce_is_exactly_what_the_digest_covers(key: SoftKey) -> None:
    image = mcuboot.decode(sign_image(unsigned(), key))
    assert image.covered() == unsigned()
    assert image.one(Tlv.SHA256) == hashlib.sha256(unsigned()).digest()
    assert image.one(Tlv.SEC_CNT) == struct.pack("<I", 7)
    assert mcuboot.decode(unsigned()).one(Tlv.ECDSA_SIG) is None


def test_an_image_without_any_tlv_is_an_image() -> None:
    plain = Image(header=header(), padding=b"", body=bytes(4), protected=(), unprotected=())
    assert mcuboot.decode(plain.encode()) == plain
    assert len(plain.encode()) == 36


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("0.0.0", Version(0, 0, 0)),
        ("1.2.3", Version(1, 2, 3)),
        ("255.255.65535+4294967295", Version(255, 255, 65535, 2**32 - 1)),
    ],
)
def test_a_version_that_fits_the_header_is_read(text: str, version: Version) -> None:
    assert Version.parse(text) == version
    assert Version.parse(str(version)) == version


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            "1",
            "1.2",
            "1.2.3.4",
            "v1.2.3",
            "1.2.3 ",
            "1.2.3\n",
            "1.2.3-rc1",
            "1.2.3+",
            "-1.0.0",
        ),
        *("256.0.0", "0.256.0", "0.0.65536", "0.0.0+4294967296", "0.0.99999", "0.0.0+99999999999"),
        "\u0661.\u0662.\u0663",
    ],
)
def test_a_version_that_does_not_fit_the_header_is_misuse(text: str) -> None:
    with misuse():
        Version.parse(text)


def test_versions_are_ordered_by_number_and_not_by_text() -> None:
    texts = ["2.0.0", "1.10.0+10", "1.10.0", "1.9.0", "1.10.0+2"]
    ordered = ["1.9.0", "1.10.0", "1.10.0+2", "1.10.0+10", "2.0.0"]
    assert sorted(texts, key=Version.parse) == ordered
