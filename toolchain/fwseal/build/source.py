"""Source leaves the repository by commit, clean: nothing of the work tree comes along."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

from fwseal.base.errors import Misuse, Unavailable

if TYPE_CHECKING:
    from pathlib import Path


def export(repository: Path, commit: str, paths: tuple[str, ...]) -> tuple[str, bytes]:
    """Answer the whole commit id and a tar archive of the paths at that commit.

    Raises `Unavailable` without git, `Misuse` for a commit or path that is not there.
    """
    found = _git(repository, "rev-parse", "--verify", "--quiet", f"{commit}^{{commit}}")
    if found is None:
        raise Misuse(
            f"commit {commit} is not in this repository",
            hint="commit your work, and name HEAD or a whole commit id",
        )
    whole = found.decode().strip()
    archive = _git(repository, "archive", "--format=tar", whole, "--", *paths)
    if archive is None:
        raise Misuse(f"commit {whole[:12]} does not hold {', '.join(paths)}")
    return whole, archive


def _git(repository: Path, *arguments: str) -> bytes | None:
    try:
        done = subprocess.run(
            ["git", "-C", repository, "-c", "core.autocrlf=false", *arguments],  # noqa: S607
            capture_output=True,
            check=False,
            timeout=120,
        )
    except FileNotFoundError:
        raise Unavailable("git is not installed", hint="apt install git") from None
    except subprocess.TimeoutExpired:
        raise Unavailable("git did not answer within 120 s") from None
    if b"dubious ownership" in done.stderr:
        raise Misuse(
            "git refuses this repository: another user owns it",
            hint="work in a clone of your own",
        )
    return done.stdout if done.returncode == 0 else None
