"""What is talk and what is result, on a terminal and off it."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

import projects
from fwseal.base.errors import Misuse
from fwseal.cli import main, render
from projects import BUILT, NEW, PROFILE, RECIPE, fwseal, here, offer
from terminals import on_terminal

if TYPE_CHECKING:
    from pathlib import Path

RED, PLAIN = "\x1b[31m", "\x1b[0m"


def test_an_error_is_red_on_a_terminal_and_its_hint_is_not(tmp_path: Path) -> None:
    code, screen = on_terminal("explain", "nothing", cwd=tmp_path, env=projects.environment())
    error, hint = screen.splitlines()
    assert code == 2
    assert error.startswith(f"{RED}fwseal: error: ")
    assert error.endswith(PLAIN)
    assert hint.startswith("fwseal: hint: ")


def test_no_color_and_a_pipe_stay_plain(tmp_path: Path) -> None:
    env = projects.environment(NO_COLOR="1")
    code, screen = on_terminal("explain", "nothing", cwd=tmp_path, env=env)
    assert (code, "\x1b" in screen) == (2, False)
    assert "\x1b" not in fwseal("explain", "nothing", cwd=tmp_path, code=2, as_json=False).err


def test_verbose_names_the_key_of_every_signature_on_stderr_only(shop: Path) -> None:
    quiet, loud = (
        here("sign", BUILT, *flag, cwd=shop) for flag in ([], ["-v"])
    )  # the second has nothing left to sign
    assert (quiet.err, loud.err) == ("", "")
    for words, keys in (
        (("build", RECIPE, "-o", "build/x"), ["dev-builder"]),
        (("sign", "build/x"), ["dev-boot", "dev-release"]),
        (("publish", "build/x"), ["dev-tuf-root", "dev-tuf-targets", "dev-tuf-online"]),
    ):
        said = here(*words, "--verbose", cwd=shop)
        named = [
            line.split()[2] for line in said.err.splitlines() if line.startswith("fwseal: key")
        ]
        assert named == keys
        assert said.out.count("\n") == 1


def test_a_failed_build_shows_the_end_of_what_the_compiler_said_and_one_error(shop: Path) -> None:
    source = shop / "examples/demo-plc/main.c"
    source.write_text(source.read_text(encoding="utf-8") + "int inclood = ;\n", encoding="utf-8")
    projects.commit(shop)
    done = here("build", RECIPE, "-o", "build/x", cwd=shop, code=1)
    assert any("inclood" in line for line in done.err.splitlines())
    assert done.reason == "command-failed"
    assert "\n" not in done.body["error"]["message"]
    assert not (shop / "build/x").exists()
    assert not list((shop / "build").glob(".*"))


def test_a_result_that_cannot_be_written_is_unavailable(shop: Path) -> None:
    for flags in ([], ["--json"]):
        with open("/dev/full", "w") as full:  # noqa: PTH123 - a device
            done = subprocess.run(
                [sys.executable, "-m", "fwseal", "explain", "rollback", *flags],
                cwd=shop, env=projects.environment(), stdout=full, stderr=subprocess.PIPE,
                text=True, check=False, timeout=30,
            )  # fmt: skip
        assert done.returncode == 3
        projects.check_talk(done.stderr, failed=True)


@pytest.mark.parametrize("words", [["explain", "rollback"], ["--help"]])
def test_a_reader_that_left_is_no_bug_and_no_noise(tmp_path: Path, words: list[str]) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "fwseal", *words],
        cwd=tmp_path, env=projects.environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as process:  # fmt: skip
        assert process.stdout
        assert process.stderr
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(timeout=30) == 3


def test_a_bug_of_ours_keeps_its_traceback_and_exits_4(tmp_path: Path) -> None:
    code = (
        "import sys; from fwseal.cli import main; sys.argv = ['fwseal', 'explain', 'rollback'];"
        "main.VERBS = None; main.run()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=projects.environment(),
        capture_output=True, text=True, check=False, timeout=30,
    )  # fmt: skip
    assert done.returncode == 4
    assert "Traceback" in done.stderr
    assert done.stderr.endswith("fwseal: error: this is a bug of fwseal\n")
    assert done.stdout == ""


def test_control_characters_are_spelled_and_letters_are_not() -> None:
    assert render.plain("plain é \t") == "plain é \t"
    assert render.plain("\x1b[0m\r\u202e\x9b") == "\\x1b[0m\\r\\u202e\\x9b"


def test_an_error_without_a_better_hint_still_says_what_to_do(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert render.failure(Misuse("no"), as_json=False) == 2
    projects.check_talk(capsys.readouterr().err, failed=True)


def test_options_are_known_by_their_whole_names_in_inner_verbs_too() -> None:
    assert main.Parser(prog="x").allow_abbrev is False
    inner = main.Parser(prog="x").add_subparsers().add_parser("y")
    assert inner.allow_abbrev is False


def test_a_verdict_for_people_is_one_error_line_with_its_reason(shop: Path) -> None:
    said = here(
        "verify", f"{NEW}/envelope.suit", "--device", PROFILE, cwd=shop, code=1, as_json=False
    )
    assert said.err.splitlines()[-1] == "fwseal: hint: fwseal explain payload-missing"
    assert said.out == ""
    assert here("verify", *offer(), "--device", PROFILE, cwd=shop, as_json=False).err == ""
