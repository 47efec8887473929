"""A recipe says what to build, ship and sign, and for which device; to us it is data."""

from __future__ import annotations

import dataclasses
import re
from typing import TYPE_CHECKING

from fwseal.base.errors import Misuse
from fwseal.base.ids import ComponentId, PayloadFormat, plain_name
from fwseal.build import lock
from fwseal.suit import author

if TYPE_CHECKING:
    from fwseal.base.tables import Table

RESERVED = ("version", "build-id", "cc")
"""Placeholders that the build fills in; no parameter may take their names."""

_PLACEHOLDER = re.compile(r"\{([a-z][a-z0-9-]*)\}")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Archive:
    """A source archive by name and SHA-256: a file beside the recipe, or an address.

    `into` is the folder of the source it is laid out in, empty for its top.
    """

    place: str
    sha256: str
    into: str = ""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """What is built: paths of a commit of the repository the recipe lives in, and archives.

    `commit` is empty where archives alone are built.
    """

    commit: str
    paths: tuple[str, ...]
    archives: tuple[Archive, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Supplier:
    """Who answers for the product, as the SBOM names them; empty where the recipe does not.

    `contact` is an address of mail or of a page, `license` an SPDX expression.
    """

    name: str
    contact: str
    license: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Toolchain:
    """Who compiles: a program by name, in the system or in a declared folder.

    `lock` is the file of digests, a path relative to the recipe; `host` are the programs of the
    building machine that a recipe declares by name alone.
    """

    compiler: str
    folder: str
    lock: str
    host: tuple[str, ...]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Recipient:
    """Whom a payload is encrypted for; `key` is a file's path, relative to the recipe."""

    kid: str
    key: str
    algorithm: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class PayloadSpec:
    """One file to ship; `load_address` is None where the device's layout says it.

    `encryption` is the registry's name of the content algorithm, empty where all may read it.
    """

    file: str
    uri: str
    component: ComponentId
    format: PayloadFormat
    load_address: int | None
    encryption: str = ""
    recipients: tuple[Recipient, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """A whole recipe; `device` is a profile's path in the project."""

    name: str
    line: str
    version: str
    sequence_number: int
    device: str
    supplier: Supplier
    source: Source
    toolchain: Toolchain
    commands: tuple[tuple[str, ...], ...]
    outputs: tuple[str, ...]
    parameters: dict[str, str]
    payloads: tuple[PayloadSpec, ...]
    manifest: author.Spec | None


def recipe(table: Table) -> Recipe:
    """Answer the recipe of a parsed file; raises `Misuse`, also for any key it does not know."""
    product, source = table.table("product"), table.table("source")
    toolchain, build = table.table("toolchain"), table.table("build")
    number = product.uint("sequence-number")
    payloads = tuple(_payload(entry, number) for entry in table.tables("payload", optional=True))
    built = Recipe(
        name=plain_name(product.take("name", str), what="product name"),
        line=plain_name(product.take("line", str), what="product line"),
        version=product.take("version", str),
        sequence_number=number,
        device=product.take("device", str),
        supplier=Supplier(
            name=product.take("supplier", str, ""),
            contact=product.take("contact", str, ""),
            license=product.take("license", str, ""),
        ),
        source=_source(source),
        toolchain=_toolchain(toolchain),
        commands=_commands(build),
        outputs=build.strings("outputs"),
        parameters=_parameters(table.table("parameters", optional=True)),
        payloads=payloads,
        manifest=_manifest(table, payloads, number),
    )
    for part in (product, source, toolchain, build, table):
        part.done()
    produced = [f"{_stem(output, build)}.bin" for output in built.outputs]
    if not produced or len(set(produced)) != len(produced):
        raise build.misuse(
            "outputs must name one file or more, each name once",
            hint="two files of one name would overwrite each other in the release",
        )
    dependencies = built.manifest.dependencies if built.manifest else ()
    files = [one.file for one in payloads] + [one.file for one in dependencies]
    uris = [one.uri for one in payloads] + [one.uri for one in dependencies]
    for names in (files, uris):
        if len(set(names)) != len(names):
            raise table.misuse("two payloads have one file or one uri", hint="name each once")
    for payload in built.payloads:
        if payload.file not in produced:
            raise table.misuse(
                f"payload {payload.file} comes from no output",
                hint="an output NAME.elf gives the payload NAME.bin",
            )
    return built


def _manifest(table: Table, payloads: tuple[PayloadSpec, ...], number: int) -> author.Spec | None:
    dependencies = author.dependencies(table.tables("dependency", optional=True), number)
    if not table.has("manifest"):
        if dependencies:
            raise table.misuse("a dependency is for a recipe with a manifest")
        return None
    return author.spec(
        table.table("manifest"),
        payloads=frozenset(one.file for one in payloads),
        encrypted=frozenset(one.file for one in payloads if one.encryption),
        dependencies=dependencies,
    )


def _toolchain(table: Table) -> Toolchain:
    found = Toolchain(
        compiler=table.take("compiler", str),
        folder=table.take("folder", str, ""),
        lock=table.take("lock", str, lock.FILE),
        host=table.strings("host", ()),
    )
    if found.folder:
        _inside(found.compiler, table)
    else:
        plain_name(found.compiler, what="compiler")
    for name in (*found.host, found.lock.rpartition("/")[2]):
        plain_name(name.replace("+", ""), what="program" if name in found.host else "lock")
    return found


def _source(table: Table) -> Source:
    archives = tuple(_archive(entry) for entry in table.tables("archive", optional=True))
    found = Source(
        commit=table.take("commit", str, "" if archives else None),
        paths=table.strings("paths", () if archives and not table.has("commit") else None),
        archives=archives,
    )
    if found.commit and not re.fullmatch(r"HEAD|[0-9a-f]{40}|[0-9a-f]{64}", found.commit):
        raise table.misuse("commit must be HEAD or a whole commit id in lower-case hex")
    if bool(found.commit) is not bool(found.paths):
        raise table.misuse("paths must name what is built", hint='paths = ["."] is all of it')
    for path in found.paths:
        _inside(path, table)
    return found


def _archive(entry: Table) -> Archive:
    local = entry.has("file")
    found = Archive(
        place=entry.take("file" if local else "url", str),
        sha256=entry.take("sha256", str),
        into=entry.take("into", str, ""),
    )
    entry.done()
    if found.place.startswith(("https://", "http://")) is local:
        raise entry.misuse("file is a path from the recipe's folder, url begins with https://")
    if not re.fullmatch(r"[0-9a-f]{64}", found.sha256):
        raise entry.misuse("sha256 must be 64 digits of lower-case hex")
    if found.into:
        _inside(found.into, entry)
    return found


def _stem(output: str, table: Table) -> str:
    _inside(output, table)
    return plain_name(output.rpartition("/")[2].removesuffix(".elf"), what="output")


def _inside(path: str, table: Table) -> None:
    if not path or path.startswith(("/", "-")) or ".." in path.split("/") or "\0" in path:
        raise table.misuse(f"path {path!r} does not stay inside the source")


def _commands(table: Table) -> tuple[tuple[str, ...], ...]:
    commands = table.take("commands", list)
    for command in commands:
        if type(command) is not list or not command or not all(type(p) is str for p in command):
            raise table.misuse("commands must be arrays of strings, one a command")
    return tuple(tuple(command) for command in commands)


def _parameters(table: Table) -> dict[str, str]:
    found = {name: table.take(name, str) for name in table.items_left()}
    for name in found:
        if not _PLACEHOLDER.fullmatch(f"{{{name}}}"):
            raise table.misuse(f"parameter {name!r} must be lower-case letters, digits, dashes")
        if name in RESERVED:
            raise table.misuse(f"parameter {name!r} is filled in by the build", hint="rename it")
    return found


def _payload(entry: Table, number: int) -> PayloadSpec:
    file = plain_name(entry.take("file", str), what="payload file")
    found = PayloadSpec(
        file=file,
        uri=author.payload_uri(entry, file, number),
        component=author.component(entry, "component"),
        format=PayloadFormat(entry.one_of("format", ("raw", "mcuboot"))),
        load_address=entry.uint("load-address") if entry.has("load-address") else None,
        encryption=_encryption(entry.table("encryption", optional=True)),
        recipients=tuple(_recipient(one) for one in entry.tables("recipients", optional=True)),
    )
    entry.done()
    if found.format is PayloadFormat.RAW and found.load_address is not None:
        raise entry.misuse("load-address is for format mcuboot", hint="remove it")
    if bool(found.encryption) is not bool(found.recipients):
        raise entry.misuse(
            "encryption and recipients stand together",
            hint="[payload.encryption] names the algorithm, [[payload.recipients]] who may read",
        )
    return found


CONTENT_ALGORITHMS = ("A128GCM", "A192GCM", "A256GCM", "A128CTR", "A192CTR", "A256CTR")
KEY_ALGORITHMS = ("A128KW", "A192KW", "A256KW", "ECDH-ES+A128KW")
"""The COSE registry's names (RFC 9053, RFC 9459)."""


def _encryption(table: Table) -> str:
    found = table.one_of("algorithm", ("", *CONTENT_ALGORITHMS), "")
    table.done()
    return found


def _recipient(entry: Table) -> Recipient:
    found = Recipient(
        kid=entry.take("kid", str),
        key=entry.take("key", str),
        algorithm=entry.one_of("algorithm", KEY_ALGORITHMS),
    )
    entry.done()
    return found


def expanded(what: Recipe, known: dict[str, str], table_name: str) -> tuple[tuple[str, ...], ...]:
    """Answer the commands with `{name}` replaced by declared parameters and `known` values.

    Raises `Misuse` for a name that nobody declared, and for a word no program can be given.
    """
    values = {**what.parameters, **known}

    def value(match: re.Match[str]) -> str:
        name = match.group(1)
        if name not in values:
            raise Misuse(f"{table_name}: {{{name}}} is no declared parameter")
        return values[name]

    commands = tuple(
        tuple(_PLACEHOLDER.sub(value, part) for part in command) for command in what.commands
    )
    if any("\0" in word for command in commands for word in command):
        raise Misuse(f"{table_name}: a command holds a null character")
    return commands
