"""Every label of the SUIT drafts, with the registries' own names and numbers, in one place.

M: draft-ietf-suit-manifest-37, T: -trust-domains-12, U: -update-management-14,
E: -firmware-encryption-26. A member here is known; what is processed is said by the tables that
decode and execute, and the rest is refused as unsupported, by name.
"""

from __future__ import annotations

import enum
from typing import TypeVar

from fwseal.base.errors import Refused
from fwseal.base.reasons import Reason

SPEC = "draft-ietf-suit-manifest-37"
MANIFEST_VERSION = 1
TAG_ENVELOPE = 107
TAG_PEN = 112


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


SEQUENCES = frozenset({
    ManifestKey.VALIDATE, ManifestKey.LOAD, ManifestKey.INVOKE, ManifestKey.PAYLOAD_FETCH,
    ManifestKey.INSTALL,
})  # fmt: skip
"""Manifest members that are command sequences and are decoded by this version."""

SEVERABLE = frozenset({
    ManifestKey.COSWID, ManifestKey.DEPENDENCY_RESOLUTION, ManifestKey.PAYLOAD_FETCH,
    ManifestKey.CANDIDATE_VERIFICATION, ManifestKey.INSTALL, ManifestKey.TEXT,
})  # fmt: skip
"""Manifest members that a digest may stand for (M 8.4.12)."""

E = TypeVar("E", bound=enum.IntEnum)


def spelled(label: enum.IntEnum) -> str:
    """Answer a label as the drafts spell it, without the `suit-` in front."""
    return label.name.lower().replace("_", "-")


def known(kind: type[E], number: object, *, what: str) -> E:
    """Answer the label of a number; raises `Refused` (unsupported) for one no draft names."""
    if type(number) is not int:
        raise Refused(Reason.MALFORMED, f"{what} {number!r} is not an integer")
    try:
        return kind(number)
    except ValueError:
        raise Refused(Reason.UNSUPPORTED, f"{what} {number} is not known") from None


def unsupported(label: enum.IntEnum, *, what: str) -> Refused:
    """Answer the refusal of a label that is known and not processed by this version."""
    return Refused(Reason.UNSUPPORTED, f"{what} {spelled(label)} ({int(label)}) is not supported")
