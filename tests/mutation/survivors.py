"""Mutants that no test can notice, each with the reason why; all others must be killed."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mutation.places import Key

# (module, function, source of the guard, mutation): reason
SURVIVORS: Mapping[Key, str] = {
    ("base.spans", "_key", "one > other", ">= in one > other"): (
        "equal keys never get there: the test before it refuses them"
    ),
}
