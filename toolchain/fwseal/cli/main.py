"""The command line: a table of verbs, and the one place that exits."""

from __future__ import annotations

import argparse
import contextlib
import gc
import importlib
import io
import os
import signal
import sys
from typing import TYPE_CHECKING, Any, NoReturn

from fwseal import __version__
from fwseal.base.errors import FwsealError, Misuse
from fwseal.cli import render

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import ModuleType

VERBS = {
    "init": "write a commented project into this folder",
    "recipe": "write a commented recipe from a template",
    "build": "build twice in the sandbox, compare, and start a release",
    "rebuild": "build a release again elsewhere, and attest that the bytes agree",
    "verify-rebuild": "say whether your own unsigned build is what was signed",
    "explain-diff": "say why two builds differ, and what mends it",
    "author": "payload and recipe to a signed envelope, with a development key",
    "lint": "say what a device would refuse, and what is unwise, before anyone signs",
    "sign": "sign what is left of a release: the images, then the envelope",
    "prepare": "write what a signer elsewhere must sign",
    "attach": "verify a signature made elsewhere, then embed it",
    "publish": "publish a signed release to a TUF repository",
    "verify": "say what a device would say to an envelope or image",
    "explain": "put an envelope, an image or a Reason in words",
    "keys": "make and list keys",
    "repo": "serve a TUF repository",
    "device": "provision, update and boot a device under test",
}


EXIT_INTERRUPTED = 130


def _formatter(prog: str) -> argparse.HelpFormatter:
    """Answer argparse's formatter as wide as the terminal; left to itself it imports shutil."""
    with contextlib.suppress(ValueError, OSError):
        columns = int(os.environ.get("COLUMNS") or os.get_terminal_size().columns)
        return argparse.HelpFormatter(prog, width=columns - 2)
    return argparse.HelpFormatter(prog, width=78)


class Parser(argparse.ArgumentParser):
    """argparse with our error lines, and options by their whole names."""

    def __init__(self, **settings: Any) -> None:  # noqa: ANN401 - argparse's own
        super().__init__(**{"formatter_class": _formatter, **settings, "allow_abbrev": False})

    def error(self, message: str) -> NoReturn:
        """Raise `Misuse` where argparse would exit."""
        raise Misuse(message, hint=f"{self.prog} --help")


def common(parser: argparse.ArgumentParser) -> None:
    """Add what every verb takes."""
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("-v", "--verbose", action="store_true", help="say more on stderr")


def _help() -> str:
    width = max(map(len, VERBS))
    verbs = "\n".join(f"  {verb:<{width}}  {what}" for verb, what in VERBS.items())
    return (
        "usage: fwseal VERB ...\n\n"
        "Firmware source to an update a device accepts, with every step proved.\n\n"
        f"{verbs}\n\n"
        "fwseal VERB --help says more; exit codes: 0 done, 1 refused, 2 misuse,\n"
        "3 unavailable, 4 a bug of ours.\n"
    )


def module_of(verb: str) -> ModuleType:
    """Answer the module of a verb, which imports what the verb needs."""
    return importlib.import_module(f"fwseal.cli.{verb.replace('-', '_')}")


def main(arguments: Sequence[str]) -> int:
    """Answer the exit code of one command line."""
    as_json = "--json" in arguments
    try:
        if not arguments or arguments[0] in ("-h", "--help", "help"):
            render.out(_help())
            return render.EXIT_OK if arguments else render.EXIT_MISUSE
        if arguments[0] == "--version":
            render.out(f"fwseal {__version__}\n")
            return render.EXIT_OK
        verb = arguments[0]
        if verb not in VERBS:
            raise Misuse(f"there is no verb {verb!r}", hint="fwseal --help")
        # A verb's imports are its own: help stays fast and needs no library.
        gc.disable()  # imports make many objects and hardly any garbage
        module = module_of(verb)
        gc.enable()
        parser = Parser(prog=f"fwseal {verb}", description=VERBS[verb])
        module.arguments(parser)
        parsed = parser.parse_args(arguments[1:])
        code: int = parsed.run(parsed) if hasattr(parsed, "run") else module.run(parsed)
    except FwsealError as error:
        return render.failure(error, as_json=as_json)
    except BrokenPipeError:
        return render.EXIT_UNAVAILABLE
    except KeyboardInterrupt:
        render.note("interrupted")
        return EXIT_INTERRUPTED
    return code


def _terminated(*_: object) -> None:
    raise KeyboardInterrupt


def run() -> NoReturn:
    """Run the command line of this process and exit; a bug of ours keeps its traceback."""
    signal.signal(signal.SIGTERM, _terminated)  # nothing half made stays behind
    if not hasattr(sys.stderr, "write"):  # closed: what is said goes nowhere, the exit code stays
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115 - for this process' life
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a narrow terminal loses no result
    try:
        code = main(sys.argv[1:])
    except Exception:  # noqa: BLE001 - whatever it is, it is ours
        import traceback

        traceback.print_exc()
        sys.stderr.write("fwseal: error: this is a bug of fwseal\n")
        code = render.EXIT_BUG
    sys.exit(code)
