"""Debian's source archives, by file and SHA-256, as apt fetches them for anyone.

They are kept in build/sources. apt gets folders of its own for the time, so that no setting of the
machine changes and no right is needed.
"""

from __future__ import annotations

import hashlib
import re
import subprocess
import tempfile
from pathlib import Path

from needs import absent, need_program

KEPT = Path(__file__).resolve().parents[1] / "build" / "sources"
APT = Path("/etc/apt")


def debian(package: str, file: str, sha256: str) -> Path:
    """Answer the source archive of a Debian package, or skip where it cannot be had."""
    place = KEPT / file
    if not place.is_file():
        with tempfile.TemporaryDirectory(prefix="fwseal-sources-") as folder:
            _fetch(package, Path(folder))
            if not (Path(folder) / file).is_file():
                absent(f"the source of {package} is another one than {file}")
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes((Path(folder) / file).read_bytes())
    assert hashlib.sha256(place.read_bytes()).hexdigest() == sha256
    return place


def _fetch(package: str, folder: Path) -> None:
    need_program("apt-get")
    parts = folder / "parts"
    for part in (parts, folder / "lists" / "partial", folder / "cache" / "archives" / "partial"):
        part.mkdir(parents=True, exist_ok=True)
    (parts / "debian.sources").write_text(_stanzas(), encoding="utf-8")
    (parts / "debian.list").write_text(_lines(), encoding="utf-8")
    options = [
        "-o", "Dir::Etc::sourcelist=/dev/null", "-o", f"Dir::Etc::sourceparts={parts}",
        "-o", f"Dir::State::lists={folder / 'lists'}", "-o", f"Dir::Cache={folder / 'cache'}",
        "-o", "APT::Sandbox::User=root",
    ]  # fmt: skip
    for words in (["update"], ["source", "--download-only", package]):
        done = subprocess.run(
            ["apt-get", "-qq", *options, *words],
            cwd=folder, capture_output=True, text=True, check=False, timeout=300,
        )  # fmt: skip
        if done.returncode:
            absent(f"apt-get {words[0]} fails: {done.stderr.strip()[-200:]}")


def _stanzas() -> str:
    """Answer Debian's own stanzas among the machine's sources, for source packages."""
    found = []
    for path in sorted((APT / "sources.list.d").glob("*.sources")):
        found += [
            re.sub(r"(?m)^Types:.*$", "Types: deb-src", stanza)
            for stanza in re.split(r"\n\s*\n", path.read_text(encoding="utf-8"))
            if "debian-archive-keyring" in stanza
        ]
    return "\n\n".join(found) + "\n"


def _lines() -> str:
    """Answer the same of sources that stand a line each; one with options is another's."""
    path = APT / "sources.list"
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    return "".join(f"deb-src {line}\n" for line in re.findall(r"(?m)^deb\s+([^\s\[].*)$", text))
