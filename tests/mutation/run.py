"""Mutation check: `make mutants`, or `python -m mutation.run` with `tests` on the path.

pytest collects once, in this process. Every mutant then is a fork of it, in which the code of one
function is replaced and those tests run that execute the changed lines, until one fails.
"""

from __future__ import annotations

import argparse
import ast
import dataclasses
import functools
import gc
import importlib
import os
import pickle
import resource
import signal
import sys
import tempfile
import time
from pathlib import Path
from types import CodeType, FunctionType
from typing import TYPE_CHECKING

import coverage
import pytest

from mutation.places import mutants, places
from mutation.survivors import SURVIVORS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from mutation.places import Key, Mutant

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "toolchain/fwseal"
SCOPE = (
    "base/cbor.py", "base/spans.py", "cose/*.py", "suit/*.py", "device/admission*.py",
    "device/commands*.py", "device/conditions*.py", "device/directives*.py", "device/driver*.py",
    "device/effects*.py", "device/machine*.py", "device/processor*.py", "device/storage*.py",
)  # fmt: skip
"""What must refuse, and what must be noticed where it does not; each pattern names a file."""
TESTS = ("tests/formats", "tests/device")
"""A refusal of these rooms has a test here; those that build or boot are not asked."""
CHILDREN = 2
MEMORY = 4 << 30
PATIENCE, SLOWER = 5.0, 20.0
"""A test that takes 5 s and 20 times its usual time longer is one that hangs."""
KILLED, SURVIVED, BROKEN = 0, 3, 4


@dataclasses.dataclass(frozen=True, slots=True)
class Baseline:
    """What the unchanged code does: tests by the lines they run, their seconds, who failed."""

    lines: dict[str, dict[int, list[str]]]
    seconds: dict[str, float]
    failed: list[str]


@dataclasses.dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a mutant: killed, survived (with why) or broken."""

    mutant: Mutant
    killed: bool
    how: str


def modules(only: Sequence[str] = ()) -> dict[str, Path]:
    """Answer the modules in scope by name."""
    found = {
        str(path.relative_to(PACKAGE).with_suffix("")).replace(os.sep, "."): path
        for pattern in SCOPE
        for path in sorted(PACKAGE.glob(pattern))
        if path.name != "__init__.py"
    }
    return {name: path for name, path in found.items() if not only or name in only}


class Failures:
    """Notes the tests that fail; a fixture that fails counts."""

    def __init__(self) -> None:
        self.failed: list[str] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self.failed.append(report.nodeid)


class Check:
    """A pytest plugin whose loop over the tests is the whole mutation check."""

    def __init__(self, chosen: dict[str, Path], scratch: str, *, anyway: bool) -> None:
        self.chosen = chosen
        self.anyway = anyway
        self.scratch = scratch
        self.verdicts: list[Verdict] = []
        self.baseline = Baseline({}, {}, [])

    def pytest_configure(self) -> None:
        """Let hypothesis draw the same examples each time, and not shrink what fails."""
        import hypothesis  # not before pytest, which rewrites its plugins

        hypothesis.settings.register_profile(
            "mutants", derandomize=True, database=None, deadline=None,
            phases=(hypothesis.Phase.explicit, hypothesis.Phase.generate),
        )  # fmt: skip
        hypothesis.settings.load_profile("mutants")

    def pytest_report_teststatus(self) -> tuple[str, str, str]:
        """Keep pytest's dots away: mutants have verdicts of their own."""
        return "", "", ""

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        failures = Failures()
        session.config.pluginmanager.register(failures)
        self.baseline = in_child(lambda: measured(session, failures, self.chosen))
        if self.baseline.failed:
            say("these tests fail without any mutant:")
            say("\n".join(self.baseline.failed))
            if not self.anyway:
                return True
        for name in self.chosen:
            importlib.import_module(f"fwseal.{name}")  # some are imported late, by a test
        waiting = [one for name, path in self.chosen.items() for one in mutants(path, name)]
        items = {item.nodeid: item for item in session.items}
        running: dict[int, tuple[Mutant, int]] = {}
        queue = iter(waiting)
        while True:
            while len(running) < CHILDREN and (mutant := next(queue, None)) is not None:
                tests = self.tests(mutant)
                if tests:
                    work = functools.partial(self.attempt, session, failures, mutant, tests, items)
                    pid = fork(work)
                    running[pid] = (mutant, len(tests))
                else:
                    self.note(Verdict(mutant, killed=False, how="no test runs it"))
            if not running:
                return True
            pid, status = os.wait()
            self.note(judged(*running.pop(pid), status))

    def note(self, verdict: Verdict) -> None:
        self.verdicts.append(verdict)
        if not verdict.killed and verdict.mutant.key not in SURVIVORS:
            say(f"survived: {verdict.mutant} ({verdict.how})")

    def tests(self, mutant: Mutant) -> list[str]:
        """Answer the tests that run the mutant, those that were refused there first, then fast."""
        by_line = self.baseline.lines.get(str(mutant.path), {})
        near = {test for line in mutant.near for test in by_line.get(line, ())}
        wanted = {test for line in mutant.lines for test in by_line.get(line, ())} | near
        wanted -= set(self.baseline.failed)
        return sorted(wanted, key=lambda test: (test not in near, self.baseline.seconds[test]))

    def attempt(
        self,
        session: pytest.Session,
        failures: Failures,
        mutant: Mutant,
        tests: list[str],
        items: dict[str, pytest.Item],
    ) -> int:
        """Run in a fork: replace the code, run the tests until one fails."""
        os.environ["PYTEST_DEBUG_TEMPROOT"] = tempfile.mkdtemp(dir=self.scratch)
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        if not replaced(mutant):
            return BROKEN
        for test, following in pairs([items[test] for test in tests]):
            limit = PATIENCE + SLOWER * self.baseline.seconds[test.nodeid]
            signal.setitimer(signal.ITIMER_REAL, limit)
            session.config.hook.pytest_runtest_protocol(item=test, nextitem=following)
            if failures.failed:
                return KILLED
        return SURVIVED


def judged(mutant: Mutant, tests: int, status: int) -> Verdict:
    """Answer what the end of a child says of its mutant."""
    if os.WIFSIGNALED(status):
        name = signal.Signals(os.WTERMSIG(status)).name
        return Verdict(mutant, killed=True, how="hangs" if name == "SIGALRM" else name)
    code = os.waitstatus_to_exitcode(status)
    if code == BROKEN:
        return Verdict(mutant, killed=False, how="the code was not found in the running module")
    return Verdict(mutant, killed=code != SURVIVED, how=f"{tests} tests pass")


def pairs(items: list[pytest.Item]) -> Iterator[tuple[pytest.Item, pytest.Item | None]]:
    """Answer every test with the one after it."""
    yield from zip(items, [*items[1:], None], strict=True)


def measured(session: pytest.Session, failures: Failures, chosen: dict[str, Path]) -> Baseline:
    """Run every test once on the unchanged code and note which lines it runs."""
    tracer = coverage.Coverage(
        config_file=False, data_file=None, include=[str(path) for path in chosen.values()]
    )
    seconds: dict[str, float] = {}
    tracer.start()
    for item, following in pairs(session.items):
        begin = time.perf_counter()
        tracer.switch_context(item.nodeid)
        session.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
        seconds[item.nodeid] = time.perf_counter() - begin
    tracer.stop()
    data = tracer.get_data()
    lines = {
        str(path): {
            line: [one for one in contexts if one]
            for line, contexts in data.contexts_by_lineno(str(path)).items()
        }
        for path in chosen.values()
    }
    return Baseline(lines, seconds, sorted(set(failures.failed)))


def replaced(mutant: Mutant) -> bool:
    """Give every living copy of the mutant's function the changed code; answer if one was there."""
    wanted = {
        (code.co_qualname, code.co_firstlineno): code
        for code in functions(compile(mutant.tree(), mutant.path, "exec"))
        if any(line in range(*extent(code)) for line in mutant.lines)
    }
    found = False
    for one in gc.get_objects():
        if isinstance(one, FunctionType) and one.__code__.co_filename == str(mutant.path):
            code = wanted.get((one.__code__.co_qualname, one.__code__.co_firstlineno))
            if code is not None:
                try:
                    one.__code__ = code
                except ValueError:
                    continue  # a closure that holds another number of names
                found = True
    return found


def functions(code: CodeType) -> Iterator[CodeType]:
    """Answer the code of every function of a module, those of classes and functions included."""
    for one in code.co_consts:
        if isinstance(one, CodeType):
            if one.co_flags & 0x1:  # CO_OPTIMIZED: a function; the body of a class is not
                yield one
            # A function inside of another lives on where the outer one was called at import.
            yield from functions(one)


def extent(code: CodeType) -> tuple[int, int]:
    """Answer the first line of a function and the one after its last, inner ones included."""
    lines = [code.co_firstlineno] + [line for _, _, line in code.co_lines() if line]
    lines += [extent(one)[1] - 1 for one in code.co_consts if isinstance(one, CodeType)]
    return min(lines), max(lines) + 1


def fork(work: Callable[[], int]) -> int:
    """Run the work in a silent child whose exit code is the answer; answer its process id."""
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid == 0:
        code = KILLED
        try:
            code = work()
        finally:
            os._exit(code)
    return pid


def in_child(work: Callable[[], Baseline]) -> Baseline:
    """Answer what the work answers, done in a child: this process stays as it was."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.close(reading)
            with os.fdopen(writing, "wb") as pipe:
                pickle.dump(work(), pipe)
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        answer: Baseline = pickle.load(pipe)  # noqa: S301 - our own child wrote it
    os.waitpid(pid, 0)
    return answer


def say(line: str) -> None:
    """Print at once, past pytest's capture."""
    os.write(_OUT, f"{line}\n".encode())


_OUT = os.dup(1)


def report(chosen: dict[str, Path], verdicts: list[Verdict], *, whole: bool) -> int:
    """Print the numbers per module; answer 1 when something survived without a reason."""
    wrong = 0
    for pattern in SCOPE:
        if not list(PACKAGE.glob(pattern)):
            wrong += 1
            say(f"nothing is named {pattern}: the scope is out of date")
    say(f"{'module':<24} places  mutants  killed  hang  survived")
    for name, path in chosen.items():
        tree = ast.parse(path.read_text(encoding="utf-8"))
        refusals = len(places(tree))
        mine = [one for one in verdicts if one.mutant.module == name]
        if not any(isinstance(node, ast.Raise) for node in ast.walk(tree)):
            say(f"{name:<24} refuses nothing: it holds no raise")
            continue
        if not refusals or not mine:
            wrong += 1
            say(f"{name:<24} raises, and no refusal was found in it")
            continue
        killed = sum(one.killed for one in mine)
        hang = sum(one.how == "hangs" for one in mine)
        say(f"{name:<24} {refusals:6}  {len(mine):7}  {killed:6}  {hang:4}  {len(mine) - killed:8}")
    survived = {one.mutant.key for one in verdicts if not one.killed}
    for one in verdicts:
        if not one.killed and one.mutant.key not in SURVIVORS:
            wrong += 1
    for key in sorted(unneeded(survived, chosen, whole=whole)):
        wrong += 1
        say(f"listed as a survivor, and none survives: {key}")
    total = sum(not one.killed for one in verdicts)
    say(f"{len(verdicts)} mutants, {len(verdicts) - total} killed, {total} survived")
    return 1 if wrong else 0


def unneeded(survived: set[Key], chosen: dict[str, Path], *, whole: bool) -> Iterable[Key]:
    """Answer the entries of the list that name no survivor of what was checked."""
    return {key for key in SURVIVORS if (whole or key[0] in chosen) and key not in survived}


def main() -> int:
    """Check what the arguments choose; answer 0 when every mutant was killed or is listed."""
    parser = argparse.ArgumentParser(prog="mutation.run", description=__doc__)
    parser.add_argument("--module", action="append", default=[], help="such as suit.envelope")
    parser.add_argument("--list", action="store_true", help="name the mutants and run nothing")
    parser.add_argument("--anyway", action="store_true", help="without the tests that fail now")
    options = parser.parse_args()
    everything = modules()
    unknown = set(options.module) - set(everything)
    if unknown:
        parser.error(f"no module {sorted(unknown)}; there are {sorted(everything)}")
    chosen = {name: everything[name] for name in options.module or everything}
    if options.list:
        for name, path in chosen.items():
            for one in mutants(path, name):
                say(str(one))
        return 0
    begin = time.perf_counter()
    with tempfile.TemporaryDirectory() as scratch:
        os.environ["PYTEST_DEBUG_TEMPROOT"] = scratch
        check = Check(chosen, scratch, anyway=options.anyway)
        folders = [str(ROOT / folder) for folder in TESTS]
        arguments = ["-q", "-p", "no:cacheprovider", "-m", "not heavy", *folders]
        code = pytest.main([*arguments, f"--rootdir={ROOT}", f"--confcutdir={ROOT}"], [check])
    if code != pytest.ExitCode.OK or not check.baseline.seconds:
        say(f"the tests cannot be collected: pytest answers {int(code)}")
        return 2
    answer = report(chosen, check.verdicts, whole=not options.module) if check.verdicts else 2
    say(f"{time.perf_counter() - begin:.0f} s")
    return 2 if check.baseline.failed else answer


if __name__ == "__main__":
    sys.exit(main())
