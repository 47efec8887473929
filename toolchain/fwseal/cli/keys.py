"""`fwseal keys`: the inventory, and development keys to begin with."""

from __future__ import annotations

import os
import secrets
import shutil
from typing import TYPE_CHECKING

from fwseal.base.errors import Misuse, Unavailable
from fwseal.cli import files, main, project, render, signers
from fwseal.cose.algorithms import registered

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable
    from pathlib import Path

    from fwseal.cose.keys import PublicKey

TOKEN = "fwseal-dev"  # noqa: S105 - a token's label
DEVELOPMENT = {
    "dev-release": "release",
    "dev-boot": "boot",
    "dev-builder": "builder",
    "dev-tuf-root": "tuf-root",
    "dev-tuf-targets": "tuf-targets",
    "dev-tuf-online": "tuf-online",
}
"""One key a role, so that no role can stand in for another even in development."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Say what the verb takes."""
    verbs = parser.add_subparsers(dest="what", required=True, metavar="init | list")
    init = verbs.add_parser("init", help="make development keys and their keyring")
    init.add_argument("--dev", action="store_true", required=True, help="for development only")
    init.add_argument(
        "--in", dest="place", choices=("softhsm", "files"), default="softhsm",
        help="a SoftHSM token, or key files where there is none",
    )  # fmt: skip
    main.common(init)
    init.set_defaults(run=_init)
    listed = verbs.add_parser("list", help="list the keyring")
    signers.option(listed)
    main.common(listed)
    listed.set_defaults(run=_list)


def _init(options: argparse.Namespace) -> int:
    place = project.find().keyring.parent
    if files.is_there(place):
        raise Misuse(
            f"{project.shown(place)} is there already",
            hint="keys are never overwritten: move the folder away, or name another in fwseal.toml",
        )
    beside = place.with_name(f".{place.name}.new")
    shutil.rmtree(beside, ignore_errors=True)
    try:
        files.write(beside / ".gitignore", b"# Keys and PINs are not for git.\n*\n")
        (_softhsm if options.place == "softhsm" else _in_files)(beside, place)
        beside.rename(place)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    where = f"token {TOKEN}" if options.place == "softhsm" else "key files"
    text = f"made {len(DEVELOPMENT)} development keys in {where}, {project.shown(place)}"
    body = {"keys": list(DEVELOPMENT), "place": options.place}
    render.result(text, body, as_json=options.json)
    return render.EXIT_OK


def _softhsm(folder: Path, final: Path) -> None:
    from fwseal.signing import pkcs11, softhsm, uri

    if not softhsm.installed():
        raise Unavailable(
            "SoftHSM is not installed",
            hint="apt install softhsm2, or keys init --dev --in files",
        )
    pin = secrets.token_hex(8)
    files.write(folder / "pin", pin.encode() + b"\n", mode=0o600)
    _folder(folder / "tokens")
    files.write(
        folder / "softhsm2.conf", softhsm.config(str((folder / "tokens").resolve())).encode()
    )
    os.environ["SOFTHSM2_CONF"] = str(folder / "softhsm2.conf")
    softhsm.init_token(TOKEN, pin=pin)
    query = "?module-name=libsofthsm2&pin-source=file:pin"
    parsed = uri.parse(f"pkcs11:token={TOKEN};object=any{query}")
    with pkcs11.Token(parsed, pin=lambda: pin, writable=True) as token:
        _keyring(
            folder,
            make=token.generate,
            uri=lambda label: f"pkcs11:token={TOKEN};object={label}{query}",
            head='[softhsm]\nconfig = "softhsm2.conf"\n\n',
        )
    settled = softhsm.config(str(final.resolve() / "tokens"))
    files.write(folder / "softhsm2.conf", settled.encode())


def _in_files(folder: Path, _: Path) -> None:
    from fwseal.signing import softkey

    def make(label: str) -> PublicKey:
        pem = softkey.generate()
        files.write(folder / f"{label}.key", pem, mode=0o600)
        return softkey.public_of(pem, where=label)

    _folder(folder)
    _keyring(folder, make=make, uri=lambda label: f"file:{label}.key", head="")


def _folder(path: Path) -> None:
    try:
        path.mkdir(parents=True, mode=0o700, exist_ok=True)
    except OSError as error:
        raise Unavailable(
            f"cannot make {path}: {(error.strerror or 'error').lower()}",
            hint="check space and permissions",
        ) from None


def _keyring(
    folder: Path, *, make: Callable[[str], PublicKey], uri: Callable[[str], str], head: str
) -> None:
    entries = []
    for label, role in DEVELOPMENT.items():
        files.write(folder / f"{label}.pem", make(label).pem)
        entries.append(
            f'[[keys]]\nlabel = "{label}"\nkid = "{label}"\nuri = "{uri(label)}"\n'
            f'public-key = "{label}.pem"\nalgorithm = "ESP256"\nroles = ["{role}"]\n'
            'environment = "development"\n'
        )
    text = "# Development keys, made by fwseal keys init --dev. Never for production.\n\n"
    files.write(folder / "keyring.toml", (text + head + "\n".join(entries)).encode())


def _list(options: argparse.Namespace) -> int:
    keyring, _ = signers.load(options.keyring)
    rows: list[tuple[str, ...]] = [
        ("LABEL", "ROLES", "ALGORITHM", "STATUS", "ENVIRONMENT", "FINGERPRINT")
    ]
    rows += [
        (
            key.label,
            ", ".join(sorted(key.roles)),
            registered(key.algorithm),
            key.status.value,
            key.environment.value,
            key.public.fingerprint[:16],
        )
        for key in keyring.keys
    ]
    body = {
        "keys": [
            {
                "label": key.label,
                "kid": key.kid,
                "uri": key.uri,
                "roles": sorted(key.roles),
                "algorithm": registered(key.algorithm),
                "status": key.status.value,
                "environment": key.environment.value,
                "fingerprint": key.public.fingerprint,
            }
            for key in keyring.keys
        ]
    }
    render.result(render.table(rows), body, as_json=options.json)
    return render.EXIT_OK
