"""A file of a recipient's key says one thing: which key, and which half of it."""

from __future__ import annotations

from collections.abc import Mapping

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from fwseal.base import cbor
from fwseal.base.errors import Misuse, Refused
from fwseal.base.ids import Kid
from fwseal.cose.recipients import (
    EC2,
    KEK_SIZES,
    P256,
    P256_ORDER,
    SYMMETRIC,
    SYMMETRIC_K,
    AgreementKey,
    AgreementPublic,
    Kek,
    KeyAlgorithm,
    KeyLabel,
    Point,
    RecipientKey,
    RecipientPublic,
)

_Fields = Mapping[cbor.Key, cbor.Value]

_COMMON = frozenset({KeyLabel.KTY, KeyLabel.KID, KeyLabel.ALG, KeyLabel.KEY_OPS})
_POINT = _COMMON | {KeyLabel.CRV, KeyLabel.X, KeyLabel.Y, KeyLabel.D}
_WRAP_OPS = frozenset({5, 6})
_DERIVE_OPS = frozenset({7, 8})
"""RFC 9052 table 5: wrap and unwrap key; derive key and derive bits."""


def recipient_key(data: bytes, *, kid: Kid | None, where: str) -> RecipientKey:
    """Answer the key of a device: a COSE_Key, Symmetric or EC2 with its private half.

    `kid` is what the profile says and None where it says nothing. Raises `Misuse`.
    """
    fields = _fields(data, where)
    name = _kid(fields, kid, where)
    if fields[KeyLabel.KTY] == SYMMETRIC:
        return _kek(fields, name, where)
    if KeyLabel.D not in fields:
        raise Misuse(
            f"{where}: holds a public key alone", hint="a device decrypts with the private half"
        )
    point = _point(fields, where)
    scalar = fields[KeyLabel.D]
    if not isinstance(scalar, bytes) or len(scalar) != len(point.x):
        raise Misuse(f"{where}: d is not 32 bytes")
    if not 0 < int.from_bytes(scalar, "big") < P256_ORDER:
        raise Misuse(f"{where}: d is not a scalar of P-256")
    key = AgreementKey(kid=name, scalar=scalar)
    if key.public().point != point:
        raise Misuse(f"{where}: x and y are not the public half of d")
    return key


def recipient_public(data: bytes, *, kid: Kid | None, where: str) -> RecipientPublic:
    """Answer what an author encrypts for.

    The data is a PEM SubjectPublicKeyInfo on P-256, a COSE_Key of the same, or a Symmetric
    COSE_Key, which both sides share. Raises `Misuse`, for a private EC2 key too.
    """
    if data.startswith(b"-----BEGIN"):
        return AgreementPublic(kid=kid, point=_pem_point(data, where))
    fields = _fields(data, where)
    name = _kid(fields, kid, where)
    if fields[KeyLabel.KTY] == SYMMETRIC:
        return _kek(fields, name, where)
    if KeyLabel.D in fields:
        raise Misuse(f"{where}: holds a private key", hint="an author needs the public half alone")
    return AgreementPublic(kid=name, point=_point(fields, where))


def _pem_point(data: bytes, where: str) -> Point:
    try:
        loaded = serialization.load_pem_public_key(data)
    except (ValueError, UnsupportedAlgorithm):
        raise Misuse(f"{where}: not a PEM public key") from None
    if not isinstance(loaded, ec.EllipticCurvePublicKey) or loaded.curve.name != "secp256r1":
        raise Misuse(f"{where}: not a key on P-256", hint="ECDH-ES+A128KW is bound to P-256 here")
    return Point.of(loaded)


def _fields(data: bytes, where: str) -> _Fields:
    try:
        parsed = cbor.decode(data)
    except Refused as error:
        raise Misuse(f"{where}: not a COSE_Key: {error.message}") from None
    if not isinstance(parsed, Mapping) or type(parsed.get(KeyLabel.KTY)) is not int:
        raise Misuse(f"{where}: not a COSE_Key")
    if parsed[KeyLabel.KTY] not in (EC2, SYMMETRIC):
        raise Misuse(f"{where}: neither an EC2 nor a Symmetric COSE_Key")
    return parsed


def _kid(fields: _Fields, expected: Kid | None, where: str) -> Kid | None:
    if KeyLabel.KID not in fields:
        return expected
    value = fields[KeyLabel.KID]
    try:
        found = Kid(value.decode()) if isinstance(value, bytes) else None
    except UnicodeDecodeError:
        found = None
    if found is None:
        raise Misuse(f"{where}: its kid is not a byte string of UTF-8")
    if expected not in (None, found):
        raise Misuse(f"{where}: its kid is {found!r}, not {expected!r}")
    return found


def _kek(fields: _Fields, kid: Kid | None, where: str) -> Kek:
    secret = fields.get(SYMMETRIC_K)
    if not isinstance(secret, bytes) or len(secret) not in KEK_SIZES.values():
        raise Misuse(f"{where}: k is not 16, 24 or 32 bytes")
    key = Kek(kid=kid, secret=secret)
    _purpose(fields, _COMMON | {SYMMETRIC_K}, key.algorithm, where)
    return key


def _point(fields: _Fields, where: str) -> Point:
    _purpose(fields, _POINT, KeyAlgorithm.ECDH_ES_A128KW, where)
    curve, x, y = (fields.get(label) for label in (KeyLabel.CRV, KeyLabel.X, KeyLabel.Y))
    if type(curve) is not int or curve != P256:
        raise Misuse(f"{where}: not a key on P-256", hint="ECDH-ES+A128KW is bound to P-256 here")
    if not isinstance(x, bytes) or not isinstance(y, bytes):
        raise Misuse(f"{where}: x and y are not byte strings", hint="write the point uncompressed")
    try:
        return Point(x=x, y=y)
    except ValueError:
        raise Misuse(f"{where}: not a point of P-256") from None


def _purpose(fields: _Fields, known: frozenset[int], algorithm: KeyAlgorithm, where: str) -> None:
    """Refuse a key that says it is for something else, or says what we do not know."""
    unknown = [label for label in fields if label not in known]
    if unknown:
        raise Misuse(f"{where}: COSE_Key parameter {unknown[0]!r} is not supported")
    if fields.get(KeyLabel.ALG, int(algorithm)) != algorithm:
        raise Misuse(f"{where}: the key is not for {algorithm.registered}")
    if KeyLabel.KEY_OPS not in fields:
        return
    # RFC 9053 6.2.1, 6.4.1; a public key for agreement lists none.
    agrees = algorithm is KeyAlgorithm.ECDH_ES_A128KW
    allowed = _DERIVE_OPS if agrees else _WRAP_OPS
    listed = fields[KeyLabel.KEY_OPS]
    if not isinstance(listed, tuple) or not allowed.issuperset(listed):
        raise Misuse(f"{where}: its key_ops do not allow {algorithm.registered}")
