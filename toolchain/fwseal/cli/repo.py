"""`fwseal repo`: look after a TUF repository; serve it on loopback for development."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

from fwseal.base.errors import Misuse
from fwseal.cli import main, project, render
from fwseal.delivery.serve import serving

if TYPE_CHECKING:
    import argparse


def arguments(parser: argparse.ArgumentParser) -> None:
    """Say what the verb takes."""
    verbs = parser.add_subparsers(dest="what", required=True, metavar="serve")
    serve = verbs.add_parser("serve", help="serve a repository on loopback")
    serve.add_argument("repository", metavar="REPO", type=Path, nargs="?")
    serve.add_argument("--port", type=int, default=8080, help="0 takes a free one")
    serve.add_argument("--seconds", type=float, help="stop after so long")
    main.common(serve)
    serve.set_defaults(run=_serve)


def _serve(options: argparse.Namespace) -> int:
    place: Path = options.repository or project.find().repository
    if not (place / "metadata").is_dir():
        raise Misuse(f"{project.shown(place)} is not a repository", hint="fwseal publish makes one")
    with serving(place, port=options.port) as url:
        text = f"serving {project.shown(place)} at {url}"
        body = {"metadata_url": f"{url}/metadata", "target_base_url": f"{url}/targets"}
        render.result(text, body, as_json=options.json)
        end = None if options.seconds is None else time.monotonic() + options.seconds
        try:
            while end is None or time.monotonic() < end:
                time.sleep(0.05)
        except KeyboardInterrupt:
            render.note("stopped")
    return render.EXIT_OK
