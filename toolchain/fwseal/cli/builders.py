"""Who builds here, and on what: the facts that make one builder another than the next."""

from __future__ import annotations

import platform
import socket
from pathlib import Path
from typing import TYPE_CHECKING

from fwseal.base.digest import sha256_hex
from fwseal.build.provenance import Builder
from fwseal.cli import files

if TYPE_CHECKING:
    from fwseal.signing.keyring import Key

MACHINE_ID = ("/etc/machine-id", "/var/lib/dbus/machine-id")


def here(key: Key) -> Builder:
    """Answer the builder that a key attests on this machine."""
    return Builder(
        label=key.label,
        host=_host(),
        operator=key.holder or key.label,
        kernel=f"{platform.system()} {platform.release()} {platform.machine()}",
    )


def _host() -> str:
    """Answer a digest of what this machine is; its id is not for others (machine-id(5))."""
    known = [Path(one) for one in MACHINE_ID if files.is_file(Path(one))]
    machine = files.read(known[0]).strip() if known else b""
    return sha256_hex(b"fwseal builder\0" + machine + b"\0" + socket.gethostname().encode())
