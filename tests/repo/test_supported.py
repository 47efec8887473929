"""SUPPORTED.md is compared with the tables the code itself refuses by."""

from __future__ import annotations

import re
from pathlib import Path

from fwseal.base.reasons import REASONS, Reason
from fwseal.cose.algorithms import Algorithm, registered
from fwseal.device import admission
from fwseal.suit.labels import spelled

TEXT = (Path(__file__).resolve().parents[2] / "SUPPORTED.md").read_text(encoding="utf-8")


def rows(specification: str) -> list[str]:
    """Answer the feature cells of the rows that are marked as compared."""
    found = re.findall(rf"^\| {specification} ¹ \| (.*?) \| works", TEXT, re.MULTILINE)
    assert found
    return [name for row in found for name in row.split(", ")]


def test_the_algorithms_listed_are_the_algorithms_verified() -> None:
    assert sorted(rows("COSE algorithms")) == sorted(map(registered, Algorithm))


def test_the_commands_listed_are_the_commands_processed() -> None:
    assert sorted(rows("SUIT commands")) == sorted(map(spelled, admission.COMMANDS))


def test_the_parameters_listed_are_the_parameters_processed() -> None:
    assert sorted(rows("SUIT parameters")) == sorted(map(spelled, admission.PARAMETERS))


def test_every_reason_says_when_whose_fault_and_what_to_do() -> None:
    assert set(REASONS) == set(Reason)
    for entry in REASONS.values():
        assert entry.when
        assert entry.fault
        assert entry.remedy
