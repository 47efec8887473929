"""One login to one token, and exactly one key, or nothing is signed.

python-pkcs11 does the talking. Rules measured, not guessed: one lock per module, since the binding
releases the GIL and modules crash under threads; no use after fork, since inherited handles
silently work.
"""

from __future__ import annotations

import contextlib
import glob
import hashlib
import os
import threading
from typing import TYPE_CHECKING, Any

from fwseal.base.errors import Misuse, Unavailable
from fwseal.cose.algorithms import CURVES, TABLE
from fwseal.cose.keys import PublicKey

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from fwseal.signing.keyring import Key
    from fwseal.signing.uri import Pkcs11Uri

_Untyped = Any
"""What python-pkcs11, which has no types, answers."""

_MODULE_FOLDERS = (
    "/usr/lib/softhsm",
    "/usr/lib/*/softhsm",
    "/usr/lib/pkcs11",
    "/usr/lib/*/pkcs11",
    "/usr/local/lib/softhsm",
    "/opt/homebrew/lib/softhsm",
)
_LOCKS: dict[str, threading.Lock] = {}
_OPEN: dict[str, int] = {}
"""How many tokens are open, by module file."""


def find_module(name: str) -> str | None:
    """Answer the file of a module given by path or by name, or None."""
    if "/" in name:
        return name if os.path.exists(name) else None  # noqa: PTH110 - a path as the URI gives it
    for folder in _MODULE_FOLDERS:
        for found in sorted(glob.glob(f"{folder}/{name}.so")):  # noqa: PTH207 - folders are patterns too
            return found
    return None


class Token:
    """An open session on the one token that a URI names; use it as a context manager."""

    def __init__(self, uri: Pkcs11Uri, *, pin: Callable[[], str], writable: bool = False) -> None:
        path = find_module(uri.module)
        if path is None:
            raise Unavailable(
                f"PKCS#11 module {uri.module} is not installed", hint="apt install softhsm2"
            )
        try:
            import pkcs11
        except ImportError:
            raise Unavailable(
                "python-pkcs11 is not installed", hint="pip install 'fwseal[hsm]'"
            ) from None
        self._pkcs11 = pkcs11
        self._pid = os.getpid()
        self._path = os.path.realpath(path)
        self._lock = _LOCKS.setdefault(self._path, threading.Lock())
        self._uri = uri
        with self._lock:
            self._session = self._open(path, pin, writable=writable)
            _OPEN[self._path] = _OPEN.get(self._path, 0) + 1

    def _open(self, path: str, pin: Callable[[], str], *, writable: bool) -> _Untyped:
        try:
            library = self._pkcs11.lib(path)
            # A module read its tokens when it was loaded; one made since is not there yet. To
            # load it anew would end the sessions of the tokens that are open.
            if not _OPEN.get(self._path):
                library.reinitialize()
            tokens = [token for token in library.get_tokens() if self._is_named(token)]
        except self._pkcs11.PKCS11Error as error:
            raise _unavailable(error, self._uri.token) from None
        if len(tokens) != 1:
            raise Unavailable(
                f"{len(tokens)} tokens are named {self._uri.token!r}, one is needed",
                hint="connect the token, or make one: fwseal keys init --dev",
            )
        try:
            return tokens[0].open(rw=writable, user_pin=pin())
        except (self._pkcs11.PinIncorrect, self._pkcs11.PinLenRange, self._pkcs11.PinInvalid):
            raise Misuse(
                f"wrong PIN for token {self._uri.token!r}",
                hint="one try was used; check the PIN before the token locks",
            ) from None
        except self._pkcs11.PinLocked:
            raise Unavailable(
                f"token {self._uri.token!r} is locked",
                hint="unlock it with its security officer's PIN",
            ) from None
        except self._pkcs11.PKCS11Error as error:
            raise _unavailable(error, self._uri.token) from None

    def _is_named(self, token: _Untyped) -> bool:
        return bool(
            token.label == self._uri.token
            and self._uri.serial in ("", _text(token.serial))
            and self._uri.manufacturer in ("", _text(token.manufacturer_id))
        )

    def __enter__(self) -> Token:
        return self

    def __exit__(self, *_: object) -> None:
        if os.getpid() != self._pid:
            return
        with self._lock, contextlib.suppress(self._pkcs11.PKCS11Error):
            _OPEN[self._path] -= 1
            self._session.close()

    @contextlib.contextmanager
    def _talking(self) -> Iterator[None]:
        """Hold the module for one exchange, in the process that opened it."""
        if os.getpid() != self._pid:
            raise Unavailable(
                "a PKCS#11 session does not survive a fork", hint="open the token in each process"
            )
        try:
            with self._lock:
                yield
        except self._pkcs11.PKCS11Error as error:
            raise _unavailable(error, self._uri.token) from None

    def signer(self, name: str, entry: Key) -> Pkcs11Signer:
        """Answer the signer of the one private key with that CKA_LABEL, inventoried as `entry`.

        Raises `Unavailable` when there is none or more than one.
        """
        attribute, kinds = self._pkcs11.Attribute, self._pkcs11.ObjectClass
        wanted = {attribute.CLASS: kinds.PRIVATE_KEY, attribute.LABEL: name}
        with self._talking():
            found = list(self._session.get_objects(wanted))
        if len(found) != 1:
            raise Unavailable(
                f"token {self._uri.token!r} holds {len(found)} private keys named {name!r}",
                hint="one is needed; see fwseal keys list",
            )
        return Pkcs11Signer(self, found[0], entry)

    def raw_ecdsa(self, key: _Untyped, digest: bytes) -> bytes:
        """Answer r || s over a digest; raises `Unavailable`."""
        with self._talking():
            return bytes(key.sign(digest, mechanism=self._pkcs11.Mechanism.ECDSA))

    def generate(self, name: str) -> PublicKey:
        """Answer the public half of a new non-extractable P-256 key with that CKA_LABEL."""
        from cryptography.hazmat.primitives.asymmetric import ec
        from pkcs11.util.ec import encode_named_curve_parameters

        attribute = self._pkcs11.Attribute
        with self._talking():
            curve = self._session.create_domain_parameters(
                self._pkcs11.KeyType.EC,
                {attribute.EC_PARAMS: encode_named_curve_parameters("secp256r1")},
                local=True,
            )
            public, _ = curve.generate_keypair(
                store=True,
                label=name,
                id=hashlib.sha256(name.encode()).digest()[:8],
                private_template={
                    attribute.SENSITIVE: True,
                    attribute.EXTRACTABLE: False,
                    attribute.SIGN: True,
                    attribute.DERIVE: False,
                },
            )
            point = bytes(public[attribute.EC_POINT])
        # CKA_EC_POINT is a DER OCTET STRING on some modules and the bare point on others.
        return PublicKey.of(
            ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), point[-65:])
        )


class Pkcs11Signer:
    """A `Signer` whose private key never leaves its token."""

    def __init__(self, token: Token, key: _Untyped, entry: Key) -> None:
        self._token = token
        self._key = key
        self.label = entry.label
        self.kid = entry.kid
        self.algorithm = entry.algorithm
        self._public = entry.public
        row = TABLE[entry.algorithm]
        if row.kind not in CURVES:
            raise Misuse(f"key {entry.label!r}: {row.name} is not supported through PKCS#11 yet")
        self._hash = row.hash

    def public(self) -> PublicKey:
        """Answer the public key as the inventory records it."""
        return self._public

    def sign(self, tbs: bytes) -> bytes:
        """Answer r || s; the hash is made here, as SoftHSM and many HSMs offer only CKM_ECDSA."""
        return self._token.raw_ecdsa(self._key, hashlib.new(self._hash, tbs).digest())


def _text(value: object) -> str:
    return value.decode().strip() if isinstance(value, bytes) else str(value).strip()


def _unavailable(error: Exception, token: str) -> Unavailable:
    detail = f" ({error})" if str(error) else ""
    return Unavailable(
        f"token {token!r} did not answer: {type(error).__name__}{detail}",
        hint="check that the token is connected and its module runs",
    )
