"""Finds relative imports, which a module has and a script cannot. Pure: the source is read, not run.

`python -m package.train` runs the module as it lies in the project. A run's version is a script; there the
same import needs the package's name.
"""

import ast
import os
import shlex
from collections.abc import Iterator, Sequence

from ardaemon.core import literals
from ardaemon.experiment.climbing import SHOWN_MAX


def notes(source: bytes, root: str, package: Sequence[str]) -> list[str]:
    """Return a line for `arctl init` if the script imports relatively.

    `package` are the names of the script's package, the outermost first, and `root` is the folder in which
    that lies, relative to the project.
    """
    tree = literals.parsed(source) if b"from" in source else None
    found = None if tree is None else next(_relative(tree), None)
    if found is None:
        return []
    path = shlex.quote(root or os.curdir)
    return [
        f"train.py line {found.lineno} imports relatively ({ast.unparse(found)[:SHOWN_MAX]}), as `python -m`"
        f" alone can: write {_in_full(found, package)}, and give"
        f' --runner "PYTHONPATH={path} python train.py"'
    ]


def _relative(node: ast.AST) -> Iterator[ast.ImportFrom]:
    """Yield the relative imports, but for those in a `try`: what follows is for the script."""
    if isinstance(node, ast.ImportFrom) and node.level:
        yield node
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, ast.Try):
            yield from _relative(child)


def _in_full(found: ast.ImportFrom, package: Sequence[str]) -> str:
    above = package[: len(package) - (found.level - 1)]
    if not above:
        return "the package's whole name in its place"
    module = ".".join([*above, *filter(None, [found.module])])
    return ast.unparse(ast.ImportFrom(module=module, names=found.names, level=0))[:SHOWN_MAX]
