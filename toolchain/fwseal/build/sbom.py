"""What a release is made of, as CycloneDX 1.6 with the fields of BSI TR-03183-2.

Written here and not by cyclonedx-python-lib, which cannot say how complete a list is
(`compositions`); that library and its schema judge what is written, in the tests.
"""

from __future__ import annotations

import dataclasses
import json
import uuid
from typing import TYPE_CHECKING, Any

from fwseal.base.errors import Misuse
from fwseal.build.lock import tree_sha256

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from fwseal.base.release import Payload, Release
    from fwseal.build.lock import Component
    from fwseal.build.recipe import Supplier

FILE = "sbom.cdx.json"
SPEC_VERSION = "1.6"

LINKED = (".a", ".o", ".h", ".hpp", ".inc", ".S", ".zig", ".c")
"""Files of a toolchain whose content may be in the image; the rest worked on it."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What the build knows of a release.

    `source` holds the SHA-256 of the files that were read, by path; `units` are those of them that
    the debug information names; `parts` begins with the compiler. `recorded` says that nothing
    else was read.
    """

    release: Release
    supplier: Supplier
    commit: str
    source_sha256: str
    source: Mapping[str, str]
    units: tuple[str, ...]
    parts: tuple[Component, ...]
    recorded: bool
    tool_version: str
    now: datetime


def document(facts: Facts) -> bytes:
    """Answer the SBOM's bytes: the product, its payloads, its source, and what built it."""
    product, payloads = "product", [f"payload:{one.file}" for one in facts.release.payloads]
    tools = [f"{one.kind}:{one.name}" for one in facts.parts]
    body = {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": SPEC_VERSION,
        "serialNumber": f"urn:uuid:{_serial(facts)}",
        "version": 1,
        "metadata": _metadata(facts, product),
        "components": [
            *(_payload(facts, one) for one in facts.release.payloads),
            _source(facts),
            *map(_tool, facts.parts),
        ],
        "dependencies": [
            {"ref": product, "dependsOn": payloads},
            *({"ref": one, "dependsOn": ["source", *tools]} for one in payloads),
            *({"ref": one} for one in ("source", *tools)),
        ],
        "compositions": [
            {"aggregate": "complete", "dependencies": [product]},
            {
                "aggregate": "complete" if facts.recorded else "unknown",
                "dependencies": [*payloads, *tools],
            },
            # Whether the source has other people's code in it, no build can see.
            {"aggregate": "unknown", "assemblies": ["source"]},
        ],
    }
    return (json.dumps(body, indent=1) + "\n").encode()


def _serial(facts: Facts) -> uuid.UUID:
    release = facts.release
    digests = "".join(one.unsigned_sha256 for one in release.payloads)
    return uuid.uuid5(
        uuid.UUID(release.class_id), f"{release.recipe_sha256}{digests}{facts.now.isoformat()}"
    )


def _metadata(facts: Facts, ref: str) -> dict[str, Any]:
    release = facts.release
    found: dict[str, Any] = {
        "timestamp": facts.now.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "lifecycles": [{"phase": "build"}],
        "tools": {
            "components": [{"type": "application", "name": "fwseal", "version": facts.tool_version}]
        },
        "component": {
            "type": "firmware",
            "bom-ref": ref,
            "name": release.name,
            "version": release.version,
            **_licensed(facts.supplier),
        },
    }
    maker = _maker(facts.supplier.name, facts.supplier.contact)
    if maker:
        found["manufacturer"] = found["component"]["manufacturer"] = maker
    return found


def _maker(name: str, contact: str) -> dict[str, Any]:
    if not name:
        return {}
    if "://" in contact:
        return {"name": name, "url": [contact]}
    return {"name": name, **({"contact": [{"email": contact}]} if contact else {})}


def _licensed(supplier: Supplier) -> dict[str, Any]:
    if not supplier.license:
        return {}
    return {"licenses": [{"expression": supplier.license, "acknowledgement": "concluded"}]}


def _payload(facts: Facts, one: Payload) -> dict[str, Any]:
    found: dict[str, Any] = {
        "type": "firmware",
        "bom-ref": f"payload:{one.file}",
        "name": one.file,
        "version": facts.release.version,
        **_licensed(facts.supplier),
        "properties": [
            {"name": "bsi:component:filename", "value": one.file},
            {"name": "bsi:component:executable", "value": "executable"},
            {"name": "bsi:component:archive", "value": "no archive"},
            {"name": "bsi:component:structured", "value": "unstructured"},
            {"name": "fwseal:unsigned:sha256", "value": one.unsigned_sha256},
        ],
    }
    maker = _maker(facts.supplier.name, facts.supplier.contact)
    return {**found, **({"manufacturer": maker} if maker else {}), **_hashes(one)}


def _hashes(one: Payload) -> dict[str, Any]:
    """Answer the digests of what devices fetch, once that is final."""
    if not one.sha512:
        return {}
    hashes = [{"alg": "SHA-256", "content": one.sha256}, {"alg": "SHA-512", "content": one.sha512}]
    return {
        "hashes": hashes,
        "externalReferences": [{"type": "distribution", "url": one.uri, "hashes": hashes}],
    }


def _source(facts: Facts) -> dict[str, Any]:
    found: dict[str, Any] = {
        "type": "application",
        "bom-ref": "source",
        "name": f"{facts.release.name}-source",
        "hashes": [{"alg": "SHA-256", "content": facts.source_sha256}],
        **_licensed(facts.supplier),
        "components": [
            {
                "type": "file",
                "bom-ref": f"source:{path}",
                "name": path,
                "hashes": [{"alg": "SHA-256", "content": digest}],
                "properties": [
                    {
                        "name": "fwseal:compiled",
                        "value": "true" if path in facts.units else "false",
                    }
                ],
            }
            for path, digest in sorted(facts.source.items())
        ],
    }
    if facts.commit:
        found["version"] = facts.commit
    return found


def _tool(one: Component) -> dict[str, Any]:
    linked = [name for name in one.files if name.endswith(LINKED)]
    found: dict[str, Any] = {
        "type": "application",
        "bom-ref": f"{one.kind}:{one.name}",
        "name": one.name,
        # What only worked on the image is no part of it (CycloneDX 1.6, scope).
        "scope": "required" if linked or not one.files else "excluded",
        "hashes": [{"alg": "SHA-256", "content": one.sha256 or tree_sha256(one.files)}],
        "properties": [
            {"name": "fwseal:kind", "value": one.kind},
            *({"name": "fwseal:read", "value": name} for name in sorted(one.files)),
        ],
    }
    if one.version:
        found["version"] = one.version
    if one.purl:
        found["purl"] = one.purl
    if one.license:
        found["licenses"] = [{"license": {"name": one.license}}]
    name, _, address = one.creator.partition(" <")
    maker = _maker(name, address.rstrip(">"))
    return {**found, **({"manufacturer": maker} if maker else {})}


def deployed(data: bytes, payloads: tuple[Payload, ...]) -> bytes:
    """Answer an SBOM with the digests of its payloads, when signing has made them final.

    Raises `Misuse` where it is none of ours.
    """
    try:
        body = json.loads(data)
        known = {f"payload:{one.file}": one for one in payloads}
        for component in body["components"]:
            one = known.get(component["bom-ref"])
            if one:
                component.update(_hashes(one))
        body["version"] += 1
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise Misuse(f"{FILE} is not the SBOM of a build: {error}") from None
    return (json.dumps(body, indent=1) + "\n").encode()


def absent(data: bytes) -> tuple[str, ...]:
    """Answer which fields of BSI TR-03183-2 (5.2) an SBOM of ours leaves out, by path."""
    body = json.loads(data)
    found = []
    if not _reachable(body["metadata"].get("manufacturer")):
        found.append("metadata/manufacturer")
    for one in body["components"]:
        if one.get("scope") == "excluded" or one["bom-ref"] == "source":
            continue
        wanted = {
            "manufacturer": _reachable(one.get("manufacturer")),
            "version": bool(one.get("version")),
            "licenses": bool(one.get("licenses")),
        }
        if one["bom-ref"].startswith("payload:"):
            wanted["hashes"] = any(part["alg"] == "SHA-512" for part in one.get("hashes", ()))
        found += [f"{one['bom-ref']}/{field}" for field, there in wanted.items() if not there]
    return tuple(found)


def _reachable(maker: dict[str, Any] | None) -> bool:
    return bool(maker and (maker.get("url") or maker.get("contact")))
