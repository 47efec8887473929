"""What is built is what was committed, and nothing of the operator's own."""

from __future__ import annotations

import io
import os
import tarfile
from typing import TYPE_CHECKING

import pytest

import projects
from fwseal.base.errors import Misuse, Unavailable
from fwseal.build import sandbox, source, toolchain
from fwseal.build.sandbox import Job, Level

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Answer a small repository."""
    folder = tmp_path / "tree"
    for name in ("src/a.c", "src/inner/b.c", "other/secret.c", ":(top)odd/x.c"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(f"/* {name} */\n", encoding="utf-8")
    (folder / "src/run.sh").write_text("#!/bin/sh\n", encoding="utf-8")
    (folder / "src/run.sh").chmod(0o755)
    projects.git(folder, "init", "--quiet")
    projects.commit(folder)
    return folder


def names(archive: bytes) -> set[str]:
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        return {member.name for member in tar if member.isfile()}


def content(archive: bytes, name: str) -> bytes:
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        file = tar.extractfile(name)
        assert file
        return file.read()


def test_only_the_named_paths_at_the_commit_are_exported(tree: Path) -> None:
    commit, archive = source.export(tree, "HEAD", ("src",))
    assert commit == projects.git(tree, "rev-parse", "HEAD")
    assert names(archive) == {"src/a.c", "src/inner/b.c", "src/run.sh"}
    some = source.export(tree, commit, ("src/a.c", "other"))[1]
    assert names(some) == {"src/a.c", "other/secret.c"}


def test_nothing_of_the_work_tree_or_the_index_comes_along(tree: Path) -> None:
    before = source.export(tree, "HEAD", ("src",))
    (tree / "src/a.c").write_text("changed", encoding="utf-8")
    (tree / "src/new.c").write_text("new", encoding="utf-8")
    (tree / "src/inner/b.c").unlink()
    (tree / "src/staged.c").write_text("staged", encoding="utf-8")
    projects.git(tree, "add", "src/staged.c")
    (tree / ".gitattributes").write_text("*.c export-ignore\n", encoding="utf-8")
    assert source.export(tree, "HEAD", ("src",)) == before


def test_an_older_commit_is_exported_as_it_was(tree: Path) -> None:
    old, before = source.export(tree, "HEAD", ("src",))
    (tree / "src/a.c").write_text("newer", encoding="utf-8")
    new = projects.commit(tree)
    assert source.export(tree, old, ("src",)) == (old, before)
    assert content(source.export(tree, new, ("src",))[1], "src/a.c") == b"newer"


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("tar.umask", "0077"),
        ("core.autocrlf", "true"),
        ("core.attributesFile", "{}/attributes"),
    ],
)
def test_the_operators_git_configuration_does_not_change_the_archive(
    tree: Path, tmp_path: Path, key: str, value: str
) -> None:
    before = source.export(tree, "HEAD", ("src",))
    (tmp_path / "attributes").write_text("*.c export-ignore\n", encoding="utf-8")
    projects.git(tree, "config", key, value.format(tmp_path))
    assert source.export(tree, "HEAD", ("src",)) == before


def test_a_replaced_object_does_not_stand_in_for_the_commit(tree: Path) -> None:
    good, before = source.export(tree, "HEAD", ("src",))
    (tree / "src/a.c").write_text("evil", encoding="utf-8")
    bad = projects.commit(tree)
    projects.git(tree, "replace", good, bad)
    assert projects.git(tree, "show", f"{good}:src/a.c") == "evil"
    assert source.export(tree, good, ("src",)) == (good, before)


def test_the_repository_of_a_git_hook_is_not_taken_for_the_projects(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = source.export(tree, "HEAD", ("src",))
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "elsewhere"))
    monkeypatch.setenv("GIT_WORK_TREE", str(tmp_path))
    assert source.export(tree, "HEAD", ("src",)) == before


@pytest.mark.parametrize("path", ["*", "src/*.c", ":(exclude)src", ":/", ":!src", "none", "SRC"])
def test_a_path_is_a_name_and_never_a_pattern(tree: Path, path: str) -> None:
    with pytest.raises(Misuse):
        source.export(tree, "HEAD", (path,))


def test_a_folder_with_an_odd_name_is_exported_by_it(tree: Path) -> None:
    assert names(source.export(tree, "HEAD", (":(top)odd",))[1]) == {":(top)odd/x.c"}


@pytest.mark.parametrize("commit", ["0" * 40, "f" * 64, "HEADx"])
def test_a_commit_that_is_not_there_is_misuse(tree: Path, commit: str) -> None:
    with pytest.raises(Misuse) as caught:
        source.export(tree, commit, ("src",))
    assert caught.value.hint


def test_no_repository_no_commit_and_no_git_are_told_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    with pytest.raises(Misuse) as outside:
        source.export(empty, "HEAD", ("src",))
    assert "git init" in outside.value.hint
    projects.git(empty, "init", "--quiet")
    with pytest.raises(Misuse) as unborn:
        source.export(empty, "HEAD", ("src",))
    assert "commit your work" in unborn.value.hint
    monkeypatch.setenv("PATH", str(empty))
    with pytest.raises(Unavailable):
        source.export(empty, "HEAD", ("src",))


def test_a_git_that_does_not_answer_is_given_up(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    git = tmp_path / "git"
    git.write_text("#!/bin/sh\nexec sleep 30\n", encoding="ascii")
    git.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(source, "TIME_LIMIT", 0.2)
    with pytest.raises(Unavailable):
        source.export(tree, "HEAD", ("src",))


def test_a_repository_of_another_user_is_named_as_such(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    with pytest.raises(Misuse) as caught:
        source.export(tree, "HEAD", ("src",))
    assert "clone" in caught.value.hint


def unpacked(tree: Path, script: str) -> str:
    job = Job(
        archive=source.export(tree, "HEAD", (".",))[1],
        commands=(("sh", "-c", script),),
        outputs=("out",),
        compiler=toolchain.find("zig"),
        epoch=0,
    )
    return sandbox.build(job, Level.NONE)["out"].decode()


def test_the_source_is_laid_out_with_its_links_and_modes(tree: Path) -> None:
    (tree / "src/link.c").symlink_to("a.c")
    (tree / "src/up.c").symlink_to("../other/secret.c")
    (tree / "src/empty.c").write_bytes(b"")
    (tree / "..dots").symlink_to("src")
    projects.commit(tree)
    cat = "cat src/link.c src/up.c ..dots/a.c > out"
    assert unpacked(tree, f"{cat}; stat -c '%a %s' src/run.sh src/empty.c >> out") == (
        "/* src/a.c */\n/* other/secret.c */\n/* src/a.c */\n755 10\n644 0\n"
    )


@pytest.mark.parametrize(
    "links",
    [
        {"passwd": "/etc/passwd"},
        {"src/passwd": "/etc/passwd"},
        {"src/inner/up": "../../../x"},
        {"src/inner/root": "../..", "around": "src/inner/root/../x"},
    ],
    ids=str,
)
def test_a_link_out_of_the_source_is_misuse(tree: Path, links: dict[str, str]) -> None:
    for name, target in links.items():
        (tree / name).symlink_to(target)
    projects.commit(tree)
    with pytest.raises(Misuse):
        unpacked(tree, "echo built > out")
