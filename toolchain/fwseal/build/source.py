"""Source leaves the repository by commit, clean: nothing of the work tree comes along."""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path

from fwseal.base.errors import Misuse, Unavailable

TIME_LIMIT = 120.0
"""Seconds for one git command."""

_SHA256_DIGITS = 64


def export(repository: Path, commit: str, paths: tuple[str, ...]) -> tuple[str, bytes]:
    """Answer the whole commit id and a tar archive of the paths at that commit.

    Paths are names, never patterns. Raises `Unavailable` without git or room for its temporary
    files, `Misuse` for a commit or path that is not there.
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
    whole = found.decode().strip()
    try:
        with tempfile.TemporaryDirectory(prefix="fwseal-git-") as folder:
            borrowing = _borrowing(repository, environment, Path(folder), whole)
            archive = _git(repository, borrowing, "archive", "--format=tar", whole, "--", *paths)
    except OSError as error:
        raise Unavailable(
            f"the folder for git cannot be used: {error.strerror}", hint="check space in TMPDIR"
        ) from None
    if archive is None:
        raise Misuse(
            f"commit {whole[:12]} does not hold {', '.join(paths)}",
            hint="correct paths in the recipe, or commit what is missing",
        )
    return whole, archive


def _borrowing(
    repository: Path, environment: dict[str, str], folder: Path, commit: str
) -> dict[str, str]:
    """Answer the environment of a new repository in `folder` that borrows the other's objects.

    The same commit gives the same archive: line ends, filters and attributes that the operator
    set, for this repository or for all, are not there.
    """
    kind = "sha256" if len(commit) == _SHA256_DIGITS else "sha1"
    top = _git(repository, environment, "rev-parse", "--show-toplevel")
    objects = _git(repository, environment, "rev-parse", "--git-path", "objects")
    made = _git(folder, environment, "init", "--template=", f"--object-format={kind}")
    if made is None:
        raise Unavailable("git cannot make a temporary repository", hint="check space in TMPDIR")
    if top is None or objects is None:
        raise Misuse(
            "the project is in no work tree of git", hint="build in a clone with its files"
        )
    mute = ("GIT_CONFIG_COUNT", "GIT_CONFIG_PARAMETERS")
    return {key: value for key, value in environment.items() if key not in mute} | {
        "GIT_DIR": str(folder / ".git"),
        "GIT_WORK_TREE": os.fsdecode(top.removesuffix(b"\n")),
        "GIT_OBJECT_DIRECTORY": os.path.abspath(  # noqa: PTH100 - links stay
            repository / os.fsdecode(objects.removesuffix(b"\n"))
        ),
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_ATTR_NOSYSTEM": "1",
    }


_SETTINGS = (
    "--literal-pathspecs",
    "-c", "core.autocrlf=false", "-c", "core.eol=lf", "-c", "core.attributesFile=/dev/null",
    "-c", "tar.umask=0022",
)  # fmt: skip
"""The same archive also where variables or git's own defaults would steer it."""

_ELSEWHERE = (
    "GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_NAMESPACE",
    "GIT_COMMON_DIR", "GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_ATTR_SOURCE", "GIT_PREFIX",
)  # fmt: skip
"""Set inside git hooks; they would name another repository than the project's."""


def _git(folder: Path, environment: dict[str, str], *arguments: str) -> bytes | None:
    try:
        done = subprocess.run(  # noqa: S603 - arguments were parsed; paths stand behind --
            ["git", "-C", folder, *_SETTINGS, *arguments],  # noqa: S607 - the user's own git
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
