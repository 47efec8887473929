"""`fwseal publish`: all of a release, or nothing."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from fwseal.cli import files, inputs, main, project, releasedir, render, signers
from fwseal.delivery import publish as publishing
from fwseal.delivery.dirstore import DirStore
from fwseal.tuf.repository import Signers

if TYPE_CHECKING:
    import argparse


def arguments(parser: argparse.ArgumentParser) -> None:
    """Say what the verb takes."""
    parser.add_argument("release", metavar="RELEASE", type=Path)
    parser.add_argument("--to", dest="repository", metavar="REPO", type=Path)
    parser.add_argument("--at", metavar="TIME", help="sign as if it were this time")
    parser.add_argument("--dry-run", action="store_true", help="say what would be published")
    signers.option(parser)
    main.common(parser)


def run(options: argparse.Namespace) -> int:
    """Publish to the repository named, or the project's."""
    release = releasedir.load(options.release)
    place: Path = options.repository or project.find().repository
    now = inputs.time(options.at)
    read = files.reader(options.release)
    publishing.ready(release)
    content = {one.file: read(f"payloads/{one.file}") for one in release.payloads}
    content["envelope.suit"] = read("envelope.suit")
    keyring, home = signers.load(options.keyring)
    store = DirStore(place)
    targets = publishing.plan(store, release, content)
    if options.dry_run:
        text = "\n".join(f"would publish {path}" for path in targets)
        render.result(text, {"would_publish": list(targets)}, as_json=options.json)
        return render.EXIT_OK
    with signers.Signers(keyring, home) as opened:
        keys = Signers(
            root=opened.for_role("tuf-root", line=release.line),
            targets=opened.for_role("tuf-targets", line=release.line),
            online=opened.for_role("tuf-online", line=release.line),
        )
        for key in (keys.root, keys.targets, keys.online):
            signers.say(key, "TUF metadata", verbose=options.verbose)
        if publishing.initialize(store, keys, now):
            render.note(f"made a TUF repository in {project.shown(place)}")
        done = publishing.publish(store, release, content, signers=keys, now=now)
    text = "\n".join(
        [f"published {release.name} {release.version} to {project.shown(place)}"]
        + [f"  {path}" for path in done.targets]
    )
    body = {
        "repository": project.shown(place),
        "targets": list(done.targets),
        "timestamp": done.timestamp,
    }
    render.result(text, body, as_json=options.json)
    return render.EXIT_OK
