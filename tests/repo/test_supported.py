"""SUPPORTED.md is compared with the tables the code itself refuses by."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from fwseal.base.digest import DigestAlgorithm
from fwseal.base.reasons import REASONS, Reason
from fwseal.cose.algorithms import TABLE, Algorithm, registered
from fwseal.cose.encryption import ContentAlgorithm, KeyAlgorithm
from fwseal.device import admission
from fwseal.suit import labels
from fwseal.suit.labels import Command, EnvelopeKey, ManifestKey, Parameter, spelled
from fwseal.suit.sequence import PARAMETERS, POLICY_COMMANDS

if TYPE_CHECKING:
    import enum

TEXT = (Path(__file__).resolve().parents[2] / "SUPPORTED.md").read_text(encoding="utf-8")

CONTROL = {
    Command.DIRECTIVE_SET_COMPONENT_INDEX, Command.DIRECTIVE_TRY_EACH,
    Command.DIRECTIVE_SET_PARAMETERS, Command.DIRECTIVE_OVERRIDE_PARAMETERS,
    Command.DIRECTIVE_RUN_SEQUENCE,
}  # fmt: skip
MEMBERS = {
    ManifestKey.VERSION, ManifestKey.SEQUENCE_NUMBER, ManifestKey.COMMON,
    ManifestKey.REFERENCE_URI, ManifestKey.COMPONENT_ID, ManifestKey.TEXT,
}  # fmt: skip
WORKS: dict[str, tuple[type[enum.IntEnum], set[enum.IntEnum]]] = {
    "SUIT envelope": (EnvelopeKey, set(EnvelopeKey) - {EnvelopeKey.DELEGATION, EnvelopeKey.COSWID}),
    "SUIT manifest": (ManifestKey, MEMBERS | labels.SEQUENCES),
    "SUIT common": (labels.CommonKey, set(labels.CommonKey)),
    "SUIT dependency metadata": (labels.DependencyKey, set(labels.DependencyKey)),
    "SUIT commands": (Command, admission.COMMANDS | CONTROL),
    "SUIT parameters": (Parameter, set(admission.PARAMETERS)),
    "SUIT text": (labels.TextKey, set(labels.TextKey)),
    "SUIT component text": (labels.TextComponentKey, set(labels.TextComponentKey)),
}


def rows(specification: str, state: str = "works") -> list[str]:
    """Answer the feature cells of the rows that are marked as compared."""
    name = re.escape(specification)
    found = re.findall(rf"^\| {name} ¹ \| (.*?) \| {state}", TEXT, re.MULTILINE)
    assert found
    return [cell for row in found for cell in row.split(", ")]


@pytest.mark.parametrize("registry", WORKS)
def test_the_labels_listed_are_the_labels_processed_and_every_other_is_listed_as_not(
    registry: str,
) -> None:
    kind, works = WORKS[registry]
    assert rows(registry) == [f"{spelled(one)} ({int(one)})" for one in sorted(works)]
    every = [cell for cell in rows(registry, "") if cell]
    assert sorted(every) == sorted(f"{spelled(one)} ({int(one)})" for one in kind)


def test_what_a_device_processes_is_what_the_codec_reads() -> None:
    assert admission.COMMANDS == POLICY_COMMANDS
    assert set(PARAMETERS) - admission.PARAMETERS == {Parameter.FETCH_ARGUMENTS}


def test_the_algorithms_listed_are_the_algorithms_verified() -> None:
    assert sorted(rows("COSE algorithms")) == sorted(map(registered, Algorithm))
    named = rows("COSE algorithms", "works where")
    assert named == [registered(one) for one in Algorithm if TABLE[one].deprecated]
    assert rows("SUIT digests") == [one.name for one in DigestAlgorithm]


def test_the_encryption_listed_is_the_encryption_opened() -> None:
    contents = rows("RFC 9052, firmware-encryption-26")
    assert sorted(contents) == sorted(one.name for one in ContentAlgorithm)
    assert sorted(rows("RFC 9053 key wrap")) == sorted(one.registered for one in KeyAlgorithm)


def test_every_reason_says_when_whose_fault_and_what_to_do() -> None:
    assert set(REASONS) == set(Reason)
    for entry in REASONS.values():
        assert entry.when
        assert entry.fault
        assert entry.remedy
