"""A repository in a directory: nothing is ever half there, and one writer wins."""

from __future__ import annotations

import multiprocessing
import os
import resource
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from fwseal.base.errors import Unavailable
from fwseal.delivery.dirstore import DirStore

if TYPE_CHECKING:
    from multiprocessing.queues import SimpleQueue
    from multiprocessing.synchronize import Barrier

RACERS = multiprocessing.get_context("spawn")


def files(root: Path) -> dict[str, bytes]:
    """Answer every file below a folder but the lock."""
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file() and path.name != ".lock"
    }


def test_file_is_created_once_and_other_bytes_never_replace_it(tmp_path: Path) -> None:
    store = DirStore(tmp_path)
    assert store.read("a/b/file") is None
    assert store.create("a/b/file", b"one")
    assert store.create("a/b/file", b"one")
    assert not store.create("a/b/file", b"two")
    assert store.read("a/b/file") == b"one"
    assert files(tmp_path) == {"a/b/file": b"one"}


def test_swap_that_expects_other_bytes_changes_nothing_and_leaves_no_temporary_file(
    tmp_path: Path,
) -> None:
    store = DirStore(tmp_path)
    assert not store.swap("metadata/t", b"something", b"new")
    assert store.swap("metadata/t", None, b"one")
    assert not store.swap("metadata/t", None, b"two")
    assert not store.swap("metadata/t", b"zero", b"two")
    assert files(tmp_path) == {"metadata/t": b"one"}
    assert store.swap("metadata/t", b"one", b"two")
    assert files(tmp_path) == {"metadata/t": b"two"}


def test_every_new_folder_and_file_is_synced_before_the_call_returns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[str] = []
    real = os.fsync

    def noted(handle: int) -> None:
        synced.append(os.path.relpath(Path(f"/proc/self/fd/{handle}").readlink(), tmp_path))
        real(handle)

    monkeypatch.setattr(os, "fsync", noted)
    store = DirStore(tmp_path / "repo")
    store.create("targets/plc/file", b"data")
    folders = [one for one in synced if ".file." not in one]
    assert folders == [".", "repo", "repo/targets", "repo/targets/plc"]
    assert synced[-1] == "repo/targets/plc"
    synced.clear()
    store.create("targets/plc/file", b"data")  # made by somebody who may have crashed
    assert synced[-1] == "repo/targets/plc"
    synced.clear()
    store.swap("targets/plc/file", b"data", b"new")
    assert synced[-1] == "repo/targets/plc"
    assert len(synced) == 2


@pytest.mark.parametrize("blocked", ["", "metadata", "metadata/t"])
def test_file_or_folder_where_the_other_must_be_is_unavailable_and_nothing_is_left(
    blocked: str, tmp_path: Path
) -> None:
    root = tmp_path / "repo"
    place = root / blocked
    place.parent.mkdir(parents=True, exist_ok=True)
    if blocked.endswith("/t"):
        place.mkdir()
    else:
        place.write_bytes(b"in the way")
    before = files(tmp_path)
    store = DirStore(root)
    for attempt in (
        lambda: store.read("metadata/t"),
        lambda: store.create("metadata/t", b"new"),
        lambda: store.swap("metadata/t", None, b"new"),
    ):
        with pytest.raises(Unavailable):
            attempt()
    assert files(tmp_path) == before


def _confined(root: Path, how: str, answer: SimpleQueue[Any]) -> None:
    store, said = DirStore(root), []
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    if how == "full":
        import signal

        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    elif os.getuid() == 0:
        os.setegid(65534)
        os.seteuid(65534)
    for attempt in (
        lambda: store.create("metadata/new", b"x" * 5000),
        lambda: store.swap("metadata/t", b"old", b"x" * 5000),
    ):
        try:
            said.append(str(attempt()))
        except Unavailable:
            said.append("unavailable")
    os.seteuid(os.getuid())
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    answer.put(said)


@pytest.mark.parametrize("how", ["full", "forbidden"])
def test_disk_that_takes_no_more_is_unavailable_and_holds_what_it_held(
    how: str, tmp_path: Path
) -> None:
    for folder in (tmp_path, *tmp_path.parents):
        if folder.stat().st_uid == os.getuid() and folder != Path("/tmp"):
            folder.chmod(0o755)
    DirStore(tmp_path).create("metadata/t", b"old")
    if how == "forbidden":
        (tmp_path / "metadata").chmod(0o555)
    answer = RACERS.SimpleQueue()
    process = RACERS.Process(target=_confined, args=(tmp_path, how, answer))
    process.start()
    process.join(30)
    (tmp_path / "metadata").chmod(0o755)
    assert answer.get() == ["unavailable", "unavailable"]
    assert files(tmp_path) == {"metadata/t": b"old"}


def _race(root: Path, name: str, start: Barrier, answer: SimpleQueue[Any]) -> None:
    store = DirStore(root)
    start.wait(30)
    won = [
        number
        for number in range(60)
        if store.swap("t", None if number == 0 else store.read("t"), f"{number}".encode())
        and store.create(f"{number}", name.encode())
    ]
    answer.put((name, won))


def test_of_two_processes_that_create_and_swap_at_once_one_wins_each_round_and_it_is_kept(
    tmp_path: Path,
) -> None:
    start, answer = RACERS.Barrier(2), RACERS.SimpleQueue()
    racers = [
        RACERS.Process(target=_race, args=(tmp_path, name, start, answer)) for name in ("a", "b")
    ]
    for one in racers:
        one.start()
    won = dict(answer.get() for _ in racers)
    for one in racers:
        one.join(30)
    assert len(won) == 2
    assert not set(won["a"]) & set(won["b"])
    assert (0 in won["a"]) != (0 in won["b"])
    kept = files(tmp_path)
    assert set(kept) == {"t", *(str(number) for numbers in won.values() for number in numbers)}
    for name, numbers in won.items():
        assert all(kept[str(number)] == name.encode() for number in numbers)
    assert len(won["a"]) + len(won["b"]) >= 30
