"""Asks cwt, an implementation that shares no code with ours: jobs in, answers out, as JSON.

Run with the Python of .venv-oracles. A job is {"do": verify | decrypt | encrypt, ...}, byte strings
in hex; an answer is {"value": HEX} or {"error": NAME OF THE EXCEPTION}. A detached content stands
beside its message, as it does in SUIT.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import cbor2
from cwt import COSE, COSEKey, COSEMessage, Recipient

# draft-ietf-suit-firmware-encryption-24 5.2.4
KDF_CONTEXT = {
    "alg": "A128KW",
    "supp_pub": {
        "key_data_length": 128,
        "protected": {"alg": "ECDH-ES+A128KW"},
        "other": "SUIT Payload Encryption",
    },
}


Said = dict[str, Any]  # what JSON says


def key_of(said: Said) -> COSEKey:
    """Answer cwt's key: a PEM public key, a shared secret, or a COSE_Key as number -> value."""
    if "pem" in said:
        return COSEKey.from_pem(said["pem"], alg=said["alg"], kid=said.get("kid", ""))
    if "secret" in said:
        secret = bytes.fromhex(said["secret"])
        return COSEKey.from_symmetric_key(secret, alg=said["alg"], kid=said.get("kid", ""))
    return COSEKey.new({**cbor2.loads(bytes.fromhex(said["cose_key"])), **extra(said)})


def extra(said: Said) -> dict[int, object]:
    """Answer what cwt asks of a key for agreement: its algorithm, and an operation if private."""
    return {3: -29, 4: [7]} if said["private"] else {3: -29}


def decode(job: Said) -> bytes:
    """Answer the content after cwt verified or decrypted it."""
    return COSE.new().decode(
        bytes.fromhex(job["message"]),
        keys=[key_of(job["key"])],
        context=KDF_CONTEXT,
        detached_payload=bytes.fromhex(job["content"]),
        enable_non_aead=True,
    )


def encrypt(job: Said) -> bytes:
    """Answer [message, ciphertext] as cwt writes them."""
    key = key_of(job["key"])
    if job["wrap"] == "ECDH-ES+A128KW":
        recipient = Recipient.new(
            protected={"alg": job["wrap"]}, recipient_key=key, context=KDF_CONTEXT
        )
    else:
        header = {"alg": job["wrap"], "kid": job["key"]["kid"]}
        recipient = Recipient.new(unprotected=header, sender_key=key)
    content_key = COSEKey.from_symmetric_key(bytes.fromhex(job["content_key"]), alg=job["alg"])
    aead = job["alg"].endswith("GCM")
    iv = {"iv": bytes.fromhex(job["iv"])}
    whole = COSE.new(deterministic_header=True).encode_and_encrypt(
        bytes.fromhex(job["content"]),
        content_key,
        protected={"alg": job["alg"]} if aead else {},
        unprotected=iv if aead else {"alg": job["alg"], **iv},
        recipients=[recipient],
        enable_non_aead=True,
    )
    message, ciphertext = COSEMessage.loads(whole).detach_payload()
    return cbor2.dumps([message.dumps(), ciphertext])


def answer(job: Said) -> Said:
    """Answer one job; what cwt raises is named, and the tests say which names they expect."""
    try:
        done = encrypt(job) if job["do"] == "encrypt" else decode(job)
    except Exception as error:  # noqa: BLE001  # whatever another program's library raises
        return {"error": type(error).__name__, "detail": str(error)}
    return {"value": done.hex()}


if __name__ == "__main__":
    json.dump([answer(job) for job in json.load(sys.stdin)], sys.stdout)
