"""What must hold for any bytes at all; a promise that does not is an exception here.

The bytes are read as they are, and once more with their digests and signature made right, so that
what a stranger could never send past the signature is still asked for. Only `Refused` is a no.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import random
import time
import uuid
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from fuzz import seeds
from fuzz.shapes import ARRAY, BYTES, MAP, TAG, Node, read
from fwseal.base import cbor, spans
from fwseal.base.digest import Digest
from fwseal.base.errors import Refused
from fwseal.base.ids import Kid
from fwseal.cose.algorithms import Algorithm
from fwseal.cose.encryption import Encrypt, decode_encrypt
from fwseal.cose.keys import PublicKey, der_to_raw
from fwseal.cose.messages import decode_block, new_block
from fwseal.device import admission, processor
from fwseal.device.admission import Installed
from fwseal.device.effects import Done, Effect, Event, Finish, Load, Loaded, Measure, Measured
from fwseal.device.machine import Procedure
from fwseal.device.profile import Component
from fwseal.suit import diagnostic as notation
from fwseal.suit import envelope as envelopes
from fwseal.suit import manifest as manifests
from fwseal.suit.authenticate import Anchor, Authenticated, authenticate
from fwseal.suit.explain import explain
from fwseal.suit.sequence import Override, SetParameters
from workshop import profile

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    from fwseal.suit.envelope import Envelope
    from fwseal.suit.manifest import Manifest

    T = TypeVar("T")

TAGS = frozenset({16, 17, 18, 96, 97, 98, 107, 112})
SECONDS = 5.0
"""No input may take longer, whatever it is."""
# A throw-away key that is the same in each run: nothing that trusts it leaves this folder.
_KEY = ec.derive_private_key(
    int.from_bytes(hashlib.sha256(b"fwseal fuzz").digest()), ec.SECP256R1()
)
_SPKI = _KEY.public_key().public_bytes(
    serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
)
ANCHOR = Anchor(
    kid=Kid("fuzz"),
    key=PublicKey.from_pem(_SPKI, where="fuzz"),
    algorithms=frozenset({Algorithm.ESP256}),
    roles=frozenset({"release", "dependency"}),
)
DEVICE = dataclasses.replace(
    profile(ANCHOR),
    vendor_id=uuid.UUID(bytes=seeds.VENDOR),
    class_id=uuid.UUID(bytes=seeds.CLASS),
    device_id=uuid.UUID(bytes=seeds.VENDOR),
    components={(b"\0",): Component(), (b"\1",): Component(), (b"\1", b"\0"): Component()},
)


class Broken(Exception):
    """A promise that did not hold."""


def check(data: bytes) -> None:
    """Return where every promise holds for the bytes; raises whatever is wrong."""
    begin = time.process_time()
    _cbor(data)
    again = resealed(data)
    if again is not None and again != data:
        _outside(data)
        data = again
    found = _outside(data)
    if found is not None:
        _inside(*found)
    if (taken := time.process_time() - begin) > SECONDS:
        raise Broken(f"took {taken:.1f} s")


def trusted(data: bytes) -> bool:
    """Answer whether the device that is asked here takes the envelope for its anchor's."""
    found = _outside(data)
    return found is not None and found[1] is not None


def _asked(call: Callable[[], T]) -> T | None:
    """Answer what the call answers, or None where it refuses, properly."""
    try:
        return call()
    except Refused as error:
        if not error.message or "\n" in error.message:
            raise Broken("a refusal is one line") from error
        return None


def _same(what: str, again: bytes, data: bytes) -> None:
    if again != data:
        raise Broken(f"{what} is written back to other bytes: {again.hex()}")


def _decoded(data: bytes, tags: frozenset[int], limits: cbor.Limits) -> tuple[cbor.Value]:
    return (cbor.decode(data, tags=tags, limits=limits),)  # None is a value


def _cbor(data: bytes) -> None:
    limits = cbor.Limits(bytes=1 << 24)
    for tags in (TAGS, frozenset[int]()):
        value = _asked(functools.partial(_decoded, data, tags, limits))
        span = _asked(functools.partial(spans.walk, data, tags=tags, limits=limits))
        if value is not None:
            _same("CBOR", cbor.encode(value[0]), data)
        if (value is None) != (span is None):
            raise Broken(f"decode and walk disagree: {value} and {span}")
        if span is not None and (span.start, span.end) != (0, len(data)):
            raise Broken("the span of an item is not all of it")


def _outside(data: bytes) -> tuple[Envelope, Authenticated | None] | None:
    """Answer the envelope and, where this device trusts it, what it says."""
    envelope = _asked(lambda: envelopes.decode(data))
    if envelope is None:
        return None
    _same("the envelope", envelope.encode(), data)
    for raw in envelope.blocks:
        block = _asked(functools.partial(decode_block, raw))
        if block is not None:
            _same("the block", block.encode(), raw)
    return envelope, _asked(lambda: authenticate(envelope, anchors=DEVICE.anchors))


def _inside(envelope: Envelope, authentic: Authenticated | None) -> None:
    _asked(lambda: explain(envelope))
    _accounted(envelope.encode())
    manifest = _asked(lambda: manifests.decode(envelope.manifest))
    if manifest is None:
        return
    _same("the manifest", manifest.encode(), envelope.manifest)
    for value in _values(manifest):
        if isinstance(value, Encrypt):
            _same("encryption-info", decode_encrypt(value.encode()).encode(), value.encode())
    if authentic is not None:
        seed = int.from_bytes(authentic.digest.value[:8])
        for procedure in Procedure:
            chance = random.Random(seed)  # noqa: S311 - to be drawn again
            _carried_out(authentic, procedure, chance)


def _accounted(data: bytes) -> None:
    shown = _asked(lambda: notation.lines(data, elide=None))
    if shown is not None:
        _same("the notation", b"".join(line.data for line in shown), data)


def _values(manifest: Manifest) -> list[object]:
    return [
        value
        for step in manifest.steps()
        if isinstance(step, (Override, SetParameters))
        for value in step.parameters.values()
    ]


def _carried_out(authentic: Authenticated, procedure: Procedure, chance: random.Random) -> None:
    what = _asked(
        lambda: admission.applicable(
            authentic, profile=DEVICE, installed=Installed(sequence_number=None)
        )
    )
    if what is None:
        return
    known = [Digest.of(seeds.IMAGE)]
    sizes = [len(seeds.IMAGE)]
    for value in _values(authentic.manifest):
        known += [value] if isinstance(value, Digest) else []
        sizes += [value] if isinstance(value, int) else []
    children = [resealed(one) or one for one in authentic.integrated.values()] + [b""]

    def event(effect: Effect) -> Event:
        if isinstance(effect, Measure):
            return Measured(chance.choice(sizes), chance.choice(known))
        if isinstance(effect, Load):
            return Loaded(chance.choice(children))
        return Done()

    answer = _asked(lambda: processor.start(what, procedure))
    for _ in range(DEVICE.limits.steps + 1):
        if answer is None or isinstance(answer[1], Finish):
            return
        state, effect = answer
        answer = _asked(functools.partial(processor.step, state, event(effect)))
    raise Broken("the machine goes on past its limit of steps")


def resealed(data: bytes) -> bytes | None:
    """Answer the envelope with its digests right and one good signature; None: it is none."""
    tree = read(data)
    if tree is None or tree.major != TAG or not tree.items or tree.items[0].major != MAP:
        return None
    body = tree.items[0]
    members = _members(body)
    manifest = members.get(3)
    if manifest is None or manifest.major != BYTES:
        return None
    if manifest.items and manifest.items[0].major == MAP:
        for label, member in _members(manifest.items[0]).items():
            severed = members.get(label)
            if 14 <= label <= 23 and severed is not None and member.major == ARRAY:
                member.items = _digest(severed.write()).items
    digest = _digest(manifest.write()).write()
    block = new_block(Algorithm.ESP256, ANCHOR.kid)
    signature = _KEY.sign(block.tbs(digest), ec.ECDSA(hashes.SHA256(), deterministic_signing=True))
    signed = dataclasses.replace(block, signature=der_to_raw(signature, Algorithm.ESP256))
    parts = [Node(BYTES, 0, 0, raw=digest), Node(BYTES, 0, 0, raw=signed.encode())]
    wrapper = Node(BYTES, 0, 0, items=[Node(ARRAY, 0, 0, items=parts)])
    if 2 in members:
        place = next(at for at, one in enumerate(body.items) if one is members[2])
        body.items[place] = wrapper
    else:
        body.items[0:0] = [Node(0, 2, 0), wrapper]
    return tree.write()


def _members(body: Node) -> dict[int, Node]:
    pairs = zip(body.items[::2], body.items[1::2], strict=True)
    return {key.argument: value for key, value in pairs if key.major == 0}


def _digest(covered: bytes) -> Node:
    value = Node(BYTES, 0, 0, raw=hashlib.sha256(covered).digest())
    return Node(ARRAY, 0, 0, items=[Node(1, 15, 0), value])
