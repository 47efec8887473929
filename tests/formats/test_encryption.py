"""Encryption info and payloads: what a device decrypts, and every way it must not."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import tracemalloc
from typing import TYPE_CHECKING, Any

import cbor2
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st

from formats.refusals import bit_flips, misuse, reason_of, refused, truncations
from fwseal.base import cbor
from fwseal.base.errors import Refused
from fwseal.base.ids import Kid
from fwseal.base.reasons import Reason
from fwseal.cose.encryption import (
    MAX_CIPHERTEXT,
    MAX_RECIPIENTS,
    AgreementKey,
    AgreementPublic,
    ContentAlgorithm,
    Decryptor,
    Encrypt,
    Kek,
    KeyAlgorithm,
    decode_encrypt,
    decryptor,
    encrypted,
    new_recipient_key,
    recipient_key,
    recipient_public,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from fwseal.cose.encryption import RecipientKey, RecipientPublic

PLAINTEXT = bytes(range(256)) * 5 + b"end"
GCM, CTR = ContentAlgorithm.A128GCM, ContentAlgorithm.A128CTR
ECDH = KeyAlgorithm.ECDH_ES_A128KW
P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


def seeded(seed: str) -> Callable[[int], bytes]:
    """Answer a source of randomness that a test can repeat."""
    drawn = 0

    def random(size: int) -> bytes:
        nonlocal drawn
        drawn += 1
        return hashlib.shake_128(f"{seed}/{drawn}".encode()).digest(size)

    return random


def device(
    algorithm: KeyAlgorithm = KeyAlgorithm.A128KW, kid: str | None = "device"
) -> RecipientKey:
    """Answer the key of a device; the same arguments answer the same key."""
    name = None if kid is None else Kid(kid)
    return new_recipient_key(algorithm, kid=name, random=seeded(f"{algorithm.name} {kid}"))


def public(key: RecipientKey) -> RecipientPublic:
    return key if isinstance(key, Kek) else key.public()


def sealed(
    *keys: RecipientKey, algorithm: ContentAlgorithm = GCM, plaintext: bytes = PLAINTEXT
) -> tuple[Encrypt, bytes]:
    return encrypted(
        plaintext,
        algorithm=algorithm,
        recipients=tuple(public(key) for key in keys),
        random=seeded("author"),
    )


def opened(info: Encrypt, ciphertext: bytes, *keys: RecipientKey, size: int = 100) -> bytes:
    stream = decryptor(info, keys)
    pieces = [
        stream.update(ciphertext[start : start + size]) for start in range(0, len(ciphertext), size)
    ]
    return b"".join(pieces) + stream.finish()


# What is encrypted comes back.


@pytest.mark.parametrize("wrap", KeyAlgorithm)
@pytest.mark.parametrize("algorithm", ContentAlgorithm)
def test_a_payload_comes_back_for_the_device_it_was_encrypted_for(
    algorithm: ContentAlgorithm, wrap: KeyAlgorithm
) -> None:
    key = device(wrap)
    info, ciphertext = sealed(key, algorithm=algorithm)
    assert len(ciphertext) == len(PLAINTEXT) + info.overhead
    assert ciphertext[: len(PLAINTEXT)] != PLAINTEXT
    data = info.encode()
    assert decode_encrypt(data) == info
    assert opened(decode_encrypt(data), ciphertext, key) == PLAINTEXT


@given(st.lists(st.integers(0, 60), max_size=12), st.sampled_from([GCM, CTR]))
def test_the_plaintext_is_the_same_however_the_ciphertext_is_cut(
    sizes: list[int], algorithm: ContentAlgorithm
) -> None:
    key = device()
    plaintext = PLAINTEXT[:200]
    info, ciphertext = sealed(key, algorithm=algorithm, plaintext=plaintext)
    stream = decryptor(info, (key,))
    answer = b""
    for size in sizes:
        answer += stream.update(ciphertext[:size])
        ciphertext = ciphertext[size:]
    answer += stream.update(ciphertext)
    assert answer + stream.finish() == plaintext


def test_a_long_payload_is_decrypted_in_bounded_memory() -> None:
    key = device()
    piece = bytes(1 << 16)
    for algorithm in (GCM, CTR):
        info, _ = sealed(key, algorithm=algorithm)
        stream = decryptor(info, (key,))
        tracemalloc.start()
        size = sum(len(stream.update(piece)) for _ in range(256))
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert size == 256 * len(piece) - info.overhead
        assert peak < 8 * len(piece)


def test_each_message_has_a_key_an_iv_and_ephemeral_keys_of_its_own() -> None:
    random = seeded("one source")
    keys = (device(ECDH, "a"), device(ECDH, "b"))
    seen: set[object] = set()
    for _ in range(8):
        info, ciphertext = encrypted(
            PLAINTEXT, algorithm=GCM, recipients=tuple(map(public, keys)), random=random
        )
        seen |= {info.iv, ciphertext, *(one.ephemeral for one in info.recipients)}
    assert len(seen) == 8 * 4


def test_the_same_randomness_gives_the_same_bytes() -> None:
    key = device(ECDH)
    assert sealed(key) == sealed(key)


def test_an_ephemeral_key_is_drawn_again_until_it_is_a_scalar_of_the_curve() -> None:
    draws = [bytes(16), bytes(12), bytes(32), b"\xff" * 32, P256_ORDER.to_bytes(32, "big")]
    last = (1).to_bytes(32, "big")
    order = iter([*draws, last])
    info, _ = encrypted(
        PLAINTEXT,
        algorithm=GCM,
        recipients=(public(device(ECDH)),),
        random=lambda size: next(order)[:size],
    )
    one = ec.derive_private_key(1, ec.SECP256R1()).public_key().public_numbers()
    ephemeral = info.recipients[0].ephemeral
    assert ephemeral is not None
    assert int.from_bytes(ephemeral.x, "big") == one.x
    with misuse():
        encrypted(PLAINTEXT, algorithm=GCM, recipients=(public(device(ECDH)),), random=bytes)


def test_nothing_and_nobody_is_not_encrypted_for() -> None:
    for plaintext, recipients in (
        (b"", (device(),)),
        (PLAINTEXT, ()),
        (PLAINTEXT, (device(),) * (MAX_RECIPIENTS + 1)),
    ):
        with misuse():
            sealed(*recipients, plaintext=plaintext)
    for count in (1, MAX_RECIPIENTS):
        info, _ = sealed(*[device()] * count)
        assert len(info.recipients) == count
    assert MAX_RECIPIENTS == 8


def test_a_key_never_shows_in_what_is_printed_of_it() -> None:
    for key in (device(), device(ECDH)):
        secret = key.secret if isinstance(key, Kek) else key.scalar
        assert repr(secret) not in repr(key)
        assert secret.hex() not in repr(key)


# Who may decrypt.


def test_of_several_recipients_each_device_finds_its_own_by_kid() -> None:
    keys = [
        device(ECDH, "a"),
        device(ECDH, "b"),
        *(device(wrap, wrap.name) for wrap in KeyAlgorithm),
        device(KeyAlgorithm.A128KW, "last"),
    ]
    for algorithm in (GCM, CTR):
        info, ciphertext = sealed(*keys, algorithm=algorithm)
        assert decode_encrypt(info.encode()) == info
        for key in keys:
            assert opened(info, ciphertext, device(kid="other"), key) == PLAINTEXT


@pytest.mark.parametrize("wrap", [KeyAlgorithm.A256KW, ECDH])
def test_a_recipient_without_kid_is_tried_with_every_key_of_its_algorithm(
    wrap: KeyAlgorithm,
) -> None:
    key = device(wrap, "mine")
    nameless = dataclasses.replace(public(key), kid=None)
    info, ciphertext = encrypted(
        PLAINTEXT, algorithm=GCM, recipients=(nameless,), random=seeded("author")
    )
    held = (device(KeyAlgorithm.A128KW, "x"), device(wrap, "y"), key)
    assert opened(info, ciphertext, *held) == PLAINTEXT


def test_a_key_without_kid_is_tried_with_every_recipient_of_its_algorithm() -> None:
    key = device(ECDH, "mine")
    info, ciphertext = sealed(device(ECDH, "x"), key)
    assert opened(info, ciphertext, dataclasses.replace(key, kid=None)) == PLAINTEXT


def test_a_kid_of_another_key_selects_nothing_even_where_the_key_would_fit() -> None:
    key = device(kid="mine")
    info, _ = sealed(key)
    with refused(Reason.DECRYPTION_FAILED):
        decryptor(info, (dataclasses.replace(key, kid=Kid("another")),))


def test_the_right_kid_with_another_algorithm_selects_nothing() -> None:
    info, _ = sealed(device(KeyAlgorithm.A128KW), device(ECDH))
    with refused(Reason.DECRYPTION_FAILED):
        decryptor(info, (device(KeyAlgorithm.A256KW),))


@pytest.mark.parametrize("wrap", KeyAlgorithm)
def test_a_wrong_key_under_the_right_kid_does_not_decrypt(wrap: KeyAlgorithm) -> None:
    info, _ = sealed(device(wrap))
    stranger = new_recipient_key(wrap, kid=Kid("device"), random=seeded("stranger"))
    with refused(Reason.DECRYPTION_FAILED):
        decryptor(info, (stranger,))


def test_a_device_without_keys_is_told_whom_the_payload_is_for() -> None:
    info, _ = sealed(device(kid="plant-7"), device(kid=None))
    with pytest.raises(Refused) as caught:
        decryptor(info, ())
    assert caught.value.reason is Reason.DECRYPTION_FAILED
    assert "plant-7" in caught.value.message
    assert "no kid" in caught.value.message


# What was tampered with.


@pytest.mark.parametrize("wrap", [KeyAlgorithm.A128KW, ECDH])
def test_every_bit_flip_of_a_wrapped_key_is_refused(wrap: KeyAlgorithm) -> None:
    key = device(wrap)
    info, _ = sealed(key)
    one = info.recipients[0]
    for changed in bit_flips(one.wrapped):
        recipients = (dataclasses.replace(one, wrapped=changed),)
        with refused(Reason.DECRYPTION_FAILED):
            decryptor(dataclasses.replace(info, recipients=recipients), (key,))


@pytest.mark.parametrize("wrap", [KeyAlgorithm.A128KW, ECDH])
@pytest.mark.parametrize("algorithm", [GCM, CTR])
def test_no_bit_flip_or_truncation_of_encryption_info_gives_the_plaintext_or_a_traceback(
    algorithm: ContentAlgorithm, wrap: KeyAlgorithm
) -> None:
    key = dataclasses.replace(device(wrap), kid=None)
    plaintext = PLAINTEXT[:64]
    info, ciphertext = sealed(key, algorithm=algorithm, plaintext=plaintext)
    flips = list(bit_flips(info.encode()))
    assert len(flips) > 400
    refusals = 0
    for changed in [*flips, *truncations(info.encode())]:
        try:
            decoded = decode_encrypt(changed)
            assert decoded.encode() == changed
            assert opened(decoded, ciphertext, key) != plaintext
        except Refused:
            refusals += 1
    # RFC 9459: nothing guards the IV of AES-CTR, and so another plaintext comes out; the
    # manifest's digest covers the IV, and image-match the plaintext.
    assert refusals >= len(flips) - (0 if algorithm is GCM else 8 * len(info.iv))


def test_every_bit_flip_and_truncation_of_a_gcm_ciphertext_is_refused() -> None:
    key = device()
    info, ciphertext = sealed(key, plaintext=PLAINTEXT[:32])
    for changed in [*bit_flips(ciphertext), *truncations(ciphertext), ciphertext + b"\0"]:
        reason = reason_of(lambda changed=changed: opened(info, changed, key))
        assert reason is Reason.DECRYPTION_FAILED


def test_a_flip_in_a_ctr_ciphertext_passes_here_and_is_for_image_match_to_catch() -> None:
    key = device()
    info, ciphertext = sealed(key, algorithm=CTR)
    changed = bytes([ciphertext[0] ^ 1]) + ciphertext[1:]
    assert opened(info, changed, key) == bytes([PLAINTEXT[0] ^ 1]) + PLAINTEXT[1:]


@pytest.mark.parametrize("algorithm", [GCM, CTR])
def test_an_empty_ciphertext_is_refused(algorithm: ContentAlgorithm) -> None:
    key = device()
    info, _ = sealed(key, algorithm=algorithm)
    stream = decryptor(info, (key,))
    assert stream.update(b"") == b""
    with refused(Reason.DECRYPTION_FAILED):
        stream.finish()


def test_a_ciphertext_that_is_a_good_tag_over_nothing_is_refused() -> None:
    info, _ = sealed(device())
    tag = AESGCM(bytes(16)).encrypt(info.iv, b"", cbor2.dumps(["Encrypt", info.protected, b""]))
    assert len(tag) == 16
    stream = Decryptor(info, bytes(16))
    assert stream.update(tag) == b""
    with refused(Reason.DECRYPTION_FAILED):
        stream.finish()


def test_a_ciphertext_past_the_limit_is_refused_before_more_of_it_is_decrypted() -> None:
    key = device()
    info, ciphertext = sealed(key, algorithm=CTR)
    stream = decryptor(info, (key,), limit=len(ciphertext))
    assert stream.update(ciphertext) == PLAINTEXT
    with refused(Reason.LIMIT_EXCEEDED):
        stream.update(b"\0")
    assert MAX_CIPHERTEXT == 2**36 - 32  # NIST SP 800-38D: 2^39 - 256 bits


def test_a_gcm_message_read_as_ctr_or_with_another_header_is_refused_or_gives_nothing() -> None:
    key = device()
    info, ciphertext = sealed(key, algorithm=ContentAlgorithm.A256GCM)
    for other in (ContentAlgorithm.A256CTR, ContentAlgorithm.A128GCM):
        changed = dataclasses.replace(info, algorithm=other)
        with refused(Reason.MALFORMED):
            decode_encrypt(changed.encode())
    stream = decryptor(info, (key,))
    assert stream.update(ciphertext) == PLAINTEXT  # and is not to be used before this:
    assert stream.finish() == b""


# What encryption info may say.


def gcm_body(*recipients: object, **changes: object) -> bytes:
    """Answer an encoded message; keywords replace its parts."""
    parts: dict[str, object] = {
        "protected": cbor2.dumps({1: 1}),
        "unprotected": {5: bytes(12)},
        "ciphertext": None,
        "recipients": recipients or (wrapped(),),
    }
    body: Any = tuple({**parts, **changes}.values())
    return tagged(body)


def ctr_body(**changes: object) -> bytes:
    """Answer an encoded AES-CTR message; keywords replace its parts."""
    return gcm_body(**{"protected": b"", "unprotected": {1: int(CTR), 5: bytes(16)}, **changes})


def tagged(body: cbor.Value, tag: int = 96) -> bytes:
    return cbor.encode(cbor2.CBORTag(tag, body))


def wrapped(
    protected: object = b"", unprotected: object = None, key: object = bytes(24)
) -> tuple[object, ...]:
    """Answer a key-wrap recipient."""
    return (protected, {1: -3} if unprotected is None else unprotected, key)


def ephemeral(**changes: object) -> dict[int, Any]:
    """Answer an ephemeral COSE_Key; keywords replace or add its parts."""
    point = device(ECDH)
    assert isinstance(point, AgreementKey)
    key: dict[Any, Any] = dict(point.public().point.cose_key())
    names = {"kty": 1, "kid": 2, "alg": 3, "crv": -1, "x": -2, "y": -3, "d": -4}
    return {**key, **{names[name]: value for name, value in changes.items()}}


def agreed(protected: object = None, unprotected: object = None) -> tuple[object, ...]:
    """Answer an ECDH-ES recipient."""
    return (
        cbor2.dumps({1: -29}) if protected is None else protected,
        {-1: ephemeral()} if unprotected is None else unprotected,
        bytes(24),
    )


def test_the_messages_these_tests_are_made_from_are_good() -> None:
    for data in (gcm_body(), ctr_body(), gcm_body(agreed()), ctr_body(recipients=(agreed(),))):
        assert decode_encrypt(data).encode() == data


MALFORMED = {
    "not CBOR": b"\xff",
    "bytes after it": gcm_body() + b"\0",
    "no tag": cbor2.dumps([b"", {}, None, []]),
    "three parts": tagged((b"", {5: bytes(12)}, None)),
    "no array": tagged(5),
    "a map": tagged({1: 2, 2: 2, 3: 3, 4: 4}),
    "protected header no byte string": gcm_body(protected={1: 1}),
    "unprotected header no map": gcm_body(unprotected=()),
    "protected header no map": gcm_body(protected=cbor2.dumps([1])),
    "protected header with bytes after it": gcm_body(protected=cbor2.dumps({1: 1}) + b"\0"),
    "a label of bytes": gcm_body(unprotected={5: bytes(12), b"x": 1}),
    "a protected label of bytes": gcm_body(protected=cbor2.dumps({1: 1, b"x": 1})),
    "a header in both buckets": gcm_body(unprotected={1: 1, 5: bytes(12)}),
    "IV missing": gcm_body(unprotected={}),
    "IV no byte string": gcm_body(unprotected={5: "123456789012"}),
    "IV of GCM too long": gcm_body(unprotected={5: bytes(16)}),
    "IV of CTR too short": ctr_body(unprotected={1: int(CTR), 5: bytes(12)}),
    "CTR under a protected header": ctr_body(
        protected=cbor2.dumps({1: int(CTR)}), unprotected={5: bytes(16)}
    ),
    "CTR under an empty protected map": ctr_body(protected=b"\xa0"),
    "recipients no array": gcm_body(recipients=5),
    "no recipients": gcm_body(recipients=()),
}


@pytest.mark.parametrize("data", MALFORMED.values(), ids=MALFORMED)
def test_a_message_that_is_not_what_its_format_says_is_refused_as_malformed(data: bytes) -> None:
    with refused(Reason.MALFORMED):
        decode_encrypt(data)


UNSUPPORTED = {
    "COSE_Sign1": tagged((b"", {}, None, b""), tag=18),
    "COSE_Encrypt0": tagged((b"", {}, None), tag=16),
    "an attached ciphertext": gcm_body(ciphertext=b"x"),
    "crit": gcm_body(protected=cbor.encode({1: 1, 2: (1,)})),
    "crit, unprotected": gcm_body(unprotected={2: (1,), 5: bytes(12)}),
    "a kid of the content": gcm_body(unprotected={4: b"k", 5: bytes(12)}),
    "a partial IV": gcm_body(unprotected={6: b"\1"}),
    "a protected IV": gcm_body(protected=cbor2.dumps({1: 1, 5: bytes(12)}), unprotected={}),
    "a text label": gcm_body(unprotected={5: bytes(12), "x": 1}),
    "an unknown label": gcm_body(unprotected={5: bytes(12), 999: 1}),
    "GCM named in the unprotected header": gcm_body(
        protected=b"", unprotected={1: 1, 5: bytes(12)}
    ),
}


@pytest.mark.parametrize("data", UNSUPPORTED.values(), ids=UNSUPPORTED)
def test_a_message_with_a_feature_outside_the_profile_is_refused_as_unsupported(
    data: bytes,
) -> None:
    with refused(Reason.UNSUPPORTED):
        decode_encrypt(data)


@pytest.mark.parametrize("number", [24, 10, -65531, -29, -3, 0, True, "A128GCM", b"\1", None])
def test_another_content_algorithm_is_refused(number: object) -> None:
    protected = cbor2.dumps({} if number is None else {1: number})
    with refused(Reason.UNSUPPORTED_ALGORITHM):
        decode_encrypt(gcm_body(protected=protected))


def test_a_message_that_is_not_deterministic_is_refused() -> None:
    with refused(Reason.NOT_DETERMINISTIC):
        decode_encrypt(b"\xd8\x60\x9f" + gcm_body()[3:] + b"\xff")


def test_more_recipients_than_the_limit_are_refused() -> None:
    decode_encrypt(gcm_body(*[wrapped()] * MAX_RECIPIENTS))
    with refused(Reason.LIMIT_EXCEEDED):
        decode_encrypt(gcm_body(*[wrapped()] * (MAX_RECIPIENTS + 1)))


BAD_RECIPIENTS: dict[str, tuple[object, Reason]] = {
    "no array": (5, Reason.MALFORMED),
    "two parts": ((b"", {1: -3}), Reason.MALFORMED),
    "recipients of its own": ((*wrapped(), (wrapped(),)), Reason.UNSUPPORTED),
    "protected header no byte string": (wrapped(protected=None), Reason.MALFORMED),
    "protected header of a key wrap": (
        wrapped(cbor2.dumps({1: -3}), {}),
        Reason.MALFORMED,
    ),
    "empty protected map": (wrapped(b"\xa0"), Reason.MALFORMED),
    "kid no byte string": (wrapped(unprotected={1: -3, 4: "kid"}), Reason.MALFORMED),
    "kid not UTF-8": (wrapped(unprotected={1: -3, 4: b"\xff"}), Reason.UNSUPPORTED),
    "kid protected": (
        agreed(cbor2.dumps({1: -29, 4: b"k"})),
        Reason.UNSUPPORTED,
    ),
    "unknown header": (wrapped(unprotected={1: -3, 7: 1}), Reason.UNSUPPORTED),
    "key wrap with ephemeral key": (
        wrapped(unprotected={1: -3, -1: ephemeral()}),
        Reason.UNSUPPORTED,
    ),
    "salt": (agreed(unprotected={-1: ephemeral(), -20: b"s"}), Reason.UNSUPPORTED),
    "party": (agreed(unprotected={-1: ephemeral(), -21: b"s"}), Reason.UNSUPPORTED),
    "agreement named unprotected": (
        agreed(b"", {1: -29, -1: ephemeral()}),
        Reason.UNSUPPORTED,
    ),
    "wrapped key missing": (wrapped(key=None), Reason.MALFORMED),
    "wrapped key too short": (wrapped(key=bytes(23)), Reason.MALFORMED),
    "wrapped key of another algorithm": (wrapped(key=bytes(40)), Reason.MALFORMED),
    "no algorithm": (wrapped(unprotected={}), Reason.UNSUPPORTED_ALGORITHM),
    "direct": (wrapped(unprotected={1: -6}), Reason.UNSUPPORTED_ALGORITHM),
    "A256KW agreement": (agreed(cbor2.dumps({1: -31})), Reason.UNSUPPORTED_ALGORITHM),
    "content algorithm": (wrapped(unprotected={1: 1}), Reason.UNSUPPORTED_ALGORITHM),
    "ephemeral key missing": (agreed(unprotected={4: b"k"}), Reason.MALFORMED),
    "ephemeral key no map": (agreed(unprotected={-1: b"k"}), Reason.MALFORMED),
    "ephemeral key with alg": (
        agreed(unprotected={-1: ephemeral(alg=-29)}),
        Reason.UNSUPPORTED,
    ),
    "ephemeral private key": (
        agreed(unprotected={-1: ephemeral(d=bytes(32))}),
        Reason.UNSUPPORTED,
    ),
    "ephemeral key of another type": (
        agreed(unprotected={-1: ephemeral(kty=1)}),
        Reason.UNSUPPORTED,
    ),
    "ephemeral key on P-384": (agreed(unprotected={-1: ephemeral(crv=2)}), Reason.UNSUPPORTED),
    "ephemeral curve true": (agreed(unprotected={-1: ephemeral(crv=True)}), Reason.UNSUPPORTED),
    "compressed point": (agreed(unprotected={-1: ephemeral(y=True)}), Reason.UNSUPPORTED),
    "x of text": (agreed(unprotected={-1: ephemeral(x="x" * 32)}), Reason.MALFORMED),
    "y of text": (agreed(unprotected={-1: ephemeral(y="y" * 32)}), Reason.MALFORMED),
    "x of another length": (agreed(unprotected={-1: ephemeral(x=bytes(31))}), Reason.MALFORMED),
    "a point off the curve": (
        agreed(unprotected={-1: ephemeral(x=bytes(32), y=bytes(31) + b"\1")}),
        Reason.MALFORMED,
    ),
}


@pytest.mark.parametrize(("recipient", "reason"), BAD_RECIPIENTS.values(), ids=BAD_RECIPIENTS)
def test_a_recipient_outside_the_profile_is_refused_and_located(
    recipient: object, reason: Reason
) -> None:
    with refused(reason, where="recipients[1]"):
        decode_encrypt(gcm_body(wrapped(), recipient))


def test_the_refused_feature_is_named() -> None:
    named = {
        "Partial IV": gcm_body(unprotected={6: b"\1"}),
        "crit": gcm_body(unprotected={2: (1,), 5: bytes(12)}),
        "salt": gcm_body(agreed(unprotected={-1: ephemeral(), -20: b"s"})),
        "ChaCha20/Poly1305": gcm_body(protected=cbor2.dumps({1: 24})),
        "direct": gcm_body(wrapped(unprotected={1: -6})),
        "999": gcm_body(unprotected={5: bytes(12), 999: 1}),
        "COSE_Encrypt0": tagged((b"", {}, None), tag=16),
    }
    for name, data in named.items():
        with pytest.raises(Refused) as caught:
            decode_encrypt(data)
        assert name in caught.value.message


@given(st.binary(max_size=80))
def test_any_bytes_are_refused_or_written_back(data: bytes) -> None:
    for changed in (data, gcm_body()[: len(data)] + data):
        with contextlib.suppress(Refused):
            assert decode_encrypt(changed).encode() == changed


# Files of keys.


def cose_key(**changes: object) -> bytes:
    """Answer the COSE_Key of a device that agrees on keys, changed; None leaves a part out."""
    point = ec.derive_private_key(7, ec.SECP256R1()).public_key().public_numbers()
    parts: dict[str, object] = {
        "kty": 2,
        "crv": 1,
        "x": point.x.to_bytes(32, "big"),
        "y": point.y.to_bytes(32, "big"),
        "d": (7).to_bytes(32, "big"),
    }
    return packed({**parts, **changes})


def kek_file(**changes: object) -> bytes:
    """Answer the COSE_Key of a key-encryption key, changed; None leaves a part out."""
    return packed({"kty": 4, "k": bytes(16), **changes})


def packed(parts: dict[str, object]) -> bytes:
    labels = {"kty": 1, "kid": 2, "alg": 3, "key_ops": 4, "base": 5}
    labels |= {"crv": -1, "k": -1, "x": -2, "y": -3, "d": -4}
    kept: Any = {labels[name]: value for name, value in parts.items() if value is not None}
    return cbor.encode(kept)


@pytest.mark.parametrize("kid", [None, "device"])
@pytest.mark.parametrize("wrap", KeyAlgorithm)
def test_a_key_comes_back_from_its_file_and_its_public_half_from_that(
    wrap: KeyAlgorithm, kid: str | None
) -> None:
    key = device(wrap, kid)
    assert recipient_key(key.encode(), kid=None, where="key") == key
    assert recipient_key(key.encode(), kid=key.kid, where="key") == key
    shared = public(key)
    assert recipient_public(shared.encode(), kid=None, where="key") == shared
    named = recipient_key(cose_key(), kid=Kid("profile"), where="key")
    assert named.kid == "profile"


def test_a_pem_public_key_is_the_same_recipient_as_its_cose_key() -> None:
    pem = (
        ec.derive_private_key(7, ec.SECP256R1())
        .public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    found = recipient_public(pem, kid=Kid("a"), where="key.pem")
    assert isinstance(found, AgreementPublic)
    assert found == recipient_public(cose_key(d=None), kid=Kid("a"), where="key.cose")


def test_key_operations_that_allow_the_use_are_accepted() -> None:
    for ops in ((), (7,), (8,), (7, 8)):
        recipient_key(cose_key(key_ops=ops), kid=None, where="key")
        recipient_public(cose_key(key_ops=ops, d=None), kid=None, where="key")
    for data in (kek_file(key_ops=(5, 6)), kek_file(alg=-3)):
        assert isinstance(recipient_key(data, kid=None, where="key"), Kek)
        assert isinstance(recipient_public(data, kid=None, where="key"), Kek)
    recipient_key(cose_key(alg=-29), kid=None, where="key")


BAD_FILES = {
    "empty": b"",
    "not CBOR": b"\xff",
    "no map": cbor2.dumps([1]),
    "no key type": cose_key(kty=None),
    "key type true": cose_key(kty=True),
    "another key type": cose_key(kty=1),
    "kid of text": cose_key(kid="device"),
    "kid not UTF-8": cose_key(kid=b"\xff"),
    "another kid": cose_key(kid=b"other"),
    "unknown parameter": cose_key(base=b"iv"),
    "another algorithm": cose_key(alg=-9),
    "key operations of another use": cose_key(key_ops=(1,)),
    "key operations no array": cose_key(key_ops=7),
    "another curve": cose_key(crv=2),
    "curve true": cose_key(crv=True),
    "compressed point": cose_key(y=True),
    "no x": cose_key(x=None),
    "x too short": cose_key(x=bytes(31)),
    "a point off the curve": cose_key(x=bytes(32)),
    "kek of another length": kek_file(k=bytes(20)),
    "kek of text": kek_file(k="k" * 16),
    "kek missing": kek_file(k=None),
    "kek for another algorithm": kek_file(alg=-5),
    "kek for signatures": kek_file(key_ops=(9, 10)),
    "kek with more": kek_file(base=b"iv"),
}


@pytest.mark.parametrize("data", BAD_FILES.values(), ids=BAD_FILES)
def test_a_file_that_is_no_key_for_a_recipient_is_the_operators_error(data: bytes) -> None:
    with misuse():
        recipient_key(data, kid=Kid("device"), where="key")
    with misuse():
        recipient_public(data, kid=Kid("device"), where="key")


BAD_PRIVATE = {
    "public half alone": cose_key(d=None),
    "d too short": cose_key(d=b"\7"),
    "d of text": cose_key(d="d" * 32),
    "d zero": cose_key(d=bytes(32)),
    "d the order": cose_key(d=P256_ORDER.to_bytes(32, "big")),
    "d of another point": cose_key(d=(8).to_bytes(32, "big")),
}


@pytest.mark.parametrize("data", BAD_PRIVATE.values(), ids=BAD_PRIVATE)
def test_a_device_is_not_given_a_key_that_cannot_decrypt(data: bytes) -> None:
    with misuse():
        recipient_key(data, kid=None, where="key")


@pytest.mark.parametrize("kid", ["device", b"\xff"])
def test_a_key_whose_kid_cannot_be_read_is_not_taken_for_one_without(kid: object) -> None:
    for data in (cose_key(kid=kid), kek_file(kid=kid)):
        with misuse():
            recipient_key(data, kid=None, where="key")


def test_a_point_cut_at_another_place_is_refused() -> None:
    # The bytes together are a good point; x and y are not.
    good = ephemeral()
    both = good[-2] + good[-3]
    data = gcm_body(agreed(unprotected={-1: ephemeral(x=both[:31], y=both[31:])}))
    with refused(Reason.MALFORMED):
        decode_encrypt(data)
    with misuse():
        recipient_key(cose_key(x=both[:31], y=both[31:]), kid=None, where="key")


def pem_of(key: ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey) -> bytes:
    return key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def test_an_author_is_not_given_a_private_key_or_one_of_another_kind() -> None:
    for data in (
        cose_key(),
        b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n",
        pem_of(ec.generate_private_key(ec.SECP384R1())),
        pem_of(ed25519.Ed25519PrivateKey.generate()),
    ):
        with misuse():
            recipient_public(data, kid=None, where="key")
