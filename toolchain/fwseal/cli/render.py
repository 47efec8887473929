"""The only printer: stdout is the result, stderr is talk, and `--json` is one object."""

from __future__ import annotations

import contextlib
import os
import sys
from typing import TYPE_CHECKING, Any

from fwseal.base.errors import FwsealError, Misuse, Refused, Unavailable

if TYPE_CHECKING:
    from collections.abc import Mapping

SCHEMA_VERSION = 1

EXIT_OK, EXIT_REFUSED, EXIT_MISUSE, EXIT_UNAVAILABLE, EXIT_BUG = range(5)

_KINDS = {
    EXIT_REFUSED: ("refused", "correct the input, then run the same command again"),
    EXIT_MISUSE: ("misuse", "correct what is named here, then run the same command again"),
    EXIT_UNAVAILABLE: ("unavailable", "run the same command again when that is mended"),
}
"""What an exit code means, and what to do where an error has no better hint."""


def result(text: str, body: Mapping[str, Any], *, as_json: bool) -> None:
    """Print a verb's result: `text` for people, or `body` as one JSON object."""
    if as_json:
        import json

        text = json.dumps({"schema_version": SCHEMA_VERSION, **body})
    out("\n".join(map(plain, text.rstrip("\n").split("\n"))) + "\n")


def out(text: str) -> None:
    """Write on stdout, to the end; raises `Unavailable`, `BrokenPipeError` when nobody reads."""
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except AttributeError:  # Python has None where a stream was closed
        raise Unavailable(
            "standard output is closed", hint="connect it, the result goes there"
        ) from None
    except OSError as error:
        # Python flushes once more at its exit, and that must not fail too.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if isinstance(error, BrokenPipeError):
            raise
        raise Unavailable(
            f"cannot write the result: {(error.strerror or 'error').lower()}",
            hint="check what standard output is connected to",
        ) from None


def plain(line: str) -> str:
    """Answer a line on which nothing but print is left: input never steers the terminal."""
    return "".join(
        char if char.isprintable() or char == "\t" else char.encode("unicode_escape").decode()
        for char in line
    )


def note(text: str) -> None:
    """Say something on stderr that is not the result."""
    sys.stderr.write(plain(f"fwseal: {text}") + "\n")


def talk(text: str) -> None:
    """Say on stderr, for people, what a program reads on stdout."""
    sys.stderr.write("".join(plain(line) + "\n" for line in text.rstrip("\n").split("\n")))


def failure(error: FwsealError, *, as_json: bool) -> int:
    """Say what went wrong, with a hint; answer the exit code."""
    reason = error.reason.value if isinstance(error, Refused) else None
    where = error.where if isinstance(error, Refused) else ""
    code = exit_code(error)
    kind, fallback = _KINDS[code]
    hint = error.hint or (f"fwseal explain {reason}" if reason else fallback)
    if as_json:
        body = {
            "error": {
                "kind": kind,
                "message": error.message,
                "hint": hint,
                "reason": reason,
                "where": where or None,
            }
        }
        with contextlib.suppress(Unavailable, BrokenPipeError):
            result("", body, as_json=True)
    lead = f"{reason}: " if reason else ""
    place = f" ({where})" if where else ""
    colored(f"fwseal: error: {lead}{error.message}{place}", code="31")
    note(f"hint: {hint}")
    return code


def exit_code(error: FwsealError) -> int:
    """Answer the exit code of an error."""
    if isinstance(error, Unavailable):
        return EXIT_UNAVAILABLE
    return EXIT_MISUSE if isinstance(error, Misuse) else EXIT_REFUSED


def colored(line: str, *, code: str) -> None:
    """Print a line on stderr, in color where a terminal wants it."""
    line = plain(line)
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
