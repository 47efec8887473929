"""A TUF refresh as a pure machine: one file asked for, one answer in, until targets are trusted.

TUF specification 1.0.33, 5.3 to 5.6. What must be kept is answered as `Keep`; who fetches, stores
and reads the clock is the driver.
"""

from __future__ import annotations

import dataclasses
import enum
import hashlib
from typing import TYPE_CHECKING

from fwseal.base.errors import Misuse, Refused, Unavailable
from fwseal.base.ids import Uri
from fwseal.base.ports import Fetcher, NotThere
from fwseal.base.reasons import Reason
from fwseal.suit.limits import DEFAULT
from fwseal.tuf import repository, trusted

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime

    from fwseal.tuf.trusted import Trusted

MAX_ROOT_ROTATIONS = 32


class Stage(enum.Enum):
    """Which role is asked for."""

    ROOT = "root"
    TIMESTAMP = "timestamp"
    SNAPSHOT = "snapshot"
    TARGETS = "targets"
    DONE = "done"


@dataclasses.dataclass(frozen=True, slots=True)
class Get:
    """Fetch a metadata file of at most that many bytes."""

    name: str
    max_size: int


@dataclasses.dataclass(frozen=True, slots=True)
class Keep:
    """Store a role's bytes before anything else is asked for."""

    role: str
    data: bytes


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Refresh:
    """Where the refresh stands."""

    trusted: Trusted
    now: datetime
    stage: Stage = Stage.ROOT
    rotations: int = 0


def start(kept: Mapping[str, bytes], now: datetime) -> Refresh:
    """Answer the refresh of a device that holds these role files; `root` is provisioned.

    Files that no longer verify are not trusted and not an error (TUF 5.4.3, 5.5.5 compare only
    with what is trusted).
    """
    have = trusted.first(kept["root"])
    have = dataclasses.replace(
        have,
        timestamp=trusted.kept_timestamp(have, kept.get("timestamp")),
        snapshot=trusted.kept_snapshot(have, kept.get("snapshot")),
    )
    return Refresh(trusted=have, now=now)


def wanted(state: Refresh) -> Get | None:
    """Answer the file the refresh waits for, or None when it is done."""
    have = state.trusted
    match state.stage:
        case Stage.ROOT:
            return Get(f"{have.root.signed.version + 1}.root.json", trusted.MAX_ROOT)
        case Stage.TIMESTAMP:
            return Get("timestamp.json", trusted.MAX_TIMESTAMP)
        case Stage.SNAPSHOT:
            meta = trusted.snapshot_meta(have)
            return Get(f"{meta.version}.snapshot.json", meta.length or trusted.MAX_SNAPSHOT)
        case Stage.TARGETS:
            meta = trusted.targets_meta(have)
            return Get(f"{meta.version}.targets.json", meta.length or trusted.MAX_TARGETS)
        case _:
            return None


def oversize(asked: Get) -> Refused:
    """Answer the refusal of a file that is longer than was asked for."""
    return Refused(
        Reason.METADATA_OVERSIZE,
        f"{asked.name} is longer than {asked.max_size} bytes",
        where=asked.name,
    )


def answer(source: Fetcher, asked: Get) -> bytes | None:
    """Answer what a source has for the refresh, None where it has no such file.

    Raises `Refused` (metadata-oversize, too-slow), `Unavailable`.
    """
    try:
        return b"".join(source.fetch(Uri(asked.name), max_size=asked.max_size))
    except NotThere:
        return None
    except Refused as error:
        if error.reason is Reason.LIMIT_EXCEEDED:
            raise oversize(asked) from None
        raise


def step(state: Refresh, data: bytes | None) -> tuple[Refresh, Keep | None]:
    """Answer the refresh after an answer (None: there is no such file), and what to keep.

    Raises `Refused` with a metadata Reason, `Unavailable` for a file that must be there.
    """
    have, now, asked = state.trusted, state.now, wanted(state)
    if asked is None:
        raise AssertionError
    if data is not None and len(data) > asked.max_size:
        raise oversize(asked)
    if state.stage is Stage.ROOT:
        if data is None or state.rotations == MAX_ROOT_ROTATIONS:
            # TUF 5.3.3: the first missing version ends the chain.
            done = trusted.root_done(have, now)
            return dataclasses.replace(state, trusted=done, stage=Stage.TIMESTAMP), None
        have = trusted.next_root(have, data)
        state = dataclasses.replace(state, trusted=have, rotations=state.rotations + 1)
        return state, Keep("root", data)
    if data is None:
        raise Unavailable(f"the repository has no {state.stage.value} metadata")
    check = {
        Stage.TIMESTAMP: trusted.timestamp,
        Stage.SNAPSHOT: trusted.snapshot,
        Stage.TARGETS: trusted.targets,
    }[state.stage]
    following = {
        Stage.TIMESTAMP: Stage.SNAPSHOT,
        Stage.SNAPSHOT: Stage.TARGETS,
        Stage.TARGETS: Stage.DONE,
    }[state.stage]
    have = check(have, data, now)
    keep = None if have is state.trusted else Keep(state.stage.value, data)
    return dataclasses.replace(state, trusted=have, stage=following), keep


class TargetFetcher:
    """A `Fetcher` of targets beside an envelope: each is what signed metadata says, or refused."""

    def __init__(self, have: Trusted, *, envelope: str, source: Fetcher) -> None:
        self._trusted = have
        self._envelope = envelope
        self._source = source

    def envelope(self) -> bytes:
        """Answer the envelope's bytes; raises `Refused` as `fetch`, and limit-exceeded."""
        if trusted.target(self._trusted, self._envelope).length > DEFAULT.envelope_bytes:
            raise Refused(
                Reason.LIMIT_EXCEEDED, f"the envelope is longer than {DEFAULT.envelope_bytes} bytes"
            )
        return b"".join(self._checked(self._envelope))

    def fetch(self, uri: Uri, *, max_size: int) -> Iterator[bytes]:
        """Answer a payload's bytes; the last chunk is answered only after length and hash fit.

        Raises `Refused` (target-unknown, target-mismatch, payload-size).
        """
        try:
            path = repository.beside(self._envelope, uri)
        except Misuse as error:
            raise Refused(Reason.TARGET_UNKNOWN, error.message, where=uri) from None
        if trusted.target(self._trusted, path).length > max_size:
            raise Refused(Reason.PAYLOAD_SIZE, f"target {path!r} is longer than {max_size} bytes")
        return self._checked(path)

    def _checked(self, path: str) -> Iterator[bytes]:
        listed = trusted.target(self._trusted, path)
        wanted_hash = listed.hashes.get("sha256")
        if wanted_hash is None:
            raise Refused(Reason.UNSUPPORTED, f"target {path!r} has no SHA-256")
        stored = repository.NewTarget(path=path, size=0, sha256=wanted_hash, custom={}).stored
        running, size, held = hashlib.sha256(), 0, b""
        try:
            for piece in self._source.fetch(Uri(stored), max_size=listed.length):
                running.update(piece)
                size += len(piece)
                if held:
                    yield held
                held = piece
        except NotThere:
            raise Refused(Reason.PAYLOAD_MISSING, f"target {path!r} is not there") from None
        except Refused as error:
            if error.reason is Reason.LIMIT_EXCEEDED:
                raise _mismatch(path) from None
            raise
        if size != listed.length or running.hexdigest() != wanted_hash:
            raise _mismatch(path)
        yield held


def _mismatch(path: str) -> Refused:
    return Refused(Reason.TARGET_MISMATCH, f"target {path!r} is not what signed metadata says")
