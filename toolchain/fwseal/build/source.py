"""Source leaves the repository by commit, clean: nothing of the work tree comes along."""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path

from fwseal.base.errors import Misuse, Unavailable

TIME_LIMIT = 120.0
"""Seconds for one git command."""

_SHA256_HEX = 64


def export(repository: Path, commit: str, paths: tuple[str, ...]) -> tuple[str, bytes]:
    """Answer the whole commit id and a tar archive of the paths at that commit.

    Paths are names, never patterns. Raises `Unavailable` without git, `Misuse` for a commit or
    path that is not there.
    """
    environment = {key: value for key, value in os.environ.items() if key not in _ELSEWHERE}
    # A replace ref shows other content under the commit's own id.
    environment |= {"LC_ALL": "C", "GIT_NO_REPLACE_OBJECTS": "1"}
    found = _git(repository, environment, "rev-parse", "--verify", f"{commit}^{{commit}}")
    if found is None:
        raise Misuse(
            f"commit {commit} is not in this repository",
            hint="commit your work, and name HEAD or a whole commit id",
        )
    try:
        with tempfile.TemporaryDirectory(prefix="fwseal-git-") as folder:
            bare = _borrowing(repository, environment, Path(folder), commit=found)
            archive = _git(repository, bare, "archive", "--format=tar", found, "--", *paths)
    except OSError as error:
        raise Unavailable(
            f"the temporary folder cannot be used: {error.strerror}", hint="check space in TMPDIR"
        ) from None
    if archive is None:
        raise Misuse(
            f"commit {found[:12]} does not hold {', '.join(paths)}",
            hint="correct paths in the recipe, or commit what is missing",
        )
    return found, os.fsencode(archive)
