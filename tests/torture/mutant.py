"""A mutant: one place of the code, changed so that one promise is broken and everything else still works."""

from pathlib import Path
from typing import NamedTuple

PACKAGES = ("ardaemon", "arctl")


class Mutant(NamedTuple):
    """`old` occurs once in the code, wherever that is; `new` takes its place."""

    promise: str
    broken: str  # what is wrong then, in words
    old: str
    new: str
    tests: tuple[str, ...] = ()  # of its promise, that have to notice it; empty: any may


def code(tree: Path) -> dict[Path, str]:
    """Every file of ours below `tree`, and its text."""
    files = [path for package in PACKAGES for path in sorted((tree / package).rglob("*.py"))]
    return {path: path.read_text(encoding="utf-8") for path in files}


def changed(texts: dict[Path, str], mutant: Mutant) -> tuple[Path, str]:
    """The file in which it is, and its text with the mutant in it."""
    found = [path for path, text in texts.items() for _ in range(text.count(mutant.old))]
    assert len(found) == 1, f"{len(found)} places with {mutant.old!r}: choose its place anew"
    return found[0], texts[found[0]].replace(mutant.old, mutant.new)
