"""The few doors to the world that more than one room opens; drivers stand behind them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fwseal.base.ids import Uri


class Fetcher(Protocol):
    """Where bytes come from: HTTP, a folder, files named on the command line."""

    def fetch(self, uri: Uri, *, max_size: int) -> Iterator[bytes]:
        """Answer the content in chunks, never more than `max_size` bytes in all.

        Raises `NotThere` when there is no such thing, `Refused` (limit-exceeded, too-slow) when it
        is larger or slower than allowed, `Unavailable` when nobody answers.
        """
        ...


class NotThere(Exception):
    """The source answered, and has no such thing."""
