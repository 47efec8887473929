"""Random programs by the machine and by a naive interpreter: recursion, exceptions, one big state.

The two share the types of a manifest and nothing else: same effects, same verdict.
"""

from __future__ import annotations

import copy
import dataclasses
import random
from typing import TYPE_CHECKING

from hypothesis import given, settings
from hypothesis import strategies as st

from fwseal.base.digest import Digest
from fwseal.base.reasons import Reason
from fwseal.device.effects import Copy, Fetch, Finish, Load, Measure, Swap, Write
from fwseal.device.profile import Component
from fwseal.device.storage import Scratch
from fwseal.suit.labels import Command, ManifestKey, Parameter
from fwseal.suit.limits import Limits
from fwseal.suit.manifest import Manifest
from fwseal.suit.sequence import (
    Override,
    Plain,
    RunSequence,
    SetIndex,
    SetParameters,
    TryEach,
)
from programs import (
    ABORT,
    CONTENT_OK,
    COPY,
    DEPENDENCY_KEY,
    FETCH,
    INTEGRITY,
    IS_DEPENDENCY,
    MATCH,
    PROCESS,
    SLOT_OK,
    SOFT,
    SWAP,
    VENDOR_OK,
    WRITE,
    A,
    B,
    C,
    M,
    admitted,
    board,
    digest_of,
    put,
    run,
    sealed,
)
from workshop import VENDOR

if TYPE_CHECKING:
    from fwseal.base.ids import ComponentId
    from fwseal.device.effects import Effect
    from fwseal.suit.sequence import ParameterValue, Sequence, Step

ONE, TWO = b"one" * 30, b"two" * 20
FILES = {"one.bin": ONE, "two.bin": TWO}
NAMES = (A, B, C, M)
DEPENDENCY = 3
STEPS = 120
LIMITS = Limits(steps=STEPS)
Log = list[tuple[object, ...]]


# The naive interpreter


class Soft(Exception):
    """A condition does not hold."""


class Hard(Exception):
    """Nothing can be done about it."""


@dataclasses.dataclass
class Scope:
    """What a sequence may change of itself."""

    on: list[int]
    soft: bool = False
    strict: bool = True
    frozen: bool = False
    once: bool = False
    many: bool = False
    all: bool = False


class Naive:
    """A device that does what it reads, at once."""

    def __init__(self, envelopes: dict[bytes, Manifest], kept: dict[ComponentId, bytes]) -> None:
        self.envelopes = envelopes
        self.memory = dict(kept)
        self.parameters: dict[ComponentId, dict[Parameter, object]] = {}
        self.trusted: dict[ComponentId, Manifest] = {}
        self.carried: dict[ComponentId, set[ManifestKey]] = {}
        self.flashed: set[ComponentId] = set()
        self.debts: set[ComponentId] = set()
        self.stack: list[Scope] = []
        self.read: set[ComponentId] = set()
        self.changed: set[ComponentId] = set()
        self.log: Log = []
        self.left = STEPS
        self.section = ManifestKey.VALIDATE
        self.nested = False

    def install(self, root: Manifest) -> Reason | None:
        try:
            for self.section in (
                ManifestKey.DEPENDENCY_RESOLUTION,
                ManifestKey.PAYLOAD_FETCH,
                ManifestKey.CANDIDATE_VERIFICATION,
                ManifestKey.INSTALL,
                ManifestKey.VALIDATE,
            ):
                self.whole(root)
            self.settle(root)
        except (Soft, Hard) as end:
            reason = end.args[0]
            assert isinstance(reason, Reason)
            return reason
        return None

    def whole(self, manifest: Manifest) -> None:
        steps = manifest.sequences.get(self.section)
        if isinstance(steps, tuple):
            self.sequence(manifest, manifest.shared_sequence, Scope([0]))
            self.sequence(manifest, steps, Scope([0]))

    def settle(self, root: Manifest) -> None:
        for index in root.dependencies:
            name = root.components[index]
            if name not in self.trusted:
                raise Hard(Reason.DEPENDENCY_MISSING)
            wanted = {
                key
                for key in self.trusted[name].sequences
                if key not in (ManifestKey.LOAD, ManifestKey.INVOKE)
            }
            if wanted - self.carried[name]:
                raise Hard(Reason.DEPENDENCY_REFUSED)
        if self.debts:
            raise Hard(Reason.CONDITION_FAILED)
        self.log.append(("finish", tuple(sorted(self.flashed))))

    def sequence(self, manifest: Manifest, steps: Sequence, scope: Scope) -> None:
        self.stack.append(scope)
        try:
            for step in steps:
                if isinstance(step, SetIndex):
                    self.spend()
                    if scope.frozen:
                        raise Hard(Reason.ABORTED)
                    self.select(manifest, step.index, scope)
                    continue
                for index in list(scope.on):
                    self.spend()
                    self.step(manifest, step, index, scope)
        finally:
            self.stack.pop()
            self.rest()

    def spend(self) -> None:
        if not self.left:
            raise Hard(Reason.LIMIT_EXCEEDED)
        self.left -= 1

    def rest(self) -> None:
        """Everything before is done, unless something around goes on in no order."""
        if all(scope.strict for scope in self.stack):
            self.read, self.changed = set(), set()

    def wait(self) -> None:
        if all(scope.strict for scope in self.stack[:-1]):
            self.read, self.changed = set(), set()

    def select(self, manifest: Manifest, index: int | tuple[int, ...], scope: Scope) -> None:
        scope.all = index is True
        scope.many = scope.all or isinstance(index, tuple)
        scope.frozen = scope.once
        if scope.all:
            scope.on = sorted({*range(len(manifest.components)), *manifest.dependencies})
        else:
            scope.on = list(index) if isinstance(index, tuple) else [index]
        self.wait()

    def step(self, manifest: Manifest, step: Step, index: int, scope: Scope) -> None:
        name = manifest.components[index]
        if isinstance(step, Override | SetParameters):
            self.assign(manifest, step, name, scope)
        elif isinstance(step, RunSequence):
            self.run(manifest, step.steps, index, scope)
        elif isinstance(step, TryEach):
            self.choose(manifest, step.branches, index, scope)
        elif isinstance(step, Plain):
            mine = self.parameters.get(name, {})
            self.plain(manifest, step.command, index, mine)

    def assign(
        self, manifest: Manifest, step: Override | SetParameters, name: ComponentId, scope: Scope
    ) -> None:
        mine = self.parameters.setdefault(name, {})
        for key, value in step.parameters.items():
            if key is Parameter.SOFT_FAILURE or key is Parameter.STRICT_ORDER:
                if isinstance(step, Override):
                    attribute = "soft" if key is Parameter.SOFT_FAILURE else "strict"
                    setattr(scope, attribute, value)
            elif isinstance(step, Override) or key not in mine:
                source = key is Parameter.SOURCE_COMPONENT and isinstance(value, int)
                mine[key] = manifest.components[value] if source else value
        self.wait()

    def run(self, manifest: Manifest, steps: Sequence, index: int, scope: Scope) -> None:
        inner = Scope([index], frozen=scope.frozen)
        if not scope.strict:
            if scope.many:
                inner.frozen = True
            elif isinstance(steps[0], SetIndex):
                inner.once = True
            else:
                raise Hard(Reason.ABORTED)
        before = copy.deepcopy(self.parameters)
        try:
            self.sequence(manifest, steps, inner)
        except Soft:
            if not inner.soft:
                raise
            self.parameters = before

    def choose(
        self,
        manifest: Manifest,
        branches: tuple[Sequence | None, ...],
        index: int,
        scope: Scope,
    ) -> None:
        before = copy.deepcopy(self.parameters)
        last = None
        for branch in branches:
            if branch is None:
                return
            inner = Scope([index], soft=True, frozen=scope.frozen)
            try:
                self.sequence(manifest, branch, inner)
            except Soft as failed:
                if not inner.soft:
                    raise
                self.parameters = copy.deepcopy(before)
                last = failed
            else:
                return
        assert last is not None
        raise last

    def order(self, target: ComponentId, source: ComponentId | None = None) -> None:
        if all(scope.strict for scope in self.stack):
            return
        self.changed.add(target)
        if source is not None:
            self.read.add(source)
        if self.read & self.changed:
            raise Hard(Reason.ABORTED)

    def plain(  # noqa: C901 - one case a command, on purpose
        self, manifest: Manifest, command: Command, index: int, mine: dict[Parameter, object]
    ) -> None:
        name, kind = manifest.components[index], command.name.split("_", 1)[1].lower()
        digest, size = mine.get(Parameter.IMAGE_DIGEST), mine.get(Parameter.IMAGE_SIZE)
        content = mine.get(Parameter.CONTENT)
        depends = index in manifest.dependencies
        here = self.memory.get(name, b"")
        late = self.section is ManifestKey.VALIDATE
        match kind:
            case "vendor_identifier":
                if mine.get(Parameter.VENDOR_IDENTIFIER) != VENDOR.bytes:
                    raise Soft(Reason.WRONG_VENDOR)
            case "component_slot":
                if mine.get(Parameter.COMPONENT_SLOT) != {A: 1, B: 0}.get(name, ""):
                    raise Soft(Reason.WRONG_SLOT)
            case "abort":
                raise Soft(Reason.ABORTED)
            case "is_dependency":
                if not depends:
                    raise Soft(Reason.CONDITION_FAILED)
            case "image_match" if digest is None:
                raise Soft(Reason.CONDITION_FAILED)
            case "image_match" if depends:
                self.log.append(("load", name))
                if here not in self.envelopes or digest_of(here) != digest:
                    raise Soft(Reason.DIGEST_MISMATCH)
            case "image_match":
                self.log.append(("measure", name))
                if size is not None and size != len(here):
                    raise Soft(Reason.DIGEST_MISMATCH if late else Reason.PAYLOAD_SIZE)
                if Digest.of(here) != digest:
                    raise Soft(Reason.DIGEST_MISMATCH if late else Reason.PAYLOAD_DIGEST)
                if late:
                    self.debts.discard(name)
            case "check_content":
                if content is None:
                    raise Soft(Reason.CONDITION_FAILED)
                self.log.append(("measure", name))
                if here != content:
                    raise Soft(Reason.CONDITION_FAILED)
                if late:
                    self.debts.discard(name)
            case "dependency_integrity":
                self.integrity(name, digest, depends=depends, empty=name not in self.memory)
            case "process_dependency":
                self.process(name, depends=depends)
            case _:
                self.write(name, kind, mine, depends=depends)

    def integrity(self, name: ComponentId, digest: object, *, depends: bool, empty: bool) -> None:
        if not depends or digest is None:
            raise Hard(Reason.ABORTED)
        self.log.append(("load", name))
        if empty:
            raise Hard(Reason.DEPENDENCY_MISSING)
        here = self.memory[name]
        if here not in self.envelopes or digest_of(here) != digest:
            raise Hard(Reason.DEPENDENCY_REFUSED)
        if name not in self.trusted:
            self.trusted[name], self.carried[name] = self.envelopes[here], set()
        if name not in self.flashed:
            self.debts.discard(name)

    def process(self, name: ComponentId, *, depends: bool) -> None:
        if not depends:
            if self.stack[-1].all:
                return
            raise Hard(Reason.ABORTED)
        if name not in self.trusted:
            raise Hard(Reason.ABORTED)
        self.carried[name].add(self.section)
        before = copy.deepcopy(self.parameters)
        try:
            self.whole(self.trusted[name])
            self.parameters = before
        except Soft as failed:
            raise Hard(*failed.args) from None

    def write(
        self, name: ComponentId, kind: str, mine: dict[Parameter, object], *, depends: bool
    ) -> None:
        source = mine.get(Parameter.SOURCE_COMPONENT)
        if kind in ("copy", "swap"):
            if not isinstance(source, tuple) or source == name or source not in self.scope():
                raise Hard(Reason.COMMAND_FAILED)
            self.order(name, source)
            self.log.append((kind, source, name))
            gone = source not in self.memory or (kind == "swap" and name not in self.memory)
            self.move(name, source, kind, mine, gone=gone)
        elif kind == "fetch":
            uri = mine.get(Parameter.URI)
            if not isinstance(uri, str):
                raise Hard(Reason.COMMAND_FAILED)
            self.order(name)
            self.log.append(("fetch", name, uri))
            if uri not in FILES:
                raise Hard(Reason.DEPENDENCY_MISSING if depends else Reason.PAYLOAD_MISSING)
            self.store(name, FILES[uri], mine)
        else:
            content = mine.get(Parameter.CONTENT)
            if not isinstance(content, bytes):
                raise Hard(Reason.COMMAND_FAILED)
            self.order(name)
            self.log.append(("write", name, content))
            self.memory[name] = content
        if not depends:
            self.flashed.add(name)
        self.debts.add(name)
        self.trusted.pop(name, None)

    def scope(self) -> tuple[ComponentId, ...]:
        return NAMES[:3] if self.nested_now() else NAMES

    def nested_now(self) -> bool:
        return self.nested

    def store(self, name: ComponentId, content: bytes, mine: dict[Parameter, object]) -> None:
        size = mine.get(Parameter.IMAGE_SIZE)
        if isinstance(size, int) and len(content) > size:
            raise Hard(Reason.PAYLOAD_SIZE)
        self.memory[name] = content

    def move(
        self,
        name: ComponentId,
        source: ComponentId,
        kind: str,
        mine: dict[Parameter, object],
        *,
        gone: bool,
    ) -> None:
        if gone:
            raise Hard(Reason.COMMAND_FAILED)
        if kind == "copy":
            self.store(name, self.memory[source], mine)
            self.flashed.discard(source)
            self.debts.discard(source)
            return
        self.memory[name], self.memory[source] = self.memory[source], self.memory[name]
        fresh = name in self.flashed or name in self.debts
        ours, theirs = name in self.flashed, source in self.flashed
        self.flashed -= {name, source}
        self.flashed |= ({source} if ours else set()) | ({name} if theirs else set())
        self.debts.discard(source)
        if fresh:
            self.debts.add(source)
        self.trusted.pop(source, None)


# Programs


CONDITIONS = (
    MATCH, MATCH, MATCH, CONTENT_OK, VENDOR_OK, SLOT_OK, ABORT, IS_DEPENDENCY,
)  # fmt: skip
DIRECTIVES = (FETCH, FETCH, FETCH, COPY, COPY, SWAP, WRITE, INTEGRITY, PROCESS)
VALUES: dict[Parameter, tuple[ParameterValue, ...]] = {
    Parameter.IMAGE_DIGEST: (Digest.of(ONE), Digest.of(ONE), Digest.of(TWO)),
    Parameter.IMAGE_SIZE: (len(ONE), len(ONE), len(TWO)),
    Parameter.URI: ("one.bin", "one.bin", "one.bin", "two.bin", "none.bin"),
    Parameter.CONTENT: (ONE, ONE, TWO),
    Parameter.SOURCE_COMPONENT: (0, 1, 2),
    Parameter.COMPONENT_SLOT: (0, 1),
}
USUAL: Sequence = (SetIndex(DEPENDENCY), INTEGRITY, PROCESS)


class Programs:
    """Programs at random over so many components; the same seed gives the same."""

    def __init__(self, seed: int, count: int) -> None:
        self.random = random.Random(seed)  # noqa: S311 - of tests
        self.count = count

    def index(self) -> SetIndex:
        one = self.random.randrange(self.count)
        size = self.random.randint(1, min(3, self.count))
        several = tuple(self.random.sample(range(self.count), size))
        return SetIndex(self.random.choice((one, one, several, True)))

    def parameters(self) -> dict[Parameter, ParameterValue]:
        keys = self.random.sample(sorted(VALUES), self.random.randint(1, 2))
        return {key: self.random.choice(VALUES[key]) for key in keys}

    def step(self, depth: int) -> Step:
        kind = self.random.choices(
            ("condition", "directive", "index", "override", "set", "soft", "strict", "run", "try"),
            (5, 6, 3, 3, 1, 1 if depth else 0, 1, 3, 4)
            if depth < 3
            else (5, 6, 3, 3, 1, 1, 1, 0, 0),
        )[0]
        match kind:
            case "condition":
                return self.random.choice(CONDITIONS)
            case "directive":
                return self.random.choice(DIRECTIVES)
            case "index":
                return self.index()
            case "override":
                return Override(self.parameters())
            case "set":
                return SetParameters(self.parameters())
            case "soft" | "strict":
                key = Parameter.SOFT_FAILURE if kind == "soft" else Parameter.STRICT_ORDER
                value = self.random.random() < 0.5
                return self.random.choice((Override, Override, SetParameters))({key: value})
            case "run":
                return RunSequence(self.steps(depth + 1))
            case _:
                some = [self.steps(depth + 1) for _ in range(self.random.randint(1, 2))]
                last = self.random.choice((None, self.steps(depth + 1)))
                return TryEach((*some, last))

    def steps(self, depth: int) -> Sequence:
        found = tuple(self.step(depth) for _ in range(self.random.randint(1, 4)))
        return (self.index(), *found) if self.random.random() < 0.2 or not depth else found

    def section(self) -> Sequence:
        return self.steps(0)

    def dependent(self) -> Sequence:
        """Answer a section that most often does what a dependent must."""
        some = self.section()
        return self.random.choice((USUAL, (*USUAL, *some), (*USUAL, *some), (*some, *USUAL), some))

    def validate(self) -> Sequence:
        whole: Sequence = (SetIndex((0, 1, 2)), RunSequence((SOFT, MATCH)))
        return self.random.choice(
            (whole, whole, (SetIndex((0, 1, 2)), MATCH), (*self.section(), *whole))
        )


def defaults(count: int) -> tuple[Step, ...]:
    return (
        SetIndex(True),
        put(
            vendor_identifier=VENDOR.bytes, image_digest=Digest.of(ONE), uri="one.bin", content=ONE
        ),
        *(
            step
            for one in range(3)
            for step in (SetIndex(one), put(source_component=(one + 1) % count))
        ),
    )


def alone(seed: int) -> Manifest:
    """Answer a manifest of three components and no dependency."""
    programs = Programs(seed, 3)
    return Manifest(
        sequence_number=2,
        components=NAMES[:3],
        shared_sequence=defaults(3),
        sequences={
            ManifestKey.PAYLOAD_FETCH: programs.section(),
            ManifestKey.INSTALL: programs.section(),
            ManifestKey.VALIDATE: programs.validate(),
        },
    )


def with_dependency(seed: int) -> tuple[Manifest, Manifest]:
    """Answer a manifest and the one that it depends on."""
    programs = Programs(seed, 4)
    below = dataclasses.replace(alone(seed + 1), component_id=NAMES[DEPENDENCY])
    name = digest_of(sealed(below, DEPENDENCY_KEY))
    return (
        Manifest(
            sequence_number=2,
            components=NAMES,
            dependencies={DEPENDENCY: None},
            shared_sequence=(*defaults(4), SetIndex(DEPENDENCY), put(image_digest=name)),
            sequences={
                ManifestKey.DEPENDENCY_RESOLUTION: programs.dependent(),
                ManifestKey.PAYLOAD_FETCH: programs.dependent(),
                ManifestKey.INSTALL: programs.dependent(),
                ManifestKey.VALIDATE: (*programs.dependent(), *programs.validate()),
            },
        ),
        below,
    )


# What both must agree on


DEVICE = dataclasses.replace(
    board(),
    limits=LIMITS,
    components={
        A: Component(slots=(1, 0)),
        B: Component(slots=(0,)),
        C: Component(),
        M: Component(),
    },
)


def told(effects: list[Effect]) -> Log:
    found: Log = []
    for effect in effects:
        match effect:
            case Fetch():
                found.append(("fetch", effect.component, effect.uri))
            case Measure():
                found.append(("measure", effect.component))
            case Load():
                found.append(("load", effect.component))
            case Copy() | Swap():
                name = type(effect).__name__.lower()
                found.append((name, effect.source, effect.component))
            case Write():
                found.append(("write", effect.component, effect.content))
            case Finish():
                found.append(("finish", effect.components))
            case _:
                raise AssertionError(effect)
    return found


MANY = settings(max_examples=200, deadline=None, database=None)
SEEDS = st.integers(0, 2**32)


def compared(root: Manifest, kept: dict[ComponentId, bytes], below: Manifest | None) -> None:
    envelopes = {} if below is None else {kept[M]: below}
    naive = Naive(envelopes, kept)
    naive.nested = below is None
    if below is not None:
        outer = naive.whole

        def whole(manifest: Manifest) -> None:
            before, naive.nested = naive.nested, manifest is below
            try:
                outer(manifest)
            finally:
                naive.nested = before

        naive.whole = whole
    verdict = naive.install(root)
    found = run(admitted(root, DEVICE), FILES, kept=kept)
    assert (told(found.effects), found.reason) == (naive.log, verdict)
    if verdict is None:
        assert found.kept == naive.memory


@MANY
@given(SEEDS)
def test_machine_and_naive_interpreter_give_the_same_effects_and_the_same_verdict(
    seed: int,
) -> None:
    compared(alone(seed), {A: ONE, B: TWO}, None)


@MANY
@given(SEEDS)
def test_machine_and_naive_interpreter_agree_on_manifests_with_a_dependency(seed: int) -> None:
    root, below = with_dependency(seed)
    compared(root, {A: ONE, B: TWO, M: sealed(below, DEPENDENCY_KEY)}, below)


@MANY
@given(SEEDS)
def test_desk_that_keeps_nothing_gives_the_verdict_of_a_device_that_keeps_everything(
    seed: int,
) -> None:
    root, below = with_dependency(seed)
    bare: Sequence = (SetIndex(DEPENDENCY), put(uri="below.suit"), FETCH)
    first = ManifestKey.DEPENDENCY_RESOLUTION
    steps = root.sequences[first]
    assert isinstance(steps, tuple)
    root = dataclasses.replace(root, sequences={**root.sequences, first: (*bare, *steps)})
    files = {**FILES, "below.suit": sealed(below, DEPENDENCY_KEY)}
    ready = admitted(root, DEVICE)
    on_device = run(ready, files)
    on_desk = run(ready, files, shelves=Scratch())
    assert (on_desk.effects, on_desk.reason) == (on_device.effects, on_device.reason)


def test_random_programs_reach_most_verdicts_and_enough_of_them_are_accepted() -> None:
    verdicts = [
        run(admitted(alone(seed), DEVICE), FILES, kept={A: ONE}).reason for seed in range(400)
    ]
    assert verdicts.count(None) > 40
    assert len(set(verdicts)) > 8
