"""The corpus takes the smallest of what fuzzing kept in `build/fuzz/corpus` that go new ways.

`python -m fuzz.keep`. A way is a step from one line of ours to the next.
"""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from fuzz import seeds, target

if TYPE_CHECKING:
    from types import FrameType

WORK = Path(__file__).resolve().parents[2] / "build/fuzz/corpus"
BYTES = 180_000
Way = tuple[str, int, int]


def ways(data: bytes) -> set[Way]:
    """Answer the ways that one input goes through the package."""
    found: set[Way] = set()
    before: dict[int, int] = {}

    def inside(frame: FrameType, event: str, _: object) -> object:
        if event == "line":
            last = before.get(id(frame), 0)
            found.add((frame.f_code.co_filename, last, frame.f_lineno))
            before[id(frame)] = frame.f_lineno
        return inside

    def entered(frame: FrameType, _: str, __: object) -> object:
        before.pop(id(frame), None)
        return inside if "/fwseal/" in frame.f_code.co_filename else None

    sys.settrace(entered)
    try:
        target.check(data)
    finally:
        sys.settrace(None)
    return found


def main() -> int:
    """Add to the corpus, and say how much."""
    known: set[Way] = set()
    size = 0
    for path in seeds.CORPUS.iterdir():
        known |= ways(path.read_bytes())
        size += path.stat().st_size
    added = 0
    inputs = {path.read_bytes() for path in WORK.iterdir()}
    for data in sorted(inputs, key=lambda one: (len(one), one)):
        new = ways(data) - known
        if new and size + len(data) <= BYTES:
            known |= new
            size += len(data)
            added += 1
            name = hashlib.sha256(data).hexdigest()[:16]
            (seeds.CORPUS / name).write_bytes(data)
    sys.stdout.write(f"{added} of {len(inputs)} taken, {size} bytes, {len(known)} ways\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
