"""`[manifest.text.LANGUAGE]` is what people read; it stands in the manifest by the drafts' names.

draft-ietf-suit-manifest-37 8.4.4.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, TypeVar

from fwseal.suit.labels import TextComponentKey, TextKey, spelled
from fwseal.suit.text import Localized, Text

if TYPE_CHECKING:
    from collections.abc import Callable

    from fwseal.base.ids import ComponentId
    from fwseal.base.tables import Table

K = TypeVar("K", bound=enum.IntEnum)


def text(table: Table, *, component: Callable[[Table, str], ComponentId]) -> Text:
    """Answer `[manifest.text]`, a table for each language; raises `Misuse`.

    `component` answers a component identifier under a key of a table.
    """
    languages = {tag: _localized(table.table(tag), component) for tag in table.items_left()}
    if not languages:
        raise table.misuse("text is in no language", hint="[manifest.text.en] is English")
    return Text(languages=languages)


def _localized(table: Table, component: Callable[[Table, str], ComponentId]) -> Localized:
    components = {}
    for entry in table.tables("components", optional=True):
        name = component(entry, "component")
        if name in components:
            raise entry.misuse("a component is spoken of twice")
        components[name] = _said(entry, TextComponentKey)
    found = Localized(manifest=_said(table, TextKey), components=components)
    if not found.manifest and not components:
        raise table.misuse("nothing is said in this language")
    return found


def _said(table: Table, keys: type[K]) -> dict[K, str]:
    found = {key: table.take(spelled(key), str) for key in keys if table.has(spelled(key))}
    table.done()
    return found
