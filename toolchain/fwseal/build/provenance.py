"""What went into a build, as an in-toto Statement with SLSA provenance v1."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from fwseal.base import statements

if TYPE_CHECKING:
    from fwseal.base.statements import Subject

PREDICATE_TYPE = "https://slsa.dev/provenance/v1"
BUILD_TYPE = "urn:fwseal:recipe:v1"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """Everything that is known to have gone in; digests in lower-case hex."""

    recipe_sha256: str
    commit: str
    source_sha256: str
    compiler: str
    compiler_sha256: str
    parameters: dict[str, str]
    sandbox: str
    builder: str


def provenance(subjects: tuple[Subject, ...], inputs: Inputs) -> bytes:
    """Answer the statement's bytes; subjects are the unsigned payloads."""
    return statements.statement(
        subjects=subjects,
        predicate_type=PREDICATE_TYPE,
        predicate={
            "buildDefinition": {
                "buildType": BUILD_TYPE,
                "externalParameters": {
                    "recipe": {"sha256": inputs.recipe_sha256},
                    "parameters": inputs.parameters,
                },
                "internalParameters": {"sandbox": inputs.sandbox, "builds": 2},
                "resolvedDependencies": [
                    {
                        "name": "source",
                        "digest": {
                            "gitCommit": inputs.commit,
                            "sha256": inputs.source_sha256,
                        },
                    },
                    {"name": inputs.compiler, "digest": {"sha256": inputs.compiler_sha256}},
                ],
            },
            "runDetails": {"builder": {"id": f"urn:fwseal:builder:{inputs.builder}"}},
        },
    )
