"""Whatever a build reads, runs, looks for or talks to is known afterwards, at every level."""

from __future__ import annotations

import hashlib
import os
import socket
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from build import benches
from fwseal.base.errors import Refused, Unavailable
from fwseal.base.reasons import Reason
from fwseal.build import inputs, lock, packages, recorder, sandbox
from fwseal.build.lock import Declared
from fwseal.build.walls import Level
from needs import absent, need_program

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fwseal.build.inputs import Inputs

LEVELS = list(Level)
STDINT = "/usr/lib/gcc/arm-none-eabi/12.2.1/include/stdint.h"


@pytest.fixture(params=LEVELS, ids=lambda level: level.value)
def level(request: pytest.FixtureRequest) -> Level:
    need_program("strace")
    if not recorder.available():
        absent("strace does not work here")
    return benches.need_level(request.param)


def looked(script: str, level: Level, files: dict[str, bytes] | None = None) -> Inputs:
    """Answer what a shell script looks at, over a source of some files."""
    source = benches.archive({"here": b"", **(files or {})})
    return sandbox.recorded(benches.job(("sh", "-c", script), source=source), level)[1]


def sha256(path: str) -> str:
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def reason(found: Inputs, *host: str, isolated: bool = True, **files: str) -> Reason | None:
    """Answer why a build is refused that declares some programs of the host and no more."""
    try:
        lock.judge(found, Declared(host=("sh", *host), files=files), isolated=isolated)
    except Refused as refused:
        return refused.reason
    return None


def test_every_file_that_is_read_is_recorded_with_its_digest(level: Level) -> None:
    script = "cat source/a 'source/b c' /usr/share/common-licenses/GPL-2 > made; cat made > again"
    found = looked(script, level, {"source/a": b"1", "source/b c": b"22", "source/unread": b""})
    assert found.source == {
        "source/a": hashlib.sha256(b"1").hexdigest(),
        "source/b c": hashlib.sha256(b"22").hexdigest(),
    }
    assert found.files()["/usr/share/common-licenses/GPL-2"] == sha256(
        "/usr/share/common-licenses/GPL-2"
    )
    assert found.files()["/usr/bin/cat"] == sha256("/usr/bin/cat")
    assert not [name for name in found.files() if "made" in name or "again" in name]


def test_programs_their_interpreters_and_their_loader_are_inputs(level: Level) -> None:
    script = b"#!/usr/bin/tail -n1\nshown\n"
    found = looked("chmod +x tool; ./tool > made", level, {"tool": script})
    assert "/usr/bin/tail" in found.files()
    assert "tool" in found.source
    assert any("/ld-linux" in name for name in found.files())
    assert "/usr/bin/tail" in found.programs


def test_what_is_looked_for_in_vain_is_recorded_relative_names_included(level: Level) -> None:
    script = "mkdir sub; cd sub; cat ../gone /usr/include/gone.h || ( cd /usr; cat lib/gone ) || :"
    found = looked(script, level)
    assert {"/build/gone", "/usr/include/gone.h", "/usr/lib/gone"} <= set(found.missing)
    assert not [name for name in found.missing if "fwseal" in name]


def test_a_header_outside_of_the_source_is_undeclared_until_it_is_locked(level: Level) -> None:
    need_program("arm-none-eabi-gcc")
    files = {"a.c": b"#include <stdint.h>\nuint8_t x;\n"}
    found = looked("arm-none-eabi-gcc -ffreestanding -c a.c", level, files)
    assert found.files()[STDINT] == sha256(STDINT)
    assert reason(found) is Reason.UNDECLARED_INPUT
    locked = {one.name: one.sha256 for one in found.reads}
    assert reason(found, **locked) is None
    assert reason(found, **{**locked, STDINT: "00" * 32}) is Reason.UNDECLARED_INPUT
    del locked[STDINT]
    assert reason(found, **locked) is Reason.UNDECLARED_INPUT


@pytest.fixture
def outside() -> Iterator[Path]:
    """Answer a folder that no build has made, and that is not for temporary files."""
    with tempfile.TemporaryDirectory(dir="/var/tmp", prefix="fwseal-test-") as folder:
        yield Path(folder)


def test_a_header_that_would_be_found_first_is_caught_when_it_appears(
    level: Level, outside: Path
) -> None:
    """The search path names a folder outside of the source; nothing is there, then something is."""
    need_program("arm-none-eabi-gcc")
    if level is Level.BUBBLEWRAP:
        pytest.skip("bubblewrap shows no folder where a test could lay a header")
    (outside / "include").mkdir()
    script = f"arm-none-eabi-gcc -I{outside}/include -Ilib -c a.c"
    files = {"a.c": b"#include <conf.h>\n", "lib/conf.h": b"#define A 1\n"}
    before = looked(script, level, files)
    assert f"{outside}/include/conf.h" in before.missing
    locked = before.files()
    assert reason(before, **locked) is None
    (outside / "include/conf.h").write_bytes(b"#define A 2\n")
    after = looked(script, level, files)
    assert "lib/conf.h" not in after.source
    assert reason(after, **locked) is Reason.UNDECLARED_INPUT
    assert f"file {outside}/include/conf.h: found before another" in compared(before, after)


def test_a_header_of_the_source_that_is_found_first_is_told(level: Level) -> None:
    need_program("arm-none-eabi-gcc")
    script = "arm-none-eabi-gcc -Ifirst -Isecond -c a.c"
    files = {"a.c": b"#include <conf.h>\n", "second/conf.h": b"", "first/other.h": b""}
    before = looked(script, level, files)
    after = looked(script, level, {**files, "first/conf.h": b""})
    assert compared(before, before) == ()
    assert compared(before, after) == (
        "source first/conf.h: found before another",
        "source second/conf.h: gone",
    )


def compared(before: Inputs, after: Inputs) -> tuple[str, ...]:
    old, new = (inputs.kept(one.to_json({}), where="inputs.json") for one in (before, after))
    return inputs.changes(old, new)


def test_a_declared_program_may_read_its_libraries_and_nothing_else(level: Level) -> None:
    assert reason(looked("true", level)) is None
    libraries = looked("od -c here > made", level)
    assert reason(libraries) is Reason.UNDECLARED_INPUT
    assert reason(libraries, "od") is None
    header = looked("cat /usr/include/stdio.h > made", level)
    assert reason(header, "cat") is Reason.UNDECLARED_INPUT


def test_a_program_of_the_source_with_the_name_of_a_declared_one_is_not_trusted(
    level: Level,
) -> None:
    copied = looked("cp /usr/bin/cat od; ./od /usr/share/common-licenses/GPL-2 > made", level)
    assert reason(copied, "cp", "od") is Reason.UNDECLARED_INPUT


def test_a_listing_outside_of_the_source_is_an_input(level: Level) -> None:
    assert reason(looked("ls > made", level), "ls") is None
    found = looked("ls /usr/include > made", level)
    assert any(one.listed and one.name == "/usr/include" for one in found.reads)
    assert reason(found, "ls") is Reason.UNDECLARED_INPUT


def test_a_file_that_is_only_found_is_an_input(level: Level) -> None:
    found = looked("[ -f /usr/include/stdio.h ] && echo yes > made", level)
    assert "/usr/include/stdio.h" in found.files()
    assert reason(found) is Reason.UNDECLARED_INPUT


def test_what_others_left_in_the_temporary_folder_is_an_input(level: Level, tmp_path: Path) -> None:
    if level is Level.BUBBLEWRAP:
        pytest.skip("bubblewrap shows an empty temporary folder")
    left = tmp_path / "left"
    left.write_bytes(b"by others")
    found = looked(f"cat {left} > made; t=$(mktemp); echo x > $t; cat $t; rm $t", level)
    assert found.files().get(str(left)) == hashlib.sha256(b"by others").hexdigest()
    assert not [name for name in found.files() if name.startswith("/tmp/tmp.")]


PYTHON = "import socket,sys; s=socket.socket(); s.settimeout(1); s.connect(('{to}', {port}))"


def test_whoever_reaches_for_the_network_is_named_with_the_host(level: Level) -> None:
    if not Path("/usr/bin/python3").exists():
        absent("the system has no Python")
    script = "/usr/bin/python3 -c \"import socket; socket.getaddrinfo('a.example', 80)\" || :"
    found = looked(script, level)
    wanted = {(Path(one.program).name[:7], one.to) for one in found.network}
    if level is Level.BUBBLEWRAP:  # elsewhere the query may not even be sent
        assert ("python3", "a.example") in wanted
    assert any(program == "python3" and "port 53" in to for program, to in wanted)
    assert reason(found, "python3") is Reason.NETWORK_ATTEMPT


def test_a_connection_is_named_with_address_and_port(level: Level) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        code = PYTHON.format(to="127.0.0.1", port=port)
        found = looked(f'/usr/bin/python3 -c "{code}" || :', level)
    assert f"127.0.0.1 port {port}" in {one.to for one in found.network}
    assert reason(found, "python3") is Reason.NETWORK_ATTEMPT


def test_what_is_written_outside_of_the_build_is_refused(level: Level, outside: Path) -> None:
    found = looked(f"echo x > {outside}/made || :", level)
    wrote = (outside / "made").exists()
    assert wrote is (level is not Level.BUBBLEWRAP)
    assert reason(found, isolated=level is Level.BUBBLEWRAP) is (
        Reason.OUTSIDE_WRITE if wrote else None
    )


URING = """
import ctypes
buffer = ctypes.create_string_buffer(120)
handle = ctypes.CDLL(None).syscall(425, 1, buffer)
open("made", "w").write(str(handle))
"""


def test_a_program_that_reads_where_no_recorder_sees_it_is_refused(level: Level) -> None:
    if not Path("/usr/bin/python3").exists():
        absent("the system has no Python")
    job = benches.job(
        ("/usr/bin/python3", "uring.py"),
        source=benches.archive({"uring.py": URING.encode()}),
        outputs=("made",),
    )
    outputs, found = sandbox.recorded(job, level)
    if outputs["made"].startswith(b"-"):
        pytest.skip("this kernel has io_uring turned off")
    assert reason(found, "python3") is Reason.UNRECORDED


@pytest.mark.parametrize(
    "script",
    [
        "cat /proc/self/root/usr/include/stdio.h > made",
        "cd /usr/include; cat /proc/self/cwd/stdio.h > /dev/null",
        "exec 3</usr/include; cat /proc/self/fd/3/stdio.h > made",
        "ln -s /usr/include inc; cat inc/stdio.h > made",
        "cat /build/../usr/include/stdio.h > made",
        "cp /usr/include/stdio.h made; cat made > /dev/null",
        "cd /usr; cd include; cat < stdio.h > /dev/null",
    ],
)
def test_a_detour_to_a_file_is_no_other_file(level: Level, script: str) -> None:
    if "/build/.." in script and level is not Level.BUBBLEWRAP:
        script = script.replace("/build/..", "")
    found = looked(script, level)
    assert "/usr/include/stdio.h" in found.files()
    assert reason(found, "cat", "cp", "ln") is Reason.UNDECLARED_INPUT


def test_a_hard_link_into_the_source_is_a_read_of_what_it_names(
    level: Level, outside: Path
) -> None:
    (outside / "secret").write_bytes(b"by others")
    try:
        found = looked(f"ln {outside}/secret made || :; cat made || :", level)
    except Unavailable as error:  # a link more is a change of the file
        assert "changed while the build read it" in error.message  # noqa: PT017 - one of two
        return
    if level is Level.BUBBLEWRAP:
        assert f"{outside}/secret" not in found.files()
        return
    assert f"{outside}/secret" in found.files()
    assert reason(found, "ln", "cat") is Reason.UNDECLARED_INPUT


@pytest.mark.parametrize(
    "script",
    [
        "mkdir inc; mount --bind /usr/include inc && cat inc/stdio.h > made",
        "unshare -Urm sh -c 'mkdir inc; mount --bind /usr/include inc && cat inc/stdio.h > made'",
        "unshare -Ur --root=/usr /bin/true || unshare -Ur --root=/ true",
    ],
)
def test_a_build_that_changes_what_paths_mean_is_refused(level: Level, script: str) -> None:
    need_program("unshare")
    if level is Level.NONE and os.getuid() == 0 and not script.startswith("unshare"):
        pytest.skip("root would mount for the whole machine")
    if benches.said(f"( {script} ) && echo done", level).splitlines()[-1:] != ["done"]:
        pytest.skip("the kernel lets nobody mount here")
    found = looked(f"{script} || :", level)
    assert reason(found, "mkdir", "mount", "cat", "unshare", "true") is Reason.UNRECORDED


UNTRACED = """
#define _GNU_SOURCE
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
static char stack[65536];
static int child(void *unused) { return fopen("/usr/include/stdio.h", "r") == NULL; }
int main(void) {
  int status = 1, pid = clone(child, stack + sizeof stack, CLONE_UNTRACED | SIGCHLD, NULL);
  waitpid(pid, &status, 0);
  return status;
}
"""


def test_a_process_that_nobody_may_trace_is_refused(level: Level) -> None:
    need_program("cc")
    found = looked("cc a.c && ./a.out", level, {"a.c": UNTRACED.encode()})
    assert {one.to for one in found.unseen} == {"CLONE_UNTRACED"}
    assert reason(found, "cc") is Reason.UNRECORDED


def test_memory_that_others_share_is_no_folder_of_the_build(level: Level) -> None:
    place = Path(f"/dev/shm/fwseal-test-{os.getpid()}")
    place.write_bytes(b"by others")
    try:
        found = looked(
            f"cat {place} || :; echo x > /dev/shm/own; cat /dev/shm/own; rm /dev/shm/own", level
        )
    finally:
        place.unlink()
    assert (str(place) in found.files()) is (level is not Level.BUBBLEWRAP)
    assert "/dev/shm/own" not in found.files()


def test_the_same_source_is_recorded_alike_at_every_level() -> None:
    need_program("strace")
    script = "mkdir out; cat source/a > out/made; cat source/gone || :"
    found = [
        looked(script, benches.need_level(one), {"source/a": b"1"}) for one in LEVELS
    ]  # fmt: skip
    assert len({tuple(sorted(one.source.items())) for one in found}) == 1
    assert all("/build/source/gone" in one.missing for one in found)
    programs = [sorted(one.programs) for one in found]
    assert programs[0] == programs[1] == programs[2]


def test_the_outputs_of_a_watched_build_are_those_of_any_other(level: Level) -> None:
    job = benches.job(("sh", "-c", "echo made > out"), outputs=("out",))
    assert sandbox.recorded(job, level)[0] == sandbox.build(job, level) == {"out": b"made\n"}


def test_a_failed_command_tells_its_exit_code_through_the_recorder(level: Level) -> None:
    with pytest.raises(sandbox.BuildFailed) as caught:
        looked("echo last words; exit 7", level)
    assert caught.value.code == 7
    assert caught.value.output == ("last words",)


def test_the_build_cannot_reach_what_is_written_down_about_it(level: Level) -> None:
    if level is Level.NONE:
        pytest.skip("without a sandbox a build reaches all that its user reaches")
    found = looked("ls -d /mnt/* /tmp/fwseal-trace-* /*trace* > made || :; cat made", level)
    assert not [one for one in found.reads if "fwseal-trace" in one.name]


def test_digests_are_remembered_until_a_file_changes_by_whatever_means(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    file = tmp_path / "file"
    file.write_bytes(b"one")
    later = 1 << 62
    first = recorder.Digests(later)
    assert first.of(file) == hashlib.sha256(b"one").hexdigest()
    first.keep()
    monkeypatch.setattr(recorder, "sha256", lambda _: "read again")
    assert recorder.Digests(later).of(file) == hashlib.sha256(b"one").hexdigest()
    times = file.stat()
    file.write_bytes(b"two")
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert recorder.Digests(later).of(file) == "read again"


def test_a_cache_of_digests_that_is_damaged_is_no_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    (tmp_path / "fwseal").mkdir()
    file = tmp_path / "file"
    file.write_bytes(b"one")
    for damaged in (b"", b"[]", b"{"):
        (tmp_path / "fwseal/digests.json").write_bytes(damaged)
        assert recorder.Digests(1 << 62).of(file) == hashlib.sha256(b"one").hexdigest()


def test_an_input_that_changes_under_a_build_ends_it(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"one")
    with pytest.raises(Unavailable, match="changed while"):
        recorder.Digests(file.stat().st_ctime_ns - 1).of(file)


def test_what_is_no_file_has_no_digest(tmp_path: Path) -> None:
    assert recorder.Digests(0).of(tmp_path) == ""
    assert recorder.Digests(0).of(tmp_path / "gone") == ""


def test_a_recorder_that_does_not_work_is_not_available(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert recorder.available() is False
    broken = tmp_path / "strace"
    broken.write_text("#!/bin/sh\nexit 1\n", encoding="ascii")
    broken.chmod(0o755)
    assert recorder.available() is False


def test_a_files_package_is_the_one_dpkg_names() -> None:
    need_program("dpkg-query")
    python = str(Path(sys.executable).resolve())
    found = packages.owners(["/usr/bin/dash", "/usr/bin/make", "/usr/bin/no such file", python])
    assert found["/usr/bin/dash"].name == "dash"
    assert found["/usr/bin/make"].name == "make"
    assert found["/usr/bin/make"].version.endswith(("amd64", "arm64"))
    assert "/usr/bin/no such file" not in found


def test_without_a_package_manager_files_are_nobodys(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(packages, "PATH", str(tmp_path))
    assert packages.owners(["/usr/bin/make"]) == {}
    assert packages.owners([]) == {}
    grouped = lock.grouped({"/usr/bin/make": "00" * 32}, {})
    assert [(one.kind, dict(one.files)) for one in grouped] == [
        ("unowned", {"/usr/bin/make": "00" * 32})
    ]


def test_a_distribution_without_a_name_is_taken_for_debian(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    need_program("dpkg-query")

    def nameless() -> dict[str, str]:
        raise OSError

    monkeypatch.setattr("platform.freedesktop_os_release", nameless)
    assert packages.owners(["/usr/bin/make"])["/usr/bin/make"].purl.startswith("pkg:deb/debian/")


def test_a_package_manager_that_does_not_answer_is_none(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "dpkg-query").write_text("no program", encoding="ascii")
    (tmp_path / "dpkg-query").chmod(0o755)
    monkeypatch.setattr(packages, "PATH", str(tmp_path))
    assert packages.owners(["/usr/bin/make"]) == {}


def test_an_input_that_may_not_be_read_ends_the_build(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"one")

    def denied(_: Path) -> str:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(recorder, "sha256", denied)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(Unavailable, match="permission denied"):
        recorder.Digests(1 << 62).of(file)


def test_a_program_without_a_loader_has_none(tmp_path: Path) -> None:
    for content in (b"", b"\x7fELF", b"text", b"\x7fELF" + bytes(200)):
        (tmp_path / "program").write_bytes(content)
        assert recorder.loader(tmp_path / "program") == ""
    assert recorder.loader(tmp_path / "gone") == ""


def test_a_device_is_an_input_that_nobody_can_declare(level: Level) -> None:
    found = looked("head -c 4 /dev/urandom > made; exec 3< /dev/ptmx || :", level)
    assert reason(found, "head") is None
    assert "/dev/urandom" in found.machine
    device = next((one for one in ("/dev/loop-control", "/dev/kvm", "/dev/fuse")
                   if os.access(one, os.R_OK)), None)  # fmt: skip
    if level is Level.BUBBLEWRAP or device is None:
        return
    assert reason(looked(f"exec 3< {device}", level), "head") is Reason.UNDECLARED_INPUT


def test_a_path_that_leaves_the_source_again_is_the_one_it_leads_to(level: Level) -> None:
    found = looked(
        "[ -f ../build/../usr/include/stdio.h ] || :; mkdir sub; [ -f sub/../here ]", level
    )
    names = {*found.files(), *found.source, *found.missing}
    assert not [name for name in names if ".." in name]
    assert "here" in found.source
