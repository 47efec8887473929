"""Bytes over HTTP, never more and never longer than the caller allows."""

from __future__ import annotations

import http.client
import time
import urllib.error
import urllib.parse
import urllib.request
from typing import TYPE_CHECKING

from fwseal.base.errors import Misuse, Refused, Unavailable
from fwseal.base.ports import NotThere
from fwseal.base.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fwseal.base.ids import Uri

_CHUNK = 65536
_GONE = (403, 404)


class HttpFetcher:
    """A `Fetcher` below one base URL; `deadline` is seconds for one file, first to last byte."""

    def __init__(self, base: str, *, deadline: float = 300.0, patience: float = 10.0) -> None:
        parts = urllib.parse.urlsplit(base)
        if parts.scheme not in ("http", "https") or not parts.netloc or parts.username:
            raise Misuse(f"{base!r} is not an http or https URL")
        self._base = base.rstrip("/")
        self._deadline = deadline
        self._patience = patience

    def fetch(self, uri: Uri, *, max_size: int) -> Iterator[bytes]:
        """Answer the file's bytes.

        Raises `NotThere`, `Refused` (limit-exceeded, too-slow), `Unavailable`.
        """
        url = f"{self._base}/{urllib.parse.quote(uri)}"
        end = time.monotonic() + self._deadline
        try:
            with urllib.request.urlopen(url, timeout=self._patience) as answer:  # noqa: S310
                yield from self._body(answer, uri, max_size, end)
        except urllib.error.HTTPError as error:
            error.close()
            if error.code in _GONE:
                raise NotThere(uri) from None
            raise Unavailable(f"the server answered {error.code} for {uri}") from None
        except TimeoutError:
            raise Refused(Reason.TOO_SLOW, f"{uri} stopped arriving") from None
        except (OSError, http.client.HTTPException) as error:
            cause = getattr(error, "reason", error)
            raise Unavailable(
                f"cannot fetch {uri}: {cause}", hint="check the URL and that the server runs"
            ) from None

    def _body(
        self, answer: http.client.HTTPResponse, uri: Uri, max_size: int, end: float
    ) -> Iterator[bytes]:
        total = 0
        while piece := answer.read(_CHUNK):
            total += len(piece)
            if total > max_size:
                raise Refused(Reason.LIMIT_EXCEEDED, f"{uri} is longer than {max_size} bytes")
            if time.monotonic() > end:
                raise Refused(Reason.TOO_SLOW, f"{uri} took longer than {self._deadline:g} s")
            yield piece
