"""A build's ELF files become what devices run and builders compare, and a report on each."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING

from fwseal.base.digest import sha256_hex
from fwseal.base.errors import Misuse
from fwseal.base.release import PayloadFormat
from fwseal.build import sandbox, walls
from fwseal.build.recipe import expanded
from fwseal.image import elf, intelhex, mcuboot, memory_map, report
from fwseal.image.memory_map import Region

if TYPE_CHECKING:
    from fwseal.build.recipe import PayloadSpec
    from fwseal.build.run import Order

_MAX_COUNTER = 0xFFFFFFFF

REPORTS = "reports/images.json"


def reports(order: Order, outputs: dict[str, bytes]) -> tuple[report.Report, ...]:
    """Answer what each output of a build gives away; raises `Refused`."""
    shipped = {payload.file: payload for payload in order.recipe.payloads}
    found = []
    for path, data in outputs.items():
        stem = path.rpartition("/")[2].removesuffix(".elf")
        payload = shipped.get(f"{stem}.bin")
        raw = payload is None or payload.format is PayloadFormat.RAW
        room = order.layout.code.size if raw else order.layout.max_image - order.layout.header_size
        found.append(report.report(data, name=f"{stem}.bin", room=room, names=order.names))
    return tuple(found)


def reports_json(several: tuple[report.Report, ...]) -> bytes:
    """Answer the file of several reports."""
    body = {"schema_version": 1, "images": [dataclasses.asdict(one) for one in several]}
    return (json.dumps(body, indent=1) + "\n").encode()


def job(order: Order, level: walls.Level, setting: walls.Setting = walls.USUAL) -> sandbox.Job:
    """Answer what a sandbox must do; raises `Misuse` for a command that means nothing."""
    known = {
        "version": order.recipe.version,
        "build-id": (order.commit or sha256_hex(order.archive))[:12],
        "cc": walls.cc(order.compiler, level, setting),
    }
    return sandbox.Job(
        archive=order.archive,
        commands=expanded(order.recipe, known, order.recipe.name),
        outputs=order.recipe.outputs,
        compiler=order.compiler,
        epoch=0,
    )


def unsigned(order: Order, outputs: dict[str, bytes]) -> dict[str, bytes]:
    """Answer what builders reproduce, by its path in a release.

    Raises `Refused` (malformed, storage-full), `Misuse` for an image that cannot work.
    """
    files = {}
    shipped = {payload.file: payload for payload in order.recipe.payloads}
    for path, data in outputs.items():
        stem = path.rpartition("/")[2].removesuffix(".elf")
        parts = elf.segments(data)
        payload = shipped.get(f"{stem}.bin")
        files[f"unsigned/{stem}.elf"] = data
        files[f"unsigned/{stem}.hex"] = intelhex.write(parts)
        vectors = elf.starts_with_vectors(data)
        files[f"unsigned/{stem}.bin"] = _flattened(order, payload, parts, vectors=vectors)
        if payload and payload.format is PayloadFormat.RAW:
            files[f"payloads/{stem}.bin"] = files[f"unsigned/{stem}.bin"]
    return files


def _flattened(
    order: Order, payload: PayloadSpec | None, parts: tuple[elf.Segment, ...], *, vectors: bool
) -> bytes:
    layout, flat = order.layout, elf.flat(parts)
    if payload is None or payload.format is PayloadFormat.RAW:
        memory_map.check_image(parts, where=layout.code, ram=layout.ram, vectors=vectors)
        return flat
    if payload.load_address not in (None, layout.load_address):
        raise Misuse(
            f"load-address {payload.load_address:#x} is not the layout's {layout.load_address:#x}"
        )
    if order.recipe.sequence_number > _MAX_COUNTER:
        raise Misuse(
            f"sequence number {order.recipe.sequence_number} does not fit an MCUboot image",
            hint=f"its security counter ends at {_MAX_COUNTER}",
        )
    image = mcuboot.unsigned(
        flat,
        version=mcuboot.Version.parse(order.recipe.version),
        load_address=layout.load_address,
        header_size=layout.header_size,
        security_counter=order.recipe.sequence_number,
    )
    memory_map.check_fit(len(image), layout.max_image)
    start = layout.load_address + layout.header_size
    room = Region(origin=start, size=layout.max_image - layout.header_size)
    memory_map.check_image(parts, where=room, ram=layout.ram, vectors=vectors)
    return image
