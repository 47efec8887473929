"""What a device under test keeps between calls: one directory, one writer.

profile.toml, layout.toml, provisioned/ the profile, and the files it names, as provisioned
boot.bin                                the boot program
flash.img                               the board's flash, as the emulator maps it
state.json                              the accepted sequence number, and the emulator
tuf/ROLE.json                           TUF metadata, byte exact
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from typing import TYPE_CHECKING

from fwseal.base.errors import Misuse, Refused, Unavailable
from fwseal.base.reasons import Reason
from fwseal.device.slots import ERASED

if TYPE_CHECKING:
    from pathlib import Path

    from fwseal.image.memory_map import Region

_DAMAGED, _ANEW = "the device's state.json is damaged", "provision the device anew"

ROLES = ("root", "timestamp", "snapshot", "targets")


def write(path: Path, data: bytes) -> None:
    """Replace a file: written beside, synced, renamed; raises `Unavailable`."""
    beside = path.with_name(f".{path.name}.new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with beside.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        with contextlib.suppress(OSError):
            beside.unlink()
        raise Unavailable(
            f"cannot write {path.name}: {error.strerror}", hint="check space and permissions"
        ) from None


class StateDir:
    """The directory of one device."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def existing(cls, path: Path) -> StateDir:
        """Answer a provisioned device; raises `Misuse`."""
        found = cls(path)
        needed = (path / "state.json", path / "profile.toml", found.layout, found.boot, found.flash)
        if not all(one.is_file() for one in needed):
            raise Misuse(
                f"{path} is not a provisioned device",
                hint="fwseal device mps2-an385 provision --state DIR PROFILE",
            )
        return found

    @property
    def flash(self) -> Path:
        """Answer the file that holds the flash."""
        return self.path / "flash.img"

    @property
    def layout(self) -> Path:
        """Answer the memory layout the device was provisioned with."""
        return self.path / "layout.toml"

    @property
    def boot(self) -> Path:
        """Answer the boot program's binary."""
        return self.path / "boot.bin"

    def sequence_number(self) -> int | None:
        """Answer the highest number accepted, or None."""
        return self._state()[0]

    def emulator(self) -> str:
        """Answer which emulator the device runs on."""
        return self._state()[1]

    def create(self, *, sequence_number: int | None, emulator: str) -> None:
        """Make the state of a device that accepted this number, or None; written last."""
        self._write(sequence_number, emulator)

    def commit(self, sequence_number: int) -> None:
        """Accept a number; it is durable when this returns."""
        self._write(sequence_number, self.emulator())

    def _state(self) -> tuple[int | None, str]:
        try:
            body = json.loads((self.path / "state.json").read_bytes())
            number, emulator = body["sequence_number"], body["emulator"]
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            raise Misuse(_DAMAGED, hint=_ANEW) from None
        # A number that cannot be read must never pass for none: that would undo every rollback.
        known = number is None or (type(number) is int and 0 <= number < 2**64)
        if not known or type(emulator) is not str:
            raise Misuse(_DAMAGED, hint=_ANEW)
        return number, emulator

    def _write(self, sequence_number: int | None, emulator: str) -> None:
        body = {"schema_version": 1, "sequence_number": sequence_number, "emulator": emulator}
        write(self.path / "state.json", (json.dumps(body) + "\n").encode())

    def provision(self, name: str, data: bytes) -> None:
        """Keep a file that the profile names; names may be any relative path."""
        write(self._provisioned(name), data)

    def provisioned(self, name: str) -> bytes:
        """Answer a file that the profile names; raises `Misuse`."""
        try:
            return self._provisioned(name).read_bytes()
        except OSError:
            raise Misuse(f"the device was not provisioned with {name}") from None

    def _provisioned(self, name: str) -> Path:
        return self.path / "provisioned" / hashlib.sha256(name.encode()).hexdigest()[:16]

    def metadata(self) -> dict[str, bytes]:
        """Answer the TUF role files that are kept."""
        files = {role: self.path / "tuf" / f"{role}.json" for role in ROLES}
        return {role: file.read_bytes() for role, file in files.items() if file.is_file()}

    def keep(self, role: str, data: bytes) -> None:
        """Keep a TUF role file; durable when this returns."""
        write(self.path / "tuf" / f"{role}.json", data)


class FileFlash:
    """NOR flash over a file: erase sets ones, program clears bits and never sets one."""

    def __init__(self, path: Path, region: Region) -> None:
        self._path = path
        self._region = region

    def create(self) -> None:
        """Make the file, all erased; raises `Unavailable`."""
        write(self._path, bytes([ERASED]) * self._region.size)

    def read(self, address: int, size: int) -> bytes:
        """Answer what stands there."""
        try:
            with self._path.open("rb") as file:
                file.seek(self._offset(address, size))
                found = file.read(size)
        except OSError as error:
            raise Unavailable(f"cannot read the flash file: {error.strerror}") from None
        if len(found) != size:
            raise Unavailable("the flash file is shorter than the flash")
        return found

    def erase(self, address: int, size: int) -> None:
        """Set a range to ones."""
        self._write(address, bytes([ERASED]) * size)

    def program(self, address: int, data: bytes) -> None:
        """Clear bits; raises `Refused` (storage-fault) where a zero would become a one."""
        old = self.read(address, len(data))
        if any(have & want != want for have, want in zip(old, data, strict=True)):
            raise Refused(Reason.STORAGE_FAULT, f"flash at {address:#x} is not erased")
        self._write(address, data)

    def _write(self, address: int, data: bytes) -> None:
        try:
            with self._path.open("r+b") as file:
                file.seek(self._offset(address, len(data)))
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise Unavailable(f"cannot write the flash file: {error.strerror}") from None

    def _offset(self, address: int, size: int) -> int:
        if not self._region.holds(address, size):
            raise AssertionError(hex(address))
        return address - self._region.origin
