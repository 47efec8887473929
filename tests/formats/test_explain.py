"""An envelope in words: every command, parameter and byte, and no word of the sender's own."""

from __future__ import annotations

import contextlib
import hashlib
import re
from typing import TYPE_CHECKING

import cbor2
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import workshop
from formats import crafted, strategies
from formats.crafted import DIGEST, IMAGE, UUID5, body, common, sequence
from formats.refusals import reason_of, refused
from fwseal.base import cbor
from fwseal.base.errors import Refused
from fwseal.base.ids import Kid
from fwseal.base.reasons import Reason
from fwseal.cose import encryption
from fwseal.cose.algorithms import Algorithm
from fwseal.cose.keys import MacKey
from fwseal.suit import diagnostic, words
from fwseal.suit import envelope as envelopes
from fwseal.suit.authenticate import Anchor
from fwseal.suit.explain import Trust, account, explain, judge
from fwseal.suit.labels import Command, Parameter, TextComponentKey, TextKey, spelled
from fwseal.suit.limits import Limits
from fwseal.suit.sequence import PARAMETERS, POLICY_COMMANDS
from needs import need_module

if TYPE_CHECKING:
    from pathlib import Path

    from fwseal.signing.softkey import SoftKey
    from fwseal.suit.manifest import Manifest

CLOSING = re.compile(
    r"(\d+) bytes: (\d+) of authentication, (\d+) of manifest, (\d+) severed, "
    r"(\d+) integrated, (\d+) of heads"
)
EVIL = "\x1b[2Jtrusted\nsignature 0 verified\u202e"
TWO = common(components=((b"\0",), (b"\1", b"\2")))


@pytest.fixture(scope="module")
def key() -> SoftKey:
    return workshop.signer()


def said(data: bytes, trust: Trust | None = None, limits: Limits | None = None) -> str:
    """Answer the explanation of a file, after checks that hold for any."""
    text = explain(envelopes.decode(data), trust=trust, limits=limits or Limits())
    lines = text.split("\n")
    assert all(line.isprintable() for line in lines)
    found = CLOSING.fullmatch(lines[-1])
    assert found
    total, *parts = map(int, found.groups())
    assert total == sum(parts) == len(data)
    return text


def trust(*anchors: Anchor, threshold: int = 1, dependency_threshold: int = 1) -> Trust:
    return Trust(anchors=anchors, threshold=threshold, dependency_threshold=dependency_threshold)


def alone(*items: cbor.Value) -> str:
    """Answer how a sequence over two components is explained."""
    changes: crafted.Body = {3: TWO, 7: sequence(12, 0, 3, 15), 20: sequence(12, 1, *items)}
    return said(crafted.envelope(cbor.encode(body(changes))))


def everything(key: SoftKey) -> bytes:
    """Answer an envelope that holds whatever an envelope of ours may."""
    info, _ = encryption.encrypted(
        IMAGE,
        algorithm=encryption.ContentAlgorithm.A128GCM,
        recipients=(encryption.Kek(kid=Kid("kek-1"), secret=bytes(16)),) * 2,
        random=bytes,
    )
    text = cbor.encode({"en": {1: "Fix", (b"\0",): {1: "Acme \xfc", 2: EVIL}}})
    steps = sequence(
        12, True, 12, (0, 1), 20, {1: cbor2.CBORTag(112, b"\1"), 2: UUID5, 12: True, 18: b"\xaa"},
        15, (sequence(3, 15), sequence(20, {13: False}, 14, 2), None), 32, sequence(14, 0),
        19, {3: DIGEST, 14: 4096, 21: "#image", 19: info.encode(), 22: 0, 5: 1, 23: bytes(65)},
    )  # fmt: skip
    manifest = cbor.encode({
        1: 1, 2: 5,
        3: common(components=((b"\0",), (b"\1", b"\2")), dependencies={1: {}, 7: {1: (b"dep",)}},
                  shared=sequence(12, 0, 1, 15)),
        4: "https://example.com", 5: (b"\3", b""), 7: sequence(12, 7, 3, 15), 8: steps,
        16: crafted.digest_of(b"away"), 20: crafted.digest_of(steps), 23: crafted.digest_of(text),
    })  # fmt: skip
    inner = crafted.signed(key, cbor.encode(crafted.told()), extra={"#image": IMAGE})
    extra = {20: steps, 23: text, "#image": IMAGE, "#dep": inner}
    return crafted.signed(key, manifest, extra=extra)


def test_every_part_of_an_envelope_is_explained(key: SoftKey) -> None:
    text = said(everything(key))
    for part in (
        "manifest digest   sha256, which the manifest fits",
        "COSE_Sign1 ESP256, kid 'release', signature of 64 bytes",
        "  shown, not verified",
        "sequence number   5",
        "component 1       01/02",
        "dependency 1      its manifest in component 1 (01/02), no prefix",
        "dependency 7      its manifest elsewhere, prefix 646570",
        "component-id      03/'', where this is kept",
        "reference-uri     'https://example.com'",
        "shared-sequence:\n  [0] directive-set-component-index: component 0 (00)",
        "condition-vendor-identifier: must be the device's; policy 15",
        "load:",
        "directive-set-component-index: all components in turn",
        "directive-set-component-index: component 0 (00), then component 1\n",
        "directive-set-component-index: dependency 7 (646570)",
        "vendor-identifier = private enterprise number, 1 byte, h'01'",
        str(workshop.VENDOR),
        "content = 1 byte, h'aa'",
        "strict-order = true",
        "  [3] directive-try-each, until one succeeds:\n      try 0:\n        [0] condition-image",
        "      try 1:\n        [0] directive-override-parameters:\n            soft-failure = f",
        "      try 2: nothing, which succeeds",
        "directive-run-sequence:\n      [0] condition-abort: fail, always; policy 0",
        "directive-set-parameters, each where it is not set:",
        "image-size = 4096 bytes (4.0 KiB)",
        "uri = '#image'",
        "encryption-info = COSE_Encrypt, A128GCM, for 2 recipients",
        "  recipient 1: A128KW, kid 'kek-1'",
        "source-component = component 0 (00)",
        "component-slot = 1",
        f"invoke-args =\n        65 bytes, sha256 {hashlib.sha256(bytes(65)).hexdigest()}",
        "payload-fetch: severed, not here; its digest is sha256",
        "bytes, which fits its sha256",
        "text: severed, attached, ",
        "  in en:\n    manifest-description = 'Fix'\n    of 00:\n      vendor-name = 'Acme \xfc'",
        r"model-name = '\x1b[2Jtrusted\nsignature 0 verified\u202e'",
        "integrated payload '#image': 8 bytes",
        f"  it is\n    sha256 {hashlib.sha256(IMAGE).hexdigest()}",
        "integrated envelope '#dep': ",
        "  SUIT envelope of ",
        "  install, on component 0 (00):",
        "  integrated payload '#image': 8 bytes",
    ):
        assert part in text, part
    assert text.count("directive-run-sequence:") == 2  # load, and install behind its digest
    long = [line for line in text.split("\n") if len(line) > 80]
    assert all("sha256" in line or line.endswith(" of heads") for line in long)


@pytest.mark.parametrize("command", sorted(POLICY_COMMANDS))
def test_every_command_has_a_sentence(command: Command) -> None:
    member = 9 if command is Command.DIRECTIVE_INVOKE else 20
    manifest = cbor.encode(body({member: sequence(int(command), 3)}))
    line = f"{spelled(command)}: {words.SENTENCES[command]}; policy 3"
    assert line in said(crafted.envelope(manifest))
    assert words.SENTENCES.keys() == POLICY_COMMANDS


VALUES: dict[Parameter, tuple[cbor.Value, str]] = {
    Parameter.VENDOR_IDENTIFIER: (UUID5, " " + str(workshop.VENDOR)),
    Parameter.CLASS_IDENTIFIER: (UUID5, " " + str(workshop.VENDOR)),
    Parameter.DEVICE_IDENTIFIER: (UUID5, " " + str(workshop.VENDOR)),
    Parameter.IMAGE_DIGEST: (DIGEST, f"\n            sha256 {bytes(32).hex()}"),
    Parameter.IMAGE_SIZE: (1, " 1 byte"),
    Parameter.COMPONENT_SLOT: (3, " 3"),
    Parameter.SOURCE_COMPONENT: (0, " component 0 (00)"),
    Parameter.STRICT_ORDER: (False, " false"),
    Parameter.SOFT_FAILURE: (True, " true"),
    Parameter.CONTENT: (b"", " 0 bytes, h''"),
    Parameter.ENCRYPTION_INFO: (
        encryption.encrypted(
            IMAGE,
            algorithm=encryption.ContentAlgorithm.A256CTR,
            recipients=(encryption.Kek(kid=None, secret=bytes(32)),),
            random=bytes,
        )[0].encode(),
        " COSE_Encrypt, A256CTR, for 1 recipient\n            recipient 0: A256KW, no kid",
    ),
    Parameter.INVOKE_ARGS: (b"\n", " 1 byte, h'0a'"),
    Parameter.FETCH_ARGUMENTS: (bytes(64), f"\n            64 bytes, h'{bytes(64).hex()}'"),
    Parameter.URI: ("\u0430\n'", r''' "\u0430\n'"'''),
}


@pytest.mark.parametrize("parameter", list(PARAMETERS))
def test_every_parameter_has_a_readable_value(parameter: Parameter) -> None:
    value, shown = VALUES[parameter]
    text = alone(32, sequence(20, {int(parameter): value}, 14, 0))
    assert f"\n          {spelled(parameter)} ={shown}\n" in text


@pytest.mark.parametrize(
    ("count", "shown"),
    [
        (0, "0 bytes"), (1, "1 byte"), (1023, "1023 bytes"), (1024, "1024 bytes (1.0 KiB)"),
        (34768, "34768 bytes (34.0 KiB)"), (1 << 20, "1048576 bytes (1.0 MiB)"),
        (2**64 - 1, f"{2**64 - 1} bytes (16.0 EiB)"),
    ],
)  # fmt: skip
def test_a_size_has_its_unit(count: int, shown: str) -> None:
    assert words.size(count) == shown


def test_every_text_element_is_typed_and_quoted() -> None:
    component = {int(label): f"c{label}" for label in TextComponentKey}
    language = {**{int(label): f"m{label}" for label in TextKey}, (b"\0",): component}
    text = cbor.encode(body({23: cbor.encode({"en": language, "de": {1: "x" * 100}})}))
    shown = said(crafted.envelope(text))
    for label in TextKey:
        assert f"    {spelled(label)} = 'm{int(label)}'\n" in shown
    for key in TextComponentKey:
        assert f"      {spelled(key)} = 'c{int(key)}'\n" in shown
    assert f"  in de:\n    manifest-description =\n      '{'x' * 100}'\n" in shown


def test_what_nobody_signed_is_said_to_be_unsigned(key: SoftKey) -> None:
    data = crafted.envelope(cbor.encode(body()))
    assert "signature         none" in said(data)
    shown = said(data, trust(workshop.anchor(key)))
    assert "authentication    REFUSED, unsigned" in shown


def test_a_block_that_cannot_be_read_is_said_and_the_rest_is_shown(key: SoftKey) -> None:
    manifest = cbor.encode(body())
    good = crafted.covered(manifest)
    nameless = crafted.block(key, good, unprotected={})
    chained = crafted.block(key, good, unprotected={33: (b"a", b"b")})
    blocks = (crafted.block(key, good, tag=98), nameless, b"\xff", chained)
    text = said(crafted.envelope(manifest, *blocks))
    assert f"cannot be read\n  REFUSED, {Reason.UNSUPPORTED.value}: " in text
    assert f"cannot be read\n  REFUSED, {Reason.MALFORMED.value}: " in text
    assert "COSE_Sign1 ESP256, no kid, signature of 64 bytes" in text
    chain = "COSE_Sign1 ESP256, no kid, x5chain of 2 certificates, signature of 64 bytes"
    assert chain in " ".join(text.split())


def test_a_digest_of_another_manifest_is_said(key: SoftKey) -> None:
    manifest, other = cbor.encode(body()), cbor.encode((-16, bytes(32)))
    data = crafted.envelope(manifest, crafted.block(key, other), digest=other)
    assert "sha256, which the manifest does NOT fit" in said(data)
    shown = said(data, trust(workshop.anchor(key)))
    assert "authentication    REFUSED, digest-mismatch" in shown


def test_a_severed_member_that_is_not_the_one_is_not_read(key: SoftKey) -> None:
    manifest = cbor.encode(body({20: crafted.digest_of(sequence(3, 15))}))
    data = crafted.signed(key, manifest, extra={20: sequence(14, 15), 16: b"", 14: b"tag"})
    shown = said(data)
    assert "install: severed, attached, 3 bytes, which does NOT fit its sha256" in shown
    assert "condition-abort" not in shown
    assert "payload-fetch: attached, and named by no digest" in shown
    assert "coswid: attached, and named by no digest" in shown


def test_a_severed_member_that_fits_and_cannot_be_read_is_refused(key: SoftKey) -> None:
    manifest = cbor.encode(body({20: crafted.digest_of(b"\x80")}))
    data = crafted.signed(key, manifest, extra={20: b"\x80"})
    with refused(Reason.MALFORMED):
        said(data)
    assert said(crafted.signed(key, manifest))


def test_a_manifest_that_cannot_be_read_is_refused() -> None:
    for manifest, reason in ((b"\xff", Reason.MALFORMED), (b"\xa0", Reason.MALFORMED),
                             (cbor.encode(body({99: b""})), Reason.UNSUPPORTED)):  # fmt: skip
        with refused(reason):
            said(crafted.envelope(manifest))


def test_a_device_tells_who_signed_and_what_they_may_write(key: SoftKey) -> None:
    manifest = cbor.encode(body({3: TWO, 7: sequence(12, 0, 3, 15)}))
    data = crafted.signed(key, manifest)
    shown = said(data, trust(workshop.anchor(key)))
    assert "  verified by anchor 'release', of role release\n  has a right to any compo" in shown
    assert "authentication    threshold met: 1 of 1 needed signed" in shown
    assert "not verified" not in shown
    limited = workshop.anchor(key, "release", "boot")
    narrow = Anchor(
        kid=limited.kid, key=limited.key, algorithms=limited.algorithms, roles=limited.roles,
        components=((b"\1",),),
    )  # fmt: skip
    shown = said(data, trust(narrow))
    assert "of role boot, release\n  has a right to 01, NOT to component 0 (00)\n" in shown


def test_a_device_tells_of_each_signature_why_it_is_refused(key: SoftKey) -> None:
    stranger, other = workshop.signer("stranger"), workshop.signer("other")
    manifest = cbor.encode(body())
    good = crafted.covered(manifest)
    blocks = (
        crafted.block(key, good),
        crafted.block(stranger, good),
        crafted.block(key, b"another"),
        crafted.block(other, good),
    )
    data = crafted.envelope(manifest, *blocks)
    trusted = trust(workshop.anchor(key), workshop.anchor(other, "boot"))
    made = judge(envelopes.decode(data), trust=trusted)
    assert [one.refusal and one.refusal.reason for one in made] == [
        None, Reason.UNKNOWN_SIGNER, Reason.BAD_SIGNATURE, Reason.SIGNER_NOT_AUTHORIZED,
    ]  # fmt: skip
    assert made[0].anchor is trusted.anchors[0]
    shown = said(data, trusted)
    for reason in ("unknown-signer", "bad-signature", "signer-not-authorized"):
        assert f"  REFUSED, {reason}: " in shown
    assert "authentication    REFUSED, unknown-signer: every signature must verify" in shown


def test_a_threshold_counts_keys_and_not_names(key: SoftKey) -> None:
    second = workshop.signer("second")
    manifest = cbor.encode(body())
    good = crafted.covered(manifest)
    anchors = (
        workshop.anchor(key), workshop.anchor(key, kid="alias"), workshop.anchor(second),
    )  # fmt: skip
    alias = crafted.block(key, good, unprotected={4: b"alias"})
    twice = crafted.envelope(manifest, crafted.block(key, good), alias)
    shown = said(twice, trust(*anchors, threshold=2))
    assert "authentication    REFUSED, threshold-not-met: 1 of 2 needed signed" in shown
    both = crafted.envelope(manifest, crafted.block(key, good), crafted.block(second, good))
    assert "threshold met: 2 of 2 needed signed" in said(both, trust(*anchors, threshold=2))


def test_a_mac_is_called_one_and_judged_as_signatures_are() -> None:
    secret = MacKey(secret=bytes(range(32)))
    manifest = cbor.encode(body())
    good, protected = crafted.covered(manifest), cbor.encode({1: 5})
    tag = secret.tag(cbor.encode(("MAC0", protected, b"", good)))
    block = cbor.encode(cbor2.CBORTag(17, (protected, {4: b"shared"}, None, tag)))
    anchor = Anchor(
        kid=Kid("shared"), key=secret, algorithms=frozenset({Algorithm.HMAC_256}),
        roles=frozenset({"release"}),
    )  # fmt: skip
    shown = said(crafted.envelope(manifest, block), trust(anchor))
    assert "COSE_Mac0 HMAC 256/256, kid 'shared', MAC of 32 bytes\n  verified by" in shown


def nest(key: SoftKey, times: int) -> bytes:
    data = crafted.signed(key, cbor.encode(body()))
    for _ in range(times):
        data = crafted.signed(key, cbor.encode(body()), extra={"#dep": data})
    return data


def test_a_dependency_is_judged_by_the_roles_and_threshold_of_dependencies(key: SoftKey) -> None:
    below = workshop.anchor(key, "dependency")
    shown = said(nest(key, 1), trust(below, dependency_threshold=2))
    assert "\n  REFUSED, signer-not-authorized: " in shown
    assert "\n    verified by anchor 'release', of role dependency" in shown
    assert "  authentication    REFUSED, threshold-not-met: 1 of 2 needed signed" in shown


def test_envelopes_inside_each_other_are_explained_to_a_bounded_depth(key: SoftKey) -> None:
    shown = said(nest(key, 5))
    assert shown.count("SUIT envelope of ") == 4
    assert shown.count("an envelope, too deep inside others to be explained") == 1
    shown = said(nest(key, 1), limits=Limits(dependency_depth=0))
    assert "integrated payload '#dep'" in shown


@pytest.mark.parametrize("content", [b"\xd8\x6b", b"\xd8\x6bno", b"\xd8\x6b\xa0"])
def test_a_payload_that_only_begins_as_an_envelope_is_said_to(key: SoftKey, content: bytes) -> None:
    shown = said(crafted.signed(key, cbor.encode(body()), extra={"#x": content}))
    assert "integrated envelope '#x'" in shown
    assert "  an envelope that cannot be read, malformed: " in shown


def test_text_of_the_envelope_is_quoted_wherever_it_stands(key: SoftKey) -> None:
    manifest = cbor.encode(body({4: EVIL, 20: sequence(20, {21: EVIL}, 21, 2)}))
    made = crafted.block(key, crafted.covered(manifest), unprotected={4: EVIL.encode()})
    data = crafted.envelope(manifest, made, extra={EVIL: IMAGE})
    for whom in (None, trust(workshop.anchor(key)), trust(workshop.anchor(key, kid=EVIL))):
        shown = said(data, whom)
        assert len([line for line in shown.split("\n") if line.startswith("signature ")]) == 1
        assert shown.isascii()
    evil = crafted.envelope(cbor.encode(body({3: common(), 4: "a"})), extra={EVIL: b"\xd8\x6b"})
    assert said(evil).isascii()


def test_every_byte_is_accounted_for_where_it_is(key: SoftKey) -> None:
    data = everything(key)
    found, envelope = account(data), envelopes.decode(data)
    assert found.manifest == len(envelope.manifest)
    assert found.severed == sum(map(len, envelope.severed.values()))
    assert found.integrated == sum(map(len, envelope.integrated.values()))
    outer = cbor2.loads(data).value
    assert found.authentication == len(outer[2])
    assert found.heads == len(data) - sum(map(len, outer.values()))
    assert found.total == len(data)


@settings(max_examples=150, deadline=None)
@given(strategies.manifests(), st.booleans())
def test_whatever_our_manifests_can_say_is_explained(manifest: Manifest, severs: bool) -> None:
    contents = {}
    if severs:
        from fwseal.suit.severing import severed

        manifest, contents = severed(manifest, strategies.severable(manifest))
    envelope = envelopes.seal(manifest.encode(), severed=contents, integrated={"#a": b"x"})
    text = said(envelope.encode())
    assert text.count("attached") == len(contents)


SEEDS = (
    crafted.envelope(cbor.encode(crafted.told()), extra={"#image": IMAGE}),
    nest(workshop.signer(), 2),
    everything(workshop.signer()),
)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(SEEDS), st.data())
def test_a_damaged_envelope_is_explained_or_refused_and_nothing_else(
    seed: bytes, draw: st.DataObject
) -> None:
    data = bytearray(seed)
    for _ in range(draw.draw(st.integers(1, 3))):
        data[draw.draw(st.integers(0, len(data) - 1))] = draw.draw(st.integers(0, 255))
    reason_of(lambda: said(bytes(data)))
    explained_or_located(bytes(data))


@given(st.binary(max_size=40))
@example(b"")
@example(b"\xd8\x6b\xa1\x02\x40")
def test_bytes_of_any_kind_are_explained_or_refused(data: bytes) -> None:
    explained_or_located(data)


def explained_or_located(data: bytes) -> None:
    """Check that a refusal is placed inside of the file, and is otherwise the same."""
    with contextlib.suppress(Refused):
        explain(envelopes.decode(data))
        return
    error = refusal(data)
    found = diagnostic.located(error, data)
    assert (found.reason, found.message) == (error.reason, error.message)
    if found is not error:
        place = found.where.removeprefix(f"{error.where}, byte ")
        assert 0 <= int(place) <= len(data)


def refusal(data: bytes) -> Refused:
    with pytest.raises(Refused) as caught:
        explain(envelopes.decode(data))
    return caught.value


def located(data: bytes) -> Refused:
    return diagnostic.located(refusal(data), data)


def test_a_refusal_says_at_which_byte_of_the_file_the_cbor_ends() -> None:
    data = crafted.envelope(cbor.encode(body()))
    assert located(data[:-1]).where == str(data.rindex(cbor.encode(body())) - 1)
    assert located(data + b"\0").where == str(len(data))
    broken = cbor.encode({1: 1, 2: 5, 3: b"\xa1\x02"})
    data = crafted.envelope(broken)
    assert located(data).where == str(len(data))
    broken = cbor.encode(body({20: b"\x82\x03"}))
    data = crafted.envelope(broken)
    assert located(data).where == f"install, byte {len(data)}"


def test_a_refusal_that_is_not_about_cbor_keeps_its_place() -> None:
    data = crafted.envelope(cbor.encode(body({20: sequence(3, -1)})))
    assert located(data).where == "install[0]"
    # What may hold anything is no fault, nor what is opened no further.
    extra = {"#image": b"\xd8\x6bno", "#empty": b""}
    data = crafted.envelope(cbor.encode(body({20: sequence(3, -1)})), extra=extra)
    assert located(data).where == "install[0]"
    deep = b"\xff"
    for _ in range(30):
        deep = cbor.encode((32, deep))
    data = crafted.envelope(cbor.encode(body({20: deep})))
    assert "byte" not in located(data).where
    big = Refused(Reason.LIMIT_EXCEEDED, "")
    assert diagnostic.located(big, bytes((1 << 24) + 1)) is big
    other = Refused(Reason.UNSUPPORTED, "")
    assert diagnostic.located(other, b"\xff") is other


def notation(data: bytes) -> bytes:
    """Answer what another reader of the notation makes of ours: the bytes of the file."""
    text = "\n".join(line.text for line in diagnostic.lines(data, elide=None))
    answer: bytes = need_module("cbor_diag").diag2cbor(text)
    return answer


def test_another_reader_of_the_notation_of_every_vector_gives_the_same_bytes(
    vectors: Path,
) -> None:
    files = [path.read_bytes() for path in sorted(vectors.glob("*/*.suit"))]
    infos = sorted(vectors.glob("spec-firmware-encryption/suit-encryption-info*.hex"))
    texts = [*sorted(vectors.glob("spec-trust-domains/*.hex")), *infos]
    files += [bytes.fromhex(path.read_text(encoding="ascii")) for path in texts]
    assert len(files) > 15
    for data in files:
        assert notation(data) == data


def test_another_reader_of_the_notation_of_our_envelopes_gives_the_same_bytes(
    key: SoftKey,
) -> None:
    for data in (workshop.envelope(key), everything(key), nest(key, 3)):
        assert notation(data) == data


@settings(max_examples=100, deadline=None)
@given(strategies.manifests())
def test_another_reader_of_the_notation_of_any_manifest_gives_the_same_bytes(
    manifest: Manifest,
) -> None:
    data = envelopes.seal(manifest.encode(), integrated={"#a": bytes(40)}).encode()
    assert notation(data) == data


def test_a_digest_of_each_algorithm_is_called_by_its_name() -> None:
    for number, size in ((-16, 32), (-43, 48), (-44, 64)):
        digest = cbor.encode((number, bytes(size)))
        shown = alone(20, {3: digest})
        assert bytes(size).hex() in shown
        assert f"sha{size * 8} " in shown
