"""The page on device profiles is compared with what the code reads and bounds."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

from fwseal.suit.limits import DEFAULT

PAGE = Path(__file__).resolve().parents[2] / "docs/reference/device-profile.md"


def test_every_limit_stands_on_the_page_with_its_default() -> None:
    text = PAGE.read_text(encoding="utf-8").partition("## `[limits]`")[2]
    listed = {key: int(value) for key, value in re.findall(r"^\| `(.*?)` \| (\d+) \|", text, re.M)}
    settable = [one.name for one in dataclasses.fields(DEFAULT) if one.init]
    assert listed == {name.replace("_", "-"): getattr(DEFAULT, name) for name in settable}
