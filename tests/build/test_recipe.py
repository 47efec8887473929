"""A recipe is read whole or refused; a placeholder is filled once, and only by what was declared."""

from __future__ import annotations

import pytest

from build.benches import RECIPE, changed, parsed
from formats.refusals import misuse
from fwseal.base.release import PayloadFormat
from fwseal.build.recipe import Recipe, expanded

BAD = {
    "an unknown table": ("[product]", "[extra]\n[product]"),
    "an unknown key of product": ('line = "plc"', 'line = "plc"\nlines = "plc"'),
    "an unknown key of source": ('paths = ["."]', 'paths = ["."]\nbranch = "main"'),
    "an unknown key of toolchain": ('compiler = "zig"', 'compiler = "zig"\nflags = "-O3"'),
    "an unknown key of build": ("outputs = [", 'shell = "sh"\noutputs = ['),
    "an unknown key of payload": ('component = ["00"]', 'component = ["00"]\nslot = 1'),
    "an unknown key of manifest": ('template = "single-image"', 'template = "single-image"\nx = 1'),
    "no name": ('name = "app"\n', ""),
    "a name that is a path": ('name = "app"', 'name = "../app"'),
    "a line that is a path": ('line = "plc"', 'line = "a/b"'),
    "a name with a control character": ('name = "app"', 'name = "a\\u001b[31m"'),
    "a negative sequence number": ("sequence-number = 7", "sequence-number = -1"),
    "a sequence number of 65 bits": ("sequence-number = 7", f"sequence-number = {2**64}"),
    "a sequence number that is a truth": ("sequence-number = 7", "sequence-number = true"),
    "a branch for a commit": ('commit = "HEAD"', 'commit = "main"'),
    "an option for a commit": ('commit = "HEAD"', 'commit = "--output=x"'),
    "a short commit": ('commit = "HEAD"', 'commit = "abcdef0"'),
    "a commit in capitals": ('commit = "HEAD"', f'commit = "{"AB" * 20}"'),
    "a commit and a line": ('commit = "HEAD"', 'commit = "HEAD\\n"'),
    "no paths": ('paths = ["."]', "paths = []"),
    "a path that is a number": ('paths = ["."]', "paths = [1]"),
    "an empty path": ('paths = ["."]', 'paths = [""]'),
    "an absolute path": ('paths = ["."]', 'paths = ["/etc"]'),
    "a path out of the source": ('paths = ["."]', 'paths = ["a/../.."]'),
    "a path that is an option": ('paths = ["."]', 'paths = ["--remote=x"]'),
    "a path with a null": ('paths = ["."]', 'paths = ["a\\u0000"]'),
    "a compiler nobody knows": ('compiler = "zig"', 'compiler = "/tmp/cc"'),
    "a command that is a text": ('[["cp", "{from}", "app.elf"]]', '["cp a b"]'),
    "an empty command": ('[["cp", "{from}", "app.elf"]]', "[[]]"),
    "a word that is a number": ('[["cp", "{from}", "app.elf"]]', '[["cp", 1]]'),
    "no outputs": ('outputs = ["app.elf"]', "outputs = []"),
    "an output out of the source": ('outputs = ["app.elf"]', 'outputs = ["../app.elf"]'),
    "an absolute output": ('outputs = ["app.elf"]', 'outputs = ["/app.elf"]'),
    "an output that is a folder": ('outputs = ["app.elf"]', 'outputs = ["app.elf", "out/"]'),
    "an output twice": ('outputs = ["app.elf"]', 'outputs = ["app.elf", "out/app.elf"]'),
    "a parameter of a reserved name": ('from = "made.elf"', 'from = "made.elf"\ncc = "evil"'),
    "a parameter that is a number": ('from = "made.elf"', "from = 1"),
    "a parameter in capitals": ('from = "made.elf"', 'from = "made.elf"\nFAULT = "1"'),
    "a parameter with a brace": ('from = "made.elf"', 'from = "made.elf"\n"a}{b" = "1"'),
    "a payload that is a path": ('file = "app.bin"', 'file = "../app.bin"'),
    "a payload of no output": ('file = "app.bin"', 'file = "other.bin"'),
    "a payload without a component": ('component = ["00"]', "component = []"),
    "a component that is no hex": ('component = ["00"]', 'component = ["zz"]'),
    "a format nobody knows": ('format = "mcuboot"', 'format = "zip"'),
    "a load address for raw bytes": ('format = "mcuboot"', 'format = "raw"'),
    "a template nobody knows": ('template = "single-image"', 'template = "dual"'),
    "payloads that are a table": ("[[payload]]", "[payload]"),
}  # fmt: skip


def test_a_whole_recipe_is_read_as_it_is_written() -> None:
    found = parsed(RECIPE)
    assert (found.name, found.line, found.version) == ("app", "plc", "1.2.3")
    assert found.commands == (("cp", "{from}", "app.elf"),)
    (payload,) = found.payloads
    assert payload.uri == "7/app.bin"
    assert payload.component == (b"\x00",)
    assert payload.format is PayloadFormat.MCUBOOT
    assert payload.load_address == 0x20000000
    assert found.manifest is not None


def test_a_recipe_without_parameters_payloads_and_manifest_is_a_recipe() -> None:
    text = RECIPE.partition("[parameters]")[0].replace("{from}", "made.elf")
    found = parsed(text)
    assert (found.parameters, found.payloads, found.manifest) == ({}, (), None)


@pytest.mark.parametrize("commit", ["HEAD", "ab" * 20, "cd" * 32])
def test_a_commit_is_head_or_a_whole_id(commit: str) -> None:
    assert parsed(changed(('"HEAD"', f'"{commit}"'))).source.commit == commit


@pytest.mark.parametrize("edit", BAD.values(), ids=BAD)
def test_a_recipe_with_a_mistake_is_misuse(edit: tuple[str, str]) -> None:
    parsed(RECIPE)
    text = changed(edit)
    with misuse():
        parsed(text)


@pytest.mark.parametrize("name", ["version", "build-id", "cc"])
def test_no_parameter_takes_a_name_that_the_build_fills_in(name: str) -> None:
    with misuse():
        parsed(changed(('from = "made.elf"', f'from = "made.elf"\n{name} = "x"')))


@pytest.mark.parametrize("same", ["file", "uri"])
def test_two_payloads_never_share_a_file_or_a_uri(same: str) -> None:
    second = '[[payload]]\nfile = "b.bin"\nuri = "b"\ncomponent = ["01"]\nformat = "raw"\n'
    two = changed(
        ('outputs = ["app.elf"]', 'outputs = ["app.elf", "b.elf"]'),
        ("[manifest]", f"{second}\n[manifest]"),
    )
    assert len(parsed(two).payloads) == 2
    clash = ('"b.bin"', '"app.bin"') if same == "file" else ('uri = "b"', 'uri = "7/app.bin"')
    with misuse():
        parsed(two.replace(*clash))


# Placeholders


def commands(words: str, parameters: str = "", **known: str) -> tuple[tuple[str, ...], ...]:
    text = changed(
        ('["cp", "{from}", "app.elf"]', words),
        ('from = "made.elf"', f'from = "made.elf"\n{parameters}'),
    )
    return expanded(parsed(text), known, "app.toml")


def test_a_placeholder_is_filled_in_every_position() -> None:
    found = commands('["{a}", "{a}{a}", "x{a}y", "-D{a}={b-2}"], ["{a}"]', 'a = "1"\nb-2 = "2"')
    assert found == (("1", "11", "x1y", "-D1=2"), ("1",))


def test_a_value_stays_one_word_whatever_it_holds() -> None:
    assert commands('["echo", "{a}"]', 'a = "x; $(touch /tmp/y) | \\"z\\""') == (
        ("echo", 'x; $(touch /tmp/y) | "z"'),
    )


def test_what_a_value_holds_is_never_filled_in_again() -> None:
    found = commands('["{a}", "{b}"]', 'a = "{b}"\nb = "{cc}{version}"', cc="evil", version="9")
    assert found == (("{b}", "{cc}{version}"),)
    assert commands('["{{a}}", "{{a}"]', 'a = "b"\nb = "c"') == (("{b}", "{b"),)


@pytest.mark.parametrize("word", ["{a}", "x{a}", "{from}{a}", "{{a}}", "{version}"])
def test_a_placeholder_nobody_declared_is_misuse(word: str) -> None:
    with misuse():
        commands(f'["cp", "{word}"]')


def test_braces_that_spell_no_name_stay_as_they_are() -> None:
    assert commands('["{}", "{A}", "{1}", "${x y}", "{a"]') == (
        ("{}", "{A}", "{1}", "${x y}", "{a"),
    )


@pytest.mark.parametrize("where", ["word", "parameter"])
def test_a_word_with_a_null_reaches_no_program(where: str) -> None:
    with misuse():
        if where == "word":
            commands('["cp", "a\\u0000b"]')
        else:
            commands('["cp", "{a}"]', 'a = "x\\u0000"')


def test_the_builds_own_values_win_over_nothing_declared() -> None:
    found: Recipe = parsed(changed(('"{from}"', '"{version}-{build-id}"')))
    known = {"version": found.version, "build-id": "abc"}
    assert expanded(found, known, "app.toml") == (("cp", "1.2.3-abc", "app.elf"),)
