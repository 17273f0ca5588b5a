"""Reads constants of a Python source without running it (standard library alone)."""

import ast
import threading
import warnings
from collections.abc import Iterator

# Errors that parsing and evaluating a hostile source may raise. MemoryError is the parser's own depth limit.
_UNREADABLE = (SyntaxError, ValueError, TypeError, RecursionError, MemoryError)
# The warning filters are one per process: only one thread may exchange them at a time.
_quiet = threading.Lock()


def literal(source: bytes, name: str) -> object | None:
    """Return the value of the top-level `NAME = <literal>` in `source`; the last assignment counts.

    Return None if there is no such assignment, if its value is not a literal, or if the source does not
    parse.
    """
    if name.encode() not in source:
        return None
    try:
        values = list(_assigned(_parse(source), name))
        return ast.literal_eval(values[-1]) if values and values[-1] is not None else None
    except _UNREADABLE:
        return None


def _parse(source: bytes) -> ast.Module:
    """Parse `source` without Python's warnings about it (as for an invalid escape in a string)."""
    with _quiet, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ast.parse(source)


def _assigned(tree: ast.Module, name: str) -> Iterator[ast.expr | None]:
    """Yield each value bound to `name` at the top level; None for `name += …`, whose value is not literal."""
    for node in tree.body:
        match node:
            case ast.Assign(targets=targets, value=value) if any(_is(target, name) for target in targets):
                yield value
            case ast.AnnAssign(target=target, value=ast.expr() as value) if _is(target, name):
                yield value
            case ast.AugAssign(target=target) if _is(target, name):
                yield None


def _is(target: ast.expr, name: str) -> bool:
    return isinstance(target, ast.Name) and target.id == name
