"""A manifest says only what this version knows; the rest is refused by name, before any effect."""

from __future__ import annotations

import cbor2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from formats.crafted import DIGEST, FETCH, UUID5, Body, body, common, covered, sequence
from formats.refusals import reason_of, refused
from fwseal.base import cbor
from fwseal.base.errors import Refused
from fwseal.base.reasons import REASONS, Reason
from fwseal.cose.encryption import (
    ContentAlgorithm,
    Encrypt,
    KeyAlgorithm,
    Recipient,
    decode_encrypt,
)
from fwseal.suit import envelope as envelopes
from fwseal.suit import manifest as manifests
from fwseal.suit.labels import (
    SEQUENCES,
    Command,
    ManifestKey,
    Parameter,
    spelled,
)
from fwseal.suit.limits import DEFAULT, Limits
from fwseal.suit.sequence import (
    PARAMETERS,
    Override,
    RunSequence,
    SetIndex,
    decode_sequence,
)
from fwseal.suit.values import decode_digest

INFO = Encrypt(
    algorithm=ContentAlgorithm.A128GCM,
    iv=bytes(12),
    recipients=(
        Recipient(algorithm=KeyAlgorithm.A128KW, kid=None, ephemeral=None, wrapped=bytes(24)),
    ),
).encode()
UUID3, UUID4 = (UUID5[:6] + bytes([version]) + UUID5[7:] for version in (0x30, 0x4F))
NO_UUIDS = (
    *(UUID5[:6] + bytes([version << 4]) + UUID5[7:] for version in (0, 1, 2, 6, 7, 8, 15)),
    *(UUID5[:8] + bytes([variant << 6]) + UUID5[9:] for variant in (0, 1, 3)),
)


def decode(changes: Body | None = None, *, without: int | None = None) -> manifests.Manifest:
    made = body(changes)
    if without is not None:
        del made[without]
    return manifests.decode(cbor.encode(made))


def install(*items: cbor.Value, components: int = 1) -> manifests.Manifest:
    """Answer a manifest whose install sequence holds these items."""
    ids = tuple((bytes([number]),) for number in range(components))
    validate = sequence(12, 0, 3, 15)
    return decode({3: common(components=ids), 7: validate, 20: sequence(*items)})


def test_the_smallest_manifest_is_read_and_written_back() -> None:
    manifest = decode()
    assert manifest.sequence_number == 5
    assert manifest.components == ((b"\0",),)
    assert manifest.encode() == cbor.encode(body())


@pytest.mark.parametrize("member", [1, 2, 3])
def test_a_manifest_without_version_sequence_number_or_common_is_refused(member: int) -> None:
    with refused(Reason.MALFORMED):
        decode(without=member)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({1: 2}, Reason.UNSUPPORTED),
        ({1: 0}, Reason.UNSUPPORTED),
        ({1: -1}, Reason.MALFORMED),
        ({1: True}, Reason.MALFORMED),
        ({1: "1"}, Reason.MALFORMED),
        ({2: -1}, Reason.MALFORMED),
        ({2: False}, Reason.MALFORMED),
        ({2: None}, Reason.MALFORMED),
        ({2: b"\5"}, Reason.MALFORMED),
        ({2: "5"}, Reason.MALFORMED),
        ({3: {2: ((b"\0",),)}}, Reason.MALFORMED),
        ({4: b"uri"}, Reason.MALFORMED),
        ({4: None}, Reason.MALFORMED),
        ({7: None}, Reason.MALFORMED),
        ({7: (3, 15)}, Reason.MALFORMED),
        ({7: b""}, Reason.MALFORMED),
        ({7: sequence(3, 15) + b"\0"}, Reason.MALFORMED),
        ({7: b"\x82\x18\x03\x0f"}, Reason.NOT_DETERMINISTIC),
        ({5: b"id"}, Reason.MALFORMED),
        ({5: ("id",)}, Reason.MALFORMED),
        ({23: b"text"}, Reason.MALFORMED),
        ({23: cbor.encode(())}, Reason.MALFORMED),
        ({23: {"en": {}}}, Reason.MALFORMED),
        ({"2": 6}, Reason.MALFORMED),
        ({b"\2": 6}, Reason.MALFORMED),
        ({0: 0}, Reason.UNSUPPORTED),
        ({-1: 0}, Reason.UNSUPPORTED),
        ({10: b""}, Reason.UNSUPPORTED),
        ({1000: b""}, Reason.UNSUPPORTED),
    ],
)
def test_a_member_of_another_type_or_number_is_refused(changes: Body, reason: Reason) -> None:
    with refused(reason):
        decode(changes)


def test_a_manifest_with_a_duplicate_key_is_refused_as_malformed() -> None:
    data = cbor.encode(body())
    assert data[:5] == bytes.fromhex("a4 0101 0205")
    with refused(Reason.MALFORMED):
        manifests.decode(b"\xa5" + data[1:5] + b"\x02\x06" + data[5:])


def test_a_sequence_number_past_64_bits_is_refused_as_malformed() -> None:
    assert decode({2: 2**64 - 1}).sequence_number == 2**64 - 1
    data = cbor.encode(body({2: 0})).replace(b"\x02\x00", b"\x02\xc2\x49\x01" + bytes(8), 1)
    with refused(Reason.MALFORMED):
        manifests.decode(data)


def test_a_manifest_under_a_tag_or_of_another_kind_is_refused() -> None:
    data = cbor.encode(body())
    for wrong in (b"\xd9\x04\x2e" + data, cbor.encode((1, 5)), b"", data + b"\0", data[:-1]):
        with refused(Reason.MALFORMED):
            manifests.decode(wrong)


@pytest.mark.parametrize("member", [6, 14, 24])
def test_a_member_of_the_drafts_that_is_not_processed_is_refused_as_unsupported(
    member: int,
) -> None:
    for content in (b"", (-16, bytes(32)), sequence(3, 15)):
        with refused(Reason.UNSUPPORTED):
            decode({member: content})


def test_every_member_of_the_drafts_is_either_read_or_refused_as_unsupported() -> None:
    read = {1, 2, 3, 4, 5, 23, *SEQUENCES}
    unread = set()
    for member in ManifestKey:
        try:
            decode({int(member): sequence(3, 15)})
        except Refused as error:
            if error.reason is Reason.UNSUPPORTED:
                unread.add(int(member))
    assert unread == set(ManifestKey) - read


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (cbor.encode({}), Reason.MALFORMED),
        (cbor.encode(()), Reason.MALFORMED),
        (cbor.encode({1: {}, 2: ((b"\0",),)}), Reason.MALFORMED),
        (cbor.encode({2: ((b"\0",),), 3: 0}), Reason.UNSUPPORTED),
        (cbor.encode({2: ((b"\0",),), "4": b""}), Reason.MALFORMED),
        (cbor.encode({2: ()}), Reason.MALFORMED),
        (cbor.encode({2: b"\0"}), Reason.MALFORMED),
        (cbor.encode({2: {(b"\0",): 0}}), Reason.MALFORMED),
        (cbor.encode({2: (b"\0",)}), Reason.MALFORMED),
        (cbor.encode({2: (("0",),)}), Reason.MALFORMED),
        (cbor.encode({2: ((0,),)}), Reason.MALFORMED),
        (cbor.encode({2: ((b"\0",), (b"\1",), (b"\0",))}), Reason.MALFORMED),
        (cbor.encode({2: tuple((bytes([n]),) for n in range(17))}), Reason.LIMIT_EXCEEDED),
        (cbor.encode({2: ((b"\0",),), 4: (3, 15)}), Reason.MALFORMED),
        (cbor.encode({2: ((b"\0",),), 4: b"\x80"}), Reason.MALFORMED),
    ],
)
def test_a_common_part_of_another_shape_is_refused(content: bytes, reason: Reason) -> None:
    with refused(reason):
        decode({3: content})


@pytest.mark.parametrize("directive", [18, 21, 22, 23, 31])
def test_a_shared_sequence_that_does_more_than_check_and_set_is_refused(directive: int) -> None:
    branch = sequence(directive, 2)
    for shared in (
        branch,
        sequence(32, branch),
        sequence(15, (sequence(3, 15), branch)),
        sequence(15, (sequence(32, branch), None)),
    ):
        with refused(Reason.MALFORMED):
            decode({3: common(shared=shared)})


def test_a_shared_sequence_may_check_set_choose_and_run() -> None:
    shared = sequence(12, 0, 20, {14: 1}, 1, 15, 15, (sequence(2, 15), None), 32, sequence(5, 0))
    manifest = decode({3: common(shared=shared)})
    assert len(manifest.shared_sequence) == 5
    assert manifest.encode() == cbor.encode(body({3: common(shared=shared)}))
    assert len(manifest.steps()) == 8


@pytest.mark.parametrize(
    ("items", "reason", "where"),
    [
        ((), Reason.MALFORMED, "install"),
        ((3,), Reason.MALFORMED, "install"),
        ((3, 15, 3), Reason.MALFORMED, "install"),
        (("3", 15), Reason.MALFORMED, "install[0]"),
        ((True, 15), Reason.MALFORMED, "install[0]"),
        ((3, 15, 3, None), Reason.MALFORMED, "install[1]"),
        ((3, -1), Reason.MALFORMED, "install[0]"),
        ((3, True), Reason.MALFORMED, "install[0]"),
        ((0, 0), Reason.UNSUPPORTED, "install[0]"),
        ((-256, None), Reason.UNSUPPORTED, "install[0]"),
        ((99, 0), Reason.UNSUPPORTED, "install[0]"),
        ((12, -1), Reason.WRONG_COMPONENT, "install[0]"),
        ((12, 1), Reason.WRONG_COMPONENT, "install[0]"),
        ((12, (0, 1)), Reason.WRONG_COMPONENT, "install[0]"),
        ((12, ()), Reason.MALFORMED, "install[0]"),
        ((12, (0, 0)), Reason.MALFORMED, "install[0]"),
        ((12, False), Reason.MALFORMED, "install[0]"),
        ((12, (True,)), Reason.MALFORMED, "install[0]"),
        ((12, ((0,),)), Reason.MALFORMED, "install[0]"),
        ((12, None), Reason.MALFORMED, "install[0]"),
        ((20, {}), Reason.MALFORMED, "install[0]"),
        ((20, (14, 1)), Reason.MALFORMED, "install[0]"),
        ((20, {"14": 1}), Reason.MALFORMED, "install[0]"),
        ((20, {99: 1}), Reason.UNSUPPORTED, "install[0]"),
        ((20, {-256: 1}), Reason.UNSUPPORTED, "install[0]"),
        ((15, (sequence(3, 15),)), Reason.MALFORMED, "install[0]"),
        ((15, ()), Reason.MALFORMED, "install[0]"),
        ((15, sequence(3, 15)), Reason.MALFORMED, "install[0]"),
        ((15, (None, sequence(3, 15))), Reason.MALFORMED, "install[0]"),
        ((15, (None, None)), Reason.MALFORMED, "install[0]"),
        ((15, (sequence(3, 15), 3)), Reason.MALFORMED, "install[0]"),
        ((15, (sequence(3, 15), sequence(3))), Reason.MALFORMED, "install[0]"),
        ((32, None), Reason.MALFORMED, "install[0]"),
        ((32, (3, 15)), Reason.MALFORMED, "install[0]"),
        ((32, sequence(3, 15) + b"\0"), Reason.MALFORMED, None),
        ((32, sequence(3, 15, 99, 0)), Reason.UNSUPPORTED, "install[0][1]"),
        ((3, cbor2.CBORTag(112, b"pen")), Reason.MALFORMED, "install[0]"),
        ((cbor2.CBORTag(112, b"pen"), 3), Reason.MALFORMED, "install[0]"),
    ],
)
def test_a_command_of_another_shape_is_refused_with_its_place(
    items: tuple[cbor.Value, ...], reason: Reason, where: str | None
) -> None:
    with refused(reason, where=where):
        install(*items)


def test_every_command_of_the_drafts_is_read_or_refused_as_unsupported_by_name() -> None:
    arguments: dict[Command, cbor.Value] = {
        Command.DIRECTIVE_SET_COMPONENT_INDEX: True,
        Command.DIRECTIVE_OVERRIDE_PARAMETERS: {14: 1},
        Command.DIRECTIVE_SET_PARAMETERS: {14: 1},
        Command.DIRECTIVE_RUN_SEQUENCE: sequence(3, 15),
        Command.DIRECTIVE_TRY_EACH: (sequence(3, 15), None),
    }
    unread = set()
    for command in Command:
        items = (int(command), arguments.get(command, 15))
        made = {9: sequence(*items)}  # the one sequence where every command may stand
        if (reason := reason_of(lambda made=made: decode(made))) is not None:
            assert reason is Reason.UNSUPPORTED
            unread.add(int(command))
            continue
        assert decode(made).encode() == cbor.encode(body(made))
    assert unread == {4, 25, 26, 27, 28, 29, 33, 34, 35}


@pytest.mark.parametrize(
    ("number", "good", "bad"),
    [
        (1, (UUID5, cbor2.CBORTag(112, b"\x19\x04")), (UUID5[:15], b"", "v", 1,
            cbor2.CBORTag(112, "pen"), cbor2.CBORTag(112, None))),
        (2, (UUID5, UUID3, UUID4), (UUID5 + b"\0", None, cbor2.CBORTag(112, b"pen"), *NO_UUIDS)),
        (3, (DIGEST,), (b"", (-16, bytes(32)), DIGEST + b"\0", cbor.encode((-16, bytes(31))))),
        (5, (0, 2**64 - 1), (-1, True, b"")),
        (12, (True, False), (0, 1, None)),
        (13, (True, False), (0, 1, b"")),
        (14, (0, 2**64 - 1), (-1, False, "1", None)),
        (18, (b"", b"content"), ("content", None)),
        (21, ("", "http://example.com/x"), (b"uri", None, 1)),
        (19, (INFO,), (b"", INFO + b"\0", cbor2.loads(INFO), None, "info")),
        (22, (0,), (-1, (b"\0",), True)),
        (23, (b"args",), ("args",)),
        (24, (UUID5,), (b"", "device", *NO_UUIDS)),
        (25, (b"args",), ({},)),
    ],
)  # fmt: skip
def test_a_parameter_is_exactly_of_its_type(
    number: int, good: tuple[cbor.Value, ...], bad: tuple[cbor.Value, ...]
) -> None:
    for value in good:
        inner = sequence(20, {number: value})
        (outer,) = decode_sequence(sequence(32, inner), indices=frozenset({0}))
        assert isinstance(outer, RunSequence)
        (step,) = outer.steps
        assert isinstance(step, Override)
        assert list(step.parameters) == [Parameter(number)]
    for value in bad:
        with refused(Reason.MALFORMED):
            decode_sequence(sequence(20, {number: value}), indices=frozenset({0}))


def test_every_parameter_of_the_drafts_is_read_or_refused_as_unsupported_by_name() -> None:
    unread = set()
    for parameter in Parameter:
        try:
            decode_sequence(sequence(20, {int(parameter): ()}), indices=frozenset({0}))
        except Refused as error:
            if error.reason is Reason.UNSUPPORTED:
                unread.add(parameter)
    assert unread == set(Parameter) - set(PARAMETERS)
    assert {4, 26, 27, 28, 29, 30} == {int(parameter) for parameter in unread}


def test_encryption_info_is_typed_and_refused_where_it_stands() -> None:
    (step,) = decode_sequence(sequence(20, {19: INFO}), indices=frozenset({0}))
    assert isinstance(step, Override)
    assert step.parameters[Parameter.ENCRYPTION_INFO] == decode_encrypt(INFO)
    sign1 = cbor.encode(cbor2.CBORTag(18, (b"", {}, None, b"")))
    with refused(Reason.UNSUPPORTED, where="install[0]/encryption-info"):
        install(20, {19: sign1})


@pytest.mark.parametrize("command", [19, 20])
def test_a_source_that_is_no_component_is_refused(command: int) -> None:
    assert install(12, 0, command, {22: 1}, 22, 2, components=2).steps()
    for index in (2, 2**64 - 1):
        with refused(Reason.WRONG_COMPONENT, where="install[1]"):
            install(12, 0, command, {22: index}, components=2)
        with refused(Reason.WRONG_COMPONENT, where="install[1][0]"):
            install(12, 0, 32, sequence(command, {22: index}), components=2)


def test_an_image_digest_of_an_unknown_algorithm_is_refused() -> None:
    with refused(Reason.UNSUPPORTED_ALGORITHM):
        install(20, {3: cbor.encode((2, bytes(32)))})


def nest(levels: int) -> bytes:
    made = sequence(3, 15)
    for _ in range(levels):
        made = sequence(32, made)
    return made


def test_sequences_nested_past_the_limit_are_refused() -> None:
    (outer,) = decode_sequence(nest(DEFAULT.nesting), indices=frozenset({0}))
    assert isinstance(outer, RunSequence)
    with refused(Reason.LIMIT_EXCEEDED):
        decode_sequence(nest(DEFAULT.nesting + 1), indices=frozenset({0}))
    with refused(Reason.LIMIT_EXCEEDED):
        decode_sequence(nest(200), indices=frozenset({0}))


def test_more_commands_than_the_limit_are_refused() -> None:
    pair = (3, 15)
    assert (
        len(decode_sequence(sequence(*pair * DEFAULT.commands), indices=frozenset({0})))
        == DEFAULT.commands
    )
    with refused(Reason.LIMIT_EXCEEDED):
        decode_sequence(sequence(*pair * (DEFAULT.commands + 1)), indices=frozenset({0}))


def test_with_two_components_each_sequence_says_first_which_one_it_is_about() -> None:
    manifest = install(12, (1, 0), *FETCH, components=2)
    (index, *_) = manifest.sequences[ManifestKey.INSTALL]
    assert index == SetIndex((1, 0))
    with refused(Reason.MALFORMED, where="install"):
        install(*FETCH, components=2)
    with refused(Reason.MALFORMED, where="install"):
        install(32, sequence(12, 0, 3, 15), components=2)
    ids = ((b"\0",), (b"\1",))
    validate = sequence(12, 0, 3, 15)
    shared = common(components=ids, shared=sequence(1, 15))
    with refused(Reason.MALFORMED, where="common/shared-sequence"):
        decode({3: shared, 7: validate})


def test_a_component_listed_twice_is_refused_even_where_each_sequence_names_its_own() -> None:
    validate = sequence(12, 0, 3, 15)
    decode({3: common(components=((b"\0",), (b"\1",))), 7: validate})
    with refused(Reason.MALFORMED):
        decode({3: common(components=((b"\0",), (b"\0",))), 7: validate})


def test_as_many_components_as_the_limit_are_read() -> None:
    every = tuple((bytes([number]),) for number in range(DEFAULT.components + 1))
    validate = sequence(12, 0, 3, 15)
    decode({3: common(components=every[:-1]), 7: validate})
    with refused(Reason.LIMIT_EXCEEDED):
        decode({3: common(components=every), 7: validate})


def test_a_map_whose_keys_are_a_digest_or_a_wrapper_is_neither() -> None:
    with refused(Reason.MALFORMED):
        decode_digest(cbor.encode({-16: 0, bytes(32): 0}))
    manifest = cbor.encode(body())
    wrapper = cbor.encode({covered(manifest): 0})
    with refused(Reason.MALFORMED):
        envelopes.decode(cbor.encode(cbor2.CBORTag(107, {2: wrapper, 3: manifest})))


def test_all_components_may_be_named_at_once() -> None:
    manifest = install(12, True, 3, 15, components=3)
    assert manifest.sequences[ManifestKey.INSTALL][0] == SetIndex(index=True)
    assert b"\x0c\xf5" in manifest.encode()


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_a_signed_manifest_of_arbitrary_parts_is_read_back_or_refused(data: st.DataObject) -> None:
    small = st.recursive(
        st.integers(-2, 35) | st.booleans() | st.none() | st.binary(max_size=3) | st.just(DIGEST),
        lambda inner: (
            st.lists(inner, max_size=4).map(tuple)
            | st.dictionaries(st.integers(0, 30), inner, max_size=3)
            | st.lists(st.integers(1, 35) | inner, max_size=6).map(lambda x: cbor.encode(tuple(x)))
        ),
        max_leaves=8,
    )
    changes = data.draw(st.dictionaries(st.sampled_from([2, 3, 4, 7, 16, 20, 23]), small))
    made = cbor.encode(body(changes))
    reason = reason_of(lambda: manifests.decode(made))
    assert reason is None or reason in REASONS
    if reason is None:
        assert manifests.decode(made).encode() == made


@settings(max_examples=80, deadline=None)
@given(st.binary(max_size=300))
def test_arbitrary_bytes_as_sequence_manifest_or_envelope_only_ever_refuse(data: bytes) -> None:
    for read in (envelopes.decode, manifests.decode):
        with pytest.raises(Refused):
            read(data)
    reason = reason_of(lambda: decode_sequence(data, indices=frozenset({0})))
    assert reason is None or reason in REASONS


@pytest.mark.parametrize("number", [7, 8, 15, 16, 18, 20])
def test_invoke_outside_of_the_invoke_sequence_is_refused(number: int) -> None:
    branch = sequence(23, 2)
    nested = (sequence(32, branch), sequence(15, (sequence(14, 15), branch)))
    for made, place in ((branch, "[0]"), *((one, "[0][0]") for one in nested)):
        with refused(Reason.MALFORMED, where=f"{spelled(ManifestKey(number))}{place}"):
            decode({number: made})
        assert decode({9: made}).steps()


@pytest.mark.parametrize("command", [19, 20])
def test_soft_failure_outside_of_a_nested_sequence_is_refused(command: int) -> None:
    soft = sequence(command, {13: True})
    for number in (7, 9, 20):
        with refused(Reason.MALFORMED, where=f"{spelled(ManifestKey(number))}[0]"):
            decode({number: soft})
        assert decode({number: sequence(32, soft)}).steps()
    if command == 20:
        with refused(Reason.MALFORMED, where="common/shared-sequence[0]"):
            decode({3: common(shared=soft)})


def test_set_parameters_may_stand_in_a_shared_sequence_as_override_may() -> None:
    # SUIT trust-domains-12 5.6.1
    for shared in (sequence(19, {14: 1}), sequence(32, sequence(19, {14: 1}))):
        assert decode({3: common(shared=shared)}).shared_sequence


def test_more_branches_than_the_limit_are_refused() -> None:
    pair = sequence(3, 15)
    assert install(15, (pair,) * DEFAULT.branches).steps()
    with refused(Reason.LIMIT_EXCEEDED, where="install[0]"):
        install(15, (pair,) * (DEFAULT.branches + 1))


def test_a_profile_may_lower_every_limit_of_a_manifest() -> None:
    one = ((b"\0",), (b"\1",))
    shared = sequence(12, 0, 1, 15, 2, 15)
    made = {3: common(components=one, shared=shared), 7: sequence(12, 0, 3, 15)}
    data = cbor.encode(body({**made, 20: sequence(12, 0, 15, (sequence(3, 15),) * 3)}))
    assert manifests.decode(data).encode() == data
    for lower in (
        {"manifest_bytes": len(data) - 1},
        {"depth": 1},
        {"items": 5},
        {"commands": 2},
        {"branches": 2},
        {"nesting": 0},
        {"components": 1},
    ):
        with refused(Reason.LIMIT_EXCEEDED):
            manifests.decode(data, limits=Limits(**lower))
