"""Keys of the keyring become Signers: one login a token, whatever is signed."""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from fwseal.base.errors import Misuse
from fwseal.base.ids import KeyLabel, Kid, Role
from fwseal.base.tables import Table
from fwseal.cli import files, project, render
from fwseal.signing.softkey import SoftKey

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from fwseal.cose.signer import Signer
    from fwseal.signing import uri as uris
    from fwseal.signing.keyring import Key, Keyring
    from fwseal.signing.pkcs11 import Token

PIN_VARIABLE = "FWSEAL_PIN"


def option(parser: argparse.ArgumentParser) -> None:
    """Add `--keyring`."""
    parser.add_argument("--keyring", metavar="FILE", help="use another keyring than the project's")


def load(named: str | None) -> tuple[Keyring, Path]:
    """Answer the keyring named, or the project's, and the folder it lies in."""
    from fwseal.signing import keyring as keyrings

    path = Path(named) if named else project.find().keyring
    if not files.is_file(path):
        raise Misuse(
            f"there is no keyring {project.shown(path)}",
            hint="fwseal keys init --dev makes development keys",
        )
    table = Table.parse(files.text(path), where=path.name)
    return keyrings.keyring(table, read=files.reader(path.parent)), path.parent


def of_file(path: Path) -> SoftKey:
    """Answer the signer of a key file that stands in no keyring: its kid is the file's stem."""
    label = path.stem
    if not label.isprintable():
        raise Misuse(f"{str(path)!r} gives no key identifier", hint="rename the file")
    return SoftKey(files.read(path), label=KeyLabel(label), kid=Kid(label), where=str(path))


class Signers(contextlib.ExitStack):
    """Signers of one keyring, opened once and closed together."""

    def __init__(self, keyring: Keyring, folder: Path) -> None:
        super().__init__()
        self._keyring = keyring
        self._folder = folder
        self._tokens: dict[tuple[str, ...], Token] = {}

    def for_role(self, role: str, *, line: str = "") -> Signer:
        """Answer the signer of the one active key with that role; raises as `of` does."""
        return self.of(self._keyring.for_role(Role(role), line=line))

    def of(self, key: Key) -> Signer:
        """Answer the signer of a key.

        Raises `Misuse`, `Unavailable`, `Refused` (key-revoked, key-expired, key-attributes).
        """
        from datetime import UTC, datetime

        key.check(datetime.now(UTC).date())
        scheme, _, rest = key.uri.partition(":")
        if scheme == "file":
            return SoftKey.of(key, files.read(self._folder / rest), where=rest)
        if scheme != "pkcs11":
            raise Misuse(
                f"key {key.label!r}: {scheme}: is not supported", hint="use a pkcs11: or file: URI"
            )
        return self._pkcs11(key)

    def _pkcs11(self, key: Key) -> Signer:
        from fwseal.signing import pkcs11
        from fwseal.signing import uri as uris

        parsed = uris.parse(key.uri)
        if self._keyring.softhsm_config:
            # The keyring knows where its tokens are; what the shell had set is for others.
            config = self._folder / self._keyring.softhsm_config
            os.environ["SOFTHSM2_CONF"] = str(config.absolute())
        name = (parsed.module, parsed.token, parsed.serial, parsed.manufacturer)
        if name not in self._tokens:
            token = pkcs11.Token(parsed, pin=pin(parsed, self._folder))
            self._tokens[name] = self.enter_context(token)
        return self._tokens[name].signer(parsed.object, key)


def pin(parsed: uris.Pkcs11Uri, folder: Path) -> Callable[[], str]:
    """Answer how the PIN of a token is come by: a file, a variable, or a prompt; in that order."""

    def answer() -> str:
        if parsed.pin_source:
            return _pin_from(parsed.pin_source, folder)
        if PIN_VARIABLE in os.environ:
            return os.environ[PIN_VARIABLE]
        import getpass
        import sys

        if not sys.stdin.isatty():
            raise Misuse(
                f"token {parsed.token!r} wants a PIN and there is no terminal to ask on",
                hint=f"set {PIN_VARIABLE}, or pin-source=file:NAME in the key's URI",
            )
        try:
            return getpass.getpass(f"PIN of token {parsed.token}: ")
        except EOFError:
            raise Misuse("no PIN was given", hint="nothing was tried on the token") from None

    return answer


def _pin_from(source: str, folder: Path) -> str:
    scheme, _, name = source.partition(":")
    if scheme == "env" and name in os.environ:
        return os.environ[name]
    if scheme == "fd" and name.isdecimal():
        with contextlib.suppress(OSError), os.fdopen(int(name), encoding="utf-8") as file:
            return file.readline().strip()
    if scheme == "file" and name:
        return _pin_file(folder / name)
    raise Misuse(
        f"pin-source {source!r} gives no PIN", hint="write it as file:NAME, env:NAME or fd:NUMBER"
    )


def _pin_file(path: Path) -> str:
    data = files.read(path)
    if stat.S_IMODE(path.stat().st_mode) & 0o077:
        raise Misuse(f"others may read the PIN file {path.name}", hint=f"chmod 600 {path.name}")
    return files.decoded(data, where=f"PIN file {path.name}").strip()


def say(signer: Signer, what: str, *, verbose: bool) -> None:
    """Name the key a signature is made with, for those who asked to hear more."""
    if verbose:
        render.note(f"key {signer.label} signs {what}")
