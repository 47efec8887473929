"""cwt, an implementation that shares no code with ours, agrees on signatures, MACs and payloads.

What cwt 3.3 does not know is ML-DSA: there plain cryptography and cbor2 are the oracle.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import cbor2
import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization

import workshop
from formats.refusals import refused
from fwseal.base.ids import KeyLabel, Kid
from fwseal.base.reasons import Reason
from fwseal.cose.algorithms import Algorithm, registered
from fwseal.cose.encryption import (
    AgreementKey,
    ContentAlgorithm,
    Kek,
    KeyAlgorithm,
    RecipientKey,
    decode_encrypt,
    decryptor,
    encrypted,
    new_recipient_key,
)
from fwseal.cose.keys import MacKey, PublicKey
from fwseal.signing import softkey
from fwseal.signing.sign import sign_envelope
from fwseal.signing.softkey import SoftKey
from needs import need_oracle

ORACLE = Path(__file__).resolve().parents[1] / "oracles/cwt_oracle.py"
PLAINTEXT = bytes(range(256)) * 3 + b"end"
ML_DSA = (Algorithm.ML_DSA_44, Algorithm.ML_DSA_65, Algorithm.ML_DSA_87)
KNOWN_TO_CWT = tuple(one for one in Algorithm if one not in ML_DSA)

Job = dict[str, Any]


def ask(*jobs: Job) -> list[Job]:
    """Answer what the oracle says to each job."""
    done = subprocess.run(
        [need_oracle(), "-I", ORACLE],
        input=json.dumps(jobs),
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    answers: list[Job] = json.loads(done.stdout)
    assert len(answers) == len(jobs) > 0
    return answers


def flipped(data: bytes, index: int = -1) -> bytes:
    changed = bytearray(data)
    changed[index] ^= 1
    return bytes(changed)


def random(seed: int) -> Any:  # noqa: ANN401  # a callable, counted
    """Answer randomness that a failing run can repeat."""
    drawn = iter(range(seed * 1000 + 1, (seed + 1) * 1000))
    return lambda size: (next(drawn).to_bytes(2, "big") * size)[:size]


# Signatures and MACs.


def signer(algorithm: Algorithm) -> SoftKey:
    key = SoftKey(
        softkey.generate(algorithm), label=KeyLabel("release"), kid=Kid("release"), where="key"
    )
    key.algorithm = algorithm
    return key


def block_of(key: SoftKey) -> tuple[bytes, bytes]:
    """Answer the block of an envelope that the key signed, and the payload it covers."""
    envelope = sign_envelope(workshop.manifest(), key)
    digest, block = cbor2.loads(cbor2.loads(envelope).value[2])
    return block, digest


def said(key: SoftKey) -> Job:
    """Answer the key as the oracle is told it; it calls HMAC by the name JOSE has for it."""
    held = key.public()
    if isinstance(held, MacKey):
        return {"secret": held.secret.hex(), "alg": "HS256", "kid": key.kid}
    return {"pem": held.pem.decode(), "alg": registered(key.algorithm), "kid": key.kid}


@pytest.mark.parametrize("algorithm", KNOWN_TO_CWT, ids=registered)
def test_cwt_verifies_a_block_we_signed_and_none_that_was_tampered_with(
    algorithm: Algorithm,
) -> None:
    key, stranger = signer(algorithm), signer(algorithm)
    block, digest = block_of(key)
    message = cbor2.loads(block)
    protected, unprotected, _, signature = message.value
    tag = message.tag

    def rebuilt(protected: bytes, signature: bytes) -> bytes:
        return cbor2.dumps(cbor2.CBORTag(tag, [protected, unprotected, None, signature]))

    def job(message: bytes, content: bytes, key: SoftKey) -> Job:
        return {
            "do": "verify",
            "message": message.hex(),
            "content": content.hex(),
            "key": said(key),
        }

    assert rebuilt(protected, signature) == block
    good, *bad = ask(
        job(block, digest, key),
        job(block, flipped(digest), key),
        job(rebuilt(protected, flipped(signature)), digest, key),
        job(rebuilt(protected, flipped(signature, 0)), digest, key),
        job(rebuilt(protected, signature[:-1]), digest, key),
        job(rebuilt(cbor2.dumps({1: int(algorithm), 3: 0}), signature), digest, key),
        job(block, digest, stranger),
    )
    assert good == {"value": digest.hex()}
    assert {one.get("error") for one in bad} == {"VerifyError"}


@pytest.mark.parametrize("algorithm", ML_DSA, ids=registered)
def test_plain_cryptography_verifies_ml_dsa_and_nothing_that_was_tampered_with(
    algorithm: Algorithm,
) -> None:
    # RFC 9964: pure ML-DSA with an empty context, over the Sig_structure itself.
    key = signer(algorithm)
    block, digest = block_of(key)
    message = cbor2.loads(block)
    protected, _, detached, signature = message.value
    assert (message.tag, detached) == (18, None)
    assert cbor2.loads(protected) == {1: int(algorithm)}
    held = key.public()
    assert isinstance(held, PublicKey)
    public: Any = serialization.load_pem_public_key(held.pem)
    public.verify(signature, cbor2.dumps(["Signature1", protected, b"", digest]))
    for context, content, raw in (
        ("Signature1", flipped(digest), signature),
        ("Signature", digest, signature),
        ("Signature1", digest, flipped(signature)),
    ):
        with pytest.raises(InvalidSignature):
            public.verify(raw, cbor2.dumps([context, protected, b"", content]))


# Payloads.

PAIRS = [(algorithm, wrap) for algorithm in ContentAlgorithm for wrap in KeyAlgorithm]


def device(wrap: KeyAlgorithm) -> RecipientKey:
    return new_recipient_key(wrap, kid=Kid("device"), random=random(7))


def told(key: RecipientKey, *, private: bool) -> Job:
    """Answer a recipient's key as the oracle is told it, with the half it needs."""
    if isinstance(key, Kek):
        return {"secret": key.secret.hex(), "alg": key.algorithm.name, "kid": key.kid}
    half = key if private else key.public()
    return {"cose_key": half.encode().hex(), "private": private}


def test_cwt_decrypts_what_we_encrypt_with_every_algorithm() -> None:
    jobs, expected = [], []
    for seed, (algorithm, wrap) in enumerate(PAIRS):
        key = device(wrap)
        public = key.public() if isinstance(key, AgreementKey) else key
        info, ciphertext = encrypted(
            PLAINTEXT, algorithm=algorithm, recipients=(public,), random=random(seed)
        )
        good = {
            "do": "decrypt",
            "message": info.encode().hex(),
            "content": ciphertext.hex(),
            "key": told(key, private=True),
        }
        jobs += [good, {**good, "content": flipped(ciphertext).hex()}]
        expected += [
            {"value": PLAINTEXT.hex()},
            # AES-CTR has no tag: the flip passes, and image-match is what catches it.
            "DecodeError" if algorithm.authenticated else {"value": flipped(PLAINTEXT).hex()},
        ]
    answers = [one.get("error", one) for one in ask(*jobs)]
    assert answers == expected
    assert len(PAIRS) == 24


def test_we_decrypt_what_cwt_encrypts_with_every_algorithm() -> None:
    jobs = [
        {
            "do": "encrypt",
            "alg": algorithm.name,
            "wrap": wrap.registered,
            "content": PLAINTEXT.hex(),
            "content_key": random(seed)(algorithm.key_size).hex(),
            "iv": random(seed)(algorithm.iv_size).hex(),
            "key": told(device(wrap), private=False),
        }
        for seed, (algorithm, wrap) in enumerate(PAIRS)
    ]
    for (algorithm, wrap), answer in zip(PAIRS, ask(*jobs), strict=True):
        message, ciphertext = cbor2.loads(bytes.fromhex(answer["value"]))
        info = decode_encrypt(message)
        assert info.encode() == message
        assert info.algorithm is algorithm
        assert [one.algorithm for one in info.recipients] == [wrap]
        stream = decryptor(info, (device(wrap),))
        assert stream.update(ciphertext) + stream.finish() == PLAINTEXT
        if algorithm.authenticated:
            stream = decryptor(info, (device(wrap),))
            stream.update(flipped(ciphertext))
            with refused(Reason.DECRYPTION_FAILED):
                stream.finish()


def test_neither_decrypts_what_was_wrapped_for_another_device() -> None:
    for wrap in KeyAlgorithm:
        stranger = new_recipient_key(wrap, kid=Kid("device"), random=random(8))
        key = device(wrap)
        public = key.public() if isinstance(key, AgreementKey) else key
        info, ciphertext = encrypted(
            PLAINTEXT,
            algorithm=ContentAlgorithm.A128CTR,
            recipients=(public,),
            random=random(1),
        )
        with refused(Reason.DECRYPTION_FAILED):
            decryptor(info, (stranger,))
        (answer,) = ask(
            {
                "do": "decrypt",
                "message": info.encode().hex(),
                "content": ciphertext.hex(),
                "key": told(stranger, private=True),
            }
        )
        assert answer["error"] == "DecodeError"
