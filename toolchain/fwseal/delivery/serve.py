"""A read-only HTTP server for development and device tests; production serves plain files."""

from __future__ import annotations

import contextlib
import errno
import http.server
import os
import threading
import urllib.parse
from pathlib import Path
from typing import TYPE_CHECKING

from fwseal.base.errors import Misuse, Unavailable

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
        # What is not there yet may be there soon: the next root is asked for by its number.
        kept = data is not None and not self.path.endswith("/timestamp.json")
        self.send_header("Cache-Control", "public, immutable" if kept else "no-cache")
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
        self._root = Path(os.path.realpath(root))

    def file(self, path: str) -> bytes | None:
        """Answer a file below the root, and nothing else: no links out, no dot files, no lists."""
        parts = urllib.parse.unquote(path).lstrip("/").split("/")
        if any(not part or part.startswith(".") for part in parts):
            return None
        try:
            wanted = Path(os.path.realpath(self._root.joinpath(*parts)))
            return wanted.read_bytes() if wanted.is_relative_to(self._root) else None
        except (OSError, ValueError):
            return None

    def handle_error(self, *_: object) -> None:
        """Say nothing of a client that hung up."""


@contextlib.contextmanager
def serving(root: Path, *, port: int = 0) -> Iterator[str]:
    """Serve a repository on loopback while the context lasts; answer its URL without slash.

    Raises `Unavailable` for a port in use, `Misuse` for a number that is none.
    """
    try:
        server = _Server(root, port)
    except OverflowError:
        raise Misuse(f"{port} is not a port", hint="choose 1024 to 65535, or 0 for any") from None
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
