"""Finds where a script looks through all folders below its own. Pure: the source is read, not run.

Beside a run's copy lie links to what lies beside the original (script_place.py). `Path.rglob` and `os.walk`
follow no link to a folder: by hand they find files that they do not find here, and say nothing.
"""

import ast

from ardaemon.core import literals
from ardaemon.experiment.climbing import UP, Climb, Reader, climb, in_its_own_place

_METHODS = ("rglob", "walk")  # of a Path
_FUNCTIONS = ("walk", "fwalk")  # of module os
_EVERY_FOLDER = "**"  # in the pattern of Path.glob
_FOLLOWS = ("followlinks", "follow_symlinks", "recurse_symlinks")


class _Folders(Reader):
    """Follows `__file__` to the script's folder and to those above it, and to nothing beside or below."""

    def joined(self, levels: int | None, parts: list[ast.expr]) -> int | None:
        return super().joined(levels, parts) if all(map(_is_up, parts)) else None


def _is_up(part: ast.expr) -> bool:
    if isinstance(part, ast.Attribute):
        return part.attr == "pardir"
    return isinstance(part, ast.Constant) and set(str(part.value).split("/")) <= {UP, ".", ""}


def walks(source: bytes) -> Climb | None:
    """Return the first call that looks through the script's own folder, or one above; None: none is seen."""
    wanted = any(word in source for word in (b"rglob", b"walk", b"**")) and b"__file__" in source
    tree = literals.parsed(source) if wanted else None
    if tree is None:
        return None
    folders = _Folders()
    try:
        calls = [node for node in folders.expressions(tree) if isinstance(node, ast.Call)]
        return next((climb(call, 1) for call in calls if _walks(call, folders)), None)
    except RecursionError:
        return None


def _walks(call: ast.Call, folders: Reader) -> bool:
    if not isinstance(call.func, ast.Attribute) or any(one.arg in _FOLLOWS for one in call.keywords):
        return False
    name, of, first = call.func.attr, call.func.value, next(iter(call.args), None)
    if isinstance(of, ast.Name) and of.id == "os":
        return name in _FUNCTIONS and first is not None and bool(folders.levels(first))
    every = isinstance(first, ast.Constant) and _EVERY_FOLDER in str(first.value)
    return (name in _METHODS or (name == "glob" and every)) and bool(folders.levels(of))


def notes(source: bytes, origin: str | None, slug: str) -> list[str]:
    """Return a line for `arctl init` if the script looks through folders that are links beside its copy."""
    found = walks(source)
    if found is None:
        return []
    live = in_its_own_place(origin, slug)
    return [
        f"train.py line {found.line} looks through all folders below its own ({found.text}), and does not"
        " follow the links that a run's copy has there; name the folder, as"
        f' Path(__file__).parent / "data"{"; or, " + live if live else ""}'
    ]
