"""What may explain that two texts differ: evidence in the texts, or the name of what holds them."""

from __future__ import annotations

import enum
import itertools
import re


class Cause(enum.Enum):
    """What makes builds differ."""

    PATH = "path"
    TEMPORARY = "temporary-name"
    DATE = "date"
    EPOCH = "date-as-number"
    ZONE = "time-zone"
    HOST = "hostname"
    USER = "user"
    REVISION = "revision"
    BUILD_ID = "build-id"
    COUNTER = "counter"
    UUID = "uuid"
    SEED = "seed"
    CHANCE = "chance"
    POINTER = "host-address"
    LOCALE = "locale"
    TOOLCHAIN = "toolchain"
    FLAGS = "flags"
    ORDER = "order"
    TABLE = "table-order"
    COMPRESSION = "compression"
    MEMBER_TIME = "member-time"
    OWNER = "member-owner"
    MODE = "member-mode"
    MEMBERS = "member-order"
    UNKNOWN = "unknown"


MENDS = {
    Cause.PATH: "-ffile-prefix-map=$(abspath .)=. ; hand sources to the compiler by relative names",
    Cause.TEMPORARY: "name the intermediate file yourself; -save-temps=obj with gcc",
    Cause.DATE: "take it from SOURCE_DATE_EPOCH or a declared parameter; -Werror=date-time",
    Cause.EPOCH: "take it from SOURCE_DATE_EPOCH or a declared parameter",
    Cause.ZONE: "TZ=UTC, and format dates with date -u",
    Cause.HOST: "leave it out, or hand in a declared parameter",
    Cause.USER: "leave it out, or hand in a declared parameter",
    Cause.REVISION: "hand in {version} or {build-id}: an export has no git",
    Cause.BUILD_ID: "-Wl,--build-id=none, or keep it out of flash in the linker script",
    Cause.COUNTER: "hand in a declared parameter in place of a count of builds",
    Cause.UUID: "derive it from the version (uuid5), or declare it",
    Cause.SEED: "-frandom-seed=<relative name of the source>",
    Cause.CHANCE: "draw nothing in a build; provision secrets on the device",
    Cause.POINTER: "print no addresses in a generator; sort by name, not by identity",
    Cause.LOCALE: "LC_ALL=C.UTF-8 in every generator",
    Cause.TOOLCHAIN: "pin the compiler in toolchain.lock.toml",
    Cause.FLAGS: "fix the flags in the recipe; -gno-record-gcc-switches keeps them out",
    Cause.ORDER: "sort the sources: $(sort $(wildcard *.c))",
    Cause.TABLE: "sort what a generator iterates; PYTHONHASHSEED=0",
    Cause.COMPRESSION: "pin tool and level; gzip -n",
    Cause.MEMBER_TIME: "ar D; tar --mtime=@0; gzip -n; zip after touch -d @315619200",
    Cause.OWNER: "ar D; tar --owner=0 --group=0 --numeric-owner",
    Cause.MODE: "umask 022; tar --mode=go=rX,u+rw,a-s",
    Cause.MEMBERS: "tar --sort=name; hand sorted names to ar and zip",
    Cause.UNKNOWN: "compare the sources and the toolchain.lock.toml of both builds",
}
"""What takes each cause away."""

FIELDS = {
    "time": Cause.MEMBER_TIME, "owner": Cause.OWNER, "mode": Cause.MODE, "name": Cause.PATH,
    "compression": Cause.COMPRESSION, "kind": Cause.UNKNOWN,
}  # fmt: skip

_MONTH = "(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)"
_DETECTORS = tuple(
    (cause, re.compile(pattern))
    for cause, pattern in (
        (Cause.UUID, r"\b[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}\b"),
        (Cause.TEMPORARY, r"/(?:var/)?tmp/[\w-]+\.\w+(?![\w/])|\bcc[A-Za-z0-9]{6}\.\w+"),
        (Cause.PATH, r"(?<![\w.)/])(?:[A-Za-z]:)?[/\\](?:[\w.+@~=-]+[/\\]?)+"),
        (Cause.ZONE, r"(?<=\d\d:\d\d)(?: ?[+-]\d\d:?\d\d| ?[A-Z]{3,4}\b|Z)"),
        (
            Cause.DATE,
            (
                rf"(?:\b(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun),? )?\b{_MONTH} [ \d]?\d(?: \d\d:\d\d:\d\d)?"
                rf"(?: \d{{4}})?|\b\d?\d {_MONTH} \d{{4}}"
                r"|\b(?:19|20)\d\d[-/](?:0\d|1[0-2])[-/][0-3]\d|\b\d\d:\d\d(?::\d\d)?\b"
                r"|\b(?:19|20)\d\d(?:0\d|1[0-2])[0-3]\d(?:T?\d{6})?\b"
            ),
        ),
        (Cause.POINTER, r"\b0x[0-9a-f]{8,16}\b"),
        (Cause.SEED, r"(?<=[._])[0-9A-Fa-f]{8}(?:[0-9A-Fa-f]{8})?\b|-frandom-seed=\S+"),
        (
            Cause.REVISION,
            r"(?:-\d+-)?\bg?(?=[0-9a-f]*\d)[0-9a-f]{7,40}(?:[-+]dirty\b|\+)?|-dirty\b",
        ),
        (Cause.USER, r"\b[\w.-]+(?=@[\w.-]+)"),
        (Cause.HOST, r"(?<=@)[\w.-]+"),
    )
)
_PRODUCER = re.compile(
    r"^(?:GCC: |GNU [A-Z]|clang |zig |LLD |Linker: |Android |rustc)|clang version"
)
_RELEASE = re.compile(r"\d+\.\d+(?:\.\d+)*")
HINTS = tuple(
    (cause, re.compile(pattern, re.IGNORECASE))
    for cause, pattern in (
        (Cause.HOST, r"host|machine|node"),
        (Cause.USER, r"user|who|author|operator"),
        (Cause.ZONE, r"time_?zone|\btz\b"),
        (Cause.REVISION, r"commit|revision|git|\bscm|describe"),
        (Cause.CHANCE, r"random|nonce|salt|canary|entropy|draw"),
        (Cause.COUNTER, r"count|number|serial"),
    )
)
"""What the name of a variable or macro says of a value that shows nothing itself."""

_NUMBER = re.compile(r"\d+")
_DECIMAL = re.compile(r"(?<=\d)[.,](?=\d)")
_DIGITS = 7
"""Digits that a count of builds does not have."""

_COUNTED = re.compile("build|count|#", re.IGNORECASE)


def form(text: str) -> str:
    """Answer a text without what causes explain: texts of one form take one another's place."""
    for cause, pattern in _DETECTORS:
        text = pattern.sub(f"<{cause.value}>", text)
    return _NUMBER.sub("<n>", text)


def of_texts(was: str, now: str, hint: str) -> list[tuple[Cause, str, str]]:
    """Answer the causes that explain all of what differs between two texts, none for the rest."""
    found: list[tuple[Cause, str, str]] = []
    a, b = was, now
    for cause, pattern in _DETECTORS:
        old, new = (list(map(str, pattern.findall(text))) for text in (a, b))
        if old != new and (cause is Cause.REVISION or (old and new)):
            differ = itertools.zip_longest(old, new, fillvalue="")
            found.append((cause, *next((x, y) for x, y in differ if x != y)))
        if old != new or cause in (Cause.PATH, Cause.DATE):
            a, b = pattern.sub(f"<{cause.value}>", a), pattern.sub(f"<{cause.value}>", b)
    if a == b:
        return found
    if _PRODUCER.search(was) and _PRODUCER.search(now):
        same = _RELEASE.findall(a) == _RELEASE.findall(b)
        return [*found, (Cause.FLAGS if same else Cause.TOOLCHAIN, *_words_of(a, b))]
    if _DECIMAL.sub(".", a) == _DECIMAL.sub(".", b):
        return [*found, (Cause.LOCALE, a, b)]
    for cause, pattern in HINTS:
        if pattern.search(hint):
            return [*found, (cause, *_words_of(was, now))]
    if count := _counted(a, b):
        return [*found, (Cause.COUNTER, *count)]
    rooted = any(cause in (Cause.PATH, Cause.DATE) for cause, _, _ in found)
    return found if rooted else []


def _counted(a: str, b: str) -> tuple[str, str] | None:
    """Answer the one number in which two texts differ, where it can count builds."""
    numbers = [_NUMBER.findall(text) for text in (a, b)]
    differ = [(x, y) for x, y in zip(*numbers, strict=False) if x != y]
    if _NUMBER.sub("", a) != _NUMBER.sub("", b) or len(differ) != 1:
        return None
    was, now = differ[0]
    near = len(was) < _DIGITS and len(now) < _DIGITS
    return (was, now) if near and _COUNTED.search(a) else None


def _words_of(a: str, b: str) -> tuple[str, str]:
    """Answer the words that only one of two texts has."""
    first, second = a.split(), b.split()
    return (
        " ".join(word for word in first if word not in second) or a,
        " ".join(word for word in second if word not in first) or b,
    )
