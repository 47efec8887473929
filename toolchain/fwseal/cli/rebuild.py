"""`fwseal rebuild`: another builder attests that the same source gives the same bytes."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import TYPE_CHECKING

from fwseal.base import statements
from fwseal.base.digest import sha256_hex
from fwseal.base.errors import Misuse, Refused
from fwseal.base.ids import KeyLabel, Role
from fwseal.base.reasons import Reason
from fwseal.base.tables import Table
from fwseal.build import lock as locks
from fwseal.build import rebuild as rebuilds
from fwseal.build import run as builds
from fwseal.build import sandbox, toolchain
from fwseal.build.sandbox import BuildFailed
from fwseal.build.walls import Level
from fwseal.cli import builders, files, inputs, main, project, releasedir, render, signers
from fwseal.signing.sign import sign_statement, verified_statement

if TYPE_CHECKING:
    import argparse

    from fwseal.base.release import Release
    from fwseal.signing.keyring import Key, Keyring

PROVENANCE = "statements/provenance.dsse.json"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Say what the verb takes."""
    parser.add_argument("release", metavar="RELEASE", type=Path)
    parser.add_argument("--source", metavar="ARCHIVE", type=Path, required=True)
    parser.add_argument("--as", dest="builder", metavar="BUILDER", help="label of a builder's key")
    parser.add_argument("--toolchain", metavar="FOLDER", type=Path, help="where the compiler is")
    parser.add_argument(
        "--sandbox", choices=[level.value for level in Level], help="the best by default"
    )
    parser.add_argument("--dry-run", action="store_true", help="build and compare, attest nothing")
    signers.option(parser)
    main.common(parser)


def run(options: argparse.Namespace) -> int:
    """Rebuild, compare, and attest."""
    with releasedir.writing(options.release):
        return _rebuild(options)


def _rebuild(options: argparse.Namespace) -> int:
    folder: Path = options.release
    release = releasedir.load(folder)
    keyring, home = signers.load(options.keyring)
    key = _key(keyring, options.builder)
    level = Level(options.sandbox) if options.sandbox else sandbox.best_level()
    order = _order(folder, release, options)
    with signers.Signers(keyring, home) as opened:
        signer = opened.of(key)
        try:
            done = rebuilds.rebuild(order, release, builder=builders.here(key), level=level)
        except BuildFailed as error:
            for line in error.output:
                render.note(f"build: {line}")
            raise
        signers.say(signer, "the rebuild", verbose=options.verbose)
        if not options.dry_run:
            statement = sign_statement(done.statement, signer)
            name = f"rebuild-{key.label}-{builders.here(key).host[:8]}.dsse.json"
            files.write(folder / "statements" / name, statement)
    count = rebuilds.builders(_attested(folder, release, keyring))
    if not done.recorded:
        render.note("nothing was recorded: install strace to know every input")
    lines = [f"rebuilt {release.name} {release.version}, alike: {rebuilds.words(count)}"]
    lines += [f"  {file}  sha256 {digest}" for file, digest in done.digests.items()]
    body = {
        "release": project.shown(folder),
        "sandbox": done.level.value,
        "recorder": "strace" if done.recorded else "none",
        "unsigned_sha256": done.digests,
        "builders": count,
        "words": rebuilds.words(count),
    }
    render.result("\n".join(lines), body, as_json=options.json)
    return render.EXIT_OK


def _key(keyring: Keyring, label: str | None) -> Key:
    if label is None:
        return keyring.for_role(Role("builder"))
    key = keyring.named(KeyLabel(label))
    if Role("builder") not in key.roles:
        raise Misuse(f"key {label!r} is no builder's", hint="fwseal keys list shows the roles")
    return key


def _order(folder: Path, release: Release, options: argparse.Namespace) -> builds.Order:
    """Answer what to build, from the release and the source archive alone."""
    recipe, data = releasedir.recipe_of(folder, release)
    payload, _ = statements.opened(files.read(folder / PROVENANCE))
    origin = rebuilds.origin(payload)
    archive = files.read(options.source)
    if sha256_hex(archive) != origin.source_sha256:
        raise Refused(
            Reason.DIGEST_MISMATCH,
            "the archive is not the source that was built",
            where=str(options.source),
        )
    tools = recipe.toolchain
    declared = folder / tools.folder if tools.folder else None
    layout = files.read(folder / "layout.toml")
    return builds.Order(
        recipe=recipe,
        recipe_bytes=data,
        commit=origin.commit,
        archive=archive,
        compiler=toolchain.find(tools.compiler, folder=options.toolchain or declared),
        lock=locks.lock(Table.parse(files.text(folder / locks.FILE), where=locks.FILE)),
        layout=inputs.parsed_layout(layout, where="layout.toml"),
        layout_bytes=layout,
        vendor_id=uuid.UUID(release.vendor_id),
        class_id=uuid.UUID(release.class_id),
        now=inputs.time(None),
    )


def _attested(folder: Path, release: Release, keyring: Keyring) -> tuple[rebuilds.Attested, ...]:
    """Answer what the statements attest that builders of the keyring signed."""
    keys = {key.label: key for key in keyring.keys if Role("builder") in key.roles}
    found = []
    for path in sorted(folder.glob("statements/*.dsse.json")):
        try:
            payload = verified_statement(files.read(path), keys)
        except Refused as error:
            render.note(f"{path.name} does not count: {error.message}")
            continue
        one = rebuilds.attested(payload, release)
        if one:
            found.append(one)
    return tuple(found)
