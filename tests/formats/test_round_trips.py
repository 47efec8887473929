"""What our types can say has one encoding, and what is read has exactly that one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from formats import strategies
from formats.refusals import reason_of
from fwseal.suit import envelope as envelopes
from fwseal.suit import manifest as manifests
from fwseal.suit import severing

if TYPE_CHECKING:
    from fwseal.suit.manifest import Manifest

calm = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))


@calm
@given(strategies.manifests())
def test_whatever_a_manifest_can_say_is_written_and_read_back_the_same(made: Manifest) -> None:
    data = made.encode()
    read = manifests.decode(data)
    assert read == made
    assert read.encode() == data


@calm
@given(strategies.manifests(), st.data())
def test_any_change_of_a_manifests_bytes_is_refused_or_written_back_as_it_came(
    made: Manifest, data: st.DataObject
) -> None:
    changed = bytearray(made.encode())
    for _ in range(data.draw(st.integers(1, 3))):
        changed[data.draw(st.integers(0, len(changed) - 1))] ^= data.draw(st.integers(1, 255))
    if reason_of(lambda: manifests.decode(bytes(changed))) is None:
        assert manifests.decode(bytes(changed)).encode() == bytes(changed)


@calm
@given(strategies.manifests(), st.data())
def test_what_is_severed_and_put_back_in_any_order_is_the_manifest_it_was(
    made: Manifest, data: st.DataObject
) -> None:
    chosen = data.draw(st.lists(st.sampled_from(strategies.severable(made) or [None]), unique=True))
    keys = [key for key in chosen if key is not None]
    left, members = severing.severed(made, keys)
    assert set(left.severed()) == set(made.severed()) | set(keys)
    sealed = envelopes.seal(left.encode(), severed=members)
    assert envelopes.decode(sealed.encode()) == sealed
    assert severing.attached(manifests.decode(sealed.manifest), sealed) == made
    bare = severing.without(sealed, *keys)
    assert bare.severed == {}
    for key in data.draw(st.permutations(keys)):
        bare = severing.with_member(bare, key, members[key])
    assert bare.encode() == sealed.encode()


@calm
@given(st.dictionaries(strategies.short_text, st.binary(max_size=20), max_size=5))
def test_integrated_payloads_keep_bytewise_order_behind_the_numbered_members(
    payloads: dict[str, bytes],
) -> None:
    # 2 comes before 3 (SUIT manifest-37 8.3), and a text key behind every number: no conflict.
    sealed = envelopes.seal(b"\xa0", integrated=payloads)
    data = sealed.encode()
    assert data[:4] == bytes([0xD8, 0x6B, 0xA2 + len(payloads), 0x02])
    assert envelopes.decode(data) == sealed
    assert envelopes.decode(data).encode() == data
