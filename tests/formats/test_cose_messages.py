"""An authentication block: what may stand in it, where, and who else agrees that it is one."""

from __future__ import annotations

import hashlib
import hmac
from typing import TYPE_CHECKING

import cbor2
import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from hypothesis import given
from hypothesis import strategies as st

import workshop
from formats import crafted
from formats.refusals import bit_flips, misuse, refused, truncations
from fwseal.base import cbor
from fwseal.base.errors import Misuse, Refused, Unavailable
from fwseal.base.ids import KeyLabel, Kid
from fwseal.base.reasons import Reason
from fwseal.cose.algorithms import TABLE, Algorithm, registered
from fwseal.cose.keys import MacKey
from fwseal.cose.messages import MAX_CERTIFICATE, Block, Tag, decode_block, new_block
from fwseal.cose.signer import public_key
from fwseal.signing import sign, softkey
from fwseal.signing.softkey import SoftKey
from fwseal.suit import envelope as envelopes

if TYPE_CHECKING:
    from collections.abc import Iterator

ESP256 = crafted.ESP256
CERTIFICATE = b"certificate"
MANIFEST = workshop.manifest()


def signer(algorithm: Algorithm) -> SoftKey:
    """Answer a signer with a new key for that algorithm."""
    made = SoftKey(softkey.generate(algorithm), label=KeyLabel("key"), kid=Kid("key"), where="key")
    made.algorithm = algorithm
    return made


def block(
    protected: cbor.Value,
    unprotected: cbor.Value = None,
    *,
    tag: int = 18,
    payload: cbor.Value = None,
) -> bytes:
    """Answer a block with these headers; its signature is of no interest."""
    raw = protected if isinstance(protected, bytes) else cbor.encode(protected)
    body = (raw, {} if unprotected is None else unprotected, payload, bytes(64))
    return cbor.encode(cbor2.CBORTag(tag, body))


def oracle(data: bytes, payload: bytes, key: SoftKey) -> None:
    """Verify a block with cbor2 and cryptography alone; raises what they raise."""
    message = cbor2.loads(data)
    protected, unprotected, nothing, signature = message.value
    number = cbor2.loads(protected)[1]
    assert nothing is None
    assert unprotected == {4: b"key"}
    context = {18: "Signature1", 17: "MAC0"}[message.tag]
    covered = cbor2.dumps([context, protected, b"", payload])
    if number == 5:
        public = key.public()
        assert isinstance(public, MacKey)
        assert signature == hmac.new(public.secret, covered, hashlib.sha256).digest()
        return
    loaded = serialization.load_pem_public_key(public_key(key).pem)
    if isinstance(loaded, ec.EllipticCurvePublicKey):
        half = len(signature) // 2
        r, s = (int.from_bytes(part, "big") for part in (signature[:half], signature[half:]))
        hashed = {
            -9: hashes.SHA256(), -7: hashes.SHA256(), -51: hashes.SHA384(), -35: hashes.SHA384(),
            -52: hashes.SHA512(), -36: hashes.SHA512(),
        }[number]  # fmt: skip
        loaded.verify(encode_dss_signature(r, s), covered, ec.ECDSA(hashed))
    else:
        loaded.verify(signature, covered)  # of the kinds left


@pytest.mark.parametrize("algorithm", Algorithm)
def test_what_we_sign_an_independent_verifier_accepts(algorithm: Algorithm) -> None:
    key = signer(algorithm)
    envelope = sign.signed(envelopes.seal(MANIFEST), key)
    (data,) = envelope.blocks
    oracle(data, envelope.digest_bytes, key)
    read = decode_block(data)
    assert read.encode() == data
    assert (read.algorithm, read.kid, read.chain) == (algorithm, "key", ())
    assert read.kind is (Tag.MAC0 if algorithm is Algorithm.HMAC_256 else Tag.SIGN1)
    key.public().verify(read.signature, read.tbs(envelope.digest_bytes), algorithm=algorithm)
    if TABLE[algorithm].size < 200:
        for changed in bit_flips(read.signature):
            with refused(Reason.BAD_SIGNATURE):
                key.public().verify(changed, read.tbs(envelope.digest_bytes), algorithm=algorithm)


@pytest.mark.parametrize("algorithm", Algorithm)
def test_a_signature_made_elsewhere_is_verified_and_only_then_embedded(
    algorithm: Algorithm,
) -> None:
    key, stranger = signer(algorithm), signer(algorithm)
    sealed = envelopes.seal(MANIFEST)
    tbs = sign.to_be_signed(sealed, algorithm=algorithm)
    raw = key.sign(tbs)
    attached = sign.attached(
        sealed, key=key.public(), algorithm=algorithm, kid=key.kid, signature=raw
    )
    (data,) = attached.blocks
    oracle(data, sealed.digest_bytes, key)
    assert sealed.blocks == ()
    for wrong in (stranger.sign(tbs), key.sign(tbs + b"\0"), raw[:-1], raw + b"\0", b""):
        with refused(Reason.BAD_SIGNATURE):
            sign.attached(
                sealed, key=key.public(), algorithm=algorithm, kid=key.kid, signature=wrong
            )
    other = Algorithm.ESP384 if algorithm is Algorithm.ESP256 else Algorithm.ESP256
    with refused(Reason.UNSUPPORTED_ALGORITHM if TABLE[other].kind is not TABLE[algorithm].kind
                 else Reason.BAD_SIGNATURE):  # fmt: skip
        sign.attached(sealed, key=key.public(), algorithm=other, kid=key.kid, signature=raw)


def test_a_der_signature_made_elsewhere_is_not_embedded() -> None:
    key = signer(Algorithm.ESP256)
    sealed = envelopes.seal(MANIFEST)
    raw = key.sign(sign.to_be_signed(sealed, algorithm=key.algorithm))
    der = encode_dss_signature(int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big"))
    with refused(Reason.BAD_SIGNATURE):
        sign.attached(sealed, key=key.public(), algorithm=key.algorithm, kid=key.kid, signature=der)


def test_ecdsa_and_ml_dsa_sign_one_envelope_side_by_side() -> None:
    keys = [signer(Algorithm.ESP256), signer(Algorithm.ML_DSA_65)]
    envelope = envelopes.decode(sign.sign_envelope(MANIFEST, *keys))
    assert len(envelope.blocks) == 2
    for key, data in zip(keys, envelope.blocks, strict=True):
        oracle(data, envelope.digest_bytes, key)
    for key in keys:
        with refused(Reason.BAD_SIGNATURE):
            key.public().verify(b"", b"", algorithm=key.algorithm)


def test_a_shared_secret_signs_no_image_and_no_statement() -> None:
    secret = signer(Algorithm.HMAC_256)
    with misuse():
        public_key(secret)
    with misuse():
        sign.sign_statement(b"{}", secret)


@pytest.mark.parametrize(
    "number", ["none", None, 0, -999, 4, 6, 7, -37, -47, -46, -260, -17, 1, 10]
)
def test_algorithms_we_do_not_verify_are_refused_by_number(number: cbor.Value) -> None:
    with refused(Reason.UNSUPPORTED_ALGORITHM):
        decode_block(block({1: number}))


@pytest.mark.parametrize("algorithm", Algorithm)
def test_a_mac_is_no_signature_and_a_signature_no_mac(algorithm: Algorithm) -> None:
    right, wrong = (17, 18) if algorithm is Algorithm.HMAC_256 else (18, 17)
    data = block({1: int(algorithm)}, tag=right)
    assert decode_block(data).encode() == data
    with refused(Reason.UNSUPPORTED_ALGORITHM):
        decode_block(block({1: int(algorithm)}, tag=wrong))


@pytest.mark.parametrize("tag", [16, 96, 97, 98])
def test_other_cose_messages_are_refused_as_unsupported(tag: int) -> None:
    with refused(Reason.UNSUPPORTED):
        decode_block(block({1: -9}, tag=tag))
    assert Tag(tag).message == {
        16: "COSE_Encrypt0", 96: "COSE_Encrypt", 97: "COSE_Mac", 98: "COSE_Sign",
    }[tag]  # fmt: skip


@pytest.mark.parametrize(
    ("protected", "unprotected", "reason"),
    [
        pytest.param({1: -9}, {1: -9}, Reason.MALFORMED, id="alg in both buckets"),
        pytest.param({1: -9, 4: b"k"}, {4: b"k"}, Reason.MALFORMED, id="kid in both buckets"),
        pytest.param(
            {1: -9, 33: CERTIFICATE}, {33: CERTIFICATE}, Reason.MALFORMED, id="chain in both"
        ),
        pytest.param({1: -9, 99: 1}, {99: 1}, Reason.MALFORMED, id="unknown in both buckets"),
        pytest.param({}, {1: -9}, Reason.UNSUPPORTED, id="alg unprotected"),
        pytest.param({1: -9}, {2: (1,)}, Reason.MALFORMED, id="crit unprotected"),
        pytest.param({1: -9, 2: 1}, None, Reason.MALFORMED, id="crit no array"),
        pytest.param({1: -9, 2: ()}, None, Reason.MALFORMED, id="crit empty"),
        pytest.param({1: -9, 2: (True,)}, None, Reason.MALFORMED, id="crit lists true, not 1"),
        pytest.param({1: -9, 2: (b"\x01",)}, None, Reason.MALFORMED, id="crit lists bytes"),
        pytest.param({1: -9, 2: (1, 4)}, None, Reason.UNSUPPORTED, id="crit lists absent kid"),
        pytest.param(
            {1: -9, 2: (4,)}, {4: b"k"}, Reason.UNSUPPORTED, id="crit lists unprotected kid"
        ),
        pytest.param({1: -9, 2: (99,)}, None, Reason.UNSUPPORTED, id="crit lists what is absent"),
        pytest.param({1: -9, 2: (99,), 99: 1}, None, Reason.UNSUPPORTED, id="crit unknown"),
        pytest.param({1: -9, 2: ("x",), "x": 1}, None, Reason.UNSUPPORTED, id="crit text"),
        pytest.param({1: -9, 3: 0}, None, Reason.UNSUPPORTED, id="content type"),
        pytest.param({1: -9, 394: (b"r",)}, None, Reason.UNSUPPORTED, id="receipts protected"),
        pytest.param({1: -9}, {394: (b"r",)}, Reason.UNSUPPORTED, id="receipts"),
        pytest.param({1: -9}, {34: (-16, bytes(32))}, Reason.UNSUPPORTED, id="x5t"),
        pytest.param({1: -9}, {11: b"countersignature"}, Reason.UNSUPPORTED, id="countersignature"),
        pytest.param({1: -9, 4: 7}, None, Reason.MALFORMED, id="kid a number"),
        pytest.param({1: -9, 4: b"\xff"}, None, Reason.UNKNOWN_SIGNER, id="kid not UTF-8"),
        pytest.param({1: -9}, {33: (CERTIFICATE,)}, Reason.MALFORMED, id="array of one"),
        pytest.param({1: -9}, {33: ()}, Reason.MALFORMED, id="array of none"),
        pytest.param({1: -9}, {33: "certificate"}, Reason.MALFORMED, id="chain of text"),
        pytest.param({1: -9}, {33: (CERTIFICATE, "x")}, Reason.MALFORMED, id="text in the chain"),
        pytest.param({1: -9, 33: None}, None, Reason.MALFORMED, id="chain null"),
        pytest.param({1: -9}, {33: 5 * (CERTIFICATE,)}, Reason.LIMIT_EXCEEDED, id="five"),
        pytest.param(
            {1: -9}, {33: bytes(MAX_CERTIFICATE + 1)}, Reason.LIMIT_EXCEEDED, id="too large"
        ),
        pytest.param(b"", None, Reason.UNSUPPORTED_ALGORITHM, id="nothing protected"),
        pytest.param(b"\xa0", None, Reason.UNSUPPORTED_ALGORITHM, id="an empty map protected"),
        pytest.param(b"\x80", None, Reason.MALFORMED, id="an array protected"),
        pytest.param(ESP256 + b"\0", None, Reason.MALFORMED, id="a byte behind"),
        pytest.param({1: -9}, (), Reason.MALFORMED, id="unprotected no map"),
    ],
)
def test_a_header_that_may_not_stand_there_is_refused(
    protected: cbor.Value, unprotected: cbor.Value, reason: Reason
) -> None:
    with refused(reason):
        decode_block(block(protected, unprotected))


@pytest.mark.parametrize(
    ("protected", "unprotected"),
    [
        ({1: -9}, None),
        ({1: -9, 4: b"k"}, None),
        ({1: -9}, {4: b"k"}),
        ({1: -9}, {4: b""}),
        ({1: -9, 4: b"k", 2: (4, 1)}, None),
        ({1: -9, 2: (1,)}, {4: b"k"}),
        ({1: -9, 2: (33, 2), 33: CERTIFICATE}, {4: b"k"}),
        ({1: -9}, {4: b"k", 33: CERTIFICATE}),
        ({1: -9}, {33: (CERTIFICATE, CERTIFICATE)}),
        ({1: -9, 33: 4 * (CERTIFICATE,)}, {4: b"k"}),
        ({1: -9}, {33: bytes(MAX_CERTIFICATE)}),
    ],
)
def test_what_may_stand_in_a_block_is_read_back_to_the_same_bytes(
    protected: cbor.Value, unprotected: cbor.Value
) -> None:
    data = block(protected, unprotected)
    read = decode_block(data)
    assert read.encode() == data
    headers = {**(cbor2.loads(read.protected)), **(unprotected or {})}
    assert (read.kid is None) == (4 not in headers)
    assert len(read.chain) == {0: 0, 11: 1, 16384: 1, 2: 2, 4: 4}[len(headers.get(33, ()))]
    assert all(isinstance(one, bytes) for one in read.chain)


def test_an_attached_payload_is_refused_in_both_messages() -> None:
    for number, tag in ((-9, 18), (5, 17)):
        for payload in (b"", b"payload", ()):
            with refused(Reason.UNSUPPORTED):
                decode_block(block({1: number}, tag=tag, payload=payload))


LABELS = st.sampled_from([1, 2, 3, 4, 33, 34, 394, 99, "x"])
VALUES = st.recursive(
    st.one_of(
        st.sampled_from([-9, 5, -7, -999, b"k", b"\xff", "k", True, None]), st.binary(max_size=4)
    ),
    lambda inner: st.lists(inner, max_size=3).map(tuple),
    max_leaves=4,
)
HEADERS = st.dictionaries(LABELS, VALUES, max_size=3)


@given(HEADERS, HEADERS, st.sampled_from([16, 17, 18, 96]), st.booleans())
def test_whatever_is_accepted_encodes_to_what_was_read(
    protected: dict[cbor.Key, cbor.Value],
    unprotected: dict[cbor.Key, cbor.Value],
    tag: int,
    named: bool,
) -> None:
    data = block(
        {**protected, 1: 5 if tag == 17 else -9} if named else protected, unprotected, tag=tag
    )
    try:
        read = decode_block(data)
    except Refused:
        return
    assert read.encode() == data


@given(st.binary(max_size=60))
def test_any_bytes_are_refused_or_read_back(data: bytes) -> None:
    for candidate in (data, b"\xd2\x84" + data, b"\xd1\x84\x43\xa1\x01\x05" + data):
        try:
            read = decode_block(candidate)
        except Refused:
            continue
        assert read.encode() == candidate


def flipped(data: bytes) -> Iterator[Block]:
    for changed in (*bit_flips(data), *truncations(data)):
        try:
            read = decode_block(changed)
        except Refused:
            continue
        assert read.encode() == changed
        yield read


def test_no_bit_flip_of_a_block_verifies() -> None:
    for algorithm in (Algorithm.ESP256, Algorithm.HMAC_256, Algorithm.ED25519):
        key = signer(algorithm)
        envelope = sign.signed(envelopes.seal(MANIFEST), key)
        count = 0
        for read in flipped(envelope.blocks[0]):
            tbs = read.tbs(envelope.digest_bytes)
            try:
                key.public().verify(read.signature, tbs, algorithm=read.algorithm)
            except Refused:
                count += 1
                continue
            # Nothing covers the kid: whose key it names is the anchors' to judge.
            assert read.kid != key.kid
        assert count >= 8 * 32


def test_the_structures_that_are_signed_are_those_of_rfc_9052() -> None:
    made = new_block(Algorithm.ESP256, Kid("k"))
    assert made.tbs(b"p") == bytes.fromhex("846a5369676e61747572653143a10128404170")
    made = new_block(Algorithm.HMAC_256, None)
    assert made.tbs(b"p") == bytes.fromhex("84644d41433043a10105404170")


@pytest.mark.parametrize("algorithm", Algorithm)
def test_a_key_file_signs_with_the_algorithm_of_its_kind(algorithm: Algorithm) -> None:
    made = SoftKey(softkey.generate(algorithm), label=KeyLabel("key"), kid=Kid("key"), where="key")
    assert TABLE[made.algorithm].kind is TABLE[algorithm].kind
    assert not TABLE[made.algorithm].deprecated
    assert registered(made.algorithm) not in ("ES256", "ES384", "ES512", "EdDSA")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xa0",
        b"text",
        cbor.encode({1: 4, -1: b"short"}),
        cbor.encode({1: 1, -1: 6, -2: bytes(32), -4: bytes(32)}),
        ec.generate_private_key(ec.SECP256K1()).private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ),
        ec.generate_private_key(ec.SECP256R1()).private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"secret"),
        ),
    ],
)
def test_a_file_that_is_no_key_of_ours_signs_nothing(data: bytes) -> None:
    with pytest.raises(Misuse):
        SoftKey(data, label=KeyLabel("key"), kid=Kid("key"), where="key")


def test_a_mac_that_its_own_secret_does_not_verify_is_not_released() -> None:
    class Broken(SoftKey):
        def sign(self, tbs: bytes) -> bytes:
            return super().sign(tbs)[:-1]

    broken = Broken(
        softkey.generate(Algorithm.HMAC_256), label=KeyLabel("k"), kid=Kid("k"), where="k"
    )
    with pytest.raises(Unavailable):
        sign.signed(envelopes.seal(MANIFEST), broken)
