"""A manifest is typed both ways: what `decode` reads, `encode` writes to the same bytes.

draft-ietf-suit-manifest-37 8.4. The received bytes are kept by the caller and stay the identity;
this is what they mean.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import cbor2

from fwseal.base import cbor
from fwseal.base.digest import Digest, DigestAlgorithm
from fwseal.base.errors import Refused
from fwseal.base.reasons import Reason
from fwseal.suit.labels import (
    MANIFEST_VERSION,
    SEQUENCES,
    SEVERABLE,
    TAG_PEN,
    Command,
    CommonKey,
    ManifestKey,
    Parameter,
    known,
    spelled,
    unsupported,
)

if TYPE_CHECKING:
    from fwseal.base.ids import ComponentId

MAX_COMMANDS = 256
MAX_NESTING = 4
MAX_COMPONENTS = 16

ParameterValue = int | bool | bytes | str | Digest | cbor2.CBORTag
Parameters = Mapping[Parameter, ParameterValue]


@dataclasses.dataclass(frozen=True, slots=True)
class Plain:
    """A condition or directive whose argument is a reporting policy (M 8.4.7)."""

    command: Command
    policy: int


@dataclasses.dataclass(frozen=True, slots=True)
class SetIndex:
    """directive-set-component-index: an index, True for all, or several."""

    index: int | tuple[int, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class Override:
    """directive-override-parameters."""

    parameters: Parameters


@dataclasses.dataclass(frozen=True, slots=True)
class RunSequence:
    """directive-run-sequence."""

    steps: Sequence


@dataclasses.dataclass(frozen=True, slots=True)
class TryEach:
    """directive-try-each: branches in order; the last may be None, which succeeds."""

    branches: tuple[Sequence | None, ...]


Step = Plain | SetIndex | Override | RunSequence | TryEach
Sequence = tuple[Step, ...]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """One release of one device's software, as its author signed it.

    `sequences` maps each command sequence to its steps, or to a Digest where it was severed;
    `text` likewise to its CBOR bytes.
    """

    sequence_number: int
    components: tuple[ComponentId, ...]
    shared_sequence: Sequence = ()
    reference_uri: str | None = None
    sequences: Mapping[ManifestKey, Sequence | Digest]
    text: bytes | Digest | None = None

    def encode(self) -> bytes:
        """Answer the deterministic CBOR of the manifest."""
        common: dict[cbor.Key, cbor.Value] = {int(CommonKey.COMPONENTS): self.components}
        if self.shared_sequence:
            common[int(CommonKey.SHARED_SEQUENCE)] = encode_sequence(self.shared_sequence)
        body: dict[cbor.Key, cbor.Value] = {
            int(ManifestKey.VERSION): MANIFEST_VERSION,
            int(ManifestKey.SEQUENCE_NUMBER): self.sequence_number,
            int(ManifestKey.COMMON): cbor.encode(common),
        }
        if self.reference_uri is not None:
            body[int(ManifestKey.REFERENCE_URI)] = self.reference_uri
        for key, sequence in self.sequences.items():
            body[int(key)] = (
                digest_value(sequence)
                if isinstance(sequence, Digest)
                else encode_sequence(sequence)
            )
        if self.text is not None:
            body[int(ManifestKey.TEXT)] = (
                digest_value(self.text) if isinstance(self.text, Digest) else self.text
            )
        return cbor.encode(body)

    def severed(self) -> dict[ManifestKey, Digest]:
        """Answer which members a digest stands for."""
        found = {key: one for key, one in self.sequences.items() if isinstance(one, Digest)}
        if isinstance(self.text, Digest):
            found[ManifestKey.TEXT] = self.text
        return found

    def with_member(self, key: ManifestKey, content: bytes) -> Manifest:
        """Answer the manifest with a severed member read in; its digest was checked before."""
        if key is ManifestKey.TEXT:
            return dataclasses.replace(self, text=_text(content))
        sequences = {**self.sequences, key: decode_sequence(content, components=self.components)}
        return dataclasses.replace(self, sequences=sequences)

    def steps(self) -> tuple[Step, ...]:
        """Answer every step of every sequence that is here, nested ones included."""
        found: list[Step] = []
        pending: list[Sequence] = [self.shared_sequence]
        pending += [one for one in self.sequences.values() if isinstance(one, tuple)]
        while pending:
            for step in pending.pop():
                found.append(step)
                pending += nested(step)
        return tuple(found)


def nested(step: Step) -> tuple[Sequence, ...]:
    """Answer the sequences that stand inside a step."""
    if isinstance(step, RunSequence):
        return (step.steps,)
    if isinstance(step, TryEach):
        return tuple(branch for branch in step.branches if branch is not None)
    return ()


def decode(data: bytes) -> Manifest:
    """Answer what the manifest's bytes say.

    Raises `Refused`: malformed, not-deterministic, limit-exceeded, unsupported.
    """
    body = _map(cbor.decode(data), "the manifest")
    keys = {known(ManifestKey, key, what="manifest element"): key for key in body}
    for required in (ManifestKey.VERSION, ManifestKey.SEQUENCE_NUMBER, ManifestKey.COMMON):
        if required not in keys:
            raise Refused(Reason.MALFORMED, f"{spelled(required)} is missing")
    if body[ManifestKey.VERSION] != MANIFEST_VERSION or body[ManifestKey.VERSION] is True:
        # SUIT manifest-37 8.4.1: a recipient refuses a version it does not know.
        raise Refused(
            Reason.UNSUPPORTED, f"manifest version {body[ManifestKey.VERSION]!r} is not 1"
        )
    components, shared = _common(_bytes(body[ManifestKey.COMMON], "common"))
    sequences: dict[ManifestKey, Sequence | Digest] = {}
    text: bytes | Digest | None = None
    for key in keys:
        value = body[key]
        if key in SEQUENCES:
            sequences[key] = (
                _digest(value) if isinstance(value, tuple) and key in SEVERABLE
                else _placed(spelled(key), _bytes(value, spelled(key)), components)
            )  # fmt: skip
        elif key is ManifestKey.TEXT:
            text = _digest(value) if isinstance(value, tuple) else _text(_bytes(value, "text"))
        elif key not in _HEAD:
            raise unsupported(key, what="manifest element")
    uri = body.get(ManifestKey.REFERENCE_URI)
    return Manifest(
        sequence_number=_uint(body[ManifestKey.SEQUENCE_NUMBER], "sequence number"),
        components=components,
        shared_sequence=shared,
        reference_uri=None if uri is None else _text_string(uri),
        sequences=sequences,
        text=text,
    )


_HEAD = (
    ManifestKey.VERSION,
    ManifestKey.SEQUENCE_NUMBER,
    ManifestKey.COMMON,
    ManifestKey.REFERENCE_URI,
)


def _placed(where: str, data: bytes, components: tuple[ComponentId, ...]) -> Sequence:
    try:
        return decode_sequence(data, components=components)
    except Refused as error:
        raise error.at(where) from None


def _common(data: bytes) -> tuple[tuple[ComponentId, ...], Sequence]:
    body = _map(cbor.decode(data), "common")
    for key in body:
        label = known(CommonKey, key, what="common element")
        if label is CommonKey.DEPENDENCIES:
            raise unsupported(label, what="common element")
    components = _components(body.get(CommonKey.COMPONENTS))
    shared: Sequence = ()
    if CommonKey.SHARED_SEQUENCE in body:
        content = _bytes(body[CommonKey.SHARED_SEQUENCE], "shared-sequence")
        shared = _placed("common/shared-sequence", content, components)
        _shared_only(shared)
    return components, shared


def _components(value: object) -> tuple[ComponentId, ...]:
    if not isinstance(value, tuple) or not value:
        raise Refused(Reason.MALFORMED, "components is an array of one or more")
    if len(value) > MAX_COMPONENTS:
        raise Refused(Reason.LIMIT_EXCEEDED, f"more than {MAX_COMPONENTS} components")
    for component in value:
        if not isinstance(component, tuple) or not all(type(p) is bytes for p in component):
            raise Refused(Reason.MALFORMED, "a component identifier is an array of byte strings")
    if len(set(value)) != len(value):
        raise Refused(Reason.MALFORMED, "a component is listed twice")
    return value


def _shared_only(sequence: Sequence) -> None:
    # SUIT manifest-37 6.2: a shared sequence holds conditions and four directives, nothing else.
    for step in sequence:
        if isinstance(step, Plain) and step.command.name.startswith("DIRECTIVE"):
            raise Refused(
                Reason.MALFORMED, f"{spelled(step.command)} may not stand in a shared sequence"
            )
        for inner in nested(step):
            _shared_only(inner)


def decode_sequence(
    data: bytes, *, components: tuple[ComponentId, ...], nesting: int = 0
) -> Sequence:
    """Answer the steps of a command sequence; raises `Refused` with the index of the command."""
    if nesting > MAX_NESTING:
        raise Refused(Reason.LIMIT_EXCEEDED, f"sequences nested deeper than {MAX_NESTING}")
    items = cbor.decode(data, tags=frozenset({TAG_PEN}))
    if not isinstance(items, tuple) or not items or len(items) % 2:
        raise Refused(Reason.MALFORMED, "a command sequence is an array of pairs")
    if len(items) > 2 * MAX_COMMANDS:
        raise Refused(Reason.LIMIT_EXCEEDED, f"more than {MAX_COMMANDS} commands in a sequence")
    steps: list[Step] = []
    for index in range(0, len(items), 2):
        try:
            command = known(Command, items[index], what="command")
            steps.append(_step(command, items[index + 1], components, nesting))
        except Refused as error:
            raise error.at(f"[{index // 2}]") from None
    return tuple(steps)


def _step(
    command: Command, value: cbor.Value, components: tuple[ComponentId, ...], nesting: int
) -> Step:
    def inner(data: object) -> Sequence:
        content = _bytes(data, "a nested sequence")
        return decode_sequence(content, components=components, nesting=nesting + 1)

    if command in _POLICY_COMMANDS:
        return Plain(command, _uint(value, "a reporting policy"))
    if command is Command.DIRECTIVE_SET_COMPONENT_INDEX:
        return SetIndex(_index(value, len(components)))
    if command is Command.DIRECTIVE_OVERRIDE_PARAMETERS:
        return Override(_parameters(value))
    if command is Command.DIRECTIVE_RUN_SEQUENCE:
        return RunSequence(inner(value))
    if command is Command.DIRECTIVE_TRY_EACH:
        # SUIT manifest-37 8.4.10.2: two or more, and nil only as the last.
        if not isinstance(value, tuple) or len(value) < 2 or None in value[:-1]:
            raise Refused(Reason.MALFORMED, "try-each holds two or more sequences, nil only last")
        return TryEach(tuple(None if branch is None else inner(branch) for branch in value))
    raise unsupported(command, what="command")


_POLICY_COMMANDS = frozenset({
    Command.CONDITION_VENDOR_IDENTIFIER, Command.CONDITION_CLASS_IDENTIFIER,
    Command.CONDITION_DEVICE_IDENTIFIER, Command.CONDITION_IMAGE_MATCH,
    Command.CONDITION_COMPONENT_SLOT, Command.CONDITION_CHECK_CONTENT, Command.CONDITION_ABORT,
    Command.DIRECTIVE_FETCH, Command.DIRECTIVE_COPY, Command.DIRECTIVE_WRITE,
    Command.DIRECTIVE_SWAP, Command.DIRECTIVE_INVOKE,
})  # fmt: skip


def encode_sequence(sequence: Sequence) -> bytes:
    """Answer the CBOR of a command sequence."""
    items: list[cbor.Value] = []
    for step in sequence:
        items += _pair(step)
    return cbor.encode(tuple(items))


def _pair(step: Step) -> tuple[int, cbor.Value]:
    match step:
        case Plain():
            return int(step.command), step.policy
        case SetIndex():
            return int(Command.DIRECTIVE_SET_COMPONENT_INDEX), step.index
        case Override():
            return int(Command.DIRECTIVE_OVERRIDE_PARAMETERS), {
                int(key): _parameter_value(value) for key, value in step.parameters.items()
            }
        case RunSequence():
            return int(Command.DIRECTIVE_RUN_SEQUENCE), encode_sequence(step.steps)
        case TryEach():
            return int(Command.DIRECTIVE_TRY_EACH), tuple(
                None if branch is None else encode_sequence(branch) for branch in step.branches
            )


def _parameter_value(value: ParameterValue) -> cbor.Value:
    return encode_digest(value) if isinstance(value, Digest) else value


def _index(value: cbor.Value, components: int) -> int | tuple[int, ...]:
    if value is True:
        return True
    found: list[int] = []
    for one in value if isinstance(value, tuple) else (value,):
        if type(one) is not int:
            raise Refused(Reason.MALFORMED, "a component index is an integer, true or an array")
        if not 0 <= one < components:
            raise Refused(Reason.WRONG_COMPONENT, f"component index {one} names no component")
        found.append(one)
    if not found:
        raise Refused(Reason.MALFORMED, "an empty list of component indices")
    return tuple(found) if isinstance(value, tuple) else found[0]


def _parameters(value: object) -> Parameters:
    body = _map(value, "the parameters")
    if not body:
        raise Refused(Reason.MALFORMED, "override-parameters sets nothing")
    found: dict[Parameter, ParameterValue] = {}
    for key, content in body.items():
        parameter = known(Parameter, key, what="parameter")
        read = PARAMETERS.get(parameter)
        if read is None:
            raise unsupported(parameter, what="parameter")
        found[parameter] = read(content, spelled(parameter))
    return found


def _identifier(value: object, what: str) -> bytes | cbor2.CBORTag:
    # SUIT manifest-37 8.4.8.2: a UUID of 16 bytes, or a private enterprise number under tag 112.
    if isinstance(value, cbor2.CBORTag) and isinstance(value.value, bytes):
        return value
    return _uuid(value, what)


def _uuid(value: object, what: str) -> bytes:
    content = _bytes(value, what)
    if len(content) != 16:
        raise Refused(Reason.MALFORMED, f"{what} is a UUID of 16 bytes")
    return content


def _bool(value: object, what: str) -> bool:
    if type(value) is not bool:
        raise Refused(Reason.MALFORMED, f"{what} is true or false")
    return value


def _uint(value: object, what: str) -> int:
    if type(value) is not int or value < 0:
        raise Refused(Reason.MALFORMED, f"{what} is an unsigned integer")
    return value


def _bytes(value: object, what: str) -> bytes:
    if not isinstance(value, bytes):
        raise Refused(Reason.MALFORMED, f"{what} is a byte string")
    return value


def _text_string(value: object, what: str = "a URI") -> str:
    if not isinstance(value, str):
        raise Refused(Reason.MALFORMED, f"{what} is a text string")
    return value


def _map(value: object, what: str) -> Mapping[cbor.Key, cbor.Value]:
    if not isinstance(value, Mapping):
        raise Refused(Reason.MALFORMED, f"{what} is not a map")
    return value


def _text(data: bytes) -> bytes:
    _map(cbor.decode(data), "text")
    return data


def _digest(value: object) -> Digest:
    """Answer a SUIT_Digest (SUIT manifest-37 10)."""
    if not isinstance(value, tuple) or len(value) != 2:
        raise Refused(Reason.MALFORMED, "a digest is an array of two")
    number, content = value
    try:
        chosen = DigestAlgorithm(number)
    except ValueError:
        raise Refused(
            Reason.UNSUPPORTED_ALGORITHM, f"digest algorithm {number!r} is not supported"
        ) from None
    if len(_bytes(content, "digest bytes")) != chosen.size:
        raise Refused(Reason.MALFORMED, f"{len(content)} bytes of digest, {chosen.size} expected")
    return Digest(algorithm=chosen, value=content)


def digest_value(digest: Digest) -> cbor.Value:
    """Answer a SUIT_Digest as a CBOR value."""
    return (int(digest.algorithm), digest.value)


def decode_digest(data: bytes) -> Digest:
    """Answer the SUIT_Digest that a byte string holds; raises `Refused`."""
    return _digest(cbor.decode(data))


def encode_digest(digest: Digest) -> bytes:
    """Answer the CBOR of a SUIT_Digest."""
    return cbor.encode(digest_value(digest))


def _digest_parameter(value: object, what: str) -> Digest:
    return decode_digest(_bytes(value, what))


PARAMETERS: Mapping[Parameter, Callable[[object, str], ParameterValue]] = {
    Parameter.VENDOR_IDENTIFIER: _identifier,
    Parameter.CLASS_IDENTIFIER: _uuid,
    Parameter.DEVICE_IDENTIFIER: _uuid,
    Parameter.IMAGE_DIGEST: _digest_parameter,
    Parameter.IMAGE_SIZE: _uint,
    Parameter.COMPONENT_SLOT: _uint,
    Parameter.SOURCE_COMPONENT: _uint,
    Parameter.STRICT_ORDER: _bool,
    Parameter.SOFT_FAILURE: _bool,
    Parameter.CONTENT: _bytes,
    Parameter.INVOKE_ARGS: _bytes,
    Parameter.FETCH_ARGUMENTS: _bytes,
    Parameter.URI: _text_string,
}
"""How each parameter that this version knows is read; the rest is refused by name."""
