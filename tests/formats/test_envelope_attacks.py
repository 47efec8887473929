"""Each attack on one envelope, by its name: refused for the right Reason, and nothing is written.

The list is section 3 of the facts sheet; a test compares the two, so that nothing is forgotten.
"""

from __future__ import annotations

import dataclasses
import hashlib
import hmac
import re
from pathlib import Path
from typing import TYPE_CHECKING

import cbor2
import pytest
from cryptography.hazmat.primitives.asymmetric import mldsa

import workshop
from formats import crafted
from formats.crafted import ESP256, IMAGE, sequence, told
from formats.refusals import refused
from fwseal.base import cbor
from fwseal.base.reasons import Reason
from fwseal.cose.algorithms import Algorithm
from fwseal.cose.keys import PublicKey, raw_to_der

if TYPE_CHECKING:
    from collections.abc import Callable

SHEET = Path(__file__).resolve().parents[3] / "shared" / "facts" / "suit.md"
N = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
KEY, STRANGER = workshop.signer(), workshop.signer()
PROFILE = workshop.profile(workshop.anchor(KEY), workshop.anchor(STRANGER, "boot", kid="boot"))
BODY = told()
MANIFEST = cbor.encode(BODY)
COVERED = crafted.covered(MANIFEST)
TBS = cbor.encode(("Signature1", ESP256, b"", COVERED))
GOOD = KEY.sign(TBS)
INSTALL = BODY[20]
assert isinstance(INSTALL, bytes)


def sealed(*blocks: bytes, manifest: bytes = MANIFEST, digest: bytes | None = None) -> bytes:
    """Answer an envelope with its payload and these blocks."""
    return crafted.envelope(manifest, *blocks, digest=digest, extra={"#image": IMAGE})


def signed(manifest: bytes, **members: cbor.Value) -> bytes:
    """Answer an envelope around a manifest's bytes, signed as it is, whatever it is."""
    extra = {int(key[1:]): value for key, value in members.items()}
    return crafted.signed(KEY, manifest, extra={"#image": IMAGE, **extra})


def altered(**changes: cbor.Value) -> bytes:
    """Answer an envelope around a manifest with these members changed, signed."""
    return signed(cbor.encode({**BODY, **{int(key[1:]): value for key, value in changes.items()}}))


def block(**parts: object) -> bytes:
    """Answer a block that is right but for these parts."""
    return crafted.block(KEY, COVERED, **parts)


def under(digest: cbor.Value) -> bytes:
    """Answer an envelope whose digest is this one, and signed."""
    data = cbor.encode(digest)
    return sealed(crafted.block(KEY, data), digest=data)


def severed(content: bytes, digest: cbor.Value = None, **members: cbor.Value) -> bytes:
    """Answer an envelope whose install is named by a digest."""
    named = crafted.digest_of(content) if digest is None else digest
    return signed(cbor.encode({**BODY, 20: named}), **members)


def raw(find: bytes, put: bytes) -> bytes:
    """Answer an envelope around a manifest with bytes replaced, signed."""
    assert MANIFEST.count(find) == 1
    return signed(MANIFEST.replace(find, put))


def nest(levels: int, made: bytes) -> bytes:
    """Answer a sequence inside sequences."""
    for _ in range(levels):
        made = sequence(32, made)
    return made


def flipped(signature: bytes) -> bytes:
    return bytes([signature[0] ^ 1]) + signature[1:]


def mac() -> bytes:
    protected = cbor.encode({1: 5})
    tbm = cbor.encode(("MAC0", protected, b"", COVERED))
    tag = hmac.digest(KEY.public().spki, tbm, "sha256")
    return block(protected=protected, tag=17, signature=tag)


def swapped() -> bytes:
    """Answer an envelope with manifest and authentication in the other order."""
    body = cbor2.loads(sealed(block())).value
    members = b"\x03" + cbor.wrapped(body[3]) + b"\x02" + cbor.wrapped(body[2])
    return b"\xd8\x6b\xa3" + members + cbor.encode("#image") + cbor.wrapped(IMAGE)


NAKED = hashlib.sha256(MANIFEST).digest()
OTHER = cbor.encode({**BODY, 2: 6})
JSON = b'{"signed":{"_type":"targets"}}'
REPORT = cbor.encode({99: ("https://example.com", crafted.digest_of(MANIFEST)), 4: True})
CUT = INSTALL[:-1]
DEEP = b"\x81" * 200 + b"\x80"
Attack = tuple[Reason, "Callable[[], bytes]"]

ATTACKS: dict[str, dict[str, Attack]] = {
    # Signature
    "bit-flip": {"": (Reason.BAD_SIGNATURE, lambda: sealed(block(signature=flipped(GOOD))))},
    "wrong key": {
        "": (
            Reason.BAD_SIGNATURE,
            lambda: sealed(crafted.block(STRANGER, COVERED, unprotected={4: b"release"})),
        )
    },
    "no block": {"": (Reason.UNSIGNED, sealed)},
    "only invalid blocks": {
        "": (Reason.BAD_SIGNATURE, lambda: sealed(*2 * (block(signature=bytes(64)),)))
    },
    "first/second block bad": {
        "first": (Reason.BAD_SIGNATURE, lambda: sealed(block(signature=flipped(GOOD)), block())),
        "second": (Reason.BAD_SIGNATURE, lambda: sealed(block(), block(signature=flipped(GOOD)))),
    },
    "attached payload": {"": (Reason.UNSUPPORTED, lambda: sealed(block(payload=COVERED)))},
    "payload differs from auth[0]": {
        "in the block": (
            Reason.BAD_SIGNATURE,
            lambda: sealed(crafted.block(KEY, crafted.covered(OTHER))),
        ),
        "in the manifest": (
            Reason.DIGEST_MISMATCH,
            lambda: sealed(block(), manifest=OTHER, digest=COVERED),
        ),
    },
    "alg in unprotected only": {
        "": (Reason.UNSUPPORTED, lambda: sealed(block(protected=b"", unprotected={1: -9})))
    },
    "alg none/unknown/-999": {
        str(number): (
            Reason.UNSUPPORTED_ALGORITHM,
            lambda number=number: sealed(block(protected=cbor.encode({1: number}))),
        )
        for number in (0, "none", 99, -999)
    },
    "alg-key confusion ES256<->ESP256, HMAC using a public key as secret (Mac0 with asymmetric"
    " key)": {
        "ES256": (
            Reason.UNSUPPORTED_ALGORITHM,
            lambda: sealed(block(protected=cbor.encode({1: -7}))),
        ),
        "HMAC": (Reason.UNSUPPORTED_ALGORITHM, lambda: sealed(mac())),
        "ESP256 as a MAC": (Reason.UNSUPPORTED_ALGORITHM, lambda: sealed(block(tag=17))),
    },
    "ECDSA r/s=0, 63/65-byte, DER (high-s is valid: three spec examples are; a positive control)": {
        name: (Reason.BAD_SIGNATURE, lambda wrong=wrong: sealed(block(signature=wrong)))
        for name, wrong in {
            "r": bytes(32) + GOOD[32:],
            "s": GOOD[:32] + bytes(32),
            "63": GOOD[:63],
            "65": GOOD + b"\0",
            "DER": raw_to_der(GOOD, Algorithm.ESP256),
        }.items()
    },
    "crit unknown": {
        "": (Reason.UNSUPPORTED, lambda: sealed(block(protected=cbor.encode({1: -9, 2: (99,)})))),
        "there": (
            Reason.UNSUPPORTED,
            lambda: sealed(block(protected=cbor.encode({1: -9, 2: (99,), 99: 0}))),
        ),
    },
    "dup header labels": {
        "in one": (
            Reason.MALFORMED,
            lambda: sealed(block(protected=bytes.fromhex("a201280128"))),
        ),
        "in both": (
            Reason.MALFORMED,
            lambda: sealed(block(protected=cbor.encode({1: -9, 4: b"release"}))),
        ),
    },
    "protected with trailing bytes": {
        "": (Reason.MALFORMED, lambda: sealed(block(protected=ESP256 + b"\0")))
    },
    "external_aad non-empty": {"": (Reason.BAD_SIGNATURE, lambda: sealed(block(aad=b"x")))},
    'cross-protocol context ("Signature" vs "Signature1")': {
        "": (Reason.BAD_SIGNATURE, lambda: sealed(block(context="Signature")))
    },
    "report or TUF-signed blob replayed as manifest": {
        "TUF": (Reason.BAD_SIGNATURE, lambda: sealed(block(signature=KEY.sign(JSON)))),
        "report": (
            Reason.BAD_SIGNATURE,
            lambda: sealed(block(signature=KEY.sign(REPORT))),
        ),
        "report as digest": (
            Reason.MALFORMED,
            lambda: sealed(crafted.block(KEY, REPORT), digest=REPORT),
        ),
    },
    "key revoked/expired/role mismatch": {
        # A device knows neither dates nor lists: a revoked key is one it has no anchor for.
        "revoked": (
            Reason.UNKNOWN_SIGNER,
            lambda: sealed(block(unprotected={4: b"release-2025"})),
        ),
        "role": (
            Reason.SIGNER_NOT_AUTHORIZED,
            lambda: sealed(crafted.block(STRANGER, COVERED, unprotected={4: b"boot"})),
        ),
    },
    # Digest
    "over content instead of bstr": {"": (Reason.DIGEST_MISMATCH, lambda: under((-16, NAKED)))},
    "alg 2/legacy": {"": (Reason.UNSUPPORTED_ALGORITHM, lambda: under((2, NAKED)))},
    "truncated/empty/long": {
        str(size): (Reason.MALFORMED, lambda size=size: under((-16, (NAKED * 2)[:size])))
        for size in (0, 31, 33)
    },
    "weak alg": {
        str(number): (
            Reason.UNSUPPORTED_ALGORITHM,
            lambda number=number, size=size: under((number, bytes(size))),
        )
        for number, size in ((-14, 20), (-15, 8))
    },
    "two digests disagree": {
        "": (Reason.MALFORMED, lambda: sealed(crafted.covered(OTHER), block())),
    },
    "length-only change": {
        "": (
            Reason.DIGEST_MISMATCH,
            lambda: sealed(block(), manifest=MANIFEST + b"\0", digest=COVERED),
        )
    },
    "SHAKE length": {
        str(size): (Reason.UNSUPPORTED_ALGORITHM, lambda size=size: under((-18, bytes(size))))
        for size in (16, 32)
    },
    # Encoding
    "trailing bytes (outer, inside manifest, inside sequence)": {
        "outer": (Reason.MALFORMED, lambda: signed(MANIFEST) + b"\0"),
        "manifest": (Reason.MALFORMED, lambda: signed(MANIFEST + b"\0")),
        "sequence": (Reason.MALFORMED, lambda: altered(_20=INSTALL + b"\0")),
    },
    "dup keys (seq twice)": {
        "": (Reason.MALFORMED, lambda: raw(b"\xa5\x01\x01", b"\xa6\x02\x05\x01\x01"))
    },
    "unsorted": {
        "": (Reason.NOT_DETERMINISTIC, lambda: raw(b"\x01\x01\x02\x05", b"\x02\x05\x01\x01"))
    },
    "non-shortest ints": {
        "": (Reason.NOT_DETERMINISTIC, lambda: raw(b"\x01\x01\x02\x05", b"\x01\x01\x02\x18\x05"))
    },
    "indefinite": {
        "": (Reason.NOT_DETERMINISTIC, lambda: signed(b"\xbf" + MANIFEST[1:] + b"\xff"))
    },
    "float/bignum/tag-37 where uint/bstr expected": {
        name: (Reason.MALFORMED, lambda put=put: raw(b"\x01\x01\x02\x05", b"\x01\x01\x02" + put))
        for name, put in {
            "float": b"\xf9\x45\x00",
            "bignum": b"\xc2\x41\x05",
            "tag 37": b"\xd8\x25\x50" + bytes(16),
        }.items()
    },
    "bool 1/True collision": {
        "key": (Reason.MALFORMED, lambda: raw(b"\xa5\x01\x01", b"\xa6\x01\x01\xf5\x01")),
        "value": (Reason.MALFORMED, lambda: altered(_1=True)),
    },
    'text "2" vs 2': {"": (Reason.MALFORMED, lambda: signed(cbor.encode({**BODY, "2": 9})))},
    "huge lengths 2^63": {
        name: (Reason.MALFORMED, lambda head=head: altered(_20=head + b"\x80" + bytes(7)))
        for name, head in {"bytes": b"\x5b", "text": b"\x7b"}.items()
    }
    | {
        name: (Reason.LIMIT_EXCEEDED, lambda head=head: altered(_20=head + b"\x80" + 99999 * b"\0"))
        for name, head in {"array": b"\x9b", "map": b"\xbb"}.items()
    },
    "nesting bombs (run-sequence, try-each fan-out 16^n)": {
        "run-sequence": (Reason.LIMIT_EXCEEDED, lambda: altered(_20=nest(50, INSTALL))),
        "try-each": (Reason.LIMIT_EXCEEDED, lambda: altered(_20=sequence(15, (INSTALL,) * 17))),
        "arrays": (Reason.LIMIT_EXCEEDED, lambda: altered(_20=DEEP)),
    },
    "odd command list": {
        "": (Reason.MALFORMED, lambda: altered(_20=sequence(20, {21: "#image"}, 21)))
    },
    "NaN": {"": (Reason.MALFORMED, lambda: raw(b"\x01\x01\x02\x05", b"\x01\x01\x02\xf9\x7e\x00"))},
    "invalid UTF-8": {
        "": (Reason.MALFORMED, lambda: altered(_20=INSTALL.replace(b"#image", b"#imag\xff")))
    },
    "untagged": {"": (Reason.MALFORMED, lambda: signed(MANIFEST)[2:])},
    "tag 1070 bare manifest": {"": (Reason.MALFORMED, lambda: b"\xd9\x04\x2e" + MANIFEST)},
    "3 before 2": {"": (Reason.NOT_DETERMINISTIC, swapped)},
    # Rollback, as far as one envelope goes
    "seq lower": {"": (Reason.ROLLBACK, lambda: altered(_2=0))},
    "equal": {"": (Reason.ROLLBACK, lambda: altered(_2=1))},
    "negative": {"": (Reason.MALFORMED, lambda: altered(_2=-1))},
    "bignum": {"": (Reason.MALFORMED, lambda: raw(b"\x02\x05", b"\x02\xc2\x49\x01" + bytes(8)))},
    # Severing
    "tampered member": {
        "": (Reason.SEVERED_MISMATCH, lambda: severed(INSTALL, _20=sequence(14, 15))),
        "cut": (Reason.SEVERED_MISMATCH, lambda: severed(INSTALL, _20=CUT)),
    },
    "missing": {"": (Reason.MALFORMED, lambda: severed(INSTALL))},
    "unlisted": {
        "": (Reason.MALFORMED, lambda: signed(MANIFEST, _16=INSTALL)),
        "twice": (Reason.MALFORMED, lambda: signed(MANIFEST, _20=INSTALL)),
    },
    "digest over content": {
        "": (
            Reason.SEVERED_MISMATCH,
            lambda: severed(INSTALL, (-16, hashlib.sha256(INSTALL).digest()), _20=INSTALL),
        )
    },
    "severed install absent at install time": {
        "": (
            Reason.SEVERED_MISSING,
            lambda: crafted.signed(KEY, cbor.encode({**BODY, 20: crafted.digest_of(INSTALL)})),
        )
    },
    "text mismatch component ids": {
        "": (Reason.WRONG_COMPONENT, lambda: altered(_23=cbor.encode({"en": {(b"\1",): {1: "x"}}})))
    },
    "severing an unseverable (7/8/9/24)": {
        str(number): (reason, lambda number=number: altered(**{f"_{number}": (-16, bytes(32))}))
        for number, reason in {
            7: Reason.MALFORMED,
            8: Reason.MALFORMED,
            9: Reason.MALFORMED,
            24: Reason.UNSUPPORTED,
        }.items()
    }
    | {
        f"{number} outside": (
            Reason.UNSUPPORTED,
            lambda number=number: signed(MANIFEST, **{f"_{number}": INSTALL}),
        )
        for number in (7, 8, 9, 24)
    },
}

ELSEWHERE = {
    "HSS index reuse, level mismatch": "HSS-LMS is refused as unsupported-algorithm: a later issue",
    "ML-DSA with ctx, HashML-DSA, wrong-size pub": (
        "test_an_ml_dsa_signature_with_a_context_or_over_a_hash_is_refused; "
        "test_cose_keys: a COSE_Key of another size"
    ),
    "2^64-1": "test_the_highest_sequence_number_is_a_number_like_any_other",
    "per-component counters": "device: one number a device (admission)",
    "replay after failed install": "test_driver: a refused update does not move the number",
    "sequence committed early": "test_driver: the number is committed last",
    "reset via other root manifest id": "device: one number a device, whatever the manifest's id",
    "downgraded dependency under new root": "device: dependencies have numbers of their own",
}
"""What section 3 lists in these groups and is not in `ATTACKS`, with the place it is tested."""

CASES = [
    pytest.param(reason, forge, id=f"{name} {variant}".strip())
    for name, variants in ATTACKS.items()
    for variant, (reason, forge) in variants.items()
]


def offered(data: bytes) -> crafted.Desk:
    """Answer what a device wrote that accepted the envelope."""
    crafted.offer(data, PROFILE, desk := crafted.Desk())
    return desk


def test_the_envelope_that_attacks_start_from_is_accepted() -> None:
    for data in (
        sealed(block()),
        signed(MANIFEST),
        severed(INSTALL, _20=INSTALL),
        altered(_20=nest(3, INSTALL)),
        altered(_23=cbor.encode({"en": {(b"\0",): {1: "x"}}})),
    ):
        assert offered(data).changes == ["begin", "append", "finish"]


@pytest.mark.parametrize(("reason", "forge"), CASES)
def test_attack_is_refused_and_nothing_is_written(
    reason: Reason, forge: Callable[[], bytes]
) -> None:
    desk = crafted.Desk()
    with refused(reason):
        crafted.offer(forge(), PROFILE, desk)
    assert desk.changes == []


def test_a_high_s_signature_is_accepted_as_the_drafts_own_examples_are() -> None:
    high = (N - int.from_bytes(GOOD[32:], "big")).to_bytes(32, "big")
    for s in (GOOD[32:], high):
        assert "finish" in offered(sealed(block(signature=GOOD[:32] + s))).changes


def test_the_highest_sequence_number_is_a_number_like_any_other() -> None:
    assert "finish" in offered(altered(_2=2**64 - 1)).changes
    desk = crafted.Desk()
    with refused(Reason.ROLLBACK):
        crafted.offer(altered(_2=2**64 - 2), PROFILE, desk, number=2**64 - 1)
    assert desk.changes == []


def test_an_ml_dsa_signature_with_a_context_or_over_a_hash_is_refused() -> None:
    private = mldsa.MLDSA44PrivateKey.generate()
    anchor = dataclasses.replace(
        workshop.anchor(KEY),
        key=PublicKey.of(private.public_key()),
        algorithms=frozenset({Algorithm.ML_DSA_44}),
    )
    protected = cbor.encode({1: -48})
    tbs = cbor.encode(("Signature1", protected, b"", COVERED))
    wrong = (private.sign(tbs, b"context"), private.sign(hashlib.sha512(tbs).digest()), GOOD)
    profile = workshop.profile(anchor)
    for signature in wrong:
        desk = crafted.Desk()
        with refused(Reason.BAD_SIGNATURE):
            crafted.offer(sealed(block(protected=protected, signature=signature)), profile, desk)
        assert desk.changes == []
    good = sealed(block(protected=protected, signature=private.sign(tbs)))
    crafted.offer(good, profile, desk := crafted.Desk())
    assert "finish" in desk.changes


def test_every_attack_of_the_sheet_in_these_groups_is_here_or_says_where_it_is() -> None:
    if not SHEET.is_file():
        pytest.skip("../shared/facts is not here")
    section = SHEET.read_text(encoding="utf-8").split("## 3. Attacks")[1].split("\n## ")[0]
    groups = dict(re.findall(r"^(\w+): (.*)\.$", section, re.MULTILINE))
    split = {
        name: re.split(
            r"; (?![^()]*\))"
            if name in ("Signature", "Digest", "Encoding")
            else r" / |, (?![^()]*\))",
            groups[name],
        )
        for name in ("Signature", "Digest", "Encoding", "Rollback", "Severing")
    }
    listed = [phrase for phrases in split.values() for phrase in phrases]
    assert len(listed) > 50
    assert sorted(listed) == sorted([*ATTACKS, *ELSEWHERE])
