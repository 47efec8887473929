"""The package manager says whose file it is; where there is none, a file is nobody's."""

from __future__ import annotations

import platform
import shutil
import subprocess
from typing import TYPE_CHECKING
from urllib.parse import quote

from fwseal.build.lock import Component

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

PATH = "/usr/bin:/bin"
"""Where the package manager is."""


def owners(names: Iterable[str]) -> dict[str, Component]:
    """Answer the Debian package of each file that one owns, with its version and no files."""
    ours = sorted(set(names))
    if not ours:
        return {}
    # A file of /usr may be listed as it was before the two trees became one.
    old = {name.removeprefix("/usr"): name for name in ours if name.startswith("/usr/")}
    said = _said("dpkg-query", "--search", *ours, *old)
    packages: dict[str, str] = {}
    for line in said.splitlines():
        owner, _, path = line.partition(": ")
        name = path if path in set(ours) else old.get(path)
        if name and "," not in owner and not owner.startswith("diversion "):
            packages.setdefault(name, owner)
    return _versions(packages)


def _versions(packages: Mapping[str, str]) -> dict[str, Component]:
    wanted = sorted(set(packages.values()))
    if not wanted:
        return {}
    form = "${Package} ${Version} ${Architecture} ${Maintainer}\n"
    known = {}
    for line in _said("dpkg-query", "--show", f"--showformat={form}", *wanted).splitlines():
        name, version, architecture, creator = line.split(" ", 3)
        known[name] = Component(
            kind="package",
            name=name,
            version=f"{version} {architecture}",
            purl=f"pkg:deb/{_vendor()}/{name}@{quote(version, safe='')}?arch={architecture}",
            creator=creator,
        )
    return {
        path: known[owner.partition(":")[0]]
        for path, owner in packages.items()
        if owner.partition(":")[0] in known
    }


def _vendor() -> str:
    """Answer whose distribution this is, as package URLs name it."""
    try:
        return platform.freedesktop_os_release()["ID"]
    except (OSError, KeyError):
        return "debian"


def _said(*words: str) -> str:
    """Answer what a program of the package manager printed; nothing where there is none."""
    program = shutil.which(words[0], path=PATH)
    if program is None:
        return ""
    try:
        done = subprocess.run(  # noqa: S603 - paths are whole, and begin with /
            [program, *words[1:]],
            capture_output=True,
            text=True,
            errors="surrogateescape",
            check=False,
            timeout=60,
            env={"PATH": PATH, "LC_ALL": "C.UTF-8"},
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout
