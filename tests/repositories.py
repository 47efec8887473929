"""TUF repositories in memory, who publishes to them, and two clients that read them.

`ours` and `theirs` (python-tuf's ngclient) get the same files; a test compares what they say.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import pathlib
import tempfile
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from securesystemslib.formats import encode_canonical
from tuf.api.exceptions import DownloadError, DownloadHTTPError, RepositoryError
from tuf.ngclient import FetcherInterface, Updater

from fwseal.base.errors import Refused, Unavailable
from fwseal.base.ports import NotThere
from fwseal.base.reasons import Reason
from fwseal.base.release import Payload, PayloadFormat, Release, State
from fwseal.delivery import publish as publishing
from fwseal.device import tufclient
from fwseal.tuf.keys import TufSigner
from fwseal.tuf.repository import Signers, envelope_path
from workshop import CLASS, PAYLOAD, VENDOR, envelope, signer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from fwseal.base.ids import Uri
    from fwseal.delivery.dirstore import Store
    from fwseal.signing.softkey import SoftKey

LINE = "plc"
CURRENT = envelope_path(LINE, str(CLASS))
NOW = datetime.now(UTC).replace(microsecond=0)
RELEASE_KEY = signer("release")

Tree = dict[str, bytes]
"""A repository's files by their path."""


class PowerCut(Exception):
    """The publisher, or the device, is gone at this moment."""


class MemoryStore:
    """A `Store` in memory that notes its writes; `before` and `after` see each operation."""

    def __init__(self, files: Mapping[str, bytes] | None = None) -> None:
        self.files: Tree = dict(files or {})
        self.writes: list[str] = []
        self.before: Callable[[str, str], None] = lambda _operation, _name: None
        self.after: Callable[[str, str], None] = lambda _operation, _name: None

    def read(self, name: str) -> bytes | None:
        """Answer a file's bytes."""
        self.before("read", name)
        return self.files.get(name)

    def create(self, name: str, data: bytes) -> bool:
        """Create a file."""
        self.before("create", name)
        if name not in self.files:
            self.writes.append(name)
            self.files[name] = data
        self.after("create", name)
        return self.files[name] == data

    def swap(self, name: str, old: bytes | None, new: bytes) -> bool:
        """Replace a file."""
        self.before("swap", name)
        if self.files.get(name) != old:
            return False
        self.writes.append(name)
        self.files[name] = new
        self.after("swap", name)
        return True

    def cut(self, operation: int, *, done: bool) -> None:
        """Lose power at an operation, counted from 0, before or after it is done."""
        left = operation

        def count(_operation: str, _name: str) -> None:
            nonlocal left
            if left == 0:
                raise PowerCut
            left -= 1

        if done:
            self.after = count
        else:
            self.before = count


def signers(**given: SoftKey) -> Signers:
    """Answer new keys for each role, but for those given."""
    return Signers(
        **{role: given.get(role) or signer(role) for role in ("root", "targets", "online")}
    )


def release(number: int = 2, payload: bytes = PAYLOAD) -> tuple[Release, dict[str, bytes]]:
    """Answer a signed release and its files."""
    uri = f"{number}/app.bin"
    made = Release(
        name="app",
        line=LINE,
        version=f"1.{number}.0",
        sequence_number=number,
        state=State.SIGNED,
        recipe_sha256="00" * 32,
        vendor_id=str(VENDOR),
        class_id=str(CLASS),
        payloads=(
            Payload(
                uri=uri,
                file="app.bin",
                component="00",
                format=PayloadFormat.RAW,
                unsigned_sha256=hashlib.sha256(payload).hexdigest(),
                size=len(payload),
                sha256=hashlib.sha256(payload).hexdigest(),
            ),
        ),
    )
    sealed = envelope(RELEASE_KEY, payload, number=number, uri=uri)
    return made, {"envelope.suit": sealed, "app.bin": payload}


def payload_of(number: int) -> bytes:
    """Answer the payload of a release; no two are alike, not even in length."""
    return PAYLOAD + f"release {number}".encode() * number


def publish(store: Store, number: int, keys: Signers, now: datetime = NOW) -> publishing.Published:
    """Publish a release, in a new repository if there is none."""
    publishing.initialize(store, keys, now)
    made, files = release(number, payload_of(number))
    return publishing.publish(store, made, files, signers=keys, now=now)


def published(keys: Signers, *numbers: int, now: datetime = NOW) -> Tree:
    """Answer a repository after these releases."""
    store = MemoryStore()
    for number in numbers:
        publish(store, number, keys, now)
    return store.files


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What a client said: the release it got, or why not."""

    number: int | None
    reason: Reason | type[Exception] | None = None


class TreeFetcher:
    """A `Fetcher` of a folder of a tree; it counts what is asked for."""

    def __init__(self, tree: Mapping[str, bytes], folder: str) -> None:
        self._tree = tree
        self._folder = folder
        self.asked: list[str] = []

    def fetch(self, uri: Uri, *, max_size: int) -> Iterator[bytes]:
        """Answer a file in small pieces."""
        self.asked.append(uri)
        data = self._tree.get(f"{self._folder}/{uri}")
        if data is None:
            raise NotThere(uri)
        for start in range(0, len(data), 999):
            piece = data[start : start + 999]
            if start + len(piece) > max_size:
                raise Refused(Reason.LIMIT_EXCEEDED, f"{uri} is longer than {max_size}")
            yield piece


def _number(sealed: bytes, payload: bytes) -> int:
    found = [n for n in range(1, 20) if payload_of(n) == payload]
    assert len(found) == 1, "a client answered bytes that nobody published"
    assert hashlib.sha256(payload).digest() in sealed
    return found[0]


class OurClient:
    """Our client, with what it keeps between updates."""

    def __init__(self, root: bytes) -> None:
        self.kept: dict[str, bytes] = {"root": root}
        self.asked: list[str] = []

    def update(self, tree: Mapping[str, bytes], now: datetime = NOW) -> Verdict:
        """Refresh, then get the envelope and its payload."""
        metadata, targets = TreeFetcher(tree, "metadata"), TreeFetcher(tree, "targets")
        self.asked = metadata.asked
        try:
            state = tufclient.start(self.kept, now)
            while (wanted := tufclient.wanted(state)) is not None:
                state, keep = tufclient.step(state, tufclient.answer(metadata, wanted))
                if keep is not None:
                    self.kept[keep.role] = keep.data
            fetcher = tufclient.TargetFetcher(state.trusted, envelope=CURRENT, source=targets)
            sealed = fetcher.envelope()
            uri = max(n for n in range(1, 20) if f"{n}/app.bin".encode() in sealed)
            payload = b"".join(fetcher.fetch(f"{uri}/app.bin", max_size=1 << 20))
        except Refused as error:
            return Verdict(number=None, reason=error.reason)
        except Unavailable as error:
            return Verdict(number=None, reason=type(error))
        return Verdict(number=_number(sealed, payload))


class _TreeNet(FetcherInterface):
    def __init__(self, tree: Mapping[str, bytes]) -> None:
        self._tree = tree

    def _fetch(self, url: str) -> Iterator[bytes]:
        data = self._tree.get(urlsplit(url).path.lstrip("/"))
        if data is None:
            raise DownloadHTTPError("no such file", 404)
        return iter((data,))


class TheirClient:
    """python-tuf's client, with the folder it keeps between updates."""

    def __init__(self, root: bytes) -> None:
        self._root = root
        self._folder = tempfile.TemporaryDirectory()

    def update(
        self, tree: Mapping[str, bytes], *, url: str = "", fetcher: FetcherInterface | None = None
    ) -> Verdict:
        """Refresh, then get the envelope and its payload, by its own clock."""
        home = pathlib.Path(self._folder.name)
        (home / "targets").mkdir(exist_ok=True)
        base = url or "http://repository"
        try:
            updater = Updater(
                str(home),
                f"{base}/metadata",
                target_dir=str(home / "targets"),
                target_base_url=f"{base}/targets",
                fetcher=fetcher or (None if url else _TreeNet(tree)),
                bootstrap=self._root,
            )
            sealed = self._get(updater, CURRENT)
            uri = max(n for n in range(1, 20) if f"{n}/app.bin".encode() in sealed)
            payload = self._get(updater, CURRENT.replace("current.suit", f"{uri}/app.bin"))
        except (RepositoryError, DownloadError) as error:
            return Verdict(number=None, reason=type(error))
        return Verdict(number=_number(sealed, payload))

    @staticmethod
    def _get(updater: Updater, path: str) -> bytes:
        info = updater.get_targetinfo(path)
        if info is None:
            raise RepositoryError(f"no target {path}")
        return pathlib.Path(updater.download_target(info)).read_bytes()

    def close(self) -> None:
        """Remove the folder."""
        self._folder.cleanup()


def sealed(signed: object, *keys: SoftKey) -> bytes:
    """Answer metadata around any content, sane or not, signed by these keys."""
    content = encode_canonical(signed).encode()
    signatures = [TufSigner(key).sign(content).to_dict() for key in keys]
    return json.dumps({"signatures": signatures, "signed": signed}).encode()


def signed_part(data: bytes) -> dict[str, Any]:
    """Answer what the signatures of a metadata file cover."""
    found: dict[str, Any] = json.loads(data)["signed"]
    return found


def _meta(version: int, data: bytes) -> dict[str, Any]:
    digest = hashlib.sha256(data).hexdigest()
    return {"version": version, "length": len(data), "hashes": {"sha256": digest}}


class Author:
    """Whoever holds a repository's keys, honest or not, and writes what they like."""

    def __init__(self, tree: Tree, keys: Signers) -> None:
        self.tree = tree
        self.keys = keys

    def role(self, role: str) -> str:
        """Answer the path of a role's newest file that the timestamp leads to."""
        if role == "timestamp":
            return "metadata/timestamp.json"
        if role == "root":
            number = 1
            while f"metadata/{number + 1}.root.json" in self.tree:
                number += 1
            return f"metadata/{number}.root.json"
        number = self.signed("timestamp")["meta"]["snapshot.json"]["version"]
        if role == "targets":
            number = self.signed("snapshot")["meta"]["targets.json"]["version"]
        return f"metadata/{number}.{role}.json"

    def signed(self, role: str) -> dict[str, Any]:
        """Answer what a role says now."""
        return signed_part(self.tree[self.role(role)])

    def replace(self, role: str, change: Callable[[bytes], bytes]) -> None:
        """Change a role's bytes, and nothing that names them."""
        self.tree[self.role(role)] = change(self.tree[self.role(role)])

    def timestamp(self, change: Callable[[dict[str, Any]], object] = lambda _: None) -> None:
        """Sign the next timestamp, changed."""
        body = self.signed("timestamp")
        body["version"] += 1
        change(body)
        self.tree["metadata/timestamp.json"] = sealed(body, self.keys.online)

    def snapshot(
        self,
        change: Callable[[dict[str, Any]], object] = lambda _: None,
        *,
        data: bytes | None = None,
    ) -> None:
        """Sign the next snapshot, changed (or name these bytes as it), and a timestamp."""
        body = self.signed("snapshot")
        body["version"] += 1
        named = body["version"]
        change(body)
        content = sealed(body, self.keys.online) if data is None else data
        self.tree[f"metadata/{named}.snapshot.json"] = content
        self.timestamp(lambda one: one["meta"].update({"snapshot.json": _meta(named, content)}))

    def targets(
        self,
        change: Callable[[dict[str, Any]], object] = lambda _: None,
        *,
        data: bytes | None = None,
    ) -> None:
        """Sign the next targets, changed (or name these bytes as them), and all above."""
        body = self.signed("targets")
        body["version"] += 1
        named = body["version"]
        change(body)
        content = sealed(body, self.keys.targets) if data is None else data
        self.tree[f"metadata/{named}.targets.json"] = content
        self.snapshot(lambda one: one["meta"].update({"targets.json": _meta(named, content)}))

    def root(
        self, change: Callable[[dict[str, Any]], object] = lambda _: None, *by: SoftKey
    ) -> None:
        """Sign the next root, changed, by these keys or the root's own."""
        body = self.signed("root")
        body["version"] += 1
        place = f"metadata/{body['version']}.root.json"
        change(body)
        self.tree[place] = sealed(body, *(by or (self.keys.root,)))


def trust(body: dict[str, Any], role: str, key: SoftKey) -> None:
    """Make a root's content name one key for a role."""
    made = TufSigner(key).public_key
    body["keys"][made.keyid] = made.to_dict()
    body["roles"][role]["keyids"] = [made.keyid]
