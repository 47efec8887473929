"""Keys are made in the token, stay in it, and exactly one token and one key answer."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, utils

import projects
from fwseal.base.errors import Misuse, Unavailable
from fwseal.signing import pkcs11, softhsm, uri
from needs import need_program
from projects import BUILT, PROFILE, edit, fwseal, offer

if TYPE_CHECKING:
    from pathlib import Path

KEYRING = "build/dev/keyring.toml"
LABELS = (
    "dev-release", "dev-boot", "dev-builder", "dev-tuf-root", "dev-tuf-targets", "dev-tuf-online",
)  # fmt: skip


def token_environment(shop: Path) -> dict[str, str]:
    return projects.environment(SOFTHSM2_CONF=str(shop / "build/dev/softhsm2.conf"))


def pin(shop: Path) -> str:
    return (shop / "build/dev/pin").read_text(encoding="ascii").strip()


def in_python(code: str, shop: Path, *words: str, code_expected: int = 0) -> str:
    """Run Python code with a token at hand: `token` is open, `entry` the release key's line."""
    opening = """
import sys
from pathlib import Path
from fwseal.base.tables import Table
from fwseal.signing import keyring, pkcs11, uri
home = Path('build/dev')
ring = keyring.keyring(Table.parse((home / 'keyring.toml').read_text(), where=''),
    read=lambda name: (home / name).read_bytes())
entry = ring.named('dev-release')
parsed, pin = uri.parse(entry.uri), (home / 'pin').read_text().strip()
"""
    done = subprocess.run(
        [sys.executable, "-c", opening + code, *words],
        cwd=shop, env=token_environment(shop), capture_output=True, text=True, check=False,
        timeout=120,
    )  # fmt: skip
    assert done.returncode == code_expected, done.stderr
    return done.stdout


def pkcs11_tool(shop: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Ask the token with another program than ours."""
    module = pkcs11.find_module("libsofthsm2")
    assert module
    return subprocess.run(
        [need_program("pkcs11-tool"), "--module", module, "--token-label", "fwseal-dev",
         "--login", "--pin", pin(shop), *words],
        cwd=shop, env=token_environment(shop), capture_output=True, text=True, check=False,
        timeout=60,
    )  # fmt: skip


def test_every_private_key_is_sensitive_local_and_never_extractable(shop: Path) -> None:
    listed = pkcs11_tool(shop, "--list-objects", "--type", "privkey").stdout
    blocks = list(listed.split("Private Key Object")[1:])
    assert len(blocks) == len(LABELS)
    assert sorted(re.findall(r"label: +(\S+)", listed)) == sorted(LABELS)
    for block in blocks:
        access = re.search(r"Access: +(.*)", block)
        assert access
        said = {word.strip() for word in access[1].split(",")}
        assert {"sensitive", "always sensitive", "never extractable", "local"} <= said
        usage = re.search(r"Usage: +(.*)", block)
        assert usage
        assert usage[1].split() == ["sign"] or usage[1] == "sign"


def test_the_value_of_a_private_key_cannot_be_read(shop: Path) -> None:
    out = in_python(
        """
import pkcs11 as binding
from pkcs11 import Attribute, ObjectClass
with pkcs11.Token(parsed, pin=lambda: pin) as token:
    keys = list(token._session.get_objects({Attribute.CLASS: ObjectClass.PRIVATE_KEY}))
    for key in keys:
        assert key[Attribute.EXTRACTABLE] is False and key[Attribute.SENSITIVE] is True
        try:
            key[Attribute.VALUE]
        except binding.AttributeSensitive:
            print('kept')
""",
        shop,
    )
    assert out.split() == ["kept"] * len(LABELS)


def test_no_private_key_lies_in_a_file_beside_the_token(shop: Path) -> None:
    found = projects.files(shop / "build/dev")
    assert sum(name.endswith(".pem") for name in found) == len(LABELS)
    for name, data in found.items():
        assert b"PRIVATE" not in data, name
        if name.endswith(".pem"):
            assert isinstance(serialization.load_pem_public_key(data), ec.EllipticCurvePublicKey)
    for place in (shop / "build/dev", shop / "build/dev/tokens"):
        assert place.stat().st_mode & 0o777 in (0o700, 0o755)
    assert (shop / "build/dev/tokens").stat().st_mode & 0o777 == 0o700


def test_a_signature_made_in_the_token_verifies_with_plain_cryptography(shop: Path) -> None:
    out = in_python(
        """
with pkcs11.Token(parsed, pin=lambda: pin) as token:
    signer = token.signer('dev-release', entry)
    print(signer.label, signer.kid, signer.algorithm.name, signer.sign(b'message').hex())
""",
        shop,
    )
    label, kid, algorithm, signature = out.split()
    assert (label, kid, algorithm) == ("dev-release", "dev-release", "ESP256")
    raw = bytes.fromhex(signature)
    assert len(raw) == 64
    der = utils.encode_dss_signature(
        int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big")
    )
    pem = (shop / "build/dev/dev-release.pem").read_bytes()
    key = serialization.load_pem_public_key(pem)
    assert isinstance(key, ec.EllipticCurvePublicKey)
    key.verify(der, b"message", ec.ECDSA(hashes.SHA256()))


def test_two_threads_sign_through_one_token_and_every_signature_verifies(shop: Path) -> None:
    out = in_python(
        """
import threading
from fwseal.cose.signer import sign_checked
done = []
def work(token, name):
    signer = token.signer(name, ring.named(name))
    for number in range(200):
        sign_checked(signer, b'%d' % number)
        done.append(name)
with pkcs11.Token(parsed, pin=lambda: pin) as token:
    threads = [threading.Thread(target=work, args=(token, name))
               for name in ('dev-release', 'dev-boot')]
    for one in threads: one.start()
    for one in threads: one.join()
print(done.count('dev-release'), done.count('dev-boot'))
""",
        shop,
    )
    assert out.split() == ["200", "200"]


def test_a_token_is_of_no_use_after_a_fork_and_the_parent_still_signs(shop: Path) -> None:
    out = in_python(
        """
import os
from fwseal.base.errors import Unavailable
token = pkcs11.Token(parsed, pin=lambda: pin)
signer = token.signer('dev-release', entry)
child = os.fork()
if child == 0:
    refused = 0
    for use in (lambda: signer.sign(b'x'), lambda: token.signer('dev-boot', entry),
                lambda: token.generate('new')):
        try:
            use()
        except Unavailable:
            refused += 1
    token.__exit__(None, None, None)
    os._exit(refused)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), len(signer.sign(b'x')))
token.__exit__(None, None, None)
""",
        shop,
    )
    assert out.split() == ["3", "64"]


def test_a_second_token_does_not_end_the_session_of_the_first(shop: Path) -> None:
    """Boot and release key on tokens of their own, one module: both sign."""
    out = in_python(
        """
from fwseal.signing import softhsm
softhsm.init_token('other', pin='12345678')
other = uri.parse('pkcs11:token=other;object=any?module-name=libsofthsm2')
with pkcs11.Token(other, pin=lambda: '12345678', writable=True) as token:
    (home / 'dev-release.pem').write_bytes(token.generate('dev-release').pem)
""",
        shop,
    )
    assert out == ""
    edit(
        shop / KEYRING, "token=fwseal-dev;object=dev-release",
        "token=other;object=dev-release",
    )  # fmt: skip
    text = (shop / KEYRING).read_text(encoding="utf-8")
    before, _, after = text.partition("token=other;object=dev-release")
    after = after.replace("&pin-source=file:pin", "&pin-source=file:other", 1)
    (shop / KEYRING).write_text(before + "token=other;object=dev-release" + after, encoding="utf-8")
    (shop / "build/dev/other").write_text("12345678\n", encoding="ascii")
    (shop / "build/dev/other").chmod(0o600)
    done = fwseal("sign", BUILT, cwd=shop)
    assert done.body["signed"] == {"boot": "dev-boot", "release": "dev-release"}
    fwseal("verify", *offer(BUILT), "--device", PROFILE, cwd=shop)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("token=fwseal-dev;object=dev-boot", "token=gone;object=dev-boot"),
        ("token=fwseal-dev;object=dev-boot", "token=fwseal-dev;object=gone"),
        ("token=fwseal-dev;object=dev-boot", "token=fwseal-dev;serial=0;object=dev-boot"),
        ("token=fwseal-dev;object=dev-boot", "token=fwseal-dev;manufacturer=x;object=dev-boot"),
        ("module-name=libsofthsm2", "module-name=libnone"),
        ("module-name=libsofthsm2", "module-path=/none.so"),
        ("module-name=libsofthsm2", "module-path=build/dev/keyring.toml"),
    ],
)
def test_what_is_not_connected_is_unavailable_and_nothing_is_signed(
    shop: Path, old: str, new: str
) -> None:
    edit(shop / KEYRING, old, new)
    fwseal("sign", BUILT, cwd=shop, code=3)
    assert not (shop / BUILT / "payloads").exists()


def test_a_token_that_is_gone_is_unavailable(shop: Path) -> None:
    shutil.rmtree(shop / "build/dev/tokens")
    fwseal("sign", BUILT, cwd=shop, code=3)
    (shop / "build/dev/tokens").mkdir()
    fwseal("sign", BUILT, cwd=shop, code=3)
    (shop / "build/dev/softhsm2.conf").unlink()
    fwseal("sign", BUILT, cwd=shop, code=3)
    assert not (shop / BUILT / "payloads").exists()


def test_two_tokens_of_one_label_are_told_apart_by_serial_or_refused(shop: Path) -> None:
    serial = re.search(r"serial num +: +(\S+)", pkcs11_tool(shop, "--list-slots").stdout)
    assert serial
    in_python("from fwseal.signing import softhsm\nsofthsm.init_token('fwseal-dev', pin=pin)", shop)
    fwseal("sign", BUILT, cwd=shop, code=3)
    assert not (shop / BUILT / "payloads").exists()
    edit(shop / KEYRING, "token=fwseal-dev;", f"token=fwseal-dev;serial={serial[1]};")
    fwseal("sign", BUILT, cwd=shop)


def test_two_keys_of_one_name_are_refused(shop: Path) -> None:
    in_python(
        "with pkcs11.Token(parsed, pin=lambda: pin, writable=True) as token:\n"
        "    token.generate('dev-boot')",
        shop,
    )
    fwseal("sign", BUILT, cwd=shop, code=3)
    assert not (shop / BUILT / "payloads").exists()


@pytest.mark.parametrize("label", ["dev-boot", "dev-release", "dev-builder", "dev-tuf-online"])
def test_a_public_key_that_is_not_the_tokens_is_caught_before_anything_is_written(
    shop: Path, label: str
) -> None:
    if label == "dev-tuf-online":
        fwseal("sign", BUILT, cwd=shop)
    stranger = ec.generate_private_key(ec.SECP256R1()).public_key()
    pem = stranger.public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    (shop / f"build/dev/{label}.pem").write_bytes(pem)
    words = {
        "dev-builder": ("build", projects.RECIPE, "-o", "build/x"),
        "dev-tuf-online": ("publish", BUILT),
    }
    fwseal(*words.get(label, ("sign", BUILT)), cwd=shop, code=3)
    assert not (shop / "build/x").exists()
    assert not (shop / BUILT / "envelope.suit").exists() or label == "dev-tuf-online"
    assert not (shop / "build/repository/metadata/timestamp.json").exists()


def test_keys_init_twice_is_refused_and_keeps_the_keys_and_they_still_sign(shop: Path) -> None:
    before = projects.files(shop / "build/dev")
    fwseal("keys", "init", "--dev", cwd=shop, code=2)
    fwseal("keys", "init", "--dev", "--in", "files", cwd=shop, code=2)
    assert projects.files(shop / "build/dev") == before
    fwseal("sign", BUILT, cwd=shop)


def test_the_keyring_names_its_token_whatever_the_shell_says(shop: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.conf"
    other.write_text(softhsm.config(str(tmp_path)), encoding="utf-8")
    fwseal("sign", BUILT, cwd=shop, env=projects.environment(SOFTHSM2_CONF=str(other)))
    edit(shop / KEYRING, '[softhsm]\nconfig = "softhsm2.conf"\n', "")
    fwseal("keys", "list", cwd=shop)
    env = token_environment(shop)
    fwseal("publish", BUILT, cwd=shop, env=env)


def test_without_the_binding_the_hint_says_what_to_install(shop: Path) -> None:
    code = "import sys; sys.modules['pkcs11'] = None; from fwseal.cli.main import main; "
    done = subprocess.run(
        [sys.executable, "-c", code + f"sys.exit(main(['sign', {BUILT!r}, '--json']))"],
        cwd=shop, env=projects.environment(), capture_output=True, text=True, check=False,
        timeout=60,
    )  # fmt: skip
    assert done.returncode == 3
    assert "pip install" in json.loads(done.stdout)["error"]["hint"]


def test_a_token_cannot_be_made_where_no_file_can(tmp_path: Path) -> None:
    need_program("softhsm2-util")
    code = (
        "from fwseal.signing import softhsm\nfrom fwseal.base.errors import Unavailable\n"
        "try:\n    softhsm.init_token('x', pin='12345678')\n"
        "except Unavailable:\n    print('refused')"
    )
    conf = tmp_path / "softhsm2.conf"
    conf.write_text(softhsm.config(str(tmp_path / "none")), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-c", code], env=projects.environment(SOFTHSM2_CONF=str(conf)),
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.stdout == "refused\n", done.stderr


@pytest.mark.parametrize("deaf", ["", "trap '' HUP; "])
def test_a_tool_that_never_asks_is_given_up(
    tmp_path: Path, deaf: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    tool = tmp_path / "softhsm2-util"
    tool.write_text(f"#!/bin/sh\n{deaf}exec sleep 60\n", encoding="ascii")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(softhsm, "_PATIENCE", 0.3)
    with pytest.raises(Unavailable):
        softhsm.init_token("x", pin="12345678")
    monkeypatch.setenv("PATH", "")
    with pytest.raises(Unavailable):
        softhsm.init_token("x", pin="12345678")


GOOD = "pkcs11:token=a%20b;object=c;serial=1;manufacturer=m;type=private?module-name=n"


def test_a_uri_is_read_attribute_by_attribute() -> None:
    found = uri.parse(GOOD + "&pin-source=file:pin")
    assert (found.token, found.object, found.serial, found.manufacturer, found.module) == (
        "a b", "c", "1", "m", "n",
    )  # fmt: skip
    assert found.pin_source == "file:pin"
    assert uri.parse("pkcs11:token=a;object=b?module-path=/x").module == "/x"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "file:x",
        "PKCS11:token=a;object=b?module-name=n",
        "pkcs11:",
        "pkcs11:token=a?module-name=n",
        "pkcs11:object=a?module-name=n",
        "pkcs11:token=a;object=b",
        "pkcs11:token=;object=b?module-name=n",
        "pkcs11:token=a;object=b;pin-value=1?module-name=n",
        "pkcs11:token=a;object=b?module-name=n&pin-value=1",
        "pkcs11:token=a;object=b;object=c?module-name=n",
        "pkcs11:token=a;object=b;id=%01?module-name=n",
        "pkcs11:token=a;object=b;type=public?module-name=n",
        "pkcs11:token=a;object=b;module-name=n",
        "pkcs11:token?module-name=n",
    ],
)
def test_a_uri_that_is_not_plain_is_misuse_and_is_never_guessed(text: str) -> None:
    with pytest.raises(Misuse):
        uri.parse(text)
