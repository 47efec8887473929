"""`fwseal explain-diff`: why two builds differ and what mends it, and which inputs changed.

Nothing is judged: the exit code is 0, as `fwseal verify-rebuild` is there to say no.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from fwseal.base.digest import sha256_hex
from fwseal.base.errors import Misuse
from fwseal.build import causes, explain, inputs
from fwseal.cli import files, main, releasedir, render

if TYPE_CHECKING:
    import argparse

    from fwseal.build.explain import Difference, Explained

_LINES = 8
"""Places of one cause that are shown; more are counted."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Say what the verb takes."""
    for name in "AB":
        parser.add_argument(name, type=Path, help="an image, an archive, or a RELEASE")
    main.common(parser)


def run(options: argparse.Namespace) -> int:
    """Compare, and print causes and mends."""
    one, other = options.A, options.B
    changes = None
    if files.is_folder(one) and files.is_folder(other):
        changes, pairs = _changes(one, other), _unsigned(one, other)
    elif files.is_folder(one) or files.is_folder(other):
        raise Misuse("a release and a file are not alike", hint="give two releases or two files")
    else:
        pairs = {"": (files.read(one), files.read(other))}
    found = {name: explain.explain(*pair) for name, pair in pairs.items()}
    lines = [] if changes is None else [f"inputs that changed: {len(changes) or 'none'}"]
    lines += [f"  {line}" for line in changes or ()]
    for name, pair in pairs.items():
        lines += [f"{name}:"] if name else []
        same = f"the same bytes, sha256 {sha256_hex(pair[0])}"
        lines += _lines(found[name]) if pair[0] != pair[1] else [same]
    body = {
        "same": all(a == b for a, b in pairs.values()) and not changes,
        "changes": changes,
        "files": [_body(name, pairs[name], found[name]) for name in pairs],
    }
    render.result("\n".join(lines), body, as_json=options.json)
    return render.EXIT_OK


def _changes(one: Path, other: Path) -> list[str] | None:
    """Answer which inputs changed from one release to another, None where none are recorded."""
    for place in (one, other):
        releasedir.load(place)
        if not files.is_file(place / inputs.FILE):
            render.note(f"{place} holds no {inputs.FILE}: its inputs were not recorded")
            return None
    kept = [
        inputs.kept(files.read(place / inputs.FILE), where=str(place / inputs.FILE))
        for place in (one, other)
    ]
    return list(inputs.changes(*kept))


def _unsigned(one: Path, other: Path) -> dict[str, tuple[bytes, bytes]]:
    """Answer the ELF files of two releases by their names, those that both have."""
    names = [{path.name for path in (place / "unsigned").glob("*.elf")} for place in (one, other)]
    for name in sorted(names[0] ^ names[1]):
        render.note(f"only one release has {name}")
    if not names[0] & names[1]:
        raise Misuse("the releases have no unsigned ELF file in common", hint="give two files")
    return {
        name: (files.read(one / "unsigned" / name), files.read(other / "unsigned" / name))
        for name in sorted(names[0] & names[1])
    }


def _body(name: str, pair: tuple[bytes, bytes], found: Explained) -> dict[str, Any]:
    return {
        "name": name,
        "sha256": [sha256_hex(data) for data in pair],
        "differences": [
            {
                "cause": each.cause.value, "flash": each.flash, "place": each.place,
                "symbol": each.symbol, "address": each.address, "source": each.source,
                "was": each.was, "now": each.now, "count": each.count,
                "mend": causes.MENDS[each.cause],
            }
            for each in found.differences
        ],
        "rest": [
            {"place": each.place, "flash": each.flash, "size": each.size} for each in found.rest
        ],
    }  # fmt: skip


def _lines(found: Explained) -> list[str]:
    lines: list[str] = []
    for cause in dict.fromkeys(one.cause for one in found.differences):
        several = [one for one in found.differences if one.cause is cause]
        where = "in flash" if any(one.flash for one in several) else "not in flash"
        lines += [f"{cause.value}, {where}", *map(_line, several[:_LINES])]
        if len(several) > _LINES:
            lines.append(f"  and in {len(several) - _LINES} more places")
        lines.append(f"  mend: {causes.MENDS[cause]}")
    for rest in found.rest:
        lines.append(
            f"{rest.size} more bytes in {rest.place or 'the file'} follow, or have no cause"
        )
    return lines


def _line(one: Difference) -> str:
    place = one.place or "the file"
    if one.address:
        place += f" at {one.address:#x}"
    if one.symbol:
        place += f", {one.symbol}"
    if one.source:
        place += f" ({one.source})"
    change = f": {_short(one.was)} -> {_short(one.now)}" if one.was or one.now else ""
    return f"  {place}{change}" + (f" ({one.count} times)" if one.count > 1 else "")


def _short(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:28]}...{text[-28:]}"
