"""A verifier that shares no code with ours: cryptography, cbor2 and hashlib alone."""

from __future__ import annotations

import hashlib
from typing import Any

import cbor2
import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, utils

import workshop
from formats.refusals import bit_flips


class Bad(Exception):
    """What the oracle says of an envelope it does not accept."""


def check(said: object, expected: object) -> None:
    if said != expected:
        raise Bad(said)


def oracle(envelope: bytes, pem: bytes, kid: bytes, payload: bytes) -> dict[int, Any]:
    """Answer the manifest after draft-ietf-suit-manifest-37 8.3 and RFC 9052 4.4."""
    try:
        tagged = cbor2.loads(envelope)
        check(tagged.tag, 107)
        check(list(tagged.value), [2, 3])
        digest_bytes, *blocks = cbor2.loads(tagged.value[2])
        algorithm, digest = cbor2.loads(digest_bytes)
        check(algorithm, -16)
        check(digest, hashlib.sha256(cbor2.dumps(tagged.value[3])).digest())
        check(len(blocks), 1)
        message = cbor2.loads(blocks[0])
        check(message.tag, 18)
        protected, unprotected, detached, signature = message.value
        check(detached, None)
        check(cbor2.loads(protected), {1: -9})
        check(unprotected, {4: kid})
        check(len(signature), 64)
        key = serialization.load_pem_public_key(pem)
        assert isinstance(key, ec.EllipticCurvePublicKey)
        r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
        key.verify(
            utils.encode_dss_signature(r, s),
            cbor2.dumps(["Signature1", protected, b"", digest_bytes]),
            ec.ECDSA(hashes.SHA256()),
        )
        manifest: dict[int, Any] = cbor2.loads(tagged.value[3])
        check(manifest[1], 1)
        shared = cbor2.loads(cbor2.loads(manifest[3])[4])
        parameters = {}
        for command, argument in zip(shared[::2], shared[1::2], strict=True):
            parameters.update(argument if command == 20 else {})
        check(parameters[14], len(payload))
        check(cbor2.loads(parameters[3]), [-16, hashlib.sha256(payload).digest()])
    except (
        cbor2.CBORDecodeError,
        InvalidSignature,
        AttributeError,
        KeyError,
        TypeError,
        ValueError,
    ) as error:
        raise Bad(error) from error
    return manifest


def test_an_envelope_we_signed_verifies_with_cryptography_and_cbor2_alone() -> None:
    key = workshop.signer("release-2026")
    envelope = workshop.envelope(key, number=7)
    manifest = oracle(envelope, key.public().pem, b"release-2026", workshop.PAYLOAD)
    assert manifest[2] == 7
    assert cbor2.loads(manifest[3])[2] == [[b"\x00"]]


def test_the_oracle_refuses_another_key_another_payload_and_another_kid() -> None:
    key = workshop.signer()
    envelope = workshop.envelope(key)
    pem = key.public().pem
    with pytest.raises(Bad):
        oracle(envelope, workshop.signer().public().pem, b"release", workshop.PAYLOAD)
    with pytest.raises(Bad):
        oracle(envelope, pem, b"release", workshop.PAYLOAD + b"\0")
    with pytest.raises(Bad):
        oracle(envelope, pem, b"another", workshop.PAYLOAD)


def test_the_oracle_refuses_every_bit_flip_of_an_envelope_we_signed() -> None:
    # The few it lets through are cbor2's leniency, which is why our reader does not lean on it.
    key = workshop.signer()
    envelope = workshop.envelope(key)
    pem = key.public().pem
    refusals = 0
    for changed in bit_flips(envelope):
        try:
            oracle(changed, pem, b"release", workshop.PAYLOAD)
        except Bad:
            refusals += 1
    assert refusals > 8 * len(envelope) - 16
