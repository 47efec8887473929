"""Envelopes to measure with, and what the same work costs without us."""

from __future__ import annotations

import hashlib
import statistics
import time
import tomllib
from typing import TYPE_CHECKING, Any

import cbor2
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from fwseal.base.ids import KeyLabel, Kid
from fwseal.cose.algorithms import Algorithm
from fwseal.cose.keys import PublicKey, raw_to_der
from fwseal.signing.sign import sign_envelope
from fwseal.signing.softkey import SoftKey
from fwseal.suit import envelope as envelopes
from fwseal.suit.authenticate import Anchor, authenticate

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

ROUNDS, TIMES = 9, 300


def signed(pem: bytes, *, device: Path, uri: str, size: int, sha256: bytes) -> bytes:
    """Answer a signed envelope of about 1 KB around one payload of a device."""
    table = tomllib.loads(device.read_text(encoding="utf-8"))["device"]
    vendor, cls = (bytes.fromhex(table[key].replace("-", "")) for key in ("vendor-id", "class-id"))
    digest = cbor2.dumps([-16, sha256])
    identity = {1: vendor, 2: cls, 3: digest, 14: size}
    shared = cbor2.dumps([20, identity, 1, 15, 2, 15])
    common = cbor2.dumps({2: [[b"\0"]], 4: shared})
    text = cbor2.dumps({"en": {1: "What the update is for. " * 10, 2: "What it changes. " * 18}})
    install = cbor2.dumps([20, {21: uri}, 21, 2, 3, 15])
    body = {1: 1, 2: 7, 3: common, 7: cbor2.dumps([3, 15]), 20: install, 23: text}
    key = SoftKey(pem, label=KeyLabel("dev-release"), kid=Kid("dev-release"), where="bench")
    return sign_envelope(cbor2.dumps(body), key)


def rates(pem: bytes, data: bytes) -> tuple[float, float]:
    """Answer the seconds of one envelope: ours typed and authenticated, and the bare loop."""
    private = serialization.load_pem_private_key(pem, password=None)
    if not isinstance(private, ec.EllipticCurvePrivateKey):
        raise TypeError("a P-256 key is measured")
    public = private.public_key()
    anchor = Anchor(
        kid=Kid("dev-release"),
        key=PublicKey.of(public),
        algorithms=frozenset({Algorithm.ESP256}),
        roles=frozenset({"release"}),
    )

    def ours() -> None:
        authenticate(envelopes.decode(data), anchors=(anchor,))

    layers = list(layers_of(data))
    signature, tbs = signature_of(data)

    def bare() -> None:
        for layer in layers:
            cbor2.loads(layer)
        public.verify(signature, tbs, ec.ECDSA(hashes.SHA256()))

    runs = [(_each(ours), _each(bare)) for _ in range(ROUNDS)]
    mine, theirs = (statistics.median(side) for side in zip(*runs, strict=True))
    return mine, theirs


def _each(call: Callable[[], None]) -> float:
    begin = time.perf_counter()
    for _ in range(TIMES):
        call()
    return (time.perf_counter() - begin) / TIMES


def layers_of(data: bytes) -> list[bytes]:
    """Answer every byte string of an envelope that is CBOR itself, the outermost first."""
    body: dict[int, bytes] = cbor2.loads(data).value
    wrapper: list[bytes] = cbor2.loads(body[2])
    manifest: dict[int, Any] = cbor2.loads(body[3])
    common: dict[int, Any] = cbor2.loads(manifest[3])
    shared: list[Any] = cbor2.loads(common[4])
    block: list[Any] = cbor2.loads(wrapper[1]).value
    members = [manifest[key] for key in (3, 7, 20, 23)]
    return [data, body[2], *wrapper, block[0], body[3], *members, common[4], shared[1][3]]


def signature_of(data: bytes) -> tuple[bytes, bytes]:
    """Answer the DER signature of an envelope's one block, and what it covers."""
    digest, block = cbor2.loads(cbor2.loads(data).value[2])
    protected, _, _, raw = cbor2.loads(block).value
    tbs = cbor2.dumps(["Signature1", protected, b"", digest])
    return raw_to_der(raw, Algorithm.ESP256), tbs


def zeros(size: int) -> bytes:
    """Answer the SHA-256 of that many zero bytes."""
    running, piece = hashlib.sha256(), bytes(1 << 20)
    for _ in range(size // len(piece)):
        running.update(piece)
    return running.digest()
