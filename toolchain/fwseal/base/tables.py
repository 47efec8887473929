"""A TOML table is read key by key with its type; a key nobody asked for is an error."""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING, Any, TypeVar

from fwseal.base.errors import Misuse

if TYPE_CHECKING:
    from collections.abc import Mapping

T = TypeVar("T")

_NAMES = {str: "a string", int: "an integer", bool: "true or false", list: "an array",
          dict: "a table"}  # fmt: skip


class Table:
    """One table of a TOML file, consumed by `take`; `done` refuses what was left over."""

    def __init__(self, content: Mapping[str, Any], *, where: str) -> None:
        self._left = dict(content)
        self._where = where

    @classmethod
    def parse(cls, text: str, *, where: str) -> Table:
        """Answer the whole document; `where` is the file's name for messages."""
        try:
            return cls(tomllib.loads(text), where=where)
        except (ValueError, RecursionError) as error:  # an integer of 10,000 digits is the former
            raise Misuse(f"{where}: not TOML: {error}") from None

    def has(self, key: str) -> bool:
        """Answer whether the key is there and was not taken yet."""
        return key in self._left

    def take(self, key: str, kind: type[T], default: T | None = None) -> T:
        """Answer the value of a key, which must be of exactly that type.

        Raises `Misuse` when it is absent and has no default, or is of another type.
        """
        if key not in self._left:
            if default is None:
                raise self.misuse(f"{key} is missing")
            return default
        value = self._left.pop(key)
        if type(value) is not kind:
            raise self.misuse(f"{key} must be {_NAMES[kind]}")
        return value

    def one_of(self, key: str, allowed: tuple[str, ...], default: str | None = None) -> str:
        """Answer a string that is one of those allowed."""
        value = self.take(key, str, default)
        if value not in allowed:
            raise self.misuse(f"{key} is {value!r}, not one of {', '.join(allowed)}")
        return value

    def uint(self, key: str, default: int | None = None) -> int:
        """Answer an integer of 0 to 2^64-1."""
        value = self.take(key, int, default)
        if not 0 <= value < 2**64:
            raise self.misuse(f"{key} must be 0 to 2^64-1")
        return value

    def strings(self, key: str, default: tuple[str, ...] | None = None) -> tuple[str, ...]:
        """Answer an array of strings."""
        if key not in self._left and default is not None:
            return default
        values = self.take(key, list)
        if not all(type(value) is str for value in values):
            raise self.misuse(f"{key} must be an array of strings")
        return tuple(values)

    def uints(self, key: str, default: tuple[int, ...]) -> tuple[int, ...]:
        """Answer an array of integers of 0 to 2^64-1."""
        values = self.take(key, list, list(default))
        if not all(type(value) is int and 0 <= value < 2**64 for value in values):
            raise self.misuse(f"{key} must be an array of unsigned integers")
        return tuple(values)

    def hex(self, key: str) -> bytes:
        """Answer bytes that the file spells in hex."""
        return self.from_hex(self.take(key, str), key)

    def from_hex(self, text: str, key: str) -> bytes:
        """Answer bytes spelled in hex; an error names the key."""
        try:
            return bytes.fromhex(text)
        except ValueError:
            raise self.misuse(f"{key} must be hex") from None

    def uuid(self, key: str) -> bytes:
        """Answer the bytes of a UUID such as firmware is named by (SUIT manifest-37 8.4.8.2)."""
        text = self.take(key, str)
        digits = text.replace("-", "")
        groups = [len(group) for group in text.split("-")]
        if groups != [8, 4, 4, 4, 12] or set(digits) - set("0123456789abcdef"):
            raise self.misuse(f"{key} must be a UUID in lower case")
        # RFC 9562 4.1, 4.2; the module of the standard library takes longer to import than this.
        if digits[12] not in "345" or digits[16] not in "89ab":
            raise self.misuse(f"{key} must be a UUID of version 3, 4 or 5")
        return bytes.fromhex(digits)

    def table(self, key: str, *, optional: bool = False) -> Table:
        """Answer a table inside this one; an empty one when it is optional and absent."""
        return self.inside(key, self.take(key, dict, {} if optional else None))

    def inside(self, place: str, content: Mapping[str, Any]) -> Table:
        """Answer a table for what stands at a place of this one, for errors to name it."""
        return Table(content, where=f"{self._where}: {place}")

    def kind(self, key: str) -> type:
        """Answer the type of a value that was not taken yet, where several are allowed."""
        return type(self._left.get(key))

    def tables(self, key: str, *, optional: bool = False) -> tuple[Table, ...]:
        """Answer an array of tables (`[[key]]`)."""
        found = self.take(key, list, [] if optional else None)
        if not all(type(entry) is dict for entry in found):
            raise self.misuse(f"{key} must be an array of tables")
        return tuple(self.inside(f"{key}[{index}]", entry) for index, entry in enumerate(found))

    def items_left(self) -> tuple[str, ...]:
        """Answer the keys not taken yet: for tables whose keys are the user's own."""
        return tuple(self._left)

    def done(self) -> None:
        """Refuse any key that was not asked for."""
        if self._left:
            unknown = ", ".join(sorted(self._left))
            raise self.misuse(f"unknown key {unknown}", hint="remove it or correct its spelling")

    def misuse(self, message: str, *, hint: str = "") -> Misuse:
        """Answer an error placed in this table."""
        return Misuse(f"{self._where}: {message}", hint=hint)
