"""Explain explains: it judges for a device where one is named, and never by its exit code."""

from __future__ import annotations

from typing import TYPE_CHECKING

from projects import NEW, PROFILE, fwseal
from projects import here as inside

if TYPE_CHECKING:
    from pathlib import Path

FILE = f"{NEW}/envelope.suit"


def test_a_signature_is_judged_for_the_device_that_is_named(workshop_project: Path) -> None:
    body = inside("explain", FILE, "--device", PROFILE, cwd=workshop_project).body
    (signature,) = body["signatures"]
    assert signature == {
        "kid": "dev-release", "algorithm": "ESP256", "verdict": "verified", "reason": None,
    }  # fmt: skip
    assert any("threshold met" in line for line in body["text"])
    assert "signatures" not in inside("explain", FILE, cwd=workshop_project).body


def test_a_signature_that_is_refused_is_explained_and_exits_0(shop: Path) -> None:
    data = bytearray((shop / FILE).read_bytes())
    data[data.index(b"dev-release")] ^= 1
    (shop / FILE).write_bytes(data)
    (signature,) = inside("explain", FILE, "--device", PROFILE, cwd=shop).body["signatures"]
    assert (signature["verdict"], signature["reason"]) == ("refused", "unknown-signer")
    fwseal("verify", FILE, "--device", PROFILE, cwd=shop, code=1)


def test_the_lines_of_the_notation_are_the_bytes_of_the_file(workshop_project: Path) -> None:
    body = inside("explain", FILE, "--diagnostic", cwd=workshop_project).body
    at = 0
    for line in body["diagnostic"]:
        assert line["offset"] == at
        at += line["length"]
    assert at == (workshop_project / FILE).stat().st_size
    assert len(body["text"]) == len(body["diagnostic"])


def test_what_says_nothing_about_the_thing_explained_is_misuse(workshop_project: Path) -> None:
    image = f"{NEW}/payloads/demo-plc.bin"
    for words in (
        (FILE, "--device", PROFILE, "--diagnostic"), ("rollback", "--diagnostic"),
        ("rollback", "--device", PROFILE), (image, "--diagnostic"), (image, "--device", PROFILE),
    ):  # fmt: skip
        inside("explain", *words, cwd=workshop_project, code=2)


def test_a_truncated_envelope_is_refused_with_its_offset(shop: Path) -> None:
    (shop / FILE).write_bytes((shop / FILE).read_bytes()[:-1])
    said = inside("explain", FILE, cwd=shop, code=1)
    assert said.reason == "malformed"
    assert str(said.body["error"]["where"]).isdigit()
