"""CBOR diagnostic notation beside the bytes it stands for: no byte is left out unsaid.

RFC 8949 8, RFC 8610 G. What a label is called is looked up in a table of contexts; what the table
does not know is shown plainly and never refused.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import uuid
from typing import TYPE_CHECKING

from fwseal.base.cbor import Limits
from fwseal.base.errors import Refused
from fwseal.base.spans import FALSE, TRUE, Major, Span, walk
from fwseal.suit.contexts import CONTEXTS, PLAIN, ROOT, Context

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from fwseal.base.reasons import Reason

ELIDE = 1024
"""A longer byte string that holds no CBOR known here is named by its digest instead."""
MAX_LAYERS = 16
"""Byte strings inside byte strings that are opened; what lies deeper is shown as bytes."""
_LIMITS = Limits(bytes=1 << 24)
_PER_LINE, _UUID = 8, 16
_SIMPLE: Mapping[int, str] = {FALSE: "false", TRUE: "true"}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """The bytes from an offset on, and their notation; `left_out` bytes are said by digest."""

    offset: int
    data: bytes = b""
    left_out: int = 0
    depth: int
    text: str

    def __str__(self) -> str:
        shown = "." * 2 * _PER_LINE if self.left_out else self.data.hex()
        return f"{self.offset:06x}  {shown:<16}  {' ' * self.depth}{self.text}".rstrip()


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """Where an item stands: `data` is its layer, which begins `base` bytes into the file.

    `start` is where its line begins, before the item where `prefix` (a key) stands in front.
    """

    data: bytes
    base: int
    layer: int
    depth: int
    start: int
    prefix: str = ""

    def inside(self, start: int, prefix: str = "") -> _Place:
        return dataclasses.replace(self, depth=self.depth + 1, start=start, prefix=prefix)


def diagnostic(data: bytes, *, elide: int | None = ELIDE) -> str:
    """Answer an envelope, or any CBOR, line by line: offset, bytes, notation.

    Raises `Refused` as `spans.walk` does, with the offset, when the bytes are not CBOR as read
    here; a byte string that should hold CBOR and does not is shown as bytes.
    """
    return "\n".join(str(line) for line in lines(data, elide=elide))


def lines(data: bytes, *, elide: int | None = ELIDE) -> tuple[Line, ...]:
    """Answer the same as lines: their data and what they leave out, in order, is the file.

    With `elide=None` nothing is left out, and their texts alone are the notation of the file.
    """
    span = walk(data, tags=None, limits=_LIMITS)
    place = _Place(data=data, base=0, layer=0, depth=0, start=0)
    return tuple(_Writer(elide=elide).item(span, ROOT, place))


def located(error: Refused, data: bytes) -> Refused:
    """Answer a refusal of these bytes with the offset of what is no CBOR, where that is why."""
    fault = _fault(data, ROOT, _Place(data=data, base=0, layer=0, depth=0, start=0))
    if fault is None or fault[0] is not error.reason:
        return error
    path = "" if error.where.isdigit() else error.where  # an offset would be into a layer
    where = f"{path}, byte {fault[1]}" if path else str(fault[1])
    return Refused(error.reason, error.message, where=where)


def _fault(data: bytes, name: str, place: _Place) -> tuple[Reason, int] | None:
    """Answer why and where bytes that should hold CBOR do not, looking into byte strings too."""
    try:
        pending = [(walk(data, tags=None, limits=_LIMITS), name)]
    except Refused as error:
        return (error.reason, place.base + int(error.where)) if error.where else None
    while pending:
        span, within = pending.pop()
        context = CONTEXTS[within]
        content = data[span.content : span.end]
        if span.children:
            parts = [(child, inner) for child, inner, _ in _parts(span, context, place)]
            pending += reversed(parts)
        elif (
            span.major is Major.BYTES
            and content
            and context.content
            and not context.starts  # what may be anything is no fault
            and place.layer < MAX_LAYERS
        ):
            base = place.base + span.content
            inside = dataclasses.replace(place, data=content, base=base, layer=place.layer + 1)
            found = _fault(content, context.content, inside)
            if found:
                return found
    return None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Writer:
    elide: int | None

    def item(self, span: Span, name: str, place: _Place) -> Iterator[Line]:
        """Answer the lines of an item that stands in the context of this name."""
        context = CONTEXTS[name]
        match span.major:
            case Major.BYTES:
                yield from self._bytes(span, context, place)
            case Major.ARRAY | Major.MAP | Major.TAG:
                yield from self._container(span, context, place)
            case _:
                yield from _rows(place, span.end, _scalar(place.data, span, context))

    def _container(self, span: Span, context: Context, place: _Place) -> Iterator[Line]:
        opening, closing = {
            Major.ARRAY: ("[", "]"),
            Major.MAP: ("{", "}"),
            Major.TAG: (f"{span.argument}(", ")"),
        }[span.major]
        if not span.children:
            yield from _rows(place, span.content, opening + closing)
            return
        yield from _rows(place, span.content, opening)
        parts = list(_parts(span, context, place))
        for number, (child, name, inside) in enumerate(parts):
            comma = "," if number + 1 < len(parts) else ""
            yield from _followed(self.item(child, name, inside), comma)
        yield Line(offset=place.base + span.end, depth=place.depth, text=closing)

    def _bytes(self, span: Span, context: Context, place: _Place) -> Iterator[Line]:
        content = place.data[span.content : span.end]
        inner = _opened(content, context, place)
        if inner is not None:
            yield from _rows(place, span.content, "<<")
            base = place.base + span.content
            yield from self.item(
                inner,
                context.content,
                _Place(
                    data=content, base=base, layer=place.layer + 1, depth=place.depth + 1, start=0
                ),
            )
            yield Line(offset=place.base + span.end, depth=place.depth, text=">>")
        elif self.elide is not None and len(content) > self.elide:
            yield from _rows(place, span.content, "h''")
            digest = hashlib.sha256(content).hexdigest()
            yield Line(
                offset=place.base + span.content,
                left_out=len(content),
                depth=place.depth,
                text=f"/ left out: {len(content)} bytes, SHA-256 {digest} /",
            )
        elif len(content) <= _PER_LINE:
            said = _said(content, context)
            yield from _rows(place, span.end, f"h'{content.hex()}'{said}")
        else:
            yield from _rows(place, span.content, "h'")
            for at in range(0, len(content), _PER_LINE):
                row = content[at : at + _PER_LINE]
                whole = at + _PER_LINE >= len(content)
                end = f"'{_said(content, context)}" if whole else ""
                yield Line(
                    offset=place.base + span.content + at,
                    data=row,
                    depth=place.depth + 1,
                    text=row.hex() + end,
                )


def _opened(content: bytes, context: Context, place: _Place) -> Span | None:
    """Answer the item a byte string holds, or None where it is to be shown as bytes."""
    if not context.content or place.layer >= MAX_LAYERS or not content.startswith(context.starts):
        return None
    try:
        return walk(content, tags=None, limits=_LIMITS)
    except Refused:
        return None


def _parts(span: Span, context: Context, place: _Place) -> Iterator[tuple[Span, str, _Place]]:
    """Answer the items of a container, each with the name of its context and its place."""
    if span.major is Major.TAG:
        (child,) = span.children
        yield child, context.tags.get(span.argument, PLAIN), place.inside(child.start)
    elif span.major is Major.MAP:
        yield from (_labeled(key, value, context, place, ":") for key, value in span.pairs())
    elif context.commands:
        pairs = zip(span.children[::2], span.children[1::2], strict=False)
        yield from (_labeled(key, value, context, place, ",") for key, value in pairs)
        if len(span.children) % 2:
            yield span.children[-1], PLAIN, place.inside(span.children[-1].start)
    else:
        for index, child in enumerate(span.children):
            title, name = context.item(index)
            prefix = f"/ {title} / " if title else ""
            yield child, name, place.inside(child.start, prefix)


def _labeled(
    key: Span, value: Span, context: Context, place: _Place, mark: str
) -> tuple[Span, str, _Place]:
    label = _number(key)
    if label is not None:
        title, name = context.labels.get(label, ("", context.rest))
    else:
        title, name = "", context.named if key.major is Major.TEXT else context.keyed
    prefix = f"/ {title} / " if title else ""
    prefix += f"{_inline(place.data, key)}{mark} "
    return value, name, place.inside(key.start, prefix)


def _followed(made: Iterator[Line], comma: str) -> Iterator[Line]:
    """Answer the lines with a comma behind the last."""
    last = next(made)
    for line in made:
        yield last
        last = line
    yield dataclasses.replace(last, text=last.text + comma)


def _rows(place: _Place, end: int, text: str) -> Iterator[Line]:
    """Answer the bytes from where the line begins to the end, the text in the last line."""
    for at in range(place.start, end, _PER_LINE):
        last = at + _PER_LINE >= end
        yield Line(
            offset=place.base + at,
            data=place.data[at : min(end, at + _PER_LINE)],
            depth=place.depth if last else 0,
            text=place.prefix + text if last else "",
        )


def _number(span: Span) -> int | None:
    """Answer the integer that the item is, or None."""
    return {Major.UNSIGNED: span.argument, Major.NEGATIVE: -1 - span.argument}.get(span.major)


def _scalar(data: bytes, span: Span, context: Context) -> str:
    number = _number(span)
    name = context.numbers.get(number) if number is not None else None
    return _inline(data, span) + (f" / {name} /" if name else "")


def _inline(data: bytes, span: Span) -> str:
    """Answer an item other than a map in one line, as it stands before a value."""
    content = data[span.content : span.end]
    match span.major:
        case Major.BYTES:
            return f"h'{content.hex()}'"
        case Major.TEXT:
            # Whoever wrote it does not write on the reader's terminal.
            return json.dumps(content.decode()).replace("\x7f", "\\u007f")
        case Major.ARRAY:
            return f"[{', '.join(_inline(data, one) for one in span.children)}]"
        case Major.SIMPLE:
            return _SIMPLE.get(span.argument, "null")
        case _:
            return str(_number(span))


def _said(content: bytes, context: Context) -> str:
    """Answer what a short byte string says, as a comment."""
    if context.uuid and len(content) == _UUID:
        return f" / {uuid.UUID(bytes=content)} /"
    shown = content.decode("ascii", "replace")
    if context.words and shown.isascii() and shown.isprintable() and "/" not in shown:
        return f" / {shown} /"
    return ""
