"""What a build looked at, written down with digests, so that the next one can be compared."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING, Any

from fwseal.base.errors import Misuse

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fwseal.build.trace import Attempt

SCHEMA_VERSION = 1
FILE = "reports/inputs.json"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Read:
    """A file outside of the source, who read it, and its SHA-256 in lower-case hex.

    `name` is the path in the sandbox with every link followed, `program` likewise. For a folder
    that was listed, the digest is of the names in it, sorted, a line each.
    """

    name: str
    program: str
    sha256: str
    listed: bool = False


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """All inputs of one build.

    `source` holds the SHA-256 of each file of the source that was read, by its path there;
    `programs` those that ran, by name, with the names they were called by; `missing` was looked
    for in vain; `changed` lies outside of the build's own folders; `unseen` says which programs
    asked the kernel to work without calls that a recorder sees.
    """

    source: Mapping[str, str]
    reads: tuple[Read, ...]
    programs: Mapping[str, tuple[str, ...]]
    missing: tuple[str, ...]
    machine: tuple[str, ...]
    changed: tuple[Attempt, ...]
    network: tuple[Attempt, ...]
    unseen: tuple[Attempt, ...]

    def files(self) -> dict[str, str]:
        """Answer the SHA-256 of all that was read outside of the source, by name."""
        return {one.name: one.sha256 for one in self.reads}

    def joined(self, other: Inputs) -> Inputs:
        """Answer what either of two builds looked at."""
        return Inputs(
            source={**self.source, **other.source},
            reads=tuple(sorted({*self.reads, *other.reads})),
            programs={**self.programs, **other.programs},
            missing=tuple(sorted({*self.missing, *other.missing})),
            machine=tuple(sorted({*self.machine, *other.machine})),
            changed=tuple(sorted({*self.changed, *other.changed})),
            network=tuple(sorted({*self.network, *other.network})),
            unseen=tuple(sorted({*self.unseen, *other.unseen})),
        )

    def to_json(self, owners: Mapping[str, str]) -> bytes:
        """Answer the file's bytes; `owners` names the component a file belongs to."""
        digests = self.files()
        body = {
            "schema_version": SCHEMA_VERSION,
            "source": dict(sorted(self.source.items())),
            "files": [
                {"path": name, "sha256": digests[name], "component": owners.get(name, "")}
                for name in sorted(digests)
            ],
            "programs": sorted(self.programs),
            "missing": list(self.missing),
            "machine": list(self.machine),
        }
        return (json.dumps(body, indent=1) + "\n").encode()


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """What a release's input manifest says, as far as the next one is compared with it."""

    source: Mapping[str, str]
    files: Mapping[str, str]
    programs: frozenset[str]
    missing: frozenset[str]


def kept(data: bytes, *, where: str) -> Kept:
    """Answer the input manifest of a file; raises `Misuse` for any other content."""
    try:
        body = json.loads(data)
        if body["schema_version"] != SCHEMA_VERSION:
            raise Misuse(f"{where}: made by another version of fwseal")
        found = Kept(
            source=_texts(body["source"]),
            files=_texts({one["path"]: one["sha256"] for one in body["files"]}),
            programs=frozenset(_texts(dict.fromkeys(body["programs"], ""))),
            missing=frozenset(_texts(dict.fromkeys(body["missing"], ""))),
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise Misuse(f"{where}: not an input manifest: {error}") from None
    return found


def _texts(found: dict[Any, Any]) -> dict[str, str]:
    if not all(type(key) is str and type(value) is str for key, value in found.items()):
        raise Misuse("a value of an input manifest is no text")
    return found


def changes(old: Kept, new: Kept) -> tuple[str, ...]:
    """Answer what differs in what two builds looked at, one line each.

    A file that is read now and was looked for in vain before is the one to worry about: it stands
    earlier on a search path than what was read then.
    """
    lines = []
    for kind, before, after in (
        ("source", old.source, new.source),
        ("file", old.files, new.files),
    ):
        prefix = "/build/" if kind == "source" else ""
        for name in sorted(after.keys() - before.keys()):
            found = prefix + name in old.missing
            lines.append(f"{kind} {name}: {'found before another' if found else 'new'}")
        lines += [f"{kind} {name}: gone" for name in sorted(before.keys() - after.keys())]
        lines += [
            f"{kind} {name}: changed"
            for name in sorted(before.keys() & after.keys())
            if before[name] != after[name]
        ]
    lines += [f"program {name}: new" for name in sorted(new.programs - old.programs)]
    lines += [f"program {name}: gone" for name in sorted(old.programs - new.programs)]
    return tuple(lines)
