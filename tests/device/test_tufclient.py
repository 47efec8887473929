"""The refresh as a pure machine: what is asked for, in which order, and what is kept when."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from fwseal.base.errors import Refused, Unavailable
from fwseal.base.ids import Uri
from fwseal.base.reasons import Reason
from fwseal.device import tufclient
from fwseal.device.tufclient import Get, Keep, TargetFetcher
from fwseal.suit.limits import DEFAULT
from fwseal.tuf import trusted
from repositories import (
    CURRENT,
    NOW,
    Author,
    MemoryStore,
    OurClient,
    Tree,
    TreeFetcher,
    Verdict,
    payload_of,
    publish,
    published,
    sealed,
    signed_part,
    signers,
)
from workshop import signer

if TYPE_CHECKING:
    from collections.abc import Iterator

KEYS = signers()


def walk(tree: Tree, kept: dict[str, bytes]) -> list[Get | Keep]:
    """Answer everything a refresh asks and keeps, in order; `kept` grows as a disk would."""
    seen: list[Get | Keep] = []
    state = tufclient.start(kept, NOW)
    while (wanted := tufclient.wanted(state)) is not None:
        seen.append(wanted)
        state, keep = tufclient.step(state, tree.get(f"metadata/{wanted.name}"))
        if keep is not None:
            seen.append(keep)
            kept[keep.role] = keep.data
    return seen


def names(seen: list[Get | Keep]) -> list[str]:
    return [one.name if isinstance(one, Get) else f"keep {one.role}" for one in seen]


def test_each_file_is_kept_before_the_next_is_asked_for_and_never_more_is_asked_than_named() -> (
    None
):
    tree = published(KEYS, 2)
    Author(tree, KEYS).root()
    kept = {"root": tree["metadata/1.root.json"]}
    seen = walk(tree, kept)
    assert names(seen) == [
        "2.root.json", "keep root", "3.root.json",
        "timestamp.json", "keep timestamp",
        "2.snapshot.json", "keep snapshot",
        "2.targets.json", "keep targets",
    ]  # fmt: skip
    sizes = {one.name: one.max_size for one in seen if isinstance(one, Get)}
    assert sizes["2.snapshot.json"] == len(tree["metadata/2.snapshot.json"])
    assert sizes["2.targets.json"] == len(tree["metadata/2.targets.json"])
    assert sizes["timestamp.json"] == trusted.MAX_TIMESTAMP
    assert kept == {
        "root": tree["metadata/2.root.json"],
        "timestamp": tree["metadata/timestamp.json"],
        "snapshot": tree["metadata/2.snapshot.json"],
        "targets": tree["metadata/2.targets.json"],
    }


def test_refresh_of_what_is_known_keeps_the_timestamp_it_has() -> None:
    tree = published(KEYS, 2)
    kept = {"root": tree["metadata/1.root.json"]}
    walk(tree, kept)
    before = dict(kept)
    assert "keep timestamp" not in names(walk(tree, kept))
    assert kept == before


def test_length_that_the_snapshot_leaves_out_is_bounded_all_the_same() -> None:
    tree = published(KEYS, 2)
    author = Author(tree, KEYS)
    author.snapshot(lambda body: body["meta"]["targets.json"].pop("length"))
    author.timestamp(lambda body: body["meta"]["snapshot.json"].pop("length"))
    seen = walk(tree, {"root": tree["metadata/1.root.json"]})
    sizes = {one.name: one.max_size for one in seen if isinstance(one, Get)}
    assert sizes["3.snapshot.json"] == trusted.MAX_SNAPSHOT
    assert sizes["2.targets.json"] == trusted.MAX_TARGETS


def test_device_cut_off_after_any_file_goes_on_from_there_and_old_metadata_stays_refused() -> None:
    store = MemoryStore()
    publish(store, 2, KEYS)
    old = dict(store.files)
    publish(store, 3, KEYS)
    cut = 0
    for files in range(1, 5):
        client = OurClient(old["metadata/1.root.json"])
        assert client.update(old) == Verdict(number=2)
        state = tufclient.start(client.kept, NOW)
        for _ in range(files):
            wanted = tufclient.wanted(state)
            assert wanted is not None
            state, keep = tufclient.step(state, store.files.get(f"metadata/{wanted.name}"))
            if keep is not None:
                client.kept[keep.role] = keep.data
        if files > 1:  # the new timestamp was kept
            assert client.update(old).reason is Reason.METADATA_ROLLBACK
        assert client.update(store.files) == Verdict(number=3)
        cut += 1
    assert cut == 4


@pytest.mark.parametrize("role", ["timestamp", "snapshot", "targets"])
@pytest.mark.parametrize("content", [b"", b"\x00" * 40, b"{}"])
def test_kept_file_that_was_damaged_is_fetched_anew_and_the_update_goes_on(
    role: str, content: bytes
) -> None:
    tree = published(KEYS, 2)
    client = OurClient(tree["metadata/1.root.json"])
    assert client.update(tree) == Verdict(number=2)
    honest = dict(client.kept)
    client.kept[role] = content
    assert client.update(tree) == Verdict(number=2)
    assert client.kept == honest


def test_kept_timestamp_that_a_stranger_signed_does_not_block_an_honest_one() -> None:
    tree = published(KEYS, 2)
    client = OurClient(tree["metadata/1.root.json"])
    body = signed_part(tree["metadata/timestamp.json"])
    client.kept["timestamp"] = sealed({**body, "version": 2**40}, signer("stranger"))
    assert client.update(tree) == Verdict(number=2)
    assert client.kept["timestamp"] == tree["metadata/timestamp.json"]


def test_kept_metadata_that_expired_still_guards_against_rollback() -> None:
    store = MemoryStore()
    publish(store, 2, KEYS)
    old = dict(store.files)
    publish(store, 3, KEYS)
    client = OurClient(old["metadata/1.root.json"])
    assert client.update(store.files) == Verdict(number=3)
    later = NOW + timedelta(days=60)
    assert client.update(store.files, later).reason is Reason.METADATA_EXPIRED
    assert client.update(old, later).reason is Reason.METADATA_ROLLBACK
    publish(store, 4, KEYS, later)
    assert client.update(store.files, later) == Verdict(number=4)


def test_endless_chain_of_roots_ends_and_the_next_refresh_goes_on_from_the_last_kept() -> None:
    tree = published(KEYS, 2)
    author = Author(tree, KEYS)
    for _ in range(tufclient.MAX_ROOT_ROTATIONS + 3):
        author.root()
    client = OurClient(tree["metadata/1.root.json"])
    assert client.update(tree) == Verdict(number=2)
    limit = tufclient.MAX_ROOT_ROTATIONS + 1
    assert client.kept["root"] == tree[f"metadata/{limit}.root.json"]
    assert client.update(tree) == Verdict(number=2)
    assert client.kept["root"] == tree[f"metadata/{limit + 3}.root.json"]


def test_machine_checks_sizes_itself_though_its_driver_did_not() -> None:
    tree = published(KEYS, 2)
    state = tufclient.start({"root": tree["metadata/1.root.json"]}, NOW)
    for size, reason in (
        (trusted.MAX_ROOT, Reason.MALFORMED),
        (trusted.MAX_ROOT + 1, Reason.METADATA_OVERSIZE),
    ):
        with pytest.raises(Refused) as caught:
            tufclient.step(state, b" " * size)
        assert caught.value.reason is reason


def test_refresh_that_is_done_waits_for_nothing_more() -> None:
    tree = published(KEYS, 2)
    state = tufclient.start({"root": tree["metadata/1.root.json"]}, NOW)
    while (wanted := tufclient.wanted(state)) is not None:
        state, _ = tufclient.step(state, tree.get(f"metadata/{wanted.name}"))
    with pytest.raises(AssertionError):
        tufclient.step(state, b"{}")


class Refuses:
    """A source that is asked and refuses."""

    def __init__(self, reason: Reason) -> None:
        self._reason = reason

    def fetch(self, uri: Uri, *, max_size: int) -> Iterator[bytes]:
        yield b"x" * min(max_size, 1)
        raise Refused(self._reason, uri)


def test_answer_names_what_went_wrong_and_a_missing_file_is_no_answer() -> None:
    asked = Get("timestamp.json", 10)
    assert tufclient.answer(TreeFetcher({}, "metadata"), asked) is None
    assert tufclient.answer(TreeFetcher({"m/timestamp.json": b"x"}, "m"), asked) == b"x"
    for reason, expected in (
        (Reason.LIMIT_EXCEEDED, Reason.METADATA_OVERSIZE),
        (Reason.TOO_SLOW, Reason.TOO_SLOW),
    ):
        with pytest.raises(Refused) as caught:
            tufclient.answer(Refuses(reason), asked)
        assert caught.value.reason is expected


def fetcher(tree: Tree, source: object = None) -> TargetFetcher:
    state = tufclient.start({"root": tree["metadata/1.root.json"]}, NOW)
    while (wanted := tufclient.wanted(state)) is not None:
        state, _ = tufclient.step(state, tree.get(f"metadata/{wanted.name}"))
    given = source or TreeFetcher(tree, "targets")
    return TargetFetcher(state.trusted, envelope=CURRENT, source=given)


def reason_of(targets: TargetFetcher, uri: str = "2/app.bin", max_size: int = 1 << 20) -> Reason:
    with pytest.raises(Refused) as caught:
        list(targets.fetch(Uri(uri), max_size=max_size))
    return caught.value.reason


@pytest.mark.parametrize(
    "uri", ["3/app.bin", "http://elsewhere/app.bin", "/2/app.bin", "../x", "", "2//app.bin"]
)
def test_uri_that_the_repository_does_not_list_is_refused_and_nobody_is_asked(uri: str) -> None:
    tree = published(KEYS, 2)
    source = TreeFetcher(tree, "targets")
    assert reason_of(fetcher(tree, source), uri) is Reason.TARGET_UNKNOWN
    assert source.asked == []


def test_target_longer_than_allowed_is_refused_and_nobody_is_asked() -> None:
    tree = published(KEYS, 2)
    source = TreeFetcher(tree, "targets")
    size = len(payload_of(2))
    assert reason_of(fetcher(tree, source), max_size=size - 1) is Reason.PAYLOAD_SIZE
    assert source.asked == []
    got = fetcher(tree, source).fetch(Uri("2/app.bin"), max_size=size)
    assert b"".join(got) == payload_of(2)


def test_last_piece_of_a_target_is_held_back_until_all_of_it_fits() -> None:
    tree = published(KEYS, 2)
    (path,) = (name for name in tree if name.endswith(".app.bin"))
    tree[path] = tree[path][:-1] + b"!"
    pieces = fetcher(tree).fetch(Uri("2/app.bin"), max_size=1 << 20)
    assert next(pieces) == payload_of(2)[:999]
    assert len(payload_of(2)) > 999
    with pytest.raises(Refused) as caught:
        next(pieces)
    assert caught.value.reason is Reason.TARGET_MISMATCH


@pytest.mark.parametrize(
    ("said", "heard"),
    [(Reason.LIMIT_EXCEEDED, Reason.TARGET_MISMATCH), (Reason.TOO_SLOW, Reason.TOO_SLOW)],
)
def test_source_that_refuses_midway_is_heard_and_the_rest_is_not_answered(
    said: Reason, heard: Reason
) -> None:
    assert reason_of(fetcher(published(KEYS, 2), Refuses(said))) is heard


def test_target_without_sha256_is_refused_and_nobody_is_asked() -> None:
    tree = published(KEYS, 2)
    path = CURRENT.replace("current.suit", "2/app.bin")
    Author(tree, KEYS).targets(
        lambda body: body["targets"][path].update(hashes={"sha512": "00" * 64})
    )
    source = TreeFetcher(tree, "targets")
    assert reason_of(fetcher(tree, source)) is Reason.UNSUPPORTED
    assert source.asked == []


def test_envelope_that_claims_to_be_huge_is_refused_and_nobody_is_asked() -> None:
    tree = published(KEYS, 2)
    Author(tree, KEYS).targets(
        lambda body: body["targets"][CURRENT].update(length=DEFAULT.envelope_bytes + 1)
    )
    source = TreeFetcher(tree, "targets")
    with pytest.raises(Refused) as caught:
        fetcher(tree, source).envelope()
    assert caught.value.reason is Reason.LIMIT_EXCEEDED
    assert source.asked == []


def test_repository_without_a_role_is_unavailable_and_keeps_what_was_kept() -> None:
    tree = published(KEYS, 2)
    client = OurClient(tree["metadata/1.root.json"])
    assert client.update(tree) == Verdict(number=2)
    kept = dict(client.kept)
    del tree["metadata/timestamp.json"]
    assert client.update(tree).reason is Unavailable
    assert client.kept == kept
