"""Another builder gets the same bytes from the same source, or there is no attestation."""

from __future__ import annotations

import dataclasses
import itertools
import json
from typing import TYPE_CHECKING

from fwseal.base import statements
from fwseal.base.digest import sha256_hex
from fwseal.base.errors import Misuse, Refused
from fwseal.base.ids import PayloadFormat
from fwseal.base.reasons import Reason
from fwseal.base.statements import Subject
from fwseal.build import images, lock, provenance, sandbox, walls
from fwseal.build.judged import Judged, judged, pin
from fwseal.build.run import statement_inputs
from fwseal.image import mcuboot

if TYPE_CHECKING:
    from fwseal.base.release import Release
    from fwseal.build.provenance import Builder
    from fwseal.build.run import Order

PREDICATE_TYPE = "urn:fwseal:rebuild:v1"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Rebuilt:
    """What a builder attests: the unsigned digests by file, and the statement that says so."""

    digests: dict[str, str]
    statement: bytes
    level: walls.Level
    recorded: bool


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where a release came from, by its provenance: digests in lower-case hex."""

    commit: str
    source_sha256: str


def origin(payload: bytes) -> Origin:
    """Answer the source that a release's provenance names.

    Nothing is trusted for it: whatever was built from other bytes has other digests. Raises
    `Refused` (malformed).
    """
    try:
        parts = json.loads(payload)["predicate"]["buildDefinition"]["resolvedDependencies"]
        (source,) = (one["digest"] for one in parts if one["name"] == "source")
        return Origin(commit=str(source.get("gitCommit", "")), source_sha256=source["sha256"])
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise Refused(Reason.MALFORMED, f"the provenance names no source: {error}") from None


def rebuild(order: Order, release: Release, *, builder: Builder, level: walls.Level) -> Rebuilt:
    """Answer what this builder attests of a release.

    Raises `Refused` (not-reproduced, undeclared-input, network-attempt, outside-write),
    `BuildFailed`, `Misuse`, `Unavailable`.
    """
    from fwseal.build import recorder

    compiler = pin(order.compiler)
    lock.check_compiler(order.lock, compiler)
    went_in = Judged(locked=order.lock, parts=(compiler,), manifest=b"")
    job = images.job(order, level)
    if recorder.available():
        outputs, found = sandbox.recorded(job, level)
        isolated = level is walls.Level.BUBBLEWRAP
        went_in = judged(order, found, order.lock, isolated=isolated)
    else:
        outputs = sandbox.build(job, level)
    files = images.unsigned(order, outputs)
    digests = {one.file: sha256_hex(files[f"unsigned/{one.file}"]) for one in release.payloads}
    for one in release.payloads:
        if digests[one.file] != one.unsigned_sha256:
            raise _differs(one.file, digests[one.file], one.unsigned_sha256)
    inputs = statement_inputs(order, went_in, level, builder)
    statement = statements.statement(
        subjects=tuple(Subject(name=f"unsigned/{file}", sha256=digests[file]) for file in digests),
        predicate_type=PREDICATE_TYPE,
        predicate={
            "recipe": {"sha256": inputs.recipe_sha256},
            "source": provenance.source(inputs),
            "builder": {"id": f"urn:fwseal:builder:{builder.label}"},
            "environment": provenance.environment(inputs),
        },
    )
    return Rebuilt(
        digests=digests, statement=statement, level=level, recorded=bool(went_in.manifest)
    )


def _differs(file: str, ours: str, theirs: str) -> Refused:
    refused = Refused(
        Reason.NOT_REPRODUCED, f"{file} came out as {ours[:16]}, not as {theirs[:16]}", where=file
    )
    refused.hint = "build it by hand and let fwseal verify-rebuild say where it differs"
    return refused


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Attested:
    """One builder's word on the unsigned digests of a release, with what tells builders apart."""

    host: str
    operator: str
    compiler: str

    def confirms(self, other: Attested) -> bool:
        """Answer whether two builders share neither host nor operator nor compiler."""
        return (
            self.host != other.host
            and self.operator != other.operator
            and self.compiler != other.compiler
        )


def attested(payload: bytes, release: Release) -> Attested | None:
    """Answer what a verified statement attests of a release; None for one of anything else."""
    wanted = {(f"unsigned/{one.file}", one.unsigned_sha256) for one in release.payloads}
    try:
        body = json.loads(payload)
        subjects = {(one["name"], one["digest"]["sha256"]) for one in body["subject"]}
        predicate = body["predicate"]
        if body["predicateType"] == PREDICATE_TYPE:
            found = predicate["environment"]
        elif body["predicateType"] == provenance.PREDICATE_TYPE:
            found = predicate["buildDefinition"]["internalParameters"]
        else:
            return None
        one = Attested(
            host=str(found["host"]),
            operator=str(found["operator"]),
            compiler=str(found["compiler"]).rpartition(" ")[2],  # the same files, the same compiler
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    return one if wanted and wanted <= subjects else None


def builders(several: tuple[Attested, ...]) -> int:
    """Answer how many builders confirm one another, each differing from each in everything."""
    for count in range(len(several), 1, -1):
        for some in itertools.combinations(several, count):
            if all(one.confirms(other) for one, other in itertools.combinations(some, 2)):
                return count
    return min(1, len(several))


def words(count: int) -> str:
    """Answer what may be said of a release that so many builders confirm."""
    return f"reproduced by {count}" if count > 1 else "repeatable"


def compare(signed: bytes, image: bytes, form: PayloadFormat, *, name: str) -> str:
    """Answer the SHA-256 of a customer's unsigned image when it is what was signed.

    Nothing is cut out or set to zero: for `mcuboot` header, image and protected TLVs are compared
    with the front of the signed file, whose unprotected TLVs alone may follow; a raw payload is
    compared whole. Raises `Refused` (not-reproduced) with the first place that differs.
    """
    covered = signed
    if form is PayloadFormat.MCUBOOT:
        covered = mcuboot.decode(signed).covered()
    if covered == image:
        return sha256_hex(image)
    if form is PayloadFormat.MCUBOOT and image == signed:
        raise Misuse(f"{name} is the signed image itself", hint="compare your own unsigned build")
    at = next(
        (at for at, (a, b) in enumerate(zip(covered, image, strict=False)) if a != b),
        min(len(covered), len(image)),
    )
    place = _place(covered, at) if form is PayloadFormat.MCUBOOT else "the payload"
    sizes = "" if len(covered) == len(image) else f"; {len(image)} bytes, not {len(covered)}"
    refused = Refused(
        Reason.NOT_REPRODUCED, f"differs in {place} at offset {at:#x}{sizes}", where=name
    )
    refused.hint = "compare recipe, source and toolchain.lock.toml of the release with yours"
    raise refused


def _place(covered: bytes, at: int) -> str:
    image = mcuboot.decode(covered)
    if at < image.header.header_size:
        return "the header"
    start = image.header.header_size
    if at < start + image.header.image_size:
        return f"the image, address {image.header.load_address + at:#x}"
    return "the protected TLVs"
