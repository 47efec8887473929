"""An MCUboot image: bytes in, a frozen value out, the same bytes back.

Layout as MCUboot's design document and `image.h` give it; little endian. One digest names the
image: over header, body and protected TLVs, which is what the boot stage hashes.
"""

from __future__ import annotations

import dataclasses
import enum
import re
import struct

from fwseal.base.digest import Digest
from fwseal.base.errors import Misuse, Refused
from fwseal.base.reasons import Reason

MAGIC = 0x96F3B83D
PROTECTED_MAGIC = 0x6908
UNPROTECTED_MAGIC = 0x6907
HEADER_SIZE = 32
RAM_LOAD = 0x20

_HEADER = struct.Struct("<IIHHIIBBHII")
_INFO = struct.Struct("<HH")


class Tlv(enum.IntEnum):
    """TLV types this version reads and writes."""

    KEYHASH = 0x01
    SHA256 = 0x10
    ECDSA_SIG = 0x22
    SEC_CNT = 0x50


@dataclasses.dataclass(frozen=True, slots=True, order=True)
class Version:
    """major.minor.revision+build, compared in that order."""

    major: int
    minor: int
    revision: int
    build: int = 0

    @classmethod
    def parse(cls, text: str) -> Version:
        """Answer the version of `1.2.3` or `1.2.3+4`; raises `Misuse`."""
        match = re.fullmatch(r"([0-9]{1,3})\.([0-9]{1,3})\.([0-9]{1,5})(?:\+([0-9]{1,10}))?", text)
        version = cls(*(int(part or 0) for part in match.groups())) if match else None
        if (
            version is None
            or max(version.major, version.minor) > 0xFF
            or version.revision > 0xFFFF
            or version.build > 0xFFFFFFFF
        ):
            raise Misuse(
                f"version {text!r} does not fit an MCUboot header",
                hint="write it as 1.2.3 or 1.2.3+4",
            )
        return version

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}.{self.revision}+{self.build}"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """What the first 32 bytes say; sizes in bytes."""

    load_address: int
    header_size: int
    protected_size: int
    image_size: int
    flags: int
    version: Version

    def encode(self) -> bytes:
        """Answer the first 32 bytes; what pads them to the header size is the image's."""
        v = self.version
        return _HEADER.pack(
            MAGIC, self.load_address, self.header_size, self.protected_size, self.image_size,
            self.flags, v.major, v.minor, v.revision, v.build, 0,
        )  # fmt: skip

    @classmethod
    def decode(cls, data: bytes) -> Header:
        """Answer the header at the start of the bytes; raises `Refused` (malformed)."""
        if len(data) < HEADER_SIZE:
            raise Refused(Reason.MALFORMED, "too short for an MCUboot header", where="0")
        magic, load, size, protected, image, flags, major, minor, rev, build, pad = (
            _HEADER.unpack_from(data)
        )
        if magic != MAGIC:
            raise Refused(Reason.MALFORMED, "not an MCUboot image: wrong magic", where="0")
        if size < HEADER_SIZE or pad:
            raise Refused(Reason.MALFORMED, "header size or padding is wrong", where="8")
        return cls(
            load_address=load, header_size=size, protected_size=protected, image_size=image,
            flags=flags, version=Version(major, minor, rev, build),
        )  # fmt: skip


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """One image file, exactly: nothing stands behind the last TLV."""

    header: Header
    padding: bytes
    """What stands between the first 32 bytes and the body: zeros of ours, 0xff of imgtool's."""
    body: bytes
    protected: tuple[tuple[int, bytes], ...]
    unprotected: tuple[tuple[int, bytes], ...]

    def covered(self) -> bytes:
        """Answer what digest and signature cover: header, padding, body, protected TLVs."""
        head = self.header.encode() + self.padding
        return head + self.body + _area(PROTECTED_MAGIC, self.protected)

    def encode(self) -> bytes:
        """Answer the file."""
        return self.covered() + _area(UNPROTECTED_MAGIC, self.unprotected)

    def one(self, kind: Tlv) -> bytes | None:
        """Answer the value of a TLV that may stand once; raises `Refused` when it stands twice."""
        found = [value for tlv, value in self.protected + self.unprotected if tlv == kind]
        if len(found) > 1:
            raise Refused(Reason.MALFORMED, f"TLV {kind.name} stands {len(found)} times")
        return found[0] if found else None

    def digest(self) -> Digest:
        """Answer the digest that names the image (SHA-256)."""
        return Digest.of(self.covered())


def _area(magic: int, tlvs: tuple[tuple[int, bytes], ...]) -> bytes:
    if not tlvs:
        return b""
    content = b"".join(_INFO.pack(kind, len(value)) + value for kind, value in tlvs)
    return _INFO.pack(magic, _INFO.size + len(content)) + content


def unsigned(
    body: bytes, *, version: Version, load_address: int, header_size: int, security_counter: int
) -> bytes:
    """Answer header, body and protected TLVs of a RAM-load image: what builders reproduce."""
    protected = ((int(Tlv.SEC_CNT), struct.pack("<I", security_counter)),)
    header = Header(
        load_address=load_address,
        header_size=header_size,
        protected_size=len(_area(PROTECTED_MAGIC, protected)),
        image_size=len(body),
        flags=RAM_LOAD,
        version=version,
    )
    padding = bytes(header_size - HEADER_SIZE)
    image = Image(header=header, padding=padding, body=body, protected=protected, unprotected=())
    return image.covered()


def decode(data: bytes) -> Image:
    """Answer the image that the bytes are, signed or not, with nothing left over.

    Raises `Refused` (malformed) with the offset.
    """
    header = Header.decode(data)
    end = header.header_size + header.image_size
    if end > len(data):
        raise Refused(Reason.MALFORMED, "the image is longer than the file", where="12")
    protected: tuple[tuple[int, bytes], ...] = ()
    offset = end
    if header.protected_size:
        protected, offset = _tlvs(data, offset, PROTECTED_MAGIC)
        if offset - end != header.protected_size:
            raise Refused(Reason.MALFORMED, "header and protected TLVs disagree", where=str(end))
    unprotected: tuple[tuple[int, bytes], ...] = ()
    if offset < len(data):
        unprotected, offset = _tlvs(data, offset, UNPROTECTED_MAGIC)
    if offset != len(data):
        raise Refused(Reason.MALFORMED, "bytes follow the last TLV", where=str(offset))
    return Image(
        header=header,
        padding=data[HEADER_SIZE : header.header_size],
        body=data[header.header_size : end],
        protected=protected,
        unprotected=unprotected,
    )


def _tlvs(data: bytes, start: int, magic: int) -> tuple[tuple[tuple[int, bytes], ...], int]:
    """Answer the TLVs of the area at `start`, and where it ends."""
    if start + _INFO.size > len(data):
        raise Refused(Reason.MALFORMED, "no TLV area where one must be", where=str(start))
    found_magic, total = _INFO.unpack_from(data, start)
    end = start + total
    if found_magic != magic or total <= _INFO.size or end > len(data):
        raise Refused(Reason.MALFORMED, "a TLV area has a wrong head", where=str(start))
    offset = start + _INFO.size
    found = []
    while offset < end:
        if offset + _INFO.size > end:
            raise Refused(Reason.MALFORMED, "a TLV is cut short", where=str(offset))
        kind, length = _INFO.unpack_from(data, offset)
        offset += _INFO.size
        if offset + length > end:
            raise Refused(Reason.MALFORMED, "a TLV ends behind its area", where=str(offset))
        found.append((kind, data[offset : offset + length]))
        offset += length
    return tuple(found), end


def with_signature(unsigned_image: bytes, *, keyhash: bytes, signature_der: bytes) -> bytes:
    """Answer the shipped file: the unsigned bytes and the TLVs that authenticate them.

    `keyhash` is the SHA-256 of the signer's DER SubjectPublicKeyInfo.
    """
    image = decode(unsigned_image)
    if image.unprotected:
        raise Misuse("the image carries unprotected TLVs already")
    tlvs = (
        (int(Tlv.SHA256), image.digest().value),
        (int(Tlv.KEYHASH), keyhash),
        (int(Tlv.ECDSA_SIG), signature_der),
    )
    return dataclasses.replace(image, unprotected=tlvs).encode()


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Trailer:
    """Where the flags of a slot stand, as offsets from its start, and what they say."""

    slot_size: int
    align: int

    @property
    def magic(self) -> bytes:
        """Answer the 16 bytes that make the trailer good."""
        if self.align == 8:
            return bytes.fromhex("77c295f360d2ef7f3552500f2cb67980")
        return struct.pack("<H", self.align) + bytes.fromhex("2de15d29410b8d77679c110f1f8a")

    @property
    def magic_offset(self) -> int:
        """Answer where the magic stands: last, at the end of a field padded to the alignment."""
        return self.slot_size - len(self.magic)

    @property
    def image_ok_offset(self) -> int:
        """Answer where image-ok stands."""
        return self.slot_size - self._field(len(self.magic)) - self._field(1)

    @property
    def copy_done_offset(self) -> int:
        """Answer where copy-done stands."""
        return self.image_ok_offset - self._field(1)

    def flag(self) -> bytes:
        """Answer a flag that is set, padded to the alignment."""
        return b"\x01".ljust(self._field(1), b"\xff")

    def _field(self, size: int) -> int:
        return -(-size // self.align) * self.align
