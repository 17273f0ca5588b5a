"""Earlier edits that are like another one, by their normalised diffs. Pure.

The normalised diff of an edit is the set of the words in the lines that it added and removed, each with its
sign, but for those of its note: what the edit is about, whatever the order, the blanks and the punctuation.
Two edits are alike by the part of their words that they share (Jaccard's index).
"""

import heapq
import re
from collections.abc import Sequence

from ardaemon.core.facts import RunFacts
from ardaemon.core.history import HistoryLine
from ardaemon.report.memory import LINES_MAX, about, line_of
from ardaemon.report.reading import is_named

NOTE = "RUN_NOTE"  # begins the line of a script's note
LEAST = 0.1  # alike: edits that share less have nothing to do with each other
_WORD = re.compile(r"[^\W\d]\w*|\d[\w.]*(?:(?<=[eE])[+-]\d+)?")

Words = frozenset[tuple[str, str]]  # sign, word


class Similar:
    """The edits most alike one with this diff, the most alike first; of equals the newer one."""

    def __init__(self, diff: str, normal: str) -> None:
        self.words, self.normal = words(diff), normal
        self.found = 0
        self._nearest: list[tuple[float, int, HistoryLine]] = []

    def add(self, run: RunFacts) -> None:
        """Take in one more run."""
        if not is_named(run):
            return
        alike = 1.0 if run.normal and run.normal == self.normal else likeness(self.words, words(run.diff))
        if alike < LEAST:
            return
        self.found += 1
        place = (alike, self.found)
        if len(self._nearest) < LINES_MAX:
            heapq.heappush(self._nearest, (*place, self._line(run, alike)))
        elif place > self._nearest[0][:2]:
            heapq.heapreplace(self._nearest, (*place, self._line(run, alike)))

    def lines(self) -> Sequence[HistoryLine]:
        """Return the most alike first."""
        return [line for _, _, line in sorted(self._nearest, key=lambda one: one[:2], reverse=True)]

    def hint(self) -> str:
        """Return what it means that nothing is alike."""
        return "" if self.found else "no earlier edit shares a tenth of its words with train.py as it is now"

    def _line(self, run: RunFacts, alike: float) -> HistoryLine:
        if run.normal and run.normal == self.normal:
            return line_of(run, "; ".join(filter(None, ("the same code", run.reason))))
        return line_of(run, f"{alike:.0%} alike: {about(run)}".removesuffix(": "))


def words(diff: str) -> Words:
    """Return the normalised diff."""
    return frozenset(
        (line[0], word)
        for line in diff.splitlines()
        if line.startswith(("+", "-")) and not line.startswith(NOTE, 1)
        for word in _WORD.findall(line, 1)
    )


def likeness(ours: Words, theirs: Words) -> float:
    """Return the part of all their words that two edits share, from 0 to 1."""
    return len(ours & theirs) / len(ours | theirs) if ours or theirs else 0.0
