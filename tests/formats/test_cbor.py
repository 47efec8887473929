"""One value, one encoding: what the strict reader takes, and what it refuses by name."""

from __future__ import annotations

import time

import cbor2
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from formats.refusals import bit_flips, refused, truncations
from fwseal.base import cbor
from fwseal.base.errors import Refused
from fwseal.base.reasons import Reason

TAGS = frozenset({18, 107, 112})


def head(major: int, argument: int) -> bytes:
    """Answer the shortest head, written from RFC 8949 3 alone."""
    if argument < 24:
        return bytes([major << 5 | argument])
    for info, size in ((24, 1), (25, 2), (26, 4), (27, 8)):
        if argument < 1 << 8 * size:
            return bytes([major << 5 | info]) + argument.to_bytes(size, "big")
    raise AssertionError(argument)


def expected(value: cbor.Value) -> bytes:
    """Answer the deterministic encoding, written from RFC 8949 4.2.1 alone."""
    if value is None:
        return b"\xf6"
    if isinstance(value, bool):
        return b"\xf5" if value else b"\xf4"
    if isinstance(value, int):
        return head(0, value) if value >= 0 else head(1, -1 - value)
    if isinstance(value, bytes):
        return head(2, len(value)) + value
    if isinstance(value, str):
        return head(3, len(value.encode())) + value.encode()
    if isinstance(value, tuple):
        return head(4, len(value)) + b"".join(expected(item) for item in value)
    if isinstance(value, cbor2.CBORTag):
        return head(6, value.tag) + expected(value.value)
    pairs = sorted((expected(key), expected(content)) for key, content in value.items())
    return head(5, len(pairs)) + b"".join(key + content for key, content in pairs)


def outcome(data: bytes, limits: cbor.Limits = cbor.DEFAULT_LIMITS) -> Reason | None:
    """Answer why the bytes are refused, or None."""
    try:
        cbor.decode(data, tags=TAGS, limits=limits)
    except Refused as error:
        return error.reason
    return None


integers = st.integers(-(2**64), 2**64 - 1) | st.sampled_from(
    [0, 23, 24, 255, 256, 65535, 65536, 2**32 - 1, 2**32, 2**64 - 1, -1, -24, -25, -(2**64)]
)
keys = st.recursive(
    integers | st.text(max_size=8) | st.binary(max_size=8),
    lambda inner: st.lists(inner, max_size=3).map(tuple),
    max_leaves=4,
)
values = st.recursive(
    integers | st.text(max_size=40) | st.binary(max_size=40) | st.booleans() | st.none(),
    lambda inner: (
        st.lists(inner, max_size=5).map(tuple)
        | st.dictionaries(keys, inner, max_size=5)
        | st.builds(cbor2.CBORTag, st.sampled_from(sorted(TAGS)), inner)
    ),
    max_leaves=20,
)


@given(values)
def test_a_value_is_written_in_the_one_order_and_read_back_as_itself(value: cbor.Value) -> None:
    data = cbor.encode(value)
    assert data == expected(value)
    again = cbor.decode(data, tags=TAGS, limits=cbor.Limits(depth=32))
    assert cbor.encode(again) == data
    assert again == value


def test_map_keys_are_sorted_bytewise_and_not_by_length_first() -> None:
    assert cbor.encode({-1: 0, 24: 0}) == bytes.fromhex("a2 1818 00 20 00")
    long, short = (b"U" * 20,), (b"V", b"W")
    assert cbor.encode({short: 0, long: 0}) == (
        bytes.fromhex("a2 8154") + b"U" * 20 + bytes.fromhex("00 824156415700")
    )
    assert cbor.encode({"a": 0, b"aa": 0}) == bytes.fromhex("a2 42616100 616100")
    assert cbor.encode({33: 0, -1: 0, 4: 0}) == bytes.fromhex("a3 0400 182100 2000")


@pytest.mark.parametrize(
    "data",
    [
        pytest.param("a2 2000 181800", id="keys sorted by length first"),
        pytest.param("a2 0200 0100", id="keys not sorted"),
        pytest.param("a2 616100 426161 00", id="text before bytes"),
        pytest.param("1817", id="23 in two bytes"),
        pytest.param("1900ff", id="255 in three bytes"),
        pytest.param("1a0000ffff", id="65535 in five bytes"),
        pytest.param("1b00000000ffffffff", id="2^32-1 in nine bytes"),
        pytest.param("3817", id="-24 in two bytes"),
        pytest.param("580100", id="long head of bytes"),
        pytest.param("780161", id="long head of text"),
        pytest.param("980100", id="long head of an array"),
        pytest.param("b8010000", id="long head of a map"),
        pytest.param("d900 6b00", id="long head of a tag"),
        pytest.param("9fff", id="indefinite array"),
        pytest.param("82 01 9f01ff", id="indefinite array inside"),
        pytest.param("bfff", id="indefinite map"),
        pytest.param("5f4101ff", id="indefinite bytes"),
        pytest.param("7f6161ff", id="indefinite text"),
    ],
)
def test_another_encoding_of_the_same_value_is_refused_as_not_deterministic(data: str) -> None:
    with refused(Reason.NOT_DETERMINISTIC):
        cbor.decode(bytes.fromhex(data), tags=TAGS)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param("", id="nothing"),
        pytest.param("0101", id="two items"),
        pytest.param("8100 00", id="a byte behind an array"),
        pytest.param("a2 0100 0100", id="duplicate key"),
        pytest.param("a2 0100 f500", id="true beside 1"),
        pytest.param("a1 f500", id="bool key"),
        pytest.param("a1 f400", id="false key"),
        pytest.param("a1 f600", id="null key"),
        pytest.param("a1 81f500", id="bool inside a key"),
        pytest.param("a1 a000", id="map as key"),
        pytest.param("a1 d86b0000", id="tag as key"),
        pytest.param("a1 f9000000", id="float key"),
        pytest.param("f93c00", id="half float"),
        pytest.param("fa3f800000", id="float"),
        pytest.param("fb3ff0000000000000", id="double"),
        pytest.param("f97e00", id="NaN"),
        pytest.param("f97c00", id="infinity"),
        pytest.param("81 fb7ff8000000000001", id="NaN with a payload, inside"),
        pytest.param("f7", id="undefined"),
        pytest.param("e0", id="simple value"),
        pytest.param("f8ff", id="simple value in two bytes"),
        pytest.param("f814", id="false in two bytes"),
        pytest.param("ff", id="break"),
        pytest.param("1c", id="reserved integer head"),
        pytest.param("1f", id="indefinite integer"),
        pytest.param("df00", id="indefinite tag"),
        pytest.param("61ff", id="not UTF-8"),
        pytest.param("63eda080", id="a surrogate as UTF-8"),
        pytest.param("62c080", id="an overlong zero as UTF-8"),
        pytest.param("c2490100000000000000 00", id="bignum"),
        pytest.param("c2 4101", id="a small number as bignum"),
        pytest.param("d825 50 00112233445566778899aabbccddeeff", id="a UUID under tag 37"),
        pytest.param("d81c 00", id="shareable"),
        pytest.param("d81d 00", id="reference"),
        pytest.param("d9d9f7 00", id="self-described CBOR"),
        pytest.param("d86b", id="a tag of nothing"),
        pytest.param("42 00", id="bytes cut short"),
        pytest.param("82 00", id="array cut short"),
        pytest.param("a1 00", id="map cut short"),
        pytest.param("5b 7fffffffffffffff", id="2^63-1 bytes"),
        pytest.param("7b ffffffffffffffff", id="2^64-1 bytes of text"),
        pytest.param("5a ffffffff 00", id="2^32-1 bytes"),
        pytest.param("9b 7fffffffffffffff", id="2^63-1 items"),
        pytest.param("9b ffffffffffffffff", id="2^64-1 items"),
        pytest.param("bb 7fffffffffffffff", id="2^63-1 pairs"),
        pytest.param("ba ffffffff 0000", id="2^32-1 pairs"),
    ],
)
def test_bytes_that_are_not_one_plain_item_are_refused_as_malformed(data: str) -> None:
    with refused(Reason.MALFORMED):
        cbor.decode(bytes.fromhex(data), tags=frozenset({107}))


def test_a_refusal_says_where_the_bytes_differ() -> None:
    with refused(Reason.MALFORMED, where="2"):
        cbor.decode(bytes.fromhex("810000"))
    with refused(Reason.NOT_DETERMINISTIC, where="1"):
        cbor.decode(bytes.fromhex("811801"))
    with refused(Reason.NOT_DETERMINISTIC, where="2"):
        cbor.decode(bytes.fromhex("82019f01ff"))


def test_the_words_of_an_attacker_do_not_choose_the_reason() -> None:
    key = cbor.encode("maximum depth exceeded")
    with refused(Reason.MALFORMED):
        cbor.decode(b"\xa2" + key + b"\0" + key + b"\0")


def test_every_tag_number_but_those_named_is_refused() -> None:
    answers = {number: outcome(head(6, number) + b"\x41\x00") for number in range(70_001)}
    assert {number for number, found in answers.items() if found is None} == TAGS
    assert {found for number, found in answers.items() if number not in TAGS} == {Reason.MALFORMED}


def test_a_tag_that_may_stand_is_no_python_object_even_if_cbor2_knows_it() -> None:
    # 37 would be a UUID, 258 a set: a caller who lists them learns that this reader has neither.
    with refused(Reason.MALFORMED):
        cbor.decode(bytes.fromhex("d82550") + bytes(16), tags=frozenset({37}))
    with refused(Reason.MALFORMED):
        cbor.decode(bytes.fromhex("d9010281 00"), tags=frozenset({258}))


def test_the_limit_on_bytes_is_exact() -> None:
    fits = cbor.encode(bytes(cbor.MAX_BYTES - 3))
    assert len(fits) == cbor.MAX_BYTES
    assert cbor.decode(fits) == bytes(cbor.MAX_BYTES - 3)
    with refused(Reason.LIMIT_EXCEEDED):
        cbor.decode(cbor.encode(bytes(cbor.MAX_BYTES - 2)))


@pytest.mark.parametrize("opening", [b"\x81", b"\xa1\x00", b"\xd8\x6b", b"\xa1\x00\x81"])
def test_the_limit_on_depth_is_exact_for_arrays_maps_and_tags(opening: bytes) -> None:
    each = 2 if opening == b"\xa1\x00\x81" else 1
    deep = opening * (cbor.MAX_DEPTH // each)
    cbor.decode(deep + b"\0", tags=TAGS)
    with refused(Reason.LIMIT_EXCEEDED):
        cbor.decode(opening + deep + b"\0", tags=TAGS)


def test_a_map_key_nested_too_deep_is_refused() -> None:
    cbor.decode(b"\xa1" + b"\x81" * (cbor.MAX_DEPTH - 1) + b"\0\0")
    with refused(Reason.LIMIT_EXCEEDED):
        cbor.decode(b"\xa1" + b"\x81" * cbor.MAX_DEPTH + b"\0\0")


def test_sixty_thousand_brackets_are_refused_and_do_not_exhaust_the_stack() -> None:
    for opening in (b"\x81", b"\xd8\x6b", b"\xa1"):
        with refused(Reason.LIMIT_EXCEEDED):
            cbor.decode(opening * (60_000 // len(opening)), tags=TAGS)


def test_the_limit_on_items_counts_arrays_maps_and_keys() -> None:
    limits = cbor.Limits(items=5)
    cbor.decode(cbor.encode((0, 0, 0, 0)), limits=limits)
    cbor.decode(cbor.encode({0: 0, 1: 0}), limits=limits)
    for value in ((0, 0, 0, 0, 0), {0: 0, 1: (0,)}, ((), (), (), (), ())):
        with refused(Reason.LIMIT_EXCEEDED):
            cbor.decode(cbor.encode(value), limits=limits)


@pytest.mark.parametrize("item", [b"\x00", b"\xa0", b"\xa1\x00\x00", b"\x41\x00", b"\x81\x00"])
def test_millions_of_items_are_refused_before_an_object_is_made_of_each(item: bytes) -> None:
    # Left to cbor2, sixteen megabytes of empty maps took 18 s and 2 GB.
    count = (1 << 22) // len(item)
    bomb = head(4, count) + item * count
    began = time.process_time()
    with refused(Reason.LIMIT_EXCEEDED):
        cbor.decode(bomb, limits=cbor.Limits(bytes=1 << 24))
    assert time.process_time() - began < 0.5


arbitrary = (
    st.binary(max_size=64)
    | values.map(cbor.encode)
    | st.tuples(values.map(cbor.encode), st.integers(0, 10**6), st.integers(1, 255)).map(
        lambda made: (
            made[0][: made[1] % len(made[0])]
            + bytes([made[0][made[1] % len(made[0])] ^ made[2]])
            + made[0][made[1] % len(made[0]) + 1 :]
        )
    )
)


@settings(max_examples=300, deadline=None)
@given(arbitrary)
@example(b"\xa1\xa1\x00\x00\x00")
@example(b"\xd8\x1d\x00")
@example(b"\xc0\x60")
@example(b"\xc1\xfb\x7f\xf8\x00\x00\x00\x00\x00\x00")
@example(b"\xc4\x82\x1b\xff\xff\xff\xff\xff\xff\xff\xff\x01")
@example(b"\xd8\x23\x61\x28")
def test_arbitrary_bytes_are_one_encoding_of_a_value_or_refused(data: bytes) -> None:
    reason = outcome(data)
    assert reason in (None, Reason.MALFORMED, Reason.NOT_DETERMINISTIC, Reason.LIMIT_EXCEEDED)
    if reason is None:
        value = cbor.decode(data, tags=TAGS)
        assert expected(value) == data
        assert cbor.encode(value) == data


@settings(max_examples=150, deadline=None)
@given(values.map(cbor.encode), st.integers(1, 12), st.integers(1, 6))
def test_limits_are_those_of_an_independent_count(data: bytes, items: int, depth: int) -> None:
    def count(value: object) -> tuple[int, int]:
        if isinstance(value, cbor2.CBORTag):
            inside = [value.value]
        elif isinstance(value, tuple):
            inside = list(value)
        elif hasattr(value, "items"):
            inside = [part for pair in value.items() for part in pair]
        else:
            return 1, 0
        counts = [count(part) for part in inside]
        deepest = 1 + max(part[1] for part in counts) if counts else 0
        return 1 + sum(part[0] for part in counts), deepest

    value = cbor2.loads(data, immutable=True)
    found_items, found_depth = count(value)
    reason = outcome(data, cbor.Limits(items=items, depth=depth))
    past = found_items > items or found_depth > depth
    assert reason is (Reason.LIMIT_EXCEEDED if past else None)


def test_no_bit_flip_of_a_small_document_is_read_as_what_it_is_not() -> None:
    data = cbor.encode(cbor2.CBORTag(107, {1: (b"ab", "c", None, True, -300), "k": {24: 0}}))
    accepted = 0
    for changed in (*bit_flips(data), *truncations(data)):
        try:
            value = cbor.decode(changed, tags=TAGS)
        except Refused:
            continue
        accepted += 1
        assert expected(value) == changed
    assert 0 < accepted < 8 * len(data)


def test_a_wrapped_string_is_the_content_behind_its_own_head() -> None:
    assert cbor.wrapped(b"") == b"\x40"
    assert cbor.wrapped(bytes(300)) == b"\x59\x01\x2c" + bytes(300)


@pytest.mark.parametrize("data", ["a2 6161 00 01 00", "a2 4101 00 20 00", "a2 6161 00 4161 00"])
def test_keys_of_several_types_out_of_order_are_refused(data: str) -> None:
    with refused(Reason.NOT_DETERMINISTIC):
        cbor.decode(bytes.fromhex(data))


def test_a_key_that_may_not_stand_here_is_named_before_keys_out_of_order() -> None:
    with refused(Reason.MALFORMED):
        cbor.decode(bytes.fromhex("a3 02 00 01 00 f4 00"))


def test_more_bytes_than_items_are_read_when_the_items_are_few() -> None:
    limits = cbor.Limits(items=2)
    assert cbor.decode(cbor.encode((bytes(100),)), limits=limits) == (bytes(100),)
    with refused(Reason.LIMIT_EXCEEDED):
        cbor.decode(b"\x82\x00\x00", limits=limits)


def test_a_limit_of_no_depth_at_all_lets_one_item_through() -> None:
    limits = cbor.Limits(depth=0)
    assert cbor.decode(b"\x80", limits=limits) == ()
    with refused(Reason.LIMIT_EXCEEDED):
        cbor.decode(b"\x81\x00", limits=limits)
