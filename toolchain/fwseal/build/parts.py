"""What is in a file: sections, images and members, each with the place its bytes have on a device.

System V ABI 4 (ELF and ar), POSIX.1 pax (tar), PKWARE APPNOTE 6.3 (zip), RFC 1952 (gzip). Nothing
is judged here, and what cannot be taken apart is one part.
"""

from __future__ import annotations

import dataclasses
import re
import struct
import zlib
from typing import IO, TYPE_CHECKING, cast

from fwseal.base.errors import Refused
from fwseal.image import elf, intelhex, mcuboot
from fwseal.image.stream import ByteStream

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from elftools.elf.elffile import ELFFile

MAX_INFLATED = 1 << 28
"""Bytes of one compressed stream that are looked at."""

_DEPTH = 4
"""How many files within files are opened."""

_ASTRAY = (
    *elf.ASTRAY, AssertionError, OverflowError, NotImplementedError, RecursionError, MemoryError,
    zlib.error, struct.error,
)  # fmt: skip
_SEED = re.compile(r"\.[0-9a-f]{6,16}$")
"""What a compiler puts behind the name of a section that it draws lots for."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Some bytes of a file; `address` is where they are in memory.

    `flash` says whether a device gets them, `code` whether it runs them. `fields` is what an
    archive says of a member. `symbols` are those of the file the part is from.
    """

    name: str
    data: bytes
    flash: bool = True
    code: bool = False
    address: int = 0
    fields: Mapping[str, str] = dataclasses.field(default_factory=dict)
    symbols: Symbols | None = None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Symbol:
    """A name for some memory; `file` is the source where it is local, as far as that is said."""

    name: str
    start: int
    end: int
    file: str
    section: int
    function: bool


class Symbols:
    """The symbols of one ELF file, and the source lines its debug information has for them."""

    def __init__(self, file: ELFFile) -> None:
        self._file = file
        self.all = tuple(_symbols(file))
        self._lines: dict[str, str] | None = None

    def at(self, address: int, section: int = 0) -> Symbol | None:
        """Answer the smallest symbol that an address is in."""
        found = [
            one
            for one in self.all
            if one.start <= address < one.end and section in (0, one.section)
        ]
        return min(found, key=lambda one: one.end - one.start, default=None)

    def code(self) -> tuple[Part, ...]:
        """Answer the sections that a device runs."""
        return tuple(one for one in _sections(self._file) if one.code)

    def line(self, name: str) -> str:
        """Answer file and line of a declaration by DWARF, empty where none is known."""
        if self._lines is None:
            try:
                self._lines = dict(_lines(self._file))
            except _ASTRAY:
                self._lines = {}
        return self._lines.get(name, "")


def opened(data: bytes, *, depth: int = _DEPTH) -> tuple[Part, ...]:
    """Answer the parts of a file."""
    openers = (
        (b"\x7fELF", _elf), (b"!<arch>\n", _ar), (b"PK\x03\x04", _zip), (b"\x1f\x8b\x08", _gzip),
        (b":", _hex), (mcuboot.MAGIC.to_bytes(4, "little"), _mcuboot),
    )  # fmt: skip
    opener = next((one for magic, one in openers if data.startswith(magic)), None)
    if data[257:262] == b"ustar":
        opener = _tar
    if opener and depth:
        try:
            return tuple(opener(data, depth - 1))
        except (Refused, *_ASTRAY):
            pass
        except Exception as error:  # pyelftools and zipfile have errors of their own
            if type(error).__module__.partition(".")[0] not in ("elftools", "zipfile"):
                raise
    return (Part(name="", data=data),)


def inflated(data: bytes) -> bytes | None:
    """Answer what a zlib or gzip stream at the start of data holds, None for anything else."""
    stream = zlib.decompressobj(wbits=47)
    try:
        found = stream.decompress(data, MAX_INFLATED)
    except zlib.error:
        return None
    return found if stream.eof else None


def _within(name: str, data: bytes, depth: int) -> Iterator[Part]:
    for part in opened(data, depth=depth):
        inner = f"{name}: {part.name}" if part.name else name
        yield dataclasses.replace(part, name=inner)


def _elf(data: bytes, _depth: int) -> Iterator[Part]:
    from elftools.elf.elffile import ELFFile

    file = ELFFile(cast("IO[bytes]", ByteStream(data)))
    symbols = Symbols(file)
    yield Part(name="ELF header", data=data[: file["e_ehsize"]], flash=False)
    yield from (dataclasses.replace(one, symbols=symbols) for one in _sections(file))


def _sections(file: ELFFile) -> Iterator[Part]:
    for section in file.iter_sections():
        if section["sh_type"] in ("SHT_NULL", "SHT_NOBITS"):
            continue
        flags = section["sh_flags"]
        yield Part(
            name=_SEED.sub("", section.name),
            data=section.data(),
            flash=bool(flags & 2),
            code=bool(flags & 4),
            address=section["sh_addr"],
        )


def _symbols(file: ELFFile) -> Iterator[Symbol]:
    from elftools.elf.sections import SymbolTableSection

    for section in file.iter_sections():
        if not isinstance(section, SymbolTableSection):
            continue
        source = ""
        for one in section.iter_symbols():
            kind, index = one["st_info"]["type"], one["st_shndx"]
            if kind == "STT_FILE":
                source = one.name
            elif one["st_size"] and one.name and isinstance(index, int):
                start = one["st_value"] & ~1 if kind == "STT_FUNC" else one["st_value"]
                local = one["st_info"]["bind"] == "STB_LOCAL"
                yield Symbol(
                    name=one.name, start=start, end=start + one["st_size"],
                    file=source if local else "", section=index, function=kind == "STT_FUNC",
                )  # fmt: skip


def _lines(file: ELFFile) -> Iterator[tuple[str, str]]:
    """Answer names of functions and variables with where they are declared (DWARF 5, 2.14)."""
    if not file.has_dwarf_info():
        return
    for unit in file.get_dwarf_info().iter_CUs():
        top = unit.get_top_DIE()
        said = top.attributes.get("DW_AT_name")
        for die in top.iter_children():
            if die.tag in ("DW_TAG_variable", "DW_TAG_subprogram") and said:
                name, line = (die.attributes.get(f"DW_AT_{key}") for key in ("name", "decl_line"))
                if name and line:
                    source = said.value.decode(errors="replace").rpartition("/")[2]
                    yield name.value.decode(errors="replace"), f"{source}:{line.value}"


def _hex(data: bytes, _depth: int) -> Iterator[Part]:
    segments = intelhex.read(data)
    yield Part(name="image", data=elf.flat(segments), address=segments[0].address)


def _mcuboot(data: bytes, _depth: int) -> Iterator[Part]:
    image = mcuboot.decode(data)
    size = image.header.header_size
    end = size + image.header.image_size
    base = image.header.load_address
    yield Part(name="MCUboot header", data=data[:size], address=base)
    yield Part(name="image", data=data[size:end], address=base + size)
    yield Part(name="protected TLVs", data=image.covered()[end:])
    yield Part(name="TLVs", data=data[len(image.covered()) :])


def _ar(data: bytes, depth: int) -> Iterator[Part]:
    at, names, long = 8, [], b""
    while at + 60 <= len(data):
        head = data[at : at + 60].decode("ascii")
        size = _size(head[48:58].rstrip(), 10)
        body, name = data[at + 60 : at + 60 + size], head[:16].rstrip()
        at += 60 + size + size % 2
        if name == "//":
            long = body
        elif name[:1] == "/" and name[1:].isdigit():
            start = int(name[1:])
            name = long[start : long.index(b"\n", start)].decode(errors="replace")
        name = name.rstrip("/") or "index"
        if name not in ("index", "SYM64"):
            names.append(name)
            yield Part(name=name, data=b"", flash=False, fields={
                "time": head[16:28].strip(), "owner": ":".join(head[28:40].split()),
                "mode": head[40:48].strip(),
            })  # fmt: skip
        yield from _within(name, body, depth)
    yield _members(names)


def _tar(data: bytes, depth: int) -> Iterator[Part]:
    at, names = 0, []
    while any(head := data[at : at + 512]):
        texts = [head[a:b].rstrip(b"\0 ").decode(errors="replace") for a, b in _TAR]
        name, mode, uid, gid, size, time, kind, uname, gname, prefix = texts
        name = f"{prefix}/{name}" if prefix else name
        body = data[at + 512 : at + 512 + _size(size or "0", 8)]
        at += 512 + (len(body) + 511) // 512 * 512
        names.append(name)
        owner = f"{uid}:{gid} {uname}:{gname}"
        fields = {"time": str(int(time, 8)), "owner": owner, "mode": mode, "kind": kind}
        yield Part(name=name, data=b"", flash=False, fields=fields)
        yield from _within(name, body, depth)
    yield _members(names)


def _size(text: str, base: int) -> int:
    """Answer a size; raises `ValueError` for a negative one, at which a reader would stay."""
    if not text.isdigit():
        raise ValueError(text)
    return int(text, base)


_TAR = (
    (0, 100), (100, 108), (108, 116), (116, 124), (124, 136), (136, 148), (156, 157), (265, 297),
    (297, 329), (345, 500),
)  # fmt: skip


def _zip(data: bytes, depth: int) -> Iterator[Part]:
    import zipfile

    with zipfile.ZipFile(cast("IO[bytes]", ByteStream(data))) as archive:
        members = archive.infolist()
        for one in members:
            if one.file_size > MAX_INFLATED:
                raise zlib.error("too large")
            time = "-".join(f"{number:02}" for number in one.date_time)
            mode = f"{one.external_attr >> 16:o}"
            yield Part(name=one.filename, data=one.extra, flash=False, fields={
                "time": time, "mode": mode, "compression": str(one.compress_type),
            })  # fmt: skip
            yield from _within(one.filename, archive.read(one), depth)
    yield _members([one.filename for one in members])


def _gzip(data: bytes, depth: int) -> Iterator[Part]:
    body = inflated(data)
    if body is None:
        raise zlib.error("not one gzip stream")
    flags, time, extra, system = data[3], int.from_bytes(data[4:8], "little"), data[8], data[9]
    name = data[10:].partition(b"\0")[0].decode(errors="replace") if flags == 8 else ""
    yield Part(name="gzip header", data=b"", flash=False, fields={
        "time": str(time), "name": name, "compression": f"{flags}, {extra}, {system}",
    })  # fmt: skip
    yield from _within("inflated", body, depth)


def _members(names: list[str]) -> Part:
    return Part(name="members", data="\n".join(names).encode(), flash=False)
