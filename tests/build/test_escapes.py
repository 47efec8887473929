"""A hostile source or recipe reaches nothing outside its build, and a full disk leaves nothing."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import os
import resource
import subprocess
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import projects
from build import benches
from build.benches import LAYOUT, archive, changed, job, order, parsed, program, said
from formats.refusals import misuse, refused
from fwseal.base.errors import Unavailable
from fwseal.base.reasons import Reason
from fwseal.build import recipe, run, sandbox, source, toolchain, walls
from fwseal.build.provenance import Builder
from fwseal.build.sandbox import BuildFailed
from fwseal.build.walls import Level
from needs import absent, need_program

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(params=list(Level), ids=lambda level: level.value)
def level(request: pytest.FixtureRequest) -> Level:
    return benches.need_level(request.param)


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Answer the empty folder in which builds are made."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    return folder


# The sandbox


def test_a_build_run_by_root_cannot_make_the_hosts_programs_writable() -> None:
    level = benches.need_level(Level.BUBBLEWRAP)
    name = f"/usr/fwseal-{os.getpid()}"
    try:
        script = f"mount -o remount,bind,rw /usr; umount /usr; touch {name}"
        answer = said(f"{script}; grep CapEff /proc/self/status", level)
        assert not Path(name).exists()
    finally:
        Path(name).unlink(missing_ok=True)
    assert answer.split()[-1] == "0" * 16


def test_what_a_build_writes_beside_its_folder_stays_in_bubblewrap(tmp_path: Path) -> None:
    level = benches.need_level(Level.BUBBLEWRAP)
    place = tmp_path / "written"
    script = f"mkdir -p {tmp_path}; echo x > {place}; echo x > /tmp/fwseal-x; cat {place}"
    assert said(script, level) == "x\n"
    assert not place.exists()
    assert not Path("/tmp/fwseal-x").exists()
    assert said(f"echo x > {place}", Level.NONE) == ""
    assert place.exists()


def test_the_host_has_one_name_in_every_sandbox() -> None:
    names = {said("uname -n", benches.need_level(level)) for level in benches.PROBES}
    assert names == {"build\n"}


@pytest.mark.parametrize("level", benches.PROBES, ids=lambda level: level.value)
def test_the_compiler_is_at_one_place_wherever_it_is_installed(
    level: Level, tmp_path: Path
) -> None:
    benches.need_level(level)
    home = tmp_path / "somewhere"
    home.mkdir()
    (home / "cc").write_text("#!/bin/sh\necho $0\n", encoding="ascii")
    (home / "cc").chmod(0o755)
    compiler = dataclasses.replace(benches.NO_COMPILER, home=home, cc="/toolchain/cc -c")
    words = ("sh", "-c", f"{walls.cc(compiler, level)} > said")
    one = dataclasses.replace(job(words, outputs=("said",)), compiler=compiler)
    place = "/toolchain/cc" if level is Level.BUBBLEWRAP else "/mnt/toolchain/cc"
    assert sandbox.build(one, level) == {"said": f"{place}\n".encode()}
    assert walls.cc(compiler, Level.NONE) == f"{home}/cc -c"


def test_a_failed_command_tells_its_exit_code(level: Level) -> None:
    with pytest.raises(BuildFailed) as caught:
        sandbox.build(job(("sh", "-c", "exit 42")), level)
    assert caught.value.code == 42


def test_folders_of_the_source_have_normal_modes_whatever_the_operators_umask() -> None:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as tar:
        folder = tarfile.TarInfo("src")
        folder.type, folder.mode = tarfile.DIRTYPE, 0o755
        tar.addfile(folder)
    before = os.umask(0o077)
    try:
        assert said("stat -c %a src", Level.NONE, source=data.getvalue()) == "755\n"
    finally:
        os.umask(before)


def test_an_output_too_large_to_hold_is_misuse_and_is_not_read() -> None:
    with misuse():
        sandbox.build(job(("truncate", "-s", "300M", "app.elf"), outputs=("app.elf",)), Level.NONE)


@pytest.mark.parametrize("content", ["#!/bin/sh\nexit 1\n", None], ids=["broken", "no program"])
def test_a_bubblewrap_that_does_not_work_is_passed_over(
    tmp_path: Path, content: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    benches.need_level(Level.UNSHARE)
    for name in ("sh", "mount", "true", "unshare"):
        (tmp_path / name).symlink_to(need_program(name))
    (tmp_path / "bwrap").write_text(content or "", encoding="ascii")
    (tmp_path / "bwrap").chmod(0o755 if content else 0o644)
    monkeypatch.setattr(toolchain, "PATH", str(tmp_path))
    assert sandbox.best_level() is Level.UNSHARE
    (tmp_path / "unshare").unlink()
    assert sandbox.best_level() is Level.NONE


@pytest.mark.parametrize("name", ["zig", "arm-none-eabi-gcc"])
def test_a_compiler_that_is_not_there_is_unavailable(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(toolchain, "PATH", str(tmp_path))
    monkeypatch.setitem(__import__("sys").modules, "ziglang", None)
    with pytest.raises(Unavailable) as caught:
        toolchain.find(name)
    assert caught.value.hint


# A full disk


@contextlib.contextmanager
def files_end_at(size: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_source_that_does_not_fit_the_disk_is_unavailable_and_nothing_stays(
    temporary: Path,
) -> None:
    big = archive({"big": bytes(1 << 20)})
    assert said("stat -c %s big", Level.NONE, source=big) == f"{1 << 20}\n"
    with files_end_at(1 << 16), pytest.raises(Unavailable) as caught:
        sandbox.build(job(source=big), Level.NONE)
    assert "TMPDIR" in caught.value.hint
    assert list(temporary.iterdir()) == []


def test_a_disk_that_fills_during_the_build_fails_it_and_nothing_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = tmp_path / "small"
    small.mkdir()
    mounted = ["mount", "-t", "tmpfs", "-o", "size=256k", "none", str(small)]
    if os.geteuid() or subprocess.run(mounted, check=False, capture_output=True).returncode:
        absent("only root mounts a small disk")
    try:
        monkeypatch.setattr("tempfile.tempdir", str(small))
        with pytest.raises(BuildFailed):
            sandbox.build(job(("dd", "if=/dev/zero", "of=x", "bs=4k", "count=999")), Level.NONE)
        with pytest.raises(Unavailable):
            sandbox.build(job(source=archive({"big": bytes(1 << 20)})), Level.NONE)
        assert list(small.iterdir()) == []
    finally:
        subprocess.run(["umount", small], check=True)


# A crafted commit


def crafted(folder: Path, *entries: tuple[bytes, bytes, bytes]) -> str:
    """Answer a commit of a tree that git's own commands would not make."""
    data = b"".join(mode + b" " + name + b"\0" + bytes.fromhex(oid.decode())
                    for mode, name, oid in entries)  # fmt: skip
    made = subprocess.run(
        ["git", "-C", folder, "hash-object", "-t", "tree", "-w", "--literally", "--stdin"],
        input=data, capture_output=True, check=True,
    )  # fmt: skip
    return projects.git(folder, "commit-tree", "-m", "x", made.stdout.decode().strip())


def test_a_tree_with_a_link_and_a_folder_of_one_name_writes_nothing_through_the_link(
    tmp_path: Path,
) -> None:
    tree, victim = tmp_path / "tree", tmp_path / "victim"
    victim.mkdir()
    (tree / "sub").mkdir(parents=True)
    (tree / "sub/evil").write_text("evil", encoding="ascii")
    (tree / "aim").symlink_to(victim)
    projects.git(tree, "init", "--quiet")
    projects.commit(tree)
    sub, aim = (projects.git(tree, "rev-parse", f"HEAD:{name}").encode() for name in ("sub", "aim"))
    link, folder = (b"120000", b"a", aim), (b"40000", b"a", sub)
    for entries in ((link, folder), (folder, link)):
        _, data = source.export(tree, crafted(tree, *entries), (".",))
        with tarfile.open(fileobj=io.BytesIO(data)) as tar:
            assert sorted(member.name for member in tar) == ["a", "a", "a/evil"]
        with misuse():
            sandbox.build(job(source=data), Level.NONE)
        assert list(victim.iterdir()) == []
    for name in (b"..", b"../up"):
        with misuse():
            source.export(tree, crafted(tree, (b"40000", name, sub)), (".",))


# The same commit, whatever was set for the repository


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    folder = tmp_path / "tree"
    (folder / "part").mkdir(parents=True)
    (folder / "part/a.c").write_bytes(b"int a;\n")
    (folder / ".gitattributes").write_text("*.c text filter=odd\n", encoding="ascii")
    projects.git(folder, "init", "--quiet")
    projects.commit(folder)
    return folder


@pytest.mark.parametrize(
    ("key", "value"), [("core.eol", "crlf"), ("filter.odd.smudge", "sed s/a/b/")]
)
def test_line_ends_and_filters_of_the_operator_do_not_reach_the_source(
    tree: Path, tmp_path: Path, key: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = source.export(tree, "HEAD", (".",))
    projects.git(tree, "config", key, value)
    shown = subprocess.run(
        ["git", "-C", tree, "archive", "HEAD"], capture_output=True, check=True
    ).stdout
    assert shown != before[1]
    assert source.export(tree, "HEAD", (".",)) == before
    projects.git(tree, "config", "--unset", key)
    (tmp_path / "global").write_text("", encoding="ascii")
    projects.git(tree, "config", "--file", str(tmp_path / "global"), key, value)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "global"))
    assert source.export(tree, "HEAD", (".",)) == before
    for name, content in (("COUNT", "1"), ("KEY_0", key), ("VALUE_0", value)):
        monkeypatch.setenv(f"GIT_CONFIG_{name}", content)
    assert source.export(tree, "HEAD", (".",)) == before


def test_attributes_that_no_commit_holds_do_not_reach_the_source(tree: Path) -> None:
    before = source.export(tree, "HEAD", (".",))
    (tree / ".git/info").mkdir(exist_ok=True)
    (tree / ".git/info/attributes").write_text("*.c export-ignore\n", encoding="ascii")
    assert source.export(tree, "HEAD", (".",)) == before


def test_a_project_in_a_folder_of_its_repository_is_exported_from_there(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tree.parent)
    for place in (tree / "part", Path("tree/part"), Path("tree")):
        path = "part/a.c" if place.name == "tree" else "a.c"
        _, data = source.export(place, "HEAD", (path,))
        with tarfile.open(fileobj=io.BytesIO(data)) as tar:
            assert tar.getnames()[-1] == path


@pytest.mark.parametrize("kind", ["sha1", "sha256"])
def test_a_work_tree_and_a_clone_export_what_the_repository_does(tmp_path: Path, kind: str) -> None:
    first = tmp_path / "first"
    first.mkdir()
    (first / "a.c").write_bytes(b"int a;\n")
    projects.git(first, "init", "--quiet", f"--object-format={kind}")
    whole = projects.commit(first)
    assert len(whole) == {"sha1": 40, "sha256": 64}[kind]
    projects.git(first, "worktree", "add", "--quiet", str(tmp_path / "second"))
    projects.git(first, "clone", "--quiet", "--shared", str(first), str(tmp_path / "third"))
    found = {source.export(tmp_path / name, whole, (".",)) for name in ("first", "second", "third")}
    assert len(found) == 1


def test_a_repository_without_files_is_misuse(tree: Path, tmp_path: Path) -> None:
    bare = tmp_path / "bare"
    projects.git(tree, "clone", "--quiet", "--bare", str(tree), str(bare))
    with misuse():
        source.export(bare, "HEAD", (".",))


def test_a_source_is_not_exported_without_room_for_git(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "missing"))
    with pytest.raises(Unavailable):
        source.export(tree, "HEAD", (".",))


# What a recipe asks for against what the device has


BUILDER = Builder(label="b", host="h", operator="o", kernel="k")


def built(text: str, made: bytes) -> run.Built:
    need_program("cp")
    return run.build(
        order(text, archive({"made.elf": made})),
        builder=BUILDER,
    )


def test_the_value_of_a_parameter_never_names_the_compiler() -> None:
    text = changed(
        ('"made.elf"', '"{cc}"'),
        ('["cp", "{from}", "app.elf"]', '["sh", "-c", "echo \\"$0\\" > app.elf", "{from}"]'),
    )
    (words,) = recipe.expanded(parsed(text), {"cc": "zig"}, "app")
    assert words[-1] == "{cc}"
    assert sandbox.build(job(words, outputs=("app.elf",)), Level.NONE) == {"app.elf": b"{cc}\n"}


@pytest.mark.parametrize(
    "edit",
    [
        ("load-address = 0x20000000", "load-address = 0x20001000"),
        ("sequence-number = 7", f"sequence-number = {2**32}"),
        ('version = "1.2.3"', 'version = "1.2"'),
    ],
)
def test_what_the_image_cannot_say_is_misuse(edit: tuple[str, str]) -> None:
    assert built(changed(), program()).release.sequence_number == 7
    with misuse():
        built(changed(edit), program())


def test_the_largest_image_fits_and_one_byte_more_is_refused() -> None:
    room = LAYOUT.max_image - LAYOUT.header_size - 12
    found = built(changed(), program(size=room))
    assert len(found.files["unsigned/app.bin"]) == LAYOUT.max_image
    with refused(Reason.STORAGE_FULL):
        built(changed(), program(size=room + 1))


@pytest.mark.parametrize(
    "edit",
    [
        ("uri = 'b'", "uri = '7/app.bin'"),
        ("file = 'b.bin'", "file = 'app.bin'"),
        ("format = 'raw'", "format = 'raw'\nload-address = 0"),
    ],
)
def test_payloads_that_share_a_name_or_are_loaded_nowhere_are_misuse(edit: tuple[str, str]) -> None:
    second = "[[payload]]\nfile = 'b.bin'\nuri = 'b'\ncomponent = ['01']\nformat = 'raw'\n\n"
    two = changed(
        ('outputs = ["app.elf"]', 'outputs = ["app.elf", "b.elf"]'),
        ("[manifest]", second + "[manifest]"),
    )
    assert len(parsed(two).payloads) == 2
    with misuse():
        parsed(two.replace(*edit))


def test_what_a_failed_build_prints_never_steers_the_terminal(tmp_path: Path) -> None:
    shop = projects.new(tmp_path / "shop")
    projects.here("keys", "init", "--dev", "--in", "files", cwd=shop)
    text = (shop / projects.RECIPE).read_text(encoding="utf-8")
    begin, end = text.index("commands = "), text.index("outputs = ")
    script = (
        "printf 'red \\\\033[31m\\\\033]0;title\\\\007\\\\r\\\\b\\\\302\\\\233 end\\\\n'; exit 3"
    )
    (shop / projects.RECIPE).write_text(
        text[:begin] + f'commands = [["sh", "-c", "{script}"]]\n' + text[end:], encoding="utf-8"
    )
    done = projects.fwseal("build", projects.RECIPE, "-o", "build/x", cwd=shop, code=1)
    assert "red" in done.err
    assert all(char.isprintable() or char == "\n" for char in done.err)
