"""The drafts' own test vectors; they are read where they lie and never copied."""

from __future__ import annotations

from pathlib import Path

import pytest

VECTORS = Path(__file__).resolve().parents[3] / "shared" / "vectors"


@pytest.fixture
def vectors() -> Path:
    """Answer the folder of vectors, or skip."""
    if not VECTORS.is_dir():
        pytest.skip("../shared/vectors is not here")
    return VECTORS
