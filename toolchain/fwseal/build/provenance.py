"""What went into a build, as an in-toto Statement with SLSA provenance v1."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from fwseal.base import statements
from fwseal.build.lock import tree_sha256

if TYPE_CHECKING:
    from fwseal.base.statements import Subject
    from fwseal.build.lock import Component

PREDICATE_TYPE = "https://slsa.dev/provenance/v1"
BUILD_TYPE = "urn:fwseal:recipe:v1"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Builder:
    """Who builds, and where: `label` of the key that attests it, `operator` who holds that key.

    `host` is a digest that tells machines apart and names none; `kernel` is its release.
    """

    label: str
    host: str
    operator: str
    kernel: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """Everything that is known to have gone in; digests in lower-case hex.

    `commit` is empty where archives alone were built, `manifest_sha256` (of the input manifest)
    where no recorder worked. `parts` begins with the compiler.
    """

    recipe_sha256: str
    commit: str
    source_sha256: str
    parts: tuple[Component, ...]
    manifest_sha256: str
    parameters: dict[str, str]
    layout_sha256: str
    sandbox: str
    builder: Builder


def provenance(subjects: tuple[Subject, ...], inputs: Inputs) -> bytes:
    """Answer the statement's bytes; subjects are the unsigned payloads."""
    recorded = {"name": "reports/inputs.json", "digest": {"sha256": inputs.manifest_sha256}}
    return statements.statement(
        subjects=subjects,
        predicate_type=PREDICATE_TYPE,
        predicate={
            "buildDefinition": {
                "buildType": BUILD_TYPE,
                "externalParameters": {
                    "recipe": {"sha256": inputs.recipe_sha256},
                    "parameters": inputs.parameters,
                    "layout": {"sha256": inputs.layout_sha256},
                },
                "internalParameters": {**environment(inputs), "builds": 2},
                "resolvedDependencies": [
                    source(inputs),
                    *map(_part, inputs.parts),
                ],
            },
            "runDetails": {
                "builder": {"id": f"urn:fwseal:builder:{inputs.builder.label}"},
                "byproducts": [recorded] if inputs.manifest_sha256 else [],
            },
        },
    )


def source(inputs: Inputs) -> dict[str, object]:
    """Answer the source as statements name it."""
    commit = {"gitCommit": inputs.commit} if inputs.commit else {}
    return {"name": "source", "digest": {**commit, "sha256": inputs.source_sha256}}


def environment(inputs: Inputs) -> dict[str, str]:
    """Answer what must differ between two builders for one to confirm the other."""
    compiler = inputs.parts[0]
    words = (compiler.kind, compiler.name, compiler.version, f"sha256:{compiler.sha256}")
    return {
        "host": inputs.builder.host,
        "operator": inputs.builder.operator,
        "kernel": inputs.builder.kernel,
        "compiler": " ".join(filter(None, words)),
        "sandbox": inputs.sandbox,
        "recorder": "strace" if inputs.manifest_sha256 else "none",
    }


def _part(one: Component) -> dict[str, object]:
    """Answer one dependency; a package's digest is that of its files which were read."""
    found: dict[str, object] = {
        "name": one.name, "digest": {"sha256": one.sha256 or tree_sha256(one.files)},
    }  # fmt: skip
    if one.version:
        found["annotations"] = {"kind": one.kind, "version": one.version}
    return found
