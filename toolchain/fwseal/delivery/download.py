"""Bytes over HTTP, never more and never longer than the caller allows."""

from __future__ import annotations

import http.client
import io
import time
import urllib.error
import urllib.parse
import urllib.request
from typing import TYPE_CHECKING, Any

from fwseal.base.errors import Misuse, Refused, Unavailable
from fwseal.base.ports import NotThere
from fwseal.base.reasons import Reason

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterator

    from fwseal.base.ids import Uri

_CHUNK = 65536
_GONE = (403, 404)


class _Clocked(io.RawIOBase):
    """What a socket receives; no wait outlasts the deadline, however often a byte drips in."""

    def __init__(self, link: socket.socket, end: float) -> None:
        self._link = link
        self._raw = link.makefile("rb", 0)
        self._end = end
        self._patience = link.gettimeout() or 0.0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:  # noqa: ANN401 - typeshed's Buffer is 3.12's
        left = self._end - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self._link.settimeout(min(left, self._patience))
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Handler(urllib.request.HTTPSHandler, urllib.request.HTTPHandler):
    """Opens http and https, status line and headers under the deadline too."""

    def __init__(self, end: float) -> None:
        super().__init__()
        self._end = end

    def http_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(self._clocked(http.client.HTTPConnection), req)

    def https_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(self._clocked(http.client.HTTPSConnection), req)

    def _clocked(
        self, kind: type[http.client.HTTPConnection]
    ) -> Callable[..., http.client.HTTPConnection]:
        end = self._end

        class Response(http.client.HTTPResponse):
            def __init__(self, sock: socket.socket, *rest: Any, **options: Any) -> None:  # noqa: ANN401 - as its base
                super().__init__(sock, *rest, **options)
                self.fp.close()
                self.fp = io.BufferedReader(_Clocked(sock, end))

        return type(kind.__name__, (kind,), {"response_class": Response})


class HttpFetcher:
    """A `Fetcher` below one base URL; `deadline` is seconds for one file, first to last byte."""

    def __init__(self, base: str, *, deadline: float = 300.0, patience: float = 10.0) -> None:
        try:
            parts = urllib.parse.urlsplit(base)
            usable = parts.scheme in ("http", "https") and parts.hostname and "@" not in base
            (parts.hostname or "").encode("idna")
            _ = parts.port  # a ValueError when it is none
        except ValueError:
            usable = False
        if not usable:
            raise Misuse(f"{base!r} is not an http or https URL")
        self._base = base.rstrip("/")
        self._deadline = deadline
        self._patience = patience

    def fetch(self, uri: Uri, *, max_size: int) -> Iterator[bytes]:
        """Answer the file's bytes.

        Raises `NotThere`, `Refused` (limit-exceeded, too-slow), `Unavailable`.
        """
        url = f"{self._base}/{urllib.parse.quote(uri)}"
        opener = urllib.request.build_opener(_Handler(time.monotonic() + self._deadline))
        try:
            with opener.open(url, timeout=self._patience) as answer:
                yield from self._body(answer, uri, max_size)
        except urllib.error.HTTPError as error:
            error.close()
            if error.code in _GONE:
                raise NotThere(uri) from None
            raise Unavailable(f"the server answered {error.code} for {uri}") from None
        except TimeoutError:
            raise Refused(
                Reason.TOO_SLOW,
                f"{uri} stopped arriving, or took longer than {self._deadline:g} s",
            ) from None
        except (OSError, http.client.HTTPException) as error:
            cause = getattr(error, "reason", error)
            raise Unavailable(
                f"cannot fetch {uri}: {cause}", hint="check the URL and that the server runs"
            ) from None

    def _body(self, answer: http.client.HTTPResponse, uri: Uri, max_size: int) -> Iterator[bytes]:
        total, promised = 0, answer.length
        # read1 answers what has come; read would wait for a full chunk, however slowly it drips.
        while total != promised and (piece := answer.read1(_CHUNK)):
            total += len(piece)
            if total > max_size:
                raise Refused(Reason.LIMIT_EXCEEDED, f"{uri} is longer than {max_size} bytes")
            yield piece
        if promised is not None and total < promised:
            # http.client takes a connection that closed early for the end of the file.
            raise Unavailable(f"{uri} stopped after {total} of {promised} bytes")
