"""Every figure beside its peer, in one run; build/bench.json has the rows."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import envelopes

from fwseal.signing import softkey

ROOT = Path(__file__).resolve().parents[1]
BIN = Path(sys.executable).parent
ROUNDS = 9
KIB, GIB = 1024, 1 << 30
_UNCOMPILED = "PYTHONDONTWRITEBYTECODE"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One figure; `goal` bounds the ratio, or the value where there is no peer."""

    name: str
    value: float
    unit: str
    against: str | None = None
    ratio: float | None = None
    goal: float | None = None


def seconds(command: list[str | Path], cwd: Path) -> float:
    """Answer how long one run of a program took."""
    # Peers come compiled from their wheels; so must we, whatever this shell says.
    compiled = {key: value for key, value in os.environ.items() if key != _UNCOMPILED}
    begin = time.perf_counter()
    subprocess.run(command, cwd=cwd, env=compiled, capture_output=True, check=True)
    return time.perf_counter() - begin


def pair(name: str, ours: list[str | Path], peer: list[str | Path], cwd: Path, goal: float) -> Row:
    """Answer ours against a peer's, taken in turns so that noise falls on both."""
    runs = [(seconds(ours, cwd), seconds(peer, cwd)) for _ in range(ROUNDS)]
    mine, theirs = (statistics.median(side) for side in zip(*runs, strict=True))
    return Row(
        name=name, value=round(mine, 4), unit="s", against=Path(peer[0]).name,
        ratio=round(mine / theirs, 3), goal=goal,
    )  # fmt: skip


def files(folder: Path) -> Path:
    """Make a project with a 512 KiB image, a file key and a signed image; answer its recipe."""
    shutil.copytree(ROOT / "targets", folder / "targets")
    shutil.copy(ROOT / "fwseal.toml", folder)
    text = (ROOT / "manifests/demo-plc.toml").read_text(encoding="utf-8")
    (folder / "recipe.toml").write_text(text, encoding="utf-8")
    (folder / "image.bin").write_bytes(os.urandom(512 * KIB - 4 * KIB))
    pem = softkey.generate()
    (folder / "dev-release.pem").write_bytes(pem)
    keys = folder / "build/dev"
    keys.mkdir(parents=True)
    for label, key in (("dev-release", pem), ("dev-boot", softkey.generate())):
        (keys / f"{label}.pem").write_bytes(softkey.public_of(key, where=label).pem)
    return folder / "recipe.toml"


def main() -> int:
    """Measure, print and write."""
    fwseal, imgtool = BIN / "fwseal", BIN / "imgtool"
    rows = []
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        recipe = files(folder)
        rows.append(pair("help", [fwseal, "--help"], [imgtool, "--help"], folder, 0.8))
        imgtool_sign: list[str | Path] = [
            imgtool, "sign", "-k", "dev-release.pem", "--version", "1.1.0", "--header-size", "512",
            "--pad-header", "--align", "8", "--slot-size", str(1024 * KIB), "--load-addr",
            str(0x20000000), "image.bin", "theirs.bin",
        ]  # fmt: skip
        author: list[str | Path] = [
            fwseal, "author", recipe, "--key", "file:dev-release.pem", "-o", "ours.suit",
            "--payload", "2/demo-plc.bin=image.bin",
        ]  # fmt: skip
        rows.append(pair("sign-file", author, imgtool_sign, folder, 0.8))
        verify: list[str | Path] = [
            fwseal, "verify", "ours.suit", "--device", "targets/mps2-an385.toml",
            "--payload", "2/demo-plc.bin=image.bin",
        ]  # fmt: skip
        theirs: list[str | Path] = [imgtool, "verify", "-k", "dev-release.pem", "theirs.bin"]
        rows.append(pair("verify", verify, theirs, folder, 0.8))
        rows += reading(folder, [fwseal, "verify", "large.suit"])
    rows += boot()
    width = max(len(row.name) for row in rows)
    for row in rows:
        beside = f"  {row.ratio:.2f} x {row.against}" if row.ratio else ""
        goal = f"  (goal {row.goal})" if row.goal else ""
        print(f"{row.name:<{width}}  {row.value:.4f} {row.unit}{beside}{goal}")
    out = ROOT / "build" / "bench.json"
    out.parent.mkdir(exist_ok=True)
    body = {"schema_version": 1, "rows": [dataclasses.asdict(row) for row in rows]}
    out.write_text(json.dumps(body, indent=1) + "\n", encoding="utf-8")
    return 0


def reading(folder: Path, verify: list[str | Path]) -> list[Row]:
    """Answer what it takes to read an envelope, and to hash a payload of 1 GiB."""
    pem, device = (folder / "dev-release.pem").read_bytes(), folder / "targets/mps2-an385.toml"
    with (folder / "large.bin").open("wb") as file:
        file.truncate(GIB)
    digest = envelopes.zeros(GIB)
    data = envelopes.signed(pem, device=device, uri="large.bin", size=GIB, sha256=digest)
    (folder / "large.suit").write_bytes(data)
    mine, theirs = envelopes.rates(pem, data)
    rows = [
        Row(
            name="envelope-verify", value=round(mine * 1e6, 1), unit="us", goal=2.0,
            against="cbor2 and cryptography", ratio=round(mine / theirs, 3),
        )
    ]  # fmt: skip
    verify += ["--device", device, "--payload", "large.bin=large.bin"]
    if (openssl := shutil.which("openssl")) is None:
        print("hash  not measured: openssl is not installed")
        return rows
    # At 0.9 of its speed or better, start of the whole process included.
    rows.append(pair("hash", verify, [openssl, "dgst", "-sha256", "large.bin"], folder, 1.11))
    rows.append(Row(name="hash-memory", value=resident(verify, folder), unit="MB", goal=100))
    return rows


def resident(command: list[str | Path], cwd: Path) -> float:
    """Answer how much memory a program held at most, in MB."""
    program = subprocess.Popen(command, cwd=cwd, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(program.pid, 0)
    program.returncode = os.waitstatus_to_exitcode(status)
    if program.returncode:
        raise subprocess.CalledProcessError(program.returncode, command)
    return round(usage.ru_maxrss * KIB / 1e6, 1)


def boot() -> list[Row]:
    """Answer how long QEMU takes from reset to the boot program's halt; nothing without QEMU."""
    from fwseal.device import qemu
    from fwseal.device.board import FLASH_SIZE

    program = ROOT / "build/targets/mps2-an385/unsigned/boot.bin"
    if not program.is_file() or shutil.which("qemu-system-arm") is None:
        print("qemu-boot  not measured: run make demo first, with QEMU installed")
        return []
    with tempfile.TemporaryDirectory() as place:
        flash = Path(place, "flash.img")
        flash.write_bytes(b"\xff" * FLASH_SIZE)
        runs = [qemu.run(boot=program, flash=flash).seconds for _ in range(ROUNDS)]
    return [Row(name="qemu-boot", value=round(statistics.median(runs), 4), unit="s", goal=0.1)]


if __name__ == "__main__":
    sys.exit(main())
