"""Coverage-guided fuzzing of `target.check` with atheris: `make fuzz SECONDS=600`.

What reaches new code is kept in `build/fuzz/corpus`, what breaks a promise in `build/fuzz/found`.
`fuzz.keep` takes from the one into the repository's corpus.
"""

from __future__ import annotations

import argparse
import random
import sys
from pathlib import Path

import atheris

with atheris.instrument_imports(
    include=["fwseal.base", "fwseal.cose", "fwseal.suit", "fwseal.device"]
):
    from fuzz import shapes, target

ROOT = Path(__file__).resolve().parents[2]
CORPUS = Path(__file__).parent / "corpus"
MAX_SIZE = 8192


def main() -> None:
    """Fuzz, and end with the exit code of libFuzzer: 0 when nothing was found."""
    parser = argparse.ArgumentParser(prog="fuzz.run", description=__doc__)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0, help="0 draws one")
    options = parser.parse_args()
    work = ROOT / "build/fuzz"
    for folder in ("corpus", "found"):
        (work / folder).mkdir(parents=True, exist_ok=True)
    seen = [path.read_bytes() for path in sorted(CORPUS.iterdir())]
    if not seen:
        parser.error("the corpus is empty")

    def mutator(data: bytes, max_size: int, seed: int) -> bytes:
        chance = random.Random(seed)  # noqa: S311 - to be drawn again
        if chance.random() < 0.1:
            return bytes(atheris.Mutate(data, max_size))
        return shapes.mutated(data, chance.choice(seen), chance)[:max_size]

    arguments = [
        sys.argv[0], f"-max_len={MAX_SIZE}", "-timeout=20", "-rss_limit_mb=1024",
        f"-artifact_prefix={work}/found/", f"-seed={options.seed}",
    ]  # fmt: skip
    arguments += [f"-max_total_time={options.seconds}", "-print_final_stats=1"]
    arguments += [str(work / "corpus"), str(CORPUS)]
    atheris.Setup(arguments, target.check, custom_mutator=mutator)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
