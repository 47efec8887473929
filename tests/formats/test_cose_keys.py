"""A key is of one kind, read strictly, verifies for that kind alone, and is never a private one."""

from __future__ import annotations

import hashlib
import itertools
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, mldsa, rsa, x25519

from formats.refusals import bit_flips, misuse, refused, truncations
from fwseal.base import cbor
from fwseal.base.errors import Misuse
from fwseal.base.ids import KeyLabel, Kid
from fwseal.base.reasons import Reason
from fwseal.cose.algorithms import TABLE, Algorithm, Kind, algorithm_for, algorithm_named
from fwseal.cose.keys import MacKey, PublicKey, as_der, der_to_raw, verification_key
from fwseal.signing import softkey

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes

PRIVATE = ec.generate_private_key(ec.SECP256R1())
NUMBERS = PRIVATE.public_key().public_numbers()
X, Y = (number.to_bytes(32, "big") for number in (NUMBERS.x, NUMBERS.y))
KEY: dict[cbor.Key, cbor.Value] = {1: 2, -1: 1, -2: X, -3: Y}


def spki_pem(key: PublicKeyTypes) -> bytes:
    return key.public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )


CURVES: dict[int, ec.EllipticCurve] = {1: ec.SECP256R1(), 2: ec.SECP384R1(), 3: ec.SECP521R1()}
ML_DSA = {
    -48: mldsa.MLDSA44PrivateKey,
    -49: mldsa.MLDSA65PrivateKey,
    -50: mldsa.MLDSA87PrivateKey,
}
ED25519 = ed25519.Ed25519PrivateKey.generate().public_key()
OKP: dict[cbor.Key, cbor.Value] = {1: 1, -1: 6, -2: ED25519.public_bytes_raw()}
SECRET = bytes(range(1, 33))
MAC: dict[cbor.Key, cbor.Value] = {1: 4, -1: SECRET}
AKP: dict[cbor.Key, cbor.Value] = {
    1: 7,
    3: -48,
    -1: mldsa.MLDSA44PrivateKey.generate().public_key().public_bytes_raw(),
}


def read(parts: cbor.Value) -> PublicKey:
    return PublicKey.from_cose_key(cbor.encode(parts), where="key.cose")


def test_a_cose_key_and_a_pem_of_one_point_are_one_key() -> None:
    key = read(KEY)
    assert key == PublicKey.from_pem(spki_pem(PRIVATE.public_key()), where="key.pem")
    assert key.pem == spki_pem(PRIVATE.public_key())
    assert key.fixed is None
    assert key.fingerprint == hashlib.sha256(key.spki).hexdigest()
    assert read({**KEY, 3: -9}).fixed is Algorithm.ESP256
    assert read({**KEY, 2: b"a kid"}) == key


@pytest.mark.parametrize(
    "parts",
    [
        pytest.param({**KEY, -4: b"d" * 32}, id="private"),
        pytest.param({**KEY, -4: None}, id="private part of null"),
        pytest.param({**KEY, 1: 1}, id="octet key pair"),
        pytest.param({**KEY, 1: 4}, id="symmetric"),
        pytest.param({**KEY, 1: True}, id="key type true"),
        pytest.param({**KEY, -1: True}, id="curve true, which Python takes for 1"),
        pytest.param({**KEY, -1: 2}, id="P-384"),
        pytest.param({**KEY, -1: "P-256"}, id="curve by name"),
        pytest.param({**KEY, 3: None}, id="algorithm null"),
        pytest.param({**KEY, 3: -8}, id="algorithm of another family"),
        pytest.param({**KEY, -3: True}, id="compressed point"),
        pytest.param({**KEY, -3: Y[:-1] + bytes([Y[-1] ^ 1])}, id="point off the curve"),
        pytest.param({**KEY, -2: bytes(32), -3: bytes(32)}, id="zero point"),
        pytest.param({**KEY, -2: b"\xff" * 32}, id="x past the field"),
        pytest.param({**KEY, -2: X[:31], -3: X[31:] + Y}, id="x and y split elsewhere"),
        pytest.param({**KEY, -2: b"\0" + X}, id="x of 33 bytes"),
        pytest.param({1: 2, -1: 1, -2: X}, id="no y"),
        pytest.param({1: 2, -2: X, -3: Y}, id="no curve"),
        pytest.param({-1: 1, -2: X, -3: Y}, id="no key type"),
        pytest.param({}, id="empty"),
        pytest.param((KEY,), id="a key set"),
        pytest.param(X + Y, id="bytes"),
    ],
)
def test_anything_but_a_public_p256_cose_key_is_refused(parts: cbor.Value) -> None:
    with misuse():
        read(parts)


def test_a_cose_key_in_another_encoding_is_refused() -> None:
    data = cbor.encode(KEY)
    for wrong in (
        b"",
        data + b"\0",
        data.replace(b"\x20\x01", b"\x20\x18\x01"),
        *truncations(data),
    ):
        with misuse():
            PublicKey.from_cose_key(wrong, where="key.cose")


def test_no_bit_flip_of_a_cose_key_is_read_as_the_same_key() -> None:
    data = cbor.encode({**KEY, 3: -9})
    key, refusals = PublicKey.from_cose_key(data, where="key"), 0
    for changed in bit_flips(data):
        try:
            assert PublicKey.from_cose_key(changed, where="key") != key
        except Misuse:
            refusals += 1
    assert refusals > 8 * 64


@pytest.mark.parametrize("number", CURVES)
def test_a_cose_key_of_each_curve_is_the_pem_of_its_point(number: int) -> None:
    public = ec.generate_private_key(CURVES[number]).public_key()
    size = (public.curve.key_size + 7) // 8
    x, y = (
        value.to_bytes(size, "big")
        for value in (public.public_numbers().x, public.public_numbers().y)
    )
    parts: dict[cbor.Key, cbor.Value] = {1: 2, -1: number, -2: x, -3: y}
    key = read(parts)
    assert key == verification_key(spki_pem(public), where="key.pem")
    assert key.kind.value == {1: "P-256", 2: "P-384", 3: "P-521"}[number]
    for other in CURVES:
        if other != number:
            with misuse():
                read({**parts, -1: other})
    with misuse():
        read({**parts, -2: b"\0" + x})


@pytest.mark.parametrize("number", ML_DSA)
def test_an_algorithm_key_pair_says_which_algorithm_it_is_for(number: int) -> None:
    public = ML_DSA[number].generate().public_key()
    parts: dict[cbor.Key, cbor.Value] = {1: 7, 3: number, -1: public.public_bytes_raw()}
    key = read(parts)
    assert key.fixed is Algorithm(number)
    assert key.identity == PublicKey.from_pem(spki_pem(public), where="key.pem").identity
    for other in ML_DSA:
        if other != number:
            with misuse():
                read({**parts, 3: other})


def test_an_ed25519_cose_key_is_the_pem_of_its_point() -> None:
    assert read(OKP) == PublicKey.from_pem(spki_pem(ED25519), where="key.pem")
    assert read({**OKP, 3: -19}).fixed is Algorithm.ED25519
    assert read({**OKP, 3: -8}).fixed is Algorithm.EDDSA


@pytest.mark.parametrize(
    "parts",
    [
        pytest.param({**OKP, -4: b"d" * 32}, id="Ed25519 private"),
        pytest.param({**OKP, -1: 7}, id="Ed448"),
        pytest.param({**OKP, -1: 4}, id="X25519"),
        pytest.param({1: 1, -2: OKP[-2]}, id="no curve"),
        pytest.param({**OKP, -2: bytes(31)}, id="31 bytes"),
        pytest.param({**OKP, -2: bytes(33)}, id="33 bytes"),
        pytest.param({**OKP, -2: "x" * 32}, id="text"),
        pytest.param({**OKP, -3: Y}, id="a second coordinate"),
        pytest.param({**OKP, 3: -9}, id="Ed25519 key for ESP256"),
        pytest.param({**AKP, -2: b"s" * 32}, id="ML-DSA seed"),
        pytest.param({1: 7, -1: AKP[-1]}, id="ML-DSA without algorithm"),
        pytest.param({**AKP, 3: -9}, id="algorithm key pair for ESP256"),
        pytest.param({**AKP, -1: None}, id="algorithm key pair without pub"),
        pytest.param({**AKP, -1: "x" * 1312}, id="pub as text"),
        pytest.param({**AKP, -1: bytes(1311)}, id="pub too short"),
        pytest.param({**AKP, -1: bytes(1313)}, id="pub too long"),
        pytest.param({**AKP, -4: b"d"}, id="algorithm key pair with d"),
        pytest.param({**KEY, 3: -51}, id="P-256 key for ESP384"),
        pytest.param({**KEY, 3: -49}, id="P-256 key for ML-DSA"),
        pytest.param({**KEY, 3: 5}, id="P-256 key for HMAC"),
        pytest.param({**KEY, 3: -999}, id="unknown algorithm"),
        pytest.param({**KEY, 4: (1,)}, id="key that may only sign"),
        pytest.param({**KEY, 4: 2}, id="operations that are no array"),
        pytest.param({**KEY, 5: b"iv"}, id="base IV"),
        pytest.param({**KEY, "d": b"d"}, id="unknown label"),
        pytest.param({1: 3, -1: bytes(256), -2: b"\1\0\1"}, id="RSA"),
        pytest.param(MAC, id="shared secret"),
    ],
)
def test_a_private_or_confused_cose_key_is_no_public_key(parts: cbor.Value) -> None:
    with misuse():
        read(parts)


def test_a_point_that_is_not_on_its_curve_is_no_verification_key() -> None:
    with misuse():
        verification_key(cbor.encode({**KEY, -3: bytes(32)}), where="key.cose")


def test_a_key_may_say_what_it_is_used_for() -> None:
    assert read({**KEY, 4: (1, 2)}) == read(KEY)
    assert MacKey.from_cose_key(cbor.encode({**MAC, 4: (10,)}), where="key").secret == SECRET


def mac(parts: cbor.Value) -> MacKey:
    return MacKey.from_cose_key(cbor.encode(parts), where="key.cose")


def test_a_shared_secret_is_read_and_never_shown() -> None:
    key = mac({**MAC, 3: 5})
    assert key == verification_key(cbor.encode({**MAC, 3: 5}), where="key.cose")
    assert key.fixed is Algorithm.HMAC_256
    assert key.kind is Kind.SECRET
    assert repr(SECRET) not in repr(key)
    assert SECRET not in key.identity


@pytest.mark.parametrize(
    "parts",
    [
        pytest.param(KEY, id="public key"),
        pytest.param({1: 4}, id="no secret"),
        pytest.param({**MAC, -1: SECRET[:31]}, id="31 bytes"),
        pytest.param({**MAC, -1: bytes(65)}, id="more than a block, which HMAC would hash"),
        pytest.param({**MAC, -1: "k" * 32}, id="text"),
        pytest.param({**MAC, 3: -9}, id="for ESP256"),
        pytest.param({**MAC, 3: 4}, id="for a shorter tag"),
        pytest.param({**MAC, 3: -3}, id="for key wrap"),
        pytest.param({**MAC, 4: (9,)}, id="may only make tags"),
        pytest.param({**MAC, -2: X}, id="with a coordinate"),
    ],
)
def test_anything_but_a_secret_of_32_to_64_bytes_is_no_mac_key(parts: cbor.Value) -> None:
    with misuse():
        mac(parts)


def test_a_secret_filled_with_zeros_is_the_same_signer() -> None:
    one, twin = mac(MAC), mac({**MAC, -1: SECRET + b"\0"})
    assert one.tag(b"message") == twin.tag(b"message")
    assert one.identity == twin.identity
    assert one.identity != mac({**MAC, -1: SECRET + b"\1"}).identity


def test_a_mac_is_verified_whole_and_for_no_other_algorithm() -> None:
    key = mac({**MAC})
    good = key.tag(b"message")
    key.verify(good, b"message", algorithm=Algorithm.HMAC_256)
    for wrong in (b"", good[:8], good[:31], good + b"\0", bytes(32)):
        with refused(Reason.BAD_SIGNATURE):
            key.verify(wrong, b"message", algorithm=Algorithm.HMAC_256)
    for algorithm in Algorithm:
        if algorithm is not Algorithm.HMAC_256:
            with refused(Reason.UNSUPPORTED_ALGORITHM):
                key.verify(good, b"message", algorithm=algorithm)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"-----BEGIN PUBLIC KEY-----\n", id="cut short"),
        pytest.param(
            spki_pem(ec.generate_private_key(ec.SECP256K1()).public_key()), id="secp256k1"
        ),
        pytest.param(spki_pem(ed448.Ed448PrivateKey.generate().public_key()), id="Ed448"),
        pytest.param(spki_pem(x25519.X25519PrivateKey.generate().public_key()), id="X25519"),
        pytest.param(spki_pem(rsa.generate_private_key(65537, 2048).public_key()), id="RSA"),
        pytest.param(2 * spki_pem(PRIVATE.public_key()), id="two keys"),
        pytest.param(
            PRIVATE.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            ),
            id="private",
        ),
        pytest.param(PublicKey.of(PRIVATE.public_key()).spki, id="DER"),
    ],
)
def test_anything_but_one_pem_public_key_of_a_known_kind_is_refused(data: bytes) -> None:
    with misuse():
        PublicKey.from_pem(data, where="key.pem")
    with misuse():
        verification_key(data, where="key.pem")


@pytest.mark.parametrize("kind", [one for one in Kind if one is not Kind.SECRET])
def test_a_key_verifies_no_algorithm_of_another_kind(kind: Kind) -> None:
    """A P-256 key with ESP384, an ML-DSA-44 key with ML-DSA-65, HMAC with a public key."""
    key = softkey.public_of(softkey.generate(algorithm_for(kind)), where="key")
    assert key.kind is kind
    count = 0
    for algorithm, row in TABLE.items():
        reason = Reason.BAD_SIGNATURE if row.kind is kind else Reason.UNSUPPORTED_ALGORITHM
        for check in (key.verify, key.verify_der):
            with refused(reason):
                check(bytes(row.size), b"message", algorithm=algorithm)
        count += reason is Reason.UNSUPPORTED_ALGORITHM
    assert count > len(TABLE) - 3


@pytest.mark.parametrize("kind", [one for one in Kind if one is not Kind.SECRET])
def test_a_signature_of_another_length_does_not_verify(kind: Kind) -> None:
    algorithm = algorithm_for(kind)
    private = softkey.generate(algorithm)
    key = softkey.public_of(private, where="key")
    signer = softkey.SoftKey(private, label=KeyLabel("key"), kid=Kid("key"), where="key")
    good = signer.sign(b"message")
    assert len(good) == TABLE[algorithm].size
    key.verify(good, b"message", algorithm=algorithm)
    key.verify_der(as_der(good, algorithm), b"message", algorithm=algorithm)
    half = len(good) // 2
    for wrong in (
        b"", good[:half] + b"\0" + good[half:], good[:-1], good + b"\0", b"\0" + good, good[:half],
        bytes(len(good)),
        b"\xff" * len(good), bytes(half) + good[half:], good[:half] + bytes(len(good) - half),
    ):  # fmt: skip
        with refused(Reason.BAD_SIGNATURE):
            key.verify(wrong, b"message", algorithm=algorithm)


def test_an_anchor_fixed_to_one_of_two_algorithms_of_its_kind_refuses_the_other() -> None:
    """A COSE_Key with alg -9 and a block with -7, and every such pair."""
    for one, other in itertools.permutations((-9, -7), 2):
        with refused(Reason.UNSUPPORTED_ALGORITHM):
            read({**KEY, 3: one}).verify(bytes(64), b"", algorithm=Algorithm(other))
    for one, other in itertools.permutations((-19, -8), 2):
        with refused(Reason.UNSUPPORTED_ALGORITHM):
            read({**OKP, 3: one}).verify(bytes(64), b"", algorithm=Algorithm(other))


def test_the_table_says_for_each_algorithm_what_the_registry_says() -> None:
    """RFC 9053, 9864, 9964: numbers and names stand here once more, by hand."""
    assert {row.name: int(number) for number, row in TABLE.items()} == {
        "ESP256": -9, "ESP384": -51, "ESP512": -52, "Ed25519": -19,
        "ES256": -7, "ES384": -35, "ES512": -36, "EdDSA": -8,
        "ML-DSA-44": -48, "ML-DSA-65": -49, "ML-DSA-87": -50, "HMAC 256/256": 5,
    }  # fmt: skip
    assert set(TABLE) == set(Algorithm)
    deprecated = {row.name for row in TABLE.values() if row.deprecated}
    assert deprecated == {"ES256", "ES384", "ES512", "EdDSA"}
    assert algorithm_named("Ed25519") is Algorithm.ED25519
    with pytest.raises(KeyError):
        algorithm_named("ED25519")


def test_a_key_fixed_to_one_algorithm_verifies_no_other() -> None:
    der = PRIVATE.sign(b"message", ec.ECDSA(hashes.SHA256()))
    raw = der_to_raw(der, Algorithm.ESP256)
    free, fixed = PublicKey.of(PRIVATE.public_key()), read({**KEY, 3: -9})
    free.verify(raw, b"message", algorithm=Algorithm.ES256)
    fixed.verify(raw, b"message", algorithm=Algorithm.ESP256)
    with refused(Reason.UNSUPPORTED_ALGORITHM):
        fixed.verify(raw, b"message", algorithm=Algorithm.ES256)
    with refused(Reason.BAD_SIGNATURE):
        fixed.verify(raw, b"massage", algorithm=Algorithm.ESP256)
