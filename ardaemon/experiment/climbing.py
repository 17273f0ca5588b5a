"""Finds where a script climbs from its own file to folders above it. Pure: the source is read, not run.

A run executes a copy, whose place is made like the original's up to the project's root (script_place.py).
What lies above that, the copy would look for in another place than the original does.
"""

import ast
import os
from collections.abc import Iterator
from typing import NamedTuple

from ardaemon.core import literals
from ardaemon.experiment import script_place

# Calls that return the same file or folder, or the one above it.
_SAME = frozenset(
    "Path PurePath PosixPath abspath realpath normpath fspath str absolute resolve as_posix with_name"
    " with_suffix expanduser".split()
)
_ABOVE = "dirname"
_JOINS = frozenset("join joinpath".split())
SHOWN_MAX = 60  # characters of the script's own text
UP = ".."


class Climb(NamedTuple):
    """An expression that leads so many levels above the script's file; 1 is the script's folder."""

    line: int
    text: str
    levels: int


def allowed(origin: str | None) -> int:
    """Return how many levels a script of that origin may climb, and find what is there by hand."""
    return 1 if origin is None else len(script_place.levels(origin))


def climbs(source: bytes, most: int) -> Climb | None:
    """Return the first expression that climbs more than `most` levels; None if there is none that is seen."""
    tree = literals.parsed(source) if b"__file__" in source or b"argv" in source else None
    if tree is None:
        return None  # a fault in it is the run's to tell
    try:
        every = list(Reader().read(tree))
    except RecursionError:
        return None
    return next((one for one in every if one.levels > most), None)


class Reader:
    """Follows `__file__` through expressions, and through names that are given such a value."""

    def __init__(self) -> None:
        self.names = {"__file__": 0}

    def read(self, tree: ast.AST) -> Iterator[Climb]:
        """Yield each expression that leads to the script's file, or above it."""
        for node in self.expressions(tree):
            if not isinstance(node, ast.Name) and (levels := self.levels(node)) is not None:
                yield climb(node, levels)

    def expressions(self, tree: ast.AST) -> Iterator[ast.expr]:
        """Yield every expression; a name is known below the line that gives it its value."""
        for node in ast.walk(tree):
            if isinstance(node, ast.Assign | ast.AnnAssign | ast.NamedExpr) and node.value is not None:
                self._assign(node, self.levels(node.value))
            if isinstance(node, ast.expr):
                yield node

    def _assign(self, node: ast.Assign | ast.AnnAssign | ast.NamedExpr, levels: int | None) -> None:
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        for target in targets:
            if isinstance(target, ast.Name) and levels is not None:
                self.names[target.id] = levels

    def levels(self, node: ast.expr) -> int | None:
        """Return how far above the script's file an expression leads; None if it is none of that."""
        match node:
            case ast.Name(id=name):
                return self.names.get(name)
            case ast.Attribute(value=value, attr="parent"):
                return _add(self.levels(value), 1)
            case ast.Subscript(value=ast.Attribute(value=value, attr=name), slice=ast.Constant(value=int(n))):
                if name == "parents":
                    return _add(self.levels(value), n + 1)
                return 0 if (name, n, ast.unparse(value)) == ("argv", 0, "sys") else None
            case ast.BinOp(left=left, op=ast.Div(), right=right):
                return self.joined(self.levels(left), [right])
            case ast.Call(func=ast.Attribute(attr=name) | ast.Name(id=name)):
                return self._called(node, name)
        return None

    def _called(self, node: ast.Call, name: str) -> int | None:
        given = [one for one in node.args if not isinstance(one, ast.Starred)]
        of_module = isinstance(node.func, ast.Attribute) and self.levels(node.func.value) is None
        if isinstance(node.func, ast.Attribute) and not of_module:  # a method of the path itself
            first = self.levels(node.func.value)
        elif given:
            first, given = self.levels(given[0]), given[1:]
        else:
            return None
        if name == _ABOVE:
            return _add(first, 1)
        return self.joined(first, given) if name in _SAME | _JOINS else None

    def joined(self, levels: int | None, parts: list[ast.expr]) -> int | None:
        """Return how far above a path leads that goes on from `levels` by these parts."""
        return _add(levels, ups(parts))


def climb(node: ast.expr, levels: int) -> Climb:
    """Return an expression as it is told."""
    return Climb(node.lineno, ast.unparse(node)[:SHOWN_MAX], levels)


def _add(levels: int | None, more: int) -> int | None:
    return None if levels is None else levels + more


def ups(parts: list[ast.expr]) -> int:
    """Count the `..` in parts of a path that are written out."""
    named = sum(isinstance(one, ast.Attribute) and one.attr == "pardir" for one in parts)
    texts = [one.value for one in parts if isinstance(one, ast.Constant) and isinstance(one.value, str)]
    return named + sum(text.replace("\\", "/").split("/").count(UP) for text in texts)


def notes(source: bytes, origin: str | None, slug: str) -> list[str]:
    """Return a line for `arctl init` if the script climbs where its copy finds something else."""
    found = climbs(source, allowed(origin))
    if found is None:
        return []
    where = f"train.py line {found.line} climbs from its own file ({found.text})"
    live = in_its_own_place(origin, slug)
    if live is None:
        return [f"{where}: a run's copy lies elsewhere, so give it the path of what it looks for"]
    return [f"{where}: a run's copy lies elsewhere; {live}"]


def in_its_own_place(origin: str | None, slug: str) -> str | None:
    """Say how a script is run where it was taken from; None if the daemon runs nothing there."""
    if origin is not None and os.path.isabs(origin):
        return None
    return f"to run it in its own place: arctl session start --seconds 600 --exec live --expr {slug}"
