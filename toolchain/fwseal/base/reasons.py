"""Every refusal is one member of `Reason`; its slug is the interface, message text never is."""

from __future__ import annotations

import dataclasses
import enum


class Reason(enum.Enum):
    """Why an input was refused; the value is the slug users, logs and tests speak."""

    # structure
    MALFORMED = "malformed"
    NOT_DETERMINISTIC = "not-deterministic"
    LIMIT_EXCEEDED = "limit-exceeded"
    UNSUPPORTED = "unsupported"
    # authenticity
    UNSIGNED = "unsigned"
    BAD_SIGNATURE = "bad-signature"
    UNKNOWN_SIGNER = "unknown-signer"
    SIGNER_NOT_AUTHORIZED = "signer-not-authorized"
    UNSUPPORTED_ALGORITHM = "unsupported-algorithm"
    THRESHOLD_NOT_MET = "threshold-not-met"
    KEY_REVOKED = "key-revoked"
    DIGEST_MISMATCH = "digest-mismatch"
    SEVERED_MISMATCH = "severed-mismatch"
    SEVERED_MISSING = "severed-missing"
    # freshness
    ROLLBACK = "rollback"
    VERSION_MISMATCH = "version-mismatch"
    EXPIRED = "expired"
    CLOCK_UNTRUSTED = "clock-untrusted"
    # applicability
    WRONG_VENDOR = "wrong-vendor"
    WRONG_CLASS = "wrong-class"
    WRONG_DEVICE = "wrong-device"
    WRONG_COMPONENT = "wrong-component"
    WRONG_SLOT = "wrong-slot"
    # content
    PAYLOAD_MISSING = "payload-missing"
    PAYLOAD_SIZE = "payload-size"
    PAYLOAD_DIGEST = "payload-digest"
    DECRYPTION_FAILED = "decryption-failed"
    DEPENDENCY_MISSING = "dependency-missing"
    DEPENDENCY_REFUSED = "dependency-refused"
    CONDITION_FAILED = "condition-failed"
    ABORTED = "aborted"
    COMMAND_FAILED = "command-failed"
    STORAGE_FULL = "storage-full"
    STORAGE_FAULT = "storage-fault"
    LAYERS_DISAGREE = "layers-disagree"
    UNCHECKED = "unchecked"
    # boot stage
    NOT_CONFIRMED = "not-confirmed"
    TRAILER_INVALID = "trailer-invalid"
    # delivery
    METADATA_EXPIRED = "metadata-expired"
    METADATA_ROLLBACK = "metadata-rollback"
    METADATA_SIGNATURE = "metadata-signature"
    METADATA_MISMATCH = "metadata-mismatch"
    METADATA_OVERSIZE = "metadata-oversize"
    TARGET_UNKNOWN = "target-unknown"
    TARGET_MISMATCH = "target-mismatch"
    TOO_SLOW = "too-slow"
    # build
    NOT_REPRODUCED = "not-reproduced"
    UNDECLARED_INPUT = "undeclared-input"
    NETWORK_ATTEMPT = "network-attempt"
    OUTSIDE_WRITE = "outside-write"
    UNRECORDED = "unrecorded"
    # signing gate
    APPROVAL_MISSING = "approval-missing"
    APPROVAL_MISMATCH = "approval-mismatch"
    KEY_ATTRIBUTES = "key-attributes"
    KEY_EXPIRED = "key-expired"
    TEST_KEY_IN_PRODUCTION = "test-key-in-production"
    POLICY_VIOLATED = "policy-violated"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """What a Reason means, whose fault it is, and what to do about it."""

    when: str
    fault: str
    remedy: str


_AUTHOR, _SIGNER, _SERVER, _DEVICE, _OPERATOR, _ATTACKER = (
    "author",
    "signer",
    "update server",
    "device",
    "operator",
    "a damaged or hostile input",
)


def _entry(when: str, fault: str, remedy: str) -> Entry:
    return Entry(when=when, fault=fault, remedy=remedy)


REASONS: dict[Reason, Entry] = {
    Reason.MALFORMED: _entry(
        "the bytes are not what their format says",
        _ATTACKER,
        "fetch the file again, then ask its author",
    ),
    Reason.NOT_DETERMINISTIC: _entry(
        "the CBOR is well formed but not the one deterministic encoding",
        _AUTHOR,
        "encode with RFC 8949 4.2.1 (shortest integers, bytewise sorted maps)",
    ),
    Reason.LIMIT_EXCEEDED: _entry(
        "a documented limit on size, depth or number was passed",
        _AUTHOR,
        "make the manifest smaller, or raise the limit in the device profile",
    ),
    Reason.UNSUPPORTED: _entry(
        "a feature of the format is known and this device does not offer it",
        _AUTHOR,
        "see SUPPORTED.md and author without it",
    ),
    Reason.UNSIGNED: _entry(
        "there is no signature at all", _SIGNER, "sign the release: fwseal sign RELEASE"
    ),
    Reason.BAD_SIGNATURE: _entry(
        "a signature does not verify under the anchor it names, or under any",
        _ATTACKER,
        "check that the release was signed by the key the device holds",
    ),
    Reason.UNKNOWN_SIGNER: _entry(
        "the key id names no trust anchor of the device",
        _SIGNER,
        "sign with an enrolled key, or provision the anchor",
    ),
    Reason.SIGNER_NOT_AUTHORIZED: _entry(
        "the anchor is known and holds no role for this",
        _SIGNER,
        "sign with a key whose role allows it",
    ),
    Reason.UNSUPPORTED_ALGORITHM: _entry(
        "the algorithm is not one the profile names for that anchor",
        _SIGNER,
        "sign with a named algorithm; a deprecated one must be named to be accepted",
    ),
    Reason.THRESHOLD_NOT_MET: _entry(
        "fewer distinct anchors signed than the profile asks for",
        _SIGNER,
        "collect the missing signatures",
    ),
    Reason.KEY_REVOKED: _entry(
        "the key was revoked", _SIGNER, "sign with an active key and rotate the anchor"
    ),
    Reason.DIGEST_MISMATCH: _entry(
        "a digest does not fit the bytes it covers", _ATTACKER, "fetch or install again"
    ),
    Reason.SEVERED_MISMATCH: _entry(
        "a severed member is not the one the manifest names", _ATTACKER, "fetch the envelope again"
    ),
    Reason.SEVERED_MISSING: _entry(
        "a severed member is needed and was left out",
        _SERVER,
        "offer the envelope with that member attached",
    ),
    Reason.ROLLBACK: _entry(
        "the sequence number is not above what the device accepted before",
        _AUTHOR,
        "release with a higher sequence number",
    ),
    Reason.VERSION_MISMATCH: _entry(
        "a version condition does not hold", _AUTHOR, "install the versions in between first"
    ),
    Reason.EXPIRED: _entry(
        "the manifest may no longer be used at this time", _AUTHOR, "release anew"
    ),
    Reason.CLOCK_UNTRUSTED: _entry(
        "a check needs the time and the device has none to trust",
        _DEVICE,
        "set the clock from a trusted source",
    ),
    Reason.WRONG_VENDOR: _entry(
        "the vendor identifier is not the device's", _OPERATOR, "offer the update for this product"
    ),
    Reason.WRONG_CLASS: _entry(
        "the class identifier is not the device's", _OPERATOR, "offer the update for this model"
    ),
    Reason.WRONG_DEVICE: _entry(
        "the device identifier is not the device's", _OPERATOR, "offer the update for this unit"
    ),
    Reason.WRONG_COMPONENT: _entry(
        "a component is not one the device has", _AUTHOR, "name components of the device profile"
    ),
    Reason.WRONG_SLOT: _entry(
        "the slot is not the one that may be written", _AUTHOR, "offer the image for the other slot"
    ),
    Reason.PAYLOAD_MISSING: _entry(
        "a payload the manifest names cannot be found",
        _SERVER,
        "publish the payload beside its envelope, or pass --payload URI=FILE",
    ),
    Reason.PAYLOAD_SIZE: _entry(
        "a payload is longer or shorter than the manifest says", _ATTACKER, "fetch it again"
    ),
    Reason.PAYLOAD_DIGEST: _entry(
        "a payload's digest is not the manifest's", _ATTACKER, "fetch it again"
    ),
    Reason.DECRYPTION_FAILED: _entry(
        "a payload does not decrypt", _ATTACKER, "encrypt for a recipient key the device holds"
    ),
    Reason.DEPENDENCY_MISSING: _entry(
        "a dependency manifest cannot be found", _SERVER, "publish it with its dependent"
    ),
    Reason.DEPENDENCY_REFUSED: _entry(
        "a dependency manifest was refused", _AUTHOR, "verify the dependency alone for its Reason"
    ),
    Reason.CONDITION_FAILED: _entry(
        "a condition of the manifest does not hold on this device", _AUTHOR, "explain the manifest"
    ),
    Reason.ABORTED: _entry("the manifest says abort", _AUTHOR, "explain the manifest"),
    Reason.COMMAND_FAILED: _entry(
        "a command of a manifest or a build could not be carried out",
        _AUTHOR,
        "explain the manifest; run the build's command by hand",
    ),
    Reason.STORAGE_FULL: _entry(
        "the payload does not fit the storage of its component", _AUTHOR, "make the image smaller"
    ),
    Reason.STORAGE_FAULT: _entry(
        "storage did not keep what was written", _DEVICE, "replace the device or its flash"
    ),
    Reason.LAYERS_DISAGREE: _entry(
        "two layers that must name the same thing do not",
        _SERVER,
        "publish the release again, whole",
    ),
    Reason.UNCHECKED: _entry(
        "a manifest is legal and leaves out a check that a device needs",
        _AUTHOR,
        "add the check where lint says, then author or build again",
    ),
    Reason.NOT_CONFIRMED: _entry(
        "the image was booted once and never confirmed itself",
        _AUTHOR,
        "read the self-test's line on the console",
    ),
    Reason.TRAILER_INVALID: _entry(
        "the slot holds an image and no good MCUboot trailer",
        _DEVICE,
        "install again; an install that was cut short ends so",
    ),
    Reason.METADATA_EXPIRED: _entry(
        "TUF metadata is past its expiry at this time",
        _SERVER,
        "re-sign the online roles; check the device's clock",
    ),
    Reason.METADATA_ROLLBACK: _entry(
        "TUF metadata is older than what was seen before", _SERVER, "publish the newest metadata"
    ),
    Reason.METADATA_SIGNATURE: _entry(
        "TUF metadata lacks the signatures its role asks for", _ATTACKER, "publish again"
    ),
    Reason.METADATA_MISMATCH: _entry(
        "TUF metadata is not what the role above it names", _ATTACKER, "publish again"
    ),
    Reason.METADATA_OVERSIZE: _entry(
        "TUF metadata is larger than allowed", _ATTACKER, "publish again"
    ),
    Reason.TARGET_UNKNOWN: _entry(
        "the repository lists no such target", _SERVER, "publish the release"
    ),
    Reason.TARGET_MISMATCH: _entry(
        "a target file is not what signed metadata says", _ATTACKER, "fetch or publish it again"
    ),
    Reason.TOO_SLOW: _entry("the answer took longer than allowed", _SERVER, "try another mirror"),
    Reason.NOT_REPRODUCED: _entry(
        "two builds of one source gave different bytes",
        _AUTHOR,
        "make the build reproducible, then build again",
    ),
    Reason.UNDECLARED_INPUT: _entry(
        "a build read what neither its recipe nor its lock declares",
        _AUTHOR,
        "remove the input, declare its program in host, or lock it with fwseal build --lock",
    ),
    Reason.NETWORK_ATTEMPT: _entry(
        "a build wanted to talk to somebody, and builds have no network",
        _AUTHOR,
        "name what it would fetch under [source], with its digest",
    ),
    Reason.OUTSIDE_WRITE: _entry(
        "a build wrote outside of its own folders",
        _AUTHOR,
        "let the build write below its source only, or install bubblewrap",
    ),
    Reason.UNRECORDED: _entry(
        "a program of a build works in a way that no recorder sees (io_uring, mounts, handles)",
        _AUTHOR,
        "let the program read files by their names",
    ),
    Reason.APPROVAL_MISSING: _entry(
        "an approval the policy asks for is missing", _SIGNER, "ask the approvers"
    ),
    Reason.APPROVAL_MISMATCH: _entry(
        "an approval speaks of another release", _SIGNER, "approve this release"
    ),
    Reason.KEY_ATTRIBUTES: _entry(
        "a key's attributes are not what its role asks for",
        _SIGNER,
        "make the key inside the token, sensitive and non-extractable",
    ),
    Reason.KEY_EXPIRED: _entry(
        "the inventory says the key is not valid on this day",
        _SIGNER,
        "sign with a key that is valid, and rotate this one",
    ),
    Reason.TEST_KEY_IN_PRODUCTION: _entry(
        "a development key was offered where production is asked for",
        _SIGNER,
        "use the production key",
    ),
    Reason.POLICY_VIOLATED: _entry("the signing policy says no", _SIGNER, "read the policy"),
}
