"""A provisioned device as the verbs open it; emulators and networks are imported elsewhere."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from fwseal.base.errors import Misuse
from fwseal.cli import files, inputs
from fwseal.device import driver
from fwseal.device.admission import Installed
from fwseal.device.slots import Slots
from fwseal.device.statedir import FileFlash, StateDir
from fwseal.device.storage import SlotStorage

if TYPE_CHECKING:
    from pathlib import Path

    from fwseal.base.ports import Fetcher
    from fwseal.device.profile import DeviceProfile


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Board:
    """A provisioned device: its profile, its state directory and its slots."""

    profile: DeviceProfile
    state: StateDir
    slots: Slots

    @classmethod
    def open(cls, path: Path) -> Board:
        """Answer the device of a state directory; raises `Misuse`."""
        state = StateDir.existing(path)
        profile = inputs.profile(path / "profile.toml", read=state.provisioned)
        layout = inputs.parsed_layout(files.read(state.layout), where="layout.toml")
        if len(profile.components) != 1:
            raise Misuse(f"device {profile.name} has more than the one component of its slots")
        slots = Slots(FileFlash(state.flash, layout.flash), layout)
        return cls(profile=profile, state=state, slots=slots)

    def installed(self) -> Installed:
        """Answer what the device accepted, and which image it confirmed."""
        slot = self.slots.to_write()
        return Installed(
            sequence_number=self.state.sequence_number(),
            confirmed=dict.fromkeys(self.profile.components, self.slots.confirmed()),
            slots=dict.fromkeys(self.profile.components, slot),
        )

    def install(self, envelope: bytes, fetcher: Fetcher) -> driver.Evidence:
        """Install an envelope; the sequence number is committed last."""
        done = driver.install(
            envelope,
            profile=self.profile,
            installed=self.installed(),
            storage=SlotStorage(self.slots, images="mcuboot" in self.profile.formats),
            fetcher=fetcher,
        )
        self.state.commit(done.sequence_number)
        return done
