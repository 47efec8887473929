"""What an emulated device said on its UART: the boot program's lines exactly, then anything."""

from __future__ import annotations

import dataclasses
import re
from typing import Final

FLASH_ORIGIN: Final = 0x2100_0000
FLASH_SIZE: Final = 0x0100_0000

_BANNER: Final = "boot: mps2-an385 ram-load"

_NUMBER = r"(?:0|[1-9][0-9]{0,9})"
_START: Final = re.compile(
    rf"boot: start slot=({_NUMBER}) version=({_NUMBER}(?:\.{_NUMBER}){{3}})"
    r" digest=([0-9a-f]{64}) state=(confirmed|trial)"
)
_ERASED: Final = re.compile(
    rf"boot: erased slot=({_NUMBER})"
    r" reason=(malformed|trailer-invalid|not-confirmed|digest-mismatch)"
)
_HALT: Final = re.compile(r"boot: halt (no-image|fault)")
_CONFIRMED: Final = re.compile(rf"[a-z0-9-]+: (?:already )?confirmed slot=({_NUMBER})")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One power-on of a device, to its end."""

    uart: str
    exit_code: int | None  # None: it ran out of time, or talked too much, and was killed
    seconds: float


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """The image the boot program jumped to, and the digest it computed over it in RAM."""

    slot: int
    version: str
    digest: str
    state: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Erased:
    """A slot the boot program emptied, and why."""

    slot: int
    reason: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class BootReport:
    """What one run's UART text says; `banner` is the application's first line."""

    started: Started | None = None
    erased: tuple[Erased, ...] = ()
    banner: str | None = None
    confirmed: bool = False
    halted: str | None = None


def parse_boot(uart: str) -> BootReport:
    """Answer what the boot program and the application it started reported.

    The boot program has spoken its last word with `boot: start`: nothing behind that line, whatever
    it looks like, changes `started`, `erased` or `halted`. `confirmed` is the application's claim
    wherever the boot program did not say so itself; the slot's trailer is what counts.

    Raises `ValueError` on a line before it that the boot program does not print.
    """
    erased: list[Erased] = []
    lines = uart.split("\n")
    unended = lines.pop()
    if not lines and not unended:
        return BootReport()
    if not lines or lines[0] != _BANNER:
        raise ValueError(f"not the boot program's first line: {(lines or [unended])[0]!r}")
    for number, line in enumerate(lines[1:], start=2):
        if found := _START.fullmatch(line):
            return _started(found, tuple(erased), lines[number:])
        if found := _ERASED.fullmatch(line):
            erased.append(Erased(slot=int(found[1]), reason=found[2]))
        elif (found := _HALT.fullmatch(line)) and number == len(lines) and not unended:
            return BootReport(erased=tuple(erased), halted=found[1])
        else:
            raise ValueError(f"not a line of the boot program: {line!r}")
    if unended:
        raise ValueError(f"a line of the boot program was cut: {unended!r}")
    return BootReport(erased=tuple(erased))


def _started(found: re.Match[str], erased: tuple[Erased, ...], said: list[str]) -> BootReport:
    started = Started(slot=int(found[1]), version=found[2], digest=found[3], state=found[4])
    claims = (_CONFIRMED.fullmatch(line) for line in said)
    return BootReport(
        started=started,
        erased=erased,
        banner=said[0] if said else None,
        confirmed=started.state == "confirmed"
        or any(claim is not None and int(claim[1]) == started.slot for claim in claims),
    )
