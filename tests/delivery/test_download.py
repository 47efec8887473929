"""A download never has more bytes, and never takes longer, than its caller allows."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from fwseal.base.errors import Misuse, Refused, Unavailable
from fwseal.base.ids import Uri
from fwseal.base.ports import NotThere
from fwseal.base.reasons import Reason
from fwseal.delivery.download import HttpFetcher

Speaker = Callable[[socket.socket], None]


@contextlib.contextmanager
def server(speak: Speaker) -> Iterator[str]:
    """Serve whatever a test says, on loopback; each connection is one call of `speak`."""
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(0.1)
    done = threading.Event()

    def run() -> None:
        while not done.is_set():
            try:
                link, _ = listener.accept()
            except TimeoutError:
                continue
            with link, contextlib.suppress(OSError):
                link.settimeout(5)
                link.recv(65536)
                speak(link)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        done.set()
        thread.join(10)
        listener.close()


def says(head: str, body: bytes = b"") -> Speaker:
    return lambda link: link.sendall(f"HTTP/1.1 {head}\r\n\r\n".encode() + body)


def fetch(url: str, *, max_size: int = 1000, deadline: float = 5, patience: float = 2) -> bytes:
    source = HttpFetcher(url, deadline=deadline, patience=patience)
    return b"".join(source.fetch(Uri("some file"), max_size=max_size))


def test_file_of_exactly_the_size_allowed_arrives_whole() -> None:
    with server(says("200 OK\r\nContent-Length: 1000", bytes(1000))) as url:
        assert fetch(url, max_size=1000) == bytes(1000)
        assert fetch(f"{url}/", max_size=1000) == bytes(1000)
    with server(says("200 OK\r\nConnection: close", bytes(1000))) as url:
        assert fetch(url) == bytes(1000)
    with server(says("200 OK\r\nTransfer-Encoding: chunked", b"3\r\nabc\r\n0\r\n\r\n")) as url:
        assert fetch(url) == b"abc"
    with server(says("200 OK\r\nContent-Length: 0")) as url:
        assert fetch(url) == b""


@pytest.mark.parametrize("head", ["Content-Length: 1001", "Connection: close"])
def test_file_of_one_byte_too_many_is_refused_and_none_of_the_excess_is_answered(head: str) -> None:
    with server(says(f"200 OK\r\n{head}", bytes(1001))) as url:
        got = bytearray()
        pieces = HttpFetcher(url).fetch(Uri("file"), max_size=1000)
        with pytest.raises(Refused) as caught:
            got.extend(byte for piece in pieces for byte in piece)
        assert caught.value.reason is Reason.LIMIT_EXCEEDED
        assert len(got) <= 1000


@pytest.mark.parametrize(
    ("head", "body"),
    [
        ("Content-Length: 1000", b"only this"),
        ("Content-Length: 1000", b""),
        ("Transfer-Encoding: chunked", b"1000\r\nonly this"),
        ("Transfer-Encoding: chunked", b"9\r\nonly this\r\n"),
    ],
)
def test_body_that_ends_early_is_unavailable_and_never_taken_for_the_file(
    head: str, body: bytes
) -> None:
    with server(says(f"200 OK\r\n{head}", body)) as url, pytest.raises(Unavailable):
        fetch(url)


@pytest.mark.parametrize("status", ["404 Not Found", "403 Forbidden"])
def test_file_that_is_gone_is_not_there(status: str) -> None:
    with server(says(f"{status}\r\nContent-Length: 2", b"no")) as url, pytest.raises(NotThere):
        fetch(url)


@pytest.mark.parametrize(
    "head", ["500 Oops", "503 Busy", "401 Who", "301 Moved\r\nLocation: /x", "99 What", "nonsense"]
)
def test_server_that_cannot_answer_is_unavailable(head: str) -> None:
    speak = says(f"{head}\r\nContent-Length: 0")
    with server(speak) as url, pytest.raises(Unavailable):
        fetch(url)


def test_server_that_is_not_there_is_unavailable() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    for scheme in ("http", "https"):
        with pytest.raises(Unavailable):
            fetch(f"{scheme}://127.0.0.1:{port}")


def test_server_that_says_nothing_is_unavailable() -> None:
    with server(lambda _: None) as url, pytest.raises(Unavailable):
        fetch(url)


def drip(head: bytes, piece: bytes) -> Speaker:
    def speak(link: socket.socket) -> None:
        link.sendall(head)
        for _ in range(80):
            link.sendall(piece)
            time.sleep(0.05)

    return speak


@pytest.mark.threat("TUF:slow-retrieval")
@pytest.mark.parametrize(
    ("head", "piece"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n", b"x"),
        (b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n", b"x"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
        (b"HTTP/1.1 200 OK\r\nX: ", b"x"),
        (b"HTTP/1.1 200 OK\r\n", b"X: y\r\n"),
        (b"", b"H"),
    ],
    ids=["length", "close", "chunked", "header", "headers", "status"],
)
def test_server_that_drips_is_cut_off_at_the_deadline_though_it_never_falls_silent(
    head: bytes, piece: bytes
) -> None:
    with server(drip(head, piece)) as url:
        start = time.monotonic()
        with pytest.raises(Refused) as caught:
            fetch(url, deadline=0.5)
        assert caught.value.reason is Reason.TOO_SLOW
        assert 0.4 < time.monotonic() - start < 2.5


def test_deadline_that_passed_while_the_caller_was_busy_ends_the_download() -> None:
    with server(says("200 OK\r\nContent-Length: 900000", bytes(900_000))) as url:
        pieces = HttpFetcher(url, deadline=0.3).fetch(Uri("file"), max_size=900_000)
        assert next(pieces)
        time.sleep(0.4)
        with pytest.raises(Refused) as caught:
            list(pieces)
        assert caught.value.reason is Reason.TOO_SLOW


def test_server_that_falls_silent_is_too_slow() -> None:
    def silent(link: socket.socket) -> None:
        link.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx")
        time.sleep(1)

    with server(silent) as url, pytest.raises(Refused) as caught:
        fetch(url, patience=0.2)
    assert caught.value.reason is Reason.TOO_SLOW


@pytest.mark.parametrize(
    "url",
    [
        "", "file:///etc/passwd", "ftp://host/", "http://", "http:///x", "https://user@host/",
        "http://:password@host/", "http://[::1", "http://host..name/", "//host/x", "http://:80/",
        f"http://{'a' * 70}/",
    ],
)  # fmt: skip
def test_base_that_is_no_plain_http_url_is_misuse(url: str) -> None:
    with pytest.raises(Misuse):
        HttpFetcher(url)


@pytest.mark.parametrize("url", ["http://127.0.0.1:port", "http://127.0.0.1:99999"])
def test_base_with_an_impossible_port_is_misuse(url: str) -> None:
    with pytest.raises(Misuse):
        HttpFetcher(url)
