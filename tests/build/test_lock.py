"""A lock says what may be read, by digest; whatever else it says is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fwseal.base.errors import Misuse, Refused
from fwseal.base.reasons import Reason
from fwseal.base.tables import Table
from fwseal.build import inputs, lock
from fwseal.build.inputs import Inputs, Read
from fwseal.build.lock import Component, Declared, Lock
from fwseal.build.trace import Attempt

ONE, TWO = "11" * 32, "22" * 32
NOTHING = Inputs(
    source={}, reads=(), programs={}, missing=(), machine=(), changed=(), network=(), unseen=()
)


def parsed(text: str) -> Lock:
    return lock.lock(Table.parse(text, where="lock"))


def found(*reads: Read, **programs: tuple[str, ...]) -> Inputs:
    return Inputs(
        source={}, reads=reads, programs=programs, missing=(), machine=(), changed=(),
        network=(), unseen=(),
    )  # fmt: skip


names = st.text(st.characters(exclude_categories=("C", "Z")), min_size=1, max_size=20)
digests = st.binary(min_size=32, max_size=32).map(bytes.hex)
components = st.builds(
    Component,
    kind=st.sampled_from(lock.KINDS),
    name=names,
    version=names,
    sha256=digests,
    files=st.dictionaries(names, digests, max_size=4),
)


@given(st.lists(components, max_size=5, unique_by=lambda one: (one.kind, one.name)))
def test_whatever_is_locked_is_read_back_the_same(several: list[Component]) -> None:
    text = lock.text(Lock(components=tuple(several)))
    again = parsed(text)
    assert {(one.kind, one.name): one for one in again.components} == {
        (one.kind, one.name): one for one in several
    }
    assert lock.text(again) == text


@pytest.mark.parametrize(
    "text",
    [
        "", "schema-version = 2", 'schema-version = 1\nextra = 1', "schema-version = 1\nwheel = 1",
        "schema-version = 1\n[[wheel]]", 'schema-version = 1\n[[wheel]]\nname = "x"\nextra = 1',
        'schema-version = 1\n[[wheel]]\nname = "x"\nsha256 = "00"',
        f'schema-version = 1\n[[wheel]]\nname = "x"\nsha256 = "{"A" * 64}"',
        'schema-version = 1\n[[package]]\nname = "x"\nfiles = {"/a" = "00"}',
        'schema-version = 1\n[[package]]\nname = "x"\nfiles = {"/a" = 1}',
    ],
)  # fmt: skip
def test_a_lock_that_says_anything_else_is_misuse(text: str) -> None:
    with pytest.raises(Misuse):
        parsed(text)


def test_a_name_that_would_steer_a_terminal_is_never_written() -> None:
    with pytest.raises(Misuse, match="cannot be written"):
        lock.text(Lock(components=(Component(kind="wheel", name="a\x1b[2J"),)))


def test_a_newer_package_takes_the_place_of_the_older_one_and_the_same_one_grows() -> None:
    old = Component(kind="package", name="make", version="1", files={"/a": ONE})
    same = Component(kind="package", name="make", version="1", files={"/b": TWO})
    new = Component(kind="package", name="make", version="2", files={"/b": TWO})
    assert lock.merged(Lock(components=(old,)), [same]).files() == {"/a": ONE, "/b": TWO}
    assert lock.merged(Lock(components=(old,)), [new]).files() == {"/b": TWO}


@pytest.mark.parametrize("kind", ["wheel", "folder"])
def test_a_compiler_that_is_not_the_locked_one_is_refused_before_any_build(kind: str) -> None:
    zig = Component(kind=kind, name="zig", version="1", sha256=ONE)
    lock.check_compiler(Lock(components=(zig,)), zig)
    for locked, words in (
        (Lock(), "locked nowhere"),
        (Lock(components=(Component(kind=kind, name="zig", sha256=TWO),)), "not the one"),
        (Lock(components=(Component(kind="package", name="zig", sha256=ONE),)), "locked nowhere"),
    ):
        with pytest.raises(Refused, match=words) as caught:
            lock.check_compiler(locked, zig)
        assert caught.value.reason is Reason.UNDECLARED_INPUT
        assert caught.value.hint


def test_a_compiler_of_the_system_is_judged_by_what_is_read_of_it() -> None:
    lock.check_compiler(Lock(), Component(kind="program", name="gcc", sha256=ONE))


CAT = {"/usr/bin/cat": ("/usr/bin/cat",)}


@pytest.mark.parametrize(
    ("read", "host", "allowed"),
    [
        (Read(name="/usr/bin/cat", program="/usr/bin/cat", sha256=ONE), "cat", True),
        (Read(name="/usr/lib/x.so", program="/usr/bin/cat", sha256=ONE), "cat", True),
        (Read(name="/etc/ld.so.cache", program="/build/x", sha256=ONE), "", True),
        (Read(name="/usr/bin/cat", program="/usr/bin/cat", sha256=ONE), "", False),
        (Read(name="/usr/include/x.h", program="/usr/bin/cat", sha256=ONE), "cat", False),
        (Read(name="/home/x", program="/usr/bin/cat", sha256=ONE), "cat", False),
        (Read(name="/usr/lib/x.so", program="/build/cat", sha256=ONE), "cat", False),
        (Read(name="/usr/lib/x.so", program="/opt/bin/cat", sha256=ONE), "cat", False),
        (Read(name="/pinned", program="/build/x", sha256=ONE), "", True),
        (Read(name="/pinned", program="/usr/bin/cat", sha256=TWO), "cat", False),
        (Read(name="/toolchain", program="/build/x", sha256=ONE, listed=True), "", True),
        (Read(name="/toolchain/lib", program="/build/x", sha256=ONE, listed=True), "", True),
        (Read(name="/toolchains", program="/build/x", sha256=ONE, listed=True), "", False),
        (Read(name="/toolchain/lib/x.h", program="/build/x", sha256=ONE), "", False),
    ],
)
def test_what_is_declared_may_be_read_and_nothing_else(
    read: Read, host: str, *, allowed: bool
) -> None:
    programs = {**CAT, "/build/cat": ("/build/cat",), "/opt/bin/cat": ("/opt/bin/cat",)}
    declared = Declared(
        host=(host,) if host else (), files={"/pinned": ONE}, folders=("/toolchain",)
    )
    inputs_of_it = found(read, **programs)
    assert lock.undeclared(inputs_of_it, declared) == (() if allowed else (read,))
    if not allowed:
        with pytest.raises(Refused) as caught:
            lock.judge(inputs_of_it, declared, isolated=True)
        assert caught.value.where == read.name


def test_a_refusal_names_program_file_and_how_many_more() -> None:
    reads = [Read(name=f"/x{n}", program="/usr/bin/cat", sha256=ONE) for n in range(3)]
    with pytest.raises(Refused, match="cat reads /x0, declared nowhere, and 2 more"):
        lock.judge(found(*reads), Declared(host=(), files={}), isolated=True)
    listed = Read(name="/x", program="/usr/bin/ls", sha256=ONE, listed=True)
    with pytest.raises(Refused, match=r"ls lists /x, not the one that is locked$"):
        lock.judge(found(listed), Declared(host=(), files={"/x": TWO}), isolated=True)


def test_a_write_that_cannot_have_stayed_is_no_reason() -> None:
    wrote = Inputs(
        source={}, reads=(), programs={}, missing=(), machine=(), network=(), unseen=(),
        changed=(Attempt(program="/usr/bin/tee", to="/x"),),
    )  # fmt: skip
    lock.judge(wrote, Declared(host=(), files={}), isolated=True)
    with pytest.raises(Refused, match="tee changed /x") as caught:
        lock.judge(wrote, Declared(host=(), files={}), isolated=False)
    assert caught.value.reason is Reason.OUTSIDE_WRITE


@pytest.mark.parametrize(
    "data",
    [
        b"", b"[]", b"{}", b'{"schema_version": 2}', b"\xff", b"[" * 100_000,
        b'{"schema_version": 1, "source": {"a": 1}, "files": [], "programs": [], "missing": []}',
        b'{"schema_version": 1, "source": {}, "files": [{}], "programs": [], "missing": []}',
        b'{"schema_version": 1, "source": {}, "files": [], "programs": [1], "missing": []}',
        b'{"schema_version": 1, "source": [], "files": [], "programs": [], "missing": []}',
    ],
)  # fmt: skip
def test_an_input_manifest_that_is_none_is_misuse(data: bytes) -> None:
    with pytest.raises(Misuse):
        inputs.kept(data, where="inputs.json")


def test_each_kind_of_change_has_its_words() -> None:
    def kept(**files: str) -> inputs.Kept:
        reads = tuple(Read(name=f"/{name}", program="/p", sha256=d) for name, d in files.items())
        return inputs.kept(found(reads[0], *reads[1:], **CAT).to_json({}), where="")

    assert inputs.changes(kept(a=ONE, b=ONE), kept(b=TWO, c=ONE)) == (
        "file /c: new", "file /a: gone", "file /b: changed",
    )  # fmt: skip
    other = found(Read(name="/a", program="/p", sha256=ONE), **{"/usr/bin/dog": ("/usr/bin/dog",)})
    assert inputs.changes(kept(a=ONE), inputs.kept(other.to_json({}), where="")) == (
        "program /usr/bin/dog: new", "program /usr/bin/cat: gone",
    )  # fmt: skip
