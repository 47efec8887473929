"""The pure machine: each condition and its Reason, and what was asked for before the refusal."""

from __future__ import annotations

import dataclasses
import uuid
from typing import TYPE_CHECKING

import cbor2
import pytest

from fwseal.base.digest import Digest, DigestAlgorithm
from fwseal.base.errors import Refused
from fwseal.base.ids import Uri
from fwseal.base.reasons import Reason
from fwseal.device import admission, processor
from fwseal.device.admission import Installed
from fwseal.device.effects import Done, Fetch, Finish, Measure, Measured
from fwseal.device.profile import Component, Equal
from fwseal.suit.authenticate import Authenticated
from fwseal.suit.labels import Command, ManifestKey, Parameter
from fwseal.suit.sequence import Override, Plain, RunSequence, SetIndex, SetParameters
from programs import (
    ABORT,
    CLASS_OK,
    DEVICE_OK,
    DIGEST,
    FETCH,
    FRESH,
    IDENTITY,
    IMAGE,
    INSTALL,
    MATCH,
    OTHER,
    SHARED,
    VENDOR_OK,
    admitted,
    manifest,
)
from programs import B as SECOND
from workshop import COMPONENT, PAYLOAD, VENDOR, profile

if TYPE_CHECKING:
    from fwseal.base.ids import ComponentId
    from fwseal.device.effects import Effect
    from fwseal.device.profile import DeviceProfile
    from fwseal.suit.manifest import Manifest
    from fwseal.suit.sequence import ParameterValue


def run(
    what: Manifest, device: DeviceProfile | None = None, holds: bytes = PAYLOAD
) -> tuple[list[Effect], Reason | None]:
    """Answer every effect a manifest asks for, and the Reason that ended it, if any."""
    effects: list[Effect] = []
    try:
        state, effect = processor.start(admitted(what, device))
        while True:
            effects.append(effect)
            match effect:
                case Fetch():
                    state, effect = processor.step(state, Done())
                case Measure():
                    found = Measured(len(holds), Digest.of(holds, effect.algorithm))
                    state, effect = processor.step(state, found)
                case Finish():
                    return effects, None
    except Refused as error:
        return effects, error.reason


def fetch(name: ComponentId, uri: str, size: int | None, digest: Digest) -> Fetch:
    return Fetch(component=name, uri=Uri(uri), content=None, size=size, digest=digest)


def refused(what: Manifest, installed: Installed = FRESH, **changes: object) -> Reason:
    """Answer why a manifest is refused before the machine even starts."""
    with pytest.raises(Refused) as caught:
        admitted(what, profile(**changes), installed)
    return caught.value.reason


def test_single_image_is_fetched_measured_validated_and_finished_in_this_order() -> None:
    measure = Measure(component=COMPONENT, algorithm=DigestAlgorithm.SHA256)
    assert run(manifest()) == (
        [
            fetch(COMPONENT, "app.bin", len(PAYLOAD), DIGEST),
            measure,
            measure,
            Finish(components=(COMPONENT,), sequence_number=2),
        ],
        None,
    )


@pytest.mark.parametrize(
    ("parameter", "condition", "reason"),
    [
        (Parameter.VENDOR_IDENTIFIER, VENDOR_OK, Reason.WRONG_VENDOR),
        (Parameter.CLASS_IDENTIFIER, CLASS_OK, Reason.WRONG_CLASS),
        (Parameter.DEVICE_IDENTIFIER, DEVICE_OK, Reason.WRONG_DEVICE),
    ],
)
def test_manifest_for_another_device_is_refused_before_the_first_effect(
    parameter: Parameter, condition: Plain, reason: Reason
) -> None:
    mine = uuid.uuid5(VENDOR, "device 1")
    device = profile(device_id=mine)
    right = {**IDENTITY, Parameter.DEVICE_IDENTIFIER: mine.bytes}
    for wrong in ({**right, parameter: uuid.uuid4().bytes}, without(right, parameter)):
        shared = (Override({**IMAGE, **wrong}), condition)
        assert run(manifest(shared=shared), device) == ([], reason)
    accepted = manifest(shared=(Override({**IMAGE, **right}), VENDOR_OK, CLASS_OK, DEVICE_OK))
    assert run(accepted, device)[1] is None
    assert run(accepted, profile()) == ([], Reason.WRONG_DEVICE)


def without(
    parameters: dict[Parameter, ParameterValue], one: Parameter
) -> dict[Parameter, ParameterValue]:
    return {key: value for key, value in parameters.items() if key is not one}


def test_vendor_given_as_enterprise_number_is_refused_before_the_first_effect() -> None:
    number = cbor2.CBORTag(112, b"\x19\x30\x39")
    shared = (Override({**IDENTITY, **IMAGE, Parameter.VENDOR_IDENTIFIER: number}), VENDOR_OK)
    assert run(manifest(shared=shared)) == ([], Reason.WRONG_VENDOR)


def test_identity_checked_only_in_validate_is_refused_after_a_fetch_and_never_finished() -> None:
    wrong = Override({Parameter.VENDOR_IDENTIFIER: uuid.uuid4().bytes})
    effects, reason = run(manifest(shared=(Override(IMAGE),), validate=(wrong, VENDOR_OK, MATCH)))
    assert reason is Reason.WRONG_VENDOR
    assert not any(isinstance(effect, Finish) for effect in effects)


@pytest.mark.parametrize(
    ("what", "reason"),
    [
        (manifest(shared=(Override(IDENTITY),)), Reason.CONDITION_FAILED),
        (manifest(install=(FETCH, MATCH)), Reason.COMMAND_FAILED),
        (manifest(install=(ABORT, *INSTALL)), Reason.ABORTED),
        (manifest(validate=(VENDOR_OK,)), Reason.CONDITION_FAILED),
        (manifest(validate=(MATCH, FETCH)), Reason.CONDITION_FAILED),
    ],
    ids=[
        "match without digest",
        "fetch without uri",
        "abort",
        "never validated",
        "fetched last of all",
    ],
)
def test_manifest_that_cannot_vouch_for_what_it_writes_is_never_finished(
    what: Manifest, reason: Reason
) -> None:
    effects, found = run(what)
    assert found is reason
    assert not any(isinstance(effect, Finish) for effect in effects)


@pytest.mark.parametrize(
    ("holds", "in_install", "in_validate"),
    [
        (PAYLOAD[:-1] + b"!", Reason.PAYLOAD_DIGEST, Reason.DIGEST_MISMATCH),
        (PAYLOAD + b"!", Reason.PAYLOAD_SIZE, Reason.DIGEST_MISMATCH),
        (PAYLOAD[:-1], Reason.PAYLOAD_SIZE, Reason.DIGEST_MISMATCH),
        (b"", Reason.PAYLOAD_SIZE, Reason.DIGEST_MISMATCH),
    ],
)
def test_component_that_holds_other_bytes_is_refused_and_never_finished(
    holds: bytes, in_install: Reason, in_validate: Reason
) -> None:
    for what, reason in (
        (manifest(), in_install),
        (manifest(install=(*INSTALL[:2],)), in_validate),
    ):
        effects, found = run(what, holds=holds)
        assert found is reason
        assert not any(isinstance(effect, Finish) for effect in effects)


def test_digest_of_another_algorithm_is_measured_with_that_one_and_a_size_is_not_needed() -> None:
    digest = Digest.of(PAYLOAD, DigestAlgorithm.SHA512)
    shared = (Override({**IDENTITY, Parameter.IMAGE_DIGEST: digest}), VENDOR_OK)
    effects, reason = run(manifest(shared=shared))
    assert reason is None
    assert effects[0] == fetch(COMPONENT, "app.bin", None, digest)
    assert effects[1] == Measure(component=COMPONENT, algorithm=DigestAlgorithm.SHA512)
    lying = processor.start(admitted(manifest(shared=shared)))[0]
    lying = processor.step(lying, Done())[0]
    with pytest.raises(Refused) as caught:
        processor.step(lying, Measured(len(PAYLOAD), DIGEST))
    assert caught.value.reason is Reason.PAYLOAD_DIGEST


@pytest.mark.parametrize("command", [Command.DIRECTIVE_COPY, Command.CONDITION_COMPONENT_SLOT])
@pytest.mark.parametrize("where", ["install", "validate", "nested", "shared"])
def test_command_that_the_storage_cannot_carry_out_is_refused_before_anything_is_fetched(
    command: Command, where: str
) -> None:
    odd = Plain(command, 0)
    if where == "shared" and command is Command.DIRECTIVE_COPY:
        return
    what = {
        "install": lambda: manifest(install=(*INSTALL, odd)),
        "validate": lambda: manifest(validate=(MATCH, odd)),
        "nested": lambda: manifest(validate=(MATCH, RunSequence((RunSequence((odd,)),)))),
        "shared": lambda: manifest(shared=(*SHARED, odd)),
    }[where]()
    authentic = Authenticated(manifest=what, digest=DIGEST, anchors=(), integrated={})
    offers = admission.COMMANDS - {command}
    with pytest.raises(Refused) as caught:
        admission.applicable(authentic, profile=profile(), installed=FRESH, offers=offers)
    assert caught.value.reason is Reason.UNSUPPORTED


@pytest.mark.parametrize("kind", [Override, SetParameters])
def test_parameter_that_nothing_here_looks_at_is_refused_before_anything_is_fetched(
    kind: type[Override | SetParameters],
) -> None:
    odd = kind({Parameter.FETCH_ARGUMENTS: b""})
    assert refused(manifest(install=(*INSTALL, odd))) is Reason.UNSUPPORTED


@pytest.mark.parametrize("key", [ManifestKey.LOAD, ManifestKey.INVOKE])
def test_sequence_of_an_invocation_is_not_carried_out_by_an_update(key: ManifestKey) -> None:
    effects, reason = run(manifest(sequences={key: (ABORT,)}))
    assert reason is None
    assert isinstance(effects[-1], Finish)


def test_manifest_without_validate_is_malformed_and_nothing_is_fetched() -> None:
    assert refused(manifest(validate=None)) is Reason.MALFORMED


@pytest.mark.parametrize("key", [ManifestKey.INSTALL, ManifestKey.PAYLOAD_FETCH])
def test_sequence_that_was_severed_and_is_not_here_is_refused_and_nothing_is_fetched(
    key: ManifestKey,
) -> None:
    assert refused(manifest(sequences={key: OTHER})) is Reason.SEVERED_MISSING


def test_component_of_another_device_is_refused_and_nothing_is_fetched() -> None:
    assert refused(manifest(components=(SECOND,))) is Reason.WRONG_COMPONENT


@pytest.mark.threat("RFC9124:THREAT.IMG.EXPIRED")
@pytest.mark.parametrize(
    ("number", "accepted"), [(1, 2), (0, 1), (2, 2), (0, 2**64 - 1), (2**64 - 2, 2**64 - 1)]
)
def test_manifest_that_is_not_newer_is_refused_as_rollback_and_nothing_is_fetched(
    number: int, accepted: int
) -> None:
    running = Installed(sequence_number=accepted, confirmed={COMPONENT: frozenset({DIGEST})})
    assert refused(manifest(number=number), running) is Reason.ROLLBACK


@pytest.mark.parametrize(("number", "accepted"), [(3, 2), (0, None), (2**64 - 1, 2**64 - 2)])
def test_newer_manifest_is_carried_out(number: int, accepted: int | None) -> None:
    running = Installed(sequence_number=accepted, confirmed={COMPONENT: frozenset({DIGEST})})
    assert (
        admitted(manifest(number=number), installed=running).root.manifest.sequence_number == number
    )


def test_equal_number_is_a_retry_only_while_its_image_is_not_the_confirmed_one() -> None:
    same = Installed(sequence_number=2, confirmed={COMPONENT: frozenset({DIGEST})})
    assert refused(manifest(), same) is Reason.ROLLBACK
    for confirmed in (frozenset[Digest](), frozenset({OTHER})):
        assert admitted(
            manifest(), installed=Installed(sequence_number=2, confirmed={COMPONENT: confirmed})
        )
    nothing_named = manifest(shared=(Override(IDENTITY), VENDOR_OK), install=None)
    assert (
        refused(nothing_named, Installed(sequence_number=2, confirmed={COMPONENT: frozenset()}))
        is Reason.ROLLBACK
    )


def test_equal_number_is_carried_out_where_the_profile_says_reapply_but_a_lower_never() -> None:
    again = profile(equal=Equal.REAPPLY)
    same = Installed(sequence_number=2, confirmed={COMPONENT: frozenset({DIGEST})})
    assert admitted(manifest(), again, same)
    assert refused(manifest(number=1), same, equal=Equal.REAPPLY) is Reason.ROLLBACK


def test_parameters_and_measurements_of_two_components_are_never_mixed_up() -> None:
    second = {Parameter.IMAGE_DIGEST: OTHER, Parameter.IMAGE_SIZE: 5, Parameter.URI: "b.bin"}
    what = manifest(
        components=(COMPONENT, SECOND),
        install=(
            SetIndex(0), Override({**IMAGE, Parameter.URI: "a.bin"}), FETCH,
            SetIndex(1), Override(second), FETCH,
        ),
        shared=(),
        validate=(SetIndex(0), MATCH, SetIndex(1), MATCH),
    )  # fmt: skip
    device = profile(components={COMPONENT: Component(), SECOND: Component()})
    effects, reason = run(what, device)
    assert reason is Reason.DIGEST_MISMATCH
    assert effects == [
        fetch(COMPONENT, "a.bin", len(PAYLOAD), DIGEST),
        fetch(SECOND, "b.bin", 5, OTHER),
        Measure(component=COMPONENT, algorithm=DigestAlgorithm.SHA256),
        Measure(component=SECOND, algorithm=DigestAlgorithm.SHA256),
    ]
    one = dataclasses.replace(
        what, sequences={**what.sequences, ManifestKey.VALIDATE: (SetIndex(0), MATCH)}
    )
    assert run(one, device)[1] is Reason.CONDITION_FAILED


def test_event_that_nobody_waited_for_is_our_bug_and_never_a_step_forward() -> None:
    state, _ = processor.start(admitted(manifest()))
    with pytest.raises(KeyError):
        processor.step(state, object())
