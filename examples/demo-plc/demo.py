"""The main job on real parts: source to a booted device, then the attacks it refuses.

Every step is a `fwseal` command as anybody would type it; what this script adds is the attacker,
who edits files on the server, in the offer and in flash. It ends with a table and
build/demo/summary.json.
"""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import subprocess
import sys
import textwrap
import time
import tomllib
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[2]
WORK = ROOT / "build" / "demo"
PROFILE = "targets/mps2-an385.toml"
RELEASES = {
    "1.0.0": "manifests/demo-plc-1.0.0.toml",
    "1.1.0": "manifests/demo-plc.toml",
    "1.2.0": "manifests/demo-plc-faulty.toml",
}


class Failed(Exception):
    """A command did not do what the demo promises; `code` is what the demo exits with."""

    def __init__(self, message: str, code: int = 1) -> None:
        super().__init__(message)
        self.code = code


def fwseal(*arguments: str | Path, refused: bool = False) -> dict[str, Any]:
    """Run one verb with --json; answer its object."""
    command = [sys.executable, "-m", "fwseal", *map(str, arguments), "--json"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode != (1 if refused else 0):
        said = done.stderr.strip() or done.stdout.strip() or f"exit {done.returncode}"
        shown = " ".join(["fwseal", *map(str, arguments)])
        expected = "was accepted" if done.returncode == 0 else "failed"
        raise Failed(f"{shown} {expected}: {said}", 3 if done.returncode == 3 else 1)
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


class Demo:
    """What happened so far, in the shape of summary.json."""

    def __init__(self) -> None:
        self.steps: list[dict[str, Any]] = []
        self.substitutes: list[dict[str, str]] = []
        self.refusals: list[dict[str, str]] = []
        self.last_boot: dict[str, Any] = {}
        self.state = WORK / "device"

    @contextlib.contextmanager
    def step(self, name: str) -> Iterator[list[str]]:
        """Time a step; it is ok when nothing in it failed. What is appended is its detail."""
        detail: list[str] = []
        begin = time.monotonic()
        row = {"name": name, "ok": False, "seconds": 0.0, "detail": ""}
        self.steps.append(row)
        try:
            yield detail
            row["ok"] = True
        except Failed as error:
            detail.append(str(error))
            raise
        finally:
            row["seconds"] = round(time.monotonic() - begin, 2)
            row["detail"] = "; ".join(detail)
            shown = row["detail"] if not row["ok"] else textwrap.shorten(str(row["detail"]), 35)
            print(f"{'ok' if row['ok'] else 'FAILED':<8}{name:<37}{shown}".rstrip(), flush=True)

    def substitute(self, real: str, used: str) -> None:
        """Say that a real part is not here, and what stands in for it."""
        if {"real": real, "used": used} not in self.substitutes:
            self.substitutes.append({"real": real, "used": used})

    def device(self, verb: str, *arguments: str | Path, refused: bool = False) -> dict[str, Any]:
        """Run a verb of the device under test."""
        words = ("device", "mps2-an385", verb, "--state", self.state, *arguments)
        return fwseal(*words, refused=refused)

    def boot(self, digest: str) -> dict[str, Any]:
        """Power the device on; it must start exactly the image of that digest."""
        self.last_boot = self.device("boot")
        if self.last_boot["image_digest"] != digest:
            raise Failed(f"booted {self.last_boot['image_digest']}, not {digest}")
        return self.last_boot

    def refusal(self, attack: str, reason: str, keeps: str, offered: dict[str, Any]) -> None:
        """Record an attack that was refused, once a boot has shown what the device kept."""
        with self.step(f"refuse {attack}") as detail:
            detail.append(offered["reason"])
            if offered["reason"] != reason:
                raise Failed(f"refused for {offered['reason']}, expected {reason}")
            booted = self.boot(keeps)["image_digest"]
            self.refusals.append({"attack": attack, "reason": reason, "booted_digest": booted})

    def write(self) -> None:
        """Write summary.json."""
        booted = {key: self.last_boot.get(key) for key in ("banner", "image_digest")}
        device = {**booted, "sequence_number": self.last_boot.get("sequence_number")}
        summary = {
            "schema_version": 1,
            "steps": self.steps,
            "substitutes": self.substitutes,
            "device": device,
            "refusals": self.refusals,
        }
        text = json.dumps(summary, indent=1) + "\n"
        (WORK / "summary.json").write_text(text, encoding="utf-8")


@contextlib.contextmanager
def serving(repository: Path) -> Iterator[tuple[str, ...]]:
    """Serve a repository; answer the options that point a device to it."""
    command = [sys.executable, "-m", "fwseal", "repo", "serve", str(repository), "--port", "0"]
    command += ["--seconds", "300", "--json"]
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as server:
        try:
            if server.stdout is None:
                raise Failed("the server says nothing")
            urls = json.loads(server.stdout.readline())
            yield (
                "--metadata-url", urls["metadata_url"], "--target-base-url",
                urls["target_base_url"],
            )  # fmt: skip
        finally:
            server.terminate()


@contextlib.contextmanager
def tampered(path: Path, offset: int) -> Iterator[Path]:
    """Flip one bit of a file while the context lasts."""
    good = path.read_bytes()
    bad = bytearray(good)
    bad[offset] ^= 0x01
    path.write_bytes(bad)
    try:
        yield path
    finally:
        path.write_bytes(good)


def digest(release: Path) -> str:
    """Answer the digest the boot stage will compute over a release's image."""
    body = json.loads((release / "release.json").read_bytes())
    found: str = body["payloads"][0]["unsigned_sha256"]
    return found


def offer(release: Path, envelope: Path | None = None, payload: Path | None = None) -> list[str]:
    """Answer the arguments that offer a release, or a doctored part of it."""
    body = json.loads((release / "release.json").read_bytes())["payloads"][0]
    file = payload or release / "payloads" / body["file"]
    return [str(envelope or release / "envelope.suit"), "--payload", f"{body['uri']}={file}"]


def make(demo: Demo, repository: Path) -> dict[str, Path]:
    """Keys, three reproducible builds, signatures, and the first release published."""
    with demo.step("keys") as detail:
        keyring = ROOT / "build" / "dev" / "keyring.toml"
        if not keyring.is_file():
            place = "softhsm" if shutil.which("softhsm2-util") else "files"
            fwseal("keys", "init", "--dev", "--in", place)
        keys = fwseal("keys", "list")["keys"]
        if any(key["uri"].startswith("file:") for key in keys):
            demo.substitute("SoftHSM", "development key file")
        detail.append(f"{len(keys)} keys, {keys[0]['uri'].partition(':')[0]}")
    with demo.step("build boot program") as detail:
        boot = ROOT / "build" / "targets" / "mps2-an385"
        shutil.rmtree(boot, ignore_errors=True)
        built = fwseal("build", "manifests/mps2-an385-boot.toml", "-o", boot)
        if built["sandbox"] != "bubblewrap":
            demo.substitute("bubblewrap", f"sandbox level {built['sandbox']}")
        if built["recorder"] == "none":
            demo.substitute("strace", "no record of what the builds read")
        detail.append(f"twice, alike, sandbox {built['sandbox']}")
    releases = {}
    for version, recipe in RELEASES.items():
        release = releases[version] = WORK / version
        with demo.step(f"build {version}") as detail:
            source = WORK / f"{version}-source.tar"
            built = fwseal("build", recipe, "-o", release, "--source-archive", source)
            detail.append("sha256 " + built["unsigned_sha256"]["demo-plc.bin"][:16])
        with demo.step(f"sign {version}") as detail:
            signed = fwseal("sign", release)["signed"]
            detail.append(", ".join(signed.values()))
    with demo.step("rebuild 1.1.0") as detail:
        again = ("--source", WORK / "1.1.0-source.tar", "--sandbox", "none")
        rebuilt = fwseal("rebuild", releases["1.1.0"], *again)
        mine = releases["1.1.0"] / "unsigned" / "demo-plc.bin"
        fwseal("verify-rebuild", releases["1.1.0"], mine, "--device", PROFILE)
        detail.append(f"{rebuilt['words']}, and what was signed")
    with demo.step("publish 1.0.0") as detail:
        done = fwseal("publish", releases["1.0.0"], "--to", repository)
        detail.append(f"timestamp {done['timestamp']}, {len(done['targets'])} targets")
    return releases


def update(demo: Demo, repository: Path, releases: dict[str, Path], at: tuple[str, ...]) -> None:
    """A factory-fresh device takes 1.0.0, then 1.1.0, over TUF."""
    with demo.step("provision") as detail:
        emulator = "qemu" if shutil.which("qemu-system-arm") else "unicorn"
        if emulator == "unicorn":
            demo.substitute("QEMU", "Unicorn")
        root = repository / "metadata" / "1.root.json"
        demo.device("provision", PROFILE, "--tuf-root", root, "--emulator", emulator)
        detail.append(f"mps2-an385 on {emulator}")
    for version in ("1.0.0", "1.1.0"):
        if version != "1.0.0":
            with demo.step(f"publish {version}"):
                fwseal("publish", releases[version], "--to", repository)
        with demo.step(f"update to {version}") as detail:
            evidence = demo.device("update", *at)["evidence"]
            detail.append(f"signed by {', '.join(evidence['signers'])}")
        with demo.step(f"boot {version}") as detail:
            booted = demo.boot(digest(releases[version]))
            if not booted["confirmed"]:
                raise Failed("the image did not confirm itself")
            detail.append(booted["banner"])


def attack(demo: Demo, repository: Path, releases: dict[str, Path], at: tuple[str, ...]) -> None:
    """Everything an attacker on the wire, at the desk or in the flash tries here is refused."""
    old, new, faulty = (releases[version] for version in RELEASES)
    kept = digest(new)

    def refused(verb: str, *words: str | Path) -> dict[str, Any]:
        return demo.device(verb, *words, refused=True)

    demo.refusal("older release", "rollback", kept, refused("offer", *offer(old)))
    for name, label, reason in (
        ("stranger's key", "stranger", "unknown-signer"),
        ("stranger with our kid", "dev-release", "bad-signature"),
    ):
        envelope = forged(label, faulty)
        demo.refusal(name, reason, kept, refused("offer", *offer(faulty, envelope=envelope)))
    newest = max(
        (repository / "metadata").glob("*.snapshot.json"),
        key=lambda path: int(path.name.partition(".")[0]),
    )
    with tampered(newest, 100):
        demo.refusal("tampered snapshot", "metadata-mismatch", kept, refused("update", *at))
    later = (datetime.now(UTC) + timedelta(days=10)).strftime("%Y-%m-%dT%H:%M:%SZ")
    expired = refused("update", *at, "--at", later)
    demo.refusal("expired timestamp", "metadata-expired", kept, expired)

    slot = demo.last_boot["slot"]
    layout = tomllib.loads((ROOT / "targets/mps2-an385/layout.toml").read_text(encoding="utf-8"))
    offset = layout["slots"]["origins"][slot] - layout["memory"]["flash"]["origin"] + 0x300
    flash = demo.state / "flash.img"
    content = bytearray(flash.read_bytes())
    content[offset] ^= 0x01
    flash.write_bytes(content)
    with demo.step("refuse overwritten slot") as detail:
        booted = demo.boot(digest(old))
        found = [one["reason"] for one in booted["erased"] if one["slot"] == slot]
        if found != ["digest-mismatch"]:
            raise Failed(f"the boot program said {found}")
        detail.append(f"{found[0]}, erased, runs 1.0.0")
        row = {"attack": "overwritten slot", "reason": found[0]}
        demo.refusals.append({**row, "booted_digest": booted["image_digest"]})
    with demo.step("install 1.1.0 again") as detail:
        demo.device("update", *at)
        detail.append(f"a retry of number 2, slot {demo.boot(kept)['slot']}")

    payload = WORK / "doctored.bin"
    shutil.copy(faulty / "payloads" / "demo-plc.bin", payload)
    with tampered(payload, 0x300):
        doctored = refused("offer", *offer(faulty, payload=payload))
        demo.refusal("payload bit flipped in offer", "payload-digest", kept, doctored)
    fwseal("publish", faulty, "--to", repository)
    served = next((repository / "targets").glob("plc/*/3/*.demo-plc.bin"))
    with tampered(served, 0x300):
        on_server = refused("update", *at)
        demo.refusal("payload bit flipped on server", "target-mismatch", kept, on_server)


def revert(demo: Demo, releases: dict[str, Path], at: tuple[str, ...]) -> None:
    """A signed release whose self-test fails is tried once, and the device goes back."""
    with demo.step("update to 1.2.0 (faulty)"):
        demo.device("update", *at)
    with demo.step("boot 1.2.0 on trial") as detail:
        booted = demo.boot(digest(releases["1.2.0"]))
        if booted["confirmed"] or booted["state"] != "trial" or not booted["exit_code"]:
            raise Failed("a failing self-test confirmed the image")
        detail.extend(re.findall("self-test failed.*", booted["uart"]))
    with demo.step("revert to 1.1.0") as detail:
        booted = demo.boot(digest(releases["1.1.0"]))
        (erased,) = booted["erased"]
        if erased["reason"] != "not-confirmed":
            raise Failed(f"erased for {erased['reason']}")
        detail.append(f"{erased['reason']}, erased, runs 1.1.0")
        row = {"attack": "release that fails its self-test", "reason": erased["reason"]}
        demo.refusals.append({**row, "booted_digest": booted["image_digest"]})


def forged(label: str, release: Path) -> Path:
    """Answer an envelope around a release's manifest, signed by a key nobody enrolled."""
    from fwseal.signing import softkey

    folder = WORK / "stranger"
    folder.mkdir(exist_ok=True)
    key, envelope = folder / f"{label}.pem", folder / f"{label}.suit"
    key.write_bytes(softkey.generate())
    payload = offer(release)[-1]
    words = ("author", RELEASES["1.2.0"], "--key", f"file:{key}", "-o", envelope)
    fwseal(*words, "--payload", payload)
    return envelope


def main() -> int:
    """Run the demo; answer its exit code."""
    shutil.rmtree(WORK, ignore_errors=True)
    WORK.mkdir(parents=True)
    demo, repository, code = Demo(), WORK / "repository", 0
    begin = time.monotonic()
    try:
        releases = make(demo, repository)
        with serving(repository) as at:
            update(demo, repository, releases, at)
            attack(demo, repository, releases, at)
            revert(demo, releases, at)
    except Failed as error:
        code = error.code
    demo.write()
    print()
    for real, used in ((row["real"], row["used"]) for row in demo.substitutes):
        print(f"substitute: {used} for {real}")
    done = sum(step["ok"] for step in demo.steps)
    booted = demo.last_boot
    print(f"{done} of {len(demo.steps)} steps ok in {time.monotonic() - begin:.0f} s, ", end="")
    print(f"{len(demo.refusals)} attacks refused; build/demo/summary.json has it all")
    if booted:
        print(f"the device runs {booted['banner']}, image {booted['image_digest']}")
    return code


if __name__ == "__main__":
    sys.exit(main())
