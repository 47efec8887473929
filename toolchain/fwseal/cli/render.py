"""The only printer: stdout is the result, stderr is talk, and `--json` is one object."""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING, Any

from fwseal.base.errors import FwsealError, Misuse, Refused, Unavailable

if TYPE_CHECKING:
    from collections.abc import Mapping

SCHEMA_VERSION = 1

EXIT_OK, EXIT_REFUSED, EXIT_MISUSE, EXIT_UNAVAILABLE, EXIT_BUG = range(5)


def result(text: str, body: Mapping[str, Any], *, as_json: bool) -> None:
    """Print a verb's result: `text` for people, or `body` as one JSON object."""
    if as_json:
        text = json.dumps({"schema_version": SCHEMA_VERSION, **body})
    sys.stdout.write(text.rstrip("\n") + "\n")
    sys.stdout.flush()


def note(text: str) -> None:
    """Say something on stderr that is not the result."""
    sys.stderr.write(f"fwseal: {text}\n")


def failure(error: FwsealError, *, as_json: bool) -> int:
    """Say what went wrong, with a hint; answer the exit code."""
    reason = error.reason.value if isinstance(error, Refused) else None
    where = error.where if isinstance(error, Refused) else ""
    if as_json:
        body = {
            "error": {
                "kind": _kind(error),
                "message": error.message,
                "hint": error.hint or None,
                "reason": reason,
                "where": where or None,
            }
        }
        result("", body, as_json=True)
    lead = f"{reason}: " if reason else ""
    place = f" ({where})" if where else ""
    colored(f"fwseal: error: {lead}{error.message}{place}", code="31")
    hint = error.hint or (f"fwseal explain {reason}" if reason else "")
    if hint:
        sys.stderr.write(f"fwseal: hint: {hint}\n")
    return exit_code(error)


def exit_code(error: FwsealError) -> int:
    """Answer the exit code of an error."""
    if isinstance(error, Unavailable):
        return EXIT_UNAVAILABLE
    return EXIT_MISUSE if isinstance(error, Misuse) else EXIT_REFUSED


def _kind(error: FwsealError) -> str:
    return ("done", "refused", "misuse", "unavailable")[exit_code(error)]


def colored(line: str, *, code: str) -> None:
    """Print a line on stderr, in color where a terminal wants it."""
    if sys.stderr.isatty() and not os.environ.get("NO_COLOR"):
        line = f"\x1b[{code}m{line}\x1b[0m"
    sys.stderr.write(line + "\n")


def table(rows: list[tuple[str, ...]]) -> str:
    """Answer rows in columns, the first row being their names."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = (
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )
    return "\n".join(lines)
