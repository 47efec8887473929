"""Each command and each control flow: what it may do, and how far its failure goes.

`run` asserts for every program here that what is refused never reaches Finish.
"""

from __future__ import annotations

import dataclasses
import secrets
import time
import uuid
from typing import TYPE_CHECKING

import pytest

from formats.refusals import refused
from fwseal.base.digest import Digest
from fwseal.base.reasons import Reason
from fwseal.cose.encryption import ContentAlgorithm, Kek, encrypted
from fwseal.device import processor
from fwseal.device.admission import Installed
from fwseal.device.effects import Finish
from fwseal.device.machine import Procedure
from fwseal.device.profile import Component
from fwseal.suit.labels import ManifestKey, Parameter
from fwseal.suit.limits import Limits
from fwseal.suit.manifest import Manifest
from fwseal.suit.sequence import RunSequence, SetIndex, SetParameters, TryEach
from programs import (
    ABORT,
    CLASS_OK,
    CONTENT_OK,
    COPY,
    DEPENDENCY_KEY,
    DEVICE_OK,
    FETCH,
    HARD,
    INTEGRITY,
    INVOKE,
    IS_DEPENDENCY,
    KEY,
    MATCH,
    ORDERED,
    PROCESS,
    SLOT_OK,
    SOFT,
    SWAP,
    UNORDERED,
    VENDOR_OK,
    WRITE,
    A,
    B,
    C,
    M,
    N,
    Outcome,
    admitted,
    board,
    digest_of,
    image,
    put,
    run,
    sealed,
)
from workshop import CLASS, VENDOR, anchor

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fwseal.base.ids import ComponentId
    from fwseal.suit.authenticate import Anchor
    from fwseal.suit.sequence import Sequence

ONE, TWO = b"one" * 30, b"two" * 20
FILES = {"one.bin": ONE, "two.bin": TWO}
HERE = {A: ONE, B: TWO}
MATCHED: Sequence = (SetIndex(0), MATCH)
EVERY = (A, B, C)


NOTHING: Sequence = (SetIndex(0), VENDOR_OK)


def program(
    *install: object,
    validate: Sequence = NOTHING,
    components: tuple[ComponentId, ...] = EVERY,
    **more: Sequence,
) -> Manifest:
    """Answer a manifest that knows image one and its device, and does this in install."""
    keys = {ManifestKey[name.upper()]: steps for name, steps in more.items()}
    return Manifest(
        sequence_number=2,
        components=components,
        shared_sequence=(
            SetIndex(True),
            image(ONE),
            put(vendor_identifier=VENDOR.bytes, uri="one.bin", content=ONE),
        ),
        sequences={ManifestKey.INSTALL: install, ManifestKey.VALIDATE: validate, **keys},
    )


def result(*install: object, validate: Sequence = NOTHING) -> Outcome:
    return run(program(*install, validate=validate), FILES, kept=HERE)


ZERO = SetIndex(0)

CASES: Mapping[str, tuple[tuple[object, ...], Reason | None]] = {
    "image-match of another size": ((ZERO, put(image_size=5), MATCH), Reason.PAYLOAD_SIZE),
    "image-match of another digest": ((SetIndex(1), put(image_size=60), MATCH),
                                      Reason.PAYLOAD_DIGEST),
    "check-content of the same": ((ZERO, CONTENT_OK), None),
    "check-content of another": ((SetIndex(1), CONTENT_OK), Reason.CONDITION_FAILED),
    "abort": ((ZERO, ABORT), Reason.ABORTED),
    "is-dependency of a payload": ((ZERO, IS_DEPENDENCY), Reason.CONDITION_FAILED),
    "integrity of a payload": ((ZERO, INTEGRITY), Reason.ABORTED),
    "integrity of a payload, softly": ((ZERO, RunSequence((SOFT, INTEGRITY))), Reason.ABORTED),
    "process of a payload": ((ZERO, PROCESS), Reason.ABORTED),
    "process of all where none depends": ((SetIndex(True), PROCESS), None),
    "process of several where none depends": ((SetIndex((0, 1)), PROCESS), Reason.ABORTED),
    "slot of a component that has none": ((SetIndex(2), put(component_slot=0), SLOT_OK),
                                          Reason.WRONG_SLOT),
    "slot never said": ((ZERO, SLOT_OK), Reason.WRONG_SLOT),
    "copy without source": ((ZERO, COPY), Reason.COMMAND_FAILED),
    "copy from itself": ((ZERO, put(source_component=0), COPY), Reason.COMMAND_FAILED),
    "copy from nothing": ((ZERO, put(source_component=2), COPY), Reason.COMMAND_FAILED),
    "swap without source": ((ZERO, SWAP), Reason.COMMAND_FAILED),
    "swap with itself": ((ZERO, put(source_component=0), SWAP), Reason.COMMAND_FAILED),
    "swap with nothing": ((ZERO, put(source_component=2), SWAP), Reason.COMMAND_FAILED),
    "swap into nothing": ((SetIndex(2), put(source_component=0), SWAP), Reason.COMMAND_FAILED),
    "fetch of what is not there": ((ZERO, put(uri="none.bin"), FETCH), Reason.PAYLOAD_MISSING),
    "directive in a soft sequence": ((ZERO, RunSequence((SOFT, put(uri="none.bin"), FETCH))),
                                     Reason.PAYLOAD_MISSING),
    "directive in try-each": ((ZERO, TryEach(((put(uri="none.bin"), FETCH), None))),
                              Reason.PAYLOAD_MISSING),
    "soft run-sequence": ((ZERO, RunSequence((SOFT, ABORT))), None),
    "hard run-sequence": ((ZERO, RunSequence((ABORT,))), Reason.ABORTED),
    "soft, then hard again": ((ZERO, RunSequence((SOFT, HARD, ABORT))), Reason.ABORTED),
    "hard inside soft": ((ZERO, RunSequence((SOFT, RunSequence((ABORT,))))), None),
    "set-parameters softens nothing": (
        (ZERO, RunSequence((SetParameters({Parameter.SOFT_FAILURE: True}), ABORT))),
        Reason.ABORTED,
    ),
    "second branch": ((ZERO, TryEach(((ABORT,), (VENDOR_OK,)))), None),
    "nil branch": ((ZERO, TryEach(((ABORT,), None))), None),
    "all branches fail": ((ZERO, TryEach(((ABORT,), (IS_DEPENDENCY,)))), Reason.CONDITION_FAILED),
    "all branches fail, softly around": (
        (ZERO, RunSequence((SOFT, TryEach(((ABORT,), (ABORT,)))))), None
    ),
    "hard branch": ((ZERO, TryEach(((HARD, ABORT), (VENDOR_OK,)))), Reason.ABORTED),
    "hard branch inside a soft one": (
        (ZERO, TryEach(((TryEach(((HARD, ABORT), (VENDOR_OK,))),), None))), None
    ),
    "index set in unordered run-sequence": (
        (ZERO, UNORDERED, RunSequence((SetIndex(1), VENDOR_OK))), None
    ),
    "index not set in unordered run-sequence": (
        (ZERO, UNORDERED, RunSequence((VENDOR_OK,))), Reason.ABORTED
    ),
    "index set late in unordered run-sequence": (
        (ZERO, UNORDERED, RunSequence((VENDOR_OK, SetIndex(1)))), Reason.ABORTED
    ),
    "index set twice in unordered run-sequence": (
        (ZERO, UNORDERED, RunSequence((SetIndex(1), SetIndex(2)))), Reason.ABORTED
    ),
    "index set in unordered run-sequence over an array": (
        (SetIndex((0, 1)), UNORDERED, RunSequence((SetIndex(1), VENDOR_OK))), Reason.ABORTED
    ),
    "index set in unordered run-sequence over an array of one": (
        (SetIndex((0,)), UNORDERED, RunSequence((SetIndex(1), VENDOR_OK))), Reason.ABORTED
    ),
    "index set in unordered run-sequence over all": (
        (SetIndex(True), UNORDERED, RunSequence((SetIndex(1), VENDOR_OK))), Reason.ABORTED
    ),
    "index set deeper inside unordered run-sequence": (
        (SetIndex((0, 1)), UNORDERED, RunSequence((TryEach(((SetIndex(1),), None)),))),
        Reason.ABORTED,
    ),
    "unordered over an array": ((SetIndex((0, 1)), UNORDERED, RunSequence((VENDOR_OK,))), None),
    "ordered again": ((ZERO, UNORDERED, ORDERED, RunSequence((VENDOR_OK,))), None),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_program_ends_as_the_drafts_say_and_a_failure_goes_exactly_that_far(name: str) -> None:
    install, reason = CASES[name]
    found = result(*install)
    assert found.reason is reason
    if reason is not None:
        assert found.where.startswith(("install[", "none.bin")) or found.effects
        assert found.kept == HERE


def test_command_that_needs_a_parameter_nobody_set_is_refused_and_touches_nothing() -> None:
    for command, reason in (
        (MATCH, Reason.CONDITION_FAILED),
        (CONTENT_OK, Reason.CONDITION_FAILED),
        (VENDOR_OK, Reason.WRONG_VENDOR),
        (FETCH, Reason.COMMAND_FAILED),
        (WRITE, Reason.COMMAND_FAILED),
    ):
        bare = dataclasses.replace(program(ZERO, command), shared_sequence=())
        found = run(bare, FILES, kept=HERE)
        assert (found.reason, found.kinds, found.kept) == (reason, "", HERE)


def test_component_of_another_processor_goes_by_its_own_identifiers() -> None:
    own = Component(vendor_id=uuid.uuid5(VENDOR, "radio"), class_id=uuid.uuid5(CLASS, "radio"))
    device = board(components={A: Component(), B: own, C: Component()})
    assert own.vendor_id
    assert own.class_id
    theirs = put(vendor_identifier=own.vendor_id.bytes, class_identifier=own.class_id.bytes)
    right = program(SetIndex(1), theirs, VENDOR_OK, CLASS_OK)
    assert run(admitted(right, device), FILES).reason is None
    assert run(admitted(program(ZERO, theirs, VENDOR_OK), device)).reason is Reason.WRONG_VENDOR
    assert run(admitted(program(ZERO, theirs, CLASS_OK), device)).reason is Reason.WRONG_CLASS
    assert run(admitted(program(SetIndex(1), VENDOR_OK), device)).reason is Reason.WRONG_VENDOR
    assert run(admitted(program(ZERO, DEVICE_OK), device)).reason is Reason.WRONG_DEVICE


def test_slot_that_is_written_next_is_the_devices_own_and_no_other_image_goes_there() -> None:
    device = board(components={A: Component(slots=(1, 0)), B: Component(), C: Component()})
    for mine, slot, reason in (
        ({}, 1, None),
        ({}, 0, Reason.WRONG_SLOT),
        ({A: 0}, 0, None),
        ({A: 0}, 1, Reason.WRONG_SLOT),
    ):
        what = program(ZERO, put(component_slot=slot), SLOT_OK)
        ready = admitted(what, device, Installed(sequence_number=None, slots=mine))
        assert run(ready).reason is reason


def test_set_parameters_never_replaces_what_was_set_and_override_does() -> None:
    kind = {Parameter.URI: "two.bin"}
    assert result(ZERO, SetParameters(kind), FETCH, validate=MATCHED).reason is None
    bare = dataclasses.replace(program(ZERO, SetParameters(kind), FETCH), shared_sequence=())
    assert run(bare, FILES).kept == {A: TWO}
    assert result(ZERO, put(uri="two.bin"), FETCH, validate=MATCHED).reason is (
        Reason.DIGEST_MISMATCH
    )


def test_failed_branch_leaves_no_parameter_and_no_index_behind_but_what_it_wrote_is_known() -> None:
    branch: Sequence = (SetIndex(1), put(uri="two.bin", content=TWO), WRITE, ABORT)
    found = result(ZERO, TryEach((branch, None)), FETCH, validate=(ZERO, MATCH))
    assert found.kept == {A: ONE, B: TWO}
    assert found.reason is Reason.CONDITION_FAILED  # component 1 was written all the same
    found = result(
        ZERO, TryEach((branch, (SetIndex(1), CONTENT_OK), None)), FETCH,
        validate=(SetIndex((0, 1)), TryEach(((MATCH,), (image(TWO), MATCH)))),
    )  # fmt: skip
    assert found.reason is None
    assert found.finish.components == (A, B)


def test_soft_run_sequence_that_failed_leaves_no_parameter_and_a_successful_one_keeps_them() -> (
    None
):
    lost = result(ZERO, RunSequence((SOFT, put(uri="two.bin"), ABORT)), FETCH, validate=MATCHED)
    assert (lost.reason, lost.kept[A]) == (None, ONE)
    kept = result(ZERO, RunSequence((put(uri="two.bin"), SetIndex(1))), FETCH, validate=MATCHED)
    assert (kept.reason, kept.kept[A]) == (Reason.DIGEST_MISMATCH, TWO)


def test_try_each_over_several_components_chooses_for_each_of_them_anew() -> None:
    found = result(
        SetIndex((0, 1, 2)), TryEach(((MATCH,), (FETCH,))), validate=(SetIndex((1, 2)), MATCH)
    )
    assert found.reason is None
    assert found.kinds == "MMFMFMM."
    assert found.kept == {A: ONE, B: ONE, C: ONE}


OWED: Mapping[str, tuple[tuple[object, ...], Sequence, Reason | None]] = {
    "fetched and matched": ((ZERO, FETCH), MATCHED, None),
    "written and compared": ((ZERO, WRITE), (ZERO, CONTENT_OK), None),
    "fetched, matched in install alone": ((ZERO, FETCH, MATCH), (ZERO, VENDOR_OK),
                                          Reason.CONDITION_FAILED),
    "compared in install alone": ((ZERO, WRITE, CONTENT_OK), (ZERO, VENDOR_OK),
                                  Reason.CONDITION_FAILED),
    "fetched and another matched": ((SetIndex(2), FETCH), MATCHED, Reason.CONDITION_FAILED),
    "matched softly and not equal": (
        (ZERO, put(uri="two.bin"), FETCH), (ZERO, RunSequence((SOFT, MATCH))),
        Reason.CONDITION_FAILED,
    ),
    "fetched behind its match": ((ZERO, FETCH), (ZERO, MATCH, FETCH), Reason.CONDITION_FAILED),
    "copied, the source never matched": (
        (SetIndex(2), FETCH, ZERO, put(source_component=2), COPY), MATCHED, None,
    ),
    "copied, only the source matched": (
        (SetIndex(2), FETCH, ZERO, put(source_component=2), COPY), (SetIndex(2), MATCH),
        Reason.CONDITION_FAILED,
    ),
    "swapped in and matched": (
        (SetIndex(2), FETCH, ZERO, put(source_component=2), SWAP), MATCHED, None,
    ),
    "swapped out under the source's name": (
        (SetIndex(2), put(uri="two.bin"), FETCH, put(source_component=0), SWAP),
        (SetIndex(2), MATCH), Reason.CONDITION_FAILED,
    ),
    "matched, then swapped": (
        (SetIndex(2), FETCH), (SetIndex(2), MATCH, put(source_component=0), SWAP, MATCH),
        Reason.CONDITION_FAILED,
    ),
    "swapped with what was never written, the target matched": (
        (ZERO, put(source_component=1), SWAP), (ZERO, image(TWO), MATCH), None,
    ),
    "swapped with what was never written": (
        (ZERO, put(source_component=1), SWAP), (SetIndex(1), VENDOR_OK),
        Reason.CONDITION_FAILED,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", OWED)
def test_component_that_was_written_is_finished_only_when_validate_saw_its_last_content(
    name: str,
) -> None:
    install, validate, reason = OWED[name]
    assert result(*install, validate=validate).reason is reason


def test_copy_and_swap_finish_what_they_wrote_and_not_what_they_took_it_from() -> None:
    source = put(source_component=2)
    for command in (COPY, SWAP):
        found = result(SetIndex(2), FETCH, ZERO, source, command, validate=MATCHED)
        assert found.finish.components == (A,)
    back = result(
        SetIndex(2), FETCH, put(source_component=0), SWAP,
        validate=(SetIndex((0, 2)), MATCH),
    )  # fmt: skip
    assert back.finish.components == (A, C)


PARALLEL: Mapping[str, tuple[tuple[object, ...], bool]] = {
    "read, then written": ((SetIndex(1), COPY, FETCH), False),
    "chain": ((SetIndex((1, 2)), UNORDERED, COPY), True),
    "chain with an order": ((SetIndex((1, 2)), COPY), False),
    "fan": ((SetIndex((1, 2)), put(source_component=0), UNORDERED, COPY), False),
    "swap": ((SetIndex((1, 2)), UNORDERED, SWAP), True),
    "fetch of what is copied": ((SetIndex((0, 1)), UNORDERED, TryEach(((FETCH,), None)), COPY),
                                True),
    "write into what was copied": ((SetIndex(1), UNORDERED, COPY, SetIndex(0), WRITE), False),
    "between siblings": (
        (SetIndex((1, 2)), UNORDERED, RunSequence((COPY,))), True
    ),
    "between siblings that wait inside": (
        (SetIndex((1, 2)), UNORDERED, RunSequence((put(image_size=90), COPY, put(image_size=90)))),
        True,
    ),
    "new order between": (
        (SetIndex(1), UNORDERED, COPY, SetParameters({Parameter.STRICT_ORDER: False}),
         SetIndex(2), COPY), False,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", PARALLEL)
def test_component_that_is_source_and_target_at_once_is_refused_where_there_is_no_order(
    name: str,
) -> None:
    install, wrong = PARALLEL[name]
    sources = (SetIndex(0), put(source_component=1), SetIndex(1), put(source_component=0),
               SetIndex(2), put(source_component=1))  # fmt: skip
    last: Sequence = (SetIndex(True), RunSequence((SOFT, MATCH)))
    found = result(*sources, *install, validate=last)
    assert (found.reason is Reason.ABORTED) is wrong


def test_commands_are_counted_even_where_they_fail_so_that_no_bomb_outlives_the_limit() -> None:
    bomb: Sequence = (ABORT,)
    for _ in range(4):
        bomb = (SetIndex(True), TryEach((*(bomb for _ in range(4)), None)))
    names = tuple((bytes([one]),) for one in range(16))
    device = board(components=dict.fromkeys(names, Component()))
    what = program(*bomb, components=names)
    before = time.process_time()
    assert run(admitted(what, device)).reason is Reason.LIMIT_EXCEEDED
    assert time.process_time() - before < 10


def test_limit_of_effects_is_the_last_number_of_times_a_component_is_touched() -> None:
    what = program(ZERO, FETCH, *(MATCH,) * 10, validate=MATCHED)
    for effects, reason in ((12, None), (11, Reason.LIMIT_EXCEEDED)):
        found = run(admitted(what, board(limits=Limits(effects=effects))), FILES)
        assert found.reason is reason
        asked = [one for one in found.effects if not isinstance(one, Finish)]
        assert len(asked) == effects


def test_limit_of_steps_is_the_last_number_that_is_carried_out() -> None:
    what = program(SetIndex((0, 1)), VENDOR_OK)  # 1 + 3 + 3, 1 + 2; 1 + 3 + 3, 1 + 1
    for steps, reason in ((19, None), (18, Reason.LIMIT_EXCEEDED)):
        assert run(admitted(what, board(limits=Limits(steps=steps)))).reason is reason


# Invocation


def invocation(kept: Mapping[ComponentId, bytes] = HERE, **more: Sequence) -> Outcome:
    what = program(ZERO, FETCH, validate=MATCHED, **more)
    return run(admitted(what, board()), FILES, kept=kept, procedure=Procedure.INVOCATION)


def test_validated_image_is_loaded_and_invoked_with_its_arguments() -> None:
    load: Sequence = (SetIndex(2), put(source_component=0), COPY, MATCH)
    found = invocation(load=load, invoke=(SetIndex(2), put(invoke_args=b"-v"), INVOKE))
    assert (found.reason, found.kinds) == (None, "MCMI.")
    assert found.effects[3].component == C
    assert found.effects[3].arguments == b"-v"
    plain = invocation(invoke=(ZERO, INVOKE))
    assert plain.effects[1].arguments == b""


def test_image_that_changed_or_was_loaded_unchecked_is_never_invoked() -> None:
    invoke: Sequence = (ZERO, INVOKE)
    changed = invocation({A: TWO}, invoke=invoke)
    assert (changed.reason, changed.kinds) == (Reason.DIGEST_MISMATCH, "M")
    loaded = invocation(load=(SetIndex(2), put(source_component=0), COPY), invoke=invoke)
    assert (loaded.reason, loaded.kinds) == (Reason.CONDITION_FAILED, "MC")
    assert invocation().reason is Reason.COMMAND_FAILED
    late = invocation(invoke=(ZERO, INVOKE, SetIndex(2), WRITE))
    assert late.reason is Reason.CONDITION_FAILED


@pytest.mark.parametrize(
    "validate",
    [
        (ZERO, VENDOR_OK),
        (ZERO, RunSequence((put(soft_failure=True), MATCH))),
        (ZERO, TryEach(((MATCH,), None))),
        (SetIndex(1), image(TWO), MATCH),
    ],
    ids=["no match", "soft match", "match or nothing", "match of another component"],
)
def test_component_that_validate_has_not_matched_is_never_invoked(validate: Sequence) -> None:
    what = program(ZERO, FETCH, validate=MATCHED, invoke=(ZERO, INVOKE))
    lax = dataclasses.replace(what, sequences={**what.sequences, ManifestKey.VALIDATE: validate})
    found = run(
        admitted(lax, board()), FILES, kept={A: b"evil", B: TWO}, procedure=Procedure.INVOCATION
    )
    assert found.reason is Reason.CONDITION_FAILED
    assert "I" not in found.kinds


def test_dependency_does_not_say_what_the_image_of_its_dependent_is() -> None:
    inner = Manifest(
        sequence_number=1,
        components=(A,),
        component_id=M,
        sequences={
            ManifestKey.INSTALL: (put(uri="two.bin", image_digest=Digest.of(TWO)),),
            ManifestKey.VALIDATE: (put(image_digest=Digest.of(TWO)),),
        },
    )
    mine: Sequence = (ZERO, image(ONE), put(uri="one.bin"))
    found = tree(
        sealed(inner, DEPENDENCY_KEY),
        shared_sequence=(
            *mine, SetIndex(1),
            put(uri="below.suit", image_digest=digest_of(sealed(inner, DEPENDENCY_KEY))),
        ),
        sequences={FOUR[2]: (*USUAL, ZERO, FETCH, MATCH), FOUR[3]: (*USUAL, ZERO, MATCH)},
    )  # fmt: skip
    assert found.reason is None
    assert found.kept[A] == ONE


# Dependencies


def below(*, number: int = 1, **changes: object) -> Manifest:
    """Answer the manifest of a dependency that fetches component B."""
    sequences = {
        ManifestKey.INSTALL: (put(uri="one.bin"), FETCH),
        ManifestKey.VALIDATE: (image(ONE), MATCH),
        **changes.pop("sequences", {}),
    }
    made = Manifest(sequence_number=number, components=(B,), component_id=M, sequences=sequences)
    return dataclasses.replace(made, **changes)


USUAL: Sequence = (SetIndex(1), INTEGRITY, PROCESS)
FOUR = (
    ManifestKey.DEPENDENCY_RESOLUTION,
    ManifestKey.PAYLOAD_FETCH,
    ManifestKey.INSTALL,
    ManifestKey.VALIDATE,
)


def above(inner: bytes, **changes: object) -> Manifest:
    """Answer the manifest that depends on the one in this envelope, which is fetched."""
    sequences: dict[ManifestKey, Sequence] = dict.fromkeys(FOUR, USUAL)
    sequences[FOUR[0]] = (SetIndex(1), FETCH, *USUAL)
    sequences.update(changes.pop("sequences", {}))
    made = Manifest(
        sequence_number=2,
        components=(A, M),
        dependencies={1: None},
        shared_sequence=(
            SetIndex(1), put(uri="below.suit", image_digest=digest_of(inner)),
        ),
        sequences=sequences,
    )  # fmt: skip
    return dataclasses.replace(made, **changes)


def tree(inner: bytes, *, files: Mapping[str, bytes] | None = None, **changes: object) -> Outcome:
    """Answer what becomes of a manifest that depends on the one in this envelope."""
    device = changes.pop("device", board())
    installed = changes.pop("installed", Installed(sequence_number=None))
    kept = changes.pop("kept", None)
    ready = admitted(above(inner, **changes), device, installed)
    return run(ready, {**FILES, "below.suit": inner, **(files or {})}, kept=kept)


BELOW = sealed(below(), DEPENDENCY_KEY)


def test_dependency_is_fetched_checked_and_carried_out_and_its_number_reported() -> None:
    found = tree(BELOW)
    assert (found.reason, found.kinds) == (None, "FLLLFLM.")
    assert found.finish.components == (B,)
    assert found.finish.dependencies == ((M, 1),)
    assert found.kept == {M: BELOW, B: ONE}


def test_dependency_that_is_not_the_one_named_or_not_signed_for_it_is_refused() -> None:
    stranger = board(anchor(KEY))
    for found in (
        tree(BELOW, device=stranger),
        tree(BELOW, files={"below.suit": sealed(below(number=2), DEPENDENCY_KEY)}),
        tree(BELOW, files={"below.suit": b"\xff"}),
        tree(BELOW, device=board(anchor(KEY), anchor(DEPENDENCY_KEY, "boot"))),
        tree(BELOW, device=board(dependency_threshold=2)),
    ):
        assert found.reason is Reason.DEPENDENCY_REFUSED
        assert B not in found.kept
    assert tree(sealed(below(), KEY), device=stranger).reason is None


def test_dependency_that_is_older_than_the_one_accepted_is_refused_and_an_equal_one_is_not() -> (
    None
):
    for number, reason in ((0, None), (1, None), (2, Reason.DEPENDENCY_REFUSED)):
        known = Installed(sequence_number=None, numbers={M: number})
        assert tree(BELOW, installed=known).reason is reason
    other = Installed(sequence_number=None, numbers={N: 9})
    assert tree(BELOW, installed=other).reason is None


def limited(*prefixes: ComponentId) -> tuple[Anchor, Anchor]:
    made = anchor(DEPENDENCY_KEY, "dependency")
    return anchor(KEY), dataclasses.replace(made, components=prefixes)


def test_signer_of_a_dependency_writes_only_where_its_rights_reach() -> None:
    assert tree(BELOW, device=board(*limited(B))).reason is None
    assert tree(BELOW, device=board(*limited(C, B))).reason is None
    assert tree(BELOW, device=board(*limited(C))).reason is Reason.DEPENDENCY_REFUSED
    assert tree(BELOW, device=board(*limited((*B, b"\x01")))).reason is Reason.DEPENDENCY_REFUSED
    root = dataclasses.replace(anchor(KEY), components=(A,))
    with refused(Reason.SIGNER_NOT_AUTHORIZED):
        admitted(above(BELOW), board(), anchors=(root,))
    assert admitted(above(BELOW), board(), anchors=(dataclasses.replace(root, components=(A, M)),))


def test_dependency_says_rightly_where_it_is_kept_or_is_refused() -> None:
    for own, reason in (
        (M, None),
        (N, Reason.DEPENDENCY_REFUSED),
        (None, Reason.DEPENDENCY_REFUSED),
    ):
        assert tree(sealed(below(component_id=own), DEPENDENCY_KEY)).reason is reason


def test_dependency_under_a_prefix_names_only_components_behind_it() -> None:
    deep = (*M, *B)
    names = {name: Component() for name in (A, B, M, deep)}
    found = tree(BELOW, dependencies={1: M}, device=board(components=names))
    assert (found.reason, found.finish.components) == (None, (deep,))
    escaped = tree(BELOW, dependencies={1: M})
    assert escaped.reason is Reason.DEPENDENCY_REFUSED
    assert B not in escaped.kept


def test_dependency_past_the_list_is_kept_where_its_prefix_says() -> None:
    deep = (*N, *B)
    names = {name: Component() for name in (A, N, deep)}
    last: dict[ManifestKey, Sequence] = dict.fromkeys(FOUR, (SetIndex(7), INTEGRITY, PROCESS))
    last[FOUR[0]] = (SetIndex(7), FETCH, INTEGRITY, PROCESS)
    there = sealed(below(component_id=N), DEPENDENCY_KEY)
    shared: Sequence = (SetIndex(7), put(uri="below.suit", image_digest=digest_of(there)))
    found = tree(
        there, components=(A,), dependencies={7: N}, sequences=last, shared_sequence=shared,
        device=board(components=names),
    )  # fmt: skip
    assert (found.reason, found.finish.dependencies) == (None, ((N, 1),))


def test_two_indices_of_one_component_are_refused_and_nothing_is_fetched() -> None:
    with refused(Reason.MALFORMED):
        admitted(above(BELOW, components=(A, M), dependencies={1: None, 7: A}), board())


BAD_TREES: Mapping[str, tuple[dict[ManifestKey, Sequence], Reason]] = {
    "processed unchecked": ({FOUR[0]: (SetIndex(1), FETCH, PROCESS)}, Reason.ABORTED),
    "processed after it was fetched again": (
        {FOUR[1]: (SetIndex(1), FETCH, PROCESS)}, Reason.ABORTED
    ),
    "checked without a digest": (
        {FOUR[0]: (SetIndex(1), SetIndex(0), INTEGRITY)}, Reason.ABORTED
    ),
    "never checked": (dict.fromkeys(FOUR, (SetIndex(1), IS_DEPENDENCY)),
                      Reason.DEPENDENCY_MISSING),
    "install left out": ({FOUR[2]: (SetIndex(1), INTEGRITY)}, Reason.DEPENDENCY_REFUSED),
    "fetched again after install": (
        {FOUR[3]: (SetIndex(1), FETCH, INTEGRITY, PROCESS)}, Reason.DEPENDENCY_REFUSED
    ),
    "checked before it came": ({FOUR[0]: (SetIndex(1), INTEGRITY)}, Reason.DEPENDENCY_MISSING),
    "fetched last of all": (
        {FOUR[3]: (SetIndex(1), INTEGRITY, PROCESS, FETCH)}, Reason.DEPENDENCY_MISSING
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD_TREES)
def test_dependent_that_leaves_something_out_is_refused_and_never_finished(name: str) -> None:
    sequences, reason = BAD_TREES[name]
    assert tree(BELOW, sequences=sequences, kept={B: ONE}).reason is reason


def test_dependency_that_is_there_already_is_not_fetched_again() -> None:
    first: Sequence = (SetIndex(1), TryEach(((MATCH,), (FETCH,))), INTEGRITY, PROCESS)
    for kept, kinds in (
        ({M: BELOW}, "LLLLFLM."),
        ({}, "LFLLLFLM."),
        ({M: b"\xff" * 200}, "LFLLLFLM."),
        ({M: sealed(below(number=0), DEPENDENCY_KEY)}, "LFLLLFLM."),
    ):
        found = tree(BELOW, sequences={FOUR[0]: first}, kept=kept)
        assert (found.reason, found.kinds) == (None, kinds)


def test_failure_inside_a_dependency_ends_all_even_where_the_dependent_is_soft() -> None:
    failing = sealed(below(sequences={ManifestKey.INSTALL: (ABORT,)}), DEPENDENCY_KEY)
    for steps in (
        (RunSequence((SOFT, PROCESS)),),
        (TryEach(((PROCESS,), None)),),
    ):
        found = tree(failing, sequences={FOUR[2]: (SetIndex(1), *steps)})
        assert found.reason is Reason.ABORTED
        assert found.where == "0a:install[0]"
    shared = sealed(below(shared_sequence=(ABORT,)), DEPENDENCY_KEY)
    assert tree(shared, sequences={FOUR[2]: (SetIndex(1), TryEach(((PROCESS,), None)))}).reason is (
        Reason.ABORTED
    )


def test_dependency_may_fail_softly_inside_itself() -> None:
    soft = sealed(
        below(sequences={ManifestKey.INSTALL: (TryEach(((ABORT,), (put(uri="one.bin"), FETCH))),)}),
        DEPENDENCY_KEY,
    )
    assert tree(soft).reason is None


def test_process_dependency_over_all_components_means_the_dependencies_among_them() -> None:
    every: Sequence = (SetIndex(1), INTEGRITY, SetIndex(True), PROCESS)
    assert tree(BELOW, sequences={FOUR[2]: every}).reason is None


def test_manifest_with_dependencies_that_lacks_a_sequence_is_malformed() -> None:
    for key in FOUR[:3]:
        whole = above(BELOW)
        less = {name: steps for name, steps in whole.sequences.items() if name is not key}
        with refused(Reason.MALFORMED):
            admitted(dataclasses.replace(whole, sequences=less), board())


def test_dependency_written_into_a_component_that_is_to_boot_owes_validate_an_image() -> None:
    install: Sequence = (ZERO, put(uri="one.bin"), FETCH)
    aliased = sealed(
        Manifest(
            sequence_number=1,
            components=(A,),
            component_id=M,
            dependencies={0: None},
            sequences={
                FOUR[0]: (VENDOR_OK,),
                FOUR[1]: (VENDOR_OK,),
                FOUR[2]: (VENDOR_OK,),
                FOUR[3]: (
                    put(uri="deep.suit", image_digest=digest_of(DEEP), image_size=len(DEEP)),
                    FETCH, INTEGRITY, PROCESS,
                ),
            },
            shared_sequence=(put(vendor_identifier=VENDOR.bytes),),
        ),
        DEPENDENCY_KEY,
    )  # fmt: skip
    found = tree(
        aliased,
        files={"deep.suit": DEEP},
        sequences={
            FOUR[2]: (*install, *USUAL),
            FOUR[3]: (ZERO, image(ONE), MATCH, *USUAL),
        },
    )
    assert found.reason is Reason.CONDITION_FAILED


DEEP = sealed(
    Manifest(
        component_id=A,
        sequence_number=1,
        components=(B,),
        sequences={ManifestKey.VALIDATE: (put(vendor_identifier=VENDOR.bytes), VENDOR_OK)},
    ),
    DEPENDENCY_KEY,
)


def test_dependency_that_depends_on_its_own_component_is_refused() -> None:
    loop = Manifest(
        sequence_number=1,
        component_id=M,
        components=(M,),
        dependencies={0: None},
        shared_sequence=(),
        sequences=dict.fromkeys(FOUR, (put(image_digest=Digest.of(b"")), INTEGRITY)),
    )
    found = tree(sealed(loop, DEPENDENCY_KEY))
    assert found.reason is Reason.DEPENDENCY_REFUSED
    assert found.kinds == "FL"  # refused before it is read once more


def test_dependencies_deeper_than_the_limit_are_refused() -> None:
    inmost = sealed(below(component_id=N), DEPENDENCY_KEY)
    outer = Manifest(
        sequence_number=1,
        components=(N,),
        component_id=M,
        dependencies={0: None},
        shared_sequence=(put(uri="below.suit", image_digest=digest_of(inmost)),),
        sequences={
            FOUR[0]: (FETCH, INTEGRITY, PROCESS), **dict.fromkeys(FOUR[1:], (INTEGRITY, PROCESS)),
        },
    )  # fmt: skip
    middle = sealed(outer, DEPENDENCY_KEY)
    for depth, reason in ((2, None), (1, Reason.LIMIT_EXCEEDED)):
        found = tree(
            middle,
            files={"below.suit": inmost, "middle.suit": middle},
            device=board(limits=Limits(dependency_depth=depth)),
            shared_sequence=(SetIndex(1), put(uri="middle.suit", image_digest=digest_of(middle))),
        )
        assert found.reason is reason
        if reason is None:
            assert found.finish.dependencies == ((M, 1), (N, 1))


def test_source_that_a_dependency_set_is_no_way_to_a_component_it_may_not_name() -> None:
    inner = Manifest(
        sequence_number=1,
        components=(B, C),
        component_id=M,
        sequences={
            ManifestKey.INSTALL: (SetIndex(0), put(source_component=1)),
            ManifestKey.VALIDATE: (SetIndex(0), put(vendor_identifier=VENDOR.bytes), VENDOR_OK),
        },
    )
    found = tree(
        sealed(inner, DEPENDENCY_KEY),
        components=(A, M, B),
        sequences={FOUR[2]: (*USUAL, SetIndex(2), SWAP)},
        kept={A: ONE, B: TWO, C: ONE},
    )
    assert found.reason is Reason.COMMAND_FAILED
    assert (found.kept[A], found.kept[B]) == (ONE, TWO)


def test_source_that_a_dependent_set_takes_a_dependency_no_further_than_it_may_name() -> None:
    inner = Manifest(
        sequence_number=1,
        components=(B,),
        component_id=M,
        sequences={
            ManifestKey.INSTALL: (SWAP,),
            ManifestKey.VALIDATE: (put(vendor_identifier=VENDOR.bytes), VENDOR_OK),
        },
    )
    found = tree(
        sealed(inner, DEPENDENCY_KEY),
        components=(A, M, B, C),
        sequences={FOUR[2]: (SetIndex(2), put(source_component=3), *USUAL)},
        kept={A: ONE, B: TWO, C: ONE},
    )
    assert found.reason is Reason.COMMAND_FAILED
    assert (found.kept[B], found.kept[C]) == (TWO, ONE)


def test_dependency_of_an_invocation_is_validated_before_anything_is_invoked() -> None:
    checked: Sequence = (ZERO, image(ONE), MATCH, *USUAL)
    what = above(
        BELOW, sequences={ManifestKey.INVOKE: (SetIndex(0), INVOKE), ManifestKey.VALIDATE: checked}
    )
    whole = dataclasses.replace(
        what, sequences={**what.sequences, ManifestKey.LOAD: (SetIndex(1), IS_DEPENDENCY)}
    )
    kept = {M: BELOW, B: ONE, A: ONE}
    ready = admitted(whole, board())
    found = run(ready, FILES, kept=kept, procedure=Procedure.INVOCATION)
    assert (found.reason, found.kinds) == (None, "MLMI.")
    lazy = dataclasses.replace(
        whole, sequences={**whole.sequences, ManifestKey.VALIDATE: checked[:-1]}
    )
    found = run(admitted(lazy, board()), FILES, kept=kept, procedure=Procedure.INVOCATION)
    assert (found.reason, found.kinds) == (Reason.DEPENDENCY_REFUSED, "ML")
    with refused(Reason.MALFORMED):
        processor.start(admitted(what, board()), Procedure.INVOCATION)


def test_dependency_checked_without_a_digest_is_refused_and_never_read() -> None:
    found = tree(BELOW, shared_sequence=(SetIndex(1), put(uri="below.suit")))
    assert (found.reason, found.kinds) == (Reason.ABORTED, "F")


def test_dependency_matched_without_a_digest_is_refused_softly() -> None:
    first: Sequence = (SetIndex(1), RunSequence((SOFT, MATCH)), FETCH)
    found = tree(
        BELOW, shared_sequence=(SetIndex(1), put(uri="below.suit")), sequences={FOUR[0]: first}
    )
    assert found.kinds == "F"


def test_swap_that_should_decrypt_is_refused_and_nothing_moves() -> None:
    info, _ = encrypted(
        ONE,
        algorithm=ContentAlgorithm.A128CTR,
        recipients=(Kek(kid=None, secret=bytes(16)),),
        random=secrets.token_bytes,
    )
    found = result(ZERO, put(source_component=1, encryption_info=info), SWAP)
    assert (found.reason, found.kept) == (Reason.COMMAND_FAILED, HERE)


def test_retry_is_known_by_every_component_and_branch_that_names_an_image() -> None:
    slots: Sequence = (
        SetIndex(0),
        TryEach(((SetIndex(True), image(ONE), FETCH), (image(TWO), FETCH))),
    )
    what = program(*slots, components=(A, B))
    plain = dataclasses.replace(what, shared_sequence=())
    for names, confirmed, retried in (
        (plain, {ONE}, False),  # both components may be it
        (plain, {TWO}, True),  # component 1 is not
        (plain, {b"other"}, True),
        (program(SetIndex((0, 1)), image(TWO), components=(A, B)), {TWO}, False),
        (program(ZERO, image(TWO), components=(A, B)), {TWO}, True),
    ):
        same = Installed(
            sequence_number=2,
            confirmed=dict.fromkeys((A, B), frozenset(Digest.of(one) for one in confirmed)),
        )
        if retried:
            assert admitted(names, board(), same)
            continue
        with refused(Reason.ROLLBACK):
            admitted(names, board(), same)


def test_digest_of_a_dependency_makes_no_retry() -> None:
    same = Installed(sequence_number=2, confirmed={A: frozenset(), M: frozenset()})
    with refused(Reason.ROLLBACK):
        admitted(above(BELOW), board(), same)


def test_checked_again_and_not_written_in_between_a_dependency_has_still_done_what_it_did() -> None:
    twice: Sequence = (SetIndex(1), INTEGRITY, PROCESS, INTEGRITY)
    assert tree(BELOW, sequences={FOUR[2]: twice}).reason is None


def test_root_is_never_invoked_by_an_update() -> None:
    what = program(ZERO, FETCH, validate=MATCHED, invoke=(ZERO, INVOKE), load=(ZERO, WRITE))
    found = run(admitted(what, board()), FILES)
    assert (found.reason, found.kinds) == (None, "FM.")


def test_component_whose_image_nobody_knows_makes_no_retry_and_another_one_may() -> None:
    what = program(ZERO, image(TWO), components=(A, B))  # A may hold either, B is to hold one
    first, second = frozenset({Digest.of(TWO)}), frozenset({Digest.of(ONE)})
    known: tuple[tuple[Mapping[ComponentId, frozenset[Digest]], bool], ...] = (
        ({A: first}, False),
        ({A: first, B: second}, False),
        ({A: first, B: first}, True),
        ({B: frozenset()}, True),
        ({C: frozenset()}, False),
    )
    for confirmed, retried in known:
        same = Installed(sequence_number=2, confirmed=confirmed)
        if retried:
            assert admitted(what, board(), same)
            continue
        with refused(Reason.ROLLBACK):
            admitted(what, board(), same)
