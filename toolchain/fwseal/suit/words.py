"""What a manifest says, in sentences: each command under its own name, with what it is about.

Whoever wrote the manifest does not write on the reader's terminal: text is quoted and escaped.
"""

from __future__ import annotations

import textwrap
import uuid
from typing import TYPE_CHECKING

import cbor2

from fwseal.base.digest import Digest
from fwseal.suit.labels import Command, ManifestKey, Parameter, spelled
from fwseal.suit.sequence import Override, Plain, RunSequence, SetIndex, SetParameters

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from fwseal.base.ids import ComponentId
    from fwseal.cose.encryption import Encrypt
    from fwseal.suit.manifest import Manifest
    from fwseal.suit.sequence import Parameters, Sequence, Step
    from fwseal.suit.text import Text

WIDTH = 76
"""Of a line, where its words can be parted: 80 columns hold it two envelopes deep."""
SHOWN = 64
"""Longer byte strings are named by their digest."""
ORDER = (
    ManifestKey.DEPENDENCY_RESOLUTION, ManifestKey.PAYLOAD_FETCH,
    ManifestKey.CANDIDATE_VERIFICATION, ManifestKey.INSTALL,
    ManifestKey.VALIDATE, ManifestKey.LOAD, ManifestKey.INVOKE,
)  # fmt: skip
"""Sequences as a device carries them out: the update, then the start."""

SENTENCES: Mapping[Command, str] = {
    Command.CONDITION_VENDOR_IDENTIFIER: "must be the device's",
    Command.CONDITION_CLASS_IDENTIFIER: "must be the device's",
    Command.CONDITION_DEVICE_IDENTIFIER: "must be the device's",
    Command.CONDITION_IMAGE_MATCH: "must have the digest and size",
    Command.CONDITION_COMPONENT_SLOT: "must be the slot named",
    Command.CONDITION_CHECK_CONTENT: "must hold the content named",
    Command.CONDITION_ABORT: "fail, always",
    Command.CONDITION_DEPENDENCY_INTEGRITY: "must be the one named",
    Command.CONDITION_IS_DEPENDENCY: "must be a dependency",
    Command.DIRECTIVE_PROCESS_DEPENDENCY: "carry out its manifest",
    Command.DIRECTIVE_FETCH: "fetch what the uri names",
    Command.DIRECTIVE_COPY: "copy source-component here",
    Command.DIRECTIVE_WRITE: "write the content here",
    Command.DIRECTIVE_SWAP: "exchange with source-component",
    Command.DIRECTIVE_INVOKE: "start it",
}
"""What each command with a reporting policy asks of the component that is current, or does."""

_UUIDS = (
    Parameter.VENDOR_IDENTIFIER,
    Parameter.CLASS_IDENTIFIER,
    Parameter.DEVICE_IDENTIFIER,
)
_KIB, _UNITS = 1024, ("KiB", "MiB", "GiB", "TiB", "PiB", "EiB")


def escaped(text: str) -> str:
    """Answer text of unknown origin, or a message that quotes it, as one line of print."""
    return "".join(
        one if one.isprintable() else one.encode("unicode_escape").decode() for one in text
    )


def plural(count: int, what: str) -> str:
    """Answer a count of things."""
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def size(count: int) -> str:
    """Answer a number of bytes, with its unit and, from 1 KiB on, in a larger one."""
    scaled, unit = float(count), ""
    for larger in _UNITS:
        if scaled < _KIB:
            break
        scaled, unit = scaled / _KIB, larger
    return plural(count, "byte") + (f" ({scaled:.1f} {unit})" if unit else "")


def component_name(component: ComponentId) -> str:
    """Answer a component identifier in hex, its parts parted by slashes."""
    return "/".join(part.hex() or "''" for part in component) or "()"


def folded(text: str, indent: str = "") -> Iterator[str]:
    """Answer a sentence of ours in lines."""
    yield from textwrap.wrap(
        text,
        width=max(WIDTH, len(indent) + WIDTH // 2),
        initial_indent=indent,
        subsequent_indent=indent + "  ",
        break_long_words=False,
        break_on_hyphens=False,
    )


def titled(title: str, value: str, indent: str = "") -> Iterator[str]:
    """Answer a value behind its title, or below it where both do not fit."""
    line = f"{indent}{title} {value}"
    if len(line) <= WIDTH:
        yield line
    else:
        yield f"{indent}{title}"
        yield f"{indent}  {value}"


def digest_words(digest: Digest) -> str:
    """Answer a digest behind the name of its algorithm."""
    return f"{spelled(digest.algorithm)} {digest.hex()}"


def head(manifest: Manifest) -> Iterator[str]:
    """Answer what stands in front of the sequences: number, components, dependencies."""
    yield f"sequence number   {manifest.sequence_number}"
    for index, component in enumerate(manifest.components):
        yield f"component {index:<8}{component_name(component)}"
    for index, prefix in manifest.dependencies.items():
        where = f"in {place(index, manifest)}" if index < len(manifest.components) else "elsewhere"
        about = "no prefix" if prefix is None else f"prefix {component_name(prefix)}"
        yield from folded(f"dependency {index:<7}its manifest {where}, {about}")
    if manifest.component_id is not None:
        yield f"component-id      {component_name(manifest.component_id)}, where this is kept"
    if manifest.reference_uri is not None:
        yield from titled("reference-uri    ", ascii(manifest.reference_uri))


def place(index: int, manifest: Manifest) -> str:
    """Answer the component or dependency of an index, by number and identifier."""
    if index < len(manifest.components):
        return f"component {index} ({component_name(manifest.components[index])})"
    return f"dependency {index} ({component_name(manifest.dependencies[index] or ())})"


def section(title: str, sequence: Sequence, manifest: Manifest) -> Iterator[str]:
    """Answer a sequence of the manifest; commands are numbered as refusals place them."""
    single = not isinstance(sequence[0], SetIndex)
    yield f"{title}, on {place(0, manifest)}:" if single else f"{title}:"
    yield from _steps(sequence, manifest, "  ")


def _steps(sequence: Sequence, manifest: Manifest, indent: str) -> Iterator[str]:
    for number, step in enumerate(sequence):
        yield from _step(step, f"{indent}[{number}] ", manifest)


def _step(step: Step, lead: str, manifest: Manifest) -> Iterator[str]:
    indent = " " * len(lead)
    match step:
        case Plain():
            name = spelled(step.command)
            text = f"{name}: {SENTENCES[step.command]}; policy {step.policy}"
            yield from _led(lead, folded(text, indent))
        case SetIndex():
            name = spelled(Command.DIRECTIVE_SET_COMPONENT_INDEX)
            yield from _led(lead, folded(f"{name}: {_about(step, manifest)}", indent))
        case Override():
            yield f"{lead}{spelled(Command.DIRECTIVE_OVERRIDE_PARAMETERS)}:"
            yield from _parameters(step.parameters, manifest, indent)
        case SetParameters():
            yield f"{lead}{spelled(Command.DIRECTIVE_SET_PARAMETERS)}, each where it is not set:"
            yield from _parameters(step.parameters, manifest, indent)
        case RunSequence():
            yield f"{lead}{spelled(Command.DIRECTIVE_RUN_SEQUENCE)}:"
            yield from _steps(step.steps, manifest, indent)
        case _:  # TryEach
            yield f"{lead}{spelled(Command.DIRECTIVE_TRY_EACH)}, until one succeeds:"
            for number, branch in enumerate(step.branches):
                yield f"{indent}try {number}:" + ("" if branch else " nothing, which succeeds")
                yield from _steps(branch or (), manifest, indent + "  ")


def _led(lead: str, made: Iterator[str]) -> Iterator[str]:
    first, *rest = made
    yield lead + first[len(lead) :]
    yield from rest


def _about(step: SetIndex, manifest: Manifest) -> str:
    if step.index is True:
        return "all components in turn"
    indices = step.index if isinstance(step.index, tuple) else (step.index,)
    return ", then ".join(place(index, manifest) for index in indices)


def _parameters(parameters: Parameters, manifest: Manifest, indent: str) -> Iterator[str]:
    for parameter, value in parameters.items():
        title = f"{spelled(parameter)} ="
        if isinstance(value, Digest | int | bytes | str | cbor2.CBORTag):
            yield from titled(title, _value(parameter, value, manifest), indent)
        else:
            yield from _encryption(title, value, indent)


def _value(
    parameter: Parameter, value: Digest | int | bytes | str | cbor2.CBORTag, manifest: Manifest
) -> str:
    if isinstance(value, Digest):
        return digest_words(value)
    if isinstance(value, str):
        return ascii(value)
    if isinstance(value, bytes):
        return str(uuid.UUID(bytes=value)) if parameter in _UUIDS else _bytes(value)
    if isinstance(value, cbor2.CBORTag):
        return f"private enterprise number, {_bytes(value.value)}"
    if isinstance(value, bool):
        return "true" if value else "false"
    if parameter is Parameter.SOURCE_COMPONENT:
        return place(value, manifest)
    return size(value) if parameter is Parameter.IMAGE_SIZE else str(value)


def _bytes(value: bytes) -> str:
    if len(value) > SHOWN:
        return f"{size(len(value))}, {digest_words(Digest.of(value))}"
    return f"{size(len(value))}, h'{value.hex()}'"


def _encryption(title: str, info: Encrypt, indent: str) -> Iterator[str]:
    count = plural(len(info.recipients), "recipient")
    yield f"{indent}{title} COSE_Encrypt, {info.algorithm.name}, for {count}"
    for number, recipient in enumerate(info.recipients):
        kid = "no kid" if recipient.kid is None else f"kid {recipient.kid!a}"
        yield f"{indent}  recipient {number}: {recipient.algorithm.registered}, {kid}"


def text_words(text: Text) -> Iterator[str]:
    """Answer what is said to people, quoted; print of any script stays as it is."""
    for language, said in text.languages.items():
        yield f"  in {language}:"
        for key, value in said.manifest.items():
            yield from titled(f"{spelled(key)} =", repr(value), "    ")
        for component, entries in said.components.items():
            yield f"    of {component_name(component)}:"
            for label, value in entries.items():
                yield from titled(f"{spelled(label)} =", repr(value), "      ")
