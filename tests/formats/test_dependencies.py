"""A manifest names its dependencies by component: those it may name, and no more of them."""

from __future__ import annotations

import pytest

from formats.crafted import Body, body, common, sequence
from formats.refusals import refused
from fwseal.base import cbor
from fwseal.base.reasons import Reason
from fwseal.suit import manifest as manifests
from fwseal.suit.labels import Command, ManifestKey
from fwseal.suit.limits import DEFAULT
from fwseal.suit.sequence import Plain, SetIndex, SetParameters

IDS = ((b"\0",), (b"\1",))
VALIDATE = sequence(12, 0, 3, 15)


def depending(dependencies: cbor.Value, **changes: cbor.Value) -> Body:
    """Answer a manifest of two components with these dependencies."""
    made: Body = {3: common(components=IDS, dependencies=dependencies), 7: VALIDATE}
    return body({**made, **{int(key[1:]): value for key, value in changes.items()}})


def decode(dependencies: cbor.Value, **changes: cbor.Value) -> manifests.Manifest:
    return manifests.decode(cbor.encode(depending(dependencies, **changes)))


@pytest.mark.parametrize(
    ("named", "read"),
    [
        ({1: {}}, {1: None}),
        ({1: {1: (b"app",)}}, {1: (b"app",)}),
        ({1: {1: ()}}, {1: ()}),
        ({2: {1: (b"app", b"\0")}}, {2: (b"app", b"\0")}),
        ({0: {}, 1: {}, 9: {1: (b"app",)}}, {0: None, 1: None, 9: (b"app",)}),
    ],
)
def test_a_dependency_is_a_component_or_has_a_prefix_for_its_name(
    named: cbor.Value, read: dict[int, object]
) -> None:
    manifest = decode(named, _5=(b"root",))
    assert manifest.dependencies == read
    assert manifest.component_id == (b"root",)
    assert manifest.encode() == cbor.encode(depending(named, _5=(b"root",)))


@pytest.mark.parametrize(
    ("named", "reason"),
    [
        ({}, Reason.MALFORMED),
        ((1,), Reason.MALFORMED),
        (None, Reason.MALFORMED),
        ({-1: {}}, Reason.MALFORMED),
        ({"1": {}}, Reason.MALFORMED),
        ({1: ()}, Reason.MALFORMED),
        ({1: None}, Reason.MALFORMED),
        ({1: {1: b"app"}}, Reason.MALFORMED),
        ({1: {1: ("app",)}}, Reason.MALFORMED),
        ({1: {1: None}}, Reason.MALFORMED),
        ({2: {1: None}}, Reason.WRONG_COMPONENT),
        ({1: {"1": (b"app",)}}, Reason.MALFORMED),
        ({1: {2: (b"app",)}}, Reason.UNSUPPORTED),
        ({1: {0: (b"app",)}}, Reason.UNSUPPORTED),
        ({2: {}}, Reason.WRONG_COMPONENT),
        ({0: {}, 2: {}}, Reason.WRONG_COMPONENT),
    ],
)
def test_dependencies_of_another_shape_are_refused(named: cbor.Value, reason: Reason) -> None:
    with refused(reason):
        decode(named)


def test_more_dependencies_than_the_limit_are_refused() -> None:
    prefix = {1: (b"app",)}
    decode({9 + n: prefix for n in range(DEFAULT.dependencies)})
    with refused(Reason.LIMIT_EXCEEDED):
        decode({9 + n: prefix for n in range(DEFAULT.dependencies + 1)})


@pytest.mark.parametrize("member", [15, 16, 18, 20])
def test_a_dependency_is_fetched_checked_and_processed_by_its_index(member: int) -> None:
    content = sequence(12, 2, 19, {21: "dep.suit"}, 21, 2, 8, 15, 7, 15, 11, 0)
    manifest = decode({2: {1: (b"app",)}}, **{f"_{member}": content})
    steps = manifest.sequences[ManifestKey(member)]
    assert isinstance(steps, tuple)
    assert steps[0] == SetIndex(2)
    assert isinstance(steps[1], SetParameters)
    assert steps[-1] == Plain(Command.DIRECTIVE_PROCESS_DEPENDENCY, 0)
    with refused(Reason.WRONG_COMPONENT):
        decode({2: {1: (b"app",)}}, **{f"_{member}": sequence(12, 3, 7, 15)})


def test_a_dependency_counts_as_a_component_that_a_sequence_must_choose() -> None:
    one = common(dependencies={1: {1: (b"app",)}})
    manifests.decode(cbor.encode(body({3: one, 7: VALIDATE})))
    with refused(Reason.MALFORMED, where="validate"):
        manifests.decode(cbor.encode(body({3: one})))


@pytest.mark.parametrize("directive", [11, 33])
def test_a_dependency_is_never_processed_or_unlinked_in_a_shared_sequence(
    directive: int,
) -> None:
    for shared in (
        sequence(12, 1, directive, 0),
        sequence(12, 1, 32, sequence(directive, 0)),
    ):
        made = common(components=IDS, dependencies={1: {}}, shared=shared)
        reason = Reason.UNSUPPORTED if directive == 33 else Reason.MALFORMED
        with refused(reason):
            manifests.decode(cbor.encode(body({3: made, 7: VALIDATE})))
