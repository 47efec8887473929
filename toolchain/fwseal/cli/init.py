"""`fwseal init`: a commented project in the user's own repository."""

from __future__ import annotations

import contextlib
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

from fwseal.base.errors import Misuse, Unavailable
from fwseal.base.ids import plain_name
from fwseal.cli import files, main, project, render

if TYPE_CHECKING:
    import argparse

PROJECT = """\
# A fwseal project: this file marks its root, and says where things are.

[project]
keyring = "build/dev/keyring.toml"    # fwseal keys init --dev makes it
repository = "build/repository"       # the TUF repository fwseal publish fills
"""

DEVICE = """\
# A device profile: who the device is, whom it trusts, what it holds.

[device]
name = "{name}"
vendor-id = "{vendor}"    # UUID5 of the DNS name {domain}
class-id = "{klass}"     # UUID5 of the vendor id and "{name}"
formats = ["suit"]

[[components]]
id = ["00"]                           # byte strings in hex

[[trust-anchors]]
kid = "dev-release"
key = "../build/dev/dev-release.pem"
algorithms = ["ESP256"]
roles = ["release"]

[policy]
threshold = 1
equal-sequence-number = "refuse"      # or "reapply"

[delivery]
line = "{name}"

# [memory]                            # fwseal build checks images against it
# layout = "layout.toml"              # regions, slots, load address
"""

RECIPE = """\
# A release recipe: what to build, ship and sign, and for which device.

[product]
name = "{name}"
line = "{name}"
version = "1.0.0"
sequence-number = 1                   # higher in each release
device = "targets/{name}.toml"

[source]
commit = "HEAD"
paths = ["firmware"]

[toolchain]
compiler = "zig"                      # or "arm-none-eabi-gcc"; fwseal build --lock pins it
host = ["make", "mkdir", "sh"]        # programs of the building machine, by name alone

[build]
commands = [["make", "-C", "firmware", "CC={{cc}}", "VERSION={{version}}"]]
outputs = ["firmware/{name}.elf"]

[[payload]]
file = "{name}.bin"
component = ["00"]
format = "raw"                        # or "mcuboot"

[manifest]
template = "single-image"
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Say what the verb takes."""
    parser.add_argument("name", metavar="NAME", help="of the product")
    parser.add_argument("--vendor", metavar="DOMAIN", required=True, help="a DNS name of yours")
    main.common(parser)


def run(options: argparse.Namespace) -> int:
    """Write the project's files; refuse when one of them is there."""
    name = plain_name(options.name, what="product name")
    vendor = uuid.uuid5(uuid.NAMESPACE_DNS, options.vendor)
    values = {
        "name": name,
        "domain": plain_name(options.vendor, what="vendor domain"),
        "vendor": vendor,
        "klass": uuid.uuid5(vendor, name),
    }
    content = {
        project.FILE: PROJECT,
        f"targets/{name}.toml": DEVICE,
        f"manifests/{name}.toml": RECIPE,
    }
    for path in content:
        if files.is_there(Path(path)):
            raise Misuse(f"{path} is there already", hint="init never overwrites")
    try:
        for path, text in content.items():
            files.write(Path(path), text.format(**values).encode())
    except Unavailable:
        for path in content:
            with contextlib.suppress(OSError):
                Path(path).unlink()
        raise
    text = "\n".join(["wrote", *(f"  {path}" for path in content)])
    render.result(text, {"files": list(content)}, as_json=options.json)
    return render.EXIT_OK
