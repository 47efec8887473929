"""Every bit of an envelope is covered: none can be flipped, and no end cut off, without a refusal.

The whole acceptance runs as a device runs it, since a payload is caught by its digest alone.
"""

from __future__ import annotations

import collections
import functools
from typing import TYPE_CHECKING

import workshop
from formats import crafted
from formats.refusals import bit_flips, reason_of, truncations
from fwseal.base import cbor
from fwseal.base.reasons import REASONS, Reason

if TYPE_CHECKING:
    from fwseal.device.profile import DeviceProfile

PAYLOAD = bytes(range(256)) + b"and some more bytes of an integrated payload"
TEXT = cbor.encode(
    {
        "de-AT": {1: "Neue Firmware für die Steuerung im Schaltschrank"},
        "en": {
            1: "New firmware for the controller in the cabinet: " + 3 * "it mends what it can. ",
            (b"\0",): {
                1: "Example Ltd.",
                2: "PLC 7",
                5: "The program of the application core, without its data",
            },
        },
    }
)


def parts() -> tuple[DeviceProfile, bytes]:
    """Answer a device and a whole envelope for it: unprotected kid, severed text, payload."""
    key = workshop.signer()
    body = crafted.told(seed=PAYLOAD, _4="https://example.com/plc", _23=crafted.digest_of(TEXT))
    data = crafted.signed(key, cbor.encode(body), extra={"#image": PAYLOAD, 23: TEXT})
    return workshop.profile(workshop.anchor(key)), data


def test_no_bit_can_be_flipped_and_nothing_cut_off_and_each_refusal_has_its_reason() -> None:
    profile, data = parts()
    crafted.offer(data, profile, desk := crafted.Desk())
    assert desk.changes[-1] == "finish"
    assert 880 < len(data) < 1100
    reasons: collections.Counter[Reason | None] = collections.Counter()
    for changed in (*bit_flips(data), *truncations(data)):
        desk = crafted.Desk()
        reasons[reason_of(functools.partial(crafted.offer, changed, profile, desk))] += 1
        assert "finish" not in desk.changes
    assert reasons[None] == 0
    assert reasons.total() == 9 * len(data)
    assert set(reasons) <= set(REASONS) | {None}
    # Each part is caught by the check that is there for it.
    assert reasons[Reason.PAYLOAD_DIGEST] == 8 * len(PAYLOAD)
    # The text's own words; a flip that is no UTF-8 or CBOR any more is a mismatch as well.
    assert reasons[Reason.SEVERED_MISMATCH] == 8 * len(TEXT)
    assert reasons[Reason.BAD_SIGNATURE] >= 8 * 64
    assert reasons[Reason.DIGEST_MISMATCH] >= 8 * 180
    assert reasons[Reason.UNKNOWN_SIGNER] >= 7 * len("release")
    assert reasons[Reason.MALFORMED] >= len(data)
