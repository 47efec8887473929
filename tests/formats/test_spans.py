"""The second reader: it takes what the first takes, and knows where each item stands."""

from __future__ import annotations

import cbor2
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from formats.refusals import bit_flips, reason_of, refused, truncations
from fwseal.base import cbor, spans
from fwseal.base.errors import Refused
from fwseal.base.reasons import Reason
from fwseal.base.spans import Major, Span

TAGS = frozenset({18, 37, 107, 112})

integers = st.integers(-(2**64), 2**64 - 1) | st.integers(-300, 300)
keys = st.recursive(
    integers | st.text(max_size=4) | st.binary(max_size=4),
    lambda inner: st.lists(inner, max_size=2).map(tuple),
    max_leaves=3,
)
values = st.recursive(
    integers | st.text(max_size=30) | st.binary(max_size=30) | st.booleans() | st.none(),
    lambda inner: (
        st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(keys, inner, max_size=4)
        | st.builds(cbor2.CBORTag, st.sampled_from([18, 107, 112]), inner)
    ),
    max_leaves=15,
)


def rebuilt(data: bytes, span: Span) -> cbor.Value:
    """Answer the value of a span, made from offsets alone."""
    content = data[span.content : span.end]
    match span.major:
        case Major.UNSIGNED:
            return span.argument
        case Major.NEGATIVE:
            return -1 - span.argument
        case Major.BYTES:
            return content
        case Major.TEXT:
            return content.decode()
        case Major.ARRAY:
            return tuple(rebuilt(data, one) for one in span.children)
        case Major.MAP:
            return {
                rebuilt(data, key): rebuilt(data, one) for key, one in span.pairs()
            }  # of keys alone
        case Major.TAG:
            return cbor2.CBORTag(span.argument, rebuilt(data, span.children[0]))
        case Major.SIMPLE:
            return {spans.FALSE: False, spans.TRUE: True, spans.NULL: None}[span.argument]


def nested(span: Span) -> None:
    """Check that the children fill what is behind the head, one behind the other."""
    if span.major in (Major.ARRAY, Major.MAP, Major.TAG):
        ends = [span.content, *(one.end for one in span.children)]
        assert [one.start for one in span.children] == ends[:-1]
        assert ends[-1] == span.end
    for one in span.children:
        nested(one)


def agree(data: bytes, limits: cbor.Limits = cbor.DEFAULT_LIMITS) -> bool:
    """Check that both readers take the bytes or both refuse them; answer which."""
    first = reason_of(lambda: cbor.decode(data, tags=TAGS, limits=limits))
    second = reason_of(lambda: spans.walk(data, tags=TAGS, limits=limits))
    assert (first is None) == (second is None), (data.hex(), first, second)
    if first is None:
        span = spans.walk(data, tags=TAGS, limits=limits)
        assert (span.start, span.end) == (0, len(data))
        nested(span)
        value = rebuilt(data, span)
        assert value == cbor.decode(data, tags=TAGS, limits=limits)
        assert cbor.encode(value) == data
    return first is None


@st.composite
def broken(draw: st.DrawFn) -> bytes:
    """Answer a valid encoding with a few of its items moved, widened, doubled or overwritten."""
    data = cbor.encode(draw(values))
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, max(0, len(data) - 1)))
        end = draw(st.integers(at, min(len(data), at + 9)))
        other = draw(
            st.binary(max_size=3)
            | st.just(data[at:end] * 2)
            | st.sampled_from(
                [b"\x18", b"\x19\x00", b"\x9f", b"\xff", b"\xf9\x3c\x00", b"\xd8\x25"]
            )
            | values.map(cbor.encode)
        )
        data = data[:at] + other + data[end:]
    return data


small = st.builds(cbor.Limits, depth=st.integers(0, 5), items=st.integers(1, 40))


@settings(max_examples=300, deadline=None)
@given(values.map(cbor.encode), small)
def test_both_readers_take_the_same_values_within_the_same_limits(
    data: bytes, limits: cbor.Limits
) -> None:
    assert agree(data, cbor.Limits(depth=32))
    agree(data, limits)


@settings(max_examples=500, deadline=None)
@given(st.binary(max_size=48) | broken(), small | st.just(cbor.DEFAULT_LIMITS))
@example(b"\xa1\xa1\x00\x00\x00", cbor.DEFAULT_LIMITS)
@example(b"\xa2\x01\x00\xf5\x00", cbor.DEFAULT_LIMITS)
@example(b"\xd8\x25\x50" + bytes(16), cbor.DEFAULT_LIMITS)
@example(b"\xf8\x14", cbor.DEFAULT_LIMITS)
@example(b"\xa1\x81\x80\x00", cbor.Limits(depth=2))
def test_both_readers_refuse_the_same_bytes(data: bytes, limits: cbor.Limits) -> None:
    agree(data, limits)


def test_both_readers_agree_on_every_string_of_two_bytes_and_every_head() -> None:
    taken = sum(agree(bytes([one, other])) for one in range(256) for other in range(256))
    taken += sum(agree(bytes([one]) + bytes(size)) for one in range(256) for size in range(12))
    assert taken > 500


def test_both_readers_agree_on_every_flip_and_truncation_of_a_small_document() -> None:
    data = cbor.encode(cbor2.CBORTag(107, {1: (b"ab", "c", None, True, -300), "k": {24: 0}}))
    taken = [agree(changed) for changed in (*bit_flips(data), *truncations(data))]
    assert 0 < sum(taken) < len(taken)


@pytest.mark.parametrize("number", [0, 2, 5, 25, 28, 37, 100, 258, 260, 43000, 55799])
def test_a_tag_that_the_first_reader_never_takes_is_never_taken_here(number: int) -> None:
    data = cbor2.dumps(cbor2.CBORTag(number, 0))
    for tags in (frozenset({number}), None):
        with refused(Reason.MALFORMED, where="0"):
            spans.walk(data, tags=tags)


def test_both_readers_know_the_same_tags() -> None:
    assert set(spans._NO_ITEM) == set(cbor._BUILT_IN_TAGS)


def test_any_tag_is_walked_where_any_is_asked_for() -> None:
    span = spans.walk(bytes.fromhex("d9303980"), tags=None)
    assert (span.major, span.argument, span.content) == (Major.TAG, 12345, 3)


@pytest.mark.parametrize(
    ("data", "reason", "where"),
    [
        pytest.param("", Reason.MALFORMED, "0", id="nothing"),
        pytest.param("8201", Reason.MALFORMED, "2", id="an item is missing"),
        pytest.param("8119 00", Reason.MALFORMED, "1", id="cut inside a head"),
        pytest.param("8142 00", Reason.MALFORMED, "1", id="cut inside a string"),
        pytest.param("811c", Reason.MALFORMED, "1", id="reserved"),
        pytest.param("811c" + "ff" * 16, Reason.MALFORMED, "1", id="a number of 16 bytes"),
        pytest.param("811f" + "ff" * 128, Reason.MALFORMED, "1", id="indefinite integer"),
        pytest.param("81df00", Reason.MALFORMED, "1", id="indefinite tag"),
        pytest.param("81ff", Reason.MALFORMED, "1", id="break"),
        pytest.param("819f ff", Reason.NOT_DETERMINISTIC, "1", id="indefinite"),
        pytest.param("8118 17", Reason.NOT_DETERMINISTIC, "1", id="23 in two bytes"),
        pytest.param("81 1900ff", Reason.NOT_DETERMINISTIC, "1", id="255 in three bytes"),
        pytest.param("81 1a0000ffff", Reason.NOT_DETERMINISTIC, "1", id="65535 in five"),
        pytest.param("81 1b00000000ffffffff", Reason.NOT_DETERMINISTIC, "1", id="2^32-1 in nine"),
        pytest.param("81f93c00", Reason.MALFORMED, "1", id="float"),
        pytest.param("81f7", Reason.MALFORMED, "1", id="undefined"),
        pytest.param("81c600", Reason.MALFORMED, "1", id="tag"),
        pytest.param("8163 61ff62", Reason.MALFORMED, "3", id="not UTF-8"),
        pytest.param("a20200 0100", Reason.NOT_DETERMINISTIC, "3", id="key out of order"),
        pytest.param("a20100 0100", Reason.MALFORMED, "3", id="key twice"),
        pytest.param("a1f500", Reason.MALFORMED, "1", id="key of a type that is none"),
        pytest.param("a181f600", Reason.MALFORMED, "2", id="such a type inside a key"),
        pytest.param("0000", Reason.MALFORMED, "1", id="bytes behind"),
    ],
)
def test_a_refusal_names_the_offset_of_the_fault(data: str, reason: Reason, where: str) -> None:
    with refused(reason, where=where):
        spans.walk(bytes.fromhex(data))


def test_the_limits_are_exact() -> None:
    limits = cbor.Limits(bytes=5, depth=2, items=3)
    for data in (b"\x81\x81\x00", b"\x81\x81\x80", b"\x82\x00\x00", b"\x44abcd"):
        spans.walk(data, limits=limits)
    for data in (b"\x81\x81\x81\x00", b"\x83\x00\x00\x00", b"\x45abcde"):
        with refused(Reason.LIMIT_EXCEEDED):
            spans.walk(data, limits=limits)


def test_no_profile_makes_either_reader_go_as_deep_as_the_stack() -> None:
    limits = cbor.Limits(depth=1_000_000, bytes=1_000_000, items=1_000_000)
    assert agree(b"\x81" * cbor.DEEPEST + b"\x00", limits)
    for depth in (cbor.DEEPEST + 1, 200_000):
        for read in (cbor.decode, spans.walk):
            with refused(Reason.LIMIT_EXCEEDED):
                read(b"\x81" * depth + b"\x00", limits=limits)


@given(
    st.sampled_from(
        [b"", b"\xd8\x6b", b"\xd2", b"\xd8\x6b\xd2", b"\xd8\x12", b"\xd9\x00\x6b", b"\xc6"]
    ),
    st.integers(0, 3),
    st.sampled_from([b"", b"\x00", b"\x80", b"\xa0", b"\xd8", b"\x00\x00"]),
    st.integers(0, 4),
    st.integers(1, 6),
)
def test_both_readers_count_a_leading_tag_alike(
    tag: bytes, arrays: int, last: bytes, depth: int, items: int
) -> None:
    agree(tag + b"\x81" * arrays + last, cbor.Limits(depth=depth, items=items))


def test_a_leading_tag_uses_up_depth() -> None:
    for depth, taken in ((0, b"\x00"), (1, b"\xd2\x00"), (2, b"\xd2\x81\x00")):
        limits = cbor.Limits(depth=depth)
        assert agree(taken, limits)
        for read in (cbor.decode, spans.walk):
            with refused(Reason.LIMIT_EXCEEDED):
                read(b"\xd2" + taken, tags=TAGS, limits=limits)


def test_a_refusal_of_the_second_reader_is_one_of_three_reasons() -> None:
    found = set()
    for data in truncations(bytes(range(0x80, 0x100))):
        try:
            spans.walk(data)
        except Refused as error:
            found.add(error.reason)
    assert found <= {Reason.MALFORMED, Reason.NOT_DETERMINISTIC, Reason.LIMIT_EXCEEDED}
    assert found
