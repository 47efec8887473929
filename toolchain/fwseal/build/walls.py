"""What a build sees of a machine, and the words that let it see no more.

Levels: bubblewrap (fixed path, no network, own file system view), unshare (fixed path, no network),
none (cleared environment only).
"""

from __future__ import annotations

import dataclasses
import enum
from pathlib import Path
from typing import TYPE_CHECKING

from fwseal.build import toolchain
from fwseal.build.toolchain import INSIDE
from fwseal.build.trace import MARK

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fwseal.build.toolchain import Compiler

TIME_LIMIT = 900.0
"""Seconds for all commands of one build."""

MEMORY_LIMIT = 4 << 30
"""Bytes of data that one process of a build may have."""

FILE_LIMIT = 1 << 30
"""Bytes of one file that a build writes, what it prints included."""

CACHES = ".cache"
"""Where compilers keep what they may use again, below the folder they run in."""

STAGE = "/mnt"
"""Where unshare shows source and compiler."""


class Level(enum.Enum):
    """How a build is kept apart, best first."""

    BUBBLEWRAP = "bubblewrap"
    UNSHARE = "unshare"
    NONE = "none"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What a build sees of a machine; the defaults are those of every release.

    `work`, `toolchain` and `user` hold in bubblewrap, `hostname` in unshare too, all else
    everywhere. `around` is words that go before a command; `before` is the commands of an earlier
    build in the same folder, of which only compiler caches stay. `backwards` lays the source out
    in reverse, the last name newest. `folder` is where the build is made, the system's temporary
    one when None.
    """

    work: str = "/build"
    toolchain: str = INSIDE
    user: int = 0
    hostname: str = "build"
    umask: int = 0o022
    variables: Mapping[str, str] = dataclasses.field(default_factory=dict)
    around: tuple[str, ...] = ()
    before: tuple[tuple[str, ...], ...] = ()
    backwards: bool = False
    folder: Path | None = None


USUAL = Setting()


def cc(compiler: Compiler, level: Level, setting: Setting = USUAL) -> str:
    """Answer what `{cc}` stands for: without a sandbox the compiler has no fixed path."""
    if compiler.home is None:
        return compiler.cc
    place = {
        Level.BUBBLEWRAP: setting.toolchain,
        Level.UNSHARE: f"{STAGE}{INSIDE}",
        Level.NONE: str(compiler.home),
    }
    return compiler.cc.replace(INSIDE, place[level])


def environment(epoch: int, setting: Setting = USUAL) -> dict[str, str]:
    """Answer all variables that a build sees; `epoch` in seconds since 1970."""
    return {
        "PATH": toolchain.PATH,
        "HOME": "/tmp",  # noqa: S108 - inside the sandbox, an empty one
        "USER": "build",
        "LANG": "C.UTF-8",
        "LC_ALL": "C.UTF-8",
        "TZ": "UTC",
        "SOURCE_DATE_EPOCH": str(epoch),
        "PYTHONHASHSEED": "0",
        "CCACHE_DISABLE": "1",
        "ZIG_GLOBAL_CACHE_DIR": f"{CACHES}/zig-global",
        "ZIG_LOCAL_CACHE_DIR": f"{CACHES}/zig-local",
        **setting.variables,
    }


_BEGIN = f"""
ulimit -c 0
ulimit -t {int(TIME_LIMIT)}
ulimit -d {MEMORY_LIMIT >> 10}
ulimit -f {FILE_LIMIT >> 9}
[ -e {MARK} ] || :
"""
"""What holds for every command; a limit that is lower already stays, and is complained of."""


def wrapped(
    level: Level,
    words: tuple[str, ...],
    *,
    work: Path,
    compiler: Compiler | None,
    setting: Setting = USUAL,
) -> list[str]:
    """Answer a command in its walls; `work` has a folder `toolchain` beside it."""
    home = str(compiler.home) if compiler and compiler.home else ""
    begin = f"umask {setting.umask:03o}{_BEGIN}"
    inner = ["sh", "-c", f'{begin}exec "$@"', "sh", *setting.around, *words]
    if level is Level.NONE:
        return inner
    if level is Level.UNSHARE:
        return [
            "unshare", "--user", "--map-root-user", "--mount", "--net", "--ipc", "--uts", "--pid",
            "--fork", "--kill-child", "sh", "-c", _MOUNTED, "sh", str(work.parent), home,
            setting.hostname, *inner,
        ]  # fmt: skip
    return [*_bubble(work, home, setting), *inner]


_MOUNTED = f"""
set -e
if [ "$2" ]; then mount --bind "$2" "$1/toolchain"; fi
mount --rbind "$1" {STAGE}
cd {STAGE}/build
hostname "$3" || :
shift 3
exec "$@"
"""


def _bubble(work: Path, home: str, setting: Setting) -> list[str]:
    # Root keeps its capabilities unless told, and could mount what is read-only anew.
    user = str(setting.user)
    arguments = [
        "bwrap", "--unshare-all", "--unshare-user", "--uid", user, "--gid", user,
        "--die-with-parent", "--new-session", "--hostname", setting.hostname,
        "--cap-drop", "ALL",
        "--ro-bind", "/usr", "/usr", "--proc", "/proc", "--dev", "/dev",
        "--size", str(FILE_LIMIT), "--tmpfs", "/tmp",  # noqa: S108 - the sandbox's own
        "--bind", str(work), setting.work, "--chdir", setting.work,
    ]  # fmt: skip
    for folder in ("bin", "lib", "lib64", "sbin"):
        if Path("/", folder).is_symlink():
            arguments += ["--symlink", f"usr/{folder}", f"/{folder}"]
        elif Path("/", folder).is_dir():
            arguments += ["--ro-bind", f"/{folder}", f"/{folder}"]
    if Path("/etc/alternatives").is_dir():
        arguments += ["--ro-bind", "/etc/alternatives", "/etc/alternatives"]
    if home:
        arguments += ["--ro-bind", home, setting.toolchain]
    elif setting.toolchain != INSIDE:
        arguments += ["--ro-bind", "/usr", setting.toolchain]
    return arguments
