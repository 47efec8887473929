"""The checks of the TUF client workflow: metadata in, a larger set of trust out, or a Reason.

TUF specification 1.0.33, section 5. Pure: the time is an argument, bytes are an argument, and the
set is a value; who fetches and who stores is somebody else.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, TypeVar

from securesystemslib.exceptions import FormatError, StorageError
from tuf.api.exceptions import LengthOrHashMismatchError, RepositoryError, UnsignedMetadataError
from tuf.api.metadata import (
    Metadata,
    MetaFile,
    Root,
    Snapshot,
    TargetFile,
    Targets,
    Timestamp,
)
from tuf.api.serialization import DeserializationError

from fwseal.base.errors import Refused
from fwseal.base.reasons import Reason
from fwseal.tuf import strict

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

T = TypeVar("T", Root, Timestamp, Snapshot, Targets)

MAX_ROOT = 512_000
MAX_TIMESTAMP = 16_384
MAX_SNAPSHOT = 2_000_000
MAX_TARGETS = 5_000_000
"""Bytes of each role that are read at all, when the role above names no length."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Trusted:
    """What is trusted so far; each step answers a new value."""

    root: Metadata[Root]
    timestamp: Metadata[Timestamp] | None = None
    snapshot: Metadata[Snapshot] | None = None
    targets: Metadata[Targets] | None = None


def _parse(data: bytes, kind: type[T]) -> Metadata[T]:
    strict.check(data)
    try:
        metadata: Metadata[T] = Metadata.from_bytes(data)
    except (DeserializationError, FormatError, StorageError, RepositoryError) as error:
        cause = error.__cause__ or error
        raise Refused(Reason.MALFORMED, f"not {kind.type} metadata: {cause}") from None
    if metadata.signed.type != kind.type:
        raise Refused(
            Reason.METADATA_MISMATCH, f"{metadata.signed.type} stands where {kind.type} must"
        )
    return metadata


def _signed_by(root: Metadata[Root], metadata: Metadata[T], role: str) -> None:
    try:
        root.signed.verify_delegate(role, metadata.signed_bytes, metadata.signatures)
    except (UnsignedMetadataError, ValueError) as error:
        raise Refused(Reason.METADATA_SIGNATURE, str(error), where=role) from None


def _fresh(metadata: Metadata[T], now: datetime) -> None:
    if metadata.signed.is_expired(now):
        raise Refused(
            Reason.METADATA_EXPIRED,
            f"{metadata.signed.type} expired {metadata.signed.expires:%Y-%m-%dT%H:%M:%SZ}",
            where=metadata.signed.type,
        )


def _not_older(kind: str, new: int, trusted: int) -> None:
    if new < trusted:
        raise Refused(
            Reason.METADATA_ROLLBACK, f"{kind} version {new} is below {trusted}", where=kind
        )


def first(root: bytes) -> Trusted:
    """Answer the trust a device is provisioned with (TUF 5.2); raises `Refused`."""
    metadata = _parse(root, Root)
    _signed_by(metadata, metadata, "root")
    return Trusted(root=metadata)


def next_root(trusted: Trusted, data: bytes) -> Trusted:
    """Answer the trust after one root rotation (TUF 5.3.4 to 5.3.8); raises `Refused`."""
    metadata = _parse(data, Root)
    _signed_by(trusted.root, metadata, "root")  # TUF 5.3.4: by the old threshold
    _signed_by(metadata, metadata, "root")  # and by the new one
    if metadata.signed.version != trusted.root.signed.version + 1:  # TUF 5.3.5
        raise Refused(
            Reason.METADATA_ROLLBACK,
            f"root version {metadata.signed.version} does not follow {trusted.root.signed.version}",
            where="root",
        )
    return dataclasses.replace(trusted, root=metadata)


def root_done(trusted: Trusted, now: datetime) -> Trusted:
    """Answer the same trust when the final root is not expired (TUF 5.3.10).

    Timestamp and snapshot whose keys were rotated away are forgotten (TUF 5.3.11).
    """
    _fresh(trusted.root, now)
    if trusted.timestamp is not None and not _still_signed(trusted, trusted.timestamp):
        trusted = dataclasses.replace(trusted, timestamp=None, snapshot=None)
    if trusted.snapshot is not None and not _still_signed(trusted, trusted.snapshot):
        trusted = dataclasses.replace(trusted, timestamp=None, snapshot=None)
    return trusted


def _still_signed(trusted: Trusted, metadata: Metadata[T]) -> bool:
    try:
        _signed_by(trusted.root, metadata, metadata.signed.type)
    except Refused:
        return False
    return True


def timestamp(trusted: Trusted, data: bytes, now: datetime) -> Trusted:
    """Answer the trust with a new timestamp (TUF 5.4), or as it was; raises `Refused`."""
    metadata = _parse(data, Timestamp)
    _signed_by(trusted.root, metadata, "timestamp")  # TUF 5.4.2
    old = trusted.timestamp
    if old is not None:  # TUF 5.4.3
        _not_older("timestamp", metadata.signed.version, old.signed.version)
        _not_older(
            "snapshot",
            metadata.signed.snapshot_meta.version,
            old.signed.snapshot_meta.version,
        )
        if metadata.signed.version == old.signed.version:  # TUF 5.4.3.1: the new one is discarded
            _fresh(old, now)
            return trusted
    _fresh(metadata, now)  # TUF 5.4.4
    return dataclasses.replace(trusted, timestamp=metadata)


def snapshot(trusted: Trusted, data: bytes, now: datetime) -> Trusted:
    """Answer the trust with the snapshot that the timestamp names (TUF 5.5); raises `Refused`."""
    meta = snapshot_meta(trusted)
    _matches(meta.verify_length_and_hashes, data, "snapshot")  # TUF 5.5.2
    metadata = _parse(data, Snapshot)
    _signed_by(trusted.root, metadata, "snapshot")  # TUF 5.5.3
    if metadata.signed.version != meta.version:  # TUF 5.5.4
        raise Refused(Reason.METADATA_MISMATCH, "snapshot is not the version the timestamp names")
    old = trusted.snapshot
    for name, previous in (old.signed.meta if old else {}).items():  # TUF 5.5.5
        listed = metadata.signed.meta.get(name)
        if listed is None:
            raise Refused(Reason.METADATA_ROLLBACK, f"{name} is gone from the snapshot")
        _not_older(name, listed.version, previous.version)
    _fresh(metadata, now)  # TUF 5.5.6
    return dataclasses.replace(trusted, snapshot=metadata)


def targets(trusted: Trusted, data: bytes, now: datetime) -> Trusted:
    """Answer the trust with the targets that the snapshot names (TUF 5.6); raises `Refused`."""
    meta = targets_meta(trusted)
    _matches(meta.verify_length_and_hashes, data, "targets")  # TUF 5.6.2
    metadata = _parse(data, Targets)
    _signed_by(trusted.root, metadata, "targets")  # TUF 5.6.3
    if metadata.signed.version != meta.version:  # TUF 5.6.4
        raise Refused(Reason.METADATA_MISMATCH, "targets is not the version the snapshot names")
    _fresh(metadata, now)  # TUF 5.6.5
    return dataclasses.replace(trusted, targets=metadata)


def _matches(check: Callable[[bytes], None], data: bytes, role: str) -> None:
    try:
        check(data)
    except LengthOrHashMismatchError as error:
        raise Refused(Reason.METADATA_MISMATCH, str(error), where=role) from None


def snapshot_meta(trusted: Trusted) -> MetaFile:
    """Answer which snapshot the timestamp names."""
    if trusted.timestamp is None:
        raise AssertionError
    return trusted.timestamp.signed.snapshot_meta


def targets_meta(trusted: Trusted) -> MetaFile:
    """Answer which targets metadata the snapshot names; raises `Refused`."""
    meta = trusted.snapshot.signed.meta.get("targets.json") if trusted.snapshot else None
    if meta is None:
        raise Refused(Reason.METADATA_MISMATCH, "the snapshot lists no targets.json")
    return meta


def kept_timestamp(trusted: Trusted, data: bytes | None) -> Metadata[Timestamp] | None:
    """Answer a timestamp kept from before if it still verifies; its expiry does not matter."""
    return _kept(trusted, data, Timestamp)


def kept_snapshot(trusted: Trusted, data: bytes | None) -> Metadata[Snapshot] | None:
    """Answer a snapshot kept from before if it still verifies; its expiry does not matter."""
    return _kept(trusted, data, Snapshot)


def _kept(trusted: Trusted, data: bytes | None, kind: type[T]) -> Metadata[T] | None:
    if data is None:
        return None
    try:
        metadata = _parse(data, kind)
        _signed_by(trusted.root, metadata, kind.type)
    except Refused:
        return None
    return metadata


def target(trusted: Trusted, path: str) -> TargetFile:
    """Answer what signed metadata says of a target (TUF 5.7).

    Raises `Refused` (target-unknown). Delegations are not followed by this version.
    """
    listed: Mapping[str, TargetFile] = trusted.targets.signed.targets if trusted.targets else {}
    if path not in listed:
        raise Refused(Reason.TARGET_UNKNOWN, f"the repository lists no target {path!r}")
    return listed[path]
