"""Runs in whose note, changes or diff a text stands. Pure.

A pattern is plain text. `*` in it stands for any characters of one line, and `|` for "or"; upper and lower
case are the same. It is no regular expression: one that backtracks holds the interpreter's lock without end,
and this takes time in proportion to the text. Most patterns that are asked for are a name or a word.
"""

from collections import deque
from collections.abc import Iterator, Sequence

from ardaemon.core.errors import UsageError
from ardaemon.core.facts import RunFacts
from ardaemon.core.history import GREP_MAX, HistoryLine
from ardaemon.report.memory import LINES_MAX, about, changed, line_of
from ardaemon.report.reading import is_named

ANY, OR = "*", "|"
HINT = "the text is searched for as it stands, in notes and in changed lines; * stands for any text, | for or"


class Grep:
    """The newest runs that a pattern matches, the newest first."""

    def __init__(self, pattern: str) -> None:
        if len(pattern) > GREP_MAX:
            raise UsageError(f"a pattern has at most {GREP_MAX} characters", "search for less")
        ways = ([piece for piece in way.split(ANY) if piece] for way in pattern.casefold().split(OR))
        self.ways = [pieces for pieces in ways if pieces]
        if not self.ways:
            raise UsageError(
                "there is nothing to search for", 'give a text, as: arctl history --grep "warmup"'
            )
        self.found = 0
        self._runs: deque[tuple[RunFacts, str]] = deque(maxlen=LINES_MAX)

    def add(self, run: RunFacts) -> None:
        """Take in one more run."""
        if is_named(run) and (line := self._matching(run)) is not None:
            self.found += 1
            self._runs.append((run, line))

    def lines(self) -> Sequence[HistoryLine]:
        """Return the newest first."""
        return [line_of(run, line) for run, line in reversed(self._runs)]

    def hint(self) -> str:
        """Return how a pattern is read, where none matches."""
        return "" if self.found else HINT

    def _matching(self, run: RunFacts) -> str | None:
        """Return the first line of the run that matches; what it changed, where that is its note."""
        if self.matches(run.note):
            return about(run)
        diff = run.diff.casefold()
        if not run.changes and all(pieces[0] not in diff for pieces in self.ways):
            return None  # nearly always
        return next((line for line in _lines(run) if self.matches(line)), None)

    def matches(self, line: str) -> bool:
        """Return whether one of the ways stands in the line."""
        text = line.casefold()
        return any(_stand(pieces, text) for pieces in self.ways)


def _stand(pieces: list[str], text: str) -> bool:
    """Return whether the pieces stand in the text, one after the other."""
    at = 0
    for piece in pieces:
        at = text.find(piece, at)
        if at < 0:
            return False
        at += len(piece)
    return True


def _lines(run: RunFacts) -> Iterator[str]:
    """Yield what the edit changed, and the lines that it added and removed."""
    for change in run.changes:
        yield changed((change,))
    for line in run.diff.splitlines():
        if line.startswith(("+", "-")):
            yield line
