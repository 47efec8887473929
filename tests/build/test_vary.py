"""Each variation is shown to bite: by a build that depends on it, and by its absence."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from build import benches
from fwseal.base.errors import Refused
from fwseal.base.reasons import Reason
from fwseal.build import sandbox, toolchain, vary
from fwseal.build.vary import Outcome, Varied
from fwseal.build.walls import USUAL, Level
from needs import need_program

if TYPE_CHECKING:
    from fwseal.build.run import Order

SEEDS = {
    "path": "pwd",
    "time": "date +%Y",
    "time zone": "date -d @0 +%H",
    "locale": "locale charmap",
    "home": "echo ~",
    "umask": "touch new; stat -c %a new",
    "user": 'echo "$USER"',
    "hostname": "uname -n",
    "cpu count": "nproc",
    "address layout": "for n in 1 2 3 4 5; do grep -F '[stack]' /proc/self/maps; done"
    " | sort -u | wc -l",
    "hash seed": "python3 -c 'print(list({chr(n) for n in range(97, 120)}))'",
    "directory order": "find part -type f",
    "source order": "ls -t part",
    "parallelism": "rm -f log; make -s -f part/parallel; cat log",
    "warm caches": 'mkdir -p .cache; cat .cache/date || echo "$SOURCE_DATE_EPOCH" > .cache/date;'
    " cat .cache/date",
    "toolchain path": "command -v $0",
}
"""A habit for each variation, by which a build depends on it."""

TOGETHER = {"source order": {"directory order"}, "directory order": {"source order"}}
"""What else may change: both lay the source out backwards, and a file system in memory, on which
a machine may keep its temporary files anyway, lists a directory by age."""

SOURCE = {f"part/{name}.c": name.encode() for name in "abcdefghijkl"} | {
    "part/parallel": b"all: a b\na:;@sleep 0.3; echo a >> log\nb:;@echo b >> log\n",
    "part/date.c": b"const char date[] = __DATE__;\n",
}
ZIG = toolchain.find("zig")


def output(name: str) -> str:
    return f"{name.replace(' ', '-')}.elf"


def order(
    commands: list[list[str]], outputs: list[str], *, compiler: toolchain.Compiler = ZIG
) -> Order:
    """Answer what builds those outputs from a source of several files."""
    text = benches.changed(
        ('[["cp", "{from}", "app.elf"]]', json.dumps(commands)),
        ('["app.elf"]\n\n[parameters]\nfrom = "made.elf"', json.dumps(outputs)),
        ('file = "app.bin"', f'file = "{outputs[0].replace(".elf", ".bin")}"'),
    )
    return dataclasses.replace(benches.order(text, benches.archive(SOURCE)), compiler=compiler)


def seeded(*, compiler: toolchain.Compiler = ZIG) -> Order:
    commands = [
        ["sh", "-c", f"( {script} ) > {output(name)} 2>/dev/null", "{cc}"]
        for name, script in SEEDS.items()
    ]
    return order(commands, [output(name) for name in SEEDS], compiler=compiler)


def tried(what: Order, level: Level) -> dict[str, Varied]:
    """Answer the matrix of a build that is the same when nothing varies."""
    job = vary.images.job(what, level)
    usual = sandbox.build(job, level)
    assert sandbox.build(job, level) == usual
    return {one.name: one for one in vary.matrix(what, level, usual)}


@pytest.fixture(scope="module")
def bubble() -> Level:
    for name in ("faketime", "python3", "make", "taskset", "setarch"):
        need_program(name)
    return benches.need_level(Level.BUBBLEWRAP)


@pytest.fixture(scope="module")
def found(bubble: Level) -> dict[str, Varied]:
    return tried(seeded(), bubble)


def test_every_variation_has_a_build_that_depends_on_it() -> None:
    assert {one.name for one in vary.variations(())} == set(SEEDS)


@pytest.mark.parametrize("name", SEEDS)
def test_a_build_that_depends_on_one_thing_differs_when_that_varies_and_else_not(
    found: dict[str, Varied], name: str
) -> None:
    differ = {other for other, one in found.items() if output(name) in one.outputs}
    assert {name} <= differ <= {name} | TOGETHER.get(name, set())
    assert found[name].outcome is Outcome.DIFFERS


def test_a_matrix_with_differences_is_refused_by_the_names_of_what_varied(
    found: dict[str, Varied],
) -> None:
    several = (
        found["umask"],
        found["locale"],
        dataclasses.replace(found["path"], outcome=Outcome.SAME),
    )
    with pytest.raises(Refused, match=r"umask\.elf depends on umask, locale$") as caught:
        vary.check(several)
    assert caught.value.reason is Reason.NOT_REPRODUCED
    assert caught.value.where == "umask.elf"
    vary.check(several[2:])


def test_a_variation_that_is_disabled_is_never_called_varied(
    bubble: Level, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = vary.variations
    monkeypatch.setattr(
        vary,
        "variations",
        lambda commands: tuple(dataclasses.replace(one, setting=USUAL) for one in table(commands)),
    )
    several = tried(seeded(), bubble)
    assert len(several) == len(SEEDS)
    for one in several.values():
        assert one.outcome is Outcome.NOT_VARIED, one
        assert one.but == "its canary saw nothing"


def test_what_a_static_compiler_does_not_see_is_said(found: dict[str, Varied]) -> None:
    assert {name: one.but for name, one in found.items() if one.but} == {"time": "the compiler"}


def test_a_compiler_of_the_system_sees_another_year_and_stands_elsewhere(bubble: Level) -> None:
    need_program("arm-none-eabi-gcc")
    gcc = toolchain.find("arm-none-eabi-gcc")
    script = "echo __DATE__ > part/d.c; env -u SOURCE_DATE_EPOCH $0 -E -P part/d.c > date.elf;"
    words = ["sh", "-c", f"{script} $0 -print-libgcc-file-name > libgcc.elf", "{cc}"]
    several = tried(order([words], ["date.elf", "libgcc.elf"], compiler=gcc), bubble)
    assert several["time"].outputs == ("date.elf",)
    assert several["toolchain path"].outputs == ("libgcc.elf",)
    assert {one.but for one in several.values()} == {"", "its canary saw nothing"}
    assert several["warm caches"].outcome is Outcome.NOT_VARIED


def test_a_cache_that_keeps_an_old_date_is_found(bubble: Level) -> None:
    """The key of zig's cache lacks SOURCE_DATE_EPOCH, where a source stayed in place (0.17)."""
    script = "$0 cc -Wno-date-time -c part/date.c -o d.elf"
    words = ["sh", "-c", script, "/toolchain/zig"]
    several = tried(order([words], ["d.elf"]), bubble)
    assert several["warm caches"].outcome is Outcome.DIFFERS


def test_a_build_that_fails_on_another_machine_only_is_refused_with_its_last_words(
    bubble: Level,
) -> None:
    words = ["sh", "-c", 'echo > a.elf; [ "$TZ" = UTC ] || { echo where am I; exit 3; }']
    several = tried(order([words], ["a.elf"]), bubble)
    assert several["time zone"].outcome is Outcome.FAILED
    assert several["time zone"].but == "where am I"
    with pytest.raises(Refused, match="the build depends on time zone"):
        vary.check(tuple(several.values()))


def test_a_machine_that_lacks_what_a_variation_takes_is_told(
    bubble: Level, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = vary.variations
    changes = {
        "directory order": {"folder": Path("/nonexistent")},
        "time": {"around": ("no-such-faketime",)},
    }
    monkeypatch.setattr(
        vary,
        "variations",
        lambda commands: tuple(
            dataclasses.replace(one, setting=dataclasses.replace(one.setting, **changes[one.name]))
            for one in table(commands)
            if one.name in changes
        ),
    )
    several = tried(seeded(), bubble)
    assert {one.outcome for one in several.values()} == {Outcome.NOT_VARIED}
    assert "the build folder cannot be used" in several["directory order"].but


@pytest.mark.parametrize("level", [Level.UNSHARE, Level.NONE], ids=lambda level: level.value)
def test_weaker_walls_say_what_they_cannot_vary(level: Level) -> None:
    benches.need_level(level)
    words = ["sh", "-c", "mkdir .cache; echo > .cache/a; echo > a.elf"]
    several = tried(order([words], ["a.elf"]), level)
    never = {name for name, one in several.items() if one.outcome is Outcome.NOT_VARIED}
    expected = {
        Level.UNSHARE: {"path", "toolchain path"},
        Level.NONE: {"hostname", "toolchain path"},  # its path is another one in every build
    }
    assert never == expected[level]
    assert several["user"].but == "the number"
    assert {one.outcome for one in several.values()} == {Outcome.SAME, Outcome.NOT_VARIED}
