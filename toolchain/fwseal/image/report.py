"""What a linked image gives away: where it writes and runs code, and what it should not hold."""

from __future__ import annotations

import dataclasses
import posixpath
import re
from typing import IO, TYPE_CHECKING, cast

from fwseal.base.errors import Refused
from fwseal.base.reasons import Reason
from fwseal.image import elf
from fwseal.image.stream import ByteStream

if TYPE_CHECKING:
    from elftools.elf.elffile import ELFFile

    from fwseal.image.elf import Segment

MAX_FINDINGS = 100
"""Findings of one image that are listed; more are counted."""

_PATHS = re.compile(
    rb"/(?:home|root|Users|tmp|var|usr|opt|mnt|srv|work|workspace|build|builds|toolchain|nix)"
    rb"/[!-~]{1,240}|\b[A-Za-z]:\\[!-~]{3,240}"
)
_KEYS = re.compile(
    rb"-----BEGIN [A-Z ]{0,20}PRIVATE KEY-----"
    rb"|\x30\x77\x02\x01\x01\x04\x20"  # SEC 1, P-256: version and 32 bytes (RFC 5915 3)
    rb"|\x30[\x2e\x2f-\x8a].?\x02\x01\x00\x30[\x05\x13\x10]\x06"  # PKCS #8 of EC or Ed25519
    rb"|\x30\x82..\x02\x01\x00\x02\x82",  # PKCS #1 (RFC 8017 A.1.2)
    re.DOTALL,
)
_WRITE, _EXECUTE = 2, 1
_ASTRAY = (
    *elf.ASTRAY, AssertionError, OverflowError, NotImplementedError, RecursionError, MemoryError,
)  # fmt: skip
"""What pyelftools raises where debug information lies, besides errors of its own."""
_FAULTS = {"NMI": 2, "HardFault": 3, "MemManage": 4, "BusFault": 5, "UsageFault": 6}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A section that takes up memory; address and size in bytes."""

    name: str
    address: int
    size: int
    writable: bool
    executable: bool
    in_flash: bool


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Something a reviewer should see: what, and where in memory."""

    kind: str
    address: int
    detail: str
    symbol: str = ""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """One image: `size` is its flat binary, `room` what its slot takes, both in bytes.

    `stack` and `reset` are the first words of the vector table, None where there is none; `faults`
    are the fault handlers that are set; `producers` say who compiled, `units` which source files,
    both by DWARF.
    """

    name: str
    size: int
    room: int
    sections: tuple[Section, ...]
    stack: int | None
    reset: int | None
    faults: tuple[str, ...]
    stack_protector: bool
    producers: tuple[str, ...]
    units: tuple[str, ...]
    findings: tuple[Finding, ...]
    more: int = 0


def report(data: bytes, *, name: str, room: int, names: tuple[str, ...] = ()) -> Report:
    """Answer what an ELF file gives away.

    `names` are hosts and users of the building machine, which an image should not hold. Raises
    `Refused` (malformed, unsupported) like `elf.segments`.
    """
    from elftools.common.exceptions import DWARFError, ELFError
    from elftools.construct import ConstructError
    from elftools.elf.elffile import ELFFile

    parts = elf.segments(data)
    try:
        file = ELFFile(cast("IO[bytes]", ByteStream(data)))
        symbols = _Symbols(file)
        findings = [*_segments(file), *_contents(parts, names, symbols)]
        producers, units = _dwarf(file)
        sections = tuple(_sections(file))
    except (ELFError, DWARFError, ConstructError, *_ASTRAY) as error:
        raise Refused(Reason.MALFORMED, f"not an ELF file: {error}", where=name) from None
    vectors = elf.starts_with_vectors(data)
    words = [int.from_bytes(parts[0].data[at : at + 4], "little") for at in range(0, 28, 4)]
    return Report(
        name=name,
        size=len(elf.flat(parts)),
        room=room,
        sections=sections,
        stack=words[0] if vectors else None,
        reset=words[1] if vectors else None,
        faults=tuple(fault for fault, at in _FAULTS.items() if vectors and words[at] % 2),
        stack_protector="__stack_chk_fail" in symbols.names,
        producers=producers,
        units=units,
        findings=tuple(findings[:MAX_FINDINGS]),
        more=max(0, len(findings) - MAX_FINDINGS),
    )


class _Symbols:
    """The symbols of an image by address."""

    def __init__(self, file: ELFFile) -> None:
        from elftools.elf.sections import SymbolTableSection

        self.names: set[str] = set()
        self._places: list[tuple[int, int, str]] = []
        for section in file.iter_sections():
            if isinstance(section, SymbolTableSection):
                for one in section.iter_symbols():
                    self.names.add(one.name)
                    if one["st_size"] and one.name:
                        start = one["st_value"] & ~1
                        self._places.append((start, start + one["st_size"], one.name))

    def at(self, address: int) -> str:
        """Answer the symbol an address lies in, empty where none does."""
        return next((name for start, end, name in self._places if start <= address < end), "")


def _segments(file: ELFFile) -> list[Finding]:
    return [
        Finding(
            kind="writable-executable",
            address=one["p_vaddr"],
            detail=f"a segment of {one['p_memsz']} bytes may be written and run",
        )
        for one in file.iter_segments("PT_LOAD")
        if one["p_memsz"] and one["p_flags"] & _WRITE and one["p_flags"] & _EXECUTE
    ]


def _contents(
    parts: tuple[Segment, ...], names: tuple[str, ...], symbols: _Symbols
) -> list[Finding]:
    known = [re.escape(name.encode()) for name in names if len(name) > 3]
    hosts = re.compile(rb"(?<![A-Za-z0-9])(?:" + b"|".join(known) + rb")(?![A-Za-z0-9])")
    found = []
    for part in parts:
        for kind, pattern in (("host-path", _PATHS), ("key-material", _KEYS), ("host-name", hosts)):
            if kind == "host-name" and not known:
                continue
            for match in pattern.finditer(part.data):
                address = part.address + match.start()
                text = "" if kind == "key-material" else match.group().decode("ascii", "replace")
                found.append(
                    Finding(kind=kind, address=address, detail=text, symbol=symbols.at(address))
                )
    return found


def _sections(file: ELFFile) -> list[Section]:
    return [
        Section(
            name=one.name,
            address=one["sh_addr"],
            size=one["sh_size"],
            writable=bool(one["sh_flags"] & 1),
            executable=bool(one["sh_flags"] & 4),
            in_flash=one["sh_type"] != "SHT_NOBITS",
        )
        for one in file.iter_sections()
        if one["sh_flags"] & 2 and one["sh_size"]
    ]


def _dwarf(file: ELFFile) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Answer who compiled, and the source files, as the debug information has it."""
    if not file.has_dwarf_info():
        return (), ()
    producers, units = set(), set()
    for unit in file.get_dwarf_info().iter_CUs():
        top = unit.get_top_DIE().attributes
        producer, name, folder = (
            top[key].value.decode("utf-8", "replace") if key in top else ""
            for key in ("DW_AT_producer", "DW_AT_name", "DW_AT_comp_dir")
        )
        producers.add(producer)
        if not name.startswith("<"):
            units.add(posixpath.normpath(posixpath.join(folder, name)))
    return tuple(sorted(producers - {""})), tuple(sorted(units))
