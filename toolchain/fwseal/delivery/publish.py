"""All of a release becomes visible at once, or none of it: timestamp.json is the commit.

Order of writes: target files, targets, snapshot, timestamp. Everything before the timestamp is
create-only and named by nobody until the timestamp names it.
"""

from __future__ import annotations

import dataclasses
import hashlib
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from fwseal.base.errors import Misuse, Refused, Unavailable
from fwseal.base.reasons import Reason
from fwseal.base.release import Release, State
from fwseal.suit import envelope as envelopes
from fwseal.suit import manifest as manifests
from fwseal.tuf import repository, trusted
from fwseal.tuf.repository import NewTarget, Signers

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from fwseal.delivery.dirstore import Store
    from fwseal.tuf.trusted import Trusted

METADATA = "metadata"
TARGETS = "targets"
_MOST_ORPHANS = 64


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """What became visible: target paths, and the timestamp's version that shows them."""

    targets: tuple[str, ...]
    timestamp: int


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Repository:
    """A repository as it was read: what it says, and the timestamp's bytes, None for a new one."""

    trusted: Trusted
    timestamp: bytes | None


def initialize(store: Store, signers: Signers, now: datetime) -> bool:
    """Make root version 1 and empty metadata where there is no repository; answer whether it did.

    A root that a crash left behind is built upon. Raises `Unavailable` when another publisher was
    first, `Misuse` when that root trusts other keys.
    """
    if store.read(f"{METADATA}/timestamp.json") is not None:
        return False
    root = store.read(f"{METADATA}/1.root.json")
    if root is None:
        root = repository.new_root(signers, now)
        _create(store, f"{METADATA}/1.root.json", root)
    have = trusted.first(root)
    repository.check_signers(have.root.signed, signers)
    _commit(store, _Repository(trusted=have, timestamp=None), (), signers, now)
    return True


def publish(
    store: Store, release: Release, files: Mapping[str, bytes], *, signers: Signers, now: datetime
) -> Published:
    """Publish a signed release; `files` maps `envelope.suit` and payload file names to bytes.

    Raises `Misuse` for a release that is not signed and for keys that the repository's root does
    not name, `Refused`: payload-digest for a file that
    release.json does not know, rollback for a sequence number that is not above the published
    one, and the metadata Reasons for a repository that does not verify; `Unavailable` when
    another publisher won.
    """
    ready(release)
    have = _current(store)
    added = _targets(release, files)
    _newer(have.trusted, release)
    repository.check_signers(have.trusted.root.signed, signers)
    for one, content in added:
        _create(store, f"{TARGETS}/{one.stored}", content)
    new = tuple(one for one, _ in added)
    version = _commit(store, have, new, signers, now)
    return Published(targets=tuple(one.path for one in new), timestamp=version)


def plan(store: Store, release: Release, files: Mapping[str, bytes]) -> tuple[str, ...]:
    """Answer the target paths `publish` would list; raises as it does, keys aside."""
    ready(release)
    added = _targets(release, files)
    if store.read(f"{METADATA}/timestamp.json") is not None:
        _newer(_current(store).trusted, release)
    return tuple(one.path for one, _ in added)


def ready(release: Release) -> None:
    """Return when a release is signed; raises `Misuse`."""
    if release.state is not State.SIGNED:
        raise Misuse(
            f"the release is {release.state.value}, not signed", hint="fwseal sign RELEASE"
        )


def _current(store: Store) -> _Repository:
    """Answer the repository as it stands, verified from its newest root down.

    Expired metadata is no obstacle here: publishing is the cure.
    """
    root = _must(store, "1.root.json")
    have = trusted.first(root)
    version = 2
    while (data := store.read(f"{METADATA}/{version}.root.json")) is not None:
        have = trusted.next_root(have, data)
        version += 1
    epoch = datetime.min.replace(tzinfo=UTC)
    timestamp = _must(store, "timestamp.json")
    have = trusted.timestamp(have, timestamp, epoch)
    number = trusted.snapshot_meta(have).version
    have = trusted.snapshot(have, _must(store, f"{number}.snapshot.json"), epoch)
    number = trusted.targets_meta(have).version
    have = trusted.targets(have, _must(store, f"{number}.targets.json"), epoch)
    return _Repository(trusted=have, timestamp=timestamp)


def _must(store: Store, name: str) -> bytes:
    data = store.read(f"{METADATA}/{name}")
    if data is None:
        raise Misuse(f"the repository has no {name}", hint="is this a TUF repository of fwseal")
    return data


def _targets(release: Release, files: Mapping[str, bytes]) -> tuple[tuple[NewTarget, bytes], ...]:
    envelope = files["envelope.suit"]
    sealed = envelopes.decode(envelope)
    number = manifests.decode(sealed.manifest).sequence_number
    if number != release.sequence_number or not sealed.blocks:
        raise Refused(
            Reason.LAYERS_DISAGREE,
            f"the envelope has sequence number {number} and {len(sealed.blocks)} signatures, "
            f"release.json says {release.sequence_number}, signed",
        )
    path = repository.envelope_path(release.line, release.class_id)
    custom = {
        "vendor_id": release.vendor_id,
        "class_id": release.class_id,
        "sequence_number": release.sequence_number,
        "manifest_digest": sealed.digest.hex(),
    }
    added = [(_target(path, envelope, custom), envelope)]
    for payload in release.payloads:
        content = files[payload.file]
        if hashlib.sha256(content).hexdigest() != payload.sha256:
            raise Refused(
                Reason.PAYLOAD_DIGEST,
                f"{payload.file} is not the file that release.json names",
                where=f"payloads/{payload.file}",
            )
        if payload.uri.startswith("#"):
            continue  # SUIT manifest-37 7.5: it travels in the envelope
        beside = repository.beside(path, payload.uri)
        added.append((_target(beside, content, custom), content))
    if len({one.path for one, _ in added}) != len(added):
        raise Misuse("two files of the release have one path", hint="give each payload its own uri")
    return tuple(added)


def _target(path: str, content: bytes, custom: Mapping[str, object]) -> NewTarget:
    return NewTarget(
        path=path,
        size=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
        custom=custom,
    )


def last(store: Store, *, line: str, class_id: str) -> int | None:
    """Answer the sequence number that is published for a device, or None where there is none.

    Raises `Misuse`, and `Refused` for a repository that does not verify.
    """
    if store.read(f"{METADATA}/timestamp.json") is None:
        return None
    return _published(_current(store).trusted, line, class_id)


def _published(have: Trusted, line: str, class_id: str) -> int | None:
    try:
        listed = trusted.target(have, repository.envelope_path(line, class_id))
    except Refused:
        return None
    return repository.sequence_number(listed)


def _newer(have: Trusted, release: Release) -> None:
    published = _published(have, release.line, release.class_id)
    if published is not None and release.sequence_number <= published:
        raise Refused(
            Reason.ROLLBACK,
            f"sequence number {release.sequence_number} is not above {published}, "
            "which is published",
        )


def _commit(
    store: Store,
    have: _Repository,
    added: tuple[NewTarget, ...],
    signers: Signers,
    now: datetime,
) -> int:
    old = have.trusted
    old_targets = old.targets.signed if old.targets else None
    old_snapshot = old.snapshot.signed if old.snapshot else None
    old_timestamp = old.timestamp.signed if old.timestamp else None
    targets = _allocated(
        store, "targets", old_targets.version if old_targets else 0,
        lambda version: repository.new_targets(version, old_targets, added, signers, now),
    )  # fmt: skip
    snapshot = _allocated(
        store, "snapshot", old_snapshot.version if old_snapshot else 0,
        lambda version: repository.new_snapshot(version, targets, signers, now),
    )  # fmt: skip
    timestamp = repository.new_timestamp(old_timestamp, snapshot, signers, now)
    if not store.swap(f"{METADATA}/timestamp.json", have.timestamp, timestamp):
        raise _won()
    return old_timestamp.version + 1 if old_timestamp else 1


def _allocated(
    store: Store, role: str, last: int, make: Callable[[int], bytes]
) -> tuple[int, bytes]:
    """Answer version and bytes of a role file that was created.

    A version whose name is taken is skipped: a publisher that crashed before its timestamp left
    it, and nobody names it.
    """
    for version in range(last + 1, last + 1 + _MOST_ORPHANS):
        data = make(version)
        if store.create(f"{METADATA}/{version}.{role}.json", data):
            return version, data
    raise _won(f"{last + 1}.{role}.json")


def _create(store: Store, name: str, data: bytes) -> None:
    if not store.create(name, data):
        raise _won(name)


def _won(name: str = "timestamp.json") -> Unavailable:
    return Unavailable(
        f"another publisher was first: {name.rpartition('/')[2]} is taken",
        hint="publish again, on top of what is there now",
    )
