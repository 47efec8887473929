"""A read-only HTTP server for development and device tests; production serves plain files."""

from __future__ import annotations

import contextlib
import errno
import http.server
import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from fwseal.base.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Iterator

LOOPBACK = "127.0.0.1"


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_GET(self) -> None:
        self._answer(body=True)

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def _answer(self, *, body: bool) -> None:
        data = self.server.file(self.path)
        self.send_response(404 if data is None else 200)
        name = self.path.rpartition("/")[2]
        self.send_header(
            "Cache-Control", "no-cache" if name == "timestamp.json" else "public, immutable"
        )
        content = data or b""
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Content-Type", "application/octet-stream")
        self.end_headers()
        if body:
            with contextlib.suppress(OSError):
                self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Say nothing: stderr is the operator's."""


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, root: Path, port: int) -> None:
        super().__init__((LOOPBACK, port), _Handler)
        self._root = os.path.realpath(root)

    def file(self, path: str) -> bytes | None:
        """Answer a file below the root, and nothing else: no links out, no dot files, no lists."""
        wanted = os.path.realpath(os.path.join(self._root, path.lstrip("/")))  # noqa: PTH118
        inside = wanted.startswith(self._root + os.sep)
        if not inside or any(part.startswith(".") for part in path.split("/")):
            return None
        try:
            return Path(wanted).read_bytes()
        except OSError:
            return None


@contextlib.contextmanager
def serving(root: Path, *, port: int = 0) -> Iterator[str]:
    """Serve a repository on loopback while the context lasts; answer its URL without slash.

    Raises `Unavailable` for a port in use.
    """
    try:
        server = _Server(root, port)
    except OSError as error:
        used = error.errno == errno.EADDRINUSE
        raise Unavailable(
            f"cannot serve on port {port}: {error.strerror}",
            hint="choose another --port" if used else "choose a port above 1023",
        ) from None
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield f"http://{LOOPBACK}:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
