"""An envelope in plain words, command by command, with every part that was signed or severed."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

from fwseal.base.digest import Digest
from fwseal.base.errors import Refused
from fwseal.cose.algorithms import registered
from fwseal.cose.messages import decode_block
from fwseal.suit import manifest as manifests
from fwseal.suit.labels import SPEC, Command, ManifestKey, Parameter, spelled
from fwseal.suit.sequence import Override, Plain, RunSequence, SetIndex, SetParameters

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fwseal.suit.envelope import Envelope
    from fwseal.suit.manifest import Manifest
    from fwseal.suit.sequence import ParameterValue, Sequence, Step

_UUIDS = (
    Parameter.VENDOR_IDENTIFIER,
    Parameter.CLASS_IDENTIFIER,
    Parameter.DEVICE_IDENTIFIER,
)


# Text of the envelope is shown quoted: whoever wrote it does not write on the reader's terminal.
def explain(envelope: Envelope) -> str:
    """Answer the envelope in words; nothing is verified, and the text says so.

    Raises `Refused` when the manifest cannot be read.
    """
    return "\n".join(_lines(envelope, manifests.decode(envelope.manifest)))


def _lines(envelope: Envelope, manifest: Manifest) -> Iterator[str]:
    yield f"SUIT envelope ({SPEC}); signatures are shown, not verified"
    yield f"manifest digest  {envelope.digest.algorithm.name} {envelope.digest.hex()}"
    for block in envelope.blocks:
        yield f"signature        {_block(block)}"
    if not envelope.blocks:
        yield "signature        none"
    yield f"sequence number  {manifest.sequence_number}"
    for index, component in enumerate(manifest.components):
        name = "/".join(part.hex() for part in component)
        yield f"component {index}      {name}"
    if manifest.reference_uri is not None:
        yield f"reference uri    {manifest.reference_uri!r}"
    yield from _sequence("shared-sequence", manifest.shared_sequence)
    for key, sequence in manifest.sequences.items():
        if isinstance(sequence, Digest):
            there = "attached" if key in envelope.severed else "not here"
            yield f"{spelled(key)}: severed, {there}, {sequence.hex()}"
        else:
            yield from _sequence(spelled(key), sequence)
    if isinstance(manifest.text, Digest):
        there = "attached" if ManifestKey.TEXT in envelope.severed else "not here"
        yield f"text: severed, {there}, {manifest.text.hex()}"
    elif manifest.text is not None:
        yield f"text: {len(manifest.text.encode())} bytes"
    for uri, payload in envelope.integrated.items():
        yield f"integrated payload {uri!r}: {len(payload)} bytes"


def _block(data: bytes) -> str:
    try:
        block = decode_block(data)
    except Refused as error:
        return f"{error.reason.value}: {error.message}"
    kid = "none" if block.kid is None else repr(block.kid)
    return f"{block.kind.message} {registered(block.algorithm)}, kid {kid}"


def _sequence(name: str, sequence: Sequence) -> Iterator[str]:
    yield f"{name}:"
    for step in sequence:
        yield from _step(step, "  ")


def _step(step: Step, indent: str) -> Iterator[str]:
    match step:
        case Plain():
            yield f"{indent}{spelled(step.command)}"
        case SetIndex():
            shown = "all" if step.index is True else step.index
            yield f"{indent}{spelled(Command.DIRECTIVE_SET_COMPONENT_INDEX)} {shown}"
        case Override() | SetParameters():
            for parameter, value in step.parameters.items():
                yield f"{indent}{spelled(parameter)} = {_value(parameter, value)}"
        case RunSequence():
            yield f"{indent}run-sequence:"
            for inner in step.steps:
                yield from _step(inner, indent + "  ")
        case _:  # TryEach
            for number, branch in enumerate(step.branches):
                yield f"{indent}try {number}:"
                for inner in branch or ():
                    yield from _step(inner, indent + "  ")


def _value(parameter: Parameter, value: ParameterValue) -> str:
    if isinstance(value, Digest):
        return f"{value.algorithm.name} {value.hex()}"
    if isinstance(value, bytes):
        return str(uuid.UUID(bytes=value)) if parameter in _UUIDS else value.hex()
    return repr(value) if isinstance(value, str) else str(value)
