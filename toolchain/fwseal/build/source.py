"""Source leaves the repository by commit, clean: nothing of the work tree comes along."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

from fwseal.base.errors import Misuse, Unavailable

if TYPE_CHECKING:
    from pathlib import Path


TIME_LIMIT = 120.0
"""Seconds for one git command."""


def export(repository: Path, commit: str, paths: tuple[str, ...]) -> tuple[str, bytes]:
    """Answer the whole commit id and a tar archive of the paths at that commit.

    Paths are names, never patterns. Raises `Unavailable` without git, `Misuse` for a commit or
    path that is not there.
    """
    found = _git(repository, "rev-parse", "--verify", f"{commit}^{{commit}}")
    if found is None:
        raise Misuse(
            f"commit {commit} is not in this repository",
            hint="commit your work, and name HEAD or a whole commit id",
        )
    whole = found.decode().strip()
    archive = _git(repository, "archive", "--format=tar", whole, "--", *paths)
    if archive is None:
        raise Misuse(
            f"commit {whole[:12]} does not hold {', '.join(paths)}",
            hint="correct paths in the recipe, or commit what is missing",
        )
    return whole, archive


_SETTINGS = (
    "--literal-pathspecs",
    "-c", "core.autocrlf=false", "-c", "core.attributesFile=/dev/null", "-c", "tar.umask=0022",
)  # fmt: skip
"""The same commit gives the same archive, whatever the operator's own configuration says."""

_ELSEWHERE = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_NAMESPACE")
"""Set inside git hooks; they would name another repository than the project's."""


def _git(repository: Path, *arguments: str) -> bytes | None:
    environment = {key: value for key, value in os.environ.items() if key not in _ELSEWHERE}
    # A replace ref shows other content under the commit's own id.
    environment |= {"LC_ALL": "C", "GIT_NO_REPLACE_OBJECTS": "1"}
    try:
        done = subprocess.run(  # noqa: S603 - arguments were parsed; paths stand behind --
            ["git", "-C", repository, *_SETTINGS, *arguments],  # noqa: S607
            env=environment,
            capture_output=True,
            check=False,
            timeout=TIME_LIMIT,
        )
    except FileNotFoundError:
        raise Unavailable("git is not installed", hint="apt install git") from None
    except subprocess.TimeoutExpired:
        raise Unavailable(
            f"git did not answer within {TIME_LIMIT:g} s", hint="check the repository's disk"
        ) from None
    if b"dubious ownership" in done.stderr:
        raise Misuse(
            "git refuses this repository: another user owns it",
            hint="work in a clone of your own",
        )
    if b"not a git repository" in done.stderr:
        raise Misuse(
            "the project is in no git repository",
            hint="source is built by commit: git init, and commit it",
        )
    return done.stdout if done.returncode == 0 else None
