"""Each attack on a device, by its name: a signed envelope is refused and the device keeps its word.

The list is section 3 of the facts sheet; a test compares the two, so that nothing is forgotten.
What an envelope alone can try is in tests/formats/test_envelope_attacks.py.
"""

from __future__ import annotations

import dataclasses
import re
import secrets
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

import cbor2
import pytest
from cryptography.hazmat.primitives import hashes, keywrap
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from flashes import Files
from formats.refusals import refused
from fwseal.base import cbor
from fwseal.base.digest import Digest
from fwseal.base.ids import Kid
from fwseal.base.reasons import Reason
from fwseal.cose.encryption import (
    AgreementKey,
    ContentAlgorithm,
    Encrypt,
    Kek,
    KeyAlgorithm,
    Recipient,
    encrypted,
)
from fwseal.cose.recipients import Point
from fwseal.device import driver
from fwseal.device.profile import Component
from fwseal.suit import envelope as envelopes
from fwseal.suit.labels import ManifestKey, Parameter
from fwseal.suit.limits import Limits
from fwseal.suit.manifest import Manifest
from fwseal.suit.sequence import Override, RunSequence, SetIndex, TryEach
from programs import (
    CLASS_OK,
    COPY,
    DEPENDENCY_KEY,
    DEVICE_OK,
    FETCH,
    FRESH,
    IDENTITY,
    IMAGE,
    INSTALL,
    INTEGRITY,
    KEY,
    MATCH,
    PROCESS,
    SHARED,
    SLOT_OK,
    SOFT,
    VENDOR_OK,
    WRITE,
    A,
    B,
    C,
    M,
    N,
    board,
    digest_of,
    image,
    manifest,
    put,
    sealed,
)
from shelves import Shelves
from workshop import CLASS, PAYLOAD, VENDOR, anchor, signer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fwseal.base.ids import ComponentId
    from fwseal.cose.encryption import RecipientKey, RecipientPublic
    from fwseal.device.profile import DeviceProfile
    from fwseal.suit.sequence import ParameterValue, Sequence, Step

TESTS = Path(__file__).resolve().parents[1]
SHEET = TESTS.parents[1] / "shared" / "facts" / "suit.md"
GROUPS = ("Compatibility", "Payload", "Dependencies", "Encryption", "Ops")
OLD = {A: b"what runs now", B: b"beside it"}
EVIL = PAYLOAD[::-1]
K = (b"\x0c",)
KEK = Kek(kid=Kid("device"), secret=bytes(range(16)))
AGREED = AgreementKey(kid=Kid("device"), scalar=(5).to_bytes(32, "big"))
MINE = uuid.uuid5(VENDOR, "device 1")
RADIO = uuid.uuid5(VENDOR, "radio")
DEVICE = board(
    device_id=MINE,
    recipients=(KEK,),
    components={
        A: Component(slots=(1, 0)), B: Component(vendor_id=RADIO), C: Component(),
        M: Component(), N: Component(), K: Component(),
    },
)  # fmt: skip
CTR, GCM = ContentAlgorithm.A128CTR, ContentAlgorithm.A128GCM


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Attack:
    """An envelope and the files in reach; `spoils` are components that it may leave erased."""

    reason: Reason
    envelope: bytes
    files: Mapping[str, bytes] = dataclasses.field(default_factory=lambda: {"app.bin": PAYLOAD})
    spoils: frozenset[object] = frozenset()
    device: DeviceProfile = DEVICE
    capacity: int = 1 << 24


def early(reason: Reason, envelope: bytes, **more: object) -> Attack:
    """Answer an attack that is refused before a byte is erased."""
    return Attack(reason=reason, envelope=envelope, **more)


def late(reason: Reason, envelope: bytes, *spoils: object, **more: object) -> Attack:
    """Answer an attack that is refused when the payload came; by default into component A."""
    return Attack(reason=reason, envelope=envelope, spoils=frozenset(spoils or {A}), **more)


def wrong(parameter: Parameter, value: ParameterValue | None = None) -> Override:
    """Answer the identity with one parameter of another value, or without it."""
    said = {**IDENTITY, **IMAGE, Parameter.DEVICE_IDENTIFIER: MINE.bytes}
    said.pop(parameter)
    return Override(said if value is None else {**said, parameter: value})


IDENTIFIERS = {
    "vendor": (Parameter.VENDOR_IDENTIFIER, VENDOR_OK, Reason.WRONG_VENDOR),
    "class": (Parameter.CLASS_IDENTIFIER, CLASS_OK, Reason.WRONG_CLASS),
    "device": (Parameter.DEVICE_IDENTIFIER, DEVICE_OK, Reason.WRONG_DEVICE),
}


MATCHED: Sequence = (SetIndex(0), MATCH)


def two(*install: Step, validate: Sequence = MATCHED) -> bytes:
    """Answer an envelope of two components and nothing in common."""
    return sealed(
        Manifest(
            sequence_number=2,
            components=(A, B),
            sequences={ManifestKey.INSTALL: install, ManifestKey.VALIDATE: validate},
        )
    )


# Dependencies

ALL = (
    ManifestKey.DEPENDENCY_RESOLUTION,
    ManifestKey.PAYLOAD_FETCH,
    ManifestKey.INSTALL,
    ManifestKey.VALIDATE,
)
USUAL: Sequence = (SetIndex(1), INTEGRITY, PROCESS)
FETCHED: Sequence = (SetIndex(1), FETCH, *USUAL)
BELOW = Manifest(
    sequence_number=1,
    component_id=M,
    components=(A,),
    sequences={
        ManifestKey.INSTALL: (put(uri="app.bin"), FETCH),
        ManifestKey.VALIDATE: (image(PAYLOAD), MATCH),
    },
)
INNER = sealed(BELOW, DEPENDENCY_KEY)


def above(inner: bytes, first: Sequence = FETCHED, **changes: object) -> Manifest:
    """Answer the manifest that depends on the one in this envelope, which is fetched."""
    made = Manifest(
        sequence_number=2,
        components=(A, M),
        dependencies={1: None},
        shared_sequence=(SetIndex(1), put(uri="b.suit", image_digest=digest_of(inner))),
        sequences={**dict.fromkeys(ALL, USUAL), ALL[0]: first},
    )
    return dataclasses.replace(made, **changes)


def depends(
    inner: bytes, reason: Reason, *, root: Manifest | None = None, came: bytes = b"",
    device: DeviceProfile = DEVICE,
) -> Attack:  # fmt: skip
    """Answer the attack of a root over this dependency; M holds it then, and A what it had."""
    files = {"b.suit": came or inner, "app.bin": PAYLOAD}
    return late(reason, sealed(root or above(inner)), M, files=files, device=device)


LOOP = sealed(
    Manifest(
        sequence_number=1,
        component_id=M,
        components=(M,),
        dependencies={0: None},
        sequences=dict.fromkeys(ALL, (put(image_digest=Digest.of(b"")), INTEGRITY)),
    ),
    DEPENDENCY_KEY,
)


def kept_in(component: ComponentId, what: Manifest = BELOW) -> bytes:
    """Answer the envelope of a dependency that is kept there."""
    return sealed(dataclasses.replace(what, component_id=component), DEPENDENCY_KEY)


DEEP = kept_in(K)


def middle(component: ComponentId = M) -> bytes:
    """Answer the envelope of a dependency, kept there, that depends on the one in K."""
    return kept_in(
        component,
        Manifest(
            sequence_number=1,
            components=(K,),
            dependencies={0: None},
            shared_sequence=(put(uri="deep.suit", image_digest=digest_of(DEEP)),),
            sequences={
                ALL[0]: (TryEach(((MATCH,), (FETCH,))), INTEGRITY, PROCESS),
                **dict.fromkeys(ALL[1:], (INTEGRITY, PROCESS)),
            },
        ),
    )


# Encryption


def secret(info: Encrypt, digest: bytes = PAYLOAD) -> bytes:
    """Answer an envelope whose payload is encrypted, and its digest that of the bytes given."""
    what = put(image_digest=Digest.of(digest), image_size=len(PAYLOAD))
    return two(SetIndex(0), what, put(uri="app.bin", encryption_info=info), FETCH)


def made(algorithm: ContentAlgorithm, *keys: RecipientPublic) -> tuple[Encrypt, bytes]:
    return encrypted(
        PAYLOAD, algorithm=algorithm, recipients=keys or (KEK,), random=secrets.token_bytes
    )


def flipped(data: bytes, at: int = 0) -> bytes:
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


def holds(*keys: RecipientKey) -> DeviceProfile:
    return dataclasses.replace(DEVICE, recipients=keys)


def rewrapped(info: Encrypt, **changes: object) -> Encrypt:
    """Answer encryption info whose one recipient is changed."""
    (one,) = info.recipients
    return dataclasses.replace(info, recipients=(dataclasses.replace(one, **changes),))


def agreed(*, other: str = "SUIT Payload Encryption", bits: int = 128) -> tuple[Encrypt, bytes]:
    """Answer what an author makes who knows the content key and derives another wrapping key."""
    info, ciphertext = made(CTR)
    content_key = keywrap.aes_key_unwrap(KEK.secret, info.recipients[0].wrapped)
    ephemeral = ec.generate_private_key(ec.SECP256R1())
    protected = cbor.encode({1: int(KeyAlgorithm.ECDH_ES_A128KW)})
    nobody = (None, None, None)
    context = cbor.encode((-3, nobody, nobody, (bits, protected, other.encode())))
    shared = ephemeral.exchange(ec.ECDH(), AGREED.public().point.handle())
    wrapping = HKDF(algorithm=hashes.SHA256(), length=16, salt=None, info=context).derive(shared)
    recipient = Recipient(
        algorithm=KeyAlgorithm.ECDH_ES_A128KW,
        kid=AGREED.kid,
        ephemeral=Point.of(ephemeral.public_key()),
        wrapped=keywrap.aes_key_wrap(wrapping, content_key),
    )
    return dataclasses.replace(info, recipients=(recipient,)), ciphertext


class Covered(Encrypt):
    """An Encrypt with AES-CTR that names its algorithm where nothing covers it."""

    def encode(self) -> bytes:
        protected = cbor.encode({1: int(self.algorithm)})
        recipients = tuple(one.structure() for one in self.recipients)
        return cbor.encode(cbor2.CBORTag(96, (protected, {5: self.iv}, None, recipients)))


INFO, SECRET = made(CTR)
SEALED_INFO, SEALED = made(GCM)
COVERED = Covered(algorithm=CTR, iv=INFO.iv, recipients=INFO.recipients)


def encryption(
    reason: Reason, info: Encrypt, came: bytes, *, device: DeviceProfile = DEVICE
) -> Attack:
    """Answer an attack that is refused before a byte is erased."""
    return early(reason, secret(info), files={"app.bin": came}, device=device)


ATTACKS: dict[str, dict[str, Attack]] = {
    # Compatibility
    "vendor, class, device, slot wrong": {
        name: early(reason, sealed(manifest(shared=(wrong(key, uuid.uuid4().bytes), check))))
        for name, (key, check, reason) in IDENTIFIERS.items()
    }
    | {
        "slot": early(
            Reason.WRONG_SLOT, sealed(manifest(install=(put(component_slot=0), SLOT_OK, *INSTALL)))
        )
    },
    "parameter unset": {
        name: early(reason, sealed(manifest(shared=(wrong(key), check))))
        for name, (key, check, reason) in IDENTIFIERS.items()
    }
    | {"slot": early(Reason.WRONG_SLOT, sealed(manifest(install=(SLOT_OK, *INSTALL))))},
    "vendor PEN form": {
        "": early(
            Reason.WRONG_VENDOR,
            sealed(
                manifest(
                    shared=(
                        wrong(Parameter.VENDOR_IDENTIFIER, cbor2.CBORTag(112, b"\x19\x30\x39")),
                        VENDOR_OK,
                    )
                )
            ),
        )
    },
    "other component's ids": {
        "its own": early(
            Reason.WRONG_VENDOR, two(SetIndex(1), put(vendor_identifier=VENDOR.bytes), VENDOR_OK)
        ),
        "another's": early(
            Reason.WRONG_VENDOR, two(SetIndex(0), put(vendor_identifier=RADIO.bytes), VENDOR_OK)
        ),
    },
    "check only in a branch of try-each": {
        "payload": late(
            Reason.CONDITION_FAILED,
            sealed(manifest(install=INSTALL[:2], validate=(TryEach(((MATCH,), None)),))),
            files={"app.bin": EVIL},
        ),
        "identity": early(
            Reason.WRONG_CLASS,
            sealed(manifest(shared=(
                wrong(Parameter.CLASS_IDENTIFIER, VENDOR.bytes),
                TryEach(((CLASS_OK,), (CLASS_OK,))),
            ))),
        ),
    },
    "condition made soft via soft-failure True in run-sequence": {
        "payload": late(
            Reason.CONDITION_FAILED,
            sealed(manifest(install=INSTALL[:2], validate=(RunSequence((SOFT, MATCH)),))),
            files={"app.bin": EVIL},
        )
    },
    # Payload
    "flipped": {
        "": late(Reason.PAYLOAD_DIGEST, sealed(manifest()), files={"app.bin": flipped(PAYLOAD, 9)})
    },
    "longer": {
        "": late(Reason.PAYLOAD_SIZE, sealed(manifest()), files={"app.bin": PAYLOAD + b"!"})
    },
    "shorter": {"": late(Reason.PAYLOAD_SIZE, sealed(manifest()), files={"app.bin": PAYLOAD[:-1]})},
    "missing": {"": early(Reason.PAYLOAD_MISSING, sealed(manifest()), files={})},
    "swapped between components": {
        "": late(
            Reason.PAYLOAD_DIGEST,
            two(
                SetIndex(0), image(PAYLOAD), put(uri="a.bin"), FETCH,
                SetIndex(1), image(EVIL), put(uri="b.bin"), FETCH, SetIndex((0, 1)), MATCH,
            ),
            A, B, files={"a.bin": EVIL, "b.bin": PAYLOAD},
        )
    },
    "integrated key substitution": {
        "other content": late(
            Reason.PAYLOAD_DIGEST, sealed(manifest(), integrated={"app.bin": EVIL})
        ),
        "other key": early(Reason.MALFORMED, sealed(manifest(), integrated={"#app": PAYLOAD})),
    },
    "URI redirect": {
        "": late(
            Reason.PAYLOAD_DIGEST,
            sealed(manifest(install=(put(uri="evil.bin"), FETCH, MATCH))),
            files={"evil.bin": EVIL, "app.bin": PAYLOAD},
        )
    },
    "digest override later by override-parameters in install": {
        "": late(
            Reason.DIGEST_MISMATCH,
            sealed(manifest(install=(put(uri="app.bin"), FETCH, image(EVIL), MATCH))),
            files={"app.bin": EVIL},
        )
    },
    "fetch without match": {
        "": late(
            Reason.CONDITION_FAILED,
            sealed(manifest(install=INSTALL[:2], validate=(VENDOR_OK,))),
            files={"app.bin": EVIL},
        )
    },
    "size mismatch": {
        str(size): late(
            Reason.PAYLOAD_SIZE, sealed(manifest(shared=(*SHARED, put(image_size=size))))
        )
        for size in (len(PAYLOAD) - 1, len(PAYLOAD) + 1)
    },
    "copy from unverified source": {
        "": late(
            Reason.PAYLOAD_DIGEST,
            two(
                SetIndex(1), put(uri="app.bin"), FETCH,
                SetIndex(0), image(PAYLOAD), put(source_component=1), COPY, MATCH,
            ),
            A, B, files={"app.bin": EVIL},
        )
    },
    "write oversize content": {
        "": early(
            Reason.STORAGE_FULL,
            two(SetIndex(0), image(PAYLOAD), put(content=PAYLOAD), WRITE),
            capacity=len(PAYLOAD) - 1,
        )
    },
    # Dependencies
    "unsigned/other-signer dep": {
        "unsigned": depends(
            INNER, Reason.DEPENDENCY_REFUSED, came=envelopes.seal(BELOW.encode()).encode()
        ),
        "other signer": depends(sealed(BELOW, signer("radio")), Reason.DEPENDENCY_REFUSED),
        "role": depends(
            INNER, Reason.DEPENDENCY_REFUSED,
            device=dataclasses.replace(
                DEVICE, anchors=(anchor(KEY), anchor(DEPENDENCY_KEY, "boot"))
            ),
        ),
    },
    "digest mismatch": {
        "": depends(
            INNER, Reason.DEPENDENCY_REFUSED,
            came=sealed(dataclasses.replace(BELOW, sequence_number=3), DEPENDENCY_KEY),
        )
    },
    "process before integrity": {
        "": depends(
            INNER, Reason.ABORTED, root=above(INNER, (SetIndex(1), FETCH, PROCESS, INTEGRITY))
        )
    },
    "process in shared seq": {
        "": early(
            Reason.MALFORMED,
            sealed(above(INNER, shared_sequence=(SetIndex(1), INTEGRITY, PROCESS))),
        )
    },
    "cycle": {"": depends(LOOP, Reason.DEPENDENCY_REFUSED)},
    "depth": {
        "": late(
            Reason.LIMIT_EXCEEDED, sealed(above(middle())), M, K,
            files={"b.suit": middle(), "deep.suit": DEEP, "app.bin": PAYLOAD},
            device=dataclasses.replace(DEVICE, limits=Limits(dependency_depth=1)),
        )
    },
    "prefix escape": {
        "": depends(
            INNER, Reason.DEPENDENCY_REFUSED, root=above(INNER, dependencies={1: M})
        )
    },
    "dep writing a component outside ACL": {
        "": depends(
            INNER, Reason.DEPENDENCY_REFUSED,
            device=dataclasses.replace(DEVICE, anchors=(
                anchor(KEY),
                dataclasses.replace(anchor(DEPENDENCY_KEY, "dependency"), components=(B,)),
            )),
        )
    },
    "stale cache after fetch": {
        "": depends(
            INNER, Reason.ABORTED,
            root=above(INNER, (SetIndex(1), FETCH, INTEGRITY, FETCH, PROCESS)),
        )
    },
    # Encryption
    "wrong KEK/kid": {
        "KEK": encryption(
            Reason.DECRYPTION_FAILED, INFO, SECRET,
            device=holds(dataclasses.replace(KEK, secret=bytes(16))),
        ),
        "kid": encryption(
            Reason.DECRYPTION_FAILED, INFO, SECRET,
            device=holds(dataclasses.replace(KEK, kid=Kid("another"))),
        ),
        "none": encryption(Reason.DECRYPTION_FAILED, INFO, SECRET, device=holds()),
    },
    "CEK bit-flip": {
        "": encryption(
            Reason.DECRYPTION_FAILED,
            rewrapped(INFO, wrapped=flipped(INFO.recipients[0].wrapped)), SECRET,
        )
    },
    "CTR malleability (flip ciphertext + image-match must catch)": {
        "": late(Reason.DIGEST_MISMATCH, secret(INFO), files={"app.bin": flipped(SECRET)}),
        "IV": late(
            Reason.DIGEST_MISMATCH, secret(dataclasses.replace(INFO, iv=flipped(INFO.iv))),
            files={"app.bin": SECRET},
        ),
    },
    "GCM tag stripped": {
        "": late(Reason.DECRYPTION_FAILED, secret(SEALED_INFO), files={"app.bin": SEALED[:-16]}),
        "named CTR": late(
            Reason.PAYLOAD_SIZE,
            secret(Encrypt(algorithm=CTR, iv=SEALED_INFO.iv + bytes((0, 0, 0, 2)),
                           recipients=SEALED_INFO.recipients)),
            files={"app.bin": SEALED},
        ),
    },
    "protected non-empty with CTR": {
        "": encryption(Reason.MALFORMED, COVERED, SECRET)
    },
    "KDF context other string/keylen changed": {
        name: encryption(Reason.DECRYPTION_FAILED, *agreed(**changed), device=holds(AGREED))
        for name, changed in {
            "string": {"other": "SUIT Payload Encryption."},
            "none": {"other": ""},
            "length": {"bits": 256},
        }.items()
    },
    "recipient list order/unknown recipients": {
        "unknown": encryption(
            Reason.DECRYPTION_FAILED,
            *made(CTR, Kek(kid=Kid("x"), secret=bytes(16)), Kek(kid=None, secret=bytes(16))),
        )
    },
    "digest only on ciphertext": {
        "": late(Reason.DIGEST_MISMATCH, secret(INFO, SECRET), files={"app.bin": SECRET})
    },
    # Ops
    "disk full": {
        "said": early(Reason.STORAGE_FULL, sealed(manifest()), capacity=len(PAYLOAD) - 1),
        "unsaid": late(
            Reason.STORAGE_FULL,
            two(SetIndex(0), put(uri="app.bin", image_digest=Digest.of(PAYLOAD)), FETCH),
            capacity=len(PAYLOAD) - 1,
        ),
    },
}  # fmt: skip

ELSEWHERE = {
    "check missing": "lint: test_vendor_and_class_must_be_asked_in_any_case; a device cannot know",
    "TOCTOU (payload changed between match and invoke)": (
        "test_image_that_changed_or_was_loaded_unchecked_is_never_invoked; "
        "test_storage_that_rots_after_the_install_is_found_by_validation_and_never_boots"
    ),
    "swap interrupted": (
        "no storage that can be cut offers swap: "
        "test_slots_offer_no_command_that_reads_a_component_back"
    ),
    "unlink twice": (
        "unlink is unsupported until storage is shared between updates: a later issue; "
        "test_a_dependency_is_never_processed_or_unlinked_in_a_shared_sequence"
    ),
    "IV reuse": "test_two_encryptions_never_share_a_content_key_or_an_iv",
    "kill at every write": (
        "test_power_cut_at_every_flash_operation_never_touches_the_running_image_and_a_retry_succeeds"
    ),
    "signer HSM timeout mid-sign": "test_a_token_that_is_locked_broken_or_pulled_signs_nothing",
    "concurrent signers same HSS key/sequence number": (
        "HSS-LMS signs nothing here: a later issue; of one number, the first release stays: "
        "test_a_release_that_appears_meanwhile_is_not_overwritten"
    ),
    "clock back": "SUIT manifests name no time here; metadata: tests/device/test_tuf_attacks.py",
    "log leakage of keys/plaintext": (
        "test_a_shared_secret_is_read_and_never_shown; "
        "test_no_pin_is_ever_on_a_command_line_or_in_what_is_said"
    ),
    "CLI injection via file names": (
        "test_text_of_a_hostile_name_never_reaches_the_terminal_as_it_is"
    ),
    "symlink component path": (
        "components name no files on a device; "
        "test_path_that_is_no_plain_file_below_the_root_is_not_found_and_leaks_nothing"
    ),
}
"""What section 3 lists in these groups and is not in `ATTACKS`, with the place it is tested."""

CASES = [
    pytest.param(attack, id=f"{name} {variant}".strip())
    for name, variants in ATTACKS.items()
    for variant, attack in variants.items()
]


def offered(attack: Attack, shelves: Shelves) -> driver.Evidence:
    return driver.install(
        attack.envelope,
        profile=attack.device,
        installed=FRESH,
        storage=shelves,
        fetcher=Files(dict(attack.files)),
    )


def accepted(envelope: bytes, files: Mapping[str, bytes], **more: object) -> Shelves:
    """Answer what the device holds after an update that it accepts."""
    attack = early(Reason.MALFORMED, envelope, files=files, **more)
    shelves = Shelves(OLD)
    assert offered(attack, shelves).sequence_number == 2
    return shelves


@pytest.mark.parametrize("attack", CASES)
def test_attack_is_refused_and_the_device_keeps_what_it_had(attack: Attack) -> None:
    shelves = Shelves(OLD, capacity=attack.capacity)
    shelves.bootable = set(OLD)
    with refused(attack.reason):  # and no number comes back that a device could commit
        offered(attack, shelves)
    assert shelves.finished == []
    assert {name: shelves.kept[name] for name in OLD if name not in attack.spoils} == {
        name: content for name, content in OLD.items() if name not in attack.spoils
    }
    assert all(shelves.kept[name] == OLD[name] for name in shelves.bootable)
    assert bool(shelves.log) == bool(attack.spoils)


def test_what_attacks_start_from_is_accepted() -> None:
    app = {"app.bin": PAYLOAD}
    assert accepted(sealed(manifest()), app).bootable == {A}
    right = manifest(install=(put(component_slot=1), SLOT_OK, *INSTALL))
    assert accepted(sealed(right), app).kept[A] == PAYLOAD
    assert accepted(sealed(above(INNER)), {**app, "b.suit": INNER}).kept[A] == PAYLOAD
    deep = {**app, "b.suit": middle(), "deep.suit": DEEP}
    assert accepted(sealed(above(middle())), deep).kept[A] == PAYLOAD
    for info, came in ((INFO, SECRET), (SEALED_INFO, SEALED)):
        assert accepted(secret(info), {"app.bin": came}).kept[A] == PAYLOAD
    info, came = agreed()
    assert accepted(secret(info), {"app.bin": came}, device=holds(AGREED)).kept[A] == PAYLOAD
    shared = (wrong(Parameter.CLASS_IDENTIFIER, CLASS.bytes), VENDOR_OK, CLASS_OK, DEVICE_OK)
    assert accepted(sealed(manifest(shared=shared)), app).kept[A] == PAYLOAD


def test_recipient_is_found_at_any_place_of_the_list_among_unknown_ones() -> None:
    others = tuple(Kek(kid=Kid(name), secret=secrets.token_bytes(16)) for name in ("x", "device"))
    nameless = Kek(kid=None, secret=secrets.token_bytes(16))
    for keys in (
        (KEK, *others, nameless),
        (*others, nameless, KEK),
        (nameless, AGREED.public(), KEK, *others),
    ):  # fmt: skip
        info, came = made(CTR, *keys)
        assert accepted(secret(info), {"app.bin": came}).kept[A] == PAYLOAD


@pytest.mark.parametrize("algorithm", [CTR, GCM])
def test_two_encryptions_never_share_a_content_key_or_an_iv(algorithm: ContentAlgorithm) -> None:
    pairs = [made(algorithm) for _ in range(20)]
    keys = {keywrap.aes_key_unwrap(KEK.secret, info.recipients[0].wrapped) for info, _ in pairs}
    assert (
        len(keys) == len({info.iv for info, _ in pairs}) == len({came for _, came in pairs}) == 20
    )


LEFT, RIGHT = middle(M), middle(N)
TREE = {"app.bin": PAYLOAD, "left.suit": LEFT, "right.suit": RIGHT, "deep.suit": DEEP}


def shared_by_two(*install: Step) -> bytes:
    """Answer a root over M and N, both of which depend on what K holds."""
    both: Sequence = (SetIndex((1, 2)), INTEGRITY, PROCESS)
    shared: Sequence = (
        SetIndex(1), put(uri="left.suit", image_digest=digest_of(LEFT)),
        SetIndex(2), put(uri="right.suit", image_digest=digest_of(RIGHT)),
        SetIndex(3), put(content=LEFT),
    )  # fmt: skip
    return sealed(
        Manifest(
            sequence_number=2,
            components=(A, M, N, K),
            dependencies={1: None, 2: None},
            shared_sequence=shared,
            sequences={
                **dict.fromkeys(ALL, both),
                ALL[0]: (SetIndex((1, 2)), FETCH, *both),
                ALL[2]: (*both, *install),
            },
        )
    )


def test_dependency_of_two_dependents_is_checked_for_each_and_counted_once() -> None:
    shelves = Shelves(OLD)
    done = offered(early(Reason.MALFORMED, shared_by_two(), files=TREE), shelves)
    assert done.dependencies == ((M, 1), (N, 1), (K, 1))
    assert shelves.kept[A] == PAYLOAD


@pytest.mark.parametrize("missing", [0, 1])
def test_dependencies_together_may_be_as_long_as_an_envelope_and_no_longer(missing: int) -> None:
    together = len(LEFT) + len(RIGHT) + 2 * len(DEEP)
    device = dataclasses.replace(DEVICE, limits=Limits(envelope_bytes=together - missing))
    attack = early(Reason.LIMIT_EXCEEDED, shared_by_two(), files=TREE, device=device)
    shelves = Shelves(OLD)
    if missing:
        with refused(Reason.LIMIT_EXCEEDED):
            offered(attack, shelves)
        assert shelves.finished == []
    else:
        assert offered(attack, shelves).sequence_number == 2


def test_dependency_of_two_dependents_that_is_overwritten_is_known_to_neither() -> None:
    shelves = Shelves(OLD)
    shelves.bootable = {B}
    with refused(Reason.DEPENDENCY_REFUSED):
        offered(early(Reason.MALFORMED, shared_by_two(SetIndex(3), WRITE), files=TREE), shelves)
    assert shelves.finished == []


def test_every_attack_of_the_sheet_in_these_groups_is_here_or_says_where_it_is() -> None:
    if not SHEET.is_file():
        pytest.skip("../shared/facts is not here")
    section = SHEET.read_text(encoding="utf-8").split("## 3. Attacks")[1].split("\n## ")[0]
    groups = dict(re.findall(r"^(\w+): (.*)\.$", section, re.MULTILINE))
    listed = [
        phrase
        for name in GROUPS
        for phrase in re.split(
            r"; " if name in ("Compatibility", "Ops") else r", (?![^()]*\))", groups[name]
        )
    ]
    assert len(listed) > 40
    assert sorted(listed) == sorted([*ATTACKS, *ELSEWHERE])


def test_every_test_that_is_named_as_the_place_of_an_attack_is_there() -> None:
    there = {
        name
        for path in TESTS.rglob("test_*.py")
        for name in re.findall(r"^def (test_\w+)\(", path.read_text(encoding="utf-8"), re.MULTILINE)
    }
    named = {
        name
        for place in ELSEWHERE.values()
        for name in re.findall(r"\b(test_\w+)\b(?!\.py)", place)
    }
    assert named
    assert named <= there
