"""What stands where in SUIT and COSE: for each context, the names of what is inside.

A context says for each kind of item what its parts are called and in which context they stand;
contexts name each other by string, since sequences hold sequences. Nothing here is enforced.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from fwseal.base.digest import DigestAlgorithm
from fwseal.cose.algorithms import Algorithm, registered
from fwseal.cose.encryption import ContentAlgorithm
from fwseal.cose.messages import Header, Tag
from fwseal.cose.recipients import KeyAlgorithm, KeyLabel
from fwseal.suit import labels
from fwseal.suit.labels import (
    Command,
    CommonKey,
    DependencyKey,
    EnvelopeKey,
    ManifestKey,
    Parameter,
    spelled,
)

if TYPE_CHECKING:
    import enum
    from collections.abc import Mapping

ROOT, PLAIN = "root", "plain"

Part = tuple[str, str]
"""What a part is called (or nothing), and the name of its context."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What an item holds, by its major type; all of it may be unknown.

    `content`: a byte string holds CBOR in that context, if it begins with `starts`. `items` and
    `each`: the first elements of an array, and those behind them. `commands`: an array is labels
    and arguments in turn. `labels`: the keys of a map (or sequence); a value under another number
    stands in `rest`, under a text in `named`, under another key in `keyed`. `numbers`: what
    integers mean. `uuid`, `words`: how a byte string may be read.
    """

    tags: Mapping[int, str] = dataclasses.field(default_factory=dict)
    content: str = ""
    starts: bytes = b""
    items: tuple[Part, ...] = ()
    each: Part = ("", PLAIN)
    commands: bool = False
    labels: Mapping[int, Part] = dataclasses.field(default_factory=dict)
    rest: str = PLAIN
    named: str = PLAIN
    keyed: str = PLAIN
    numbers: Mapping[int, str] = dataclasses.field(default_factory=dict)
    uuid: bool = False
    words: bool = False

    def item(self, index: int) -> Part:
        """Answer what the element of an array at this index is."""
        return self.items[index] if index < len(self.items) else self.each


def _labels(kind: type[enum.IntEnum], contexts: Mapping[int, str]) -> dict[int, Part]:
    """Answer every label of a registry by its name, in the context given for it."""
    return {int(label): (spelled(label), contexts.get(label, PLAIN)) for label in kind}


def _numbers(kind: type[enum.IntEnum]) -> dict[int, str]:
    return {int(label): spelled(label) for label in kind}


_ALGORITHMS: Mapping[int, str] = {
    **{int(one): one.name for one in ContentAlgorithm},
    **{int(one): one.registered for one in KeyAlgorithm},
    **{int(one): registered(one) for one in Algorithm},
}

_SEVERABLE: Mapping[int, str] = {
    **dict.fromkeys(labels.SEVERABLE, "sequence-or-digest"),
    ManifestKey.TEXT: "text-or-digest",
    ManifestKey.COSWID: "digest",
}

_BLOCK: tuple[Part, ...] = (("protected", "protected"), ("unprotected", "header"))
_DIGEST: tuple[Part, ...] = (("algorithm-id", "digest-algorithm"), ("digest-bytes", PLAIN))
_TAGGED: Mapping[int, str] = {
    labels.TAG_ENVELOPE: "envelope",
    labels.TAG_MANIFEST: "manifest",
    Tag.SIGN1: "sign1",
    Tag.MAC0: "mac0",
    Tag.ENCRYPT0: "encrypt0",
    Tag.SIGN: "sign",
    Tag.MAC: "mac",
    Tag.ENCRYPT: "encrypt",
}

_SUIT: Mapping[str, Context] = {
    "envelope": Context(
        labels=_labels(
            EnvelopeKey,
            {
                EnvelopeKey.AUTHENTICATION_WRAPPER: "authentication",
                EnvelopeKey.MANIFEST: "wrapped-manifest",
                **{int(key): name for key, name in _SEVERABLE.items()},
            },
        ),
        named="integrated",
    ),
    "integrated": Context(content=ROOT, starts=bytes.fromhex("d86b")),
    "authentication": Context(content="blocks"),
    "blocks": Context(items=(("digest", "wrapped-digest"),), each=("block", "wrapped-any")),
    "wrapped-any": Context(content=ROOT),
    "wrapped-digest": Context(content="digest"),
    "digest": Context(items=_DIGEST),
    "digest-algorithm": Context(numbers=_numbers(DigestAlgorithm)),
    "wrapped-manifest": Context(content="manifest"),
    "manifest": Context(
        labels=_labels(
            ManifestKey,
            {
                ManifestKey.COMMON: "wrapped-common",
                ManifestKey.COMPONENT_ID: "component",
                ManifestKey.SET_VERSION: "wrapped-plain",
                ManifestKey.UNINSTALL: "wrapped-sequence",
                **dict.fromkeys(labels.SEQUENCES, "wrapped-sequence"),
                **_SEVERABLE,
            },
        )
    ),
    "wrapped-plain": Context(content=PLAIN),
    "wrapped-common": Context(content="common"),
    "common": Context(
        labels=_labels(
            CommonKey,
            {
                CommonKey.DEPENDENCIES: "dependencies",
                CommonKey.COMPONENTS: "components",
                CommonKey.SHARED_SEQUENCE: "wrapped-sequence",
            },
        )
    ),
    "dependencies": Context(rest="dependency"),
    "dependency": Context(labels=_labels(DependencyKey, {DependencyKey.PREFIX: "component"})),
    "components": Context(each=("", "component")),
    "component": Context(each=("", "words")),
    "words": Context(words=True),
    "wrapped-sequence": Context(content="sequence"),
    "sequence-or-digest": Context(content="sequence", items=_DIGEST),
    "sequence": Context(
        commands=True,
        labels=_labels(
            Command,
            {
                Command.DIRECTIVE_TRY_EACH: "branches",
                Command.DIRECTIVE_RUN_SEQUENCE: "wrapped-sequence",
                Command.DIRECTIVE_SET_PARAMETERS: "parameters",
                Command.DIRECTIVE_OVERRIDE_PARAMETERS: "parameters",
                Command.DIRECTIVE_OVERRIDE_MULTIPLE: "parameters-of",
                Command.DIRECTIVE_COPY_PARAMS: "parameters-from",
            },
        ),
    ),
    "branches": Context(each=("", "wrapped-sequence")),
    "parameters-of": Context(rest="parameters"),
    "parameters-from": Context(rest="parameter-list"),
    "parameter-list": Context(each=("", "parameter")),
    "parameter": Context(numbers=_numbers(Parameter)),
    "parameters": Context(
        labels=_labels(
            Parameter,
            {
                Parameter.VENDOR_IDENTIFIER: "uuid",
                Parameter.CLASS_IDENTIFIER: "uuid",
                Parameter.DEVICE_IDENTIFIER: "uuid",
                Parameter.IMAGE_DIGEST: "wrapped-digest",
                Parameter.ENCRYPTION_INFO: "wrapped-any",
                Parameter.VERSION: "wrapped-version",
                Parameter.WAIT_INFO: "wrapped-wait",
                Parameter.COMPONENT_METADATA: "wrapped-metadata",
            },
        )
    ),
    "uuid": Context(uuid=True),
    "wrapped-version": Context(content="version"),
    "version": Context(items=(("comparison", "comparison"),)),
    "comparison": Context(numbers=_numbers(labels.VersionComparison)),
    "wrapped-wait": Context(content="wait"),
    "wait": Context(labels=_labels(labels.WaitEvent, {})),
    "wrapped-metadata": Context(content="metadata"),
    "metadata": Context(labels=_labels(labels.ComponentMetadataKey, {})),
    "text-or-digest": Context(content="texts", items=_DIGEST),
    "texts": Context(named="text"),
    "text": Context(labels=_labels(labels.TextKey, {}), keyed="component-text"),
    "component-text": Context(labels=_labels(labels.TextComponentKey, {})),
}

_COSE: Mapping[str, Context] = {
    "sign1": Context(items=(*_BLOCK, ("payload", PLAIN), ("signature", PLAIN))),
    "mac0": Context(items=(*_BLOCK, ("payload", PLAIN), ("tag", PLAIN))),
    "encrypt0": Context(items=(*_BLOCK, ("ciphertext", PLAIN))),
    "sign": Context(items=(*_BLOCK, ("payload", PLAIN), ("signatures", "signatures"))),
    "signatures": Context(each=("", "signature")),
    "signature": Context(items=(*_BLOCK, ("signature", PLAIN))),
    "mac": Context(
        items=(*_BLOCK, ("payload", PLAIN), ("tag", PLAIN), ("recipients", "recipients"))
    ),
    "encrypt": Context(items=(*_BLOCK, ("ciphertext", PLAIN), ("recipients", "recipients"))),
    "recipients": Context(each=("", "encrypt")),
    "protected": Context(content="header"),
    "header": Context(
        labels={
            **_labels(Header, {Header.ALG: "algorithm", Header.KID: "words"}),
            -1: ("ephemeral-key", "key"),
        }
    ),
    "algorithm": Context(numbers=_ALGORITHMS),
    "key": Context(labels=_labels(KeyLabel, {KeyLabel.KID: "words", KeyLabel.ALG: "algorithm"})),
}

CONTEXTS: Mapping[str, Context] = {
    ROOT: Context(tags=_TAGGED),
    PLAIN: Context(),
    **_SUIT,
    **_COSE,
}
