"""A line of strace means one thing, whatever a build calls its files; or the record is refused."""

from __future__ import annotations

import pytest

from fwseal.base.errors import Unavailable
from fwseal.build import trace
from fwseal.build.trace import Attempt, Use

BEGINS = f'7 newfstatat(AT_FDCWD</build>, "{trace.MARK}", 0x1, 0) = -1 ENOENT (No such file)'


def observed(*lines: str) -> trace.Observed:
    return trace.observed(f"{line}\n" for line in (BEGINS, *lines))


def read(*lines: str) -> set[str]:
    return {one.path for one in observed(*lines).read}


def test_what_the_sandbox_does_before_the_build_is_not_recorded() -> None:
    found = trace.observed(['6 openat(AT_FDCWD</>, "etc/x", O_RDONLY) = 3</etc/x>', BEGINS])
    assert found == trace.Observed()


def test_a_process_that_does_not_descend_from_the_build_is_not_recorded() -> None:
    assert read('8 openat(AT_FDCWD</>, "x", O_RDONLY) = 3</x>') == set()


@pytest.mark.parametrize("fork", ["fork()", "vfork()", "clone(flags=SIGCHLD)", "clone3({}, 88)"])
def test_a_child_stands_where_its_parent_stood_and_runs_what_it_ran(fork: str) -> None:
    found = observed(
        '7 execve("/bin/sh", ["sh"], 0x1 /* 3 vars */) = 0',
        '7 chdir("sub") = 0',
        f"7 {fork} = 2 /* 9 in strace's PID NS */",
        '9 access("x", F_OK) = -1 ENOENT (No such file or directory)',
        '9 open("y", O_RDONLY) = 3',
    )
    assert found.missing == {"/build/sub/x"}
    assert found.read == {Use(program="/bin/sh", path="/build/sub/y")}


def test_a_child_that_speaks_before_its_parent_knows_it_is_heard_later() -> None:
    found = observed(
        "7 vfork( <unfinished ...>",
        '9 openat(AT_FDCWD</build>, "x", O_RDONLY <unfinished ...>',
        "9 <... openat resumed>) = 3</build/x>",
        '9 execve("/bin/cc", ["cc"], 0x1 /* 3 vars */) = 0',
        "7 <... vfork resumed>) = 9",
        '9 openat(AT_FDCWD</build>, "y", O_RDONLY) = 3</build/y>',
    )
    assert found.read == {
        Use(program="sh", path="/build/x"), Use(program="/bin/cc", path="/build/y"),
    }  # fmt: skip


@pytest.mark.parametrize("call", trace.UNSEEN)
def test_what_hides_reads_is_told_by_its_name(call: str) -> None:
    assert observed(f"7 {call}(0, 0) = 0").unseen == {Attempt(program="sh", to=call)}
    assert observed(f"7 {call}(0, 0) = -1 EPERM (Operation not permitted)").unseen == set()


def test_a_child_without_a_recorder_is_told() -> None:
    found = observed("7 clone(child_stack=0x1, flags=CLONE_UNTRACED|SIGCHLD) = 9")
    assert found.unseen == {Attempt(program="sh", to="CLONE_UNTRACED")}


@pytest.mark.parametrize("end", ["= -1 EAGAIN (Resource temporarily unavailable)", "= ?"])
def test_a_fork_that_failed_made_nobody(end: str) -> None:
    assert read(f"7 fork() {end}", '1 open("x", O_RDONLY) = 3</build/x>') == set()


@pytest.mark.parametrize(
    ("written", "name"),
    [
        (r"a\42b", 'a"b'), (r"a\74b\76", "a<b>"), (r"\303\244", "ä"), (r"a\nb", "a\nb"),
        (r"\377", "\udcff"), (r"a\\b", "a\\b"), ("a) = 3", "a) = 3"), ("x) = 0 (y)", "x) = 0 (y)"),
    ],
)  # fmt: skip
def test_a_file_may_have_any_name(written: str, name: str) -> None:
    line = f'7 openat(AT_FDCWD</build>, "{written}", O_RDONLY) = 3</build/{written}>'
    assert read(line) == {f"/build/{name}"}
    gone = f'7 open("{written}", O_RDONLY) = -1 ENOENT (No such file or directory)'
    assert observed(gone).missing == {f"/build/{name}"}


def test_a_path_is_the_one_the_kernel_opened_links_followed() -> None:
    line = '7 openat(AT_FDCWD</build>, "link", O_RDONLY|O_CLOEXEC) = 3</usr/real>'
    assert read(line) == {"/usr/real"}
    beside = '7 openat(5</usr/include>, "stdio.h", O_RDONLY) = 3</usr/include/stdio.h>'
    assert read(beside) == {"/usr/include/stdio.h"}
    deleted = '7 openat(AT_FDCWD</build>, "x", O_RDONLY) = 3</build/x>(deleted)'
    assert read(deleted) == {"/build/x"}


@pytest.mark.parametrize(
    "line",
    [
        '7 openat(AT_FDCWD</build>, "x", O_WRONLY|O_CREAT|O_TRUNC, 0666) = 3</build/x>',
        '7 creat("x", 0644) = 3</build/x>',
        '7 openat2(AT_FDCWD</build>, "x", {flags=O_WRONLY|O_CREAT, mode=0600}, 24) = 3</build/x>',
        '7 mkdir("x", 0777) = 0',
        '7 symlink("aim", "x") = 0',
        '7 linkat(AT_FDCWD</build>, "y", AT_FDCWD</build>, "x", 0) = 0',
        '7 rename("y", "x") = 0',
        '7 renameat2(AT_FDCWD</build>, "y", AT_FDCWD</build>, "x", RENAME_NOREPLACE) = 0',
    ],
)
def test_what_a_build_makes_is_told_from_what_it_finds(line: str) -> None:
    found = observed(line)
    assert found.made == {"/build/x"}
    assert Use(program="sh", path="/build/x") in found.changed
    assert {one.path for one in found.read} == ({"/build/y"} if "linkat" in line else set())


@pytest.mark.parametrize(
    ("line", "path"),
    [
        ('7 unlink("x") = 0', "/build/x"),
        ('7 truncate("/var/x", 0) = 0', "/var/x"),
        ('7 rename("/var/x", "y") = 0', "/var/x"),
        ('7 openat(AT_FDCWD</build>, "/var/x", O_RDWR) = 3</var/x>', "/var/x"),
    ],
)
def test_what_a_build_changes_or_takes_away_is_recorded(line: str, path: str) -> None:
    assert Use(program="sh", path=path) in observed(line).changed


def test_a_file_that_is_read_and_written_is_read() -> None:
    assert read('7 open("x", O_RDWR) = 3</build/x>') == {"/build/x"}


@pytest.mark.parametrize(
    "line",
    [
        '7 openat(AT_FDCWD</build>, ".", O_RDONLY|O_DIRECTORY) = 3</build>',
        '7 openat(AT_FDCWD</build>, "x", O_RDONLY|O_PATH) = 3</build/x>',
        '7 openat(AT_FDCWD</build>, "x", O_RDONLY) = 3<pipe:[1]>',
        '7 newfstatat(3</build/x>, "", {st_mode=S_IFREG|0644}, AT_EMPTY_PATH) = 0',
        '7 stat("x", {st_mode=S_IFDIR|0755}) = 0',
        "7 openat(AT_FDCWD</build>, NULL, O_RDONLY) = -1 EFAULT (Bad address)",
        '7 readlink("x", "y", 4095) = 1',
        '7 readlink("x", 0x1, 4095) = -1 EINVAL (Invalid argument)',
        '7 mkdir("x", 0777) = -1 EEXIST (File exists)',
        '7 execve("x", ["x"], 0x1 /* 1 var */) = ?',
        '7 unlink("x") = -1 EISDIR (Is a directory)',
        "7 fchdir(3</other>) = -1 EBADF (Bad file descriptor)",
        "7 +++ exited with 0 +++",
        "7 --- SIGCHLD {si_signo=SIGCHLD} ---",
        "7 io_uring_setup(1, {}) = -1 ENOSYS (Function not implemented)",
    ],
)
def test_what_reads_nothing_is_no_input(line: str) -> None:
    assert observed(line) == trace.Observed()


def test_a_file_that_is_only_found_is_seen() -> None:
    found = observed(
        '7 newfstatat(AT_FDCWD</build>, "x", {st_mode=S_IFREG|0644}, 0) = 0',
        '7 access("/usr/y", R_OK) = 0',
    )
    assert {one.path for one in found.seen} == {"/build/x", "/usr/y"}


def test_a_folder_that_is_changed_by_descriptor_is_followed() -> None:
    found = observed("7 fchdir(3</build/sub>) = 0", '7 open("x", O_RDONLY) = 3')
    assert {one.path for one in found.read} == {"/build/sub/x"}


def test_a_listing_names_the_folder() -> None:
    found = observed("7 getdents64(3</usr/include>, 0x1 /* 9 entries */, 32768) = 240")
    assert found.listed == {Use(program="sh", path="/usr/include")}


DNS = r"\304\375\1\0\0\1\0\0\0\0\0\0\3www\7example\3com\0\0\34\0\1"


@pytest.mark.parametrize(
    ("line", "to"),
    [
        (
            ("7 connect(3<socket:[1]>, {sa_family=AF_INET, sin_port=htons(443), "
            'sin_addr=inet_addr("192.0.2.1")}, 16) = -1 ENETUNREACH (Network is unreachable)'),
            "192.0.2.1 port 443",
        ),
        (
            ("7 connect(3<socket:[1]>, {sa_family=AF_INET6, sin6_port=htons(80), sin6_flowinfo="
            'htonl(0), inet_pton(AF_INET6, "2001:db8::1", &sin6_addr), sin6_scope_id=0}, 28) = 0'),
            "2001:db8::1 port 80",
        ),
        (f'7 sendto(3<socket:[1]>, "{DNS}", 33, MSG_NOSIGNAL, NULL, 0) = 33', "www.example.com"),
        (
            (f'7 sendmmsg(3<socket:[1]>, [{{msg_hdr={{msg_iov=[{{iov_base="{DNS}", iov_len=33}}]}}'
            "}], 1, 0) = 1"),
            "www.example.com",
        ),
        (
            '7 connect(3<socket:[1]>, {sa_family=AF_UNIX, sun_path="/run/x"}, 110) = 0',
            "socket /run/x",
        ),
        (
            '7 connect(3<socket:[1]>, {sa_family=AF_UNIX, sun_path=@"x"}, 110) = 0',
            "socket x",
        ),
    ],
)  # fmt: skip
def test_whoever_is_talked_to_is_named(line: str, to: str) -> None:
    found = observed('7 execve("/usr/bin/curl", ["curl"], 0x1 /* 1 var */) = 0', line)
    assert found.network == {Attempt(program="/usr/bin/curl", to=to)}


def test_a_local_service_that_is_not_there_was_not_talked_to() -> None:
    line = (
        '7 connect(3<socket:[1]>, {sa_family=AF_UNIX, sun_path="/run/nscd/socket"}, 110) = '
        "-1 ENOENT (No such file or directory)"
    )
    assert observed(line).network == set()


@pytest.mark.parametrize(
    "message",
    [
        b"", b"short", bytes(12), b"\0\1\1\0\0\2" + bytes(6) + b"\1a\0", b"\0\1\1\0\0\1" + bytes(6),
        b"\0\1\1\0\0\1" + bytes(6) + b"\1a", b"\0\1\1\0\0\1" + bytes(6) + b"\xc0\x0c",
        b"\0\1\1\0\0\1" + bytes(6) + b"\1\xff\0", b"\0\1\1\0\0\1" + bytes(6) + b"\1\n\0",
    ],
)  # fmt: skip
def test_what_is_no_question_for_a_host_names_none(message: bytes) -> None:
    assert trace.asked_host(message) == ""


@pytest.mark.parametrize(
    "line",
    [
        "strace: something went wrong",
        '7 openat(AT_FDCWD</build>, "x", O_RDONLY',
        '7 openat(AT_FDCWD</build>, "x", O_RDONLY) = 3</build/x> and more',
        "7 openat",
    ],
)
def test_a_line_that_cannot_be_read_ends_the_record(line: str) -> None:
    with pytest.raises(Unavailable, match="cannot read what strace wrote"):
        observed(line)


def test_a_record_without_a_build_is_none() -> None:
    with pytest.raises(Unavailable, match="saw no build"):
        trace.observed(["6 +++ exited with 1 +++"])


def test_two_commands_are_one_build() -> None:
    one, other = observed('7 open("x", O_RDONLY) = 3'), observed('7 open("y", O_RDONLY) = 3')
    assert {use.path for use in one.joined(other).read} == {"/build/x", "/build/y"}
