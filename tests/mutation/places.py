"""Where a module refuses, and what it is without that: both are read off its syntax tree.

A place is a `raise` of anything but AssertionError, which says that nobody comes by. Its guards
are the test of the `if` or `case` it stands under or, where it stands under none, the tests of
the `if`s before it that leave: what they let through is what it refuses.
"""

from __future__ import annotations

import ast
import copy
import dataclasses
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

DELETE, INVERT = "delete", "invert"
_BEYOND: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
}
_SIGNS = {ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">="}
_LEAVING = (ast.Return, ast.Continue, ast.Break)
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)

Key = tuple[str, str, str, str]
"""Module, function, source of the guard, mutation: what names a mutant while lines move."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Mutant:
    """A module with one refusal changed; `lines` are those a test must run to notice."""

    path: Path
    module: str
    function: str
    guard: str
    mutation: str
    lines: range
    near: range
    """The lines of the `raise`: tests that run them are asked first."""
    original: ast.Module
    node: ast.AST
    change: Callable[[ast.AST], ast.AST]

    def tree(self) -> ast.Module:
        """Answer the module as it is with the change."""
        return _replaced(self.original, self.node, self.change)

    @property
    def key(self) -> Key:
        """Answer what names the mutant in the list of survivors."""
        return self.module, self.function, self.guard, self.mutation

    def __str__(self) -> str:
        name = f"{self.module}:{self.near.start} {self.function}"
        return f"{name}: {self.mutation} [{self.guard}]"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """One refusal: where it stands, and the tests that lead there."""

    refusal: ast.Raise
    function: str
    caught: str
    """What the handler it stands in catches, or empty."""
    guards: tuple[ast.expr, ...]


def places(tree: ast.Module) -> list[tuple[int, str]]:
    """Answer line and function of every refusal of a module."""
    return [(one.refusal.lineno, one.function) for one in _places(tree)]


def mutants(path: Path, module: str) -> Iterator[Mutant]:
    """Answer every change of one refusal of a file."""
    tree = ast.parse(path.read_text(encoding="utf-8"), path)
    seen: set[tuple[int, str, str]] = set()
    for place in _places(tree):
        for node, guard, mutation, change in _changes(place):
            # Two refusals may stand behind one guard: it is changed once.
            name = (id(node), guard, mutation)
            if name in seen:
                continue
            seen.add(name)
            yield Mutant(
                path=path,
                module=module,
                function=place.function,
                guard=guard,
                mutation=mutation,
                lines=_lines(node),
                near=_lines(place.refusal),
                original=tree,
                node=node,
                change=change,
            )


def _lines(node: ast.expr | ast.stmt) -> range:
    return range(node.lineno, (node.end_lineno or node.lineno) + 1)


def _places(tree: ast.Module) -> Iterator[_Place]:
    for name, function in _functions(tree, ""):
        yield from _block(function.body, function=name, caught="", guards=())


def _functions(
    node: ast.AST, prefix: str
) -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    """Answer every function by its qualified name; one without a function is found by line."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, (*_FUNCTIONS, ast.ClassDef)):
            name = f"{prefix}{child.name}"
            if isinstance(child, ast.ClassDef):
                yield from _functions(child, f"{name}.")
            else:
                yield name, child
                yield from _functions(child, f"{name}.")
        elif not isinstance(child, ast.expr):
            yield from _functions(child, prefix)


def _block(
    body: list[ast.stmt], *, function: str, caught: str, guards: tuple[ast.expr, ...]
) -> Iterator[_Place]:
    """Answer the refusals of a block; `guards` lead into it, and what leaves it leads on."""
    for statement in body:
        if isinstance(statement, (*_FUNCTIONS, ast.ClassDef)):
            continue  # has a turn of its own
        if isinstance(statement, ast.Raise) and not _impossible(statement):
            yield _Place(refusal=statement, function=function, caught=caught, guards=guards)
        for inner, tests, handler in _inner(statement, guards):
            yield from _block(
                inner, function=function, caught=caught if handler is None else handler,
                guards=tests,
            )  # fmt: skip
        if isinstance(statement, ast.If) and isinstance(statement.body[-1], _LEAVING):
            guards = (*guards, statement.test)


def _inner(
    statement: ast.stmt, guards: tuple[ast.expr, ...]
) -> Iterator[tuple[list[ast.stmt], tuple[ast.expr, ...], str | None]]:
    """Answer the blocks of a statement with their guards and, for a handler, what it catches."""
    if isinstance(statement, ast.If):
        yield statement.body, (statement.test,), None
        yield statement.orelse, (statement.test,), None
    elif isinstance(statement, ast.Try | ast.TryStar):
        yield statement.body, guards, None
        for handler in statement.handlers:
            yield handler.body, (), ast.unparse(handler.type) if handler.type else "everything"
        yield statement.orelse, guards, None
        yield statement.finalbody, guards, None
    elif isinstance(statement, ast.Match):
        for case in statement.cases:
            yield case.body, (case.guard,) if case.guard else (), None
    elif isinstance(statement, ast.While):
        yield statement.body, (statement.test,), None
        yield statement.orelse, guards, None
    elif isinstance(statement, ast.For):
        yield statement.body, (), None
        yield statement.orelse, guards, None
    elif isinstance(statement, ast.With):
        yield statement.body, guards, None


def _impossible(statement: ast.Raise) -> bool:
    raised = statement.exc.func if isinstance(statement.exc, ast.Call) else statement.exc
    return isinstance(raised, ast.Name) and raised.id == "AssertionError"


def _changes(
    place: _Place,
) -> Iterator[tuple[ast.expr | ast.stmt, str, str, Callable[[ast.AST], ast.AST]]]:
    """Answer each node of a place with the guard's text, the mutation and what makes it."""
    own = place.guards[-1] if place.guards else None
    if own is not None and not (own.lineno < place.refusal.lineno):
        own = None
    named = ast.unparse(own) if own else ""
    if place.caught:
        named = f"except {place.caught}" + (f": {named}" if named else "")
    yield place.refusal, named or ast.unparse(place.refusal), DELETE, lambda _: ast.Pass()
    for guard in place.guards:
        text = ast.unparse(guard)
        yield guard, text, INVERT, _inverted
        for node in ast.walk(guard):
            if isinstance(node, ast.BoolOp):
                for index, operand in enumerate(node.values):
                    yield node, text, f"without {ast.unparse(operand)}", _without(index)
            if isinstance(node, ast.Compare):
                for index, sign in enumerate(node.ops):
                    if type(sign) in _BEYOND:
                        beyond = _SIGNS[_BEYOND[type(sign)]]
                        mutation = f"{beyond} in {ast.unparse(node)}"
                        yield node, text, mutation, _moved(index)


def _inverted(node: ast.AST) -> ast.AST:
    assert isinstance(node, ast.expr)
    return ast.UnaryOp(op=ast.Not(), operand=node)


def _without(index: int) -> Callable[[ast.AST], ast.AST]:
    def change(node: ast.AST) -> ast.AST:
        assert isinstance(node, ast.BoolOp)
        rest = [one for place, one in enumerate(node.values) if place != index]
        return rest[0] if len(rest) == 1 else ast.BoolOp(op=node.op, values=rest)

    return change


def _moved(index: int) -> Callable[[ast.AST], ast.AST]:
    def change(node: ast.AST) -> ast.AST:
        assert isinstance(node, ast.Compare)
        signs = list(node.ops)
        signs[index] = _BEYOND[type(signs[index])]()
        return ast.Compare(left=node.left, ops=signs, comparators=node.comparators)

    return change


class _Swap(ast.NodeTransformer):
    def __init__(self, place: int, change: Callable[[ast.AST], ast.AST]) -> None:
        self._left = place
        self._change = change

    def visit(self, node: ast.AST) -> ast.AST:
        self._left -= 1
        if self._left == -1:
            return ast.copy_location(self._change(node), node)
        return self.generic_visit(node) if self._left >= 0 else node


def _order(tree: ast.AST) -> Iterator[ast.AST]:
    """Answer the nodes as a NodeTransformer comes by them."""
    yield tree
    for child in ast.iter_child_nodes(tree):
        yield from _order(child)


def _replaced(tree: ast.Module, node: ast.AST, change: Callable[[ast.AST], ast.AST]) -> ast.Module:
    """Answer a copy of the tree with the node changed."""
    place = next(index for index, one in enumerate(_order(tree)) if one is node)
    changed = _Swap(place, change).visit(copy.deepcopy(tree))
    assert isinstance(changed, ast.Module)
    return ast.fix_missing_locations(changed)
