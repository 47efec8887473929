"""What went into a build is what its recipe and lock declare, or the build is refused."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from fwseal.build import lock, packages, toolchain
from fwseal.build.lock import Component, Declared, Lock

if TYPE_CHECKING:
    from fwseal.build.inputs import Inputs
    from fwseal.build.run import Order
    from fwseal.build.toolchain import Compiler


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """What went in besides the source: the lock that allows it, and its parts."""

    locked: Lock
    parts: tuple[Component, ...]
    manifest: bytes


def judged(order: Order, found: Inputs, locked: Lock, *, isolated: bool) -> Judged:
    """Answer what went in when it is declared, or with `locking` has become so."""
    outside = {
        name: digest
        for name, digest in found.files().items()
        if not f"{name}/".startswith(f"{toolchain.INSIDE}/")
    }
    owned = packages.owners(outside)
    if order.locking:
        left = {one.name for one in lock.undeclared(found, _declared(order, locked))}
        new = {name: digest for name, digest in outside.items() if name in left}
        locked = lock.merged(locked, lock.grouped(new, owned))
    lock.judge(found, _declared(order, locked), isolated=isolated)
    names = {name: f"{one.name} {one.version}" for name, one in owned.items()}
    return Judged(
        locked=locked,
        parts=(pin(order.compiler), *lock.grouped(outside, owned)),
        manifest=found.to_json(names),
    )


def pin(compiler: Compiler) -> Component:
    """Answer a compiler as a part of the build, whole."""
    return Component(
        kind=compiler.kind,
        name=compiler.name,
        version=compiler.version,
        sha256=compiler.sha256,
        purl=f"pkg:pypi/ziglang@{compiler.version}" if compiler.kind == "wheel" else "",
        creator=compiler.creator,
        license=compiler.license,
    )


def _declared(order: Order, locked: Lock) -> Declared:
    shown = {f"{toolchain.INSIDE}/{path}": one for path, one in order.compiler.files.items()}
    return Declared(
        host=order.recipe.toolchain.host,
        files={**locked.files(), **shown},
        folders=(toolchain.INSIDE,) if shown else (),
    )
