"""Signed envelopes with more than one component, dependencies and ciphertext, whole, end to end.

What is refused leaves nothing bootable and commits no number.
"""

from __future__ import annotations

import dataclasses
import secrets
from typing import TYPE_CHECKING

import pytest

from flashes import Files
from formats.refusals import refused
from fwseal.base.digest import Digest, DigestAlgorithm
from fwseal.base.errors import Refused, Unavailable
from fwseal.base.ids import Kid
from fwseal.base.reasons import Reason
from fwseal.cose.encryption import ContentAlgorithm, Encrypt, Kek, encrypted
from fwseal.device import driver
from fwseal.device.admission import Installed
from fwseal.device.effects import Invoke, Load, Measured
from fwseal.device.storage import Scratch
from fwseal.suit.labels import ManifestKey
from fwseal.suit.limits import Limits
from fwseal.suit.manifest import Manifest
from fwseal.suit.sequence import SetIndex
from fwseal.suit.severing import severed
from programs import (
    COPY,
    DEPENDENCY_KEY,
    FETCH,
    FRESH,
    INTEGRITY,
    MATCH,
    PROCESS,
    SWAP,
    WRITE,
    A,
    B,
    M,
    admitted,
    board,
    digest_of,
    image,
    manifest,
    put,
    sealed,
)
from shelves import Shelves

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from fwseal.base.ids import Uri
    from fwseal.base.ports import Fetcher
    from fwseal.device.profile import DeviceProfile
    from fwseal.suit.sequence import Sequence, Step

PLAIN = b"a payload that is a secret " * 20
KEK = Kek(kid=Kid("device"), secret=bytes(range(16)))
DEVICE = board(recipients=(KEK,))
CTR, GCM = ContentAlgorithm.A128CTR, ContentAlgorithm.A128GCM


def two(*install: Step) -> bytes:
    return sealed(
        Manifest(
            sequence_number=2,
            components=(A, B),
            sequences={ManifestKey.INSTALL: install, ManifestKey.VALIDATE: (SetIndex(0), MATCH)},
        )
    )


def offer(
    envelope: bytes,
    files: Mapping[str, bytes] | Fetcher,
    *,
    device: DeviceProfile = DEVICE,
    shelves: Shelves | None = None,
    installed: Installed = FRESH,
) -> Shelves:
    """Answer what the device holds; a device that refused is asked whether it kept its word."""
    shelves = Shelves() if shelves is None else shelves
    bootable = set(shelves.bootable)
    source = Files(files) if isinstance(files, dict) else files
    try:
        done = driver.install(
            envelope, profile=device, installed=installed, storage=shelves, fetcher=source
        )
    except Refused:
        assert shelves.finished == []
        assert shelves.bootable <= bootable
        raise
    assert done.sequence_number == 2
    return shelves


def sealed_payload(algorithm: ContentAlgorithm) -> tuple[Encrypt, bytes]:
    return encrypted(PLAIN, algorithm=algorithm, recipients=(KEK,), random=secrets.token_bytes)


def secret(info: Encrypt, *, sized: bool = True, plain: bytes = PLAIN) -> bytes:
    said = image(plain) if sized else put(image_digest=Digest.of(plain))
    return two(SetIndex(0), said, put(uri="x.bin", encryption_info=info), FETCH)


@pytest.mark.parametrize("algorithm", [CTR, GCM])
@pytest.mark.parametrize("sized", [True, False])
def test_encrypted_payload_is_written_as_plaintext(
    algorithm: ContentAlgorithm, sized: bool
) -> None:
    info, ciphertext = sealed_payload(algorithm)
    kept = offer(secret(info, sized=sized), {"x.bin": ciphertext})
    assert kept.kept == {A: PLAIN}
    assert kept.bootable == {A}


@pytest.mark.parametrize("algorithm", [CTR, GCM])
def test_encrypted_payload_may_be_staged_and_decrypted_by_a_copy_or_stand_in_the_manifest(
    algorithm: ContentAlgorithm,
) -> None:
    info, ciphertext = sealed_payload(algorithm)
    staged = two(
        SetIndex(1), put(uri="x.bin"), FETCH,
        SetIndex(0), image(PLAIN), put(source_component=1, encryption_info=info), COPY,
    )  # fmt: skip
    assert offer(staged, {"x.bin": ciphertext}).kept[A] == PLAIN
    written = two(SetIndex(0), image(PLAIN), put(content=ciphertext, encryption_info=info), WRITE)
    assert offer(written, {}).kept == {A: PLAIN}


@pytest.mark.parametrize("algorithm", [CTR, GCM])
def test_payload_for_another_key_is_refused_before_anything_is_erased(
    algorithm: ContentAlgorithm,
) -> None:
    info, ciphertext = sealed_payload(algorithm)
    for wrong in (
        (Kek(kid=Kid("device"), secret=bytes(16)),),
        (dataclasses.replace(KEK, kid=Kid("x")),),
        (),
    ):
        shelves = Shelves({A: b"old"})
        with refused(Reason.DECRYPTION_FAILED):
            offer(
                secret(info), {"x.bin": ciphertext}, device=board(recipients=wrong), shelves=shelves
            )
        assert (shelves.kept, shelves.log) == ({A: b"old"}, [])


def test_ciphertext_with_a_flipped_bit_is_caught_by_the_digest_of_the_plaintext() -> None:
    for algorithm, reason in ((CTR, Reason.DIGEST_MISMATCH), (GCM, Reason.DECRYPTION_FAILED)):
        info, ciphertext = sealed_payload(algorithm)
        flipped = bytes([ciphertext[0] ^ 1]) + ciphertext[1:]
        with refused(reason):
            offer(secret(info), {"x.bin": flipped})


def test_ciphertext_whose_tag_was_stripped_is_refused() -> None:
    info, ciphertext = sealed_payload(GCM)
    with refused(Reason.DECRYPTION_FAILED):
        offer(secret(info), {"x.bin": ciphertext[:-16]})


def test_ciphertext_that_is_longer_than_size_and_tag_is_refused() -> None:
    for algorithm in (CTR, GCM):
        info, ciphertext = sealed_payload(algorithm)
        with refused(Reason.PAYLOAD_SIZE):
            offer(secret(info), {"x.bin": ciphertext + b"!"})


def test_digest_of_the_ciphertext_alone_validates_nothing() -> None:
    info, ciphertext = sealed_payload(CTR)
    with refused(Reason.DIGEST_MISMATCH):
        offer(secret(info, plain=ciphertext), {"x.bin": ciphertext})


def test_content_key_with_a_flipped_bit_is_refused_and_nothing_is_erased() -> None:
    info, ciphertext = sealed_payload(CTR)
    (one,) = info.recipients
    wrapped = bytes([one.wrapped[0] ^ 1]) + one.wrapped[1:]
    changed = dataclasses.replace(info, recipients=(dataclasses.replace(one, wrapped=wrapped),))
    shelves = Shelves({A: b"old"})
    with refused(Reason.DECRYPTION_FAILED):
        offer(secret(changed), {"x.bin": ciphertext}, shelves=shelves)
    assert shelves.kept == {A: b"old"}


def test_encrypted_update_offered_again_leaves_what_waits_to_boot() -> None:
    info, ciphertext = sealed_payload(CTR)
    shelves = offer(secret(info), {"x.bin": ciphertext})
    shelves.log.clear()
    offer(secret(info), {"x.bin": b"garbage"}, shelves=shelves)
    assert shelves.log == []
    assert shelves.kept == {A: PLAIN}


class Empty:
    """A source that says something empty before it fails."""

    def fetch(self, uri: Uri, *, max_size: int) -> Iterator[bytes]:  # noqa: ARG002 - as any fetcher
        yield b""
        raise Unavailable(uri)


def test_source_that_fails_behind_an_empty_piece_has_erased_nothing() -> None:
    shelves = Shelves({A: b"old"})
    with pytest.raises(Unavailable):
        offer(two(SetIndex(0), image(PLAIN), put(uri="x.bin"), FETCH), Empty(), shelves=shelves)
    assert (shelves.kept, shelves.log) == ({A: b"old"}, [])


def test_payload_of_no_bytes_empties_the_component() -> None:
    shelves = offer(two(SetIndex(0), image(b""), put(uri="x.bin"), FETCH), {"x.bin": b""})
    assert (shelves.kept, shelves.log) == ({A: b""}, ["begin"])


def test_content_that_the_component_cannot_take_is_refused_as_storage_full() -> None:
    sized = (put(image_size=len(PLAIN)),)
    for command, said, size, reason in (
        (WRITE, (), len(PLAIN), None),
        (WRITE, (), len(PLAIN) - 1, Reason.STORAGE_FULL),
        (FETCH, (), len(PLAIN), None),
        (FETCH, (), len(PLAIN) - 1, Reason.STORAGE_FULL),
        (FETCH, sized, len(PLAIN), None),
        (FETCH, sized, len(PLAIN) - 1, Reason.STORAGE_FULL),
    ):
        shelves = Shelves({A: b"old"}, capacity=size)
        envelope = two(
            SetIndex(0),
            put(content=PLAIN, uri="x.bin", image_digest=Digest.of(PLAIN)),
            *said,
            command,
        )
        if reason is None:
            assert offer(envelope, {"x.bin": PLAIN}, shelves=shelves).kept[A] == PLAIN
            continue
        with refused(reason):
            offer(envelope, {"x.bin": PLAIN}, shelves=shelves)


def test_copy_of_more_than_the_manifest_says_is_refused() -> None:
    envelope = two(SetIndex(0), image(PLAIN), put(source_component=1), COPY)
    with refused(Reason.PAYLOAD_SIZE):
        offer(envelope, {}, shelves=Shelves({B: PLAIN + b"!"}))


def test_install_that_was_severed_and_is_not_here_is_refused_and_nothing_is_fetched() -> None:
    less, members = severed(manifest(), [ManifestKey.INSTALL])
    shelves = Shelves()
    with refused(Reason.SEVERED_MISSING):
        offer(sealed(less), {}, shelves=shelves)
    again = Installed(sequence_number=2, confirmed={A: frozenset({Digest.of(b"other")})})
    with refused(Reason.SEVERED_MISSING):  # and so is the retry of one
        offer(sealed(less), {}, shelves=shelves, installed=again)
    assert shelves.log == []
    assert offer(sealed(less, severed=members), {"app.bin": bytes(range(256)) * 4}).bootable == {A}


# Dependencies


USUAL: Sequence = (SetIndex(1), INTEGRITY, PROCESS)
BELOW = Manifest(
    sequence_number=1,
    components=(A,),
    component_id=M,
    sequences={
        ManifestKey.INSTALL: (put(uri="#radio"), FETCH),
        ManifestKey.VALIDATE: (image(PLAIN), MATCH),
    },
)
INNER = sealed(BELOW, DEPENDENCY_KEY, integrated={"#radio": PLAIN})


def depends(inner: bytes = INNER, *said: Step, uri: str = "#below") -> Manifest:
    return Manifest(
        sequence_number=2,
        components=(A, M),
        dependencies={1: None},
        shared_sequence=(SetIndex(1), put(uri=uri, image_digest=digest_of(inner)), *said),
        sequences={
            ManifestKey.DEPENDENCY_RESOLUTION: (SetIndex(1), FETCH, *USUAL),
            ManifestKey.PAYLOAD_FETCH: USUAL,
            ManifestKey.INSTALL: USUAL,
            ManifestKey.VALIDATE: USUAL,
        },
    )


def test_dependency_inside_the_envelope_brings_its_own_payload() -> None:
    shelves = offer(sealed(depends(), integrated={"#below": INNER}), {})
    assert shelves.kept == {A: PLAIN, M: INNER}
    assert shelves.bootable == {A}


def test_payload_of_a_dependent_is_none_of_its_dependency_s() -> None:
    bare = sealed(BELOW, DEPENDENCY_KEY)
    root = depends(bare, SetIndex(0), put(uri="#radio"))
    own = {**root.sequences, ManifestKey.INSTALL: (*USUAL, SetIndex(0), FETCH)}
    envelope = sealed(dataclasses.replace(root, sequences=own),
                      integrated={"#below": bare, "#radio": PLAIN})  # fmt: skip
    with refused(Reason.PAYLOAD_MISSING):
        offer(envelope, {})


def test_integrated_dependency_that_was_replaced_is_refused() -> None:
    other = sealed(dataclasses.replace(BELOW, sequence_number=0), DEPENDENCY_KEY,
                   integrated={"#radio": PLAIN})  # fmt: skip
    shelves = Shelves()
    with refused(Reason.DEPENDENCY_REFUSED):
        offer(sealed(depends(), integrated={"#below": other}), {}, shelves=shelves)
    assert A not in shelves.kept


def test_dependency_that_nobody_has_is_missing() -> None:
    with refused(Reason.DEPENDENCY_MISSING):
        offer(sealed(depends(uri="b.suit")), {})


def test_envelope_of_a_dependency_is_bounded_by_the_limit_and_by_the_component() -> None:
    limit = board(limits=Limits(envelope_bytes=len(INNER)))
    exact = sealed(depends(uri="b.suit"))
    assert offer(exact, {"b.suit": INNER}, device=limit).kept[A] == PLAIN
    for said, size, capacity, reason in (
        ((), len(INNER) - 1, 1 << 20, Reason.LIMIT_EXCEEDED),
        ((), 1 << 20, len(INNER) - 1, Reason.STORAGE_FULL),
        ((put(image_size=len(INNER)),), len(INNER) - 1, 1 << 20, Reason.LIMIT_EXCEEDED),
        ((put(image_size=len(INNER) - 1),), 1 << 20, 1 << 20, Reason.PAYLOAD_SIZE),
    ):
        shelves = Shelves(capacity=capacity)
        with refused(reason):
            offer(
                sealed(depends(INNER, *said, uri="b.suit")), {"b.suit": INNER}, shelves=shelves,
                device=board(limits=Limits(envelope_bytes=size)),
            )  # fmt: skip


def test_component_is_read_no_further_than_a_dependency_may_be_long() -> None:
    limit = 700
    ready = admitted(depends(), board())
    for size, read in ((limit, limit), (limit + 1, limit + 1), (10 * limit, limit + 1)):
        shelves = Shelves({M: bytes(size)})
        event = driver.carried_out(Load(component=M, max_size=limit), ready, shelves, Files({}))
        assert len(event.data or b"") == read


def test_update_that_invokes_is_our_bug() -> None:
    with pytest.raises(AssertionError):
        driver.carried_out(
            Invoke(component=A, arguments=b""), admitted(depends(), board()), Shelves(), Files({})
        )


def test_desk_copies_and_swaps_by_fetching_again() -> None:
    envelope = two(
        SetIndex(1), image(PLAIN), put(uri="x.bin"), FETCH,
        SetIndex(0), image(PLAIN), put(source_component=1), COPY,
    )  # fmt: skip
    desk = Scratch()
    assert driver.install(
        envelope, profile=DEVICE, installed=FRESH, storage=desk, fetcher=Files({"x.bin": PLAIN})
    )


def copies(times: int) -> Iterator[Step]:
    """Answer what fetches a payload and copies it that often, between two components."""
    yield from (SetIndex(0), put(uri="x.bin"), FETCH)
    for one in range(1, times + 1):
        yield from (SetIndex(one % 2), put(source_component=(one + 1) % 2), COPY)


def on_desk(desk: Scratch, *install: Step) -> driver.Evidence:
    return driver.install(
        two(SetIndex((0, 1)), image(PLAIN), *install),
        profile=DEVICE,
        installed=FRESH,
        storage=desk,
        fetcher=Files({"x.bin": PLAIN}),
    )


def test_desk_copies_a_copy_of_a_copy_to_a_bounded_depth() -> None:
    assert on_desk(Scratch(), *copies(32))
    with refused(Reason.LIMIT_EXCEEDED):
        on_desk(Scratch(), *copies(33))


def test_what_a_desk_fetches_anew_is_a_copy_no_more() -> None:
    desk = Scratch()
    assert on_desk(desk, *copies(32), SetIndex(1), put(source_component=0), SWAP, *copies(32))
    for algorithm in DigestAlgorithm:
        expected = Measured(len(PLAIN), Digest.of(PLAIN, algorithm))
        assert [desk.measure(one, algorithm) for one in (A, B)] == [expected] * 2
