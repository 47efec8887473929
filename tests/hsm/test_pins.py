"""A PIN comes from where it should, is tried once, and is seen by nobody."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

import projects
from fwseal.signing.pkcs11 import find_module
from needs import need_program
from projects import BUILT, edit, fwseal
from terminals import on_terminal

KEYRING, PIN = "build/dev/keyring.toml", "build/dev/pin"
PIN_SOURCE = "&pin-source=file:pin"


def unsigned(shop: Path) -> bool:
    """Answer whether nothing of the release was signed."""
    return not (shop / BUILT / "payloads").exists()


def without_pin_source(shop: Path) -> str:
    """Take the PIN file out of the keyring; answer the PIN."""
    edit(shop / KEYRING, PIN_SOURCE, "")
    return (shop / PIN).read_text(encoding="ascii").strip()


def interposed(shop: Path, module: Path, **faults: str) -> dict[str, str]:
    """Put the faulty module before SoftHSM; answer an environment with the faults."""
    real = find_module("libsofthsm2")
    assert real
    edit(shop / KEYRING, "module-name=libsofthsm2", f"module-path={module}")
    return projects.environment(FAULT_MODULE=real, FAULT_LOG=str(shop / "logins"), **faults)


def test_a_wrong_pin_stops_after_one_try_and_nothing_is_signed(
    shop: Path, faulty_module: Path
) -> None:
    env = interposed(shop, faulty_module)
    (shop / PIN).write_text("0000000000000000\n", encoding="ascii")
    fwseal("sign", BUILT, cwd=shop, code=2, env=env)
    assert (shop / "logins").read_text(encoding="ascii") == "login\n"
    assert unsigned(shop)


def test_one_login_serves_every_signature_of_a_release(shop: Path, faulty_module: Path) -> None:
    env = interposed(shop, faulty_module)
    fwseal("sign", BUILT, cwd=shop, env=env)
    assert (shop / "logins").read_text(encoding="ascii") == "login\n"
    fwseal("publish", BUILT, cwd=shop, env=env)
    assert (shop / "logins").read_text(encoding="ascii") == "login\n" * 2


@pytest.mark.parametrize(
    ("fault", "value", "code"),
    [
        ("FAULT_LOGIN", "0xA4", 3),  # CKR_PIN_LOCKED
        ("FAULT_LOGIN", "0xA2", 2),  # CKR_PIN_LEN_RANGE
        ("FAULT_LOGIN", "0xA1", 2),  # CKR_PIN_INVALID
        ("FAULT_LOGIN", "0x30", 3),  # CKR_DEVICE_ERROR
        ("FAULT_LOGIN", "0xE0", 3),  # CKR_TOKEN_NOT_PRESENT
        ("FAULT_SIGN", "0x32", 3),  # CKR_DEVICE_REMOVED
        ("FAULT_SIGN", "0xB3", 3),  # CKR_SESSION_HANDLE_INVALID
        ("FAULT_SIGN", "0x101", 3),  # CKR_USER_NOT_LOGGED_IN
    ],
)
def test_a_token_that_is_locked_broken_or_pulled_signs_nothing(
    shop: Path, faulty_module: Path, fault: str, value: str, code: int
) -> None:
    env = interposed(shop, faulty_module, **{fault: value})
    fwseal("sign", BUILT, cwd=shop, code=code, env=env)
    assert unsigned(shop)
    assert (shop / "logins").read_text(encoding="ascii") == "login\n"


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o622])
def test_a_pin_file_that_others_may_read_is_not_used(shop: Path, mode: int) -> None:
    (shop / PIN).chmod(mode)
    fwseal("sign", BUILT, cwd=shop, code=2)
    assert unsigned(shop)
    (shop / PIN).chmod(0o400)
    fwseal("sign", BUILT, cwd=shop)


def test_a_pin_that_is_nowhere_is_misuse_without_a_terminal(shop: Path) -> None:
    pin = without_pin_source(shop)
    fwseal("sign", BUILT, cwd=shop, code=2)
    assert unsigned(shop)
    fwseal("sign", BUILT, cwd=shop, code=2, env=projects.environment(FWSEAL_PIN="wrong"))
    fwseal("sign", BUILT, cwd=shop, code=2, env=projects.environment(FWSEAL_PIN=""))
    assert unsigned(shop)
    fwseal("sign", BUILT, cwd=shop, env=projects.environment(FWSEAL_PIN=pin))


@pytest.mark.parametrize("source", ["env:PIN", "file:", "file:none", "pin", "file:tokens"])
def test_a_pin_source_that_is_no_file_is_misuse(shop: Path, source: str) -> None:
    edit(shop / KEYRING, "pin-source=file:pin", f"pin-source={source}")
    fwseal("sign", BUILT, cwd=shop, code=2)
    assert unsigned(shop)


def test_a_pin_file_of_other_bytes_is_misuse(shop: Path) -> None:
    (shop / PIN).write_bytes(b"\xff\xfe")
    fwseal("sign", BUILT, cwd=shop, code=2)
    assert unsigned(shop)


def test_a_pin_in_the_keyring_is_refused_and_not_repeated(shop: Path) -> None:
    pin = without_pin_source(shop)
    edit(shop / KEYRING, "libsofthsm2", f"libsofthsm2&pin-value={pin}")
    done = fwseal("sign", BUILT, "-v", cwd=shop, code=2)
    assert pin not in done.out + done.err
    assert unsigned(shop)


def test_a_pin_typed_on_a_terminal_signs_and_is_not_shown(shop: Path) -> None:
    pin, env = without_pin_source(shop), projects.environment()
    code, screen = on_terminal("sign", BUILT, cwd=shop, env=env, typed=b"0000\n")
    assert (code, screen.count("PIN of token")) == (2, 1)
    assert unsigned(shop)
    code, screen = on_terminal("sign", BUILT, cwd=shop, env=env, typed=b"\x04")
    assert (code, screen.count("PIN of token")) == (2, 1)
    assert "Traceback" not in screen
    assert unsigned(shop)
    code, screen = on_terminal("sign", BUILT, cwd=shop, env=env, typed=pin.encode() + b"\n")
    assert (code, screen.count("PIN of token")) == (0, 1)
    assert pin not in screen


def command_lines() -> dict[str, bytes]:
    """Answer every process's command line and environment that can be read."""
    found = {}
    for process in Path("/proc").iterdir():
        if process.name.isdigit() and int(process.name) != os.getpid():
            try:
                found[process.name] = (process / "cmdline").read_bytes()
            except OSError:
                continue
    return found


def test_no_pin_is_ever_on_a_command_line_or_in_what_is_said(tmp_path: Path) -> None:
    need_program("softhsm2-util")
    fwseal("init", "pump", "--vendor", "example.com", cwd=tmp_path)
    seen: set[bytes] = set()
    with subprocess.Popen(
        [sys.executable, "-m", "fwseal", "keys", "init", "--dev", "--json", "-v"],
        cwd=tmp_path, env=projects.environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    ) as process:  # fmt: skip
        while process.poll() is None:
            seen |= set(command_lines().values())
            time.sleep(0.001)
        said = process.stdout.read() if process.stdout else b""
    pin = (tmp_path / PIN).read_bytes().strip()
    assert len(pin) == 16
    assert (tmp_path / PIN).stat().st_mode & 0o777 == 0o600
    assert any(b"softhsm2-util\0--init-token" in line for line in seen)
    assert not any(pin in line for line in seen)
    assert pin not in said
    for name, data in projects.files(tmp_path).items():
        assert pin not in data or name == PIN, name
