"""Hypothesis strategies for whatever our manifest types can say."""

from __future__ import annotations

import cbor2
from hypothesis import strategies as st

from fwseal.base.digest import Digest, DigestAlgorithm
from fwseal.base.ids import ComponentId, Kid
from fwseal.cose.encryption import ContentAlgorithm, Encrypt, KeyAlgorithm, Recipient
from fwseal.suit.labels import (
    SEQUENCES,
    SEVERABLE,
    Command,
    ManifestKey,
    Parameter,
    TextComponentKey,
    TextKey,
)
from fwseal.suit.manifest import Manifest
from fwseal.suit.sequence import (
    POLICY_COMMANDS,
    Override,
    ParameterValue,
    Plain,
    RunSequence,
    Sequence,
    SetIndex,
    SetParameters,
    Step,
    TryEach,
)
from fwseal.suit.text import Localized, Text

unsigned = st.integers(0, 2**64 - 1) | st.integers(0, 30)
short_bytes = st.binary(max_size=12)
short_text = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
component_ids = st.lists(st.binary(max_size=4), max_size=3).map(tuple)
uuids = st.builds(
    lambda raw, version: (
        raw[:6] + bytes([version << 4 | raw[6] & 15, raw[7], raw[8] & 63 | 128]) + raw[9:]
    ),
    st.binary(min_size=16, max_size=16),
    st.sampled_from([3, 4, 5]),
)


@st.composite
def digests(draw: st.DrawFn) -> Digest:
    """Draw a digest of any supported algorithm."""
    algorithm = draw(st.sampled_from(DigestAlgorithm))
    size = algorithm.size
    return Digest(algorithm=algorithm, value=draw(st.binary(min_size=size, max_size=size)))


@st.composite
def encryption_infos(draw: st.DrawFn) -> Encrypt:
    """Draw encryption info for recipients that hold a key-encryption key."""
    algorithm = draw(st.sampled_from(ContentAlgorithm))
    size = algorithm.key_size + 8
    wrapping = st.sampled_from([KeyAlgorithm.A128KW, KeyAlgorithm.A192KW, KeyAlgorithm.A256KW])
    recipient = st.builds(
        Recipient,
        algorithm=wrapping,
        kid=st.none() | short_text.map(Kid),
        ephemeral=st.none(),
        wrapped=st.binary(min_size=size, max_size=size),
    )
    return Encrypt(
        algorithm=algorithm,
        iv=draw(st.binary(min_size=algorithm.iv_size, max_size=algorithm.iv_size)),
        recipients=tuple(draw(st.lists(recipient, min_size=1, max_size=2))),
    )


def parameters(indices: frozenset[int]) -> st.SearchStrategy[dict[Parameter, ParameterValue]]:
    """Answer sets of parameters that may stand in a nested sequence."""
    values: dict[Parameter, st.SearchStrategy[ParameterValue]] = {
        Parameter.VENDOR_IDENTIFIER: uuids | short_bytes.map(lambda pen: cbor2.CBORTag(112, pen)),
        Parameter.CLASS_IDENTIFIER: uuids,
        Parameter.DEVICE_IDENTIFIER: uuids,
        Parameter.IMAGE_DIGEST: digests(),
        Parameter.IMAGE_SIZE: unsigned,
        Parameter.COMPONENT_SLOT: unsigned,
        Parameter.SOURCE_COMPONENT: st.sampled_from(sorted(indices)),
        Parameter.STRICT_ORDER: st.booleans(),
        Parameter.SOFT_FAILURE: st.booleans(),
        Parameter.CONTENT: short_bytes,
        Parameter.ENCRYPTION_INFO: encryption_infos(),
        Parameter.INVOKE_ARGS: short_bytes,
        Parameter.FETCH_ARGUMENTS: short_bytes,
        Parameter.URI: short_text,
    }
    return st.fixed_dictionaries({}, optional=values).filter(bool)


def steps(
    indices: frozenset[int], *, shared: bool = False, top: bool = True, depth: int = 2
) -> st.SearchStrategy[Step]:
    """Answer commands over these components: at the `top` of a sequence, or nested in it."""
    listed = st.sampled_from(sorted(indices))
    allowed = sorted(
        command
        for command in POLICY_COMMANDS - {Command.DIRECTIVE_INVOKE}
        if not shared or command.name.startswith("CONDITION")
    )
    hard = parameters(indices).map(
        lambda found: {key: one for key, one in found.items() if key is not Parameter.SOFT_FAILURE}
    )
    assigned = hard.filter(bool) if top else parameters(indices)
    found: st.SearchStrategy[Step] = (
        st.builds(Plain, st.sampled_from(allowed), st.integers(0, 15))
        | st.builds(
            SetIndex,
            listed
            | st.just(True)
            | st.lists(listed, min_size=1, max_size=3, unique=True).map(tuple),
        )
        | st.builds(Override, assigned)
    )
    if not shared:
        found |= st.builds(SetParameters, assigned)
    if depth:
        inner = st.lists(
            steps(indices, shared=shared, top=False, depth=depth - 1), min_size=1, max_size=3
        ).map(tuple)
        found |= st.builds(RunSequence, inner)
        found |= st.builds(
            lambda branches, last: TryEach((*branches, last)),
            st.lists(inner, min_size=1, max_size=3),
            st.none() | inner,
        )
    return found


def sequences(indices: frozenset[int], *, shared: bool = False) -> st.SearchStrategy[Sequence]:
    """Answer sequences that may stand in a manifest over these components."""
    rest = st.lists(steps(indices, shared=shared), min_size=1, max_size=4)
    if len(indices) == 1:
        return rest.map(tuple)
    first = st.sampled_from(sorted(indices)).map(SetIndex)
    return st.builds(lambda one, others: (one, *others), first, rest)


def texts(components: tuple[ComponentId, ...]) -> st.SearchStrategy[Text]:
    """Answer texts about a manifest and these components of it."""
    about = st.dictionaries(
        st.sampled_from(components),
        st.dictionaries(st.sampled_from(TextComponentKey), short_text),
        max_size=2,
    )
    said = st.dictionaries(st.sampled_from(TextKey), short_text)
    localized = st.builds(Localized, manifest=said, components=about)
    tags = st.from_regex(r"\A[a-zA-Z]{1,8}(-[a-zA-Z0-9]{1,8}){0,2}\Z")
    return st.builds(Text, languages=st.dictionaries(tags, localized, min_size=1, max_size=2))


@st.composite
def manifests(draw: st.DrawFn) -> Manifest:
    """Draw a manifest with anything that our types can express, severed members included."""
    components = tuple(draw(st.lists(component_ids, min_size=1, max_size=3, unique=True)))
    count = len(components)
    inside = st.dictionaries(st.integers(0, count - 1), st.none() | component_ids, max_size=2)
    past = st.dictionaries(st.integers(count, 2**64 - 1), component_ids, max_size=2)
    dependencies = {**draw(inside), **draw(past)}
    indices = frozenset(range(count)) | dependencies.keys()
    whole = sequences(indices)
    members = {key: (whole | digests() if key in SEVERABLE else whole) for key in SEQUENCES}
    return Manifest(
        sequence_number=draw(unsigned),
        components=components,
        dependencies=dependencies,
        component_id=draw(st.none() | component_ids),
        shared_sequence=draw(st.just(()) | sequences(indices, shared=True)),
        reference_uri=draw(st.none() | short_text),
        sequences=draw(st.fixed_dictionaries({}, optional=dict(members))),
        text=draw(st.none() | digests() | texts(components)),
    )


def severable(manifest: Manifest) -> list[ManifestKey]:
    """Answer the members of a manifest that are there and could be severed."""
    there = [key for key, one in manifest.sequences.items() if isinstance(one, tuple)]
    if isinstance(manifest.text, Text):
        there.append(ManifestKey.TEXT)
    return [key for key in there if key in SEVERABLE]
