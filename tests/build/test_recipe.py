"""A recipe is data: what it does not know it refuses, and what it declares is all there is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from fwseal.base.errors import Misuse
from fwseal.base.release import PayloadFormat
from fwseal.base.tables import Table
from fwseal.build import recipe

if TYPE_CHECKING:
    from fwseal.build.recipe import Recipe

GOOD = """
[product]
name = "pump"
line = "pumps"
version = "1.2.3"
sequence-number = 7
device = "targets/pump.toml"

[source]
commit = "HEAD"
paths = ["firmware", "lib"]

[toolchain]
compiler = "zig"

[build]
commands = [["make", "CC={cc}", "V={version}", "X={level}{level}"], ["true"]]
outputs = ["out/pump.elf"]

[parameters]
level = "3"

[[payload]]
file = "pump.bin"
component = ["00", "ff01"]
format = "raw"

[manifest]
template = "single-image"
"""


def parsed(text: str = GOOD) -> Recipe:
    return recipe.recipe(Table.parse(text, where="pump.toml"))


def test_a_recipe_says_what_it_says() -> None:
    found = parsed()
    assert (found.name, found.line, found.version) == ("pump", "pumps", "1.2.3")
    assert (found.sequence_number, found.device) == (7, "targets/pump.toml")
    assert (found.source.commit, found.source.paths) == ("HEAD", ("firmware", "lib"))
    assert found.outputs == ("out/pump.elf",)
    assert found.parameters == {"level": "3"}
    assert found.manifest
    (payload,) = found.payloads
    assert (payload.file, payload.uri) == ("pump.bin", "7/pump.bin")
    assert payload.component == (b"\0", b"\xff\x01")
    assert payload.format is PayloadFormat.RAW
    assert payload.load_address is None


DIGEST = "ab" * 32
ARCHIVE = '[[source.archive]]\n{place}\nsha256 = "{sha256}"\n[toolchain]'


def test_archives_may_stand_beside_a_commit_or_alone() -> None:
    place = 'url = "https://x.example/x.tar"\ninto = "lib/x"'
    beside = parsed(GOOD.replace("[toolchain]", ARCHIVE.format(place=place, sha256=DIGEST)))
    assert beside.source.commit == "HEAD"
    assert beside.source.archives[0].into == "lib/x"
    alone = GOOD.replace('commit = "HEAD"', "").replace('paths = ["firmware", "lib"]', "")
    alone = alone.replace("[toolchain]", ARCHIVE.format(place='file = "x.tar"', sha256=DIGEST))
    assert (parsed(alone).source.commit, parsed(alone).source.paths) == ("", ())


def test_a_recipe_may_ship_nothing_and_declare_nothing() -> None:
    found = parsed(GOOD[: GOOD.index("[parameters]")])
    assert (found.payloads, found.parameters, found.manifest) == ((), {}, None)


def test_a_payload_may_name_its_uri_and_its_load_address() -> None:
    more = 'format = "mcuboot"\nuri = "x"\nload-address = 1'
    (payload,) = parsed(GOOD.replace('format = "raw"', more)).payloads
    assert (payload.uri, payload.load_address) == ("x", 1)
    assert payload.format is PayloadFormat.MCUBOOT


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('name = "pump"', ""),
        ('name = "pump"', 'name = "../pump"'),
        ('name = "pump"', 'name = ""'),
        ('line = "pumps"', 'line = "a/b"'),
        ("sequence-number = 7", "sequence-number = true"),
        ("sequence-number = 7", "sequence-number = 18446744073709551616"),
        ('version = "1.2.3"', "version = 1.2"),
        ('device = "targets/pump.toml"', "device = 1"),
        ("[product]", "[product]\nx = 1"),
        ("[source]", "[source]\nx = 1"),
        ("[toolchain]", "[toolchain]\nx = 1"),
        ("[build]", "[build]\nx = 1"),
        ("[manifest]", "[manifest]\nx = 1"),
        ("[[payload]]", "[[payload]]\nx = 1"),
        ("[[payload]]", "[[payloads]]"),
        ("[[payload]]", "[payload]"),
        ("[toolchain]", "[tools]"),
        ('commit = "HEAD"', 'commit = "HEAD~1"'),
        ('commit = "HEAD"', 'commit = "--upload-pack=x"'),
        ('commit = "HEAD"', 'commit = "abc123"'),
        ('commit = "HEAD"', 'commit = "HEAD\\n"'),
        ('commit = "HEAD"', f'commit = "{"A" * 40}"'),
        ('"firmware", ', '"", '),
        ('"firmware", ', '"../x", '),
        ('"firmware", ', '"a/../../x", '),
        ('"firmware", ', '"/etc", '),
        ('"firmware", ', '"-x", '),
        ('"firmware", ', '"a\\u0000b", '),
        ('"firmware", ', "1, "),
        ('paths = ["firmware", "lib"]', "paths = []"),
        ('paths = ["firmware", "lib"]', 'paths = "firmware"'),
        ('compiler = "zig"', 'compiler = "t c c"'),
        ('compiler = "zig"', 'compiler = "/bin/sh"'),
        ('compiler = "zig"', 'compiler = "zig"\nhost = ["/bin/sh"]'),
        ('compiler = "zig"', 'compiler = "zig"\nhost = "sh"'),
        ('compiler = "zig"', 'compiler = "zig"\nlock = "a b"'),
        ('compiler = "zig"', 'compiler = "../zig"\nfolder = "tools"'),
        ('commit = "HEAD"', ""),
        ("[toolchain]", ARCHIVE.format(place='file = "https://x"', sha256=DIGEST)),
        ("[toolchain]", ARCHIVE.format(place='url = "x.tar"', sha256=DIGEST)),
        ("[toolchain]", ARCHIVE.format(place='url = "ftp://x"', sha256=DIGEST)),
        ("[toolchain]", ARCHIVE.format(place='file = "x"\nurl = "https://x"', sha256=DIGEST)),
        ("[toolchain]", ARCHIVE.format(place="", sha256=DIGEST)),
        ("[toolchain]", ARCHIVE.format(place='file = "x"', sha256="00")),
        ("[toolchain]", ARCHIVE.format(place='file = "x"\ninto = "../y"', sha256=DIGEST)),
        ("[toolchain]", ARCHIVE.format(place='file = "x"\nx = 1', sha256=DIGEST)),
        ('["true"]]', '"true"]'),
        ('["true"]]', "[]]"),
        ('["true"]]', "[1]]"),
        ('["true"]]', '[["true"]]]'),
        ('outputs = ["out/pump.elf"]', "outputs = []"),
        ('outputs = ["out/pump.elf"]', 'outputs = ["out/pump.elf", "b/pump.elf"]'),
        ('outputs = ["out/pump.elf"]', 'outputs = ["out/pump.elf", "b/pump"]'),
        ('outputs = ["out/pump.elf"]', 'outputs = ["out/pump.elf", "out/.elf"]'),
        ('outputs = ["out/pump.elf"]', 'outputs = ["../pump.elf"]'),
        ('outputs = ["out/pump.elf"]', 'outputs = ["/pump.elf"]'),
        ('outputs = ["out/pump.elf"]', 'outputs = ["out/other.elf"]'),
        ('level = "3"', "level = 3"),
        ('level = "3"', 'Level = "3"'),
        ('level = "3"', 'version = "3"'),
        ('level = "3"', 'cc = "3"'),
        ('level = "3"', 'build-id = "3"'),
        ('level = "3"', '"a}{b" = "3"'),
        ('file = "pump.bin"', 'file = "x/pump.bin"'),
        ('file = "pump.bin"', 'file = "pump.elf"'),
        ('component = ["00", "ff01"]', "component = []"),
        ('component = ["00", "ff01"]', 'component = ["0"]'),
        ('component = ["00", "ff01"]', 'component = "00"'),
        ('format = "raw"', 'format = "zip"'),
        ('format = "raw"', 'format = "raw"\nload-address = -1'),
        ('format = "raw"', 'format = "raw"\nload-address = 1'),
        ('template = "single-image"', 'template = "other"'),
    ],
)
def test_whatever_else_a_recipe_says_is_misuse(old: str, new: str) -> None:
    assert GOOD.count(old) == 1
    with pytest.raises(Misuse):
        parsed(GOOD.replace(old, new))


SECRET = """
[payload.encryption]
algorithm = "A128GCM"

[[payload.recipients]]
kid = "pump-1"
key = "../keys/pump-1.pem"
algorithm = "ECDH-ES+A128KW"

[[payload.recipients]]
kid = "all"
key = "all.cose"
algorithm = "A128KW"

[[dependency]]
file = "radio.suit"
component = ["01"]

[manifest]
install = ["directive-fetch"]
"""
ENCRYPTED = GOOD.replace('\n[manifest]\ntemplate = "single-image"\n', SECRET)


def test_a_payload_may_be_encrypted_and_a_manifest_depend_on_another() -> None:
    found = parsed(ENCRYPTED)
    (payload,) = found.payloads
    assert payload.encryption == "A128GCM"
    assert [(one.kid, one.key, one.algorithm) for one in payload.recipients] == [
        ("pump-1", "../keys/pump-1.pem", "ECDH-ES+A128KW"),
        ("all", "all.cose", "A128KW"),
    ]
    assert found.manifest
    assert [one.uri for one in found.manifest.dependencies] == ["7/radio.suit"]


def test_an_integrated_payload_is_named_by_a_fragment() -> None:
    inside = GOOD.replace('format = "raw"', 'format = "raw"\nintegrated = true')
    assert parsed(inside).payloads[0].uri == "#pump.bin"
    named = parsed(inside.replace("integrated = true", 'integrated = true\nuri = "#x"'))
    assert named.payloads[0].uri == "#x"
    outside = parsed(GOOD.replace('format = "raw"', 'format = "raw"\nintegrated = false'))
    assert outside.payloads[0].uri == "7/pump.bin"


def test_two_builds_for_two_slots_may_be_for_one_component() -> None:
    second = '[[payload]]\nfile = "b.bin"\ncomponent = ["00", "ff01"]\nformat = "raw"\n\n[manifest]'
    text = GOOD.replace('["out/pump.elf"]', '["out/pump.elf", "out/b.elf"]')
    one, other = parsed(text.replace("[manifest]", second)).payloads
    assert one.component == other.component


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"A128GCM"', '"AES-GCM"'),
        ('"A128GCM"', '"A128GCM"\niv = "00"'),
        ('[payload.encryption]\nalgorithm = "A128GCM"\n', ""),
        ('"ECDH-ES+A128KW"', '"ECDH-ES"'),
        ('kid = "all"\n', ""),
        ('key = "all.cose"', 'key = "all.cose"\nx = 1'),
        ('file = "radio.suit"', 'file = "pump.bin"'),
        ('file = "radio.suit"', 'file = "radio.suit"\nuri = "7/pump.bin"'),
        ('\n[manifest]\ninstall = ["directive-fetch"]\n', ""),
        ('format = "raw"', 'format = "raw"\nuri = "#pump.bin"'),
        ('format = "raw"', 'format = "raw"\nuri = "x"\nintegrated = true'),
    ],
)
def test_whatever_else_is_said_of_secrets_and_dependencies_is_misuse(old: str, new: str) -> None:
    assert ENCRYPTED.count(old) == 1
    with pytest.raises(Misuse):
        parsed(ENCRYPTED.replace(old, new))


def test_recipients_without_encryption_or_encryption_without_recipients_is_misuse() -> None:
    begin = ENCRYPTED.index("[[payload.recipients]]")
    alone = ENCRYPTED[:begin] + ENCRYPTED[ENCRYPTED.index("[[dependency]]") :]
    with pytest.raises(Misuse):
        parsed(alone)


KNOWN = {"version": "1.2.3", "cc": "{cc}", "build-id": "abc"}


def test_placeholders_are_declared_parameters_and_nothing_else() -> None:
    assert recipe.expanded(parsed(), KNOWN, "pump") == (
        ("make", "CC={cc}", "V=1.2.3", "X=33"),
        ("true",),
    )
    for word in ("{other}", "{home}", "{a-b}"):
        with pytest.raises(Misuse):
            recipe.expanded(parsed(GOOD.replace("{level}{level}", word)), KNOWN, "pump")
    plain = parsed(GOOD.replace("{level}{level}", "{} {A} {1} ${PATH}"))
    assert recipe.expanded(plain, KNOWN, "pump")[0][3] == "X={} {A} {1} ${PATH}"


def test_the_value_of_a_parameter_is_not_expanded_again() -> None:
    found = parsed(GOOD.replace('level = "3"', 'level = "{level}{version}"'))
    assert recipe.expanded(found, KNOWN, "")[0][3] == "X=" + "{level}{version}" * 2


def test_a_null_character_reaches_no_command() -> None:
    for text in (
        GOOD.replace('level = "3"', 'level = "\\u0000"'),
        GOOD.replace('["true"]', '["tr\\u0000ue"]'),
    ):
        with pytest.raises(Misuse):
            recipe.expanded(parsed(text), KNOWN, "")
