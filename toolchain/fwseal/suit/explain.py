"""An envelope in plain words: each part that was signed, severed or put in, and every byte counted.

To explain is not to judge: what a signature is worth is said where somebody says whom to trust,
and nothing is refused but what cannot be read. Text of the envelope is quoted and escaped.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from fwseal.base import cbor
from fwseal.base.digest import Digest
from fwseal.base.errors import Refused
from fwseal.base.reasons import Reason
from fwseal.base.spans import Major, walk
from fwseal.cose.algorithms import registered
from fwseal.cose.messages import Tag, decode_block
from fwseal.suit import envelope as envelopes
from fwseal.suit import manifest as manifests
from fwseal.suit import words
from fwseal.suit.authenticate import DEPENDENCY, ROLE, Anchor, signer
from fwseal.suit.labels import SPEC, TAG_ENVELOPE, EnvelopeKey, ManifestKey, spelled
from fwseal.suit.limits import DEFAULT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fwseal.cose.messages import Block
    from fwseal.suit.envelope import Envelope
    from fwseal.suit.limits import Limits
    from fwseal.suit.manifest import Manifest

_ENVELOPE = bytes.fromhex("d86b")
"""What an envelope begins with: the head of tag 107."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Trust:
    """Whom a device trusts, and how many of them must have signed."""

    anchors: tuple[Anchor, ...]
    threshold: int
    dependency_threshold: int


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """One signature as a device sees it: the anchor that made it, or why it is refused."""

    block: Block | None
    anchor: Anchor | None
    refusal: Refused | None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """Where the bytes of an envelope go; `heads` are those of CBOR, keys included."""

    authentication: int = 0
    manifest: int = 0
    severed: int = 0
    integrated: int = 0
    heads: int = 0

    @property
    def total(self) -> int:
        """Answer the size of the envelope."""
        return self.authentication + self.manifest + self.severed + self.integrated + self.heads


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Task:
    """What one envelope is explained with: `depth` is how many are around it."""

    trust: Trust | None
    limits: Limits
    depth: int = 0


def explain(envelope: Envelope, *, trust: Trust | None = None, limits: Limits = DEFAULT) -> str:
    """Answer the envelope in words, its signatures as those of somebody who trusts `trust`.

    Without it they are shown, not verified, and the text says so. Raises `Refused` when the
    manifest, or a severed member that fits its digest, cannot be read.
    """
    return "\n".join(_lines(envelope, _Task(trust=trust, limits=limits)))


def judge(
    envelope: Envelope, *, trust: Trust, roles: frozenset[str] = frozenset({ROLE})
) -> tuple[Judged, ...]:
    """Answer what a device makes of each signature, each for itself."""
    return tuple(_judged(data, envelope, trust, roles) for data in envelope.blocks)


def account(data: bytes, *, limits: Limits = DEFAULT) -> Account:
    """Answer where the bytes of an envelope go; raises `Refused` as `spans.walk` does."""
    (body,) = walk(data, tags=frozenset({TAG_ENVELOPE}), limits=limits.envelope).children
    sizes = dict.fromkeys(("authentication", "manifest", "severed", "integrated"), 0)
    for key, value in body.pairs():
        label = data[key.start : key.end]
        if label == bytes([EnvelopeKey.AUTHENTICATION_WRAPPER]):
            part = "authentication"
        elif label == bytes([EnvelopeKey.MANIFEST]):
            part = "manifest"
        else:
            part = "integrated" if key.major is Major.TEXT else "severed"
        sizes[part] += value.end - value.content
    return Account(**sizes, heads=len(data) - sum(sizes.values()))


def _lines(envelope: Envelope, task: _Task) -> Iterator[str]:
    manifest = manifests.decode(envelope.manifest, limits=task.limits)
    counted = account(envelope.encode(), limits=task.limits)
    yield f"SUIT envelope of {words.size(counted.total)}, {SPEC}"
    yield f"manifest digest   {_fit(envelope)}"
    yield f"  {envelope.digest.hex()}"
    yield from _signatures(envelope, manifest, task)
    yield from words.head(manifest)
    if manifest.shared_sequence:
        yield from words.section("shared-sequence", manifest.shared_sequence, manifest)
    for key in (*words.ORDER, ManifestKey.TEXT):
        yield from _member(key, envelope, manifest, task)
    for key in envelope.severed:
        if key not in manifest.severed():
            yield f"{spelled(key)}: attached, and named by no digest"
    for uri, payload in envelope.integrated.items():
        yield from _integrated(uri, payload, task)
    yield (
        f"{words.plural(counted.total, 'byte')}: {counted.authentication} of authentication, "
        f"{counted.manifest} of manifest, {counted.severed} severed, "
        f"{counted.integrated} integrated, {counted.heads} of heads"
    )


def _fits(envelope: Envelope) -> bool:
    covered = cbor.wrapped(envelope.manifest)
    return Digest.of(covered, envelope.digest.algorithm).fits(envelope.digest)


def _fit(envelope: Envelope) -> str:
    fits = "which the manifest fits" if _fits(envelope) else "which the manifest does NOT fit"
    return f"{spelled(envelope.digest.algorithm)}, {fits}"


def _judged(data: bytes, envelope: Envelope, trust: Trust | None, roles: frozenset[str]) -> Judged:
    """Answer the block; without trust neither its anchor nor a refusal, when it can be read."""
    block = None
    try:
        block = decode_block(data)
        anchor = None
        if trust is not None:
            anchor = signer(block, envelope.digest_bytes, trust.anchors, roles)
    except Refused as error:
        return Judged(block=block, anchor=None, refusal=error)
    return Judged(block=block, anchor=anchor, refusal=None)


def _signatures(envelope: Envelope, manifest: Manifest, task: _Task) -> Iterator[str]:
    roles = frozenset({ROLE, DEPENDENCY} if task.depth else {ROLE})
    made = [_judged(data, envelope, task.trust, roles) for data in envelope.blocks]
    for number, one in enumerate(made):
        yield from words.folded(f"signature {number:<8}{_block(one.block)}")
        if one.refusal is not None:
            reason = f"{one.refusal.reason.value}: {one.refusal.message}"
            yield from words.folded(f"REFUSED, {words.escaped(reason)}", "  ")
        elif one.anchor is None:
            yield "  shown, not verified"
        else:
            yield from _right(one.anchor, manifest)
    if not made:
        yield "signature         none"
    if task.trust is not None:
        needed = task.trust.dependency_threshold if task.depth else task.trust.threshold
        yield from words.folded(f"authentication    {_verdict(envelope, made, needed)}")


def _block(block: Block | None) -> str:
    if block is None:
        return "cannot be read"
    kid = "no kid" if block.kid is None else f"kid {block.kid!a}"
    chain = f", x5chain of {words.plural(len(block.chain), 'certificate')}" if block.chain else ""
    what = "MAC" if block.kind is Tag.MAC0 else "signature"
    return (
        f"{block.kind.message} {registered(block.algorithm)}, {kid}{chain}, "
        f"{what} of {words.size(len(block.signature))}"
    )


def _right(anchor: Anchor, manifest: Manifest) -> Iterator[str]:
    """Answer who signed, and whether that anchor may write what the manifest is about."""
    roles = ", ".join(sorted(anchor.roles))
    yield from words.folded(f"verified by anchor {anchor.kid!a}, of role {roles}", "  ")
    beyond = [
        index
        for index, component in enumerate(manifest.components)
        if index not in manifest.dependencies
        and anchor.components
        and not any(component[: len(prefix)] == prefix for prefix in anchor.components)
    ]
    rights = ", ".join(map(words.component_name, anchor.components)) or "any component"
    text = f"has a right to {rights}"
    for index in beyond:
        text += f", NOT to {words.place(index, manifest)}"
    yield from words.folded(text, "  ")


def _verdict(envelope: Envelope, made: list[Judged], needed: int) -> str:
    """Answer what the signatures come to, in the order in which `authenticate` asks."""
    count = len({one.anchor.key.identity for one in made if one.anchor is not None})
    signed = f"{count} of {needed} needed signed"
    if not made:
        return f"REFUSED, {Reason.UNSIGNED.value}"
    for one in made:
        if one.refusal is not None:
            return f"REFUSED, {one.refusal.reason.value}: every signature must verify"
    if count < needed:
        return f"REFUSED, {Reason.THRESHOLD_NOT_MET.value}: {signed}"
    if not _fits(envelope):
        return f"REFUSED, {Reason.DIGEST_MISMATCH.value}: the manifest is another"
    return f"threshold met: {signed}"


def _member(key: ManifestKey, envelope: Envelope, manifest: Manifest, task: _Task) -> Iterator[str]:
    digest, title = manifest.severed().get(key), spelled(key)
    if digest is not None:
        content = envelope.severed.get(key)
        fits = content is not None and Digest.of(cbor.wrapped(content), digest.algorithm).fits(
            digest
        )
        if content is None:
            yield f"{title}: severed, not here; its digest is {spelled(digest.algorithm)}"
        else:
            so = "which fits its" if fits else "which does NOT fit its"
            size = words.plural(len(content), "byte")
            yield f"{title}: severed, attached, {size}, {so} {spelled(digest.algorithm)}"
        yield f"  {digest.hex()}"
        if content is None or not fits:
            return
        manifest = manifest.with_member(key, content, limits=task.limits)
    text, sequence = manifest.text, manifest.sequences.get(key)
    if isinstance(sequence, tuple):
        yield from words.section(title, sequence, manifest)
    elif key is ManifestKey.TEXT and text is not None and not isinstance(text, Digest):
        yield "text:"
        yield from words.text_words(text)


def _integrated(uri: str, payload: bytes, task: _Task) -> Iterator[str]:
    size, inside = words.size(len(payload)), payload.startswith(_ENVELOPE)
    if inside and task.depth < task.limits.dependency_depth:
        deeper = dataclasses.replace(task, depth=task.depth + 1)
        try:
            made = list(_lines(envelopes.decode(payload, limits=task.limits), deeper))
        except Refused as error:
            reason = words.escaped(f"{error.reason.value}: {error.message}")
            made = list(words.folded(f"an envelope that cannot be read, {reason}"))
        yield from words.titled("integrated envelope", f"{uri!a}: {size}")
        yield from (f"  {line}" for line in made)
        return
    yield from words.titled("integrated payload", f"{uri!a}: {size}")
    yield from words.titled("  it is", words.digest_words(Digest.of(payload)))
    if inside:
        yield "  an envelope, too deep inside others to be explained"
