"""Our label tables and the facts sheet of the drafts say the same, number by number."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from formats.refusals import refused
from fwseal.base.reasons import Reason
from fwseal.suit import labels
from fwseal.suit.labels import known, spelled, unsupported

if TYPE_CHECKING:
    import enum

FACTS = Path(__file__).resolve().parents[3] / "shared" / "facts" / "suit-labels.md"

TABLES: dict[str, type[enum.IntEnum]] = {
    "envelope": labels.EnvelopeKey,
    "manifest": labels.ManifestKey,
    "common": labels.CommonKey,
    "param": labels.Parameter,
    "text": labels.TextKey,
    "text-component": labels.TextComponentKey,
    "vercmp": labels.VersionComparison,
    "semver": labels.PreRelease,
    "wait": labels.WaitEvent,
    "meta": labels.ComponentMetadataKey,
    "record (array order)": labels.RecordField,
    "reason": labels.ReportReason,
    "capability": labels.CapabilityKey,
}
"""Each table of the sheet that is one enum of ours; commands, reports and bits follow below."""

SHORT = {
    "(reserved:": "delegation",
    "suit-manifest-version": "version",
    "suit-manifest-sequence-number": "sequence-number",
    "suit-manifest-component-id": "component-id",
}
"""What we spell otherwise: the enum says already that it is about the manifest."""


@pytest.fixture(scope="module")
def rows() -> list[list[str]]:
    if not FACTS.is_file():
        pytest.skip("../shared/facts is not here")
    cells = (line.split(" | ") for line in FACTS.read_text(encoding="utf-8").splitlines())
    return [[cell.strip() for cell in row] for row in cells if len(row) > 1]


def named(rows: list[list[str]], table: str) -> dict[int, str]:
    """Answer number and name of each row of a table, whether one a line or all in one."""
    found: dict[int, str] = {}
    for row in rows:
        if row[0] != table:
            continue
        if re.fullmatch(r"-?\d+", row[1]):
            found[int(row[1])] = row[2]
        else:
            for cell in row[1:]:
                if match := re.match(r"(-?\d+) (\S+)", cell):
                    found[int(match[1])] = match[2].rstrip(";")
    assert found
    return found


def plain(name: str) -> str:
    """Answer a name of the sheet as we spell it."""
    name = name.split(" ")[0]
    return SHORT.get(name, name.removeprefix("suit-").replace("_", "-"))


@pytest.mark.parametrize("table", TABLES)
def test_every_label_of_the_drafts_stands_here_and_no_other(
    rows: list[list[str]], table: str
) -> None:
    ours = {int(label): spelled(label) for label in TABLES[table]}
    theirs = {number: plain(name) for number, name in named(rows, table).items()}
    assert ours == theirs


def test_every_command_stands_here_as_a_condition_or_a_directive(rows: list[list[str]]) -> None:
    kinds = {"C": "condition-", "D": "directive-"}
    theirs = {
        number: kinds[name[0]] + name[2:].split(" ")[0]
        for number, name in named(rows, "command").items()
    }
    assert {int(label): spelled(label) for label in labels.Command} == theirs


def test_every_key_of_a_report_stands_here(rows: list[list[str]]) -> None:
    theirs = {number: plain(name) for number, name in named(rows, "report").items()}
    result = next(row for row in rows if row[0] == "report" and row[1] == "4")[3]
    theirs.update({int(n): name for n, name in re.findall(r"(\d+) (result-[a-z]+)", result)})
    assert {int(label): spelled(label) for label in labels.ReportKey} == theirs


@pytest.mark.parametrize(
    ("table", "flags"),
    [("rep-policy bits", labels.RepPolicy), ("metaperm bits", labels.Permission)],
)
def test_every_bit_stands_here(
    rows: list[list[str]], table: str, flags: type[enum.IntFlag]
) -> None:
    theirs = {1 << number: plain(name) for number, name in named(rows, table).items()}
    assert {flag.value: str(flag.name).lower().replace("_", "-") for flag in flags} == theirs


def test_file_types_tags_and_what_is_in_a_dependency_stand_here(rows: list[list[str]]) -> None:
    text = FACTS.read_text(encoding="utf-8")
    (types,) = re.findall(r"file-type \((.*?)\)", text)
    theirs = {int(number): name for number, name in re.findall(r"(\d) ([a-z]+)", types)}
    assert {int(one): spelled(one) for one in labels.FileType} == theirs
    assert "?1 suit-dependency-prefix" in text
    assert list(labels.DependencyKey) == [1]
    tags = {number: row[2] for row in rows if row[0] == "tag" for number in row[1].split("/")}
    assert tags[str(labels.TAG_ENVELOPE)] == "SUIT_Envelope"
    assert tags[str(labels.TAG_MANIFEST)] == "SUIT_Manifest"
    assert "OID" in tags[str(labels.TAG_OID)]
    assert "cbor-pen" in tags[str(labels.TAG_PEN)]


def test_drafts_are_named_with_their_versions() -> None:
    names = {value for name, value in vars(labels).items() if name.startswith("SPEC")}
    assert names == {
        "draft-ietf-suit-manifest-37",
        "draft-ietf-suit-trust-domains-12",
        "draft-ietf-suit-update-management-14",
        "draft-ietf-suit-report-18",
        "draft-ietf-suit-firmware-encryption-26",
    }


def test_what_may_be_severed_and_what_is_a_sequence_is_what_the_drafts_say(
    rows: list[list[str]],
) -> None:
    said = {int(row[1]): " ".join(row) for row in rows if row[0] == "manifest"}
    # Trust domains leaves 18 out of the group of severable members, and severs it all the same.
    severable = {n for n, text in said.items() if "SUIT_Digest" in text}
    assert severable == set(labels.SEVERABLE)
    assert labels.SEQUENCES | {labels.ManifestKey.UNINSTALL} == {
        label for label in labels.ManifestKey if label in severable | {7, 8, 9, 24}
    } - {labels.ManifestKey.TEXT, labels.ManifestKey.COSWID}


@pytest.mark.parametrize("number", [True, "2", 2.0, None, b"\2", (2,)])
def test_a_label_that_is_no_integer_is_refused_as_malformed(number: object) -> None:
    with refused(Reason.MALFORMED):
        known(labels.ManifestKey, number, what="manifest element")


@pytest.mark.parametrize("number", [0, 10, -1, -255, -256, -257, 2**64 - 1, -(2**64)])
def test_a_label_that_no_draft_names_is_refused_as_unsupported(number: int) -> None:
    with refused(Reason.UNSUPPORTED):
        known(labels.ManifestKey, number, what="manifest element")


def test_a_label_that_is_not_processed_is_refused_by_its_name() -> None:
    refusal = unsupported(labels.Command.DIRECTIVE_COPY_PARAMS, what="command")
    assert refusal.reason is Reason.UNSUPPORTED
    assert "directive-copy-params (35)" in refusal.message
    assert known(labels.Command, 35, what="command") is labels.Command.DIRECTIVE_COPY_PARAMS
