"""The COSE working group's examples: verified where they lie in our profile, else refused by name.

All carry their payload, which no authentication block may (SUIT manifest-37 8.3): each is also
read with its payload taken out. The files of encryption have a table of their own.
"""

from __future__ import annotations

import base64
import dataclasses
import json
from typing import TYPE_CHECKING, Any

import cbor2
import pytest

from formats.refusals import refused
from fwseal.base import cbor
from fwseal.base.reasons import Reason
from fwseal.cose.keys import VerificationKey, verification_key
from fwseal.cose.messages import MESSAGE_TAGS, decode_block

if TYPE_CHECKING:
    from pathlib import Path

FOLDER = "cose-wg"
ELSEWHERE = "aes-gcm-examples"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Fate:
    """What becomes of an example once its payload is detached; `feature` says what is outside.

    `late` is true where the block is read, and its signature is what is refused.
    """

    reason: Reason | None = None
    feature: str = ""
    late: bool = False


VERIFIED = Fate()
FORGED = Fate(reason=Reason.BAD_SIGNATURE, late=True)
SIGN = Fate(reason=Reason.UNSUPPORTED, feature="COSE_Sign")
MAC = Fate(reason=Reason.UNSUPPORTED, feature="COSE_Mac")
CONTENT_TYPE = Fate(reason=Reason.UNSUPPORTED, feature="content type in the header")
ALG_UNPROTECTED = Fate(reason=Reason.UNSUPPORTED, feature="alg unprotected")
OTHER_ALG = Fate(reason=Reason.UNSUPPORTED_ALGORITHM, feature="unknown algorithm")
OTHER_HMAC = Fate(reason=Reason.UNSUPPORTED_ALGORITHM, feature="HMAC other than 256/256")
UNTAGGED = Fate(reason=Reason.MALFORMED, feature="no COSE tag")

TABLE = {
    "ecdsa-examples/ecdsa-01.json": SIGN,
    "ecdsa-examples/ecdsa-02.json": SIGN,
    "ecdsa-examples/ecdsa-03.json": SIGN,
    "ecdsa-examples/ecdsa-04.json": SIGN,
    "ecdsa-examples/ecdsa-sig-01.json": CONTENT_TYPE,
    "ecdsa-examples/ecdsa-sig-02.json": VERIFIED,
    "ecdsa-examples/ecdsa-sig-03.json": VERIFIED,
    "ecdsa-examples/ecdsa-sig-04.json": Fate(
        reason=Reason.UNSUPPORTED_ALGORITHM, feature="ES512 with P-256", late=True
    ),
    "hmac-examples/HMac-01.json": MAC,
    "hmac-examples/HMac-02.json": MAC,
    "hmac-examples/HMac-03.json": MAC,
    "hmac-examples/HMac-04.json": MAC,
    "hmac-examples/HMac-05.json": MAC,
    "hmac-examples/HMac-enc-01.json": VERIFIED,
    "hmac-examples/HMac-enc-02.json": OTHER_HMAC,
    "hmac-examples/HMac-enc-03.json": OTHER_HMAC,
    "hmac-examples/HMac-enc-04.json": FORGED,
    "hmac-examples/HMac-enc-05.json": OTHER_HMAC,
    "mac0-tests/HMac-01.json": VERIFIED,
    "mac0-tests/mac-fail-01.json": Fate(reason=Reason.MALFORMED, feature="another tag"),
    "mac0-tests/mac-fail-02.json": FORGED,
    "mac0-tests/mac-fail-03.json": OTHER_ALG,
    "mac0-tests/mac-fail-04.json": OTHER_ALG,
    "mac0-tests/mac-fail-06.json": CONTENT_TYPE,
    "mac0-tests/mac-fail-07.json": FORGED,
    "mac0-tests/mac-pass-01.json": ALG_UNPROTECTED,
    "mac0-tests/mac-pass-02.json": ALG_UNPROTECTED,
    "mac0-tests/mac-pass-03.json": UNTAGGED,
    "sign1-tests/sign-fail-01.json": Fate(reason=Reason.MALFORMED, feature="another tag"),
    "sign1-tests/sign-fail-02.json": FORGED,
    "sign1-tests/sign-fail-03.json": OTHER_ALG,
    "sign1-tests/sign-fail-04.json": OTHER_ALG,
    "sign1-tests/sign-fail-06.json": CONTENT_TYPE,
    "sign1-tests/sign-fail-07.json": FORGED,
    "sign1-tests/sign-pass-01.json": ALG_UNPROTECTED,
    "sign1-tests/sign-pass-02.json": Fate(
        reason=Reason.BAD_SIGNATURE, feature="external_aad", late=True
    ),
    "sign1-tests/sign-pass-03.json": UNTAGGED,
}
"""Every example, and what becomes of it. No option exists to please one."""

_CURVES: dict[str, cbor.Value] = {"P-256": 1, "P-384": 2, "P-521": 3}


def key_of(example: dict[str, Any]) -> VerificationKey:
    """Answer the key that stands in the example, as a device would be given it."""
    given = example["input"].get("sign0") or example["input"]["mac0"]["recipients"][0]
    parts = {
        name: base64.urlsafe_b64decode(given["key"][name] + "==")
        for name in ("k", "x", "y")
        if name in given["key"]
    }
    key: dict[cbor.Key, cbor.Value]
    if "k" in parts:
        key = {1: 4, -1: parts["k"]}
    else:
        key = {1: 2, -1: _CURVES[given["key"]["crv"]], -2: parts["x"], -3: parts["y"]}
    return verification_key(cbor.encode(key), where="example")


def parts_of(example: dict[str, Any]) -> tuple[bytes, Any, list[Any]]:
    """Answer the encoded message, as cbor2 reads it, and its parts."""
    data = bytes.fromhex(example["output"]["cbor"])
    message = cbor2.loads(data)
    return data, message, list(message.value if isinstance(message, cbor2.CBORTag) else message)


def detached(message: object, parts: list[Any]) -> bytes:
    """Answer the message with its payload taken out, and else as it came."""
    body = (*parts[:2], None, *parts[3:])
    if isinstance(message, cbor2.CBORTag):
        return cbor2.dumps(cbor2.CBORTag(message.tag, body))
    return cbor2.dumps(body)


def test_the_table_names_exactly_the_examples_there_are(vectors: Path) -> None:
    found = {
        file.relative_to(vectors / FOLDER).as_posix() for file in (vectors / FOLDER).rglob("*.json")
    }
    assert {one for one in found if not one.startswith(ELSEWHERE)} == set(TABLE)
    assert sum(fate is VERIFIED for fate in TABLE.values()) == 4


@pytest.mark.parametrize("name", TABLE)
def test_an_example_is_verified_or_refused_for_a_feature_outside_our_profile(
    vectors: Path, name: str
) -> None:
    fate = TABLE[name]
    example = json.loads((vectors / FOLDER / name).read_text(encoding="utf-8"))
    _, message, parts = parts_of(example)
    data, payload = detached(message, parts), parts[2]
    assert fate is VERIFIED or fate.feature or example["fail"]
    if fate.reason is not None and not fate.late:
        with refused(fate.reason):
            decode_block(data)
        return
    block = decode_block(data)
    assert block.encode() == data
    key = key_of(example)
    if fate.reason is None:
        key.verify(block.signature, block.tbs(payload), algorithm=block.algorithm)
    else:
        with refused(fate.reason):
            key.verify(block.signature, block.tbs(payload), algorithm=block.algorithm)


@pytest.mark.parametrize("name", TABLE)
def test_an_example_as_it_came_is_refused_for_its_payload(vectors: Path, name: str) -> None:
    example = json.loads((vectors / FOLDER / name).read_text(encoding="utf-8"))
    data, message, _ = parts_of(example)
    known = isinstance(message, cbor2.CBORTag) and message.tag in MESSAGE_TAGS
    with refused(Reason.UNSUPPORTED if known else Reason.MALFORMED):
        decode_block(data)
