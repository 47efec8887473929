"""Whatever fuzzing found worth keeping holds every promise; and a minute more finds nothing."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from fuzz import seeds, shapes, target
from needs import need_fuzzer

ROOT = Path(__file__).resolve().parents[2]


def test_every_input_of_the_corpus_holds_every_promise() -> None:
    corpus = sorted(seeds.CORPUS.iterdir())
    assert len(corpus) > 10
    for path in corpus:
        target.check(path.read_bytes())


@pytest.mark.parametrize("name", sorted(seeds.seeds()))
def test_the_fuzzer_reads_every_seed_and_past_its_signature(name: str) -> None:
    data = seeds.seeds()[name]
    tree = shapes.read(data)
    assert tree is not None
    assert tree.write() == data
    again = target.resealed(data)
    assert again is not None
    assert target.trusted(again), name


def test_the_corpus_is_small_and_a_promise_that_breaks_is_noticed() -> None:
    assert sum(path.stat().st_size for path in seeds.CORPUS.iterdir()) < 200_000
    with pytest.raises(target.Broken):
        target._same("this", b"one", b"other")


@pytest.mark.heavy
def test_a_minute_of_fuzzing_finds_nothing() -> None:
    path = os.pathsep.join(str(ROOT / one) for one in ("toolchain", "tests"))
    done = subprocess.run(
        [need_fuzzer(), "-m", "fuzz.run", "--seconds", "60"],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    assert "stat::number_of_executed_units" in done.stderr
