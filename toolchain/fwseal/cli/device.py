"""`fwseal device`: a device under test, driven by the verbs that any other DUT answers too.

Stdout is one JSON object always, as any tester of devices expects; people read stderr.
"""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fwseal.base.errors import Misuse, Refused, Unavailable
from fwseal.cli import files, inputs, main, project, render
from fwseal.cli import verify as verdicts
from fwseal.cli.boards import Board
from fwseal.delivery.download import HttpFetcher
from fwseal.device import board, qemu, tufclient, unicorn
from fwseal.device.statedir import FileFlash, StateDir
from fwseal.tuf import trusted
from fwseal.tuf.repository import envelope_path

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from fwseal.base.ports import Fetcher

MACHINE = "mps2-an385"
LAYOUT = "targets/mps2-an385/layout.toml"
BOOT = "build/targets/mps2-an385/unsigned/boot.bin"
EMULATORS = {"qemu": qemu.run, "unicorn": unicorn.run}


def arguments(parser: argparse.ArgumentParser) -> None:
    """Say what the verb takes."""
    parser.add_argument("dut", metavar="DEVICE", choices=(MACHINE,), help=MACHINE)
    verbs = parser.add_subparsers(dest="what", required=True, metavar="VERB")
    capabilities = verbs.add_parser("capabilities", help="say what this DUT can do")
    main.common(capabilities)
    capabilities.set_defaults(run=_capabilities)

    provision = _verb(verbs, "provision", _provision, "make a device fresh from the factory")
    provision.add_argument("profile", metavar="PROFILE", type=Path)
    provision.add_argument("--tuf-root", metavar="FILE", type=Path, help="the trusted root.json")
    provision.add_argument("--emulator", choices=tuple(EMULATORS), default="qemu")

    offer = _verb(verbs, "offer", _offer, "offer an envelope with its payloads")
    offer.add_argument("file", metavar="FILE", type=Path)
    offer.add_argument("--payload", metavar="URI=FILE", action="append", default=[])
    offer.add_argument("--at", metavar="TIME")

    update = _verb(verbs, "update", _update, "fetch and install what a TUF repository offers")
    update.add_argument("--metadata-url", metavar="U", required=True)
    update.add_argument("--target-base-url", metavar="B", required=True)
    update.add_argument("--at", metavar="TIME")

    _verb(verbs, "boot", _boot, "power on, to the application's end")
    _verb(verbs, "confirm", _confirm, "confirm the image on trial")


def _verb(
    verbs: argparse._SubParsersAction[argparse.ArgumentParser],
    name: str,
    run: Callable[[argparse.Namespace], int],
    what: str,
) -> argparse.ArgumentParser:
    parser = verbs.add_parser(name, help=what)
    parser.add_argument("--state", metavar="DIR", type=Path, required=True)
    main.common(parser)
    parser.set_defaults(run=run)
    return parser


def _capabilities(options: argparse.Namespace) -> int:
    verbs = ["provision", "offer", "update", "boot", "confirm"]
    body = {"formats": ["suit"], "verbs": verbs}
    return _say(f"suit: {', '.join(verbs)}", body, options)


def _say(text: str, body: dict[str, Any], options: argparse.Namespace) -> int:
    if not options.json:
        render.talk(text)
    render.result("", body, as_json=True)
    return render.EXIT_OK


def _provision(options: argparse.Namespace) -> int:
    place: Path = options.state
    if files.is_there(place) and not (place.is_dir() and not any(place.iterdir())):
        raise Misuse(
            f"{project.shown(place)} is not an empty folder",
            hint="remove it, or name another folder",
        )
    named: dict[str, bytes] = {}

    def read(name: str) -> bytes:
        named[name] = files.read(options.profile.parent / name)
        return named[name]

    profile = inputs.profile(options.profile, read=read)
    if profile.emulator is not None and profile.emulator.machine != MACHINE:
        raise Misuse(f"profile {profile.name} is not for {MACHINE}", hint="see its [emulator]")
    layout_bytes = read(profile.layout) if profile.layout else files.read(_ours(LAYOUT))
    layout = inputs.parsed_layout(layout_bytes, where=profile.layout or LAYOUT)
    boot = options.profile.parent / profile.emulator.boot if profile.emulator else _ours(BOOT)
    root = files.read(options.tuf_root) if options.tuf_root else None
    if root is not None:
        _check_root(root)
    if not files.is_file(boot):
        raise Unavailable(
            f"the boot program {project.shown(boot)} is not built",
            hint="fwseal build manifests/mps2-an385-boot.toml -o build/targets/mps2-an385",
        )
    state = StateDir(place)
    try:
        for name, data in named.items():
            state.provision(name, data)
        files.write(place / "profile.toml", files.read(options.profile))
        files.write(state.layout, layout_bytes)
        files.write(state.boot, files.read(boot))
        if root is not None:
            state.keep("root", root)
        FileFlash(state.flash, layout.flash).create()
        state.create(sequence_number=profile.sequence_number, emulator=options.emulator)
    except BaseException:
        shutil.rmtree(place, ignore_errors=True)
        raise
    text = f"provisioned {profile.name} in {project.shown(place)}"
    body = {"device": profile.name, "sequence_number": profile.sequence_number}
    return _say(text, body, options)


def _ours(name: str) -> Path:
    """Answer a file of the board that the project has, for profiles that do not name one."""
    return project.find().root / name


def _check_root(data: bytes) -> None:
    try:
        trusted.first(data)
    except Refused as error:
        raise Misuse(
            f"--tuf-root is no TUF root: {error.message}", hint="name 1.root.json"
        ) from None


def _offer(options: argparse.Namespace) -> int:
    device = Board.open(options.state)
    inputs.time(options.at)
    envelope = files.read(options.file)
    fetcher = inputs.FileFetcher(options.payload)
    return _accept(device, lambda: (envelope, fetcher), options)


def _update(options: argparse.Namespace) -> int:
    device = Board.open(options.state)
    now = inputs.time(options.at)
    source = HttpFetcher(options.target_base_url)
    metadata = HttpFetcher(options.metadata_url)

    def fetched() -> tuple[bytes, Fetcher]:
        kept = device.state.metadata()
        if "root" not in kept:
            raise Misuse("the device holds no TUF root", hint="provision it with --tuf-root FILE")
        refresh = tufclient.start(kept, now)
        while (wanted := tufclient.wanted(refresh)) is not None:
            refresh, keep = tufclient.step(refresh, tufclient.answer(metadata, wanted))
            if keep is not None:
                device.state.keep(keep.role, keep.data)
        path = envelope_path(device.profile.line, str(device.profile.class_id))
        targets = tufclient.TargetFetcher(refresh.trusted, envelope=path, source=source)
        return targets.envelope(), targets

    return _accept(device, fetched, options)


def _accept(
    device: Board, offered: Callable[[], tuple[bytes, Fetcher]], options: argparse.Namespace
) -> int:
    try:
        envelope, fetcher = offered()
        done = device.install(envelope, fetcher)
    except Refused as error:
        if not options.json:
            render.failure(error, as_json=False)
        return verdicts.verdict(error, as_json=True)
    body = {
        "verdict": "accepted",
        "reason": None,
        "where": None,
        "evidence": verdicts.evidence(done),
    }
    text = f"accepted: sequence number {done.sequence_number}, signed by {', '.join(done.signers)}"
    return _say(text, body, options)


def _boot(options: argparse.Namespace) -> int:
    device = Board.open(options.state)
    emulate = EMULATORS.get(device.state.emulator())
    if emulate is None:
        raise Misuse("the device's state.json is damaged", hint="provision the device anew")
    run = emulate(boot=device.state.boot, flash=device.state.flash)
    try:
        report = board.parse_boot(run.uart)
    except ValueError as error:
        raise Unavailable(f"the board said what nobody understands: {error}") from None
    started = report.started
    body = {
        "booted": started is not None,
        "image_digest": started.digest if started else None,
        "sequence_number": device.state.sequence_number(),
        "slot": started.slot if started else None,
        "version": started.version if started else None,
        "state": started.state if started else None,
        # What the flash says; the application only claims it.
        "confirmed": started is not None and device.slots.view()[started.slot].confirmed,
        "banner": report.banner,
        "erased": [dataclasses.asdict(one) for one in report.erased],
        "halted": report.halted,
        "exit_code": run.exit_code,
        "uart": run.uart,
    }
    _say(run.uart, body, options)
    return render.EXIT_OK if started else render.EXIT_REFUSED


def _confirm(options: argparse.Namespace) -> int:
    slot = Board.open(options.state).slots.confirm()
    return _say(f"confirmed slot {slot}", {"slot": slot}, options)
