"""What an author says of files becomes a manifest that our own codec reads, or is refused."""

from __future__ import annotations

import dataclasses
import hashlib
import os

import cbor2
import pytest

import workshop
from formats import crafted
from formats.refusals import misuse, refused
from fwseal.base import cbor
from fwseal.base.digest import Digest
from fwseal.base.ids import Kid
from fwseal.base.reasons import Reason
from fwseal.base.release import Payload, PayloadFormat, Release, State
from fwseal.base.tables import Table
from fwseal.cose.encryption import ContentAlgorithm, encrypted
from fwseal.cose.recipients import KeyAlgorithm, new_recipient_key
from fwseal.signing.sign import signed
from fwseal.suit import author
from fwseal.suit import envelope as envelopes
from fwseal.suit import manifest as manifests
from fwseal.suit.labels import Command, ManifestKey, Parameter
from fwseal.suit.sequence import Override, Plain, RunSequence, SetIndex, SetParameters, TryEach

IMAGE = b"an image"
TARGET = author.Target(
    vendor_id=workshop.VENDOR.bytes, class_id=workshop.CLASS.bytes, sequence_number=5
)
NAMES = {"payloads": frozenset({"a.bin", "b.bin"}), "encrypted": frozenset({"a.bin"})}


def spec(text: str) -> author.Spec:
    """Answer the `[manifest]` part and dependencies of a recipe's text."""
    table = Table.parse(text, where="r.toml")
    found = author.dependencies(table.tables("dependency", optional=True), 5)
    return author.spec(table.table("manifest"), **NAMES, dependencies=found)


def facts(uri: str = "5/a.bin", **changes: object) -> author.PayloadFacts:
    """Answer what is known of a payload in component 00."""
    made = author.facts_of(IMAGE, component=(b"\0",), uri=uri)
    return dataclasses.replace(made, **changes)


def goods(**files: bytes) -> author.Goods:
    """Answer one payload, and these files by the stem of their names."""
    named = {f"{stem}.bin": data for stem, data in files.items()}
    return author.Goods(payloads={"a.bin": facts()}, files=named)


FETCH = '{ directive-override-parameters = { uri = { payload = "a.bin" } } }, "directive-fetch"'
PLAIN = f'[manifest]\ninstall = [{FETCH}]\nvalidate = ["condition-abort"]'


def install(*steps: str, given: author.Goods | None = None) -> manifests.Manifest:
    """Answer the manifest of an install sequence that fetches, and then does this."""
    text = f"[manifest]\ninstall = [{', '.join((FETCH, *steps))}]"
    return manifests.decode(author.drafted(spec(text), TARGET, given or goods()).manifest)


def test_every_kind_of_command_is_written_as_the_recipe_has_it() -> None:
    manifest = install(
        "{ directive-set-component-index = true }",
        '{ directive-set-parameters = { vendor-identifier = { device = true } } }',
        '{ directive-run-sequence = ["condition-abort"] }',
        '{ directive-try-each = [["condition-abort"], []] }',
        '{ directive-override-parameters = { class-identifier = { device = true }, '
        'image-digest = { payload = "a.bin" }, image-size = { payload = "a.bin" }, '
        'content = { file = "b.bin" } } }',
        given=goods(b=b"content"),
    )  # fmt: skip
    abort = Plain(Command.CONDITION_ABORT, 15)
    assert manifest.components == ((b"\0",),)
    assert manifest.sequences[ManifestKey.INSTALL] == (
        Override({Parameter.URI: "5/a.bin"}),
        Plain(Command.DIRECTIVE_FETCH, 2),
        SetIndex(index=True),
        SetParameters({Parameter.VENDOR_IDENTIFIER: workshop.VENDOR.bytes}),
        RunSequence((abort,)),
        TryEach(((abort,), None)),
        Override(
            {
                Parameter.CLASS_IDENTIFIER: workshop.CLASS.bytes,
                Parameter.IMAGE_DIGEST: Digest.of(IMAGE),
                Parameter.IMAGE_SIZE: len(IMAGE),
                Parameter.CONTENT: b"content",
            }
        ),
    )


def test_what_a_recipe_says_as_it_is_stands_in_the_manifest_as_it_is() -> None:
    manifest = install('{ directive-override-parameters = { image-size = 7, uri = "x" } }')
    assert manifest.sequences[ManifestKey.INSTALL][2:] == (
        Override({Parameter.IMAGE_SIZE: 7, Parameter.URI: "x"}),
    )


def test_a_file_that_a_recipe_names_and_nobody_handed_in_is_misuse() -> None:
    with misuse():
        install('{ directive-override-parameters = { content = { file = "b.bin" } } }')


def test_an_empty_text_is_no_branch_of_try_each() -> None:
    assert install('{ directive-try-each = [["condition-abort"], []] }')
    with misuse():
        install('{ directive-try-each = [["condition-abort"], ""] }')


def test_a_payload_that_is_shipped_and_never_fetched_is_misuse() -> None:
    two = author.Goods(payloads={"a.bin": facts(), "b.bin": facts("5/b.bin")})
    with misuse():
        author.drafted(spec(PLAIN), TARGET, two)


def test_what_our_own_codec_refuses_is_never_signed() -> None:
    other = facts("5/b.bin", component=(b"\1",))
    fetch = FETCH.replace("a.bin", "b.bin")
    two = author.Goods(payloads={"a.bin": facts(), "b.bin": other})
    with refused(Reason.MALFORMED, where="validate"):
        author.drafted(spec(PLAIN.replace(FETCH, f"{FETCH}, {fetch}")), TARGET, two)
    with refused(Reason.WRONG_COMPONENT, where="install[2]"):
        install("{ directive-set-component-index = 1 }")


def test_a_severed_sequence_is_held_to_what_the_manifest_would_be() -> None:
    severed = PLAIN.replace("[manifest]", '[manifest]\nsever = ["install"]')
    broken = severed.replace(FETCH, f"{FETCH}, {{ directive-set-component-index = 1 }}")
    with refused(Reason.WRONG_COMPONENT):
        author.drafted(spec(broken), TARGET, goods())


def test_severed_members_stand_beside_the_manifest_by_the_digest_of_their_wrapped_bytes() -> None:
    text = PLAIN.replace("[manifest]", '[manifest]\nsever = ["install", "text"]')
    text += '\n[manifest.text.en]\nupdate-description = "x"'
    draft = author.drafted(spec(text), TARGET, goods())
    whole = author.drafted(spec(PLAIN), TARGET, goods())
    manifest = manifests.decode(draft.manifest)
    assert manifest.severed() == {
        key: Digest.of(cbor.wrapped(content)) for key, content in draft.severed.items()
    }
    assert len(draft.severed) == 2
    attached = manifest.with_member(ManifestKey.INSTALL, draft.severed[ManifestKey.INSTALL])
    assert attached.sequences == manifests.decode(whole.manifest).sequences
    assert envelopes.decode(draft.envelope().encode()).severed == draft.severed


def test_an_integrated_payload_travels_under_its_own_fragment() -> None:
    given = author.Goods(payloads={"a.bin": facts("#a.bin")}, files={"a.bin": IMAGE})
    draft = author.drafted(spec(PLAIN), TARGET, given)
    assert draft.integrated == {"#a.bin": IMAGE}
    assert envelopes.decode(draft.envelope().encode()).integrated == {"#a.bin": IMAGE}
    with misuse():
        author.drafted(spec(PLAIN), TARGET, dataclasses.replace(given, files={}))


DEPENDENT = (
    '[[dependency]]\nfile = "d.suit"\n{place}\n[manifest]\n{more}\ninstall = [\n'
    "{{ directive-set-component-index = 0 }},\n"
    + FETCH.replace("{", "{{").replace("}", "}}")
    + ",\n{{ directive-set-component-index = {index} }},\n"
    '{{ directive-override-parameters = {{ uri = {{ dependency = "d.suit" }}, '
    'image-digest = {{ dependency = "d.suit" }} }} }}, "directive-fetch"]'
)


def dependent(
    place: str, *, index: int = 1, more: str = "", data: bytes | None = None
) -> manifests.Manifest:
    """Answer a manifest that depends on another."""
    text = DEPENDENT.format(place=place, index=index, more=more)
    if data is None:
        data = envelopes.seal(crafted_manifest()).encode()
    given = author.Goods(payloads={"a.bin": facts()}, files={"d.suit": data})
    return manifests.decode(author.drafted(spec(text), TARGET, given).manifest)


def crafted_manifest() -> bytes:
    """Answer the bytes of some manifest."""
    return cbor.encode(crafted.body())


@pytest.mark.parametrize(
    ("place", "more", "components", "expected"),
    [
        ('component = ["01"]', "", 2, {1: None}),
        ('component = ["01"]\nprefix = ["02"]', "", 2, {1: (b"\2",)}),
        ('prefix = ["02"]', "", 1, {1: (b"\2",)}),
        ('component = ["01"]', 'components = [["00"], ["01"], ["03"]]', 3, {1: None}),
    ],
)
def test_a_dependency_has_the_index_of_its_component_or_one_past_the_list(
    place: str, more: str, components: int, expected: object
) -> None:
    manifest = dependent(place, more=more)
    assert manifest.dependencies == expected
    assert len(manifest.components) == components
    last = [one for one in manifest.steps() if isinstance(one, Override)][-1]
    assert last.parameters == {
        Parameter.URI: "5/d.suit",
        Parameter.IMAGE_DIGEST: Digest.of(cbor.wrapped(crafted_manifest())),
    }


def test_a_dependency_in_a_component_that_is_not_listed_or_taken_is_misuse() -> None:
    with misuse():
        dependent('component = ["01"]', more='components = [["00"], ["02"]]')


def test_two_dependencies_never_share_a_component() -> None:
    data = envelopes.seal(crafted_manifest()).encode()
    given = author.Goods(payloads={"a.bin": facts()}, files={"d.suit": data, "e.suit": data})

    def drafted(other: str) -> manifests.Manifest:
        place = f'component = ["01"]\n[[dependency]]\nfile = "e.suit"\ncomponent = ["{other}"]'
        text = DEPENDENT.format(place=place, index=1, more="").replace(
            '{ dependency = "d.suit" } } }, "directive-fetch"',
            '{ dependency = "d.suit" } } }, "directive-fetch", '
            '{ directive-override-parameters = { uri = { dependency = "e.suit" } } }, '
            '"directive-fetch"',
        )
        return manifests.decode(author.drafted(spec(text), TARGET, given).manifest)

    assert len(drafted("02").dependencies) == 2
    with misuse():
        drafted("01")


def test_a_dependency_that_is_no_envelope_or_not_what_was_signed_is_refused() -> None:
    with refused(Reason.MALFORMED, where="d.suit"):
        dependent('component = ["01"]', data=b"\x00")
    sealed = envelopes.seal(crafted_manifest())
    forged = dataclasses.replace(sealed, manifest=cbor.encode(crafted.body({2: 6})))
    with refused(Reason.DIGEST_MISMATCH, where="d.suit"):
        dependent('component = ["01"]', data=forged.encode())


ENCRYPTED = PLAIN.replace(
    'uri = { payload = "a.bin" }',
    'uri = { payload = "a.bin" }, encryption-info = { payload = "a.bin" }, '
    'image-digest = { payload = "a.bin" }',
)


def test_the_manifest_of_an_encrypted_payload_speaks_of_its_plaintext() -> None:
    key = new_recipient_key(KeyAlgorithm.A128KW, kid=Kid("k"), random=os.urandom)
    info, ciphertext = encrypted(
        IMAGE, algorithm=ContentAlgorithm.A128GCM, recipients=(key,), random=os.urandom
    )
    done, draft = author.released(
        release(),
        spec(ENCRYPTED),
        {"a.bin": IMAGE},
        locked={"a.bin": (info, ciphertext)},
    )
    first = next(
        one for one in manifests.decode(draft.manifest).steps() if isinstance(one, Override)
    )
    assert first.parameters[Parameter.ENCRYPTION_INFO] == info
    assert first.parameters[Parameter.IMAGE_DIGEST] == Digest.of(IMAGE)
    (payload,) = done.payloads
    assert payload.size == len(ciphertext)
    assert payload.sha256 == hashlib.sha256(ciphertext).hexdigest()


def test_an_encrypted_payload_that_nobody_encrypted_is_misuse() -> None:
    with misuse():
        author.drafted(spec(ENCRYPTED), TARGET, goods())


def release(**changes: object) -> Release:
    payload = Payload(
        uri="5/a.bin",
        file="a.bin",
        component="00",
        format=PayloadFormat.RAW,
        unsigned_sha256=hashlib.sha256(IMAGE).hexdigest(),
    )
    made = Release(
        name="demo",
        line="plc",
        version="1.0.0",
        sequence_number=5,
        state=State.BUILT,
        recipe_sha256="00" * 32,
        vendor_id=str(workshop.VENDOR),
        class_id=str(workshop.CLASS),
        payloads=(payload,),
    )
    return dataclasses.replace(made, **changes)


SINGLE = author.Spec(template="single-image")


def test_a_release_has_the_same_manifest_each_time() -> None:
    done, draft = author.released(release(), SINGLE, {"a.bin": IMAGE})
    assert author.released(done, SINGLE, {"a.bin": IMAGE}) == (done, draft)
    manifest = manifests.decode(draft.manifest)
    assert manifest.encode() == draft.manifest
    first = manifest.shared_sequence[0]
    assert isinstance(first, Override)
    assert first.parameters == {
        Parameter.VENDOR_IDENTIFIER: workshop.VENDOR.bytes,
        Parameter.CLASS_IDENTIFIER: workshop.CLASS.bytes,
        Parameter.IMAGE_DIGEST: Digest.of(IMAGE),
        Parameter.IMAGE_SIZE: len(IMAGE),
    }
    (payload,) = done.payloads
    assert payload.sha256 == hashlib.sha256(IMAGE).hexdigest()
    assert payload.sha512 == hashlib.sha512(IMAGE).hexdigest()


def test_a_reference_uri_stands_in_the_manifest() -> None:
    described = dataclasses.replace(SINGLE, reference_uri="https://example.com/m")
    _, draft = author.released(release(), described, {"a.bin": IMAGE})
    assert cbor2.loads(draft.manifest)[4] == "https://example.com/m"


def test_the_manifest_part_of_a_recipe_is_read_key_by_key() -> None:
    assert author.spec(Table({"template": "single-image"}, where="recipe")) == SINGLE
    given = {"template": "single-image", "reference-uri": "https://example.com"}
    assert author.spec(Table(given, where="recipe")).reference_uri == "https://example.com"
    for wrong in ({}, {"template": "two-images"}, {"template": "single-image", "x": 1}):
        with misuse():
            author.spec(Table(wrong, where="recipe"))


def test_a_release_that_ships_a_file_twice_or_nothing_is_misuse() -> None:
    for payloads in ((), 2 * release().payloads):
        with misuse():
            author.released(release(payloads=payloads), SINGLE, {"a.bin": IMAGE})
    with misuse():
        author.released(release(), None, {"a.bin": IMAGE})


def test_a_release_without_payloads_is_misuse_even_where_its_manifest_needs_none() -> None:
    bare = spec('[manifest]\ncomponents = [["00"]]\nvalidate = ["condition-abort"]')
    author.drafted(bare, TARGET, author.Goods(payloads={}))
    with misuse():
        author.released(release(payloads=()), bare, {})


def test_the_template_for_one_image_ships_no_second_one() -> None:
    two = author.Goods(payloads={"a.bin": facts(), "b.bin": facts("5/b.bin")})
    with misuse():
        author.drafted(SINGLE, TARGET, two)


def test_what_was_drafted_is_accepted_once_it_is_signed() -> None:
    key = workshop.signer()
    text = PLAIN.replace("[manifest]", '[manifest]\nsever = ["install"]')
    envelope = signed(author.drafted(spec(text), TARGET, goods()).envelope(), key).encode()
    found = crafted.accept(envelope, key)
    assert isinstance(found.manifest.sequences[ManifestKey.INSTALL], tuple)
