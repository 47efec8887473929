"""A project in a folder of its own, and the command line as a user meets it.

Whatever a test runs through `fwseal` is held to the promises that all verbs share: `--json` is one
object that its schema in docs/reference/ allows, talk goes to stderr a line at a time, a failure
comes with a hint, and nothing ends in a traceback.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema
import referencing

from fwseal.cli.main import main
from needs import need_program

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).resolve().parents[1]
REFERENCE = ROOT / "docs" / "reference"
PROFILE = "targets/mps2-an385.toml"
RECIPE = "manifests/demo-plc.toml"
OLD_RECIPE = "manifests/demo-plc-1.0.0.toml"
BOOT_RECIPE = "manifests/mps2-an385-boot.toml"
BOOT = "build/targets/mps2-an385"
FAULTY_RECIPE = "manifests/demo-plc-faulty.toml"
NEW, OLD, FAULTY, BUILT = "build/1.1.0", "build/1.0.0", "build/1.2.0", "build/unsigned"
URI = "2/demo-plc.bin"
KINDS = {1: "refused", 2: "misuse", 3: "unavailable"}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """What one command line came to."""

    code: int
    out: str
    err: str
    body: dict[str, Any]

    @property
    def reason(self) -> str | None:
        """Answer the Reason's slug, of a refusal or a verdict."""
        found: str | None = self.body.get("error", self.body).get("reason")
        return found


def schema(name: str) -> dict[str, Any]:
    """Answer a schema of docs/reference/."""
    found: dict[str, Any] = json.loads((REFERENCE / f"{name}.schema.json").read_bytes())
    return found


def environment(**changes: str | None) -> dict[str, str]:
    """Answer ours without what would steer a token, and with the changes; None removes."""
    without = ("SOFTHSM2_CONF", "FWSEAL_PIN", "NO_COLOR", "FORCE_COLOR")
    found = {key: value for key, value in os.environ.items() if key not in without}
    for key, value in changes.items():
        found.pop(key, None)
        if value is not None:
            found[key] = value
    return found


def of(arguments: tuple[str, ...]) -> str:
    """Answer which schema speaks of a verb's result."""
    words = [word for word in arguments if not word.startswith("-")]
    if words[0] == "device":
        return "verify" if words[2] in ("offer", "update") else f"device-{words[2]}"
    return "-".join(words[:2]) if words[0] in ("keys", "repo", "recipe") else words[0]


@functools.cache
def validator(name: str) -> jsonschema.Draft202012Validator:
    """Answer what holds an object against a schema."""
    reasons = referencing.Resource.from_contents(schema("reason"))
    return jsonschema.Draft202012Validator(
        schema(name),
        registry=reasons @ referencing.Registry(),
        format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER,
    )


def check_talk(stderr: str, *, failed: bool) -> None:
    """Hold stderr to its form: lines of ours, one error and one hint after it when it failed."""
    lines = stderr.splitlines()
    assert all(line.startswith("fwseal: ") for line in lines), stderr
    errors = [line for line in lines if line.startswith("fwseal: error: ")]
    assert len(errors) == failed, stderr
    if failed:
        assert lines[-2] == errors[0], stderr
        assert len(lines[-1].removeprefix("fwseal: hint: ")) > 3, stderr
        assert lines[-1].startswith("fwseal: hint: "), stderr


def check_answer(arguments: tuple[str, ...], code: int, out: str) -> dict[str, Any]:
    """Answer the one JSON object on stdout, held against its schema."""
    body: dict[str, Any] = json.loads(out)
    assert out.count("\n") == 1
    assert next(iter(body)) == "schema_version"
    name = "error" if "error" in body else of(arguments)
    validator(name).validate(body)
    if name == "error":
        assert body["error"]["kind"] == KINDS[code]
    return body


def fwseal(
    *arguments: str | Path,
    cwd: Path,
    code: int = 0,
    as_json: bool = True,
    env: dict[str, str] | None = None,
    preexec_fn: Callable[[], None] | None = None,
) -> Done:
    """Run one command line; it must end with that code, and as every command line should."""
    words = tuple(map(str, arguments))
    command = [sys.executable, "-m", "fwseal", *words, *(["--json"] if as_json else [])]
    done = subprocess.run(
        command,
        cwd=cwd,
        env=environment() if env is None else env,
        capture_output=True,
        encoding="utf-8",
        errors="surrogateescape",
        stdin=subprocess.DEVNULL,
        check=False,
        timeout=120,
        preexec_fn=preexec_fn,
    )
    return _checked(words, code, done, as_json=as_json)


def here(*arguments: str | Path, cwd: Path, code: int = 0, as_json: bool = True) -> Done:
    """Do as `fwseal` does, in this process: quicker, and for file keys only."""
    words = tuple(map(str, arguments))
    out, err = io.StringIO(), io.StringIO()
    with contextlib.chdir(cwd), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        found = main([*words, *(["--json"] if as_json else [])])
    said = (out.getvalue(), err.getvalue())
    return _checked(words, code, subprocess.CompletedProcess(words, found, *said), as_json=as_json)


def _checked(
    words: tuple[str, ...], code: int, done: subprocess.CompletedProcess[str], *, as_json: bool
) -> Done:
    assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
    assert "Traceback" not in done.stderr, done.stderr
    is_dut = words[0] == "device" and "--help" not in words
    body = check_answer(words, code, done.stdout) if as_json or is_dut else {}
    if is_dut and not as_json:
        return Done(code=done.returncode, out=done.stdout, err=done.stderr, body=body)
    # A verdict with --json is a result, and says nothing else.
    check_talk(done.stderr, failed=bool(code) and not (as_json and "error" not in body))
    return Done(code=done.returncode, out=done.stdout, err=done.stderr, body=body)


def git(folder: Path, *arguments: str) -> str:
    """Run git as somebody, whoever runs the tests; answer what it said."""
    who = {"GIT_AUTHOR_NAME": "t", "GIT_AUTHOR_EMAIL": "t@t", "GIT_CONFIG_GLOBAL": os.devnull}
    who |= {"GIT_COMMITTER_NAME": "t", "GIT_COMMITTER_EMAIL": "t@t"}
    done = subprocess.run(
        [need_program("git"), "-C", folder, *arguments],
        env=environment(**who),
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return done.stdout.strip()


def commit(folder: Path) -> str:
    """Commit all there is; answer the commit."""
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--allow-empty", "--message", "work")
    return git(folder, "rev-parse", "HEAD")


def new(folder: Path) -> Path:
    """Make a project with the demo's sources, committed; answer its folder."""
    for name in ("examples/demo-plc", "targets", "manifests"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("out", "__*"))
    shutil.copy(ROOT / "fwseal.toml", folder)
    (folder / ".gitignore").write_text("/build/\n", encoding="utf-8")
    git(folder, "init", "--quiet", "--template=")
    commit(folder)
    git(folder, "repack", "-adq")  # few files, quick to copy
    return folder


def offer(release: str = NEW, *, uri: str = URI) -> tuple[str, ...]:
    """Answer the arguments that offer a release."""
    return (f"{release}/envelope.suit", "--payload", f"{uri}={release}/payloads/demo-plc.bin")


def edit(path: Path, old: str, new_text: str) -> None:
    """Replace text that must be there."""
    text = path.read_text(encoding="utf-8")
    assert old in text, (path, old)
    path.write_text(text.replace(old, new_text), encoding="utf-8")


def files(folder: Path) -> dict[str, bytes]:
    """Answer every file below a folder."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
