"""Attacks on a repository, each against our client and python-tuf's: what one refuses, both do."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from fwseal.base.errors import Unavailable
from fwseal.base.reasons import Reason
from fwseal.delivery.dirstore import DirStore
from fwseal.delivery.serve import serving
from fwseal.tuf import repository
from repositories import (
    NOW,
    Author,
    OurClient,
    TheirClient,
    Tree,
    Verdict,
    payload_of,
    publish,
    published,
    sealed,
    signed_part,
    signers,
    trust,
)
from repositories import MemoryStore as Store
from workshop import signer

if TYPE_CHECKING:
    from pathlib import Path

    from fwseal.cose.signer import Signer

Attack = Callable[[Author, Tree], object]


@pytest.fixture
def clients() -> Iterator[Callable[[bytes], tuple[OurClient, TheirClient]]]:
    made: list[TheirClient] = []

    def both(root: bytes) -> tuple[OurClient, TheirClient]:
        made.append(TheirClient(root))
        return OurClient(root), made[-1]

    yield both
    for one in made:
        one.close()


def flip(data: bytes) -> bytes:
    """Flip a bit in the signed content, so that the JSON stays well formed."""
    at = data.index(b'"expires"') + len('"expires": "20')
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


def flip_role(role: str) -> Attack:
    return lambda author, _: author.replace(role, flip)


def flip_root(author: Author, _: Tree) -> None:
    author.root()
    author.replace("root", flip)


def unsigned(role: str) -> Attack:
    def attack(author: Author, _: Tree) -> None:
        if role == "root":
            author.root()
        bare = sealed(author.signed(role))
        if role in ("root", "timestamp"):
            author.replace(role, lambda _: bare)
        else:
            getattr(author, role)(data=bare)

    return attack


def signed_by_a_stranger(role: str) -> Attack:
    def attack(author: Author, _: Tree) -> None:
        stranger = signer("stranger")
        if role == "timestamp":
            author.replace(role, lambda data: sealed(signed_part(data), stranger))
        else:
            body = author.signed(role)
            body["version"] += 1
            getattr(author, role)(data=sealed(body, stranger))

    return attack


def stored(author: Author, suffix: str) -> str:
    (path,) = (name for name in author.tree if name.endswith(suffix) and "targets/" in name)
    return path


def target(change: Callable[[bytes], bytes]) -> Attack:
    def attack(author: Author, _: Tree) -> None:
        for path in [name for name in author.tree if name.endswith(".app.bin")]:
            author.tree[path] = change(author.tree[path])

    return attack


def swap_targets(author: Author, _: Tree) -> None:
    sealed_at, payload_at = stored(author, ".current.suit"), stored(author, ".app.bin")
    tree = author.tree
    tree[sealed_at], tree[payload_at] = tree[payload_at], tree[sealed_at]


def mix_and_match(author: Author, old: Tree) -> None:
    before = Author(dict(old), author.keys)
    author.replace("snapshot", lambda _: old[before.role("snapshot")])


def older_timestamp(author: Author, old: Tree) -> None:
    author.replace("timestamp", lambda _: old["metadata/timestamp.json"])


def older_snapshot_named(author: Author, old: Tree) -> None:
    meta = signed_part(old["metadata/timestamp.json"])["meta"]
    author.timestamp(lambda body: body.update(meta=meta))


def older_targets_named(author: Author, old: Tree) -> None:
    before = Author(dict(old), author.keys)
    author.snapshot(lambda body: body.update(meta=before.signed("snapshot")["meta"]))


def targets_gone_from_snapshot(author: Author, _: Tree) -> None:
    author.snapshot(lambda body: body.update(meta={}))


def missing(role: str) -> Attack:
    return lambda author, _: author.tree.pop(author.role(role))


def missing_target(author: Author, _: Tree) -> None:
    del author.tree[next(name for name in author.tree if name.endswith(".app.bin"))]


def skips_a_root(author: Author, _: Tree) -> None:
    author.root(lambda body: body.update(version=body["version"] + 1))


def repeats_a_root(author: Author, _: Tree) -> None:
    author.root(lambda body: body.update(version=body["version"] - 1))


def root_by_new_key_only(author: Author, _: Tree) -> None:
    new = signer("new")
    author.root(lambda body: trust(body, "root", new), new)


def root_by_old_key_only(author: Author, _: Tree) -> None:
    author.root(lambda body: trust(body, "root", signer("new")))


def threshold(role: str, value: object) -> Attack:
    return lambda author, _: author.root(lambda body: body["roles"][role].update(threshold=value))


def stands_for(role: str, other: str) -> Attack:
    """Serve another role's metadata, well signed, where a role must be."""

    def attack(author: Author, _: Tree) -> None:
        data = author.tree[author.role(other)]
        if role in ("timestamp", "root"):
            author.root() if role == "root" else None
            author.replace(role, lambda _: data)
        else:
            getattr(author, role)(data=data)

    return attack


def wrong_version(role: str) -> Attack:
    """Name a file by one version that says another of itself."""

    def attack(author: Author, _: Tree) -> None:
        getattr(author, role)(lambda body: body.update(version=body["version"] + 5))

    return attack


def deep(role: str) -> Attack:
    return lambda author, _: author.replace(role, lambda _: b"[" * 8_000 + b"]" * 8_000)


def padded(role: str, size: int) -> Attack:
    def attack(author: Author, _: Tree) -> None:
        if role == "root":
            author.root()
        author.replace(role, lambda data: data + b" " * size)

    return attack


def half_a_character(author: Author, _: Tree) -> None:
    author.replace("timestamp", lambda data: data.replace(b'"spec', b'"x": "\\ud800", "spec', 1))


def one_signature_twice(author: Author, _: Tree) -> None:
    def twice(data: bytes) -> bytes:
        body = json.loads(data)
        return json.dumps({**body, "signatures": body["signatures"] * 2}).encode()

    author.replace("timestamp", twice)


def not_json(author: Author, _: Tree) -> None:
    author.replace("timestamp", lambda _: b"\xff\xfe{}")


REFUSED: dict[str, tuple[Attack, Reason | type[Exception], int]] = {
    "a bit flipped in the timestamp": (flip_role("timestamp"), Reason.METADATA_SIGNATURE, 1),
    "a bit flipped in the snapshot": (flip_role("snapshot"), Reason.METADATA_MISMATCH, 2),
    "a bit flipped in the targets": (flip_role("targets"), Reason.METADATA_MISMATCH, 3),
    "a bit flipped in the next root": (flip_root, Reason.METADATA_SIGNATURE, 1),
    "a bit flipped in the payload": (
        target(lambda data: data[:9] + bytes([data[9] ^ 4]) + data[10:]),
        Reason.TARGET_MISMATCH,
        4,
    ),
    "a longer payload": (target(lambda data: data + b"!"), Reason.TARGET_MISMATCH, 4),
    "a shorter payload": (target(lambda data: data[:-1]), Reason.TARGET_MISMATCH, 4),
    "an empty payload": (target(lambda _: b""), Reason.TARGET_MISMATCH, 4),
    "no payload": (missing_target, Reason.PAYLOAD_MISSING, 4),
    "unsigned timestamp": (unsigned("timestamp"), Reason.METADATA_SIGNATURE, 1),
    "unsigned snapshot": (unsigned("snapshot"), Reason.METADATA_SIGNATURE, 2),
    "unsigned targets": (unsigned("targets"), Reason.METADATA_SIGNATURE, 3),
    "unsigned root": (unsigned("root"), Reason.METADATA_SIGNATURE, 1),
    "a stranger's timestamp": (signed_by_a_stranger("timestamp"), Reason.METADATA_SIGNATURE, 1),
    "a stranger's snapshot": (signed_by_a_stranger("snapshot"), Reason.METADATA_SIGNATURE, 2),
    "a stranger's targets": (signed_by_a_stranger("targets"), Reason.METADATA_SIGNATURE, 3),
    "no timestamp": (missing("timestamp"), Unavailable, 1),
    "no snapshot": (missing("snapshot"), Unavailable, 2),
    "no targets": (missing("targets"), Unavailable, 3),
    "a root that skips a version": (skips_a_root, Reason.METADATA_ROLLBACK, 1),
    "a root that repeats a version": (repeats_a_root, Reason.METADATA_ROLLBACK, 1),
    "a root signed by the new key only": (root_by_new_key_only, Reason.METADATA_SIGNATURE, 1),
    "a root signed by the old key only": (root_by_old_key_only, Reason.METADATA_SIGNATURE, 1),
    "a root with threshold 0": (threshold("timestamp", 0), Reason.MALFORMED, 1),
    "a root with threshold -1": (threshold("targets", -1), Reason.MALFORMED, 1),
    "a root whose own threshold nobody meets": (threshold("root", 2), Reason.METADATA_SIGNATURE, 1),
    "a timestamp threshold nobody meets": (threshold("timestamp", 2), Reason.METADATA_SIGNATURE, 1),
    "a snapshot for the timestamp": (
        stands_for("timestamp", "snapshot"),
        Reason.METADATA_MISMATCH,
        1,
    ),
    "a timestamp for the snapshot": (
        stands_for("snapshot", "timestamp"),
        Reason.METADATA_MISMATCH,
        2,
    ),
    "a snapshot for the targets": (stands_for("targets", "snapshot"), Reason.METADATA_MISMATCH, 3),
    "targets for the root": (stands_for("root", "targets"), Reason.METADATA_MISMATCH, 1),
    "a snapshot of another version": (wrong_version("snapshot"), Reason.METADATA_MISMATCH, 2),
    "targets of another version": (wrong_version("targets"), Reason.METADATA_MISMATCH, 3),
    "no targets in the snapshot": (targets_gone_from_snapshot, Reason.METADATA_MISMATCH, 3),
    "a deep timestamp": (deep("timestamp"), Reason.LIMIT_EXCEEDED, 1),
    "a timestamp of 17 KB": (padded("timestamp", 17_000), Reason.METADATA_OVERSIZE, 1),
    "a root of 513 KB": (padded("root", 513_000), Reason.METADATA_OVERSIZE, 1),
    "a snapshot longer than named": (padded("snapshot", 1), Reason.METADATA_OVERSIZE, 2),
    "targets longer than named": (padded("targets", 1), Reason.METADATA_OVERSIZE, 3),
    "half a character in the timestamp": (half_a_character, Reason.MALFORMED, 1),
    "one signature twice": (one_signature_twice, Reason.MALFORMED, 1),
    "a timestamp that is no JSON": (not_json, Reason.MALFORMED, 1),
    "swapped target files": (swap_targets, Reason.TARGET_MISMATCH, 4),
}
"""Each attack, our Reason, and how many roles in their order the device keeps of it."""

ROLES = ("root", "timestamp", "snapshot", "targets")


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.threat("TUF:tampered-repository")
def test_tampered_repository_is_refused_by_both_clients_and_an_honest_one_is_accepted_after(
    name: str, clients: Callable[[bytes], tuple[OurClient, TheirClient]]
) -> None:
    attack, reason, kept = REFUSED[name]
    keys = signers()
    store = Store()
    publish(store, 2, keys)
    ours, theirs = clients(store.files["metadata/1.root.json"])
    tampered = dict(store.files)
    attack(Author(tampered, keys), {})
    assert tampered != store.files
    assert ours.update(tampered) == Verdict(number=None, reason=reason)
    assert theirs.update(tampered).number is None
    assert tuple(ours.kept) == ROLES[:kept]
    if signed_part(ours.kept["root"])["version"] == 1:
        publish(store, 3, keys)  # above what the attack left, where it was well signed
        publish(store, 4, keys)
        assert ours.update(store.files) == theirs.update(store.files) == Verdict(number=4)


ROLLED_BACK: dict[str, tuple[Attack, Reason]] = {
    "a timestamp from before": (older_timestamp, Reason.METADATA_ROLLBACK),
    "a snapshot from before under a new timestamp": (
        older_snapshot_named,
        Reason.METADATA_ROLLBACK,
    ),
    "targets from before under a new snapshot": (older_targets_named, Reason.METADATA_ROLLBACK),
    "targets gone from a new snapshot": (targets_gone_from_snapshot, Reason.METADATA_ROLLBACK),
}


@pytest.mark.parametrize("name", ROLLED_BACK)
def test_repository_from_before_is_refused_by_both_clients_which_keep_what_they_trust(
    name: str, clients: Callable[[bytes], tuple[OurClient, TheirClient]]
) -> None:
    attack, reason = ROLLED_BACK[name]
    keys = signers()
    store = Store()
    publish(store, 2, keys)
    old = dict(store.files)
    publish(store, 3, keys)
    ours, theirs = clients(old["metadata/1.root.json"])
    assert ours.update(store.files) == theirs.update(store.files) == Verdict(number=3)
    kept = dict(ours.kept)
    tampered = dict(store.files)
    attack(Author(tampered, keys), old)
    assert ours.update(tampered) == Verdict(number=None, reason=reason)
    assert theirs.update(tampered).number is None
    assert {role: ours.kept[role] for role in ("root", "snapshot", "targets")} == {
        role: kept[role] for role in ("root", "snapshot", "targets")
    }
    publish(store, 4, keys)
    publish(store, 5, keys)  # above the version of the timestamp that the attack burned
    assert ours.update(store.files) == theirs.update(store.files) == Verdict(number=5)


def test_snapshot_from_before_beside_the_newest_timestamp_is_refused_by_both_clients_and_not_kept(
    clients: Callable[[bytes], tuple[OurClient, TheirClient]],
) -> None:
    keys = signers()
    store = Store()
    publish(store, 2, keys)
    old = dict(store.files)
    publish(store, 3, keys)
    ours, theirs = clients(old["metadata/1.root.json"])
    mixed = dict(store.files)
    mix_and_match(Author(mixed, keys), old)
    # Which of the two depends on the lengths of two ECDSA signatures.
    reasons = (Reason.METADATA_MISMATCH, Reason.METADATA_OVERSIZE)
    assert ours.update(mixed).reason in reasons
    assert theirs.update(mixed).number is None
    assert "snapshot" not in ours.kept
    assert ours.update(store.files) == theirs.update(store.files) == Verdict(number=3)


@pytest.mark.threat("TUF:freeze")
@pytest.mark.parametrize(
    ("role", "days"), [("timestamp", 8), ("snapshot", 40), ("targets", 366), ("root", 366)]
)
def test_expired_metadata_is_refused_by_both_clients_and_nothing_from_it_is_installed(
    role: str, days: int, clients: Callable[[bytes], tuple[OurClient, TheirClient]]
) -> None:
    keys = signers()
    tree = published(keys, 2)
    author = Author(tree, keys)
    if role == "root":
        tree = published(keys, 2, now=NOW - timedelta(days=days))
    else:
        past = f"{NOW - timedelta(days=1):%Y-%m-%dT%H:%M:%SZ}"
        getattr(author, role)(lambda body: body.update(expires=past))
    ours, theirs = clients(tree["metadata/1.root.json"])
    assert ours.update(tree).reason is Reason.METADATA_EXPIRED
    assert theirs.update(tree).number is None
    assert role == "root" or role not in ours.kept
    assert "targets" not in ours.kept


@pytest.mark.parametrize(("role", "days"), [("timestamp", 7), ("snapshot", 30), ("targets", 365)])
def test_metadata_lives_as_long_as_its_role_says_and_not_a_second_longer(
    role: str, days: int
) -> None:
    keys = signers()
    tree = published(keys, 2)
    end = NOW + timedelta(days=days)
    author = Author(tree, keys)
    later = f"{end + timedelta(days=300):%Y-%m-%dT%H:%M:%SZ}"
    for other in ("targets", "snapshot", "timestamp"):
        if other != role:
            getattr(author, other)(lambda body: body.update(expires=later))
    if role == "targets":
        author.root(lambda body: body.update(expires=later))
    assert OurClient(tree["metadata/1.root.json"]).update(
        tree, end - timedelta(seconds=1)
    ) == Verdict(number=2)
    late = OurClient(tree["metadata/1.root.json"])
    assert late.update(tree, end) == Verdict(number=None, reason=Reason.METADATA_EXPIRED)
    assert role not in late.kept


def test_root_rotations_are_followed_in_order_by_both_clients_and_the_last_is_kept(
    clients: Callable[[bytes], tuple[OurClient, TheirClient]],
) -> None:
    keys = signers()
    tree = published(keys, 2)
    ours, theirs = clients(tree["metadata/1.root.json"])
    author = Author(tree, keys)
    second, third = signer("second"), signer("third")
    author.root(lambda body: trust(body, "root", second), keys.root, second)
    author.root(lambda body: trust(body, "root", third), second, third)
    author.root(lambda body: body.update(expires="2001-01-01T00:00:00Z"), third)
    author.root(lambda _: None, third)
    assert signed_part(tree["metadata/5.root.json"])["expires"] == "2001-01-01T00:00:00Z"
    assert ours.update(tree).reason is Reason.METADATA_EXPIRED
    assert theirs.update(tree).number is None
    later = f"{NOW + timedelta(days=9):%Y-%m-%dT%H:%M:%SZ}"
    author.root(lambda body: body.update(expires=later), third)
    assert ours.update(tree) == theirs.update(tree) == Verdict(number=2)
    assert ours.kept["root"] == tree["metadata/6.root.json"]
    assert ours.asked[0] == "6.root.json"


def test_keys_taken_from_a_role_sign_nothing_any_more_for_both_clients(
    clients: Callable[[bytes], tuple[OurClient, TheirClient]],
) -> None:
    keys = signers()
    tree = published(keys, 2)
    ours, theirs = clients(tree["metadata/1.root.json"])
    assert ours.update(tree) == theirs.update(tree) == Verdict(number=2)
    author = Author(tree, keys)
    author.root(lambda body: trust(body, "timestamp", signer("new")))
    author.timestamp()
    before = ours.kept["timestamp"]
    assert ours.update(tree).reason is Reason.METADATA_SIGNATURE
    assert theirs.update(tree).number is None
    assert ours.kept["timestamp"] == before


@pytest.mark.threat("TUF:fast-forward")
@pytest.mark.parametrize("roles", [("timestamp",), ("snapshot",), ("timestamp", "snapshot")])
def test_fast_forward_by_a_stolen_key_ends_with_its_rotation_and_both_clients_update_again(
    roles: tuple[str, ...], clients: Callable[[bytes], tuple[OurClient, TheirClient]]
) -> None:
    keys = signers()
    store = Store()
    publish(store, 2, keys)
    honest = dict(store.files)
    ours, theirs = clients(honest["metadata/1.root.json"])
    stolen = dict(honest)
    author = Author(stolen, keys)
    author.snapshot(lambda body: body["meta"]["targets.json"].update(version=2))
    author.timestamp(lambda body: body.update(version=2**40))
    assert ours.update(stolen) == theirs.update(stolen) == Verdict(number=2)
    assert ours.update(honest).reason is Reason.METADATA_ROLLBACK
    assert theirs.update(honest).number is None
    new = signer("online")
    author = Author(store.files, keys)

    def rotated(body: dict[str, Any]) -> None:
        for role in roles:
            trust(body, role, new)

    author.root(rotated)
    by: dict[str, Signer] = {
        role: new if role in roles else keys.online for role in repository.ONLINE
    }
    author.keys = repository.Signers(root=keys.root, targets=keys.targets, online=by["snapshot"])
    author.snapshot()
    author.keys = repository.Signers(root=keys.root, targets=keys.targets, online=by["timestamp"])
    author.timestamp()
    assert ours.update(store.files) == Verdict(number=2)
    # python-tuf keeps a timestamp that still verifies, though the snapshot's key was rotated
    # (TUF 5.3.11 has both forgotten): it stays fast-forwarded.
    assert theirs.update(store.files).number == (None if roles == ("snapshot",) else 2)
    assert signed_part(ours.kept["timestamp"])["version"] < 2**40


def test_timestamp_of_the_same_version_with_other_content_is_discarded_by_both_clients_and_not_kept(
    clients: Callable[[bytes], tuple[OurClient, TheirClient]],
) -> None:
    keys = signers()
    store = Store()
    publish(store, 2, keys)
    ours, theirs = clients(store.files["metadata/1.root.json"])
    first = dict(store.files)
    assert ours.update(first) == theirs.update(first) == Verdict(number=2)
    publish(store, 3, keys)
    tree = dict(store.files)
    version = signed_part(first["metadata/timestamp.json"])["version"]
    Author(tree, keys).timestamp(lambda body: body.update(version=version))
    assert ours.update(tree) == theirs.update(tree) == Verdict(number=2)
    assert ours.kept["timestamp"] == first["metadata/timestamp.json"]
    week = NOW + timedelta(days=7)
    assert ours.update(tree, week).reason is Reason.METADATA_EXPIRED
    assert ours.kept["timestamp"] == first["metadata/timestamp.json"]


def _twice(data: bytes) -> bytes:
    return data.replace(b'"signed"', b'"signed": {}, "signed"', 1)


def test_duplicate_json_key_is_refused_though_python_tuf_takes_the_last_and_nothing_is_kept(
    clients: Callable[[bytes], tuple[OurClient, TheirClient]],
) -> None:
    keys = signers()
    tree = published(keys, 2)
    ours, theirs = clients(tree["metadata/1.root.json"])
    Author(tree, keys).replace("timestamp", _twice)
    assert theirs.update(tree) == Verdict(number=2)
    assert ours.update(tree).reason is Reason.MALFORMED
    assert list(ours.kept) == ["root"]


def test_version_of_four_thousand_digits_is_refused_though_python_tuf_takes_it_and_nothing_is_kept(
    clients: Callable[[bytes], tuple[OurClient, TheirClient]],
) -> None:
    keys = signers()
    tree = published(keys, 2)
    ours, theirs = clients(tree["metadata/1.root.json"])
    Author(tree, keys).timestamp(lambda body: body.update(version=10**3999))
    assert theirs.update(tree) == Verdict(number=2)
    assert ours.update(tree).reason is Reason.MALFORMED
    assert list(ours.kept) == ["root"]


def test_unversioned_repository_is_unavailable_to_us_though_python_tuf_reads_it(
    clients: Callable[[bytes], tuple[OurClient, TheirClient]],
) -> None:
    # Off-spec: consistent snapshots only, which is what fwseal publishes.
    keys = signers()
    tree = published(keys, 2)
    ours, theirs = clients(tree["metadata/1.root.json"])
    author = Author(tree, keys)
    author.root(lambda body: body.update(consistent_snapshot=False))
    for role in ("targets", "snapshot"):
        tree[f"metadata/{role}.json"] = tree.pop(author.role(role))
    for name in [name for name in tree if name.startswith("targets/")]:
        folder, _, file = name.rpartition("/")
        tree[f"{folder}/{file.partition('.')[2]}"] = tree.pop(name)
    assert theirs.update(tree) == Verdict(number=2)
    assert ours.update(tree).reason is Unavailable
    assert "snapshot" not in ours.kept


def _leaves(
    value: Any,  # noqa: ANN401 - JSON
    path: tuple[Any, ...] = (),
) -> Iterator[tuple[Any, ...]]:
    if isinstance(value, dict | list):
        for key in value if isinstance(value, dict) else range(len(value)):
            yield from _leaves(value[key], (*path, key))
    yield path


def _with(value: Any, path: tuple[Any, ...], new: object) -> Any:  # noqa: ANN401 - JSON
    if not path:
        return new
    copy = value.copy()
    copy[path[0]] = _with(value[path[0]], path[1:], new)
    return copy


ODD = [None, True, -1, 0, 2**64 - 1, "x", "", "é\n", [], {}, ["x"], {"x": None}]


@pytest.mark.parametrize("role", ["root", "timestamp", "snapshot", "targets"])
def test_metadata_with_any_value_replaced_never_crashes_and_never_differs_from_python_tuf(
    role: str, clients: Callable[[bytes], tuple[OurClient, TheirClient]]
) -> None:
    keys = signers()
    honest = published(keys, 2)
    author = Author(dict(honest), keys)
    if role == "root":
        author.root()
    body = author.signed(role)
    by = {"root": keys.root, "targets": keys.targets}.get(role, keys.online)
    ran = refused = 0
    # We read consistent snapshots only, see above.
    paths = [path for path in _leaves(body) if path != ("consistent_snapshot",)]
    for path in paths:
        for odd in ODD:
            changed = _with(body, path, odd)
            tree = dict(author.tree)
            data = sealed(changed, by)
            mine = Author(tree, keys)
            if role in ("root", "timestamp"):
                mine.replace(role, lambda _, data=data: data)
            else:
                tree[mine.role(role)] = data
                relink(mine, role)
            ours, theirs = clients(honest["metadata/1.root.json"])
            verdict = ours.update(tree)
            try:
                other = theirs.update(tree).number
            except Exception:  # noqa: BLE001 - what python-tuf raises for its own bugs is a no
                other = None
            theirs.close()
            assert (verdict.number is None) == (other is None), (path, odd, verdict)
            ran += 1
            refused += verdict.number is None
    assert ran > 100
    assert refused > 50
    ours, theirs = clients(honest["metadata/1.root.json"])
    relink(author, role)
    assert ours.update(author.tree) == theirs.update(author.tree) == Verdict(number=2)


def relink(author: Author, role: str) -> None:
    """Name whatever stands in the newest targets and snapshot, without new versions."""
    if role == "targets":
        body = author.signed("snapshot")
        _name(body["meta"]["targets.json"], author.tree[author.role("targets")])
        author.tree[author.role("snapshot")] = sealed(body, author.keys.online)
    top = author.signed("timestamp")
    _name(top["meta"]["snapshot.json"], author.tree[author.role("snapshot")])
    author.tree["metadata/timestamp.json"] = sealed(top, author.keys.online)


def _name(meta: dict[str, Any], data: bytes) -> None:
    meta["length"] = len(data)
    meta["hashes"]["sha256"] = hashlib.sha256(data).hexdigest()


def test_repository_on_disk_served_on_loopback_gives_each_release_to_python_tuf_byte_for_byte(
    tmp_path: Path, clients: Callable[[bytes], tuple[OurClient, TheirClient]]
) -> None:
    keys = signers()
    store = DirStore(tmp_path)
    publish(store, 2, keys)
    _, theirs = clients((tmp_path / "metadata" / "1.root.json").read_bytes())
    with serving(tmp_path) as url:
        assert theirs.update({}, url=url) == Verdict(number=2)
        publish(store, 3, keys)
        assert theirs.update({}, url=url) == Verdict(number=3)
        (path,) = (tmp_path / "targets").rglob("*/3/*.app.bin")
        path.write_bytes(payload_of(3)[:-1])
        assert theirs.update({}, url=url).number is None
