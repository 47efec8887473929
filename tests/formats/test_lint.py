"""What is legal and leaves a device without a check is found, at its place, and nothing else is."""

from __future__ import annotations

import pytest

from fwseal.base.digest import Digest
from fwseal.base.errors import Refused
from fwseal.base.reasons import REASONS, Reason
from fwseal.suit.labels import Command, ManifestKey, Parameter
from fwseal.suit.lint import SHARED, Finding, lint
from fwseal.suit.manifest import Manifest
from fwseal.suit.sequence import (
    Override,
    Plain,
    RunSequence,
    Sequence,
    SetIndex,
    SetParameters,
    Step,
    TryEach,
)
from workshop import CLASS, PAYLOAD, VENDOR

DIGEST = Digest.of(PAYLOAD)
IDENTITY = Override({
    Parameter.VENDOR_IDENTIFIER: VENDOR.bytes, Parameter.CLASS_IDENTIFIER: CLASS.bytes,
})  # fmt: skip
IMAGE = Override({Parameter.IMAGE_DIGEST: DIGEST})
VENDOR_OK = Plain(Command.CONDITION_VENDOR_IDENTIFIER, 15)
CLASS_OK = Plain(Command.CONDITION_CLASS_IDENTIFIER, 15)
ABORT = Plain(Command.CONDITION_ABORT, 0)
MATCH = Plain(Command.CONDITION_IMAGE_MATCH, 15)
CONTENT = Plain(Command.CONDITION_CHECK_CONTENT, 15)
INTEGRITY = Plain(Command.CONDITION_DEPENDENCY_INTEGRITY, 15)
FETCH = Plain(Command.DIRECTIVE_FETCH, 2)
WRITE = Plain(Command.DIRECTIVE_WRITE, 2)
COPY = Plain(Command.DIRECTIVE_COPY, 2)
SWAP = Plain(Command.DIRECTIVE_SWAP, 2)
SOFT = Override({Parameter.SOFT_FAILURE: True})
HARD = Override({Parameter.SOFT_FAILURE: False})
SHARED_OK: Sequence = (SetIndex(True), IDENTITY, VENDOR_OK, CLASS_OK, SetIndex(0), IMAGE)

INSTALL, FETCHED, VERIFIED = (
    ManifestKey.INSTALL, ManifestKey.PAYLOAD_FETCH, ManifestKey.CANDIDATE_VERIFICATION,
)  # fmt: skip


def source(index: int) -> Override:
    """Answer the step that names the component to copy from."""
    return Override({Parameter.SOURCE_COMPONENT: index})


def found(
    *install: Step,
    shared: Sequence = SHARED_OK,
    number: int = 7,
    above: int | None = None,
    components: int = 3,
    dependencies: tuple[int, ...] = (),
    sequences: dict[ManifestKey, Sequence | Digest] | None = None,
) -> list[tuple[Reason, str]]:
    """Answer Reason and place of each finding; each has words and a remedy of its own."""
    manifest = Manifest(
        sequence_number=number,
        components=tuple((bytes([index]),) for index in range(components)),
        dependencies=dict.fromkeys(dependencies),
        shared_sequence=shared,
        sequences={INSTALL: install, **(sequences or {})},
    )
    all_of_them = lint(manifest, above=above)
    assert all(one.message and one.remedy for one in all_of_them)
    return [(one.reason, one.where) for one in all_of_them]


def unchecked(*places: str) -> list[tuple[Reason, str]]:
    """Answer findings of that Reason."""
    return [(Reason.UNCHECKED, place) for place in places]


def test_manifest_that_checks_vendor_class_and_image_has_no_finding() -> None:
    assert found(IMAGE, FETCH, MATCH) == []


# Sequence numbers


@pytest.mark.parametrize(("above", "bad"), [(None, False), (6, False), (7, True), (8, True)])
def test_sequence_number_that_is_not_above_the_last_release_is_rollback(
    above: int | None, bad: bool
) -> None:
    expected = [(Reason.ROLLBACK, "manifest/sequence-number")] if bad else []
    assert found(FETCH, MATCH, above=above) == expected


def test_remedy_for_rollback_names_the_lowest_number_that_will_do() -> None:
    manifest = Manifest(
        sequence_number=3, components=((b"",),), shared_sequence=SHARED_OK, sequences={}
    )
    assert "42" in lint(manifest, above=41)[0].remedy


# Vendor and class


@pytest.mark.parametrize(
    ("shared", "missing"),
    [
        ((), 2),
        ((IDENTITY, VENDOR_OK), 1),
        ((IDENTITY, CLASS_OK), 1),
        ((IDENTITY, CLASS_OK, VENDOR_OK), 0),
        ((IDENTITY, TryEach(((VENDOR_OK, CLASS_OK), None))), 2),
        ((IDENTITY, TryEach(((VENDOR_OK, CLASS_OK), (VENDOR_OK, CLASS_OK)))), 2),
        ((IDENTITY, RunSequence((SOFT, VENDOR_OK, CLASS_OK))), 2),
        ((IDENTITY, RunSequence((VENDOR_OK, CLASS_OK, SOFT))), 2),
        ((IDENTITY, RunSequence((SetParameters({Parameter.SOFT_FAILURE: True}), VENDOR_OK))), 2),
        ((IDENTITY, RunSequence((SOFT, RunSequence((VENDOR_OK, CLASS_OK))))), 2),
        ((IDENTITY, RunSequence((HARD, VENDOR_OK)), CLASS_OK), 0),
        ((IDENTITY, RunSequence((IDENTITY, RunSequence((VENDOR_OK, CLASS_OK))))), 0),
    ],
)
def test_vendor_and_class_must_be_asked_in_any_case(shared: Sequence, missing: int) -> None:
    assert found(FETCH, MATCH, shared=shared) == unchecked(*[SHARED] * missing)


def test_vendor_and_class_are_asked_for_each_component_that_is_written() -> None:
    first = (SetIndex(0), IDENTITY, VENDOR_OK, CLASS_OK)
    write: Sequence = (SetIndex(1), FETCH, MATCH)
    assert found(*write, shared=first) == unchecked(SHARED, SHARED)
    assert found(RunSequence(write), shared=first) == unchecked(SHARED, SHARED)
    assert found(*write, shared=(SetIndex((0, 1)), *first[1:])) == []
    assert found(*write, shared=(*first, SetIndex(1), VENDOR_OK)) == unchecked(SHARED)
    assert found(SetIndex(1), FETCH, INTEGRITY, shared=first, dependencies=(1,)) == []
    assert found(SetIndex(2), MATCH, shared=first) == []


# Writes


@pytest.mark.parametrize("write", [FETCH, WRITE, COPY, SWAP])
@pytest.mark.parametrize("check", [MATCH, CONTENT])
def test_component_that_is_written_must_be_matched_behind_it(write: Plain, check: Plain) -> None:
    assert found(source(1), write, check) == []
    assert found(source(1), write) == unchecked("install[1]")
    assert found(source(1), check, write) == unchecked("install[2]")
    assert found(source(1), write, ABORT) == unchecked("install[1]")


def test_match_of_another_component_is_no_match() -> None:
    assert found(FETCH, SetIndex(1), MATCH) == unchecked("install[0]")
    assert found(FETCH, SetIndex(1), FETCH, MATCH, SetIndex(0), MATCH) == []


def test_indices_given_as_array_or_true_are_each_owed_for() -> None:
    both = SetIndex((0, 2))
    assert found(both, FETCH, MATCH) == []
    assert found(both, FETCH, SetIndex(2), MATCH) == unchecked("install[1]")
    assert found(both, FETCH, SetIndex(index=True), MATCH) == []
    assert found(SetIndex(index=True), FETCH, both, MATCH) == unchecked("install[1]")


def test_only_the_last_write_into_a_component_is_owed_for() -> None:
    assert found(FETCH, FETCH) == unchecked("install[1]")
    assert found(FETCH, FETCH, MATCH) == []


def test_match_in_validate_comes_too_late_for_install() -> None:
    later: dict[ManifestKey, Sequence | Digest] = {ManifestKey.VALIDATE: (MATCH,)}
    assert found(FETCH, sequences=later) == unchecked("install[0]")


def test_match_in_the_shared_sequence_is_in_front_of_what_is_written() -> None:
    assert found(FETCH, shared=(*SHARED_OK, MATCH)) == unchecked("install[0]")


def test_candidate_verification_may_check_what_payload_fetch_fetched_and_nothing_else() -> None:
    assert found(sequences={FETCHED: (FETCH,), VERIFIED: (MATCH,)}) == []
    assert found(sequences={FETCHED: (FETCH,), VERIFIED: (ABORT,)}) == unchecked("payload-fetch[0]")
    resolved: dict[ManifestKey, Sequence | Digest] = {
        ManifestKey.DEPENDENCY_RESOLUTION: (FETCH,), VERIFIED: (MATCH,),
    }  # fmt: skip
    assert found(sequences=resolved) == unchecked("dependency-resolution[0]")


def test_findings_stand_in_the_order_in_which_a_device_would_meet_them() -> None:
    fetch: Sequence = (SetIndex(2), FETCH)
    assert found(FETCH, sequences={FETCHED: fetch}) == unchecked("payload-fetch[1]", "install[0]")
    late = (SetIndex(1), FETCH, *(ABORT,) * 8, SetIndex(2), FETCH)
    assert found(*late) == unchecked("install[1]", "install[11]")
    assert found(*late[:2], *late[-2:]) == unchecked("install[1]", "install[3]")
    swapped = (SetIndex(2), FETCH, *(ABORT,) * 8, SetIndex(1), FETCH)
    assert found(*swapped, RunSequence((FETCH,))) == unchecked("install[1]", "install[12][0]")
    assert found(ABORT, *swapped) == unchecked("install[2]", "install[12]")


def test_severed_sequence_that_is_not_here_is_not_looked_into() -> None:
    assert found(FETCH, MATCH, sequences={FETCHED: DIGEST}) == []


# Staging


@pytest.mark.parametrize("move", [COPY, SWAP])
def test_staging_area_is_owed_for_where_it_was_copied_to(move: Plain) -> None:
    fetch: Sequence = (SetIndex(1), FETCH)
    assert found(source(1), move, MATCH, sequences={FETCHED: fetch}) == []
    assert found(source(1), move, sequences={FETCHED: fetch}) == unchecked("install[1]")
    assert found(source(2), move, MATCH, sequences={FETCHED: fetch}) == unchecked(
        "payload-fetch[1]"
    )
    assert found(move, MATCH, sequences={FETCHED: fetch}) == unchecked("payload-fetch[1]")


def test_source_component_that_is_set_already_does_not_yield_to_set_parameters() -> None:
    other = SetParameters({Parameter.SOURCE_COMPONENT: 2})
    fetch: Sequence = (SetIndex(1), FETCH)
    assert found(source(1), other, COPY, MATCH, sequences={FETCHED: fetch}) == []
    one = SetParameters({Parameter.SOURCE_COMPONENT: 1})
    assert found(one, COPY, MATCH, sequences={FETCHED: fetch}) == []
    assert found(other, source(1), COPY, MATCH, sequences={FETCHED: fetch}) == []


def test_source_component_of_the_shared_sequence_is_known_everywhere() -> None:
    fetch: Sequence = (SetIndex(1), FETCH)
    shared = (*SHARED_OK, source(1))
    assert found(COPY, MATCH, shared=shared, sequences={FETCHED: fetch}) == []


# Sequences inside sequences


def test_what_any_branch_of_try_each_leaves_unmatched_is_found() -> None:
    good, bad = (FETCH, MATCH), (FETCH,)
    assert found(TryEach((good, good))) == []
    assert found(TryEach((good, bad))) == unchecked("install[0][0]")
    assert found(TryEach((bad, None))) == unchecked("install[0][0]")
    assert found(TryEach((bad, None)), MATCH) == []
    assert found(FETCH, TryEach(((MATCH,), (MATCH,)))) == []
    assert found(FETCH, TryEach(((MATCH,), None))) == unchecked("install[0]")


def test_source_component_that_a_branch_chose_may_be_any_of_them() -> None:
    choice = TryEach(((source(1),), (source(2),)))
    for index in (1, 2):
        fetch: Sequence = (SetIndex(index), FETCH)
        assert found(choice, COPY, MATCH, sequences={FETCHED: fetch}) == []


def test_match_in_a_sequence_that_may_fail_softly_is_no_match() -> None:
    assert found(RunSequence((SOFT, FETCH, MATCH))) == unchecked("install[0][1]")
    assert found(FETCH, RunSequence((SOFT, MATCH))) == unchecked("install[0]")
    assert found(FETCH, RunSequence((SOFT, RunSequence((MATCH,))))) == unchecked("install[0]")
    assert found(FETCH, RunSequence((MATCH,))) == []
    assert found(FETCH, RunSequence((HARD, MATCH))) == []


def test_nested_sequence_gives_the_component_index_back() -> None:
    assert found(RunSequence((SetIndex(1),)), FETCH, MATCH) == []
    assert found(FETCH, RunSequence((SetIndex(1),)), MATCH) == []
    assert found(FETCH, RunSequence((SetIndex(1), MATCH))) == unchecked("install[0]")


# Dependencies


def test_dependency_that_is_fetched_must_have_its_integrity_checked() -> None:
    assert found(SetIndex(1), FETCH, INTEGRITY, dependencies=(1,)) == []
    assert found(SetIndex(1), FETCH, MATCH, dependencies=(1,)) == []
    assert found(SetIndex(1), FETCH, CONTENT, dependencies=(1,)) == unchecked("install[1]")
    assert found(SetIndex(1), FETCH, dependencies=(1,)) == unchecked("install[1]")
    assert found(SetIndex(1), FETCH, INTEGRITY) == unchecked("install[1]")


def test_dependency_past_the_list_of_components_is_one_of_all() -> None:
    everything = (SetIndex(index=True), FETCH, MATCH)
    assert found(*everything, dependencies=(5,)) == []
    one_missing = (SetIndex(index=True), FETCH, SetIndex((0, 1, 2)), MATCH)
    assert found(*one_missing, dependencies=(5,)) == unchecked("install[1]")


# Digests


def test_image_digest_by_set_parameters_is_for_dependencies_alone() -> None:
    weak = SetParameters({Parameter.IMAGE_DIGEST: DIGEST})
    assert found(weak, FETCH, MATCH) == unchecked("install[0]")
    assert found(SetParameters({Parameter.IMAGE_SIZE: 7}), FETCH, MATCH) == []
    assert found(SetIndex(1), weak, dependencies=(1,)) == []
    assert found(SetIndex((0, 1)), weak, dependencies=(1,)) == unchecked("install[1]")
    nested = TryEach(((ABORT,), (weak, FETCH, MATCH)))
    assert found(nested) == unchecked("install[0][0]")
    both = {ManifestKey.VALIDATE: (MATCH,)}
    shared = (*SHARED_OK, weak)
    assert found(FETCH, MATCH, shared=shared, sequences=dict(both)) == unchecked(
        f"{SHARED}[{len(SHARED_OK)}]"
    )


# Findings


def test_what_a_device_refuses_becomes_a_finding_with_a_remedy() -> None:
    error = Refused(Reason.WRONG_CLASS, "another class", where="install[0]")
    one = Finding.of(error)
    assert (one.reason, one.where, one.message) == (error.reason, error.where, error.message)
    assert one.remedy == REASONS[Reason.WRONG_CLASS].remedy
    again = one.refusal()
    assert (again.reason, again.where, again.hint) == (error.reason, error.where, one.remedy)
    assert Finding.of(again) == one
