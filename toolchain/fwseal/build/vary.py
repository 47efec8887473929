"""A build is reproducible under what was varied, and a variation counts when its canary saw it.

Each variation is one more build of the same source on a machine that differs in one thing. Its
canary is a small script that must say something else there than in a usual build.
"""

from __future__ import annotations

import dataclasses
import enum
import json
from pathlib import Path
from typing import TYPE_CHECKING

from fwseal.base.errors import Refused, Unavailable
from fwseal.base.reasons import Reason
from fwseal.build import images, sandbox, toolchain, walls
from fwseal.build.sandbox import BuildFailed
from fwseal.build.walls import USUAL, Setting

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from fwseal.build.run import Order

FILE = "reports/variations.json"

ELSEWHERE = "/opt/elsewhere"
"""Where a varied toolchain stands."""

_FILES = "find . -type f ! -name '.canary*'"


class Outcome(enum.Enum):
    """What came of one variation."""

    SAME = "same"
    DIFFERS = "differs"
    FAILED = "failed"
    NOT_VARIED = "could not vary"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Variation:
    """One thing that differs: its name, the setting, and what its canaries say, by a script each.

    Where one of several canaries sees no difference, the variation took effect but for that one.
    """

    name: str
    setting: Setting
    canaries: Mapping[str, str]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Varied:
    """What came of a variation: the outputs that differ, or what kept it from all or some."""

    name: str
    outcome: Outcome
    outputs: tuple[str, ...] = ()
    but: str = ""


class Depends(Refused):
    """A variation changed an output or broke the build; `several` is the whole matrix."""

    def __init__(self, several: tuple[Varied, ...], what: str, *, where: str) -> None:
        super().__init__(Reason.NOT_REPRODUCED, what, where=where)
        self.several = several


def variations(commands: tuple[tuple[str, ...], ...]) -> tuple[Variation, ...]:
    """Answer all that a build may be put through; `commands` are its own.

    In a canary `{cc}` stands for the compiler.
    """
    memory = Path("/dev/shm")  # noqa: S108 - a file system in memory
    return (
        _variation("path", Setting(work="/srv/elsewhere/deep"), "pwd"),
        Variation(
            name="time",
            setting=Setting(variables={"NO_FAKE_STAT": "1"}, around=("faketime", "-f", "+400d")),
            canaries={
                "programs": "date +%Y-%m",
                "the compiler": "echo __DATE__ > .canary.c; "
                "env -u SOURCE_DATE_EPOCH {cc} -Wno-date-time -E -P .canary.c",
            },
        ),
        _variation("time zone", Setting(variables={"TZ": "XXX-13:45"}), "date +%z"),
        _variation("locale", Setting(variables={"LC_ALL": "C", "LANG": "C"}), "locale charmap"),
        _variation("home", Setting(variables={"HOME": "/var/tmp"}), "echo ~"),  # noqa: S108 - the sandbox's own
        _variation("umask", Setting(umask=0o027), "umask"),
        Variation(
            name="user",
            setting=Setting(user=1234, variables={"USER": "somebody"}),
            canaries={"USER": 'echo "$USER"', "the number": "id -u"},
        ),
        _variation("hostname", Setting(hostname="elsewhere"), "uname -n"),
        _variation("cpu count", Setting(around=("taskset", "1")), "nproc"),
        _variation(
            "address layout",
            Setting(around=("setarch", "-R")),
            "for n in 1 2 3 4 5; do grep -F '[stack]' /proc/self/maps; done | sort -u | wc -l",
        ),
        _variation(
            "hash seed",
            Setting(variables={"PYTHONHASHSEED": "4242"}),
            "python3 -c 'print(hash(chr(97)))'",
        ),
        _variation(
            "directory order", Setting(folder=memory, backwards=True), f"{_FILES} | sha256sum"
        ),
        _variation(
            "source order",
            Setting(backwards=True),
            f"{_FILES} -printf '%T@ %p\\n' | sort -n | sha256sum",
        ),
        _variation(
            "parallelism",
            Setting(variables={"MAKEFLAGS": "-j3"}),
            r"printf 'all: a b\na:;@sleep 0.3; echo a\nb:;@echo b\n' | make -sf -",
        ),
        _variation(
            "warm caches", Setting(before=commands), f"find . -path '*/{walls.CACHES}/*' | wc -l"
        ),
        _variation(
            "toolchain path",
            Setting(toolchain=ELSEWHERE, variables={"PATH": f"{ELSEWHERE}/bin:{toolchain.PATH}"}),
            "set -- {cc}; command -v $1",
        ),
    )


def _variation(name: str, setting: Setting, canary: str) -> Variation:
    return Variation(name=name, setting=setting, canaries={"": canary})


def matrix(order: Order, level: walls.Level, expected: Mapping[str, bytes]) -> tuple[Varied, ...]:
    """Answer what came of each variation of a build whose usual outputs are these.

    Raises as `sandbox.build` does, but for what a variation alone makes fail.
    """
    several = variations(images.job(order, level).commands)
    usual = [_said(order, level, USUAL, one) for one in several]
    return tuple(
        _varied(order, level, expected, one, before)
        for one, before in zip(several, usual, strict=True)
    )


def _varied(
    order: Order,
    level: walls.Level,
    expected: Mapping[str, bytes],
    one: Variation,
    usual: tuple[str, ...],
) -> Varied:
    try:
        kept = _kept(order, level, one, usual)
        if len(kept) == len(one.canaries):
            return Varied(name=one.name, outcome=Outcome.NOT_VARIED, but="its canary saw nothing")
        job = images.job(order, level, one.setting)
        outputs = sandbox.build(job, level, one.setting)
    except Unavailable as error:
        return Varied(name=one.name, outcome=Outcome.NOT_VARIED, but=str(error))
    except BuildFailed as error:
        return Varied(name=one.name, outcome=Outcome.FAILED, but="; ".join(error.output[-1:]))
    differs = tuple(name for name in job.outputs if outputs[name] != expected[name])
    return Varied(
        name=one.name,
        outcome=Outcome.DIFFERS if differs else Outcome.SAME,
        outputs=differs,
        but=", ".join(kept),
    )


def _kept(
    order: Order, level: walls.Level, one: Variation, usual: tuple[str, ...]
) -> tuple[str, ...]:
    """Answer for which canaries nothing varied; raises `Unavailable` where none can run."""
    try:
        found = _said(order, level, one.setting, one)
    except BuildFailed as error:
        raise Unavailable("; ".join(error.output[-1:]), hint="install it") from None
    pairs = zip(one.canaries, usual, found, strict=True)
    return tuple(name for name, before, after in pairs if after in (before, ""))


def _said(order: Order, level: walls.Level, setting: Setting, one: Variation) -> tuple[str, ...]:
    """Answer what each canary says in a setting; one that fails says nothing."""
    cc = walls.cc(order.compiler, level, setting)
    names = tuple(f".canary-{number}" for number in range(len(one.canaries)))
    scripts = (script.replace("{cc}", cc) for script in one.canaries.values())
    commands = tuple(
        ("sh", "-c", f"{{ {script}\n}} > {name} 2>/dev/null || : > {name}")
        for name, script in zip(names, scripts, strict=True)
    )
    job = dataclasses.replace(images.job(order, level, setting), commands=commands, outputs=names)
    found = sandbox.build(job, level, setting)
    return tuple(found[name].decode(errors="replace") for name in names)


def check(several: tuple[Varied, ...]) -> None:
    """Hold that no variation changed an output; raises `Refused` (not-reproduced)."""
    bad = [one for one in several if one.outcome in (Outcome.DIFFERS, Outcome.FAILED)]
    if not bad:
        return
    output = next((name for one in bad for name in one.outputs), "the build")
    names = ", ".join(one.name for one in bad)
    raise Depends(several, f"{output} depends on {names}", where=output)


def report(several: Iterable[Varied]) -> bytes:
    """Answer the file of a matrix."""
    found = {"schema_version": 1, "variations": body(several)}
    return (json.dumps(found, indent=1) + "\n").encode()


def body(several: Iterable[Varied]) -> list[dict[str, object]]:
    """Answer a matrix as JSON says it."""
    return [
        {"name": one.name, "outcome": one.outcome.value, "outputs": list(one.outputs),
         "but": one.but}
        for one in several
    ]  # fmt: skip
