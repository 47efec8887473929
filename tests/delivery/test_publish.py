"""Publishing: all of a release becomes visible at once, or none of it."""

from __future__ import annotations

import contextlib
import dataclasses
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from fwseal.base.errors import Misuse, Refused, Unavailable
from fwseal.base.reasons import Reason
from fwseal.base.release import State
from fwseal.delivery import publish as publishing
from fwseal.suit import envelope as envelopes
from repositories import (
    CURRENT,
    NOW,
    Author,
    MemoryStore,
    OurClient,
    PowerCut,
    TheirClient,
    payload_of,
    publish,
    release,
    signed_part,
    signers,
    trust,
)
from workshop import signer

if TYPE_CHECKING:
    from collections.abc import Iterator

KEYS = signers()


def visible(store: MemoryStore) -> int | None:
    """Answer the release that both clients see; they agree."""
    root = store.files["metadata/1.root.json"]
    ours, other = OurClient(root).update(store.files), TheirClient(root)
    theirs = other.update(store.files)
    other.close()
    assert ours.number == theirs.number
    return ours.number


def go(store: MemoryStore, number: int) -> publishing.Published:
    made, files = release(number, payload_of(number))
    return publishing.publish(store, made, files, signers=KEYS, now=NOW)


@pytest.fixture
def store() -> MemoryStore:
    """Answer a repository with release 2 in it, and nothing noted yet."""
    made = MemoryStore()
    publish(made, 2, KEYS)
    made.writes.clear()
    return made


def test_release_is_visible_to_both_clients_after_one_publish_and_after_two() -> None:
    store = MemoryStore()
    assert publishing.initialize(store, KEYS, NOW)
    assert not publishing.initialize(store, KEYS, NOW)
    assert visible(store) is None
    done = go(store, 2)
    folder = CURRENT.removesuffix("/current.suit")
    assert done == publishing.Published(targets=(CURRENT, f"{folder}/2/app.bin"), timestamp=2)
    assert visible(store) == 2
    assert go(store, 3).timestamp == 3
    assert visible(store) == 3


def test_timestamp_is_written_last_and_every_other_file_is_created_and_never_changed(
    store: MemoryStore,
) -> None:
    before = dict(store.files)
    go(store, 3)
    kinds = [name.rpartition(".")[0].rpartition(".")[2] for name in store.writes]
    assert store.writes[-1] == "metadata/timestamp.json"
    assert [kind for kind in kinds if kind in ("targets", "snapshot")] == ["targets", "snapshot"]
    assert kinds.index("targets") == 2  # after envelope and payload
    assert len(store.writes) == len(set(store.writes)) == 5
    changed = {name for name in before if store.files[name] != before[name]}
    assert changed == {"metadata/timestamp.json"}


def operations(number: int) -> int:
    """Count what publishing the second release asks of the store."""
    store = MemoryStore()
    publish(store, 2, KEYS)
    seen = []
    store.before = lambda operation, name: seen.append((operation, name))
    go(store, number)
    return len(seen)


def cuts(count: int) -> Iterator[tuple[int, bool]]:
    return ((operation, done) for operation in range(count) for done in (False, True))


def test_publisher_that_dies_anywhere_leaves_the_old_or_the_new_release_for_both_clients() -> None:
    count = operations(3)
    assert count > 8
    seen = []
    for operation, done in cuts(count):
        store = MemoryStore()
        publish(store, 2, KEYS)
        store.cut(operation, done=done)
        try:
            go(store, 3)
        except PowerCut:
            store = MemoryStore(store.files)
            seen.append(visible(store))
            if seen[-1] == 2:
                go(store, 3)
            else:
                with pytest.raises(Refused) as caught:
                    go(store, 3)
                assert caught.value.reason is Reason.ROLLBACK
        assert visible(store) == 3
    assert seen.count(2) >= 9
    assert seen.count(3) == 1


def test_publisher_that_dies_while_it_makes_a_repository_makes_it_again_for_both_clients() -> None:
    died = 0
    for operation, done in cuts(12):
        store = MemoryStore()
        store.cut(operation, done=done)
        try:
            publishing.initialize(store, KEYS, NOW)
        except PowerCut:
            died += 1
        store = MemoryStore(store.files)
        publish(store, 2, KEYS)
        assert visible(store) == 2
    assert died >= 8


def test_publisher_that_wins_in_between_is_not_overwritten_whenever_it_comes() -> None:
    lost: list[Any] = []
    for operation in range(operations(3)):
        store = MemoryStore()
        publish(store, 2, KEYS)
        left = operation

        def rival(_operation: str, _name: str, store: MemoryStore = store) -> None:
            nonlocal left
            left -= 1
            if left == -1:
                go(store, 4)

        store.before = rival
        with pytest.raises((Unavailable, Refused)) as caught:
            go(store, 3)
        lost.append(getattr(caught.value, "reason", Unavailable))
        assert left < 0
        assert visible(store) == 4
        assert signed_part(store.files["metadata/timestamp.json"])["version"] == 3
    assert set(lost) == {Unavailable, Reason.ROLLBACK}
    assert len(lost) == operations(3)
    assert lost[-1] is Unavailable


def test_of_two_makers_of_a_repository_one_wins_and_what_it_made_can_be_published_to() -> None:
    other, winners = signers(), []
    for operation in range(9):
        store = MemoryStore()
        left = operation

        def rival(_operation: str, _name: str, store: MemoryStore = store) -> None:
            nonlocal left
            left -= 1
            if left == -1:
                with contextlib.suppress(Misuse):
                    publish(store, 2, other)

        store.before = rival
        with contextlib.suppress(Unavailable, Misuse):
            publishing.initialize(store, KEYS, NOW)
        store.before = lambda _operation, _name: None
        for keys in (KEYS, other):
            with contextlib.suppress(Misuse, Refused):
                publish(store, 3, keys)
                winners.append(keys)
        assert visible(store) == 3
        assert len(winners) == operation + 1
    assert {id(one) for one in winners} == {id(KEYS), id(other)}


@pytest.mark.parametrize("number", [0, 1, 2])
def test_release_that_is_not_above_the_published_one_is_refused_and_nothing_is_written(
    number: int, store: MemoryStore
) -> None:
    made, files = release(number, payload_of(number))
    for attempt in (
        lambda: publishing.publish(store, made, files, signers=KEYS, now=NOW),
        lambda: publishing.plan(store, made, files),
    ):
        with pytest.raises(Refused) as caught:
            attempt()
        assert caught.value.reason is Reason.ROLLBACK
    assert store.writes == []


def test_payload_changed_after_signing_is_refused_and_nothing_is_written(
    store: MemoryStore,
) -> None:
    made, files = release(3)
    with pytest.raises(Refused) as caught:
        publishing.publish(store, made, {**files, "app.bin": b"other"}, signers=KEYS, now=NOW)
    assert caught.value.reason is Reason.PAYLOAD_DIGEST
    assert store.writes == []


def test_envelope_that_release_json_does_not_describe_is_refused_and_nothing_is_written(
    store: MemoryStore,
) -> None:
    made, files = release(3)
    _, others = release(4)
    unsigned = envelopes.seal(envelopes.decode(files["envelope.suit"]).manifest).encode()
    for envelope in (others["envelope.suit"], unsigned):
        swapped = {**files, "envelope.suit": envelope}
        with pytest.raises(Refused) as caught:
            publishing.publish(store, made, swapped, signers=KEYS, now=NOW)
        assert caught.value.reason is Reason.LAYERS_DISAGREE
    assert store.writes == []


@pytest.mark.parametrize("state", [State.BUILT, State.IMAGES_SIGNED])
def test_unsigned_release_is_misuse_and_nothing_is_written(
    state: State, store: MemoryStore
) -> None:
    made, files = release(3)
    made = dataclasses.replace(made, state=state)
    with pytest.raises(Misuse):
        publishing.publish(store, made, files, signers=KEYS, now=NOW)
    with pytest.raises(Misuse):
        publishing.plan(store, made, files)
    assert store.writes == []


@pytest.mark.parametrize(
    "uri", ["current.suit", "https://elsewhere/app.bin", "/app.bin", "../app.bin", "3//app.bin", ""]
)
def test_payload_uri_that_is_not_a_place_beside_the_envelope_is_misuse_and_nothing_is_written(
    uri: str, store: MemoryStore
) -> None:
    made, files = release(3)
    made = dataclasses.replace(made, payloads=(dataclasses.replace(made.payloads[0], uri=uri),))
    with pytest.raises(Misuse):
        publishing.publish(store, made, files, signers=KEYS, now=NOW)
    assert store.writes == []


@pytest.mark.parametrize("role", ["targets", "online"])
def test_keys_that_the_root_does_not_name_are_misuse_and_the_repository_still_verifies(
    role: str, store: MemoryStore
) -> None:
    made, files = release(3)
    wrong = dataclasses.replace(KEYS, **{role: signer("other")})
    with pytest.raises(Misuse):
        publishing.publish(store, made, files, signers=wrong, now=NOW)
    assert store.writes == []
    assert visible(store) == 2


def test_role_that_two_keys_must_sign_is_misuse_for_one_and_nothing_is_written(
    store: MemoryStore,
) -> None:
    author = Author(store.files, KEYS)
    author.root(lambda body: body["roles"]["targets"].update(threshold=2))
    author.root(lambda body: body["roles"]["targets"].update(threshold=1))
    publish(store, 3, KEYS)
    author.root(lambda body: trust(body, "snapshot", signer("elsewhere")))
    author.root(lambda body: trust(body, "snapshot", KEYS.online))
    publish(store, 4, KEYS)
    store.writes.clear()
    author.root(lambda body: body["roles"]["targets"].update(threshold=2))
    made, files = release(5)
    with pytest.raises((Misuse, Refused)):
        publishing.publish(store, made, files, signers=KEYS, now=NOW)
    assert store.writes == []


def test_repository_that_does_not_verify_is_refused_and_nothing_is_written(
    store: MemoryStore,
) -> None:
    made, files = release(3)
    honest = dict(store.files)
    tampered = 0
    for name in [name for name in honest if name.startswith("metadata/")]:
        store.files = {**honest, name: honest[name].replace(b"20", b"21", 1)}
        if name.endswith(("/1.targets.json", "/1.snapshot.json")):
            continue  # not what the timestamp names
        with pytest.raises(Refused):
            publishing.publish(store, made, files, signers=KEYS, now=NOW)
        tampered += 1
    assert tampered == 4
    assert store.writes == []


@pytest.mark.parametrize("name", ["1.root.json", "2.targets.json", "2.snapshot.json"])
def test_repository_with_a_file_missing_is_misuse_and_nothing_is_written(
    name: str, store: MemoryStore
) -> None:
    made, files = release(3)
    del store.files[f"metadata/{name}"]
    with pytest.raises(Misuse):
        publishing.publish(store, made, files, signers=KEYS, now=NOW)
    assert store.writes == []


def test_entry_that_fwseal_did_not_publish_is_misuse_and_nothing_is_written(
    store: MemoryStore,
) -> None:
    made, files = release(3)
    honest = dict(store.files)
    for custom in (None, {"custom": 1}, {"custom": {"fwseal": {"sequence_number": "2"}}}):
        store.files = dict(honest)
        entry = {"length": 1, "hashes": {"sha256": "00"}, **(custom or {})}
        Author(store.files, KEYS).targets(
            lambda body, entry=entry: body["targets"].update({CURRENT: entry})
        )
        with pytest.raises(Misuse):
            publishing.publish(store, made, files, signers=KEYS, now=NOW)
    assert store.writes == []


def test_repository_whose_metadata_expired_is_published_to_and_both_clients_accept_it_again() -> (
    None
):
    store = MemoryStore()
    publish(store, 2, KEYS, NOW - timedelta(days=200))
    assert visible(store) is None
    go(store, 3)
    assert visible(store) == 3


def test_plan_names_what_publish_lists_and_writes_nothing(store: MemoryStore) -> None:
    made, files = release(3)
    planned = publishing.plan(store, made, files)
    assert publishing.plan(MemoryStore(), made, files) == planned
    assert store.writes == []
    assert publishing.publish(store, made, files, signers=KEYS, now=NOW).targets == planned


def test_repository_full_of_what_crashed_publishers_left_is_unavailable_and_shows_the_old_release(
    store: MemoryStore,
) -> None:
    for version in range(3, 80):
        store.files[f"metadata/{version}.snapshot.json"] = b"left"
    with pytest.raises(Unavailable):
        go(store, 3)
    assert visible(store) == 2


def test_target_file_of_other_bytes_under_our_name_is_unavailable_and_shows_the_old_release(
    store: MemoryStore,
) -> None:
    twin = MemoryStore(store.files)
    go(twin, 3)
    name = next(one for one in twin.writes if one.endswith(".app.bin"))
    store.files[name] = b"torn"
    with pytest.raises(Unavailable):
        go(store, 3)
    assert store.files[name] == b"torn"
    assert visible(store) == 2


def test_what_is_published_says_which_device_and_number_it_is_for_and_old_releases_stay_listed(
    store: MemoryStore,
) -> None:
    go(store, 3)
    listed = Author(store.files, KEYS).signed("targets")["targets"]
    made, _ = release(3)
    custom = listed[CURRENT]["custom"]["fwseal"]
    assert custom["sequence_number"] == 3
    assert custom["vendor_id"] == made.vendor_id
    assert custom["class_id"] == made.class_id
    assert len(custom["manifest_digest"]) == 64
    folder = CURRENT.removesuffix("/current.suit")
    assert set(listed) == {CURRENT, f"{folder}/2/app.bin", f"{folder}/3/app.bin"}
