"""A certificate chain beside a signature leads to an anchor in every link, or is refused."""

from __future__ import annotations

import datetime
import functools
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, mldsa, rsa
from cryptography.x509.oid import NameOID

import workshop
from formats import crafted
from formats.refusals import bit_flips, reason_of, refused, truncations
from fwseal.base import cbor
from fwseal.base.reasons import Reason
from fwseal.cose.algorithms import Algorithm
from fwseal.cose.certificates import judge
from fwseal.cose.keys import MacKey, PublicKey
from fwseal.cose.messages import decode_block

if TYPE_CHECKING:
    from collections.abc import Callable

    from cryptography.hazmat.primitives.asymmetric.types import (
        CertificateIssuerPrivateKeyTypes as PrivateKey,
    )

ROOT, MIDDLE, LEAF, STRANGER = (ec.generate_private_key(ec.SECP256R1()) for _ in range(4))
BEGIN = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)


def name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def certificate(
    subject: str,
    public: PrivateKey,
    issuer: str,
    by: PrivateKey,
    *,
    hashed: hashes.HashAlgorithm | None = hashes.SHA256(),  # noqa: B008 - immutable
) -> bytes:
    """Answer a certificate for the public half of a key."""
    built = (
        x509.CertificateBuilder()
        .subject_name(name(subject))
        .issuer_name(name(issuer))
        .public_key(public.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(BEGIN)
        .not_valid_after(BEGIN + datetime.timedelta(days=1))
    )
    return built.sign(by, hashed).public_bytes(serialization.Encoding.DER)


def key(private: PrivateKey) -> PublicKey:
    return PublicKey.of(private.public_key())


LEAF_BY_MIDDLE = certificate("leaf", LEAF, "middle", MIDDLE)
MIDDLE_BY_ROOT = certificate("middle", MIDDLE, "root", ROOT)
ROOT_ITSELF = certificate("root", ROOT, "root", ROOT)
LEAF_ITSELF = certificate("leaf", LEAF, "leaf", LEAF)
LEAF_BY_ROOT = certificate("leaf", LEAF, "root", ROOT)


def check(*chain: bytes, anchors: tuple[PrivateKey, ...] = (LEAF, ROOT)) -> None:
    judge(chain, signer=key(LEAF), anchors=[key(one) for one in anchors])


@pytest.mark.parametrize(
    "chain",
    [
        pytest.param((), id="none"),
        pytest.param((LEAF_ITSELF,), id="self-signed by the anchor"),
        pytest.param((LEAF_BY_ROOT,), id="issued by another anchor"),
        pytest.param((LEAF_BY_MIDDLE, MIDDLE_BY_ROOT), id="two"),
        pytest.param((LEAF_BY_MIDDLE, MIDDLE_BY_ROOT, ROOT_ITSELF), id="three, with the root"),
    ],
)
def test_a_chain_from_the_signers_key_to_an_anchor_is_accepted(chain: tuple[bytes, ...]) -> None:
    check(*chain)


def test_a_certificate_long_out_of_date_is_not_judged_by_its_dates() -> None:
    """The anchor is trusted by itself: a device without time learns nothing from a date."""
    assert x509.load_der_x509_certificate(LEAF_BY_ROOT).not_valid_after_utc.year == 2020
    check(LEAF_BY_ROOT)


@pytest.mark.parametrize(
    "chain",
    [
        pytest.param((ROOT_ITSELF,), id="an anchor's certificate, not the signer's"),
        pytest.param((MIDDLE_BY_ROOT, LEAF_BY_MIDDLE), id="leaf last"),
        pytest.param((certificate("leaf", STRANGER, "root", ROOT),), id="another key's"),
        pytest.param((certificate("leaf", LEAF, "root", STRANGER),), id="issued by a stranger"),
        pytest.param(
            (certificate("leaf", LEAF, "x", STRANGER), certificate("x", STRANGER, "x", STRANGER)),
            id="a chain to a stranger's root",
        ),
        pytest.param((LEAF_BY_MIDDLE,), id="cut short"),
        pytest.param((LEAF_BY_MIDDLE, ROOT_ITSELF), id="with the middle left out"),
        pytest.param(
            (certificate("leaf", LEAF, "middle", STRANGER), MIDDLE_BY_ROOT),
            id="named as issued by the next, signed by a stranger",
        ),
        pytest.param(
            (certificate("leaf", LEAF, "other", MIDDLE), MIDDLE_BY_ROOT),
            id="signed by the next, named as another's",
        ),
        pytest.param(
            (LEAF_ITSELF, certificate("leaf", LEAF, "root", STRANGER)),
            id="an anchor's key in a certificate that a stranger issued",
        ),
    ],
)
def test_a_chain_that_leads_elsewhere_is_refused(chain: tuple[bytes, ...]) -> None:
    with refused(Reason.BAD_SIGNATURE):
        check(*chain)


def test_a_chain_to_a_key_that_is_no_anchor_is_refused() -> None:
    with refused(Reason.BAD_SIGNATURE):
        check(LEAF_BY_ROOT, anchors=(LEAF,))
    with refused(Reason.BAD_SIGNATURE):
        check(LEAF_BY_ROOT, anchors=())


def test_a_shared_secret_has_no_certificate_and_issues_none() -> None:
    secret = MacKey(secret=bytes(range(32)))
    with refused(Reason.BAD_SIGNATURE):
        judge((LEAF_ITSELF,), signer=secret, anchors=[secret, key(LEAF)])
    with refused(Reason.BAD_SIGNATURE):
        judge((LEAF_BY_ROOT,), signer=key(LEAF), anchors=[secret])


@pytest.mark.parametrize(
    ("make", "hashed"),
    [
        (functools.partial(ec.generate_private_key, ec.SECP384R1()), hashes.SHA384()),
        (functools.partial(ec.generate_private_key, ec.SECP521R1()), hashes.SHA512()),
        (ed25519.Ed25519PrivateKey.generate, None),
        (mldsa.MLDSA44PrivateKey.generate, None),
        (mldsa.MLDSA65PrivateKey.generate, None),
        (mldsa.MLDSA87PrivateKey.generate, None),
    ],
)
def test_an_issuer_of_every_kind_is_followed(
    make: Callable[[], PrivateKey], hashed: hashes.HashAlgorithm | None
) -> None:
    root = make()
    check(certificate("leaf", LEAF, "root", root, hashed=hashed), anchors=(LEAF, root))
    both = (
        certificate("leaf", LEAF, "root", root, hashed=hashed),
        certificate("root", root, "root", root, hashed=hashed),
    )
    check(*both, anchors=(root,))
    with refused(Reason.BAD_SIGNATURE):
        check(both[0], anchors=(LEAF, make()))


def test_an_anchor_fixed_to_an_algorithm_of_cose_still_issues_certificates() -> None:
    fixed = PublicKey(spki=key(ROOT).spki, fixed=Algorithm.ES256)
    judge((LEAF_BY_ROOT,), signer=key(LEAF), anchors=[fixed])


def test_a_curve_that_signs_with_the_hash_of_another_is_refused() -> None:
    with refused(Reason.BAD_SIGNATURE):
        check(certificate("leaf", LEAF, "root", ROOT, hashed=hashes.SHA384()))


def test_an_issuer_or_a_leaf_that_we_cannot_verify_is_refused_as_such() -> None:
    rsa_key = rsa.generate_private_key(65537, 2048)
    with refused(Reason.UNSUPPORTED_ALGORITHM):
        check(certificate("leaf", LEAF, "root", rsa_key))
    with refused(Reason.UNSUPPORTED_ALGORITHM):
        check(certificate("leaf", rsa_key, "root", ROOT))
    with refused(Reason.UNSUPPORTED_ALGORITHM):
        check(certificate("leaf", ec.generate_private_key(ec.SECP256K1()), "root", ROOT))


def test_no_bit_flip_and_no_truncation_of_a_chain_is_accepted() -> None:
    """That includes what no signature covers: the outer algorithm, the unused bits."""
    reasons = set()
    for changed in (*bit_flips(LEAF_BY_ROOT), *truncations(LEAF_BY_ROOT)):
        reasons.add(reason_of(lambda changed=changed: check(changed)))
    assert reasons == {Reason.MALFORMED, Reason.UNSUPPORTED_ALGORITHM, Reason.BAD_SIGNATURE}
    for tail in (b"\0", b"\x30\x00", LEAF_BY_ROOT):
        with refused(Reason.MALFORMED):
            check(LEAF_BY_ROOT + tail)


def test_an_issuers_flipped_bits_are_not_accepted_either() -> None:
    for changed in bit_flips(MIDDLE_BY_ROOT):
        assert reason_of(lambda changed=changed: check(LEAF_BY_MIDDLE, changed)) is not None


def test_bits_left_out_of_a_signature_are_refused() -> None:
    """A BIT STRING may end in bits that do not count; an even last byte has room for one."""
    made = LEAF_ITSELF
    while made[-1] & 1:
        made = certificate("leaf", LEAF, "leaf", LEAF)
    check(made)
    size = len(x509.load_der_x509_certificate(made).signature)
    with refused(Reason.MALFORMED):
        check(made[: -size - 1] + b"\x01" + made[-size:])


def test_parameters_of_the_outer_algorithm_are_refused_though_no_signature_covers_them() -> None:
    identifier = bytes.fromhex("300a06082a8648ce3d040302")
    start = LEAF_BY_ROOT.rindex(identifier)
    body = (
        LEAF_BY_ROOT[4:start]
        + bytes.fromhex("300e06082a8648ce3d040302")
        + b"\x04\x02hi"
        + LEAF_BY_ROOT[start + len(identifier) :]
    )
    assert LEAF_BY_ROOT[:2] == b"\x30\x82"
    changed = b"\x30\x82" + len(body).to_bytes(2, "big") + body
    assert reason_of(lambda: check(changed)) in (Reason.MALFORMED, Reason.UNSUPPORTED_ALGORITHM)


def test_bytes_that_are_no_certificate_are_malformed() -> None:
    for wrong in (b"", b"\0", b"certificate", LEAF_BY_ROOT[:-1], key(LEAF).pem, key(LEAF).spki):
        with refused(Reason.MALFORMED):
            check(wrong)


def test_a_device_reads_a_chain_beside_a_signature_and_refuses_one_that_leads_elsewhere() -> None:
    signer = workshop.signer()
    private = signer._key
    manifest = workshop.manifest()
    good = certificate("leaf", private, "leaf", private)
    bad = certificate("leaf", private, "leaf", STRANGER)
    other = certificate("other", STRANGER, "leaf", private)
    for chain, reason in ((good, None), (bad, Reason.BAD_SIGNATURE), (other, Reason.BAD_SIGNATURE)):
        for protected, unprotected in (
            ({1: -9}, {4: b"release", 33: chain}),
            ({1: -9, 33: chain}, {4: b"release"}),
        ):
            data = crafted.block(
                signer,
                crafted.covered(manifest),
                protected=cbor.encode(protected),
                unprotected=unprotected,
            )
            assert decode_block(data).chain == (chain,)
            envelope = crafted.envelope(manifest, data)
            assert reason_of(lambda it=envelope: crafted.accept(it, signer)) is reason
