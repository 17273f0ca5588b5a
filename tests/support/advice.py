"""Find what the program's texts advise: each command line of arctl, and each option that an error names.

A text is every string of the source that is no docstring, so a new error is found by itself. What is filled
in when the text is made stands as `…`.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from ardaemon.core import errors

ROOT = Path(__file__).parents[2]
_WORD = r"(?:\"[^\"]*\"|'[^']*'|-{0,2}[\w…{}/.:=<>|*#%+-]*[\w…}>|*])"
_COMMAND = re.compile(rf"\barctl(?: {_WORD})+")
_OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]*")


class Text(NamedTuple):
    """A text of the program, and where it stands."""

    place: str
    text: str

    def __str__(self) -> str:
        return f"{self.place}: {self.text}"


def commands() -> list[Text]:
    """Return every command line of arctl that a text names."""
    texts = (one for file, tree in _files("arctl") for one in _within(file, tree))
    every = (Text(one.place, match[0]) for one in texts for match in _COMMAND.finditer(one.text))
    return list(dict.fromkeys(every))


def options_in_errors() -> list[Text]:
    """Return every option that an error names, in its message or its mend."""
    named = ((place, option) for place, text in _of_errors() for option in _OPTION.findall(text))
    return [Text(place, option) for place, option in dict.fromkeys(named)]


def _files(word: str) -> Iterator[tuple[str, ast.Module]]:
    """Parse the files that have this word in them: no text of another one can."""
    for room in ("ardaemon", "arctl"):
        for path in sorted((ROOT / room).rglob("*.py")):
            source = path.read_text()
            if word in source:
                yield str(path.relative_to(ROOT)), ast.parse(source)


def _of_errors() -> Iterator[Text]:
    for file, tree in _files("--"):
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and _name(node.func) in errors.BY_KIND:
                for argument in (*node.args, *(given.value for given in node.keywords)):
                    yield from _within(file, argument)


def _name(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def _within(file: str, tree: ast.AST) -> Iterator[Text]:
    """Yield the texts in a piece of source; the parts of an f-string as one."""
    nodes = [tree]
    while nodes:
        node = nodes.pop()
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield Text(f"{file}:{node.lineno}", node.value)
        elif isinstance(node, ast.JoinedStr):
            parts = (one.value if isinstance(one, ast.Constant) else "…" for one in node.values)
            yield Text(f"{file}:{node.lineno}", "".join(map(str, parts)))
            nodes += [one for one in node.values if not isinstance(one, ast.Constant)]
        else:
            nodes += _without_docstring(node)


def _without_docstring(node: ast.AST) -> list[ast.AST]:
    below = list(ast.iter_child_nodes(node))
    if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        return [one for one in below if not _is_text(one)]
    return below


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
