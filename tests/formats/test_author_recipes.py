"""A recipe says each value's encoding; what it leaves open is misuse, at its place."""

from __future__ import annotations

import pytest

from fwseal.base.digest import Digest, DigestAlgorithm
from fwseal.base.errors import Misuse, Refused
from fwseal.base.reasons import Reason
from fwseal.base.tables import Table
from fwseal.suit import author
from fwseal.suit.labels import Command, ManifestKey, Parameter, TextComponentKey, TextKey
from fwseal.suit.recipe_steps import Assign, Nest
from fwseal.suit.recipe_values import From, Origin
from fwseal.suit.sequence import Plain, SetIndex

NAMES = {"payloads": frozenset({"a.bin", "b.bin"}), "encrypted": frozenset({"b.bin"})}


def spec(text: str) -> author.Spec:
    """Answer the `[manifest]` part and dependencies of a recipe's text."""
    table = Table.parse(text, where="r.toml")
    found = author.dependencies(table.tables("dependency", optional=True), 7)
    return author.spec(table.table("manifest"), **NAMES, dependencies=found)


def install(*steps: str, head: str = "") -> author.Spec:
    """Answer what a recipe with this install sequence says."""
    return spec(f"{head}\n[manifest]\ninstall = [{', '.join(steps)}]")


def value(parameter: str, text: str) -> object:
    """Answer what a recipe says of one parameter."""
    dependency = '[[dependency]]\nfile = "d.suit"\ncomponent = ["01"]\n'
    found = install(
        f"{{ directive-override-parameters = {{ {parameter} = {text} }} }}", head=dependency
    )
    (step,) = found.sequences[ManifestKey.INSTALL]
    assert isinstance(step, Assign)
    (only,) = step.parameters.values()
    return only


@pytest.mark.parametrize(
    ("parameter", "text", "expected"),
    [
        ("vendor-identifier", "{ device = true }", From(Origin.DEVICE, "")),
        (
            "class-identifier",
            '{ uuid = "1492af14-2569-5e48-bf42-9b2d51f2ab45" }',
            bytes.fromhex("1492af1425695e48bf429b2d51f2ab45"),
        ),
        (
            "device-identifier",
            '{ uuid = "1492af14-2569-5e48-bf42-9b2d51f2ab45" }',
            bytes.fromhex("1492af1425695e48bf429b2d51f2ab45"),
        ),
        (
            "image-digest",
            f'{{ sha-256 = "{"0a" * 32}" }}',
            Digest(algorithm=DigestAlgorithm.SHA256, value=b"\n" * 32),
        ),
        (
            "image-digest",
            f'{{ sha-384 = "{"0a" * 48}" }}',
            Digest(algorithm=DigestAlgorithm.SHA384, value=b"\n" * 48),
        ),
        (
            "image-digest",
            f'{{ sha-512 = "{"0a" * 64}" }}',
            Digest(algorithm=DigestAlgorithm.SHA512, value=b"\n" * 64),
        ),
        ("image-digest", '{ payload = "a.bin" }', From(Origin.PAYLOAD, "a.bin")),
        ("image-digest", '{ dependency = "d.suit" }', From(Origin.DEPENDENCY, "d.suit")),
        ("image-size", "9", 9),
        ("image-size", '{ payload = "a.bin" }', From(Origin.PAYLOAD, "a.bin")),
        ("component-slot", "1", 1),
        ("source-component", "0", 0),
        ("strict-order", "false", False),
        ("soft-failure", "true", True),
        ("content", '{ hex = "00ff" }', b"\x00\xff"),
        ("content", '{ text = "00ff" }', b"00ff"),
        ("invoke-args", '{ file = "args.bin" }', From(Origin.FILE, "args.bin")),
        ("fetch-arguments", '{ text = "" }', b""),
        ("encryption-info", '{ payload = "b.bin" }', From(Origin.PAYLOAD, "b.bin")),
        ("uri", '"https://example.com/a"', "https://example.com/a"),
        ("uri", '{ payload = "a.bin" }', From(Origin.PAYLOAD, "a.bin")),
        ("uri", '{ dependency = "d.suit" }', From(Origin.DEPENDENCY, "d.suit")),
    ],
)
def test_a_value_names_its_own_encoding(parameter: str, text: str, expected: object) -> None:
    found = value(parameter, text)
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize(
    ("number", "octets"), [(0, "00"), (127, "7f"), (128, "8100"), (4128, "a020")]
)
def test_a_private_enterprise_number_is_an_arc_in_base_128(number: int, octets: str) -> None:
    found = value("vendor-identifier", f"{{ pen = {number} }}")
    assert (found.tag, found.value) == (112, bytes.fromhex(octets))


IN_PARAMETERS = "r.toml: manifest: install[0]: directive-override-parameters"


@pytest.mark.parametrize(
    ("parameter", "text", "place"),
    [
        ("vendor-identifier", '"fa6b4a53"', ": vendor-identifier must be a table"),
        ("vendor-identifier", "{}", ": vendor-identifier: "),
        ("vendor-identifier", "{ device = false }", ": vendor-identifier: "),
        ("vendor-identifier", "{ device = 1 }", ": vendor-identifier: "),
        ("vendor-identifier", '{ hex = "00" }', ": vendor-identifier: "),
        ("vendor-identifier", "{ pen = -1 }", ": vendor-identifier: "),
        ("class-identifier", "{ pen = 1 }", ": class-identifier: "),
        ("class-identifier", '{ uuid = "x" }', ": class-identifier: "),
        ("class-identifier", f'{{ uuid = "{"0" * 32}" }}', ": class-identifier: "),
        ("class-identifier", '{ device = true, uuid = "x" }', ": class-identifier: "),
        ("device-identifier", "{ device = true }", ": device-identifier: "),
        ("image-digest", f'"{"00" * 32}"', ": image-digest must be a table"),
        ("image-digest", '{ sha-256 = "00" }', ": image-digest: "),
        ("image-digest", f'{{ sha-256 = "{"zz" * 32}" }}', ": image-digest: "),
        ("image-digest", f'{{ sha-1 = "{"00" * 20}" }}', ": image-digest: "),
        ("image-digest", '{ payload = "c.bin" }', ": image-digest: "),
        ("image-digest", '{ dependency = "a.bin" }', ": image-digest: "),
        ("image-size", '"9"', ": image-size must be"),
        ("image-size", "-1", ": image-size must be"),
        ("image-size", '{ hex = "00" }', ": image-size: "),
        ("component-slot", "true", ": component-slot must be"),
        ("source-component", "{ payload = 1 }", ": source-component must be"),
        ("strict-order", "1", ": strict-order must be"),
        ("content", '"00ff"', ": content must be a table"),
        ("content", '{ hex = "0" }', ": content: hex"),
        ("content", '{ base64 = "AA" }', ": content: "),
        ("content", "{ text = 1 }", ": content: "),
        ("encryption-info", '{ payload = "a.bin" }', ": encryption-info: "),
        ("encryption-info", '{ hex = "00" }', ": encryption-info: "),
        ("uri", "1", ": uri must be"),
        ("uri", '{ text = "x" }', ": uri: "),
        ("digest", "1", ": parameter 'digest'"),
        ("suit-parameter-uri", '"x"', ": parameter 'suit-parameter-uri'"),
    ],
)
def test_another_form_is_misuse_at_its_place(parameter: str, text: str, place: str) -> None:
    with pytest.raises(Misuse) as caught:
        value(parameter, text)
    assert caught.value.message.startswith(f"{IN_PARAMETERS}{place}"), caught.value.message


def test_a_file_named_by_a_path_is_misuse() -> None:
    with pytest.raises(Misuse):
        value("content", '{ file = "../secret" }')


@pytest.mark.parametrize(
    "name",
    [
        "use-before", "minimum-battery", "update-priority", "version", "wait-info",
        "component-metadata",
    ],
)  # fmt: skip
def test_a_parameter_of_the_drafts_that_is_not_processed_is_refused_by_name(name: str) -> None:
    with pytest.raises(Refused) as caught:
        value(name, "1")
    assert caught.value.reason is Reason.UNSUPPORTED
    assert caught.value.where == "install[0]"
    assert name in caught.value.message


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        ('"condition-image-match"', Plain(Command.CONDITION_IMAGE_MATCH, 15)),
        ('"directive-fetch"', Plain(Command.DIRECTIVE_FETCH, 2)),
        ("{ directive-fetch = [] }", Plain(Command.DIRECTIVE_FETCH, 0)),
        (
            '{ condition-abort = ["send-sysinfo-failure", "send-record-on-success"] }',
            Plain(Command.CONDITION_ABORT, 9),
        ),
        ("{ directive-set-component-index = 0 }", SetIndex(0)),
        ("{ directive-set-component-index = true }", SetIndex(index=True)),
        ("{ directive-set-component-index = [0, 1] }", SetIndex((0, 1))),
        (
            "{ directive-set-parameters = { strict-order = true } }",
            Assign(Command.DIRECTIVE_SET_PARAMETERS, {Parameter.STRICT_ORDER: True}),
        ),
        (
            '{ directive-run-sequence = ["condition-abort"] }',
            Nest(Command.DIRECTIVE_RUN_SEQUENCE, ((Plain(Command.CONDITION_ABORT, 15),),)),
        ),
        (
            '{ directive-try-each = [["condition-abort"], []] }',
            Nest(Command.DIRECTIVE_TRY_EACH, ((Plain(Command.CONDITION_ABORT, 15),), None)),
        ),
    ],
)
def test_a_command_is_its_name_or_its_name_and_argument(step: str, expected: object) -> None:
    assert install(step).sequences == {ManifestKey.INSTALL: (expected,)}


@pytest.mark.parametrize(
    ("step", "place"),
    [
        ('"fetch"', "install[0]: "),
        ('"suit-directive-fetch"', "install[0]: "),
        ("21", "install[0]"),
        ("[]", "install[0]"),
        ("{}", "install[0]"),
        ("{ directive-fetch = [], directive-copy = [] }", "install[0]"),
        ("{ directive-fetch = 2 }", "install[0]: "),
        ('{ directive-fetch = ["everything"] }', "install[0]: "),
        (
            '{ directive-fetch = ["send-record-on-failure", "send-record-on-failure"] }',
            "install[0]: ",
        ),
        ("{ directive-set-component-index = -1 }", "install[0]: "),
        ("{ directive-set-component-index = false }", "install[0]: "),
        ("{ directive-set-component-index = [] }", "install[0]: "),
        ("{ directive-set-component-index = [true] }", "install[0]: "),
        ("{ directive-set-component-index = [-1] }", "install[0]: "),
        ('{ directive-set-component-index = "0" }', "install[0]: "),
        ('"directive-set-component-index"', "install[0]: "),
        ('"directive-try-each"', "install[0]: "),
        ("{ directive-override-parameters = {} }", "install[0]: directive-override-parameters: "),
        ("{ directive-run-sequence = [] }", "install[0]: "),
        ('{ directive-run-sequence = ["x"] }', "install[0]: directive-run-sequence[0]: "),
        ('{ directive-try-each = [["condition-abort"]] }', "install[0]: "),
        ('{ directive-try-each = [[], ["condition-abort"]] }', "install[0]: "),
        ('{ directive-try-each = ["condition-abort", []] }', "install[0]: "),
        (
            '{ directive-try-each = [["condition-abort"], ["condition-abort", "x"]] }',
            "install[0]: directive-try-each[1][1]: ",
        ),
    ],
)
def test_any_other_command_is_misuse_at_its_place(step: str, place: str) -> None:
    with pytest.raises(Misuse) as caught:
        install(step)
    assert caught.value.message.startswith(f"r.toml: manifest: {place}"), caught.value.message


@pytest.mark.parametrize(
    "name",
    [
        "condition-use-before", "condition-image-not-match", "condition-minimum-battery",
        "condition-update-authorized", "condition-version", "directive-wait", "directive-unlink",
        "directive-override-multiple", "directive-copy-params",
    ],
)  # fmt: skip
def test_a_command_of_the_drafts_that_is_not_processed_is_refused_by_name(name: str) -> None:
    for step, where in (
        (f'"{name}"', "install[0]"),
        (f'{{ directive-run-sequence = ["{name}"] }}', "install[0]/directive-run-sequence[0]"),
    ):
        with pytest.raises(Refused) as caught:
            install(step)
        assert caught.value.reason is Reason.UNSUPPORTED
        assert caught.value.where == where
        assert name in caught.value.message


@pytest.mark.parametrize("name", ["set-version", "coswid", "uninstall"])
def test_a_member_of_the_drafts_that_is_not_written_is_refused_by_name(name: str) -> None:
    with pytest.raises(Refused) as caught:
        spec(f'[manifest]\ninstall = ["directive-fetch"]\n{name} = ["directive-fetch"]')
    assert caught.value.reason is Reason.UNSUPPORTED
    assert name in caught.value.message


WHOLE = """
[[dependency]]
file = "d.suit"
component = ["01", "ff"]
integrated = true
prefix = ["02"]

[[dependency]]
file = "e.suit"
prefix = ["03"]

[manifest]
reference-uri = "https://example.com"
component-id = ["00", "01"]
components = [["00"], ["01", "ff"]]
sever = ["text", "install"]
shared-sequence = ["condition-vendor-identifier"]
validate = ["condition-image-match"]
install = ["directive-fetch"]

[manifest.text.en]
manifest-description = "what"
[[manifest.text.en.components]]
component = ["00"]
vendor-name = "who"

[manifest.text.de-AT]
[[manifest.text.de-AT.components]]
component = ["00"]
"""


def test_a_manifest_part_says_what_it_says() -> None:
    found = spec(WHOLE)
    assert found.template == ""
    assert found.reference_uri == "https://example.com"
    assert found.component_id == (b"\0", b"\1")
    assert found.components == ((b"\0",), (b"\1", b"\xff"))
    assert set(found.sever) == {ManifestKey.TEXT, ManifestKey.INSTALL}
    assert found.shared_sequence == (Plain(Command.CONDITION_VENDOR_IDENTIFIER, 15),)
    assert set(found.sequences) == {ManifestKey.VALIDATE, ManifestKey.INSTALL}
    one, other = found.dependencies
    assert (one.uri, one.component, one.prefix) == ("#d.suit", (b"\1", b"\xff"), (b"\2",))
    assert (other.uri, other.component, other.prefix) == ("7/e.suit", None, (b"\3",))
    assert found.text
    assert found.text.languages["en"].manifest == {TextKey.MANIFEST_DESCRIPTION: "what"}
    said = found.text.languages["en"].components[b"\0",]
    assert said == {TextComponentKey.VENDOR_NAME: "who"}
    assert found.files() == frozenset()


def test_the_template_may_be_severed_and_explained() -> None:
    found = spec(
        '[manifest]\ntemplate = "single-image"\nsever = ["install"]\n'
        '[manifest.text.en]\nupdate-description = "x"'
    )
    assert found.sever == (ManifestKey.INSTALL,)
    assert found.text


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('file = "d.suit"', 'file = "../d.suit"'),
        ('file = "d.suit"', "x = 1\nfile = 'd.suit'"),
        ('file = "e.suit"\nprefix = ["03"]', 'file = "e.suit"'),
        ("integrated = true", 'integrated = true\nuri = "x"'),
        ("integrated = true", "integrated = 1"),
        ("integrated = true", 'integrated = true\nuri = "#"'),
        ("integrated = true", 'uri = "#d"'),
        ("integrated = true", 'uri = ""'),
        ('component = ["01", "ff"]', "component = []"),
        ('component = ["01", "ff"]', 'component = ["0"]'),
        ('prefix = ["02"]', 'prefix = "02"'),
        ("reference-uri =", "reference-url ="),
        ('"https://example.com"', "1"),
        ('component-id = ["00", "01"]', "component-id = []"),
        ('components = [["00"], ["01", "ff"]]', 'components = ["00"]'),
        ('components = [["00"], ["01", "ff"]]', "components = [[]]"),
        ('sever = ["text", "install"]', 'sever = ["text", "text"]'),
        ('sever = ["text", "install"]', 'sever = ["validate"]'),
        ('sever = ["text", "install"]', 'sever = ["payload-fetch"]'),
        ('sever = ["text", "install"]', 'sever = ["everything"]'),
        ('sever = ["text", "install"]', 'sever = "text"'),
        ("[manifest]", '[manifest]\ntemplate = "single-image"'),
        ("[manifest]", '[manifest]\ntemplate = "other"'),
        ("[manifest]", "[manifest]\nversion = 1"),
        ("[manifest]", "[manifest]\nload = []"),
        ("[manifest]", '[manifest]\nload = "directive-fetch"'),
        ("shared-sequence = [", "shared = ["),
        ('manifest-description = "what"', "manifest-description = 1"),
        ('manifest-description = "what"', 'description = "what"'),
        ('vendor-name = "who"', 'vendor = "who"'),
        ('vendor-name = "who"', "[[manifest.text.en.components]]\ncomponent = ['00']"),
        ("[manifest.text.de-AT]\n", "[manifest.text.fr]\n[manifest.text.de-AT]\n"),
    ],
)
def test_whatever_else_a_manifest_part_says_is_misuse(old: str, new: str) -> None:
    assert old in WHOLE
    with pytest.raises(Misuse):
        spec(WHOLE.replace(old, new, 1))


@pytest.mark.parametrize(
    "text",
    [
        "[manifest]",
        '[manifest]\nreference-uri = "x"',
        '[manifest]\ntemplate = "single-image"\ninstall = ["directive-fetch"]',
        '[manifest]\ntemplate = "single-image"\nshared-sequence = ["condition-abort"]',
        '[manifest]\ntemplate = "single-image"\ncomponents = [["00"]]',
        '[manifest]\ntemplate = "single-image"\nsever = ["text"]',
        '[manifest]\ntemplate = "single-image"\nsever = ["payload-fetch"]',
        '[manifest]\ntemplate = "single-image"\n[manifest.text]',
        '[[dependency]]\nfile = "d"\nprefix = ["00"]\n[manifest]\ntemplate = "single-image"',
    ],
)
def test_a_manifest_part_without_sequences_or_with_two_kinds_is_misuse(text: str) -> None:
    with pytest.raises(Misuse):
        spec(text)


def test_files_whose_bytes_stand_in_the_manifest_are_found_at_any_depth() -> None:
    write = '{{ directive-override-parameters = {{ content = {{ file = "{}" }}, uri = "x" }} }}'
    nested = f"{{ directive-try-each = [[{write.format('two')}], []] }}"
    found = install(write.format("one"), nested, '"directive-write"')
    assert found.files() == {"one", "two"}


def test_a_template_without_commands_of_its_own_names_no_files() -> None:
    assert author.Spec(template="single-image").files() == frozenset()
