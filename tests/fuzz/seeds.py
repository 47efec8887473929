"""Where the corpus began: one envelope for each thing a manifest can say, all of it made up.

`python -m fuzz.seeds` writes them; what fuzzing added stands beside them. Nothing is signed here:
the target signs what it is given.
"""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import cbor2

if TYPE_CHECKING:
    from collections.abc import Mapping

CORPUS = Path(__file__).parent / "corpus"
VENDOR = bytes.fromhex("fa6b4a53d5ad5fdfbe9de663e4d41ffe")
CLASS = bytes.fromhex("1492af1425695e48bf429b2d51f2ab45")
GENERATOR = (
    "6b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296"
    "4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5"
)
"""A point of P-256 that everybody knows."""
IMAGE = b"an image"
DIGEST = cbor2.dumps([-16, hashlib.sha256(IMAGE).digest()])
IDENTITY = (20, {1: VENDOR, 2: CLASS, 3: DIGEST, 14: len(IMAGE)}, 1, 15, 2, 15)
FETCH = (20, {21: "#image"}, 21, 2, 3, 15)

Members = dict[int | str, object]


def wrap(*items: object) -> bytes:
    """Answer a command sequence as the byte string's content."""
    return cbor2.dumps(items)


def manifest(
    members: Mapping[int, object],
    *,
    components: tuple[tuple[bytes, ...], ...] = ((b"\0",),),
    shared: tuple[object, ...] = IDENTITY,
    common: Mapping[int, object] | None = None,
) -> bytes:
    """Answer a manifest of these members."""
    inner: dict[int, object] = {2: components, 4: wrap(*shared), **(common or {})}
    body = {1: 1, 2: 5, 3: cbor2.dumps(dict(sorted(inner.items()))), **members}
    return cbor2.dumps(dict(sorted(body.items())))


def envelope(content: bytes, more: Mapping[int | str, object] | None = None) -> bytes:
    """Answer an envelope whose one block is of the right form and signs nothing."""
    digest = cbor2.dumps([-16, hashlib.sha256(cbor2.dumps(content)).digest()])
    protected = cbor2.dumps({1: -9})
    block = cbor2.dumps(cbor2.CBORTag(18, [protected, {4: b"fuzz"}, None, bytes(64)]))
    body = {2: cbor2.dumps([digest, block]), 3: content, **(more or {})}
    return cbor2.dumps(cbor2.CBORTag(107, body))


def seeds() -> dict[str, bytes]:
    """Answer the envelopes by name."""
    image: Members = {"#image": IMAGE}
    validate = {7: wrap(3, 15)}
    two = ((b"\0",), (b"\1",))
    severed = wrap(*FETCH)
    named = [-16, hashlib.sha256(cbor2.dumps(severed)).digest()]
    text = cbor2.dumps({"en": {1: "an update", (b"\0",): {1: "ACME", 6: "1.0"}}})
    tries = (15, [wrap(5, 5, 20, {21: "#image"}), wrap(20, {13: False, 21: "#image"}), None])
    slots = (20, {5: 0}, *tries, 21, 2, 3, 15)
    run = (32, wrap(20, {13: True, 21: "#image"}, 21, 2), 3, 15)
    copy = (12, 0, *FETCH, 12, 1, 20, {3: DIGEST, 14: 8, 22: 0}, 22, 2, 3, 15)
    swap = (12, 1, 20, {22: 0}, 31, 2, 3, 15)
    several = (12, (0, 1), *IDENTITY)
    write = (20, {18: IMAGE}, 18, 2, 3, 15)
    wrapped_key = [b"", {1: -3, 4: b"kek"}, bytes(24)]
    ctr = cbor2.CBORTag(96, [b"", {1: -65534, 5: bytes(16)}, None, [wrapped_key]])
    gcm = cbor2.CBORTag(96, [cbor2.dumps({1: 1}), {5: bytes(12)}, None, [wrapped_key]])
    x, y = bytes.fromhex(GENERATOR[:64]), bytes.fromhex(GENERATOR[64:])
    point = {1: 2, -1: 1, -2: x, -3: y}
    sender = [cbor2.dumps({1: -29}), {4: b"ecdh", -1: point}, bytes(24)]
    ecdh = cbor2.CBORTag(96, [b"", {1: -65534, 5: bytes(16)}, None, [sender]])
    child = envelope(manifest(validate, components=((b"\1",),), common={}), {})
    depend = (12, 1, 20, {3: DIGEST, 21: "#child"}, 21, 2, 8, 15, 7, 15, 11, 2)
    answer = {
        "single": envelope(manifest({**validate, 20: wrap(*FETCH)}), image),
        "fetched": envelope(manifest({**validate, 16: wrap(20, {21: "a.bin"}, 21, 2, 3, 15)})),
        "uri": envelope(manifest({**validate, 4: "https://example.com/a.suit"})),
        "severed": envelope(manifest({**validate, 20: named}), {20: severed, **image}),
        "text": envelope(manifest({**validate, 23: text})),
        "text-severed": envelope(
            manifest({**validate, 23: [-16, hashlib.sha256(cbor2.dumps(text)).digest()]}),
            {23: text},
        ),
        "slots": envelope(manifest({**validate, 20: wrap(*slots)}), image),
        "run": envelope(manifest({**validate, 20: wrap(*run)}), image),
        "copy": envelope(
            manifest({7: wrap(12, True, 3, 15), 20: wrap(*copy)}, components=two, shared=several),
            image,
        ),
        "swap": envelope(
            manifest({7: wrap(12, True, 3, 15), 20: wrap(*swap)}, components=two, shared=several)
        ),
        "write": envelope(manifest({**validate, 20: wrap(*write)})),
        "invoke": envelope(manifest({**validate, 8: wrap(3, 15), 9: wrap(20, {23: b"a"}, 23, 2)})),
        "dependency": envelope(
            manifest(
                {
                    5: (b"\0",),
                    7: wrap(12, 1, 7, 15, 11, 2),
                    15: wrap(*depend),
                    16: wrap(12, 1, 11, 2),
                    20: wrap(12, 1, 11, 2),
                },
                components=two,
                shared=several,
                common={1: {1: {1: (b"\1",)}}},
            ),
            {"#child": child},
        ),
        "unordered": envelope(
            manifest({**validate, 20: wrap(20, {12: False}, 32, wrap(12, 0, 3, 15))})
        ),
        "device": envelope(manifest({**validate, 20: wrap(20, {24: VENDOR}, 24, 15, 14, 15)})),
        "late": envelope(
            manifest({**validate, 20: wrap(19, {21: "#image", 22: 0}, 21, 2, 6, 15)}), image
        ),
    }
    for name, info in (("ctr", ctr), ("gcm", gcm), ("ecdh", ecdh)):
        install = wrap(20, {19: cbor2.dumps(info), 21: "#image"}, 21, 2, 3, 15)
        answer[name] = envelope(manifest({**validate, 20: install}), image)
    return answer


def main() -> int:
    """Write them."""
    CORPUS.mkdir(exist_ok=True)
    for name, data in seeds().items():
        (CORPUS / f"{name}.suit").write_bytes(data)
    return 0


if __name__ == "__main__":
    sys.exit(main())
