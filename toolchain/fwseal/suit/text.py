"""Text is for people: it is typed to be shown, and nothing here or elsewhere decides by it.

draft-ietf-suit-manifest-37 8.4.4; draft-ietf-suit-update-management-14 3.3, 3.4.
"""

from __future__ import annotations

import dataclasses
import re
from typing import TYPE_CHECKING

from fwseal.base import cbor
from fwseal.base.errors import Refused
from fwseal.base.reasons import Reason
from fwseal.suit.labels import TextComponentKey, TextKey, known, spelled
from fwseal.suit.limits import DEFAULT
from fwseal.suit.values import component_id, mapping, text_string

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fwseal.base.ids import ComponentId
    from fwseal.suit.limits import Limits

_LANGUAGE = re.compile(r"[a-zA-Z]{1,8}(-[a-zA-Z0-9]{1,8})*\Z")
"""RFC 9290 appendix A: what CDDL calls tag38-ltag."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Localized:
    """What is said in one language, of the manifest and of its components."""

    manifest: Mapping[TextKey, str] = dataclasses.field(default_factory=dict)
    components: Mapping[ComponentId, Mapping[TextComponentKey, str]] = dataclasses.field(
        default_factory=dict
    )


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """SUIT_Text_Map: what is said in each language, by its tag (`en`, `de-AT`)."""

    languages: Mapping[str, Localized]

    def encode(self) -> bytes:
        """Answer the deterministic CBOR of the text."""
        return cbor.encode({tag: _body(one) for tag, one in self.languages.items()})

    @property
    def components(self) -> frozenset[ComponentId]:
        """Answer the components that something is said about."""
        return frozenset(name for one in self.languages.values() for name in one.components)


def _body(said: Localized) -> cbor.Value:
    body: dict[cbor.Key, cbor.Value] = {int(key): text for key, text in said.manifest.items()}
    for component, entries in said.components.items():
        body[component] = {int(key): text for key, text in entries.items()}
    return body


def decode_text(data: bytes, *, limits: Limits = DEFAULT) -> Text:
    """Answer the text that the bytes hold.

    Raises `Refused`: malformed, not-deterministic, limit-exceeded, unsupported.
    """
    body = mapping(cbor.decode(data, limits=limits.document), "text")
    if not body:
        raise Refused(Reason.MALFORMED, "text is in no language")
    languages: dict[str, Localized] = {}
    for tag, said in body.items():
        if not _LANGUAGE.match(text_string(tag, "a language")):
            raise Refused(Reason.MALFORMED, f"{tag!r} is not a language tag")
        languages[str(tag)] = _localized(mapping(said, "text of a language"))
    return Text(languages=languages)


def _localized(body: Mapping[cbor.Key, cbor.Value]) -> Localized:
    manifest: dict[TextKey, str] = {}
    components: dict[ComponentId, Mapping[TextComponentKey, str]] = {}
    for key, value in body.items():
        if isinstance(key, tuple):
            components[component_id(key)] = _entries(mapping(value, "text of a component"))
        else:
            label = known(TextKey, key, what="text element")
            manifest[label] = text_string(value, spelled(label))
    return Localized(manifest=manifest, components=components)


def _entries(body: Mapping[cbor.Key, cbor.Value]) -> Mapping[TextComponentKey, str]:
    labels = {key: known(TextComponentKey, key, what="text element of a component") for key in body}
    return {labels[key]: text_string(value, spelled(labels[key])) for key, value in body.items()}
