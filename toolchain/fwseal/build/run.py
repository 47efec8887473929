"""Two builds agree byte by byte, or there is no release."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING

from fwseal import __version__
from fwseal.base.digest import sha256_hex
from fwseal.base.errors import Misuse, Refused
from fwseal.base.reasons import Reason
from fwseal.base.release import Payload, PayloadFormat, Release, State
from fwseal.base.statements import Subject
from fwseal.build import inputs, lock, packages, provenance, recorder, sandbox, sbom, toolchain
from fwseal.build.lock import Component, Declared, Lock
from fwseal.build.recipe import PayloadSpec, Recipe, expanded
from fwseal.image import elf, intelhex, mcuboot, memory_map, report
from fwseal.image.memory_map import Region
from fwseal.suit import author

if TYPE_CHECKING:
    import uuid
    from collections.abc import Mapping
    from datetime import datetime

    from fwseal.build.inputs import Inputs
    from fwseal.build.toolchain import Compiler
    from fwseal.image.memory_map import Layout


_MAX_COUNTER = 0xFFFFFFFF


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What to build, for which device, from which bytes.

    `inputs` holds the files that the manifest speaks of and no build makes, by name; `compiler`
    is who compiles, and `lock` what may be read besides the source. With `locking` the lock grows
    by what is read. `names` of hosts and users should not stand in an image.
    """

    recipe: Recipe
    recipe_bytes: bytes
    commit: str
    archive: bytes
    compiler: Compiler
    lock: Lock
    layout: Layout
    layout_bytes: bytes
    vendor_id: uuid.UUID
    class_id: uuid.UUID
    now: datetime
    names: tuple[str, ...] = ()
    locking: bool = False
    inputs: Mapping[str, bytes] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """A release's first files by their path in it, and the statement that wants a signature.

    `found` is what the builds looked at, None where no recorder works.
    """

    release: Release
    files: dict[str, bytes]
    statement: bytes
    level: sandbox.Level
    found: Inputs | None
    reports: tuple[report.Report, ...]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Judged:
    """What went in besides the source: the lock that allows it, and its parts."""

    locked: Lock
    parts: tuple[Component, ...]
    manifest: bytes


def build(order: Order, *, builder: str) -> Built:
    """Answer what two sandboxed builds agree on.

    Raises `Refused` (not-reproduced, undeclared-input, network-attempt, outside-write,
    storage-full, malformed), `BuildFailed`, `Misuse`, `Unavailable`.
    """
    pin = _pin(order.compiler)
    locked = lock.merged(order.lock, [pin] if order.locking and pin.kind != "program" else [])
    lock.check_compiler(locked, pin)
    level = sandbox.best_level()
    first, second, found = _twice(_job(order, level), level)
    judged = _Judged(locked=locked, parts=(pin,), manifest=b"")
    if found:
        judged = _judged(order, found, locked, isolated=level is sandbox.Level.BUBBLEWRAP)
    for name in order.recipe.outputs:
        _same(name, first[name], second[name])
    files = _files(order, first)
    files[lock.FILE] = lock.text(judged.locked).encode()
    files["layout.toml"] = order.layout_bytes
    if judged.manifest:
        files[inputs.FILE] = judged.manifest
    reports = _reports(order, first)
    files[REPORTS] = _reports_json(reports)
    release = _release(order, files)
    files[sbom.FILE] = sbom.document(_facts(order, judged, release, found, reports))
    subjects = tuple(
        Subject(name=path, sha256=sha256_hex(data))
        for path, data in sorted(files.items())
        if path.endswith(".bin") and path.startswith("unsigned/")
    )
    statement = provenance.provenance(subjects, _went_in(order, judged, level, builder))
    return Built(
        release=release, files=files, statement=statement, level=level, found=found,
        reports=reports,
    )  # fmt: skip


REPORTS = "reports/images.json"


def _reports(order: Order, outputs: dict[str, bytes]) -> tuple[report.Report, ...]:
    shipped = {payload.file: payload for payload in order.recipe.payloads}
    found = []
    for path, data in outputs.items():
        stem = path.rpartition("/")[2].removesuffix(".elf")
        payload = shipped.get(f"{stem}.bin")
        raw = payload is None or payload.format is PayloadFormat.RAW
        room = order.layout.code.size if raw else order.layout.max_image - order.layout.header_size
        found.append(report.report(data, name=f"{stem}.bin", room=room, names=order.names))
    return tuple(found)


def _reports_json(reports: tuple[report.Report, ...]) -> bytes:
    body = {"schema_version": 1, "images": [dataclasses.asdict(one) for one in reports]}
    return (json.dumps(body, indent=1) + "\n").encode()


def _facts(
    order: Order, judged: _Judged, release: Release, found: Inputs | None,
    reports: tuple[report.Report, ...],
) -> sbom.Facts:  # fmt: skip
    return sbom.Facts(
        release=release,
        supplier=order.recipe.supplier,
        commit=order.commit,
        source_sha256=sha256_hex(order.archive),
        source=found.source if found else {},
        units=tuple({unit for one in reports for unit in one.units}),
        parts=judged.parts,
        recorded=found is not None,
        tool_version=__version__,
        now=order.now,
    )


def _judged(order: Order, found: Inputs, locked: Lock, *, isolated: bool) -> _Judged:
    """Answer what went in when it is declared, or with `locking` has become so."""
    outside = {
        name: digest
        for name, digest in found.files().items()
        if not f"{name}/".startswith(f"{toolchain.INSIDE}/")
    }
    owned = packages.owners(outside)
    if order.locking:
        left = {one.name for one in lock.undeclared(found, _declared(order, locked))}
        new = {name: digest for name, digest in outside.items() if name in left}
        locked = lock.merged(locked, lock.grouped(new, owned))
    lock.judge(found, _declared(order, locked), isolated=isolated)
    names = {name: f"{one.name} {one.version}" for name, one in owned.items()}
    return _Judged(
        locked=locked,
        parts=(_pin(order.compiler), *lock.grouped(outside, owned)),
        manifest=found.to_json(names),
    )


def _pin(compiler: Compiler) -> Component:
    return Component(
        kind=compiler.kind,
        name=compiler.name,
        version=compiler.version,
        sha256=compiler.sha256,
        purl=f"pkg:pypi/ziglang@{compiler.version}" if compiler.kind == "wheel" else "",
        creator=compiler.creator,
        license=compiler.license,
    )


def _declared(order: Order, locked: Lock) -> Declared:
    shown = {f"{toolchain.INSIDE}/{path}": one for path, one in order.compiler.files.items()}
    return Declared(
        host=order.recipe.toolchain.host,
        files={**locked.files(), **shown},
        folders=(toolchain.INSIDE,) if shown else (),
    )


def _job(order: Order, level: sandbox.Level) -> sandbox.Job:
    known = {
        "version": order.recipe.version,
        "build-id": (order.commit or sha256_hex(order.archive))[:12],
        "cc": sandbox.cc(order.compiler, level),
    }
    return sandbox.Job(
        archive=order.archive,
        commands=expanded(order.recipe, known, order.recipe.name),
        outputs=order.recipe.outputs,
        compiler=order.compiler,
        epoch=0,
    )


def _twice(
    job: sandbox.Job, level: sandbox.Level
) -> tuple[dict[str, bytes], dict[str, bytes], Inputs | None]:
    if not recorder.available():
        return sandbox.build(job, level), sandbox.build(job, level), None
    first, looked = sandbox.recorded(job, level)
    second, again = sandbox.recorded(job, level)
    return first, second, looked.joined(again)


def _went_in(
    order: Order, judged: _Judged, level: sandbox.Level, builder: str
) -> provenance.Inputs:
    return provenance.Inputs(
        recipe_sha256=sha256_hex(order.recipe_bytes),
        commit=order.commit,
        source_sha256=sha256_hex(order.archive),
        parts=judged.parts,
        manifest_sha256=sha256_hex(judged.manifest) if judged.manifest else "",
        parameters={**order.recipe.parameters, "version": order.recipe.version},
        layout_sha256=sha256_hex(order.layout_bytes),
        sandbox=level.value,
        builder=builder,
    )


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
