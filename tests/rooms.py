"""`make rooms`: the rooms of ardaemon and arctl, who imports whom, and what is long.

Exit code 1 if rooms or files import each other in a circle, or if an arrow runs upward
(tests/support/rooms.py has the rules).
"""

import ast
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tests.support import rooms
from tests.support.imports import ROOT, Imports, read_tree, sources

WIDTH = 110  # columns, as the code has them
LONGEST = 10


class Lines(NamedTuple):
    """How long one thing is, and where it stands."""

    lines: int
    name: str


def main(root: Path = ROOT) -> int:
    """Print what is known of the tree below `root`; 1 for a circle or an upward arrow."""
    tree = read_tree(root)
    wrong = mistakes(tree)
    report = [
        *wrong,
        *table(tree, root),
        "",
        *longest("longest files", files(root)),
        "",
        *longest("longest functions (without docstring)", functions(root)),
        "",
        summary(tree),
    ]
    print("\n".join(report))
    return 1 if wrong else 0


def summary(tree: Imports) -> str:
    """The whole in one line."""
    graph, between_files = rooms.room_graph(tree), rooms.module_graph(tree)
    return (
        f"{len(graph)} rooms on {max(rooms.levels(graph).values())} levels of imports,"
        f" {len(rooms.arrows(tree))} arrows between rooms;"
        f" circles: {len(rooms.circles(graph))} of rooms, {len(rooms.circles(between_files))} of files;"
        f" upward arrows: {len(rooms.upward_arrows(tree))}"
    )


def mistakes(tree: Imports) -> list[str]:
    """Each circle and each upward arrow, with the imports that make it."""
    graph, drawn = rooms.room_graph(tree), rooms.arrows(tree)
    lines: list[str] = []
    for circle in rooms.circles(graph):
        lines += _wrapped("circle of rooms: ", " ↔ ".join(circle))
        lines += [f"  {line}" for arrow in drawn if set(arrow) <= set(circle) for line in drawn[arrow]]
    for circle in rooms.circles(rooms.module_graph(tree)):
        lines += _wrapped("circle of files: ", " ↔ ".join(circle))
    for (source, target), imports in rooms.upward_arrows(tree).items():
        lines.append(f"upward arrow: {source} → {target}")
        lines += [f"  {line}" for line in imports]
    return [*lines, ""] if lines else []


def table(tree: Imports, root: Path) -> list[str]:
    """One row per room, the highest level first."""
    graph, lengths = rooms.room_graph(tree), lengths_of(tree, root)
    total, level = sum(map(sum, lengths.values())), rooms.levels(graph)
    rows = ["level  room                      files   lines  share  imports"]
    for room in sorted(graph, key=lambda room: (-level[room], room)):
        lines = sum(lengths[room])
        share = lines / max(total, 1)
        row = f"{level[room]:5}  {room:24} {len(lengths[room]):6} {lines:7,} {share:6.1%}"
        names = sorted(target.removeprefix("ardaemon/") for target in graph[room])
        rows += _wrapped(f"{row}  ", " ".join(names) or "–")
    return rows


def lengths_of(tree: Imports, root: Path) -> dict[str, list[int]]:
    """The lines of each file in each room; an __init__.py is empty and does not count."""
    room_of = rooms.rooms_of(tree)
    lengths: dict[str, list[int]] = {room: [] for room in room_of.values()}
    for module, path in sources(root).items():
        if path.name != "__init__.py":
            lengths[room_of[module]].append(_lines(path))
    return lengths


def longest(title: str, things: list[Lines]) -> list[str]:
    """The first few by length."""
    chosen = sorted(things, key=lambda thing: (-thing.lines, thing.name))[:LONGEST]
    return [title, *(f"{thing.lines:6}  {thing.name}" for thing in chosen)]


def files(root: Path) -> list[Lines]:
    """Every file, and its lines."""
    return [Lines(_lines(path), str(path.relative_to(root))) for path in sources(root).values()]


def _lines(path: Path) -> int:
    return len(path.read_text(encoding="utf-8").splitlines())


def functions(root: Path) -> list[Lines]:
    """Every function and method, and its lines from `def` to its end less its docstring."""
    return [
        Lines(_length(node), f"{name} ({path.relative_to(root)}:{node.lineno})")
        for path in sources(root).values()
        for name, node in _functions(ast.parse(path.read_text(encoding="utf-8")), "")
    ]


Function = ast.FunctionDef | ast.AsyncFunctionDef


def _functions(parent: ast.AST, prefix: str) -> Iterator[tuple[str, Function]]:
    for node in ast.iter_child_nodes(parent):
        inside = prefix
        if isinstance(node, Function | ast.ClassDef):
            inside = f"{prefix}{node.name}."
        if isinstance(node, Function):
            yield inside.removesuffix("."), node
        yield from _functions(node, inside)


def _length(node: Function) -> int:
    """The lines of a function, those of its docstring left out."""
    first = node.body[0]
    documented = ast.get_docstring(node, clean=False) is not None
    return _span(node) - (_span(first) if documented else 0)


def _span(node: ast.stmt) -> int:
    assert node.end_lineno is not None
    return node.end_lineno - node.lineno + 1


def _wrapped(begin: str, text: str) -> list[str]:
    return textwrap.wrap(
        text, WIDTH, initial_indent=begin, subsequent_indent=" " * len(begin), break_long_words=False
    )


if __name__ == "__main__":
    sys.exit(main())
