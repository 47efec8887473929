"""A PKCS#11 URI names one key of one token, and never carries a PIN (RFC 7512)."""

from __future__ import annotations

import dataclasses
from urllib.parse import unquote

from fwseal.base.errors import Misuse

_PATH = ("token", "serial", "manufacturer", "object", "type")
_QUERY = ("module-name", "module-path", "pin-source")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Pkcs11Uri:
    """The attributes of a URI that this version reads; absent ones are empty."""

    token: str
    object: str
    serial: str = ""
    manufacturer: str = ""
    module: str
    """`module-path` or `module-name`, as given."""
    pin_source: str = ""


def parse(uri: str) -> Pkcs11Uri:
    """Answer the parts of a `pkcs11:` URI.

    Raises `Misuse` for a PIN in the URI, an attribute that is unknown or stands twice, or a URI
    that does not name token, object and module.
    """
    scheme, _, rest = uri.partition(":")
    if scheme != "pkcs11":
        raise Misuse(f"{uri!r} is not a PKCS#11 URI")
    path, _, query = rest.partition("?")
    found: dict[str, str] = {}
    for part, separator, allowed in ((path, ";", _PATH), (query, "&", _QUERY)):
        for attribute in filter(None, part.split(separator)):
            name, _, value = attribute.partition("=")
            if name == "pin-value":
                raise Misuse("a PIN may not stand in a URI", hint="use pin-source=file:NAME")
            if name not in allowed or name in found:
                raise Misuse(f"attribute {name!r} of a PKCS#11 URI is unknown or stands twice")
            found[name] = unquote(value)
    if found.get("type", "private") != "private":
        raise Misuse("a PKCS#11 URI for signing names type=private or no type")
    module = found.get("module-path") or found.get("module-name", "")
    if not (found.get("token") and found.get("object") and module):
        raise Misuse(
            f"{uri!r} does not name token, object and module",
            hint="pkcs11:token=NAME;object=LABEL?module-name=libsofthsm2&pin-source=file:pin",
        )
    return Pkcs11Uri(
        token=found["token"],
        object=found["object"],
        serial=found.get("serial", ""),
        manufacturer=found.get("manufacturer", ""),
        module=module,
        pin_source=found.get("pin-source", ""),
    )
