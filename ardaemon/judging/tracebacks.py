"""Python tracebacks in a log: where they stand, and which of them says why the process failed. Pure.

These forms are known: plain tracebacks, chained ones, syntax errors (which have no header), exception groups,
tracebacks that torchrun prefixes with a rank, rich's boxes and IPython's. What a launcher or
the interpreter's shutdown prints afterwards is not the cause.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

_HEADER = "Traceback (most recent call last):"
# The headers of rich's box and of IPython.
_OTHER_HEADER = re.compile(
    r"[╭┌+][─━-]+ .*Traceback \(most recent call last\)|[A-Z]\w+ {2,}Traceback \(most recent"
)
_RANK = re.compile(r"\[\w+\]: ?")
_GROUP_BAR = re.compile(r" *(?:\| ?|\+ (?=Exception Group))")
_GROUP_MEMBER = re.compile(r" *\+[-+]+ (?:\d+|\.\.\.) -+")
_FRAME = re.compile(r'  File ".*", line \d+')
# An undotted name begins with a capital; a dotted one may not: re.error, queue.Empty.
_ENDING = re.compile(
    r"(?!(?:INFO|WARNING|ERROR|DEBUG|CRITICAL)\b)"
    r"(?P<kind>(?:[^\W\d]\w*\.)+[^\W\d]\w*|[A-Z_]\w*)(?:: (?P<message>.*)|:?$)"
)
_LINKS = ("During handling of the above exception,", "The above exception was the direct cause")
# A traceback that follows one of these lines did not end the process.
_ASIDE = ("Exception ignored ", "Error in atexit", "Exception in thread ", "--- Logging error ---")
OUTERMOST = 2  # columns before an exception group's own bar; its members are indented further
# A launcher raises one of these when a child failed; the child's own traceback comes before.
WRAPPERS = {
    "ChildFailedError",
    "CalledProcessError",
    "SignalException",
    "DistBackendError",
    "KeyboardInterrupt",
}


class Ending(NamedTuple):
    """One traceback: the lines that it spans (`end` is after the last one), and the error that ends it."""

    start: int
    end: int
    kind: str
    message: str
    depth: int  # columns before the bar of its exception group; 0 outside a group
    linked: bool  # it is chained to the traceback before it
    aside: bool  # it did not end the process

    @property
    def name(self) -> str:
        """Return the type's name without its module."""
        return self.kind.rpartition(".")[2]


class Failure(NamedTuple):
    """The traceback that matters, with the others of its chain or group."""

    start: int
    end: int
    cause: Ending
    family: tuple[Ending, ...]


def find(lines: list[str]) -> Failure | None:
    """Find the last traceback in cleaned `lines`: the script's own, else a launcher's, else one aside."""
    endings = list(_endings(lines))
    in_line = [ending for ending in endings if not ending.aside]
    real = [ending for ending in in_line if ending.name not in WRAPPERS]
    chosen = (real or in_line or endings)[-1:]
    return _failure(endings, endings.index(chosen[0])) if chosen else None


def _failure(endings: list[Ending], last: int) -> Failure:
    first = last
    while first > 0 and (endings[first].linked or _inside(endings[first], endings[first - 1])):
        first -= 1
    family = tuple(endings[first : last + 1])
    # The cause of a group is what failed first in it; that it is a group says nothing.
    leaves = [one for one in family if one.depth > OUTERMOST and not one.name.endswith("ExceptionGroup")]
    cause = leaves[0] if endings[last].depth and leaves else endings[last]
    return Failure(family[0].start, family[-1].end, cause, family)


def _inside(ending: Ending, before: Ending) -> bool:
    """Return whether `ending` is a member of the exception group that `before` belongs to."""
    return ending.depth > OUTERMOST and before.depth > 0


def _endings(lines: list[str]) -> Iterator[Ending]:
    start: int | None = None
    linked = aside = False
    last_line = ""  # that was not blank
    for index, raw in enumerate(lines):
        line, depth = _bare(raw)
        if _opens(line, start):
            if start is None or _is_header(line):
                start, aside = index, last_line.startswith(_ASIDE)
        elif line.startswith(_LINKS):
            linked = True
        elif start is not None and (match := _ENDING.match(line)):
            yield Ending(start, index + 1, match["kind"], match["message"] or "", depth, linked, aside)
            start, linked = None, False
        if line.strip():
            last_line = line


def _opens(line: str, start: int | None) -> bool:
    if _is_header(line) or _GROUP_MEMBER.fullmatch(line):
        return True
    return start is None and _FRAME.match(line) is not None


def _is_header(line: str) -> bool:
    return line.endswith(_HEADER) or _OTHER_HEADER.match(line) is not None


def _bare(line: str) -> tuple[str, int]:
    """Strip a rank's or a group's prefix off a line; return the rest, and the column of the group's bar."""
    if rank := _RANK.match(line):
        line = line[rank.end() :]
    bar = _GROUP_BAR.match(line)
    if bar is None:
        return line, 0
    return line[bar.end() :], len(bar[0]) - len(bar[0].lstrip()) or 1
