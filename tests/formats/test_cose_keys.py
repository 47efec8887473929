"""A public key is one point on one curve, read strictly, and never a private one."""

from __future__ import annotations

import hashlib

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from formats.refusals import bit_flips, misuse, refused, truncations
from fwseal.base import cbor
from fwseal.base.errors import Misuse
from fwseal.base.reasons import Reason
from fwseal.cose.algorithms import Algorithm
from fwseal.cose.keys import PublicKey, der_to_raw

PRIVATE = ec.generate_private_key(ec.SECP256R1())
NUMBERS = PRIVATE.public_key().public_numbers()
X, Y = (number.to_bytes(32, "big") for number in (NUMBERS.x, NUMBERS.y))
KEY: dict[cbor.Key, cbor.Value] = {1: 2, -1: 1, -2: X, -3: Y}


def spki_pem(key: ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey) -> bytes:
    return key.public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )


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


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"-----BEGIN PUBLIC KEY-----\n", id="cut short"),
        pytest.param(spki_pem(ec.generate_private_key(ec.SECP384R1()).public_key()), id="P-384"),
        pytest.param(
            spki_pem(ec.generate_private_key(ec.SECP256K1()).public_key()), id="secp256k1"
        ),
        pytest.param(spki_pem(ed25519.Ed25519PrivateKey.generate().public_key()), id="Ed25519"),
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
def test_anything_but_a_p256_pem_public_key_is_refused(data: bytes) -> None:
    with misuse():
        PublicKey.from_pem(data, where="key.pem")


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
