"""The mutation check finds every kind of refusal, and changes one thing at a time."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from mutation import run
from mutation.places import mutants, places
from mutation.survivors import SURVIVORS

if TYPE_CHECKING:
    from pathlib import Path

SOURCE = """
def one(value):
    if value is None or value < 3:
        raise Refused("small")
    for item in value:
        if item:
            continue
        raise unsupported(item)

class Two:
    def three(self, value):
        try:
            return value.four
        except AttributeError:
            raise Refused("none") from None

    def five(self, value):
        match value:
            case int() if value >= 7:
                raise Refused("seven")
            case _:
                raise AssertionError(value)
"""

FOUND = [
    ("one", "value is None or value < 3", "delete"),
    ("one", "value is None or value < 3", "invert"),
    ("one", "value is None or value < 3", "without value is None"),
    ("one", "value is None or value < 3", "without value < 3"),
    ("one", "value is None or value < 3", "<= in value < 3"),
    ("one", "item", "delete"),
    ("one", "item", "invert"),
    ("Two.three", "except AttributeError", "delete"),
    ("Two.five", "value >= 7", "delete"),
    ("Two.five", "value >= 7", "invert"),
    ("Two.five", "value >= 7", "> in value >= 7"),
]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "source.py"
    path.write_text(SOURCE, encoding="utf-8")
    return path


def test_every_kind_of_refusal_is_found_with_all_that_leads_to_it(source: Path) -> None:
    tree = ast.parse(SOURCE)
    assert [name for _, name in places(tree)] == ["one", "one", "Two.three", "Two.five"]
    found = [(one.function, one.guard, one.mutation) for one in mutants(source, "source")]
    assert sorted(found) == sorted(FOUND)


def test_a_mutant_differs_from_the_module_and_leaves_it_as_it_was(source: Path) -> None:
    whole = ast.unparse(ast.parse(SOURCE))
    texts = {ast.unparse(one.tree()) for one in mutants(source, "source")}
    assert len(texts) == len(FOUND)
    assert whole not in texts
    for one in mutants(source, "source"):
        one.tree()
        assert ast.unparse(one.original) == whole


def test_every_listed_survivor_has_a_reason() -> None:
    assert all(len(reason) > 20 for reason in SURVIVORS.values())


def test_every_pattern_of_the_scope_names_a_file_and_every_raise_a_refusal() -> None:
    for pattern in run.SCOPE:
        assert list(run.PACKAGE.glob(pattern)), pattern
    for name, path in run.modules().items():
        tree = ast.parse(path.read_text(encoding="utf-8"))
        if any(isinstance(node, ast.Raise) for node in ast.walk(tree)):
            assert places(tree), name
            assert list(mutants(path, name)), name


@pytest.mark.parametrize("gone", ["device/nothing*.py", "cose/no.py"])
def test_a_scope_that_names_a_file_no_longer_there_fails(
    gone: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run.report({}, [], whole=False) == 0
    monkeypatch.setattr(run, "SCOPE", (*run.SCOPE, gone))
    assert run.report({}, [], whole=False) == 1


def test_a_module_that_raises_and_was_not_changed_once_fails(source: Path) -> None:
    assert run.report({"source": source}, [], whole=False) == 1


@pytest.mark.heavy
def test_no_refusal_of_a_small_module_can_be_taken_away_unnoticed() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "mutation.run", "--module", "suit.text"],
        cwd=run.ROOT,
        env={**os.environ, "PYTHONPATH": "tests"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert ", 0 survived" in done.stdout
