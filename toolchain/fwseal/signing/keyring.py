"""The inventory says which key holds which role; exactly one key answers, or none does."""

from __future__ import annotations

import dataclasses
import enum
from datetime import date
from typing import TYPE_CHECKING

from fwseal.base.errors import Misuse, Refused
from fwseal.base.ids import KeyLabel, Kid, Role, plain_name
from fwseal.base.reasons import Reason
from fwseal.cose.algorithms import NAMES, TABLE, Algorithm, algorithm_named
from fwseal.cose.keys import PublicKey

if TYPE_CHECKING:
    from collections.abc import Callable

    from fwseal.base.tables import Table

ROLES = (
    "tuf-root", "tuf-targets", "tuf-line", "tuf-online", "release", "boot", "builder", "approver",
    "report", "log", "encryption",
)  # fmt: skip


class Environment(enum.Enum):
    """What a key may be used for."""

    DEVELOPMENT = "development"
    PRODUCTION = "production"


class Status(enum.Enum):
    """Where a key is in its life."""

    ACTIVE = "active"
    SPARE = "spare"
    REVOKED = "revoked"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """One key of the inventory; the private half is where `uri` says and never here."""

    label: KeyLabel
    kid: Kid
    uri: str
    public: PublicKey
    algorithm: Algorithm
    roles: frozenset[Role]
    lines: tuple[str, ...]
    holder: str
    environment: Environment
    status: Status
    not_before: date | None
    not_after: date | None

    def check(self, today: date) -> None:
        """Return when the key may sign today; raises `Refused` (key-revoked, key-expired)."""
        if self.status is Status.REVOKED:
            raise Refused(Reason.KEY_REVOKED, f"key {self.label!r} is revoked in the keyring")
        if not (self.not_before or today) <= today <= (self.not_after or today):
            raise Refused(
                Reason.KEY_EXPIRED, f"key {self.label!r} is not valid on {today.isoformat()}"
            )


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Keyring:
    """Every key a project knows."""

    keys: tuple[Key, ...]
    softhsm_config: str
    """Path of a SoftHSM configuration beside the keyring, or empty."""

    def for_role(self, role: Role, *, line: str = "") -> Key:
        """Answer the one active key that holds the role (for that product line).

        Raises `Misuse` when there is none, or more than one.
        """
        found = [
            key
            for key in self.keys
            if role in key.roles
            and key.status is Status.ACTIVE
            and (not line or not key.lines or line in key.lines)
        ]
        if len(found) != 1:
            names = ", ".join(key.label for key in found) or "none"
            raise Misuse(
                f"role {role} needs exactly one active key, the keyring has: {names}",
                hint="see fwseal keys list; fwseal keys init --dev makes development keys",
            )
        return found[0]

    def named(self, name: str) -> Key:
        """Answer the key of a label or of a URI as the keyring spells it; raises `Misuse`."""
        found = [key for key in self.keys if name in (key.label, key.uri)]
        if len(found) != 1:
            raise Misuse(f"the keyring holds no key {name!r}", hint="see fwseal keys list")
        return found[0]


def keyring(table: Table, *, read: Callable[[str], bytes]) -> Keyring:
    """Answer the inventory; `read` answers the bytes of a file named relative to it.

    Raises `Misuse`, also for labels or kids that are not unique.
    """
    keys = tuple(_key(entry, read) for entry in table.tables("keys"))
    _unique("label", [str(key.label) for key in keys], table)
    _unique("kid", [str(key.kid) for key in keys], table)
    roles = table.table("roles", optional=True)
    for name in list(roles.items_left()):
        if name not in ROLES:
            raise roles.misuse(f"role {name!r} is not known", hint=f"one of {', '.join(ROLES)}")
        entry = roles.table(name)
        if entry.uint("threshold") != 1:
            raise entry.misuse("a threshold above 1 is not supported yet", hint="see SUPPORTED.md")
        entry.done()
    softhsm = table.table("softhsm", optional=True)
    config = softhsm.take("config", str, "")
    softhsm.done()
    table.done()
    return Keyring(keys=keys, softhsm_config=config)


def _unique(what: str, values: list[str], table: Table) -> None:
    twice = sorted({value for value in values if values.count(value) > 1})
    if twice:
        raise table.misuse(f"{what} {twice[0]!r} stands twice")


def _date(entry: Table, key: str) -> date | None:
    if not entry.has(key):
        return None
    text = entry.take(key, str)
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise entry.misuse(f"{key} is not a date", hint="write it as 2026-01-31") from None


def _key(entry: Table, read: Callable[[str], bytes]) -> Key:
    label = KeyLabel(plain_name(entry.take("label", str), what="key label"))
    name = entry.one_of("algorithm", tuple(NAMES))
    path = entry.take("public-key", str)
    public = PublicKey.from_pem(read(path), where=path)
    algorithm = algorithm_named(name)
    if TABLE[algorithm].kind is not public.kind:
        raise entry.misuse(f"{name} is not for a key of kind {public.kind.value}")
    roles = entry.strings("roles")
    for role in roles:
        if role not in ROLES:
            raise entry.misuse(f"role {role!r} is not known", hint=f"one of {', '.join(ROLES)}")
    key = Key(
        label=label,
        kid=Kid(entry.take("kid", str, label)),
        uri=entry.take("uri", str),
        public=public,
        algorithm=algorithm,
        roles=frozenset(Role(role) for role in roles),
        lines=entry.strings("lines", ()),
        holder=entry.take("holder", str, ""),
        environment=Environment(entry.one_of("environment", ("development", "production"))),
        status=Status(entry.one_of("status", ("active", "spare", "revoked"), "active")),
        not_before=_date(entry, "not-before"),
        not_after=_date(entry, "not-after"),
    )
    entry.done()
    return key
