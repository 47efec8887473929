"""A build sees its source and its compiler, ends in time, and gives back what it said it would."""

from __future__ import annotations

import hashlib
import os
import socket
import subprocess
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import projects
from build import benches
from fwseal.base.errors import Misuse, Unavailable
from fwseal.base.tables import Table
from fwseal.build import recipe, sandbox, source, toolchain, walls
from fwseal.build.sandbox import BuildFailed, Job
from fwseal.build.walls import Level
from needs import absent, need_program

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LEVELS = [Level.BUBBLEWRAP, Level.UNSHARE, Level.NONE]
PROBES = {
    Level.BUBBLEWRAP: ["bwrap", "--unshare-all", "--ro-bind", "/", "/", "true"],
    Level.UNSHARE: ["unshare", "--user", "--map-root-user", "--mount", "--net", "true"],
}


def works(level: Level) -> Level:
    """Answer the level; skips, with the reason, where it does not work on this machine."""
    if level in PROBES:
        need_program(PROBES[level][0])
        done = subprocess.run(PROBES[level], capture_output=True, text=True, check=False)
        if done.returncode:
            absent(f"{level.value} does not work here: {done.stderr.strip()}")
    return level


@pytest.fixture(params=LEVELS, ids=lambda level: level.value)
def level(request: pytest.FixtureRequest) -> Level:
    return works(request.param)


@pytest.fixture(params=list(PROBES), ids=lambda level: level.value)
def isolated(request: pytest.FixtureRequest) -> Level:
    return works(request.param)


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return projects.new(tmp_path_factory.mktemp("source") / "shop")


@pytest.fixture(scope="session")
def archive(shop: Path) -> bytes:
    return source.export(shop, "HEAD", ("examples/demo-plc", "targets/mps2-an385"))[1]


@pytest.fixture(scope="session")
def compiler() -> toolchain.Compiler:
    return toolchain.find("zig")


@pytest.fixture
def job(archive: bytes, compiler: toolchain.Compiler) -> Callable[..., Job]:
    """Answer how jobs are made: shell scripts over the demo's source."""

    def make(*scripts: str, outputs: tuple[str, ...] = ("out",)) -> Job:
        return Job(
            archive=archive,
            commands=tuple(("sh", "-c", script) for script in scripts),
            outputs=outputs,
            compiler=compiler,
            epoch=0,
        )

    return make


def said(job: Job, level: Level) -> str:
    return sandbox.build(job, level)["out"].decode()


@pytest.mark.parametrize("name", ["zig", "arm-none-eabi-gcc"])
def test_one_source_gives_the_same_bytes_at_every_level(shop: Path, name: str) -> None:
    need_program("make")
    if name != "zig":
        need_program(name)
    text = (shop / projects.RECIPE).read_text(encoding="utf-8")
    what = recipe.recipe(Table.parse(text, where="recipe"))
    commit, archive = source.export(shop, "HEAD", what.source.paths)
    compiler = toolchain.find(name)

    def built(level: Level) -> bytes:
        known = {"version": "1.1.0", "build-id": commit[:12], "cc": walls.cc(compiler, level)}
        job = Job(
            archive=archive,
            commands=recipe.expanded(what, known, ""),
            outputs=what.outputs,
            compiler=compiler,
            epoch=0,
        )
        (output,) = sandbox.build(job, level).values()
        return output

    plain = built(Level.NONE)
    assert plain.startswith(b"\x7fELF")
    for level in PROBES:
        assert built(works(level)) == plain, level


def test_the_best_level_that_works_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    works(Level.UNSHARE)
    assert sandbox.best_level() is works(Level.BUBBLEWRAP)
    wrapped = walls.wrapped
    broken = {Level.BUBBLEWRAP: "no-such-program"}

    def some(level: Level, *words: object, **others: object) -> list[str]:
        return [broken[level]] if level in broken else wrapped(level, *words, **others)

    monkeypatch.setattr(walls, "wrapped", some)
    assert sandbox.best_level() is Level.UNSHARE
    broken[Level.UNSHARE] = "false"
    assert sandbox.best_level() is Level.NONE


@pytest.fixture
def listener() -> Iterator[int]:
    """Answer a port of this machine on which somebody listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            server.accept()[0].close()

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        port: int = server.getsockname()[1]
        yield port
        if thread.is_alive():
            socket.create_connection(("127.0.0.1", port)).close()
        thread.join()


def connecting(port: int) -> str:
    """Answer a script that says whether it reached a port of this machine."""
    return f"bash -c ': < /dev/tcp/127.0.0.1/{port}' && echo reached > out || echo nobody > out"


def test_no_build_reaches_the_network(
    job: Callable[..., Job], isolated: Level, listener: int
) -> None:
    assert said(job(connecting(listener)), isolated) == "nobody\n"


def test_the_same_connection_succeeds_where_nothing_keeps_it_apart(
    job: Callable[..., Job], listener: int
) -> None:
    assert said(job(connecting(listener)), Level.NONE) == "reached\n"


def test_the_environment_is_the_same_for_every_build_and_not_ours(
    job: Callable[..., Job], level: Level, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FWSEAL_PIN", "12345678")
    monkeypatch.setenv("CFLAGS", "-O0")
    lines = said(job("env > out"), level).splitlines()
    assert not [line for line in lines if "12345678" in line]
    names = {line.partition("=")[0] for line in lines}
    assert names - {"PWD", "SHLVL", "_", "OLDPWD"} == set(walls.environment(0))


def test_the_host_is_not_visible_in_bubblewrap(job: Callable[..., Job], tmp_path: Path) -> None:
    level = works(Level.BUBBLEWRAP)
    (tmp_path / "secret").write_text("secret", encoding="ascii")
    script = f"ls -d {tmp_path} /root /home /etc/passwd /etc/hostname /var > out 2>/dev/null; true"
    assert said(job(script), Level.NONE).count("\n") >= 5
    assert said(job(script), level) == ""
    assert said(job("uname -n > out; pwd >> out; ls /tmp >> out"), level) == "build\n/build\n"
    assert int(said(job("ls /proc | grep -c '^[0-9]*$' > out"), level)) <= 6
    for place in ("/usr/bin", "/toolchain"):
        with pytest.raises(BuildFailed):
            sandbox.build(job(f"echo x > {place}/fwseal-was-here"), level)


def test_a_build_has_a_fixed_path_and_leaves_nothing(
    job: Callable[..., Job], isolated: Level, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert said(job("mkdir -p a/b; pwd > out"), isolated) in ("/build\n", "/mnt/build\n")
    assert list(tmp_path.iterdir()) == []


def marker() -> str:
    """Answer seconds to sleep that no other program sleeps."""
    return f"{int.from_bytes(os.urandom(3), 'big') + 10**8}"


def running(seconds: str) -> bool:
    """Answer whether the sleeper still runs, after a moment's grace."""
    for _ in range(60):
        wanted = b"sleep\0" + seconds.encode() + b"\0"
        found = False
        for process in Path("/proc").glob("[0-9]*"):
            try:
                found |= (process / "cmdline").read_bytes() == wanted
            except OSError:
                continue
        if not found:
            return False
        time.sleep(0.05)
    return True


@pytest.mark.parametrize("script", ["exec sleep {}", "sleep {} & wait"])
def test_a_build_that_never_ends_is_killed_with_all_it_started(
    job: Callable[..., Job], level: Level, script: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(walls, "TIME_LIMIT", 0.7)
    seconds, begin = marker(), time.monotonic()
    with pytest.raises(Unavailable):
        sandbox.build(job(script.format(seconds)), level)
    assert 0.6 < time.monotonic() - begin < 10
    assert not running(seconds)


def test_a_daemon_neither_outlives_its_build_nor_holds_it_up(
    job: Callable[..., Job], level: Level
) -> None:
    seconds, begin = marker(), time.monotonic()
    assert said(job(f"sleep {seconds} & echo done > out"), level) == "done\n"
    assert time.monotonic() - begin < 10
    assert not running(seconds)


def test_time_is_counted_over_all_commands_of_a_build(
    job: Callable[..., Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(walls, "TIME_LIMIT", 0.9)
    begin = time.monotonic()
    with pytest.raises(Unavailable):
        sandbox.build(job(*["sleep 0.5"] * 6), Level.NONE)
    assert time.monotonic() - begin < 2


def test_a_build_that_fills_the_disk_is_stopped_and_nothing_stays(
    job: Callable[..., Job], level: Level, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(sandbox, "DISK_LIMIT", 1 << 22)
    seconds, begin = marker(), time.monotonic()
    fills = "for n in 1 2 3 4 5 6 7 8; do head -c 1048576 /dev/urandom > f$n; done; "
    with pytest.raises(Unavailable, match="wrote more"):
        sandbox.build(job(f"{fills} sleep {seconds}"), level)
    assert time.monotonic() - begin < 20
    assert not running(seconds)
    assert list(tmp_path.iterdir()) == []
    assert sandbox.build(job("head -c 1048576 /dev/urandom > f; sleep 0.6; echo > out"), level)


@pytest.mark.parametrize(
    ("script", "limit"),
    [
        ("ulimit -t", walls.TIME_LIMIT),
        ("ulimit -d", walls.MEMORY_LIMIT / 1024),
        ("ulimit -f", walls.FILE_LIMIT / 512),
        ("ulimit -c", 0),
    ],
)
def test_what_one_process_may_use_is_the_same_at_every_level(
    job: Callable[..., Job], level: Level, script: str, limit: float
) -> None:
    assert said(job(f"{script} > out"), level) == f"{limit:.0f}\n"


def test_a_command_that_prints_or_writes_without_end_is_stopped(
    job: Callable[..., Job], level: Level, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(walls, "_BEGIN", walls._BEGIN + "ulimit -f 2048\n")
    for script in ("yes", "yes > out"):
        begin = time.monotonic()
        with pytest.raises(BuildFailed):
            sandbox.build(job(script), level)
        assert time.monotonic() - begin < 10


def test_a_build_has_one_user_in_every_sandbox(job: Callable[..., Job], level: Level) -> None:
    user = "0:0" if level is not Level.NONE else f"{os.getuid()}:{os.getgid()}"
    assert said(job("echo $(id -u):$(id -g) > out"), level) == f"{user}\n"


def test_a_command_that_fails_stops_the_build_and_the_end_of_its_output_is_kept(
    job: Callable[..., Job], level: Level
) -> None:
    with pytest.raises(BuildFailed) as caught:
        sandbox.build(job("seq 1000; echo oops >&2; exit 7", "echo never > out"), level)
    assert caught.value.output == (*map(str, range(990, 1001)), "oops")


def test_a_program_that_is_not_there_fails_the_build(archive: bytes, level: Level) -> None:
    job = Job(
        archive=archive, commands=(("no-such-program",),), outputs=(),
        compiler=toolchain.find("zig"), epoch=0,
    )  # fmt: skip
    with pytest.raises(BuildFailed):
        sandbox.build(job, level)


@pytest.mark.parametrize(
    "script",
    [
        "true",
        "mkdir out",
        "ln -s /etc/hostname out",
        "ln -s ../../../../etc/hostname out",
        "ln -s out out",
        "ln -s nothing out",
        "mkfifo out",
    ],
)
def test_an_output_that_is_no_file_of_the_build_is_misuse(
    job: Callable[..., Job], script: str
) -> None:
    with pytest.raises(Misuse):
        sandbox.build(job(script), Level.NONE)


def test_an_output_behind_a_link_inside_the_build_is_taken(job: Callable[..., Job]) -> None:
    assert said(job("mkdir d; echo yes > d/real; ln -s d/real out"), Level.NONE) == "yes\n"


def test_each_build_starts_fresh_with_empty_caches(job: Callable[..., Job], level: Level) -> None:
    script = "test ! -e trace && touch trace && test ! -e .cache && mkdir .cache && echo ok > out"
    assert [said(job(script), level) for _ in range(2)] == ["ok\n"] * 2


def test_modes_and_the_source_date_are_the_same_for_every_operator(
    job: Callable[..., Job], level: Level
) -> None:
    script = "stat -c %a examples/demo-plc/main.c > out; touch new; stat -c %a new >> out"
    before = os.umask(0o077)
    try:
        answer = said(job(f"{script}; umask >> out; echo $SOURCE_DATE_EPOCH >> out"), level)
    finally:
        os.umask(before)
    assert answer == "644\n644\n0022\n0\n"


def test_all_that_is_laid_out_was_last_changed_at_one_time_whenever_it_is_built(
    level: Level,
) -> None:
    tree = benches.archive({"a": b"", "folder/b": b""}, links={"link": "a"})
    said = benches.said("stat --format=%Y a folder folder/b link", level, source=tree)
    assert said.split() == [str(sandbox.LAID_OUT)] * 4


def test_the_compiler_that_is_hashed_is_the_one_the_build_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A program of its name earlier on the operator's PATH is neither run nor recorded."""
    name = "arm-none-eabi-gcc"
    real = Path(need_program(name))
    fake = tmp_path / name
    fake.write_text("#!/bin/sh\nexit 0\n", encoding="ascii")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    assert need_program(name) == str(fake)
    assert toolchain.find(name).sha256 == hashlib.sha256(real.read_bytes()).hexdigest()


def test_a_folder_that_cannot_be_written_is_unavailable(
    job: Callable[..., Job], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "file"))
    with pytest.raises(Unavailable):
        sandbox.build(job("true"), Level.NONE)
