"""An SBOM is CycloneDX 1.6 to its own library, and has the fields that BSI TR-03183-2 asks for."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import uuid
from datetime import UTC, datetime
from typing import Any

import pytest
from cyclonedx.model.bom import Bom
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from fwseal.base.errors import Misuse
from fwseal.base.ids import PayloadFormat
from fwseal.base.release import Payload, Release, State
from fwseal.build import sbom
from fwseal.build.lock import Component
from fwseal.build.recipe import Supplier

ONE, TWO = "11" * 32, "22" * 32
CONTENT = b"an image"
UNSIGNED = Payload(
    uri="7/app.bin", file="app.bin", component="00", format=PayloadFormat.RAW, unsigned_sha256=ONE
)
FINAL = dataclasses.replace(
    UNSIGNED,
    size=len(CONTENT),
    sha256=hashlib.sha256(CONTENT).hexdigest(),
    sha512=hashlib.sha512(CONTENT).hexdigest(),
)
ZIG = Component(
    kind="wheel", name="zig", version="0.1", sha256=TWO, purl="pkg:pypi/ziglang@0.1",
    license="MIT", creator="Zig <https://zig.example>",
)  # fmt: skip
MAKE = Component(
    kind="package", name="make", version="4.3-4.1 amd64", files={"/usr/bin/make": ONE},
    purl="pkg:deb/debian/make@4.3-4.1?arch=amd64", creator="Maker <maker@debian.example>",
)  # fmt: skip
NEWLIB = Component(
    kind="package", name="newlib", version="1", files={"/usr/lib/libc.a": ONE},
    creator="Someone <one@debian.example>", license="BSD",
)  # fmt: skip


def facts(
    *payloads: Payload, supplier: Supplier | None = None, commit: str = "ab" * 20
) -> sbom.Facts:
    release = Release(
        name="pump", line="plc", version="1.2.3", sequence_number=7, state=State.BUILT,
        recipe_sha256=ONE, vendor_id=str(uuid.uuid5(uuid.NAMESPACE_DNS, "vendor")),
        class_id=str(uuid.uuid5(uuid.NAMESPACE_DNS, "class")), payloads=payloads or (FINAL,),
    )  # fmt: skip
    return sbom.Facts(
        release=release,
        supplier=supplier or Supplier(name="Demo", contact="https://demo.example", license="MIT"),
        commit=commit,
        source_sha256=TWO,
        source={"a.c": ONE, "a.h": TWO},
        units=("a.c",),
        parts=(ZIG, MAKE, NEWLIB),
        recorded=True,
        tool_version="1",
        now=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
    )


def read(data: bytes) -> dict[str, Any]:
    """Answer an SBOM that the official schema allows and the official library reads."""
    problem = JsonStrictValidator(SchemaVersion.V1_6).validate_str(data.decode())
    assert problem is None, problem
    body: dict[str, Any] = json.loads(data)
    Bom.from_json(body)
    return body


def part(body: dict[str, Any], ref: str) -> dict[str, Any]:
    (found,) = (one for one in body["components"] if one["bom-ref"] == ref)
    assert isinstance(found, dict)
    return found


def test_the_deployable_has_its_sha512_and_every_field_of_the_bsi() -> None:
    body = read(sbom.document(facts()))
    one = part(body, "payload:app.bin")
    (distribution,) = one["externalReferences"]
    assert distribution["type"] == "distribution"
    assert {"alg": "SHA-512", "content": hashlib.sha512(CONTENT).hexdigest()} in distribution[
        "hashes"
    ]
    assert {entry["name"] for entry in one["properties"]} >= {
        f"bsi:component:{field}" for field in ("filename", "executable", "archive", "structured")
    }
    assert one["licenses"] == [{"expression": "MIT", "acknowledgement": "concluded"}]
    assert one["manufacturer"] == body["metadata"]["manufacturer"]
    assert body["metadata"]["timestamp"] == "2026-01-02T03:04:05Z"
    assert sbom.absent(sbom.document(facts())) == ()


@pytest.mark.parametrize(
    ("supplier", "absent"),
    [
        (
            Supplier(name="", contact="", license=""),
            {
                "metadata/manufacturer", "payload:app.bin/manufacturer", "payload:app.bin/licenses",
            },
        ),
        (
            Supplier(name="Demo", contact="", license="MIT"),
            {"metadata/manufacturer", "payload:app.bin/manufacturer"},
        ),
        (Supplier(name="Demo", contact="psirt@demo.example", license="MIT"), set()),
    ],
)  # fmt: skip
def test_what_the_recipe_does_not_say_is_absent_and_said_to_be(
    supplier: Supplier, absent: set[str]
) -> None:
    data = sbom.document(facts(supplier=supplier))
    read(data)
    assert set(sbom.absent(data)) == absent


def test_what_only_worked_on_the_image_is_no_part_of_it() -> None:
    body = read(sbom.document(facts()))
    assert part(body, "package:make")["scope"] == "excluded"
    assert part(body, "package:newlib")["scope"] == "required"
    assert part(body, "wheel:zig")["purl"] == "pkg:pypi/ziglang@0.1"
    assert part(body, "package:make")["manufacturer"] == {
        "name": "Maker",
        "contact": [{"email": "maker@debian.example"}],
    }


def test_the_source_is_listed_file_by_file_and_says_what_was_compiled() -> None:
    source = part(read(sbom.document(facts())), "source")
    compiled = {one["name"]: one["properties"][0]["value"] for one in source["components"]}
    assert compiled == {"a.c": "true", "a.h": "false"}
    assert source["version"] == "ab" * 20
    assert "version" not in part(read(sbom.document(facts(commit=""))), "source")


def test_a_list_that_nobody_watched_is_never_called_complete() -> None:
    watched = read(sbom.document(facts()))["compositions"]
    blind = read(sbom.document(dataclasses.replace(facts(), recorded=False)))["compositions"]
    assert [one["aggregate"] for one in watched] == ["complete", "complete", "unknown"]
    assert [one["aggregate"] for one in blind] == ["complete", "unknown", "unknown"]


def test_the_digests_come_when_signing_has_made_the_payload_final() -> None:
    data = sbom.document(facts(UNSIGNED))
    assert sbom.absent(data) == ("payload:app.bin/hashes",)
    grown = sbom.deployed(data, (FINAL,))
    assert sbom.absent(grown) == ()
    before, after = read(data), read(grown)
    assert after["version"] == before["version"] + 1
    assert after["serialNumber"] == before["serialNumber"]


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", b'{"components": [{}]}', b"[" * 100_000])
def test_what_is_no_sbom_of_ours_is_misuse(data: bytes) -> None:
    with pytest.raises(Misuse):
        sbom.deployed(data, (FINAL,))
