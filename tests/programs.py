"""Manifests as programs for the pure machine, and a world in memory that carries effects out."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from flashes import Files
from fwseal.base.digest import Digest
from fwseal.base.errors import Refused
from fwseal.device import admission, driver, processor
from fwseal.device.admission import Installed
from fwseal.device.effects import Done, Finish, Invoke
from fwseal.device.machine import Applicable, Procedure
from fwseal.device.profile import Component
from fwseal.signing.sign import signed
from fwseal.suit import envelope as envelopes
from fwseal.suit import manifest as manifests
from fwseal.suit.authenticate import Authenticated
from fwseal.suit.labels import Command, ManifestKey, Parameter
from fwseal.suit.manifest import Manifest
from fwseal.suit.sequence import Override, Plain
from shelves import Shelves
from workshop import CLASS, COMPONENT, PAYLOAD, VENDOR, anchor, profile, signer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fwseal.base.ids import ComponentId
    from fwseal.base.reasons import Reason
    from fwseal.device.effects import Effect
    from fwseal.device.profile import DeviceProfile
    from fwseal.device.storage import Storage
    from fwseal.signing.softkey import SoftKey
    from fwseal.suit.authenticate import Anchor
    from fwseal.suit.sequence import ParameterValue, Sequence

DIGEST = Digest.of(PAYLOAD)
OTHER = Digest.of(b"other")
FRESH = Installed(sequence_number=None)
A, B, C = COMPONENT, (b"\x01",), (b"\x02",)
M, N = (b"\x0a",), (b"\x0b",)
"""A, B and C hold payloads; M and N the manifests of dependencies."""

KEY = signer("release")
DEPENDENCY_KEY = signer("radio")

VENDOR_OK = Plain(Command.CONDITION_VENDOR_IDENTIFIER, 15)
CLASS_OK = Plain(Command.CONDITION_CLASS_IDENTIFIER, 15)
DEVICE_OK = Plain(Command.CONDITION_DEVICE_IDENTIFIER, 15)
MATCH = Plain(Command.CONDITION_IMAGE_MATCH, 15)
CONTENT_OK = Plain(Command.CONDITION_CHECK_CONTENT, 15)
SLOT_OK = Plain(Command.CONDITION_COMPONENT_SLOT, 15)
ABORT = Plain(Command.CONDITION_ABORT, 0)
IS_DEPENDENCY = Plain(Command.CONDITION_IS_DEPENDENCY, 15)
INTEGRITY = Plain(Command.CONDITION_DEPENDENCY_INTEGRITY, 15)
PROCESS = Plain(Command.DIRECTIVE_PROCESS_DEPENDENCY, 0)
FETCH = Plain(Command.DIRECTIVE_FETCH, 2)
COPY = Plain(Command.DIRECTIVE_COPY, 2)
SWAP = Plain(Command.DIRECTIVE_SWAP, 2)
WRITE = Plain(Command.DIRECTIVE_WRITE, 2)
INVOKE = Plain(Command.DIRECTIVE_INVOKE, 2)
SOFT = Override({Parameter.SOFT_FAILURE: True})
HARD = Override({Parameter.SOFT_FAILURE: False})
UNORDERED = Override({Parameter.STRICT_ORDER: False})
ORDERED = Override({Parameter.STRICT_ORDER: True})

IDENTITY: dict[Parameter, ParameterValue] = {
    Parameter.VENDOR_IDENTIFIER: VENDOR.bytes,
    Parameter.CLASS_IDENTIFIER: CLASS.bytes,
}
IMAGE: dict[Parameter, ParameterValue] = {
    Parameter.IMAGE_DIGEST: DIGEST,
    Parameter.IMAGE_SIZE: len(PAYLOAD),
}
SHARED: Sequence = (Override({**IDENTITY, **IMAGE}), VENDOR_OK, CLASS_OK)
INSTALL: Sequence = (Override({Parameter.URI: "app.bin"}), FETCH, MATCH)


def put(**values: ParameterValue) -> Override:
    """Answer override-parameters; names as in the registry, without their kind."""
    return Override({Parameter[name.upper()]: value for name, value in values.items()})


def image(content: bytes) -> Override:
    """Answer override-parameters of an image's digest and size."""
    return put(image_digest=Digest.of(content), image_size=len(content))


def manifest(
    *,
    shared: Sequence = SHARED,
    install: Sequence | Digest | None = INSTALL,
    validate: Sequence | None = (MATCH,),
    number: int = 2,
    **changes: Any,  # noqa: ANN401 - as Manifest has them
) -> Manifest:
    """Answer a manifest of these sequences; it survives its own encoding."""
    sequences: dict[ManifestKey, Sequence | Digest] = {}
    if validate is not None:
        sequences[ManifestKey.VALIDATE] = validate
    if install is not None:
        sequences[ManifestKey.INSTALL] = install
    sequences.update(changes.pop("sequences", {}))
    made = Manifest(
        sequence_number=number,
        components=changes.pop("components", (COMPONENT,)),
        shared_sequence=shared,
        sequences=sequences,
        **changes,
    )
    assert manifests.decode(made.encode()) == made
    return made


def board(*anchors: Anchor, **changes: object) -> DeviceProfile:
    """Answer a device of three payload components and two for manifests."""
    trusted = anchors or (anchor(KEY), anchor(DEPENDENCY_KEY, "dependency"))
    names = {name: Component() for name in (A, B, C, M, N)}
    return profile(*trusted, **{"components": names, **changes})


def sealed(what: Manifest, *keys: SoftKey, **members: object) -> bytes:
    """Answer the envelope of a manifest, signed by these keys; `KEY` where none is named."""
    bare = envelopes.seal(what.encode())
    return signed(dataclasses.replace(bare, **members), *(keys or (KEY,))).encode()


def digest_of(envelope: bytes) -> Digest:
    """Answer the digest by which a dependent names the manifest of an envelope."""
    return envelopes.decode(envelope).digest


def admitted(
    what: Manifest,
    device: DeviceProfile | None = None,
    installed: Installed = FRESH,
    *,
    integrated: Mapping[str, bytes] | None = None,
    anchors: tuple[Anchor, ...] = (),
) -> Applicable:
    """Answer the manifest as one this device may carry out."""
    authentic = Authenticated(
        manifest=what, digest=DIGEST, anchors=anchors, integrated=integrated or {}
    )
    return admission.applicable(authentic, profile=device or profile(), installed=installed)


@dataclasses.dataclass(kw_only=True)
class Outcome:
    """What became of a manifest: every effect, and what ended it; None: it was finished."""

    effects: list[Effect]
    reason: Reason | None
    where: str
    shelves: Storage

    @property
    def kept(self) -> dict[ComponentId, bytes]:
        """Answer what the components hold in the end."""
        assert isinstance(self.shelves, Shelves)
        return self.shelves.kept

    @property
    def kinds(self) -> str:
        """Answer the effects by their initials; F is Fetch and . is Finish."""
        return "".join(
            "." if isinstance(one, Finish) else type(one).__name__[0] for one in self.effects
        )

    @property
    def finish(self) -> Finish:
        """Answer the end of a manifest that was accepted."""
        found = self.effects[-1]
        assert isinstance(found, Finish)
        return found


def run(
    what: Applicable | Manifest,
    files: Mapping[str, bytes] | None = None,
    *,
    kept: Mapping[ComponentId, bytes] | None = None,
    procedure: Procedure = Procedure.UPDATE,
    shelves: Storage | None = None,
) -> Outcome:
    """Answer what becomes of a manifest on a device with these files in reach.

    What is refused never reaches Finish: asserted here for every test.
    """
    effects: list[Effect] = []
    shelves = shelves or Shelves(kept)
    reason, where = None, ""
    source = Files({"app.bin": PAYLOAD} if files is None else files)
    try:
        ready = what if isinstance(what, Applicable) else admitted(what, board())
        state, effect = processor.start(ready, procedure)
        while True:
            effects.append(effect)
            if isinstance(effect, Finish):
                break
            event = (
                Done()
                if isinstance(effect, Invoke)
                else driver.carried_out(effect, ready, shelves, source)
            )
            state, effect = processor.step(state, event)
    except Refused as error:
        reason, where = error.reason, error.where
    finished = [effect for effect in effects if isinstance(effect, Finish)]
    assert len(finished) == (reason is None)
    return Outcome(effects=effects, reason=reason, where=where, shelves=shelves)
