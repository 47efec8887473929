"""Two builds agree byte by byte, or there is no release."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from fwseal.base.digest import sha256_hex
from fwseal.base.errors import Misuse, Refused
from fwseal.base.reasons import Reason
from fwseal.base.release import Payload, PayloadFormat, Release, State
from fwseal.base.statements import Subject
from fwseal.build import provenance, sandbox
from fwseal.build.recipe import PayloadSpec, Recipe, expanded
from fwseal.image import elf, intelhex, mcuboot, memory_map
from fwseal.image.memory_map import Region
from fwseal.suit import author

if TYPE_CHECKING:
    import uuid
    from collections.abc import Mapping

    from fwseal.image.memory_map import Layout


_MAX_COUNTER = 0xFFFFFFFF


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What to build, for which device, from which bytes.

    `inputs` holds the files that the manifest speaks of and no build makes, by name.
    """

    recipe: Recipe
    recipe_bytes: bytes
    commit: str
    archive: bytes
    layout: Layout
    vendor_id: uuid.UUID
    class_id: uuid.UUID
    inputs: Mapping[str, bytes] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """A release's first files by their path in it, and the statement that wants a signature."""

    release: Release
    files: dict[str, bytes]
    statement: bytes
    level: sandbox.Level


def build(order: Order, *, builder: str) -> Built:
    """Answer what two sandboxed builds agree on.

    Raises `Refused` (not-reproduced, storage-full, malformed), `BuildFailed`, `Misuse`,
    `Unavailable`.
    """
    recipe = order.recipe
    compiler = sandbox.compiler(recipe.compiler)
    level = sandbox.best_level()
    known = {
        "version": recipe.version,
        "build-id": order.commit[:12],
        "cc": compiler.command(level),
    }
    job = sandbox.Job(
        archive=order.archive,
        commands=expanded(recipe, known, recipe.name),
        outputs=recipe.outputs,
        compiler=compiler,
        epoch=0,
    )
    first, second = sandbox.build(job, level), sandbox.build(job, level)
    for name in recipe.outputs:
        _same(name, first[name], second[name])
    files = _files(order, first)
    release = _release(order, files)
    inputs = provenance.Inputs(
        recipe_sha256=release.recipe_sha256,
        commit=order.commit,
        source_sha256=sha256_hex(order.archive),
        compiler=compiler.name,
        compiler_sha256=compiler.sha256,
        parameters={**recipe.parameters, "version": recipe.version},
        sandbox=level.value,
        builder=builder,
    )
    subjects = tuple(
        Subject(name=path, sha256=sha256_hex(data))
        for path, data in sorted(files.items())
        if path.endswith(".bin") and path.startswith("unsigned/")
    )
    statement = provenance.provenance(subjects, inputs)
    return Built(release=release, files=files, statement=statement, level=level)


def _same(name: str, one: bytes, other: bytes) -> None:
    if one == other:
        return
    differs = next(
        (at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b),
        min(len(one), len(other)),
    )
    raise Refused(
        Reason.NOT_REPRODUCED, f"two builds of {name} differ at offset {differs:#x}", where=name
    )


def _files(order: Order, outputs: dict[str, bytes]) -> dict[str, bytes]:
    files = {"recipe.toml": order.recipe_bytes}
    files |= {f"inputs/{name}": data for name, data in order.inputs.items()}
    shipped = {payload.file: payload for payload in order.recipe.payloads}
    for path, data in outputs.items():
        stem = path.rpartition("/")[2].removesuffix(".elf")
        parts = elf.segments(data)
        payload = shipped.get(f"{stem}.bin")
        files[f"unsigned/{stem}.elf"] = data
        files[f"unsigned/{stem}.hex"] = intelhex.write(parts)
        files[f"unsigned/{stem}.bin"] = _unsigned(order, payload, parts)
        if payload and payload.format is PayloadFormat.RAW:
            files[f"payloads/{stem}.bin"] = files[f"unsigned/{stem}.bin"]
    return files


def _unsigned(order: Order, payload: PayloadSpec | None, parts: tuple[elf.Segment, ...]) -> bytes:
    layout, flat = order.layout, elf.flat(parts)
    if payload is None or payload.format is PayloadFormat.RAW:
        memory_map.check_image(parts, where=layout.code, ram=layout.ram)
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
    memory_map.check_image(parts, where=room, ram=layout.ram)
    return image


def unbuilt(
    recipe: Recipe, recipe_bytes: bytes, *, vendor_id: uuid.UUID, class_id: uuid.UUID
) -> Release:
    """Answer the release a recipe describes, before anything was built."""
    payloads = tuple(
        Payload(
            uri=spec.uri,
            file=spec.file,
            component="/".join(part.hex() for part in spec.component),
            format=spec.format,
            unsigned_sha256="",
        )
        for spec in recipe.payloads
    )
    return Release(
        name=recipe.name,
        line=recipe.line,
        version=recipe.version,
        sequence_number=recipe.sequence_number,
        state=State.BUILT,
        recipe_sha256=sha256_hex(recipe_bytes),
        vendor_id=str(vendor_id),
        class_id=str(class_id),
        payloads=payloads,
    )


def _release(order: Order, files: dict[str, bytes]) -> Release:
    release = unbuilt(
        order.recipe, order.recipe_bytes, vendor_id=order.vendor_id, class_id=order.class_id
    )
    payloads = tuple(
        dataclasses.replace(one, unsigned_sha256=sha256_hex(files[f"unsigned/{one.file}"]))
        for one in release.payloads
    )
    release = dataclasses.replace(release, payloads=payloads)
    if payloads and all(one.format is PayloadFormat.RAW for one in payloads):
        images = {one.file: files[f"payloads/{one.file}"] for one in payloads}
        release, draft = author.released(release, order.recipe.manifest, images, files=order.inputs)
        files["manifest.cbor"] = draft.manifest
    return release
