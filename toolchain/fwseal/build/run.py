"""Two builds agree byte by byte, or there is no release."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from fwseal import __version__
from fwseal.base.digest import sha256_hex
from fwseal.base.errors import Refused
from fwseal.base.reasons import Reason
from fwseal.base.release import Payload, PayloadFormat, Release, State
from fwseal.base.statements import Subject
from fwseal.build import images, inputs, lock, provenance, recorder, sandbox, sbom, vary, walls
from fwseal.build.judged import Judged, judged, pin
from fwseal.suit import author

if TYPE_CHECKING:
    import uuid
    from collections.abc import Mapping
    from datetime import datetime

    from fwseal.build.inputs import Inputs
    from fwseal.build.lock import Lock
    from fwseal.build.recipe import Recipe
    from fwseal.build.toolchain import Compiler
    from fwseal.image import report
    from fwseal.image.memory_map import Layout


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What to build, for which device, from which bytes.

    `inputs` holds the files that the manifest speaks of and no build makes, by name; `compiler`
    is who compiles, and `lock` what may be read besides the source. With `locking` the lock grows
    by what is read, and with `varying` more builds follow, one per variation. `names` of hosts and
    users should not stand in an image.
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
    varying: bool = False
    inputs: Mapping[str, bytes] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """A release's first files by their path in it, and the statement that wants a signature.

    `found` is what the builds looked at, None where no recorder works; `varied` is empty unless
    the order asked for it.
    """

    release: Release
    files: dict[str, bytes]
    statement: bytes
    level: walls.Level
    found: Inputs | None
    reports: tuple[report.Report, ...]
    varied: tuple[vary.Varied, ...]


def build(order: Order, *, builder: provenance.Builder) -> Built:
    """Answer what two sandboxed builds agree on.

    Raises `Refused` (not-reproduced, undeclared-input, network-attempt, outside-write,
    storage-full, malformed), `BuildFailed`, `Misuse`, `Unavailable`.
    """
    compiler = pin(order.compiler)
    whole = order.locking and compiler.kind != "program"
    locked = lock.merged(order.lock, [compiler] if whole else [])
    lock.check_compiler(locked, compiler)
    level = sandbox.best_level()
    first, second, found = _twice(images.job(order, level), level)
    went_in = Judged(locked=locked, parts=(compiler,), manifest=b"")
    if found:
        went_in = judged(order, found, locked, isolated=level is walls.Level.BUBBLEWRAP)
    for name in order.recipe.outputs:
        _same(name, first[name], second[name])
    varied = vary.matrix(order, level, first) if order.varying else ()
    vary.check(varied)
    files = {"recipe.toml": order.recipe_bytes, **images.unsigned(order, first)}
    files |= {f"inputs/{name}": data for name, data in order.inputs.items()}
    files[lock.FILE] = lock.text(went_in.locked).encode()
    files["layout.toml"] = order.layout_bytes
    if went_in.manifest:
        files[inputs.FILE] = went_in.manifest
    reports = images.reports(order, first)
    files[images.REPORTS] = images.reports_json(reports)
    if order.varying:
        files[vary.FILE] = vary.report(varied)
    release = _release(order, files)
    files[sbom.FILE] = sbom.document(_facts(order, went_in, release, found, reports))
    subjects = tuple(
        Subject(name=path, sha256=sha256_hex(data))
        for path, data in sorted(files.items())
        if path.endswith(".bin") and path.startswith("unsigned/")
    )
    statement = provenance.provenance(subjects, statement_inputs(order, went_in, level, builder))
    return Built(
        release=release, files=files, statement=statement, level=level, found=found,
        reports=reports, varied=varied,
    )  # fmt: skip


def _facts(
    order: Order, went_in: Judged, release: Release, found: Inputs | None,
    reports: tuple[report.Report, ...],
) -> sbom.Facts:  # fmt: skip
    return sbom.Facts(
        release=release,
        supplier=order.recipe.supplier,
        commit=order.commit,
        source_sha256=sha256_hex(order.archive),
        source=found.source if found else {},
        units=tuple({unit for one in reports for unit in one.units}),
        parts=went_in.parts,
        recorded=found is not None,
        tool_version=__version__,
        now=order.now,
    )


def _twice(
    job: sandbox.Job, level: walls.Level
) -> tuple[dict[str, bytes], dict[str, bytes], Inputs | None]:
    if not recorder.available():
        return sandbox.build(job, level), sandbox.build(job, level), None
    first, looked = sandbox.recorded(job, level)
    second, again = sandbox.recorded(job, level)
    return first, second, looked.joined(again)


def statement_inputs(
    order: Order, went_in: Judged, level: walls.Level, builder: provenance.Builder
) -> provenance.Inputs:
    """Answer what a statement says went in."""
    return provenance.Inputs(
        recipe_sha256=sha256_hex(order.recipe_bytes),
        commit=order.commit,
        source_sha256=sha256_hex(order.archive),
        parts=went_in.parts,
        manifest_sha256=sha256_hex(went_in.manifest) if went_in.manifest else "",
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
