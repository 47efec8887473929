"""Every label of the SUIT drafts, with the registries' own names and numbers, in one place.

A member here is known; what is processed is said by the tables that decode and execute, and the
rest is refused as unsupported, by name. Sections are cited by the letters of the drafts below.
COSE algorithms and headers stand in `cose`.
"""

from __future__ import annotations

import enum
import functools
from typing import TYPE_CHECKING, TypeVar

from fwseal.base.errors import Refused
from fwseal.base.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Mapping

SPEC = "draft-ietf-suit-manifest-37"
"""M."""
SPEC_TRUST_DOMAINS = "draft-ietf-suit-trust-domains-12"
"""T."""
SPEC_UPDATE_MANAGEMENT = "draft-ietf-suit-update-management-14"
"""U."""
SPEC_REPORT = "draft-ietf-suit-report-18"
"""R."""
SPEC_FIRMWARE_ENCRYPTION = "draft-ietf-suit-firmware-encryption-26"
"""E."""

MANIFEST_VERSION = 1
TAG_ENVELOPE = 107
TAG_MANIFEST = 1070
TAG_OID = 111
TAG_PEN = 112
"""M 11, RFC 9090; the tags of COSE messages stand in `cose`."""


class EnvelopeKey(enum.IntEnum):
    """M 11.1."""

    DELEGATION = 1
    AUTHENTICATION_WRAPPER = 2
    MANIFEST = 3
    COSWID = 14
    DEPENDENCY_RESOLUTION = 15
    PAYLOAD_FETCH = 16
    CANDIDATE_VERIFICATION = 18
    INSTALL = 20
    TEXT = 23


class ManifestKey(enum.IntEnum):
    """M 11.2."""

    VERSION = 1
    SEQUENCE_NUMBER = 2
    COMMON = 3
    REFERENCE_URI = 4
    COMPONENT_ID = 5
    SET_VERSION = 6
    VALIDATE = 7
    LOAD = 8
    INVOKE = 9
    COSWID = 14
    DEPENDENCY_RESOLUTION = 15
    PAYLOAD_FETCH = 16
    CANDIDATE_VERIFICATION = 18
    INSTALL = 20
    TEXT = 23
    UNINSTALL = 24


class CommonKey(enum.IntEnum):
    """M 11.3."""

    DEPENDENCIES = 1
    COMPONENTS = 2
    SHARED_SEQUENCE = 4


class DependencyKey(enum.IntEnum):
    """T 5.2.2: what is said of a dependency."""

    PREFIX = 1


class Command(enum.IntEnum):
    """M 11.4: conditions and directives."""

    CONDITION_VENDOR_IDENTIFIER = 1
    CONDITION_CLASS_IDENTIFIER = 2
    CONDITION_IMAGE_MATCH = 3
    CONDITION_USE_BEFORE = 4
    CONDITION_COMPONENT_SLOT = 5
    CONDITION_CHECK_CONTENT = 6
    CONDITION_DEPENDENCY_INTEGRITY = 7
    CONDITION_IS_DEPENDENCY = 8
    DIRECTIVE_PROCESS_DEPENDENCY = 11
    DIRECTIVE_SET_COMPONENT_INDEX = 12
    CONDITION_ABORT = 14
    DIRECTIVE_TRY_EACH = 15
    DIRECTIVE_WRITE = 18
    DIRECTIVE_SET_PARAMETERS = 19
    DIRECTIVE_OVERRIDE_PARAMETERS = 20
    DIRECTIVE_FETCH = 21
    DIRECTIVE_COPY = 22
    DIRECTIVE_INVOKE = 23
    CONDITION_DEVICE_IDENTIFIER = 24
    CONDITION_IMAGE_NOT_MATCH = 25
    CONDITION_MINIMUM_BATTERY = 26
    CONDITION_UPDATE_AUTHORIZED = 27
    CONDITION_VERSION = 28
    DIRECTIVE_WAIT = 29
    DIRECTIVE_SWAP = 31
    DIRECTIVE_RUN_SEQUENCE = 32
    DIRECTIVE_UNLINK = 33
    DIRECTIVE_OVERRIDE_MULTIPLE = 34
    DIRECTIVE_COPY_PARAMS = 35


class Parameter(enum.IntEnum):
    """M 11.5; fetch-arguments stands in the CDDL and is missing from the IANA table."""

    VENDOR_IDENTIFIER = 1
    CLASS_IDENTIFIER = 2
    IMAGE_DIGEST = 3
    USE_BEFORE = 4
    COMPONENT_SLOT = 5
    STRICT_ORDER = 12
    SOFT_FAILURE = 13
    IMAGE_SIZE = 14
    CONTENT = 18
    ENCRYPTION_INFO = 19
    URI = 21
    SOURCE_COMPONENT = 22
    INVOKE_ARGS = 23
    DEVICE_IDENTIFIER = 24
    FETCH_ARGUMENTS = 25
    MINIMUM_BATTERY = 26
    UPDATE_PRIORITY = 27
    VERSION = 28
    WAIT_INFO = 29
    COMPONENT_METADATA = 30


class RepPolicy(enum.IntFlag):
    """M 8.4.7: what a condition or directive asks to be reported."""

    SEND_RECORD_ON_SUCCESS = 1 << 0
    SEND_RECORD_ON_FAILURE = 1 << 1
    SEND_SYSINFO_SUCCESS = 1 << 2
    SEND_SYSINFO_FAILURE = 1 << 3


class TextKey(enum.IntEnum):
    """M 11.6: text about a manifest."""

    MANIFEST_DESCRIPTION = 1
    UPDATE_DESCRIPTION = 2
    MANIFEST_JSON_SOURCE = 3
    MANIFEST_YAML_SOURCE = 4


class TextComponentKey(enum.IntEnum):
    """M 11.7, U 3.3, 3.4: text about a component."""

    VENDOR_NAME = 1
    MODEL_NAME = 2
    VENDOR_DOMAIN = 3
    MODEL_INFO = 4
    COMPONENT_DESCRIPTION = 5
    COMPONENT_VERSION = 6
    VERSION_REQUIRED = 7
    CURRENT_VERSION = 8


class VersionComparison(enum.IntEnum):
    """U 4.4: how a version is compared."""

    GREATER = 1
    GREATER_EQUAL = 2
    EQUAL = 3
    LESSER_EQUAL = 4
    LESSER = 5


class PreRelease(enum.IntEnum):
    """U 4.4: what stands for the words of a semantic version."""

    RC = -1
    BETA = -2
    ALPHA = -3


class WaitEvent(enum.IntEnum):
    """U 4.5: what directive-wait may wait for."""

    AUTHORIZATION = 1
    POWER = 2
    NETWORK = 3
    OTHER_DEVICE_VERSION = 4
    TIME = 5
    TIME_OF_DAY = 6
    DAY_OF_WEEK = 7
    TIME_OF_DAY_UTC = 8
    DAY_OF_WEEK_UTC = 9


class ComponentMetadataKey(enum.IntEnum):
    """U 4.6: what is said of a component that is a file."""

    DEFAULT_PERMISSIONS = 1
    USER_PERMISSIONS = 2
    GROUP_PERMISSIONS = 3
    ROLE_PERMISSIONS = 4
    FILE_TYPE = 5
    MODIFICATION_TIME = 6
    CREATION_TIME = 7
    CREATOR = 8


class FileType(enum.IntEnum):
    """U 4.6: what kind of file a component is."""

    REGULAR = 1
    DIRECTORY = 2
    SYMLINK = 3


class Permission(enum.IntFlag):
    """U 4.6: what may be done with a component that is a file."""

    TRAVERSE_EXEC = 1 << 0
    CREATE_WRITE = 1 << 1
    LIST_READ = 1 << 2
    CREATEDIR_APPEND = 1 << 3
    READ_ATTR = 1 << 4
    READ_PERM = 1 << 5
    CHANGE_PERM = 1 << 6
    CHANGE_OWNER = 1 << 7
    WRITE_ATTR = 1 << 8
    RECURSE_DELETE = 1 << 9
    DELETE = 1 << 10
    SYNC = 1 << 11
    READ_ATTR_EX = 1 << 12
    WRITE_ATTR_EX = 1 << 13


class ReportKey(enum.IntEnum):
    """R 4: SUIT_Report; a result that is not true is a map of three."""

    NONCE = 2
    RECORDS = 3
    RESULT = 4
    RESULT_CODE = 5
    RESULT_RECORD = 6
    RESULT_REASON = 7
    CAPABILITY_REPORT = 8
    REFERENCE = 99


class RecordField(enum.IntEnum):
    """R 4: where the elements of a SUIT_Record stand in it."""

    MANIFEST_ID = 0
    MANIFEST_SECTION = 1
    SECTION_OFFSET = 2
    COMPONENT_INDEX = 3
    PROPERTIES = 4


class ReportReason(enum.IntEnum):
    """R 9: why a manifest was refused, as reports say it."""

    OK = 0
    CBOR_PARSE = 1
    COSE_UNSUPPORTED = 2
    ALG_UNSUPPORTED = 3
    UNAUTHORISED = 4
    COMMAND_UNSUPPORTED = 5
    COMPONENT_UNSUPPORTED = 6
    COMPONENT_UNAUTHORISED = 7
    PARAMETER_UNSUPPORTED = 8
    SEVERING_UNSUPPORTED = 9
    CONDITION_FAILED = 10
    OPERATION_FAILED = 11
    INVOKE_PENDING = 12


class CapabilityKey(enum.IntEnum):
    """R 9: what a device can be asked to say it supports."""

    COMPONENTS = 1
    COMMANDS = 2
    PARAMETERS = 3
    CRYPT_ALGO = 4
    ENVELOPE = 5
    MANIFEST = 6
    COMMON = 7
    TEXT = 8
    TEXT_COMPONENT = 9
    DEPENDENCY = 10


SEQUENCES = frozenset({
    ManifestKey.VALIDATE, ManifestKey.LOAD, ManifestKey.INVOKE,
    ManifestKey.DEPENDENCY_RESOLUTION, ManifestKey.PAYLOAD_FETCH,
    ManifestKey.CANDIDATE_VERIFICATION, ManifestKey.INSTALL,
})  # fmt: skip
"""Manifest members that are command sequences and are decoded by this version."""

SEVERABLE = frozenset({
    ManifestKey.COSWID, ManifestKey.DEPENDENCY_RESOLUTION, ManifestKey.PAYLOAD_FETCH,
    ManifestKey.CANDIDATE_VERIFICATION, ManifestKey.INSTALL, ManifestKey.TEXT,
})  # fmt: skip
"""Manifest members that a digest may stand for (M 8.4.12)."""

CUSTOM = -256
"""Numbers up to this one are for private use in every registry of M 11."""

E = TypeVar("E", bound=enum.IntEnum)


@functools.lru_cache(maxsize=None, typed=True)
def spelled(label: enum.IntEnum) -> str:
    """Answer a label as the drafts spell it, without the `suit-` in front."""
    # Typed, because members of two registries are equal when they have one number.
    return _spelling(label.name)


@functools.cache
def _spelling(name: str) -> str:
    # By name: members of two registries with one number are equal, and would share an answer.
    return name.lower().replace("_", "-")


def known(kind: type[E], number: object, *, what: str) -> E:
    """Answer the label of a number; raises `Refused` (unsupported) for one no draft names."""
    if type(number) is not int:
        raise Refused(Reason.MALFORMED, f"{what} {number!r} is not an integer")
    numbers: Mapping[int, E] = _numbers(kind)
    found = numbers.get(number)
    if found is None:
        custom = "custom" if number <= CUSTOM else "not known"
        raise Refused(Reason.UNSUPPORTED, f"{what} {number} is {custom}")
    return found


@functools.cache
def _numbers(kind: type[E]) -> Mapping[int, E]:
    # A call of an enum costs ten times as much, and each label of each manifest is looked up.
    return {int(label): label for label in kind}


def unsupported(label: enum.IntEnum, *, what: str) -> Refused:
    """Answer the refusal of a label that is known and not processed by this version."""
    return Refused(Reason.UNSUPPORTED, f"{what} {spelled(label)} ({int(label)}) is not supported")
