"""in-toto Statements and the DSSE envelopes that carry them; bytes signed are bytes kept.

in-toto Attestation Framework v1; DSSE v1.0.2 (PAE).
"""

from __future__ import annotations

import base64
import dataclasses
import json
from typing import TYPE_CHECKING, Any

from fwseal.base.errors import Refused
from fwseal.base.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Mapping

STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PAYLOAD_TYPE = "application/vnd.in-toto+json"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """One thing a statement speaks of; sha256 in lower-case hex."""

    name: str
    sha256: str


def statement(
    *, subjects: tuple[Subject, ...], predicate_type: str, predicate: Mapping[str, Any]
) -> bytes:
    """Answer the bytes of an in-toto Statement v1, keys sorted, UTF-8."""
    body = {
        "_type": STATEMENT_TYPE,
        "subject": [{"name": one.name, "digest": {"sha256": one.sha256}} for one in subjects],
        "predicateType": predicate_type,
        "predicate": predicate,
    }
    return json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def pae(payload: bytes, payload_type: str = PAYLOAD_TYPE) -> bytes:
    """Answer what a DSSE signature covers (pre-authentication encoding)."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def envelope(payload: bytes, *, keyid: str, signature: bytes) -> bytes:
    """Answer a DSSE envelope as JSON with one signature (for ECDSA: DER, as verifiers expect)."""
    body = {
        "payload": base64.b64encode(payload).decode(),
        "payloadType": PAYLOAD_TYPE,
        "signatures": [{"keyid": keyid, "sig": base64.b64encode(signature).decode()}],
    }
    return (json.dumps(body, indent=1) + "\n").encode()


def opened(data: bytes) -> tuple[bytes, tuple[tuple[str, bytes], ...]]:
    """Answer payload and (keyid, signature) pairs of a DSSE envelope; nothing is verified here.

    Raises `Refused` (malformed).
    """
    try:
        body = json.loads(data)
        if body["payloadType"] != PAYLOAD_TYPE:
            raise Refused(Reason.UNSUPPORTED, f"payload type {body['payloadType']!r}")
        payload = base64.b64decode(body["payload"], validate=True)
        signatures = tuple(
            (one["keyid"], base64.b64decode(one["sig"], validate=True))
            for one in body["signatures"]
        )
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise Refused(Reason.MALFORMED, f"not a DSSE envelope: {error}") from None
    if not all(isinstance(keyid, str) for keyid, _ in signatures):
        raise Refused(Reason.MALFORMED, "not a DSSE envelope: a keyid is not a text")
    return payload, signatures
