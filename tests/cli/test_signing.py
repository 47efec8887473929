"""Which key signs is said in one place, the keyring, and exactly one key answers or none does."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

import workshop
from fwseal.base.errors import Misuse
from fwseal.cli import releasedir
from fwseal.signing import softkey
from fwseal.signing.release import unsigned
from projects import BUILT, NEW, PROFILE, RECIPE, URI, edit, offer
from projects import here as fwseal

if TYPE_CHECKING:
    from pathlib import Path

KEYRING = "build/dev/keyring.toml"
RELEASE_KEY = "build/dev/dev-release.key"
AUTHOR = ("author", RECIPE, "-o", "x.suit", "--payload", f"{URI}={PROFILE}", "--key")


def entry(shop: Path, label: str, old: str, new: str) -> None:
    """Change one key of the keyring."""
    file = shop / KEYRING
    text = file.read_text(encoding="utf-8")
    before, middle, rest = text.partition(f'label = "{label}"')
    block, bracket, after = rest.partition("[[keys]]")
    assert old in block
    changed = before + middle + block.replace(old, new) + bracket + after
    file.write_text(changed, encoding="utf-8")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('roles = ["release"]', 'roles = ["boot"]'),
        ('roles = ["release"]', "roles = []"),
        ('roles = ["release"]', 'roles = ["owner"]'),
        ('roles = ["release"]', 'roles = "release"'),
        ('kid = "dev-release"', 'kid = "dev-boot"'),
        ('kid = "dev-release"', "kid = 7"),
        ('algorithm = "ESP256"', 'algorithm = "RS256"'),
        ('environment = "development"', 'environment = "staging"'),
        ('environment = "development"', 'environment = "development"\nstatus = "lost"'),
        ('environment = "development"', 'environment = "development"\nstatus = "spare"'),
        ('environment = "development"', 'environment = "development"\nstatus = "revoked"'),
        ('environment = "development"', 'environment = "development"\nlines = ["pump"]'),
        ('environment = "development"', 'environment = "development"\npin = "1234"'),
        ('public-key = "dev-release.pem"', 'public-key = "none.pem"'),
        ('public-key = "dev-release.pem"', 'public-key = "dev-release.key"'),
        ('public-key = "dev-release.pem"', 'public-key = "dev-boot.pem"'),
        ('uri = "file:dev-release.key"', 'uri = "file:none.key"'),
        ('uri = "file:dev-release.key"', 'uri = "file:dev-boot.key"'),
        ('uri = "file:dev-release.key"', 'uri = "file:dev-release.pem"'),
        ('uri = "file:dev-release.key"', 'uri = "awskms:key"'),
        ('uri = "file:dev-release.key"', 'uri = "command:sign"'),
        ('uri = "file:dev-release.key"', 'uri = "pkcs11:token=a;object=b"'),
        ('uri = "file:dev-release.key"', 'uri = "pkcs11:token=a?module-name=m&pin-value=1"'),
        ('uri = "file:dev-release.key"', 'uri = "pkcs11:token=a;object=b;id=1?module-name=m"'),
        ('uri = "file:dev-release.key"', 'uri = "pkcs11:token=a;token=b;object=b?module-name=m"'),
        ('uri = "file:dev-release.key"', 'uri = "pkcs11:token=a;object=b;type=cert?module-name=m"'),
    ],
)
def test_a_keyring_that_does_not_name_exactly_one_good_key_signs_nothing(
    shop: Path, old: str, new: str
) -> None:
    entry(shop, "dev-release", old, new)
    # Another key's public half is one that lint finds no device believes.
    fwseal("sign", BUILT, cwd=shop, code=1 if new.endswith('"dev-boot.pem"') else 2)
    assert not (shop / BUILT / "envelope.suit").exists()
    fwseal(*AUTHOR, "dev-none", cwd=shop, code=2)
    fwseal(*AUTHOR, "dev-none", "--dry-run", cwd=shop, code=2)
    assert not (shop / "x.suit").exists()


def test_a_label_that_stands_twice_is_misuse(shop: Path) -> None:
    file = shop / KEYRING
    text = file.read_text(encoding="utf-8")
    again = text[text.index("[[keys]]") : text.index("[[keys]]", text.index("[[keys]]") + 1)]
    file.write_text(text + "\n" + again, encoding="utf-8")
    for words in (("keys", "list"), ("sign", BUILT), ("publish", NEW)):
        fwseal(*words, cwd=shop, code=2)
    assert not (shop / BUILT / "envelope.suit").exists()


def test_a_role_for_another_line_leaves_the_one_key_of_this_line(shop: Path) -> None:
    file = shop / KEYRING
    pem = softkey.generate()
    (shop / "build/dev/pump.key").write_bytes(pem)
    (shop / "build/dev/pump.pem").write_bytes(softkey.public_of(pem, where="pump").pem)
    file.write_text(
        file.read_text(encoding="utf-8")
        + '\n[[keys]]\nlabel = "pump"\nuri = "file:pump.key"\npublic-key = "pump.pem"\n'
        'algorithm = "ESP256"\nroles = ["release"]\nenvironment = "development"\n'
        'lines = ["pump"]\nholder = "ada"\nnot-before = "2026-01-01"\nnot-after = "2999-12-31"\n'
        "\n[roles.release]\nthreshold = 1\n",
        encoding="utf-8",
    )
    assert fwseal("sign", BUILT, cwd=shop).body["signed"]["release"] == "dev-release"
    fwseal("verify", *offer(BUILT), "--device", PROFILE, cwd=shop)
    edit(file, 'lines = ["pump"]', 'lines = ["plc"]')
    shutil.rmtree(shop / BUILT / "payloads")
    fwseal("build", RECIPE, "-o", "build/x", cwd=shop)
    fwseal("sign", "build/x", cwd=shop, code=2)
    for old, new in (("[roles.release]", "[roles.owner]"), ("threshold = 1", "threshold = 2"),
                     ("2026-01-01", "2026")):  # fmt: skip
        kept = file.read_text(encoding="utf-8")
        edit(file, old, new)
        fwseal("keys", "list", cwd=shop, code=2)
        file.write_text(kept, encoding="utf-8")


def test_the_algorithm_of_the_keyring_is_the_one_the_envelope_says(shop: Path) -> None:
    entry(shop, "dev-release", "ESP256", "ES256")
    assert fwseal("sign", BUILT, cwd=shop, code=1).reason == "unsupported-algorithm"
    before = (shop / PROFILE).read_text(encoding="utf-8")
    edit(shop / PROFILE, 'algorithms = ["ESP256"]', 'algorithms = ["ESP256", "ES256"]')
    fwseal("sign", BUILT, cwd=shop)
    fwseal("verify", *offer(BUILT), "--device", PROFILE, cwd=shop)
    (shop / PROFILE).write_text(before, encoding="utf-8")
    refused = fwseal("verify", *offer(BUILT), "--device", PROFILE, cwd=shop, code=1)
    assert refused.reason == "unsupported-algorithm"


def test_a_production_key_may_not_live_in_a_file_nor_serve_the_short_way(shop: Path) -> None:
    entry(shop, "dev-release", '"development"', '"production"')
    assert fwseal("sign", BUILT, cwd=shop, code=1).reason == "key-attributes"
    assert not (shop / BUILT / "payloads").exists()
    fwseal(*AUTHOR, "dev-release", cwd=shop, code=2)
    assert not (shop / "x.suit").exists()


def test_a_revoked_key_signs_not_even_when_it_is_named(shop: Path) -> None:
    fwseal(*AUTHOR, "dev-release", cwd=shop)
    (shop / "x.suit").unlink()
    entry(shop, "dev-release", '"development"', '"development"\nstatus = "revoked"')
    assert fwseal(*AUTHOR, "dev-release", cwd=shop, code=1).reason == "key-revoked"
    assert not (shop / "x.suit").exists()
    listed = fwseal("keys", "list", cwd=shop).body["keys"]
    assert [key["status"] for key in listed].count("revoked") == 1


def test_a_key_is_named_by_its_label_and_the_note_says_which(shop: Path) -> None:
    said = fwseal(*AUTHOR, "dev-release", "-v", cwd=shop)
    assert said.err == "fwseal: key dev-release signs the envelope\n"
    dry = fwseal(*AUTHOR, "dev-release", "--dry-run", cwd=shop)
    assert dry.body["would_sign"] == ["dev-release"]


@pytest.mark.parametrize("more", [(), ("--dry-run",)])
def test_a_key_without_the_release_role_authors_no_envelope(
    shop: Path, more: tuple[str, ...]
) -> None:
    refused = fwseal(*AUTHOR, "dev-tuf-root", *more, cwd=shop, code=1)
    assert refused.reason == "signer-not-authorized"
    assert not (shop / "x.suit").exists()


@pytest.mark.parametrize(
    ("key", "day"), [("not-after", "2001-01-31"), ("not-before", "2999-01-01")]
)
def test_a_key_signs_on_no_day_the_inventory_does_not_say(shop: Path, key: str, day: str) -> None:
    edit(shop / KEYRING, 'label = "dev-boot"', f'label = "dev-boot"\n{key} = "{day}"')
    assert fwseal("sign", BUILT, cwd=shop, code=1).reason == "key-expired"
    assert not (shop / BUILT / "payloads").exists()


@pytest.mark.parametrize("content", [b"", b"-----BEGIN PRIVATE " + b"KEY-----\n", b"\xff" * 50])
def test_a_key_file_that_holds_no_key_is_misuse(shop: Path, content: bytes) -> None:
    (shop / RELEASE_KEY).write_bytes(content)
    fwseal(*AUTHOR, f"file:{RELEASE_KEY}", cwd=shop, code=2)
    fwseal("sign", BUILT, cwd=shop, code=2)
    assert not (shop / "x.suit").exists()


def test_keys_of_other_kinds_are_refused_for_what_they_are(shop: Path) -> None:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec, ed448

    for key in (ec.generate_private_key(ec.SECP256K1()), ed448.Ed448PrivateKey.generate()):
        pem = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        (shop / RELEASE_KEY).write_bytes(pem)
        fwseal(*AUTHOR, f"file:{RELEASE_KEY}", cwd=shop, code=2)
    locked = ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"secret"),
    )
    (shop / RELEASE_KEY).write_bytes(locked)
    fwseal(*AUTHOR, f"file:{RELEASE_KEY}", cwd=shop, code=2)
    assert not (shop / "x.suit").exists()


def test_a_strangers_envelope_and_a_strangers_envelope_with_our_kid_are_refused(
    shop: Path,
) -> None:
    (shop / "stranger.key").write_bytes(softkey.generate())
    (shop / "dev-release.key").write_bytes(softkey.generate())
    for name, reason in (("stranger", "unknown-signer"), ("dev-release", "bad-signature")):
        fwseal(*AUTHOR, f"file:{name}.key", cwd=shop)
        verify = ("verify", "x.suit", "--payload", f"{URI}={PROFILE}", "--device", PROFILE)
        assert fwseal(*verify, cwd=shop, code=1).reason == reason


def test_the_release_key_waits_for_the_boot_key_wherever_it_is_asked(shop: Path) -> None:
    release = releasedir.load(shop / BUILT)
    key = workshop.signer()

    def read(name: str) -> bytes:
        raise AssertionError(name)

    with pytest.raises(Misuse):
        unsigned(release, None, read=read, boot=key.public())
