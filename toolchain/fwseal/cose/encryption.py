"""A COSE_Encrypt with detached ciphertext: one content key, one IV, and a key for each recipient.

This is SUIT_Encryption_Info of draft-ietf-suit-firmware-encryption-24: read strictly, written back
to the same bytes, and decrypted as a stream.
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Mapping
from typing import TYPE_CHECKING

import cbor2
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from fwseal.base import cbor
from fwseal.base.errors import Misuse, Refused
from fwseal.base.ids import Kid
from fwseal.base.reasons import Reason
from fwseal.cose.headers import buckets, chosen, known, same
from fwseal.cose.messages import MESSAGE_TAGS, Header, Tag
from fwseal.cose.recipient_files import recipient_key, recipient_public
from fwseal.cose.recipients import (
    EC2,
    EPHEMERAL_KEY,
    P256,
    WRAPPING,
    AgreementKey,
    AgreementPublic,
    Kek,
    KeyAlgorithm,
    KeyLabel,
    Point,
    Recipient,
    RecipientKey,
    RecipientPublic,
    new_recipient_key,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from cryptography.hazmat.primitives.ciphers import AEADDecryptionContext, CipherContext

    from fwseal.cose.headers import Headers

__all__ = [
    "AgreementKey",
    "AgreementPublic",
    "ContentAlgorithm",
    "Decryptor",
    "Encrypt",
    "Kek",
    "KeyAlgorithm",
    "Recipient",
    "RecipientKey",
    "RecipientPublic",
    "decode_encrypt",
    "decryptor",
    "encrypted",
    "new_recipient_key",
    "recipient_key",
    "recipient_public",
]

MAX_RECIPIENTS = 8
MAX_CIPHERTEXT = 2**36 - 32
"""What one GCM counter can carry (NIST SP 800-38D 5.2.1.1); AES-CTR is held to it too."""


class ContentAlgorithm(enum.IntEnum):
    """COSE Algorithms registry: how the content is encrypted (RFC 9053 4.1, RFC 9459 4)."""

    A128GCM = 1
    A192GCM = 2
    A256GCM = 3
    A128CTR = -65534
    A192CTR = -65533
    A256CTR = -65532

    @property
    def key_size(self) -> int:
        """Answer the length of the content key in bytes."""
        return int(self.name[1:4]) // 8

    @property
    def authenticated(self) -> bool:
        """Answer whether a tag ends the ciphertext."""
        return self.name.endswith("GCM")

    @property
    def iv_size(self) -> int:
        """Answer the length of the IV in bytes."""
        return 12 if self.authenticated else 16

    @property
    def overhead(self) -> int:
        """Answer how many bytes longer than its plaintext the ciphertext is."""
        return 16 if self.authenticated else 0

    @property
    def protected(self) -> bytes:
        """Answer the one protected header a message of this algorithm has."""
        # RFC 9459 4: zero length, since AES-CTR covers no header.
        return cbor.encode({int(Header.ALG): int(self)}) if self.authenticated else b""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Encrypt:
    """A COSE_Encrypt whose ciphertext stands elsewhere."""

    algorithm: ContentAlgorithm
    iv: bytes
    recipients: tuple[Recipient, ...]

    @property
    def protected(self) -> bytes:
        """Answer the protected header, which the algorithm fixes."""
        return self.algorithm.protected

    @property
    def overhead(self) -> int:
        """Answer how many bytes longer than its plaintext the ciphertext is."""
        return self.algorithm.overhead

    def encode(self) -> bytes:
        """Answer the tagged message, ciphertext nil."""
        unprotected: dict[cbor.Key, cbor.Value] = {int(Header.IV): self.iv}
        if not self.algorithm.authenticated:
            unprotected[int(Header.ALG)] = int(self.algorithm)
        recipients = tuple(recipient.structure() for recipient in self.recipients)
        body = (self.protected, unprotected, None, recipients)
        return cbor.encode(cbor2.CBORTag(int(Tag.ENCRYPT), body))


def decode_encrypt(data: bytes) -> Encrypt:
    """Answer the message; `decode_encrypt(data).encode() == data`.

    Raises `Refused`: malformed, not-deterministic, limit-exceeded; unsupported for another COSE
    message, an attached ciphertext or a header that is not processed here; unsupported-algorithm.
    """
    message = cbor.decode(data, tags=MESSAGE_TAGS)
    if not isinstance(message, cbor2.CBORTag):
        raise Refused(Reason.MALFORMED, "encryption info is not a tagged COSE message")
    if message.tag != Tag.ENCRYPT:
        raise Refused(Reason.UNSUPPORTED, f"{Tag(message.tag).message} is not encryption info")
    body = message.value
    if not isinstance(body, tuple) or len(body) != 4:
        raise Refused(Reason.MALFORMED, "a COSE_Encrypt is an array of four")
    protected, unprotected, ciphertext, recipients = body
    if ciphertext is not None:
        # firmware-encryption-24 4: the ciphertext is detached, it is the payload itself.
        raise Refused(Reason.UNSUPPORTED, "the ciphertext is attached")
    inner, outer = buckets(protected, unprotected)
    algorithm = chosen(ContentAlgorithm, inner, outer)
    # An AEAD covers its own name; AES-CTR has no header that covers it (RFC 9459 4).
    allowed = {Header.IV} if algorithm.authenticated else {Header.ALG, Header.IV}
    known(outer, frozenset(allowed), "unprotected")
    same(protected, algorithm.protected)
    iv = outer.get(Header.IV)
    if not isinstance(iv, bytes) or len(iv) != algorithm.iv_size:
        raise Refused(Reason.MALFORMED, f"{algorithm.name} has an IV of {algorithm.iv_size} bytes")
    return Encrypt(algorithm=algorithm, iv=iv, recipients=_recipients(recipients, algorithm))


def _recipients(value: object, algorithm: ContentAlgorithm) -> tuple[Recipient, ...]:
    if not isinstance(value, tuple) or not value:
        raise Refused(Reason.MALFORMED, "recipients is not an array of at least one")
    if len(value) > MAX_RECIPIENTS:
        raise Refused(Reason.LIMIT_EXCEEDED, f"more than {MAX_RECIPIENTS} recipients")
    decoded = []
    for index, item in enumerate(value):
        try:
            decoded.append(_recipient(item, algorithm))
        except Refused as error:
            raise error.at(f"recipients[{index}]") from None
    return tuple(decoded)


def _recipient(value: object, content: ContentAlgorithm) -> Recipient:
    if not isinstance(value, tuple) or len(value) not in (3, 4):
        raise Refused(Reason.MALFORMED, "a COSE_recipient is an array of three")
    if len(value) == 4:
        raise Refused(Reason.UNSUPPORTED, "recipients of a recipient are not supported")
    protected, unprotected, wrapped = value
    inner, outer = buckets(protected, unprotected)
    algorithm = chosen(KeyAlgorithm, inner, outer)
    agrees = algorithm is KeyAlgorithm.ECDH_ES_A128KW
    # firmware-encryption-24 5.2: the KDF context covers the name of the agreement; AES Key Wrap
    # covers no header.
    own = EPHEMERAL_KEY if agrees else Header.ALG
    known(outer, frozenset({own, Header.KID}), "unprotected")
    same(protected, algorithm.protected)
    if not isinstance(wrapped, bytes) or len(wrapped) != content.key_size + WRAPPING:
        raise Refused(Reason.MALFORMED, f"the wrapped key does not fit {content.name}")
    return Recipient(
        algorithm=algorithm,
        kid=_kid(outer),
        ephemeral=_ephemeral(outer) if agrees else None,
        wrapped=wrapped,
    )


def _kid(outer: Headers) -> Kid | None:
    if Header.KID not in outer:
        return None
    value = outer[Header.KID]
    if not isinstance(value, bytes):
        raise Refused(Reason.MALFORMED, "kid is a byte string")
    try:
        return Kid(value.decode())
    except UnicodeDecodeError:
        raise Refused(Reason.UNSUPPORTED, "the kid is not UTF-8, as all of ours are") from None


def _ephemeral(outer: Headers) -> Point:
    key = outer.get(EPHEMERAL_KEY)
    if not isinstance(key, Mapping):
        raise Refused(Reason.MALFORMED, "ECDH-ES has an ephemeral key, a COSE_Key")
    expected = {KeyLabel.KTY, KeyLabel.CRV, KeyLabel.X, KeyLabel.Y}
    if key.keys() != expected:
        raise Refused(Reason.UNSUPPORTED, "an ephemeral key holds kty, crv, x and y alone")
    kind, curve, x, y = (key[label] for label in (1, -1, -2, -3))
    if (type(kind), kind, type(curve), curve) != (int, EC2, int, P256):
        raise Refused(Reason.UNSUPPORTED, "an ephemeral key is an EC2 key on P-256")
    if isinstance(y, bool):
        raise Refused(Reason.UNSUPPORTED, "a compressed point is not supported")
    if not isinstance(x, bytes) or not isinstance(y, bytes):
        raise Refused(Reason.MALFORMED, "x and y are byte strings")
    try:
        return Point(x=x, y=y)
    except ValueError:
        raise Refused(Reason.MALFORMED, "the ephemeral key is not a point of P-256") from None


class Decryptor:
    """Ciphertext in, plaintext out, in any pieces; memory is bounded by the largest piece.

    With AES-GCM nothing is authentic before `finish` returned: what `update` answered until then
    may be stored, and may not be used. With AES-CTR nothing ever is: an image-match condition
    must follow (firmware-encryption-24 7).
    """

    def __init__(self, info: Encrypt, content_key: bytes, *, limit: int = MAX_CIPHERTEXT) -> None:
        self._overhead = info.overhead
        self._limit = limit
        self._size = 0
        self._held = b""  # the last bytes so far: they may be the tag
        self._gcm: AEADDecryptionContext | None = None
        self._context: CipherContext
        key = algorithms.AES(content_key)
        if info.algorithm.authenticated:
            self._context = self._gcm = Cipher(key, modes.GCM(info.iv)).decryptor()
            # RFC 9052 5.3, with empty external_aad.
            self._gcm.authenticate_additional_data(cbor.encode(("Encrypt", info.protected, b"")))
        else:
            self._context = Cipher(key, modes.CTR(info.iv)).decryptor()

    def update(self, data: bytes) -> bytes:
        """Answer the plaintext that the piece completes; raises `Refused` (limit-exceeded)."""
        self._size += len(data)
        if self._size > self._limit:
            raise Refused(Reason.LIMIT_EXCEEDED, f"more than {self._limit} bytes of ciphertext")
        if not self._overhead:
            return self._context.update(data)
        data = self._held + data
        self._held = data[-self._overhead :]
        return self._context.update(data[: -self._overhead])

    def finish(self) -> bytes:
        """Answer the rest of the plaintext, once, when all of it stands.

        Raises `Refused` (decryption-failed) when the tag does not verify or there was no
        ciphertext.
        """
        if self._size <= self._overhead:
            raise Refused(Reason.DECRYPTION_FAILED, f"{self._size} bytes are no ciphertext")
        if self._gcm is None:
            return self._context.finalize()
        try:
            return self._gcm.finalize_with_tag(self._held)
        except InvalidTag:
            raise Refused(Reason.DECRYPTION_FAILED, "the tag does not verify") from None


def decryptor(
    info: Encrypt, keys: tuple[RecipientKey, ...], *, limit: int = MAX_CIPHERTEXT
) -> Decryptor:
    """Answer the decryptor of a payload for a device that holds these keys.

    A kid selects; where recipient or key has none, every key of the algorithm is tried: at most
    `MAX_RECIPIENTS` times the number of keys. Raises `Refused` (decryption-failed) when no key
    gives the content key back.
    """
    for recipient in info.recipients:
        for key in keys:
            if _fits(key, recipient):
                try:
                    content_key = key.unwrap(recipient)
                except Refused:
                    continue
                return Decryptor(info, content_key, limit=limit)
    names = ", ".join(f"{one.kid!r}" if one.kid else "no kid" for one in info.recipients)
    raise Refused(
        Reason.DECRYPTION_FAILED,
        f"no key of the device gives the content key back; it is wrapped for: {names}",
    )


def _fits(key: RecipientKey, recipient: Recipient) -> bool:
    return key.algorithm is recipient.algorithm and (
        key.kid is None or recipient.kid in (None, key.kid)
    )


def encrypted(
    plaintext: bytes,
    *,
    algorithm: ContentAlgorithm,
    recipients: tuple[RecipientPublic, ...],
    random: Callable[[int], bytes],
) -> tuple[Encrypt, bytes]:
    """Answer the message and the ciphertext, under a content key and an IV that are new.

    `random` must be cryptographically strong and never repeat: it gives the content key, the IV
    and each ephemeral key. Raises `Misuse` for no plaintext, or for no or too many recipients.
    """
    if not plaintext:
        raise Misuse("there is nothing to encrypt")
    if not 0 < len(recipients) <= MAX_RECIPIENTS:
        raise Misuse(f"{len(recipients)} recipients", hint=f"name 1 to {MAX_RECIPIENTS}")
    content_key, iv = random(algorithm.key_size), random(algorithm.iv_size)
    info = Encrypt(
        algorithm=algorithm,
        iv=iv,
        recipients=tuple(one.wrap(content_key, random) for one in recipients),
    )
    key = algorithms.AES(content_key)
    if not algorithm.authenticated:
        stream = Cipher(key, modes.CTR(iv)).encryptor()
        return info, stream.update(plaintext) + stream.finalize()
    sealer = Cipher(key, modes.GCM(iv)).encryptor()
    sealer.authenticate_additional_data(cbor.encode(("Encrypt", info.protected, b"")))
    body = sealer.update(plaintext) + sealer.finalize()
    return info, body + sealer.tag
