"""A refusal is asked for by its Reason; message text is nobody's interface."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import pytest

from fwseal.base.errors import Misuse, Refused

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from fwseal.base.reasons import Reason


@contextlib.contextmanager
def refused(reason: Reason, *, where: str | None = None) -> Iterator[None]:
    """Expect a refusal for exactly this Reason and, where given, at this place."""
    with pytest.raises(Refused) as caught:
        yield
    assert caught.value.reason is reason, caught.value.message
    if where is not None:
        assert caught.value.where == where


@contextlib.contextmanager
def misuse() -> Iterator[None]:
    """Expect an error of the operator's, worded in one line."""
    with pytest.raises(Misuse) as caught:
        yield
    assert caught.value.message
    assert "\n" not in caught.value.message


def reason_of(call: Callable[[], object]) -> Reason | None:
    """Answer why a call is refused, or None when it is not; anything else it raises is a bug."""
    try:
        call()
    except Refused as error:
        return error.reason
    return None


def bit_flips(data: bytes) -> Iterator[bytes]:
    """Answer the data with each of its bits flipped in turn."""
    for index in range(8 * len(data)):
        changed = bytearray(data)
        changed[index // 8] ^= 1 << index % 8
        yield bytes(changed)


def truncations(data: bytes) -> Iterator[bytes]:
    """Answer every proper prefix of the data."""
    for end in range(len(data)):
        yield data[:end]
