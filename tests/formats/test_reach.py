"""An integrated payload that no fetch can name is bytes that nobody vouches for."""

from __future__ import annotations

import pytest

import workshop
from formats import crafted
from formats.crafted import IMAGE, sequence
from formats.refusals import refused
from fwseal.base import cbor
from fwseal.base.reasons import Reason
from fwseal.suit.manifest import decode
from fwseal.suit.reach import fetched

KEY = workshop.signer()
TWO = crafted.common(components=((b"\0",), (b"\1",)))
FETCH = (21, 2)


def uri(name: str, *, command: int = 20) -> tuple[int, dict[int, str]]:
    return command, {21: name}


def reached(*install: cbor.Value, common: bytes | None = None) -> frozenset[str]:
    body = crafted.body({20: sequence(*install), **({3: common} if common else {})})
    if common:
        body[7] = sequence(12, 0, 3, 15)
    return fetched(decode(cbor.encode(body)))


@pytest.mark.parametrize(
    ("install", "found"),
    [
        ((*uri("#a"), *FETCH), {"#a"}),
        ((*uri("#junk"), *uri("#a"), *FETCH), {"#a"}),
        ((*uri("#a"), *FETCH, *uri("#junk")), {"#a"}),
        ((*uri("#a"), *uri("#b", command=19), *FETCH), {"#a", "#b"}),
        ((*uri("#a"), 32, sequence(*uri("#b")), *FETCH), {"#a", "#b"}),
        ((*uri("#a"), 15, (sequence(*uri("#b"), *FETCH), None)), {"#b"}),
        ((20, {14: 3}, *FETCH), set()),
    ],
)
def test_only_what_is_set_when_something_is_fetched_is_reached(
    install: tuple[cbor.Value, ...], found: set[str]
) -> None:
    assert reached(*install) == found


def test_each_component_fetches_its_own_uri() -> None:
    both = (12, (0, 1), *uri("#both"))
    assert reached(*both, 12, 1, *uri("#one"), *FETCH, common=TWO) == {"#one"}
    assert reached(*both, 12, 1, *uri("#one"), 12, True, *FETCH, common=TWO) == {"#both", "#one"}


def test_payload_whose_uri_is_overwritten_before_any_fetch_rides_along_and_is_refused() -> None:
    install = sequence(*uri("#junk"), *uri("#image"), *FETCH)
    manifest = cbor.encode(crafted.body({20: install}))
    good = {"#image": IMAGE}
    assert crafted.accept(crafted.signed(KEY, manifest, extra=good), KEY)
    with refused(Reason.MALFORMED):
        crafted.accept(crafted.signed(KEY, manifest, extra={**good, "#junk": b"junk"}), KEY)
