"""A source archive is the one that was pinned, and is laid out the same wherever it came from."""

from __future__ import annotations

import functools
import gzip
import hashlib
import http.server
import io
import lzma
import tarfile
import threading
from typing import TYPE_CHECKING

import pytest

from build import benches
from fwseal.base.errors import Misuse, Refused, Unavailable
from fwseal.base.reasons import Reason
from fwseal.build import archive

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

ANY = benches.archive({"x-1.0/a.c": b"a", "x-1.0/lib/b.h": b"b"})
DIGEST = hashlib.sha256(ANY).hexdigest()


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def served(tmp_path: Path) -> Iterator[str]:
    folder = tmp_path / "served"
    folder.mkdir()
    (folder / "x.tar").write_bytes(ANY)

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    handler = functools.partial(Quiet, directory=folder)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def files(data: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        return {one.name: tar.extractfile(one).read() for one in tar if one.isreg()}


def test_a_file_is_named_from_the_recipes_folder(tmp_path: Path) -> None:
    (tmp_path / "x.tar").write_bytes(ANY)
    assert archive.fetched("x.tar", DIGEST, folder=tmp_path) == ANY


@pytest.mark.parametrize("place", ["x.tar", "/dev/null/x", "a\0b"])
def test_a_file_that_is_not_there_is_misuse(place: str, tmp_path: Path) -> None:
    with pytest.raises(Misuse):
        archive.fetched(place, DIGEST, folder=tmp_path)


def test_an_archive_with_another_digest_is_refused_and_not_kept(
    served: str, tmp_path: Path, cache: Path
) -> None:
    with pytest.raises(Refused) as caught:
        archive.fetched(f"{served}/x.tar", "00" * 32, folder=tmp_path)
    assert caught.value.reason is Reason.DIGEST_MISMATCH
    assert not list(cache.rglob("*"))


def test_what_was_fetched_once_needs_no_network_again(
    served: str, tmp_path: Path, cache: Path
) -> None:
    assert archive.fetched(f"{served}/x.tar", DIGEST, folder=tmp_path) == ANY
    gone = "http://127.0.0.1:9/x.tar"
    assert archive.fetched(gone, DIGEST, folder=tmp_path) == ANY
    (cache / "fwseal" / DIGEST).write_bytes(b"damaged")
    with pytest.raises(Unavailable):
        archive.fetched(gone, DIGEST, folder=tmp_path)


def test_an_address_without_an_archive_is_unavailable(served: str, tmp_path: Path) -> None:
    with pytest.raises(Unavailable) as caught:
        archive.fetched(f"{served}/gone.tar", DIGEST, folder=tmp_path)
    assert caught.value.hint


def test_an_answer_that_does_not_end_is_refused(
    served: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive, "MAX_ARCHIVE", 100)
    with pytest.raises(Refused) as caught:
        archive.fetched(f"{served}/x.tar", DIGEST, folder=tmp_path)
    assert caught.value.reason is Reason.LIMIT_EXCEEDED


@pytest.mark.parametrize("packed", [bytes, gzip.compress, lzma.compress])
def test_the_same_files_give_the_same_source_however_they_are_packed(
    packed: Callable[[bytes], bytes],
) -> None:
    assert archive.combined([("", packed(ANY))]) == archive.combined([("", ANY)])
    assert files(archive.combined([("", packed(ANY))])) == {"a.c": b"a", "lib/b.h": b"b"}


def test_order_times_and_owners_make_no_difference() -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, data in (("x-1.0/lib/b.h", b"b"), ("x-1.0/a.c", b"a")):
            member = tarfile.TarInfo(f"./{name}")
            member.size, member.mtime, member.uname, member.mode = 1, 99, "me", 0o640
            tar.addfile(member, io.BytesIO(data))
    assert archive.combined([("", out.getvalue())]) == archive.combined([("", ANY)])


def test_parts_lie_where_the_recipe_says_and_never_over_one_another() -> None:
    both = archive.combined([("", ANY), ("third/party", benches.archive({"c": b"c"}))])
    assert files(both) == {"a.c": b"a", "lib/b.h": b"b", "third/party/c": b"c"}
    with pytest.raises(Refused, match="one name"):
        archive.combined([("", ANY), ("lib", benches.archive({"b.h": b"other"}))])


def test_what_git_exports_keeps_its_folders_beside_an_archive() -> None:
    exported = benches.archive({"app/main.c": b"m"})
    assert files(archive.combined([("lib", ANY)], exported=exported)) == {
        "app/main.c": b"m",
        "lib/a.c": b"a",
        "lib/lib/b.h": b"b",
    }
    with pytest.raises(Refused, match="one name"):
        archive.combined([("", ANY)], exported=benches.archive({"a.c": b"other"}))


def made(kind: bytes, name: str = "x", aim: str = "y") -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        real = tarfile.TarInfo("real")
        real.size = 2
        tar.addfile(real, io.BytesIO(b"ok"))
        member = tarfile.TarInfo(name)
        member.type, member.linkname = kind, aim
        tar.addfile(member)
    return out.getvalue()


def test_a_hard_link_is_the_file_it_names() -> None:
    linked = archive.combined([("", made(tarfile.LNKTYPE, aim="real"))])
    assert files(linked) == {"real": b"ok", "x": b"ok"}


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"not a tar archive", Reason.MALFORMED),
        (b"", Reason.MALFORMED),
        (gzip.compress(ANY)[:-20], Reason.MALFORMED),
        (made(tarfile.LNKTYPE, aim="gone"), Reason.MALFORMED),
        (made(tarfile.REGTYPE, name="/etc/x"), Reason.MALFORMED),
        (made(tarfile.REGTYPE, name="../x"), Reason.MALFORMED),
        (made(tarfile.REGTYPE, name="a/../../x"), Reason.MALFORMED),
        (made(tarfile.REGTYPE, name=".."), Reason.MALFORMED),
        (made(tarfile.FIFOTYPE), Reason.UNSUPPORTED),
        (made(tarfile.CHRTYPE), Reason.UNSUPPORTED),
        (made(tarfile.REGTYPE, name="real"), Reason.MALFORMED),
    ],
)
def test_what_no_source_can_be_is_refused(data: bytes, reason: Reason) -> None:
    with pytest.raises(Refused) as caught:
        archive.combined([("", data)])
    assert caught.value.reason is reason


@pytest.mark.parametrize(("limit", "value"), [("MAX_FILES", 1), ("MAX_ARCHIVE", 1)])
def test_an_archive_that_unfolds_without_end_is_refused(
    limit: str, value: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive, limit, value)
    with pytest.raises(Refused) as caught:
        archive.combined([("", ANY)])
    assert caught.value.reason is Reason.LIMIT_EXCEEDED
