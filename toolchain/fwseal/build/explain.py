"""Why two files differ: by cause, where it is, whether a device gets it, and what mends it.

A cause is named only by evidence in the bytes: two texts or words that differ in nothing but what
the cause explains. Everything else is said to have no known cause, and every byte is counted.
"""

from __future__ import annotations

import collections
import dataclasses
import itertools
import re
from typing import TYPE_CHECKING

from fwseal.build import causes, parts
from fwseal.build.causes import Cause
from fwseal.build.parts import Part, Symbol, Symbols

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


_TEXT = re.compile(rb"[\t\n -~\xc2-\xf4\x80-\xbf]{4,}")
_SINCE, _UNTIL = 1_000_000_000, 4_102_444_800
"""Seconds of the epoch that count as dates: 2001 to 2100. SRAM of a Cortex-M lies below."""
_CHANCE = 8
"""Bytes in a row of which nearly all differ, and none repeats, that look drawn by lot."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One cause in one place; `was` and `now` are what differs, `count` how often it does so.

    `flash` says whether a device gets it. `source` is file and line, or what the debug information
    knows of them, empty where it knows nothing.
    """

    cause: Cause
    flash: bool
    place: str
    was: str
    now: str
    symbol: str = ""
    address: int = 0
    source: str = ""
    count: int = 1


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Rest:
    """Bytes of a part that differ beside what has a cause: moved by it, or without one."""

    place: str
    flash: bool
    size: int


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Explained:
    """All that differs between two files; both empty only when they are the same bytes."""

    differences: tuple[Difference, ...] = ()
    rest: tuple[Rest, ...] = ()


def explain(one: bytes, other: bytes) -> Explained:
    """Answer why two files differ."""
    if one == other:
        return Explained()
    pairs = list(_pairs(parts.opened(one), parts.opened(other)))
    found = [Difference(cause=Cause.ORDER, flash=True, place=place, was=was, now=now)
             for place, was, now in _moved(pairs)]  # fmt: skip
    left = []
    for a, b in pairs:
        if a.data != b.data or a.fields != b.fields:
            causing, beside = _compared(a, b)
            found += causing
            left += [beside] if beside.size else []
    named = _merged(found)
    loose = _loose(named, pairs)
    unknown = [_unknown(one, pairs) for one in left if not loose and _own(one, named)]
    rest = tuple(one for one in left if loose or not _own(one, named))
    if not named and not unknown:
        unknown = [_nowhere(one) for one in rest] or [_nowhere(_BETWEEN)]
    return Explained(differences=(*named, *unknown), rest=rest)


_BETWEEN = Rest(place="between the parts", flash=False, size=0)


def _nowhere(rest: Rest) -> Difference:
    return Difference(cause=Cause.UNKNOWN, flash=rest.flash, place=rest.place, was="", now="")


def _own(rest: Rest, named: list[Difference]) -> bool:
    """Answer whether differing bytes must have a cause of their own, as nothing moved them."""
    return rest.flash or not named


def _loose(named: list[Difference], pairs: list[tuple[Part, Part]]) -> bool:
    """Answer whether a cause moved what follows it, or compiled it differently."""
    if any(one.cause in (Cause.ORDER, Cause.TOOLCHAIN, Cause.FLAGS) for one in named):
        return True
    if any(one.flash and len(one.was) != len(one.now) for one in named):
        return True
    return bool(named) and any(a.flash and len(a.data) != len(b.data) for a, b in pairs)


def _pairs(one: tuple[Part, ...], other: tuple[Part, ...]) -> Iterator[tuple[Part, Part]]:
    """Answer parts of one name, in order; what only one file has is paired with nothing."""
    waiting = collections.defaultdict[str, list[Part]](list)
    for part in other:
        waiting[part.name].append(part)
    for part in one:
        twin = waiting[part.name].pop(0) if waiting[part.name] else None
        yield part, twin or dataclasses.replace(part, data=b"", fields={})
    for part in itertools.chain.from_iterable(waiting.values()):
        yield dataclasses.replace(part, data=b"", fields={}), part


def _moved(pairs: list[tuple[Part, Part]]) -> Iterator[tuple[str, str, str]]:
    """Answer where the same symbols of the same sizes stand in another order."""
    seen = set()
    for a, b in pairs:
        if not (a.symbols and b.symbols and a.flash) or id(a.symbols) in seen:
            continue
        seen.add(id(a.symbols))
        first, second = (
            [(one.name, one.end - one.start) for one in sorted(view.all, key=_place)]
            for view in (a.symbols, b.symbols)
        )
        if first != second and sorted(first) == sorted(second):
            was, now = next((x, y) for x, y in zip(first, second, strict=True) if x != y)
            yield a.name, was[0], now[0]


def _place(one: Symbol) -> tuple[int, int]:
    return one.section, one.start


def _compared(a: Part, b: Part) -> tuple[list[Difference], Rest]:
    """Answer the causes in one pair of parts, and how many bytes differ beside them."""
    if a.name.endswith("members"):
        return [_members(a, b)], Rest(place=a.name, flash=False, size=0)
    found = [
        Difference(cause=causes.FIELDS[key], flash=False, place=a.name, was=a.fields.get(key, ""),
                   now=b.fields.get(key, ""))
        for key in sorted({*a.fields, *b.fields})
        if a.fields.get(key) != b.fields.get(key)
    ]  # fmt: skip
    if a.name == ".note.gnu.build-id":
        found.append(Difference(
            cause=Cause.BUILD_ID, flash=a.flash, place=a.name, address=a.address,
            was=a.data[16:].hex(), now=b.data[16:].hex(),
        ))  # fmt: skip
        return found, Rest(place=a.name, flash=a.flash, size=0)
    covered: list[tuple[int, int]] = []
    found += _streams(a, b, covered)
    found += _texts(a, b, covered)
    words, size = _words(a, b, covered)
    return [*found, *words], Rest(place=a.name, flash=a.flash, size=size)


def _members(a: Part, b: Part) -> Difference:
    first, second = a.data.decode().split("\n"), b.data.decode().split("\n")
    cause = Cause.MEMBERS if sorted(first) == sorted(second) else Cause.UNKNOWN
    was, now = next(
        ((x, y) for x, y in itertools.zip_longest(first, second, fillvalue="") if x != y), ("", "")
    )
    return Difference(cause=cause, flash=False, place=a.name, was=was, now=now)


def _streams(a: Part, b: Part, covered: list[tuple[int, int]]) -> Iterator[Difference]:
    """Answer what differs inside of compressed streams, and cover them."""
    pattern = re.compile(rb"\x1f\x8b\x08|\x78[\x01\x5e\x9c\xda]")
    starts = [[one.start() for one in pattern.finditer(part.data)] for part in (a, b)]
    for at, twin in zip(*starts, strict=False):
        if a.data[at:] == b.data[twin:]:
            continue
        inner, other = parts.inflated(a.data[at:]), parts.inflated(b.data[twin:])
        if inner is None or other is None:
            continue
        covered.append((at, len(a.data)))
        where = f"{a.name}, inflated" if a.name else "inflated"
        if inner == other:
            yield _difference(a, at, Cause.COMPRESSION, ("", ""), place=where)
        for one in explain(inner, other).differences:
            yield _difference(a, at, one.cause, (one.was, one.now), place=where)


def _texts(a: Part, b: Part, covered: list[tuple[int, int]]) -> Iterator[Difference]:
    """Answer what differs in texts, and cover those that have a cause."""
    first, second = (
        {one.group().decode("latin-1"): one.start() for one in _TEXT.finditer(part.data)}
        for part in (a, b)
    )
    gone = [text for text in first if text not in second]
    come = [text for text in second if text not in first]
    for was, now in _paired(gone, come):
        at = first[was]
        symbol = _symbol(a, at)
        hint = symbol.name if symbol else _macro(was)
        for cause, old, new in causes.of_texts(was, now, hint):
            if a.code and cause is not Cause.PATH and not symbol:
                continue  # machine code spells words by chance
            covered.append((at, at + max(len(was), len(now))))
            yield _difference(a, at, cause, (old, new))


def _macro(text: str) -> str:
    """Answer the name of a macro that stands in debug information with its value."""
    name, space, value = text.partition(" ")
    return name if space and value.startswith('"') and name.isidentifier() else ""


def _paired(gone: list[str], come: list[str]) -> Iterator[tuple[str, str]]:
    """Answer texts that take each other's place: alike but for what causes explain, or in order."""
    by_form = collections.defaultdict[str, list[str]](list)
    for text in come:
        by_form[causes.form(text)].append(text)
    alone = []
    for text in gone:
        if same := by_form[causes.form(text)]:
            yield text, same.pop(0)
        else:
            alone.append(text)
    left = set(itertools.chain.from_iterable(by_form.values()))
    yield from zip(alone, [text for text in come if text in left], strict=False)


def _words(a: Part, b: Part, covered: list[tuple[int, int]]) -> tuple[list[Difference], int]:
    """Answer what differs in numbers and bytes, and how many bytes differ without a cause."""
    total = abs(len(a.data) - len(b.data))
    if len(a.data) != len(b.data):
        return [], total + sum(x != y for x, y in zip(a.data, b.data, strict=False))
    if a.data == b.data:
        return [], 0
    found, size = [], 0
    for start, end in _runs(a.data, b.data):
        if any(low < end and start < high for low, high in covered):
            continue
        cause, was, now = _number(a, b, start, end)
        if cause:
            found.append(_difference(a, start, cause, (was, now)))
        else:
            size += sum(x != y for x, y in zip(a.data[start:end], b.data[start:end], strict=True))
    if size and not found and not covered and not a.code and _same_words(a.data, b.data):
        return [_difference(a, 0, Cause.TABLE, ("", ""))], 0
    return found, size


def _runs(a: bytes, b: bytes) -> Iterator[tuple[int, int]]:
    """Answer where two texts of one length differ: words of 4 bytes, neighbors joined."""
    start = end = -1
    for block in range(0, len(a), 4096):
        if a[block : block + 4096] == b[block : block + 4096]:
            continue
        for at in range(block, min(block + 4096, len(a)), 4):
            if a[at : at + 4] != b[at : at + 4]:
                if at > end:
                    if end > 0:
                        yield start, end
                    start = at
                end = min(at + 4, len(a))
    if end > 0:
        yield start, end


def _number(a: Part, b: Part, start: int, end: int) -> tuple[Cause | None, str, str]:
    """Answer the cause of a run of differing words by their values and the variable they are in."""
    symbol = _symbol(a, start)
    low, high = start, end
    if symbol and not symbol.function and _base(a, symbol) is not None:
        low = symbol.start - a.address
        high = min(len(a.data), low + symbol.end - symbol.start)
    old, new = a.data[low:high], b.data[low:high]
    if not a.flash or (a.code and not (symbol and not symbol.function)):
        return None, "", ""
    if symbol and len(old) > 4 and len(old) % 4 == 0 and _same_words(old, new):
        return Cause.TABLE, old[:16].hex(), new[:16].hex()
    x, y = (int.from_bytes(part.data[start : start + 4], "little") for part in (a, b))
    if end - start <= 8 and all(_SINCE <= value < _UNTIL for value in (x, y)):
        return Cause.EPOCH, str(x), str(y)
    wide = [int.from_bytes(one[:8], "little") for one in (old, new)]
    if len(old) >= 8 and all(0x5500_0000_0000 <= value < 0x8000_0000_0000 for value in wide):
        return Cause.POINTER, hex(wide[0]), hex(wide[1])
    for cause, pattern in causes.HINTS[-2:]:
        if symbol and pattern.search(symbol.name):
            return cause, old[:16].hex(), new[:16].hex()
    differ = sum(p != q for p, q in zip(old, new, strict=True))
    drawn = all(len(set(one)) > len(one) * 3 // 4 for one in (old, new))
    if symbol and len(old) >= _CHANCE and differ > len(old) * 3 // 4 and drawn:
        return Cause.CHANCE, old[:16].hex(), new[:16].hex()
    return None, "", ""


def _same_words(a: bytes, b: bytes) -> bool:
    return sorted(a[at : at + 4] for at in range(0, len(a), 4)) == sorted(
        b[at : at + 4] for at in range(0, len(b), 4)
    )


def _base(part: Part, symbol: Symbol) -> int | None:
    """Answer where in a part a symbol starts, None when it does not."""
    start = symbol.start - part.address
    return start if 0 <= start < len(part.data) else None


def _symbol(part: Part, at: int) -> Symbol | None:
    return part.symbols.at(part.address + at) if part.symbols and part.flash else None


def _difference(
    part: Part, at: int, cause: Cause, change: tuple[str, str], *, place: str = ""
) -> Difference:
    symbol = _symbol(part, at)
    user = symbol or _reader(part, part.address + at)
    source = ""
    if user and part.symbols:
        source = part.symbols.line(user.name) or user.file
    return Difference(
        cause=cause, flash=part.flash, place=place or part.name, was=change[0], now=change[1],
        symbol=user.name if user else "", address=part.address + at if part.flash else 0,
        source=source,
    )  # fmt: skip


def _reader(part: Part, address: int) -> Symbol | None:
    """Answer the function that has a text's address in its literal pool (Arm)."""
    symbols: Symbols | None = part.symbols
    if not symbols or not part.flash or not part.address:
        return None
    wanted = address.to_bytes(8, "little")[:4]
    for code in symbols.code():
        at = code.data.find(wanted)
        if at >= 0:
            return symbols.at(code.address + at)
    return None


def _merged(found: Iterable[Difference]) -> list[Difference]:
    """Answer each difference once, with how often it stands, flash first."""
    several: dict[tuple[object, ...], Difference] = {}
    for one in found:
        key: tuple[object, ...] = (one.cause, one.flash, one.place, one.was, one.now)
        if one.cause is Cause.PATH:  # one folder, many files
            key = (one.cause, one.flash, one.place)
        first = several.setdefault(key, dataclasses.replace(one, count=0))
        several[key] = dataclasses.replace(first, count=first.count + 1)
    return sorted(several.values(), key=lambda one: not one.flash)


def _unknown(rest: Rest, pairs: list[tuple[Part, Part]]) -> Difference:
    """Answer a difference without a cause, at its first byte."""
    a, b = next((a, b) for a, b in pairs if a.name == rest.place and a.data != b.data)
    at = next(
        (at for at, (x, y) in enumerate(zip(a.data, b.data, strict=False)) if x != y),
        min(len(a.data), len(b.data)),
    )
    was, now = (part.data[at : at + 8].hex() for part in (a, b))
    return dataclasses.replace(_difference(a, at, Cause.UNKNOWN, (was, now)), count=rest.size)
