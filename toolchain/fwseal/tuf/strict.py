"""TUF metadata is read from strict JSON: one key once, bounded depth and digits, UTF-8.

python-tuf's parser takes the last of two equal keys; two readers may then disagree.
"""

from __future__ import annotations

import json
from typing import Any

from fwseal.base.errors import Refused
from fwseal.base.reasons import Reason

MAX_DEPTH = 32
MAX_DIGITS = 20


def check(data: bytes) -> None:
    """Return when the bytes are JSON that every reader understands alike.

    Raises `Refused`: malformed, limit-exceeded.
    """
    _depth(data)
    try:
        text = data.decode("utf-8")
        found = json.loads(
            text, object_pairs_hook=_pairs, parse_int=_int, parse_float=_no, parse_constant=_no
        )
        if "\\ud" in text.lower():
            # Half a surrogate pair is no character: it cannot be encoded, nor signed.
            json.dumps(found, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise Refused(Reason.MALFORMED, f"not strict JSON: {error}") from None


def _depth(data: bytes) -> None:
    # Before the parser sees it, since its own recursion is what a deep document attacks.
    depth = 0
    quoted = escaped = False
    for byte in data:
        if escaped:
            escaped = False
        elif quoted:
            escaped = byte == 0x5C
            quoted = byte != 0x22
        elif byte == 0x22:
            quoted = True
        elif byte in b"[{":
            depth += 1
            if depth > MAX_DEPTH:
                raise Refused(Reason.LIMIT_EXCEEDED, f"JSON nested deeper than {MAX_DEPTH}")
        elif byte in b"]}":
            depth -= 1


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice")
    return found


def _int(text: str) -> int:
    if len(text) > MAX_DIGITS:
        raise ValueError("an integer past 64 bits")
    return int(text)


def _no(text: str) -> float:
    raise ValueError(f"{text} may not stand in TUF metadata")
