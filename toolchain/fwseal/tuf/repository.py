"""Metadata as this repository writes it: what a publish adds, role by role, ready to sign."""

from __future__ import annotations

import dataclasses
import hashlib
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from tuf.api.exceptions import UnsignedMetadataError
from tuf.api.metadata import (
    Metadata,
    MetaFile,
    Root,
    Snapshot,
    TargetFile,
    Targets,
    Timestamp,
)
from tuf.api.serialization.json import JSONSerializer

from fwseal.base.errors import FwsealError, Misuse
from fwseal.tuf.keys import TufSigner

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fwseal.cose.signer import Signer

ENVELOPE = "current.suit"
ONLINE = ("snapshot", "timestamp")
LIFETIME = {
    "root": timedelta(days=365),
    "targets": timedelta(days=365),
    "snapshot": timedelta(days=30),
    "timestamp": timedelta(days=7),
}

_SERIALIZER = JSONSerializer(compact=False)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Signers:
    """Who signs each role; snapshot and timestamp share the online key."""

    root: Signer
    targets: Signer
    online: Signer

    def of(self, role: str) -> Signer:
        """Answer the signer of a top-level role."""
        if role in ONLINE:
            return self.online
        return self.root if role == "root" else self.targets


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class NewTarget:
    """A file to list: its path, size in bytes, SHA-256 in hex, and our custom fields."""

    path: str
    size: int
    sha256: str
    custom: Mapping[str, Any]

    @property
    def stored(self) -> str:
        """Answer where a consistent snapshot stores the file: HASH.name beside its path."""
        folder, _, name = self.path.rpartition("/")
        return f"{folder}/{self.sha256}.{name}" if folder else f"{self.sha256}.{name}"


def envelope_path(line: str, class_id: str) -> str:
    """Answer the target path of a device's current envelope."""
    return f"{line}/{class_id}/{ENVELOPE}"


def beside(envelope: str, uri: str) -> str:
    """Answer the target path that a relative manifest URI means.

    Raises `Misuse` for a URI with a scheme, an absolute one, or one that climbs.
    """
    parts = uri.split("/")
    if ":" in uri or any(part in ("", ".", "..") for part in parts):
        raise Misuse(f"payload uri {uri!r} is not a plain relative path")
    folder = envelope.rpartition("/")[0]
    return f"{folder}/{uri}" if folder else uri


def new_root(signers: Signers, now: datetime) -> bytes:
    """Answer root version 1 with one key a role, signed."""
    root = Root(version=1, expires=_expiry("root", now), consistent_snapshot=True)
    for role in ("root", "targets", *ONLINE):
        root.add_key(TufSigner(signers.of(role)).public_key, role)
    return _sealed(root, signers)


def check_signers(root: Root, signers: Signers) -> None:
    """Return when clients of this root will accept what these signers sign; raises `Misuse`."""
    for role in ("targets", *ONLINE):
        named, signer = root.roles[role], signers.of(role)
        if TufSigner(signer).public_key.keyid not in named.keyids or named.threshold != 1:
            raise Misuse(
                f"key {signer.label!r} alone cannot sign {role}: the repository's root wants "
                f"{named.threshold} of {len(named.keyids)} other keys",
                hint="publish with the keyring the repository was made with",
            )


def sequence_number(listed: TargetFile) -> int:
    """Answer the sequence number a target's custom fields give; raises `Misuse` for another's."""
    custom = listed.unrecognized_fields.get("custom")
    ours = custom.get("fwseal") if isinstance(custom, dict) else None
    found = ours.get("sequence_number") if isinstance(ours, dict) else None
    if type(found) is not int:
        raise Misuse(f"target {listed.path!r} was not published by fwseal")
    return found


def new_targets(
    version: int, old: Targets | None, added: tuple[NewTarget, ...], signers: Signers, now: datetime
) -> bytes:
    """Answer targets metadata of that version: what was listed, and what is added."""
    targets = Targets(
        version=version,
        expires=_expiry("targets", now),
        targets=dict(old.targets) if old else {},
    )
    for one in added:
        targets.targets[one.path] = TargetFile(
            one.size, {"sha256": one.sha256}, one.path, {"custom": {"fwseal": dict(one.custom)}}
        )
    return _sealed(targets, signers)


def new_snapshot(
    version: int, targets: tuple[int, bytes], signers: Signers, now: datetime
) -> bytes:
    """Answer the snapshot of that version, naming one targets metadata."""
    snapshot = Snapshot(
        version=version,
        expires=_expiry("snapshot", now),
        meta={"targets.json": _meta(*targets)},
    )
    return _sealed(snapshot, signers)


def new_timestamp(
    old: Timestamp | None, snapshot: tuple[int, bytes], signers: Signers, now: datetime
) -> bytes:
    """Answer the next timestamp: whoever writes it commits all the rest."""
    timestamp = Timestamp(
        version=old.version + 1 if old else 1,
        expires=_expiry("timestamp", now),
        snapshot_meta=_meta(*snapshot),
    )
    return _sealed(timestamp, signers)


def _meta(version: int, data: bytes) -> MetaFile:
    return MetaFile(version, len(data), {"sha256": hashlib.sha256(data).hexdigest()})


def _expiry(role: str, now: datetime) -> datetime:
    return (now + LIFETIME[role]).replace(microsecond=0)


def _sealed(signed: Root | Targets | Snapshot | Timestamp, signers: Signers) -> bytes:
    metadata: Metadata[Any] = Metadata(signed)
    try:
        metadata.sign(TufSigner(signers.of(signed.type)))
    except UnsignedMetadataError as error:
        # python-tuf wraps whatever a signer raises; what a token said is the answer.
        cause = error.__cause__
        raise (cause if isinstance(cause, FwsealError) else error) from None
    return metadata.to_bytes(_SERIALIZER)
