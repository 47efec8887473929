"""Installing on NOR flash: what is refused, or cut short, leaves the device booting what it had."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import pytest

from flashes import PAGE, SLOT, Files, NorFlash, boots_next, device, image, installed
from fwseal.base.digest import Digest, DigestAlgorithm
from fwseal.base.errors import Refused, Unavailable
from fwseal.base.ports import NotThere
from fwseal.base.reasons import Reason
from fwseal.device import driver
from fwseal.device.admission import Installed
from fwseal.device.storage import Scratch, SlotStorage
from fwseal.signing.sign import sign_envelope
from fwseal.suit import envelope as envelopes
from fwseal.suit import manifest as manifests
from fwseal.suit.labels import Command, ManifestKey, Parameter
from fwseal.suit.sequence import Override, Plain
from repositories import PowerCut
from workshop import COMPONENT, anchor, envelope, manifest, profile, signer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fwseal.base.ids import ComponentId, Uri
    from fwseal.base.ports import Fetcher
    from fwseal.device.effects import Measured

KEY = signer("release")
PROFILE = profile(anchor(KEY))
OLD, NEW = image("1.0.0"), image("1.1.0", b"newer firmware" * 150)
URI = "2/app.bin"
CAPACITY = SLOT - PAGE


@dataclasses.dataclass
class Device:
    """A device in memory: its flash, and the number it accepted."""

    flash: NorFlash
    number: int | None = 1

    def offer(self, sealed: bytes, source: Fetcher) -> driver.Evidence:
        """Install, then commit the number: as the command line does."""
        slots = device(self.flash)
        done = driver.install(
            sealed,
            profile=PROFILE,
            installed=Installed(
                sequence_number=self.number, confirmed={COMPONENT: slots.confirmed()}
            ),
            storage=SlotStorage(slots),
            fetcher=source,
        )
        self.number = done.sequence_number
        return done


@pytest.fixture
def board() -> Device:
    """Answer a device that runs version 1.0.0, with something older in the other slot."""
    flash = NorFlash()
    flash.put(0, installed(OLD, tried=True, confirmed=True))
    flash.put(1, installed(image("0.9.0"), tried=True, confirmed=True))
    return Device(flash)


def sealed(payload: bytes = NEW, *, number: int = 2) -> bytes:
    return envelope(KEY, payload, number=number, uri=URI)


def unsized(payload: bytes, **parameters: object) -> bytes:
    """Answer an envelope whose manifest says no size."""
    made = manifests.decode(manifest(payload, uri=URI))
    first = made.shared_sequence[0]
    assert isinstance(first, Override)
    kept = {k: v for k, v in first.parameters.items() if k is not Parameter.IMAGE_SIZE}
    changed = dataclasses.replace(
        made, shared_sequence=(Override(kept), *made.shared_sequence[1:]), **parameters
    )
    return sign_envelope(changed.encode(), KEY)


def test_update_is_installed_for_trial_and_its_number_is_accepted(board: Device) -> None:
    before = board.flash.slot(0)
    done = board.offer(sealed(), Files({URI: NEW}))
    assert done.sequence_number == board.number == 2
    assert done.signers == ("release",)
    assert done.manifest_digest == envelopes.decode(sealed()).digest
    assert board.flash.slot(0) == before
    assert board.flash.slot(1) == installed(NEW)
    assert boots_next(board.flash) == 1


def bigger(size: int) -> bytes:
    return b"\xa5" * size


def late(count: int) -> Files:
    return Files({URI: NEW}, dies_after=count)


class Silent:
    """A source that is asked and does not answer."""

    def fetch(self, uri: Uri, *, max_size: int) -> Iterator[bytes]:
        yield bytes(max_size // 2)
        raise Unavailable(f"no answer for {uri}")


class Strict:
    """A source that stops by itself at the limit, as HTTP does."""

    def __init__(self, reason: Reason) -> None:
        self._reason = reason

    def fetch(self, uri: Uri, *, max_size: int) -> Iterator[bytes]:
        yield bytes(max_size)
        raise Refused(self._reason, f"{uri} goes on")


FLIPPED = NEW[:500] + bytes([NEW[500] ^ 8]) + NEW[501:]
ODD = {
    "flipped": (sealed(), Files({URI: FLIPPED}), Reason.PAYLOAD_DIGEST),
    "longer": (sealed(), Files({URI: NEW + b"!"}), Reason.PAYLOAD_SIZE),
    "much longer": (sealed(), Files({URI: NEW * 2}), Reason.PAYLOAD_SIZE),
    "longer over HTTP": (sealed(), Strict(Reason.LIMIT_EXCEEDED), Reason.PAYLOAD_SIZE),
    "slow": (sealed(), Strict(Reason.TOO_SLOW), Reason.TOO_SLOW),
    "shorter": (sealed(), Files({URI: NEW[:-1]}), Reason.PAYLOAD_SIZE),
    "empty": (sealed(), Files({URI: b""}), Reason.PAYLOAD_SIZE),
    "too big for the slot, never said": (
        unsized(bigger(CAPACITY + 1)),
        Files({URI: bigger(CAPACITY + 1)}),
        Reason.STORAGE_FULL,
    ),
    "of another release": (sealed(), Files({URI: OLD}), Reason.PAYLOAD_SIZE),
}


@pytest.mark.parametrize("name", ODD)
def test_payload_that_is_not_the_one_signed_is_refused_and_the_device_boots_what_it_had(
    name: str, board: Device
) -> None:
    offered, source, reason = ODD[name]
    before = board.flash.slot(0)
    with pytest.raises(Refused) as caught:
        board.offer(offered, source)
    assert caught.value.reason is reason
    assert board.number == 1
    assert board.flash.slot(0) == before
    assert boots_next(board.flash) == 0
    assert not device(board.flash).view()[1].magic
    board.offer(sealed(), Files({URI: NEW}))
    assert boots_next(board.flash) == 1


EARLY = {
    "missing": (sealed(), Files({}), Reason.PAYLOAD_MISSING),
    "too big for the slot, as signed": (
        sealed(bigger(CAPACITY + 1)),
        Files({URI: bigger(CAPACITY + 1)}),
        Reason.STORAGE_FULL,
    ),
    "a stranger's": (envelope(signer("release"), NEW), Files({URI: NEW}), Reason.BAD_SIGNATURE),
    "older": (sealed(OLD, number=0), Files({URI: OLD}), Reason.ROLLBACK),
    "confirmed already": (sealed(OLD, number=1), Files({URI: OLD}), Reason.ROLLBACK),
    "cut short": (sealed()[:-3], Files({URI: NEW}), Reason.MALFORMED),
}


@pytest.mark.parametrize("name", EARLY)
def test_update_refused_before_its_first_byte_came_leaves_both_slots_untouched(
    name: str, board: Device
) -> None:
    offered, source, reason = EARLY[name]
    before = bytes(board.flash.cells)
    with pytest.raises(Refused) as caught:
        board.offer(offered, source)
    assert caught.value.reason is reason
    assert board.flash.log == []
    assert bytes(board.flash.cells) == before
    assert board.number == 1


@pytest.mark.parametrize("source", [Silent(), late(0), late(1), late(12)])
def test_fetch_that_dies_midway_keeps_the_running_image_and_a_retry_succeeds(
    source: Fetcher, board: Device
) -> None:
    with pytest.raises((Unavailable, PowerCut)):
        board.offer(sealed(), source)
    assert board.number == 1
    assert boots_next(board.flash) == 0
    board.offer(sealed(), Files({URI: NEW}))
    assert boots_next(board.flash) == 1


def test_storage_that_lies_is_found_out_and_the_device_boots_what_it_had(board: Device) -> None:
    board.flash.lies = True
    with pytest.raises(Refused) as caught:
        board.offer(sealed(), Files({URI: NEW}))
    assert caught.value.reason is Reason.PAYLOAD_DIGEST
    assert board.number == 1
    assert boots_next(board.flash) == 0


class Rots:
    """Slots whose flash loses a bit once it was measured."""

    def __init__(self, board: Device) -> None:
        self._board = board
        self._inner = SlotStorage(device(board.flash))
        self.offers = self._inner.offers
        self.capacity = self._inner.capacity
        self.holds = self._inner.holds
        self.begin = self._inner.begin
        self.append = self._inner.append
        self.finish = self._inner.finish
        self.read = self._inner.read
        self.swap = self._inner.swap

    def measure(self, component: ComponentId, algorithm: DigestAlgorithm) -> Measured:
        found = self._inner.measure(component, algorithm)
        self._board.flash.cells[SLOT + 40] &= 0
        return found


def test_storage_that_rots_after_the_install_is_found_by_validation_and_never_boots(
    board: Device,
) -> None:
    with pytest.raises(Refused) as caught:
        driver.install(
            sealed(),
            profile=PROFILE,
            installed=Installed(sequence_number=1, confirmed={COMPONENT: frozenset()}),
            storage=Rots(board),
            fetcher=Files({URI: NEW}),
        )
    assert caught.value.reason is Reason.DIGEST_MISMATCH
    assert boots_next(board.flash) == 0


def operations() -> int:
    counted = Device(NorFlash())
    counted.flash.put(0, installed(OLD, tried=True, confirmed=True))
    counted.offer(sealed(), Files({URI: NEW}))
    return len(counted.flash.log)


@pytest.mark.parametrize("second", ["empty", "confirmed", "trial failed"])
def test_power_cut_at_every_flash_operation_never_touches_the_running_image_and_a_retry_succeeds(
    second: str,
) -> None:
    content = {
        "empty": b"",
        "confirmed": installed(image("0.9.0"), tried=True, confirmed=True),
        "trial failed": installed(image("1.0.5"), tried=True),
    }[second]
    count, cuts, activated = operations(), 0, 0
    for power in range(count):
        board = Device(NorFlash())
        board.flash.put(0, installed(OLD, tried=True, confirmed=True))
        board.flash.put(1, content)
        before = board.flash.slot(0)
        board.flash.power = power
        with pytest.raises(PowerCut):
            board.offer(sealed(), Files({URI: NEW}))
        cuts += 1
        assert board.flash.slot(0) == before
        assert board.number == 1
        boots = boots_next(board.flash)
        activated += boots == 1 and content != b""
        assert boots is not None
        board.flash.power = None
        board.offer(sealed(), Files({URI: NEW}))
        assert board.number == 2
        assert board.flash.slot(0) == before
        assert boots_next(board.flash) == 1
    assert cuts == count > 20


def test_power_cut_after_the_trailer_and_before_the_commit_leaves_the_number_and_a_retry_works(
    board: Device,
) -> None:
    slots = device(board.flash)
    driver.install(
        sealed(),
        profile=PROFILE,
        installed=Installed(sequence_number=1, confirmed={COMPONENT: frozenset()}),
        storage=SlotStorage(slots),
        fetcher=Files({URI: NEW}),
    )
    assert (board.number, boots_next(board.flash)) == (1, 1)
    board.offer(sealed(), Files({URI: NEW}))
    assert (board.number, boots_next(board.flash)) == (2, 1)


def test_trial_that_was_not_confirmed_may_be_offered_again_and_the_confirmed_image_may_not(
    board: Device,
) -> None:
    board.offer(sealed(), Files({URI: NEW}))
    board.flash.put(1, installed(NEW, tried=True))
    assert boots_next(board.flash) == 0
    board.offer(sealed(), Files({URI: NEW}))
    assert boots_next(board.flash) == 1
    board.flash.put(1, installed(NEW, tried=True))
    assert device(board.flash).confirm() == 1
    with pytest.raises(Refused) as caught:
        board.offer(sealed(), Files({URI: NEW}))
    assert caught.value.reason is Reason.ROLLBACK
    assert boots_next(board.flash) == 1


def test_payload_inside_the_envelope_is_installed_and_nobody_is_asked_for_it(
    board: Device,
) -> None:
    inside = dataclasses.replace(envelopes.decode(sealed()), integrated={URI: NEW})
    board.offer(inside.encode(), Files({}))
    assert board.flash.slot(1) == installed(NEW)
    outside = Device(NorFlash())
    wrong = dataclasses.replace(inside, integrated={URI: FLIPPED})
    with pytest.raises(Refused) as caught:
        outside.offer(wrong.encode(), Files({URI: NEW}))
    assert caught.value.reason is Reason.PAYLOAD_DIGEST
    assert boots_next(outside.flash) is None


def test_manifest_that_writes_nothing_activates_nothing(board: Device) -> None:
    checks = manifests.decode(manifest(NEW)).shared_sequence[1:]
    what = unsized(NEW, sequences={ManifestKey.VALIDATE: checks})
    before = bytes(board.flash.cells)
    board.offer(what, Files({}))
    assert bytes(board.flash.cells) == before
    assert board.number == 2


def test_component_that_was_never_written_is_not_the_one_the_manifest_names(board: Device) -> None:
    match = (Plain(Command.CONDITION_IMAGE_MATCH, 15),)
    what = unsized(OLD, sequences={ManifestKey.VALIDATE: match})
    with pytest.raises(Refused) as caught:
        board.offer(what, Files({}))
    assert caught.value.reason is Reason.DIGEST_MISMATCH
    assert board.flash.log == []
    assert board.number == 1


@pytest.mark.parametrize("algorithm", DigestAlgorithm)
def test_scratch_storage_answers_the_digest_of_what_it_saw_and_of_nothing_else(
    algorithm: DigestAlgorithm,
) -> None:
    scratch = Scratch()
    assert scratch.measure(COMPONENT, algorithm).size == 0
    for _ in range(2):
        scratch.begin(COMPONENT, lambda: iter((NEW,)))
        for at in range(0, len(NEW), 77):
            scratch.append(COMPONENT, NEW[at : at + 77])
    scratch.finish((COMPONENT,))
    found = scratch.measure(COMPONENT, algorithm)
    assert (found.size, found.digest) == (len(NEW), Digest.of(NEW, algorithm))
    assert scratch.measure((b"\x07",), algorithm).digest == Digest.of(b"", algorithm)


@pytest.mark.parametrize("name", ["flipped", "longer", "shorter", "empty"])
def test_desk_check_on_scratch_storage_refuses_as_the_device_does(name: str) -> None:
    offered, source, reason = ODD[name]
    with pytest.raises(Refused) as caught:
        driver.install(
            offered,
            profile=PROFILE,
            installed=Installed(sequence_number=None, confirmed={COMPONENT: frozenset()}),
            storage=Scratch(),
            fetcher=source,
        )
    assert caught.value.reason is reason


def test_offer_repeated_with_a_bad_payload_leaves_the_update_that_waits_to_boot(
    board: Device,
) -> None:
    board.offer(sealed(), Files({URI: NEW}))
    waiting = bytes(board.flash.cells)
    board.offer(sealed(), Files({URI: b"garbage" * 400}))
    assert bytes(board.flash.cells) == waiting
    board.offer(sealed(), Files({}))
    assert bytes(board.flash.cells) == waiting


def test_equal_number_is_no_retry_where_nobody_knows_what_is_confirmed() -> None:
    unknown = Installed(sequence_number=2)
    with pytest.raises(Refused) as caught:
        driver.install(
            sealed(),
            profile=PROFILE,
            installed=unknown,
            storage=Scratch(),
            fetcher=Files({URI: NEW}),
        )
    assert caught.value.reason is Reason.ROLLBACK


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"\x00" * 900, Reason.MALFORMED),
        (image("1.1.0")[:-1] + b"\x00", None),
        (image("1.0.0", b"other"), Reason.VERSION_MISMATCH),
        (image("0.9.0"), Reason.VERSION_MISMATCH),
    ],
)
def test_image_that_would_never_boot_is_refused_before_its_trailer_and_number(
    board: Device, payload: bytes, reason: Reason | None
) -> None:
    slots = device(board.flash)
    storage = SlotStorage(slots, images=True)
    known = Installed(sequence_number=1, confirmed={COMPONENT: slots.confirmed()})

    def offer() -> driver.Evidence:
        return driver.install(
            sealed(payload),
            profile=PROFILE,
            installed=known,
            storage=storage,
            fetcher=Files({URI: payload}),
        )

    if reason is None:  # the signature is the boot stage's to check; the digest is right
        assert offer()
        assert boots_next(board.flash) == 1
        return
    with pytest.raises(Refused) as caught:
        offer()
    assert caught.value.reason is reason
    assert boots_next(board.flash) == 0


def test_slots_offer_no_command_that_reads_a_component_back(board: Device) -> None:
    storage = SlotStorage(device(board.flash))
    offered = {Command.DIRECTIVE_FETCH, Command.DIRECTIVE_WRITE}
    assert {one for one in storage.offers if one.name.startswith("DIRECTIVE")} == offered
    with pytest.raises(NotThere):
        storage.read(COMPONENT)
    with pytest.raises(NotThere):
        storage.swap(COMPONENT, COMPONENT)
