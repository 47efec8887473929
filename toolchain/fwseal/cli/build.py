"""`fwseal build`: two sandboxed builds that agree become a release."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING

from fwseal.base.digest import sha256_hex
from fwseal.base.errors import Misuse
from fwseal.base.ids import Role
from fwseal.base.tables import Table
from fwseal.build import archive as archives
from fwseal.build import lock as locks
from fwseal.build import recipe as recipes
from fwseal.build import run as builds
from fwseal.build import sbom, source, toolchain, vary
from fwseal.build.sandbox import BuildFailed
from fwseal.build.walls import Level
from fwseal.cli import builders, files, inputs, main, project, releasedir, render, signers
from fwseal.signing.sign import sign_statement

if TYPE_CHECKING:
    import argparse


def arguments(parser: argparse.ArgumentParser) -> None:
    """Say what the verb takes."""
    parser.add_argument("recipe", metavar="RECIPE", type=Path)
    parser.add_argument("-o", "--output", metavar="RELEASE", type=Path, required=True)
    parser.add_argument("--dry-run", action="store_true", help="build and compare, write nothing")
    parser.add_argument("--lock", action="store_true", help="add what is read to the lock")
    parser.add_argument("--vary", action="store_true", help="build on machines that differ, too")
    parser.add_argument("--source-archive", metavar="FILE", type=Path, help="write the source too")
    signers.option(parser)
    main.common(parser)


def run(options: argparse.Namespace) -> int:
    """Build, and write the release."""
    releasedir.vacant(options.output)
    order, lock_path = _order(options)
    keyring, folder = signers.load(options.keyring)
    with signers.Signers(keyring, folder) as open_signers:
        builder = open_signers.for_role("builder")
        try:
            built = builds.build(order, builder=builders.here(keyring.for_role(Role("builder"))))
        except BuildFailed as error:
            for line in error.output:
                render.note(f"build: {line}")
            raise
        except vary.Depends as error:
            for line in _matrix(error.several):
                render.note(line)
            raise
        signers.say(builder, "the provenance", verbose=options.verbose)
        statement = b"" if options.dry_run else sign_statement(built.statement, builder)
    _talk(built)
    if not options.dry_run:
        if options.lock:
            files.write(lock_path, built.files[locks.FILE])
        if options.source_archive:
            files.write(options.source_archive, order.archive)
        content = {**built.files, "statements/provenance.dsse.json": statement}
        releasedir.create(options.output, built.release, content)
    _say(options, order, built)
    return render.EXIT_OK


def _talk(built: builds.Built) -> None:
    if built.level is not Level.BUBBLEWRAP:
        render.note(f"sandbox level {built.level.value}: install bubblewrap for the best one")
    for image in built.reports:
        for one in image.findings:
            place = f"{image.name} at {one.address:#x}"
            render.note(f"{one.kind} in {place}{one.symbol and f', {one.symbol}'}: {one.detail}")
    if built.found is None:
        render.note("nothing was recorded: install strace to know every input")


def _say(options: argparse.Namespace, order: builds.Order, built: builds.Built) -> None:
    digests = {
        name.removeprefix("unsigned/"): sha256_hex(data)
        for name, data in sorted(built.files.items())
        if name.startswith("unsigned/") and name.endswith(".bin")
    }
    recipe = order.recipe
    place = "nothing written" if options.dry_run else f"in {project.shown(options.output)}"
    lines = [f"built {recipe.name} {recipe.version} twice, alike, {place}"]
    lines += [f"  {name}  sha256 {digest}" for name, digest in digests.items()]
    if built.varied:
        count = sum(one.outcome is vary.Outcome.SAME for one in built.varied)
        lines += [f"and the same under {count} of {len(built.varied)} variations"]
        lines += [f"  {line}" for line in _matrix(built.varied)]
    body = {
        "release": None if options.dry_run else str(options.output),
        "sandbox": built.level.value,
        "recorder": "none" if built.found is None else "strace",
        "commit": order.commit,
        "unsigned_sha256": digests,
        "findings": [
            {"image": image.name, "kind": one.kind, "address": one.address, "detail": one.detail}
            for image in built.reports
            for one in image.findings
        ],
        "sbom_absent": list(sbom.absent(built.files[sbom.FILE])),
        "variations": vary.body(built.varied) if options.vary else None,
    }
    render.result("\n".join(lines), body, as_json=options.json)


def _matrix(several: tuple[vary.Varied, ...]) -> list[str]:
    """Answer a line for each variation that is not simply the same."""
    lines = []
    for one in several:
        if one.outcome is not vary.Outcome.SAME:
            what = ", ".join(one.outputs) or one.but
            lines.append(f"{one.name}: {one.outcome.value}{what and f': {what}'}")
        elif one.but:
            lines.append(f"{one.name}: {one.outcome.value}, but not varied for {one.but}")
    return lines


def _order(options: argparse.Namespace) -> tuple[builds.Order, Path]:
    """Answer what to build, and where its lock is; raises `Misuse`."""
    path: Path = options.recipe
    data = files.read(path)
    recipe = recipes.recipe(Table.parse(files.decoded(data, where=str(path)), where=path.name))
    root = project.find(path.parent).root
    device_path = root / recipe.device
    device = inputs.profile(device_path)
    commit, source_archive = _source(recipe.source, root, path.parent)
    read = files.reader(device_path.parent)
    tools = recipe.toolchain
    place = path.parent / tools.lock
    order = builds.Order(
        recipe=recipe,
        recipe_bytes=data,
        commit=commit,
        archive=source_archive,
        compiler=toolchain.find(
            tools.compiler, folder=path.parent / tools.folder if tools.folder else None
        ),
        lock=_lock(place),
        locking=options.lock,
        varying=options.vary,
        layout=inputs.layout(device, read=read),
        layout_bytes=read(device.layout),
        vendor_id=device.vendor_id,
        class_id=device.class_id,
        now=inputs.time(None),
        names=_names(),
        inputs=_inputs(recipe, path.parent),
    )
    return order, place


def _names() -> tuple[str, ...]:
    """Answer what this machine and its user are called, which no image should tell."""
    return tuple(filter(None, (socket.gethostname(), os.environ.get("USER", ""))))


def _lock(path: Path) -> locks.Lock:
    """Answer the lock of a file, an empty one where there is none yet."""
    if not files.is_there(path):
        return locks.Lock()
    return locks.lock(Table.parse(files.text(path), where=path.name))


def _source(what: recipes.Source, root: Path, folder: Path) -> tuple[str, bytes]:
    commit, exported = "", b""
    if what.commit:
        commit, exported = source.export(root, what.commit, what.paths)
        if not what.archives:
            return commit, exported
    parts = [
        (one.into, archives.fetched(one.place, one.sha256, folder=folder)) for one in what.archives
    ]
    return commit, archives.combined(parts, exported=exported)


def _inputs(recipe: recipes.Recipe, folder: Path) -> dict[str, bytes]:
    """Answer the dependencies and contents that lie beside a recipe; raises `Misuse`."""
    encrypted = [one.file for one in recipe.payloads if one.encryption]
    if encrypted:
        raise Misuse(
            f"payload {encrypted[0]} is encrypted, which a release cannot be yet",
            hint="fwseal author signs it in one step",
        )
    if recipe.manifest is None:
        return {}
    fetched = [one.file for one in recipe.manifest.dependencies if not one.uri.startswith("#")]
    if fetched:
        raise Misuse(
            f"dependency {fetched[0]} is fetched, which one of a release cannot be yet",
            hint="integrated = true lets it travel in the envelope",
        )
    names = {one.file for one in recipe.manifest.dependencies} | recipe.manifest.files()
    return {name: files.read(folder / name) for name in sorted(names)}
