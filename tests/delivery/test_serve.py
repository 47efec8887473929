"""The development server hands out files below its root, and nothing else."""

from __future__ import annotations

import http.client
import socket
import struct
import time
from typing import TYPE_CHECKING

import pytest

from fwseal.base.errors import Misuse, Unavailable
from fwseal.delivery.serve import LOOPBACK, serving

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SECRET = b"not for anybody"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Answer a repository with things in and around it that must not be served."""
    root = tmp_path / "repo"
    (root / "metadata").mkdir(parents=True)
    (root / "metadata" / "timestamp.json").write_bytes(b"{}")
    (root / "metadata" / "1.root.json").write_bytes(b"{1}")
    (root / "targets").mkdir()
    (root / "targets" / "a +é.bin").write_bytes(b"odd")
    (root / ".lock").write_bytes(SECRET)
    (root / "metadata" / ".timestamp.json.12").write_bytes(SECRET)
    (root / ".git").mkdir()
    (root / ".git" / "config").write_bytes(SECRET)
    (tmp_path / "secret").write_bytes(SECRET)
    (tmp_path / "repo-secret").write_bytes(SECRET)
    (root / "out").symlink_to(tmp_path / "secret")
    (root / "up").symlink_to(tmp_path)
    (root / "loop").symlink_to("loop")
    (root / "in").symlink_to("metadata/1.root.json")
    return root


@pytest.fixture
def port(root: Path) -> Iterator[int]:
    with serving(root) as url:
        yield int(url.rpartition(":")[2])


def ask(port: int, path: str, method: str = "GET") -> tuple[int, bytes, str]:
    """Send a path as it is; a client library would tidy it."""
    line = f"{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    with socket.create_connection((LOOPBACK, port), timeout=10) as link:
        link.sendall(line.encode("latin-1"))
        answer = http.client.HTTPResponse(link, method=method)
        answer.begin()
        with answer:
            return answer.status, answer.read(), str(answer.getheader("Cache-Control"))


def test_file_is_served_and_only_what_never_changes_may_be_cached(port: int) -> None:
    assert ask(port, "/metadata/1.root.json") == (200, b"{1}", "public, immutable")
    assert ask(port, "/metadata/timestamp.json") == (200, b"{}", "no-cache")
    assert ask(port, "/in") == (200, b"{1}", "public, immutable")
    assert ask(port, "/targets/a%20%2B%C3%A9.bin")[:2] == (200, b"odd")
    assert ask(port, "/metadata/1.root.json", "HEAD")[:2] == (200, b"")


def test_root_that_is_not_there_yet_is_not_cached_as_absent_and_is_served_once_it_is(
    port: int, root: Path
) -> None:
    assert ask(port, "/metadata/2.root.json") == (404, b"", "no-cache")
    (root / "metadata" / "2.root.json").write_bytes(b"{2}")
    assert ask(port, "/metadata/2.root.json")[:2] == (200, b"{2}")


@pytest.mark.parametrize(
    "path",
    [
        "/", "", "/metadata", "/metadata/", "/nothing", "/.lock", "/metadata/.timestamp.json.12",
        "/.git/config", "/%2egit/config", "/%2E%6cock", "/../secret", "/metadata/../../secret",
        "/%2e%2e/secret", "/%2e%2e%2fsecret", "/..%2fsecret", "/metadata/%2e%2e/1.root.json",
        "//etc/passwd", "/%2fetc%2fpasswd", "/etc/passwd", "/%252e%252e/secret", "/..\\secret",
        "/out", "/up/secret", "/up/repo/metadata/1.root.json", "/loop", "/../repo-secret",
        "/metadata/1.root.json%00", "/metadata/1.root.json\x00", "/metadata//1.root.json",
        "/metadata/./1.root.json", "/metadata/1.root.json/", "/metadata/1.root.json?x=1",
        "http://127.0.0.1/secret", "/%ff%fe", "/" + "a" * 5000,
    ],
)  # fmt: skip
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_path_that_is_no_plain_file_below_the_root_is_not_found_and_leaks_nothing(
    path: str, method: str, port: int
) -> None:
    if path == "/up/repo/metadata/1.root.json":
        # A way round that ends inside is inside.
        assert ask(port, path, method)[0] == 200
    else:
        status, body, _ = ask(port, path or "/", method)
        assert (status, body) == (404, b"")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_method_that_would_write_is_refused_and_the_repository_is_as_it_was(
    method: str, port: int, root: Path
) -> None:
    assert ask(port, "/metadata/1.root.json", method)[0] == 501
    assert (root / "metadata" / "1.root.json").read_bytes() == b"{1}"


def test_port_in_use_is_unavailable_and_the_first_server_keeps_serving(
    port: int, root: Path
) -> None:
    with pytest.raises(Unavailable), serving(root, port=port):
        pass
    assert ask(port, "/metadata/1.root.json")[0] == 200


@pytest.mark.parametrize("number", [-1, 65536, 1 << 40])
def test_number_that_is_no_port_is_misuse_and_nothing_is_served(number: int, root: Path) -> None:
    with pytest.raises(Misuse), serving(root, port=number):
        pass


def test_client_that_hangs_up_leaves_no_word_on_stderr_and_the_server_keeps_serving(
    port: int, root: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (root / "big").write_bytes(bytes(30_000_000))
    for request in (b"GET /big HTTP/1.1\r\n\r\n", b"GET /big HT"):
        link = socket.create_connection((LOOPBACK, port), timeout=10)
        link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        link.sendall(request)
        time.sleep(0.1)
        link.close()
    time.sleep(0.3)
    assert ask(port, "/metadata/1.root.json")[0] == 200
    assert capfd.readouterr() == ("", "")


def test_server_that_was_stopped_answers_nobody(root: Path) -> None:
    with serving(root) as url:
        port = int(url.rpartition(":")[2])
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((LOOPBACK, port), timeout=5)
