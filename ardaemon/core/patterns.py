"""Patterns of paths as a person writes them: which names match, from folder to folder. Pure: no I/O.

`*`, `?` and `[…]` stand for a part of one name; `**` alone stands for any number of folders. A name that
begins with a dot is matched only by a part that does so too. This is what the module glob does, but for two
things: `**` is never led through a link, and no path comes twice.
"""

import fnmatch
import glob
import re
from collections.abc import Callable
from typing import NamedTuple

DEEP = "**"
_ESCAPED = re.compile(r"\[([*?[])\]")  # as glob.escape() writes these three
Places = frozenset[int]  # the parts of a pattern that may come next; one beyond the last: it is matched
NOWHERE: Places = frozenset()
Matches = Callable[[str], object]


class _Part(NamedTuple):
    """What one name must be like: `name` itself, or what `matches` says; neither for `**`."""

    name: str | None = None
    matches: Matches | None = None
    hidden: bool = False  # may match a name that begins with a dot

    @property
    def deep(self) -> bool:
        """Return whether it is `**`."""
        return self.name is None and self.matches is None


def _part(text: str) -> _Part:
    name = _ESCAPED.sub(r"\1", text)
    if text == DEEP:
        return _Part()
    if glob.escape(name) == text:
        return _Part(name)
    return _Part(matches=re.compile(fnmatch.translate(text)).match, hidden=text.startswith("."))


class _Step(NamedTuple):
    """What the next name may be at some places of a pattern, and at which places the pattern is after it."""

    names: dict[str, set[int]]
    others: list[tuple[Matches, bool, int]]  # parts with wildcards; whether they match hidden names
    deep: Places  # after any name, for `**`


class Pattern:
    """A pattern of paths, cut into its parts."""

    def __init__(self, text: str) -> None:
        self.parts = tuple(_part(part) for part in text.split("/") if part)
        self.last = len(self.parts) - 1
        self.absolute = text.startswith("/")
        self.folders_alone = text.endswith("/")
        self.start = self._closed({0})
        self._steps: dict[Places, _Step] = {}  # a few: one for each set of places to which names lead

    def names(self, places: Places) -> list[str] | None:
        """Return the only names in a folder that may match there; None if all must be looked at."""
        step = self._step(places)
        return None if step.others or step.deep else sorted(step.names)

    def advance(self, places: Places, name: str, by_link: bool = False) -> Places:
        """Return where the pattern is after `name`; nowhere if it does not match.

        `by_link`: a link is followed, and `**` does not follow it.
        """
        step = self._step(places)
        hidden = name[0] == "."
        deep = NOWHERE if hidden or by_link else step.deep
        if not step.others and name not in step.names:
            return deep  # most names, by far
        after = {*deep, *step.names.get(name, ())}
        after |= {at for match, also_hidden, at in step.others if also_hidden >= hidden and match(name)}
        return self._closed(after)

    def is_matched(self, places: Places, is_folder: bool) -> bool:
        """Return whether the path so far, which leads to a folder or not, matches the whole pattern."""
        if is_folder and self.last in places and self.parts[self.last].deep:
            return True  # `**` at the end may stand for no folder at all
        return self.last + 1 in places and (is_folder or not self.folders_alone)

    def goes_on(self, places: Places) -> bool:
        """Return whether a longer path may match."""
        return any(at <= self.last for at in places)

    def _step(self, places: Places) -> _Step:
        step = self._steps.get(places)
        if step is None:
            step = self._steps[places] = self._made(places)
        return step

    def _made(self, places: Places) -> _Step:
        names: dict[str, set[int]] = {}
        others, deep = [], set()
        for at in places - {self.last + 1}:
            part = self.parts[at]
            if part.name is not None:
                names.setdefault(part.name, set()).add(at + 1)
            elif part.matches is not None:
                others.append((part.matches, part.hidden, at + 1))
            else:
                deep |= {at, at + 1} if at == self.last else {at}
        return _Step(names, others, self._closed(deep))

    def _closed(self, places: set[int]) -> Places:
        """Add the places to which `**` leads if it stands for no folder."""
        for at in sorted(places):
            while at < self.last and self.parts[at].deep:
                at += 1
                places.add(at)
        return frozenset(places)
