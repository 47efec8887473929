"""CBOR as a fuzzer sees it: a tree of heads, byte strings that hold CBOR opened, nothing refused.

What is written back may be wrong in any one place and is right around it, lengths included: that
is how a mutation comes past the outer layers.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import random

MAX_DEPTH = 24
BYTES, TEXT, ARRAY, MAP, TAG, SIMPLE = 2, 3, 4, 5, 6, 7
NUMBERS = (
    *range(36), 96, 97, 98, 107, 255, 256, 394, 1070, 65535, 65536, 65531, 65533, 2**31, 2**32,
    2**63, 2**64 - 1,
)  # fmt: skip
"""Labels, algorithms and tags of SUIT and COSE (as arguments of a head), and the usual edges."""


@dataclasses.dataclass(slots=True)
class Node:
    """One item: its head, then either raw bytes or the items inside; `width` of the argument.

    `nested` is a byte string whose content is those items.
    """

    major: int
    argument: int
    width: int
    raw: bytes = b""
    items: list[Node] = dataclasses.field(default_factory=list)
    nested: bool = False

    def write(self) -> bytes:
        """Answer the bytes; lengths and counts follow from what is inside."""
        body = b"".join(one.write() for one in self.items) if self.items else self.raw
        argument = self.argument
        if self.major in (BYTES, TEXT):
            argument = len(body)
        elif self.major == ARRAY:
            argument = len(self.items)
        elif self.major == MAP:
            argument = len(self.items) // 2
        return head(self.major, argument, self.width) + body


def head(major: int, argument: int, width: int) -> bytes:
    """Answer a head whose argument takes at least `width` bytes."""
    if width == 0 and argument < 24:
        return bytes([major << 5 | argument])
    for low, size in ((24, 1), (25, 2), (26, 4), (27, 8)):
        if size >= width and argument < 1 << 8 * size:
            return bytes([major << 5 | low]) + argument.to_bytes(size, "big")
    return bytes([major << 5 | 27]) + (argument % 2**64).to_bytes(8, "big")


def read(data: bytes) -> Node | None:
    """Answer the tree of exactly one item, or None where the bytes are not one."""
    found = _item(data, 0, 0)
    return found[0] if found is not None and found[1] == len(data) else None


def _item(data: bytes, start: int, depth: int) -> tuple[Node, int] | None:
    if start >= len(data) or depth > MAX_DEPTH:
        return None
    major, low = data[start] >> 5, data[start] & 31
    if low > 27:
        return None
    width = 0 if low < 24 else 1 << (low - 24)
    end = start + 1 + width
    if end > len(data):
        return None
    argument = int.from_bytes(data[start + 1 : end], "big") if width else low
    # A width that the argument needs is not kept, so that a changed argument is shortest again.
    node = Node(major, argument, width if head(major, argument, 0) != data[start:end] else 0)
    if major in (BYTES, TEXT):
        if end + argument > len(data):
            return None
        node.raw = data[end : end + argument]
        inside = read_nested(node.raw, depth) if major == BYTES else None
        if inside is not None:
            node.items, node.nested = [inside], True
        return node, end + argument
    count = {ARRAY: argument, MAP: 2 * argument, TAG: 1}.get(major, 0)
    if count > len(data):
        return None
    for _ in range(count):
        found = _item(data, end, depth + 1)
        if found is None:
            return None
        node.items.append(found[0])
        end = found[1]
    return node, end


def read_nested(data: bytes, depth: int) -> Node | None:
    """Answer the tree inside a byte string where that is an array, a map or a tagged item."""
    if not data or data[0] >> 5 not in (ARRAY, MAP, TAG):
        return None
    found = _item(data, 0, depth + 1)
    return found[0] if found is not None and found[1] == len(data) else None


def nodes(tree: Node) -> list[Node]:
    """Answer every node of a tree."""
    found, pending = [], [tree]
    while pending:
        node = pending.pop()
        found.append(node)
        pending += node.items
    return found


def mutated(data: bytes, other: bytes, chance: random.Random) -> bytes:
    """Answer the data with one to three changes of structure; `other` lends parts."""
    tree, lender = read(data), read(other)
    if tree is None:
        return _torn(data, chance)
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        every = nodes(tree)
        # Deep nodes are many and shallow ones few; both get their share.
        node = chance.choice(every) if chance.random() < 0.8 else chance.choice(every[:8])
        change = chance.choice(_CHANGES)
        change(node, every, nodes(lender) if lender is not None else every, chance)
        if len(every) > 4000:
            break
    written = tree.write()
    return _torn(written, chance) if chance.random() < 0.05 else written


def _torn(data: bytes, chance: random.Random) -> bytes:
    if not data:
        return b"\xd8\x6b\xa0"
    place = chance.randrange(len(data))
    match chance.randrange(4):
        case 0:
            return data[:place]
        case 1:
            return data + bytes([chance.randrange(256)])
        case 2:
            return data[:place] + data[place + 1 :]
        case _:
            return (
                data[:place] + bytes([data[place] ^ 1 << chance.randrange(8)]) + data[place + 1 :]
            )


def _become(node: Node, other: Node) -> None:
    copied = clone(other)
    for field in dataclasses.fields(Node):
        setattr(node, field.name, getattr(copied, field.name))


def clone(node: Node) -> Node:
    """Answer a copy that shares nothing."""
    return dataclasses.replace(node, items=[clone(one) for one in node.items])


def _number(node: Node, every: list[Node], lent: list[Node], chance: random.Random) -> None:
    if node.major in (BYTES, TEXT) and not node.items:
        _bytes(node, every, lent, chance)
    elif chance.random() < 0.4:
        node.argument = max(0, node.argument + chance.choice((-1, 1)))
    else:
        node.argument = chance.choice(NUMBERS)


def _kind(node: Node, every: list[Node], lent: list[Node], chance: random.Random) -> None:
    node.major = chance.randrange(8)
    if node.major == SIMPLE:
        node.argument = chance.choice((20, 21, 22, 22, 23))
        node.items, node.raw = [], b""
    elif node.major < BYTES:
        node.items, node.raw = [], b""
    elif node.major == TAG and not node.items:
        node.items = [Node(0, node.argument, 0)]


def _width(node: Node, every: list[Node], lent: list[Node], chance: random.Random) -> None:
    node.width = chance.choice((1, 2, 4, 8))


def _bytes(node: Node, every: list[Node], lent: list[Node], chance: random.Random) -> None:
    raw = bytearray(node.raw)
    match chance.randrange(4):
        case 0:
            raw += bytes(chance.randrange(1, 5))
        case 1 if raw:
            del raw[chance.randrange(len(raw)) :]
        case 2 if raw:
            raw[chance.randrange(len(raw))] ^= 1 << chance.randrange(8)
        case _:
            raw = bytearray(chance.randbytes(chance.choice((0, 1, 16, 32, 33, 48, 64))))
    if node.major in (BYTES, TEXT):
        node.raw, node.items, node.nested = bytes(raw), [], False


def _give(node: Node, every: list[Node], lent: list[Node], chance: random.Random) -> None:
    source = chance.choice(lent if chance.random() < 0.6 else every)
    if len(nodes(source)) < 200:
        _become(node, source)


def _step(node: Node) -> int:
    return 2 if node.major == MAP else 1


def _drop(node: Node, every: list[Node], lent: list[Node], chance: random.Random) -> None:
    if node.major in (ARRAY, MAP) and node.items:
        size = _step(node)
        start = chance.randrange(0, len(node.items), size)
        del node.items[start : start + size]


def _double(node: Node, every: list[Node], lent: list[Node], chance: random.Random) -> None:
    if node.major in (ARRAY, MAP) and node.items and len(every) < 2000:
        size = _step(node)
        start = chance.randrange(0, len(node.items), size)
        node.items[start:start] = [clone(one) for one in node.items[start : start + size]]


def _swap(node: Node, every: list[Node], lent: list[Node], chance: random.Random) -> None:
    if node.major in (ARRAY, MAP) and len(node.items) > _step(node):
        one, other = (chance.randrange(len(node.items)) for _ in range(2))
        node.items[one], node.items[other] = node.items[other], node.items[one]


def _insert(node: Node, every: list[Node], lent: list[Node], chance: random.Random) -> None:
    if node.major in (ARRAY, MAP):
        fresh = [clone(chance.choice(lent))]
        if node.major == MAP:
            fresh.insert(0, Node(chance.choice((0, 0, 0, 1, 3)), chance.choice(NUMBERS), 0))
        if sum(len(nodes(one)) for one in fresh) < 200:
            size = _step(node)
            start = chance.randrange(0, len(node.items) + 1, size)
            node.items[start:start] = fresh
            _sorted(node)


def _sort(node: Node, every: list[Node], lent: list[Node], chance: random.Random) -> None:
    for one in every:
        _sorted(one)


def _sorted(node: Node) -> None:
    if node.major == MAP and len(node.items) % 2 == 0:
        keys, values = node.items[::2], node.items[1::2]
        ordered = sorted(zip(keys, values, strict=True), key=lambda pair: pair[0].write())
        node.items = [one for pair in ordered for one in pair]


def _wrap(node: Node, every: list[Node], lent: list[Node], chance: random.Random) -> None:
    inner = clone(node)
    if chance.random() < 0.3 and node.items:
        _become(node, node.items[0])
        return
    match chance.randrange(4):
        case 0:
            _become(node, Node(BYTES, 0, 0, items=[inner], nested=True))
        case 1:
            _become(node, Node(ARRAY, 0, 0, items=[inner]))
        case 2:
            _become(
                node, Node(TAG, chance.choice((17, 18, 96, 97, 98, 107, 112)), 0, items=[inner])
            )
        case _:
            # A sequence inside a sequence: run-sequence, or a branch of try-each.
            nested = Node(BYTES, 0, 0, items=[inner], nested=True)
            label = Node(0, chance.choice((15, 32)), 0)
            _become(node, Node(ARRAY, 0, 0, items=[label, nested]))


_CHANGES = (
    _number, _number, _number, _kind, _width, _bytes, _give, _give, _drop, _double, _swap,
    _insert, _insert, _sort, _wrap,
)  # fmt: skip
