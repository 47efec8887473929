"""A profile that means something other than what it seems to is misuse, never a weaker device."""

from __future__ import annotations

import uuid

import cbor2
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448

from fwseal.base.errors import Misuse
from fwseal.base.ids import Kid
from fwseal.base.tables import Table
from fwseal.cose.algorithms import Algorithm
from fwseal.cose.encryption import Kek
from fwseal.cose.keys import PublicKey
from fwseal.device import profile as profiles
from fwseal.device.profile import Component, DeviceProfile, Emulator, Equal
from fwseal.signing import softkey
from fwseal.suit.limits import Limits
from workshop import CLASS, VENDOR

PRIVATE = ec.generate_private_key(ec.SECP256R1())
OTHER = ec.generate_private_key(ec.SECP256R1())


def pem(key: ec.EllipticCurvePrivateKey | ed448.Ed448PrivateKey) -> bytes:
    return key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def cose(key: ec.EllipticCurvePrivateKey, **extra: object) -> bytes:
    """Answer a COSE_Key by another encoder, entries in bytewise order."""
    numbers = key.public_key().public_numbers()
    body: dict[int, object] = {1: 2}
    if "alg" in extra:
        body[3] = extra["alg"]
    body[-1] = extra.get("crv", 1)
    body[-2] = numbers.x.to_bytes(32, "big")
    body[-3] = numbers.y.to_bytes(32, "big")
    if "d" in extra:
        body[-4] = extra["d"]
    return cbor2.dumps(body)


FILES = {
    "a.pem": pem(PRIVATE),
    "b.pem": pem(OTHER),
    "a.cose": cose(PRIVATE),
    "fixed.cose": cose(OTHER, alg=-9),
    "odd.cose": cose(PRIVATE, alg=-999),
    "private.cose": cose(PRIVATE, d=bytes(32)),
    "curve.cose": cose(PRIVATE, crv=2),
    "broken.cose": b"\xff",
    "private.pem": softkey.generate(),
    "ed448.pem": pem(ed448.Ed448PrivateKey.generate()),
    "k1.pem": pem(ec.generate_private_key(ec.SECP256K1())),
    "text.pem": b"hello",
    "kek.cose": cbor2.dumps({1: 4, -1: bytes(16)}),
}

DEVICE = f"""[device]
name = "demo-plc"
vendor-id = "{VENDOR}"
class-id = "{CLASS}"
"""
COMPONENTS = """[[components]]
id = ["00", "0a0b"]
"""
ANCHOR = """[[trust-anchors]]
kid = "release"
key = "a.pem"
algorithms = ["ESP256"]
roles = ["release"]
"""
RECIPIENT = """[[recipients]]
kid = "device"
key = "kek.cose"
"""
GOOD = DEVICE + COMPONENTS + ANCHOR


def read(text: str) -> DeviceProfile:
    return profiles.profile(Table.parse(text, where="profile.toml"), read=FILES.__getitem__)


def test_shortest_profile_trusts_one_key_refuses_equal_numbers_and_accepted_nothing_yet() -> None:
    made = read(GOOD)
    assert made.name == "demo-plc"
    assert (made.vendor_id, made.class_id, made.device_id) == (VENDOR, CLASS, None)
    assert made.components == {(b"\x00", b"\x0a\x0b"): Component()}
    assert (made.threshold, made.equal, made.formats) == (1, Equal.REFUSE, ("suit",))
    assert (made.sequence_number, made.line, made.layout, made.emulator) == (None, "", "", None)
    (anchor,) = made.anchors
    assert anchor.key == PublicKey.of(PRIVATE.public_key())
    assert anchor.algorithms == {Algorithm.ESP256}
    assert anchor.roles == {"release"}


def test_every_section_of_a_long_profile_is_read_as_written() -> None:
    mine = uuid.uuid5(VENDOR, "one")
    made = read(
        DEVICE
        + f'device-id = "{mine}"\nsequence-number = 18446744073709551615\n'
        + 'formats = ["suit", "mcuboot"]\n'
        + COMPONENTS
        + ANCHOR
        + ANCHOR.replace("a.pem", "fixed.cose").replace('"release"\nkey', '"second"\nkey')
        + '[policy]\nthreshold = 2\nequal-sequence-number = "reapply"\n'
        + '[delivery]\nline = "plc"\n[memory]\nlayout = "layout.toml"\n'
        + '[emulator]\nmachine = "m"\nboot = "boot.bin"\n'
    )
    assert made.device_id == mine
    assert made.sequence_number == 2**64 - 1
    assert made.formats == ("suit", "mcuboot")
    assert (made.threshold, made.equal) == (2, Equal.REAPPLY)
    assert (made.line, made.layout) == ("plc", "layout.toml")
    assert made.emulator == Emulator(machine="m", boot="boot.bin")
    assert [anchor.kid for anchor in made.anchors] == ["release", "second"]
    assert made.anchors[1].key.fixed is Algorithm.ESP256


def test_components_rights_recipients_and_limits_are_read_as_written() -> None:
    own = uuid.uuid5(VENDOR, "radio")
    made = read(
        GOOD.replace(
            '"0a0b"]', f'"0a0b"]\nslots = [1, 0]\nvendor-id = "{own}"\nclass-id = "{CLASS}"'
        )
        + 'components = ["00/01", "02"]\n'
        + RECIPIENT
        + "[limits]\nsteps = 7\ndependency-depth = 1\n[policy]\ndependency-threshold = 2\n"
    )
    assert made.components == {
        (b"\x00", b"\x0a\x0b"): Component(slots=(1, 0), vendor_id=own, class_id=CLASS)
    }
    assert made.anchors[0].components == ((b"\x00", b"\x01"), (b"\x02",))
    assert made.recipients == (Kek(kid=Kid("device"), secret=bytes(16)),)
    assert made.limits == Limits(steps=7, dependency_depth=1)
    assert made.dependency_threshold == 2


def test_anchor_in_a_cose_key_is_the_same_key_as_in_pem() -> None:
    assert read(GOOD.replace("a.pem", "a.cose")).anchors[0].key == read(GOOD).anchors[0].key


V1 = "d9428888-122b-11e1-b85c-61cd3cbb3210"
V7 = "017f22e2-79b0-7cc3-98c4-dc0c0c07398f"
WRONG = {
    "threshold 0": GOOD + "[policy]\nthreshold = 0\n",
    "threshold -1": GOOD + "[policy]\nthreshold = -1\n",
    "threshold true": GOOD + "[policy]\nthreshold = true\n",
    "policy nobody knows": GOOD + '[policy]\nequal-sequence-number = "maybe"\n',
    "version 1 UUID": GOOD.replace(str(CLASS), V1),
    "version 7 UUID": GOOD.replace(str(CLASS), V7),
    "nil UUID": GOOD.replace(str(VENDOR), str(uuid.UUID(int=0))),
    "UUID in capitals": GOOD.replace(str(VENDOR), str(VENDOR).upper()),
    "UUID in braces": GOOD.replace(str(VENDOR), f"{{{VENDOR}}}"),
    "no UUID": GOOD.replace(str(VENDOR), "vendor"),
    "no vendor": GOOD.replace("vendor-id", "vendor"),
    "name with a slash": GOOD.replace("demo-plc", "demo/plc"),
    "no device": COMPONENTS + ANCHOR,
    "no components": DEVICE + ANCHOR,
    "empty components": "components = []\n" + DEVICE + ANCHOR,
    "component that is not hex": GOOD.replace('"0a0b"', '"xy"'),
    "component of numbers": GOOD.replace('"0a0b"', "7"),
    "no anchors": DEVICE + COMPONENTS,
    "one key in two anchors": GOOD + ANCHOR.replace('"release"\nkey', '"twin"\nkey'),
    "algorithm nobody knows": GOOD.replace("ESP256", "ESP999"),
    "negative sequence number": GOOD.replace("[[comp", "sequence-number = -1\n[[comp"),
    "65-bit sequence number": GOOD.replace("[[comp", f"sequence-number = {2**64}\n[[comp"),
    "no format": GOOD.replace("[[comp", "formats = []\n[[comp"),
    "another format": GOOD.replace("[[comp", 'formats = ["zip"]\n[[comp'),
    "emulator without boot": GOOD + '[emulator]\nmachine = "m"\n',
    "key in a curve nobody uses": GOOD.replace("a.pem", "k1.pem"),
    "Ed448 key": GOOD.replace("a.pem", "ed448.pem"),
    "private PEM": GOOD.replace("a.pem", "private.pem"),
    "text for a key": GOOD.replace("a.pem", "text.pem"),
    "COSE_Key for another algorithm": GOOD.replace("a.pem", "odd.cose"),
    "private COSE_Key": GOOD.replace("a.pem", "private.cose"),
    "COSE_Key of another curve": GOOD.replace("a.pem", "curve.cose"),
    "broken COSE_Key": GOOD.replace("a.pem", "broken.cose"),
    "algorithm of another kind of key": GOOD.replace('"ESP256"', '"ESP256", "ESP384"'),
    "key fixed to another algorithm": GOOD.replace("a.pem", "fixed.cose").replace(
        "ESP256", "ES256"
    ),
    "rights to no component": GOOD + "components = []\n",
    "rights that are not hex": GOOD + 'components = ["zz"]\n',
    "component twice": GOOD + COMPONENTS,
    "slots of text": GOOD.replace('"0a0b"]', '"0a0b"]\nslots = ["a"]'),
    "component of a nil vendor": GOOD.replace(
        '"0a0b"]', f'"0a0b"]\nvendor-id = "{uuid.UUID(int=0)}"'
    ),
    "dependency threshold 0": GOOD + "[policy]\ndependency-threshold = 0\n",
    "unknown limit": GOOD + "[limits]\nheight = 1\n",
    "negative limit": GOOD + "[limits]\nsteps = -1\n",
    "recipient without kid": GOOD + '[[recipients]]\nkey = "kek.cose"\n',
    "recipient that is a public key": GOOD + '[[recipients]]\nkid = "d"\nkey = "a.cose"\n',
    "unknown key in a recipient": GOOD + RECIPIENT + "colour = 1\n",
    "unknown key at the top": "colour = 1\n" + GOOD,
    "unknown key in device": GOOD.replace("[[comp", "colour = 1\n[[comp"),
    "unknown key in a component": GOOD.replace("[[trust", "colour = 1\n[[trust"),
    "unknown key in an anchor": GOOD + "colour = 1\n",
    "unknown key in policy": GOOD + "[policy]\ncolour = 1\n",
    "unknown key in delivery": GOOD + "[delivery]\ncolour = 1\n",
    "unknown key in memory": GOOD + "[memory]\ncolour = 1\n",
    "unknown key in emulator": GOOD + '[emulator]\nmachine = "m"\nboot = "b"\ncolour = 1\n',
}


@pytest.mark.parametrize("name", WRONG)
def test_profile_that_is_not_plain_is_misuse_and_gives_no_device(name: str) -> None:
    assert read(GOOD)
    assert WRONG[name] != GOOD
    with pytest.raises(Misuse):
        read(WRONG[name])
