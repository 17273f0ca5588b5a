"""The normal form of a train.py: equal for two versions that do the same, however they are laid out.

It is the hash of the syntax tree, without positions and without the RUN_NOTE assignment. A source that this
Python cannot parse has the hash of its bytes; the two kinds begin differently, so they never meet.

Python's parser may take very long and holds the interpreter's lock, so only the worker calls it
(source/worker.py). The standard library alone.
"""

import ast
import hashlib
import warnings
from collections.abc import Collection

NOTE = "RUN_NOTE"
AST, RAW = "ast-", "raw-"  # what a normal form begins with
DIGITS = 32  # of the hash
_UNREADABLE = (SyntaxError, ValueError, RecursionError, MemoryError)


def raw(source: bytes) -> str:
    """Return the normal form of a source that cannot be parsed, or not in time."""
    return RAW + hashlib.sha256(source).hexdigest()[:DIGITS]


def parsed(source: bytes) -> ast.Module | None:
    """Return the syntax tree of a source; None if this Python cannot parse it."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(source)
    except _UNREADABLE:
        return None


def normal(source: bytes, tree: ast.Module | None) -> str:
    """Return the normal form of a source, whose tree is `tree`."""
    if tree is None:
        return raw(source)
    try:
        text = "\0".join(words([one for one in tree.body if not is_note(one)]))
    except _UNREADABLE:
        return raw(source)
    return AST + hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:DIGITS]


def is_note(statement: ast.stmt) -> bool:
    """Tell whether a statement assigns a literal to RUN_NOTE and does nothing else."""
    match statement:
        case ast.Assign(targets=[ast.Name(id=name)], value=value) if name == NOTE:
            return _is_literal(value)
        case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value) if name == NOTE:
            return _is_literal(value)
    return False


def _is_literal(value: ast.expr) -> bool:
    try:
        ast.literal_eval(value)
    except (*_UNREADABLE, TypeError):
        return False
    return True


def words(root: object, left_out: Collection[int] = ()) -> list[str]:
    """Return a tree as words, each node's before those of what is in it.

    Nodes below the root whose id() is in `left_out` are told by one word that is the same for all. A field
    that is empty is left out, but for a constant's: a later Python, whose nodes have more fields, gives the
    same words. No function calls itself, for a tree may be deep; and a run waits for this one.
    """
    found: list[str] = []
    todo = [root]
    while todo:
        node = todo.pop()
        if isinstance(node, list):
            found.append(str(len(node)))
            todo += node[::-1]
        elif id(node) in left_out and node is not root:
            found.append("…")
        elif isinstance(node, ast.Constant):
            found += _constant(node.value)
        elif isinstance(node, ast.AST):
            found.append(type(node).__name__)
            values = node.__dict__
            for name in node._fields[::-1]:
                if value := values.get(name):
                    found.append(name)
                    todo.append(value)
        else:
            found.append(repr(node))
    return found


def _constant(value: object) -> tuple[str, str]:
    """Return a constant as words; hexadecimal where it is an integer, for repr() refuses large ones."""
    return type(value).__name__, hex(value) if type(value) is int else repr(value)
