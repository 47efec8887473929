"""Four kinds of error, so that every caller knows what to do next.

`Refused`: the input is bad and we work as designed. `Unavailable`: the world is not ready, retry
may help. `Misuse`: the operator asked for something that has no answer. Anything else that is
raised is a bug of ours and keeps its traceback.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fwseal.base.reasons import Reason


class FwsealError(Exception):
    """One line for people, and a hint where there is one to give."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class Refused(FwsealError):
    """A correct "no": the Reason is the answer, the message only words it.

    `where` is a path into the input (`manifest/install[2]`), a byte offset, or empty.
    """

    def __init__(self, reason: Reason, message: str, *, where: str = "") -> None:
        super().__init__(message)
        self.reason = reason
        self.where = where

    def at(self, where: str) -> Refused:
        """Answer the same refusal, placed one level further out."""
        inner = f"{where}{self.where}" if self.where.startswith("[") else f"{where}/{self.where}"
        return Refused(self.reason, self.message, where=inner.rstrip("/"))


class Unavailable(FwsealError):
    """An HSM, store, network or program did not answer; the same call may work later."""


class Misuse(FwsealError):
    """Arguments or configuration that mean nothing; nothing was done."""
