"""`fwseal lint`: what a device would refuse, and what is legal but unwise, before anyone signs."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

from fwseal.base.errors import Misuse
from fwseal.cli import files, inputs, main, project, releasedir, render
from fwseal.device import rehearsal
from fwseal.device.admission import Installed
from fwseal.signing import release as signing
from fwseal.suit import envelope as envelopes

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Mapping

    from fwseal.base.ids import Uri
    from fwseal.base.ports import Fetcher
    from fwseal.base.release import Release
    from fwseal.cose.keys import PublicKey
    from fwseal.device.profile import DeviceProfile
    from fwseal.device.rehearsal import Desk, Signatory
    from fwseal.signing.keyring import Key
    from fwseal.suit.envelope import Envelope
    from fwseal.suit.lint import Finding


def arguments(parser: argparse.ArgumentParser) -> None:
    """Say what the verb takes."""
    parser.add_argument("what", metavar="RELEASE|ENVELOPE", type=Path)
    parser.add_argument(
        "--device",
        metavar="PROFILE",
        type=Path,
        help="the profile of a release's recipe by default",
    )
    payload(parser)
    main.common(parser)


def payload(parser: argparse.ArgumentParser) -> None:
    """Add `--payload`, for what a release does not hold itself."""
    parser.add_argument(
        "--payload", metavar="URI=FILE", action="append", default=[],
        help="a payload that lies elsewhere, as those of a dependency do",
    )  # fmt: skip


def run(options: argparse.Namespace) -> int:
    """Print each finding."""
    found = _release(options) if options.what.is_dir() else _envelope(options)
    body = {
        "findings": [
            {**dataclasses.asdict(one), "reason": one.reason.value, "where": one.where or None}
            for one in found
        ]
    }
    render.result(_said(found), body, as_json=options.json)
    if not found:
        return render.EXIT_OK
    return (
        render.EXIT_REFUSED if options.json else render.failure(found[0].refusal(), as_json=False)
    )


def _said(found: tuple[Finding, ...]) -> str:
    lines = [
        f"{one.reason.value}  {one.where or 'the whole'}\n  {one.message}\n  {one.remedy}"
        for one in found
    ]
    return "\n".join(lines or ["nothing found"])


def _envelope(options: argparse.Namespace) -> tuple[Finding, ...]:
    data = files.read(options.what)
    if not options.device:
        raise Misuse("an envelope is looked at for a device", hint="--device PROFILE")
    device = inputs.profile(options.device)
    envelope = envelopes.decode(data, limits=device.limits)
    desk = rehearsal.Desk(
        profile=device,
        installed=Installed(sequence_number=_last(device, None)),
        fetcher=inputs.FileFetcher(options.payload),
    )
    return rehearsal.findings(envelope, desk)


def _release(options: argparse.Namespace) -> tuple[Finding, ...]:
    release = releasedir.load(options.what)
    job = releasedir.job(options.what, release)
    device = inputs.profile(options.device or job.device)
    read = files.reader(options.what)
    envelope, images = signing.planned(release, job.manifest, read=read)
    return rehearsal.findings(envelope, desk(release, device, images, options.payload))


def refuse(
    options: argparse.Namespace,
    release: Release,
    job: releasedir.Job,
    *,
    boot: PublicKey | None,
    keys: tuple[Key, ...],
) -> Envelope:
    """Answer the envelope of a release, when lint finds nothing in it with these keys' signatures.

    While images are still to be signed it is the one they would have as they are. Raises the first
    finding as `Refused`, whose hint is the remedy. No key was asked.
    """
    read = files.reader(options.release)
    if signing.BOOT in signing.remaining(release):
        envelope, images = signing.planned(release, job.manifest, read=read)
    else:
        envelope = signing.unsigned(release, job.manifest, read=read, boot=boot)
        images = {one.file: read(f"payloads/{one.file}") for one in release.payloads}
    where = desk(release, inputs.profile(job.device), images, options.payload)
    found = rehearsal.findings(envelope, where, signers=tuple(map(signatory, keys)))
    if found:
        raise found[0].refusal()
    return envelope


def signatory(key: Key) -> Signatory:
    """Answer who signs when a key of the inventory does."""
    return rehearsal.Signatory(kid=key.kid, key=key.public, algorithm=key.algorithm)


def desk(
    release: Release, device: DeviceProfile, images: Mapping[str, bytes], named: list[str]
) -> Desk:
    """Answer the device that a release is for, at the sequence number that was released last."""
    payloads = {one.uri: images[one.file] for one in release.payloads}
    return rehearsal.Desk(
        profile=device,
        installed=Installed(sequence_number=_last(device, release)),
        fetcher=_Payloads(payloads, inputs.FileFetcher(named)),
    )


class _Payloads:
    """The payloads of a release, and behind them files that were named."""

    def __init__(self, payloads: Mapping[str, bytes], outer: Fetcher) -> None:
        self._payloads = payloads
        self._outer = outer

    def fetch(self, uri: Uri, *, max_size: int) -> Iterator[bytes]:
        """Answer a payload's bytes; raises `NotThere`."""
        if uri in self._payloads:
            return iter((self._payloads[uri],))
        return self._outer.fetch(uri, max_size=max_size)


def _last(device: DeviceProfile, release: Release | None) -> int | None:
    """Answer the highest sequence number that the profile or the project's repository knows."""
    line = release.line if release else device.line
    class_id = release.class_id if release else str(device.class_id)
    published = None
    try:
        place = project.find().repository
    except Misuse:
        place = None  # an envelope can be looked at without a project
    if place is not None and line:
        from fwseal.delivery import publish as publishing  # TUF is slow to load
        from fwseal.delivery.dirstore import DirStore

        published = publishing.last(DirStore(place), line=line, class_id=class_id)
    known = [one for one in (device.sequence_number, published) if one is not None]
    return max(known, default=None)
