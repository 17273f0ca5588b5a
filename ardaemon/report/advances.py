"""How the best was reached, and where no run advanced for long: collected in one pass. Pure."""

from collections import deque

from ardaemon.core.facts import RunFacts
from ardaemon.core.model import Direction
from ardaemon.core.summary import RunLine, Stretch
from ardaemon.report.reading import line_of, rank, tells


class Advances:
    """Counts the advances; keeps the first, the last baseline and the newest."""

    def __init__(self, kept: int) -> None:
        self.count = 0
        self.baseline: RunLine | None = None  # the last: a fresh start or another seal makes a new one
        self.newest: deque[RunLine] = deque(maxlen=kept)

    def add(self, run: RunFacts) -> None:
        """Take in one more run."""
        if run.verdict != "advance":
            return
        self.count += 1
        line = line_of(run)
        if run.best_before is None:
            self.baseline = line
        self.newest.append(line)

    def lines(self) -> tuple[RunLine, ...]:
        """Return the newest advances, oldest first, after the baseline if it is not among them."""
        first = (self.baseline,) if self.baseline is not None and self.baseline not in self.newest else ()
        return (*first, *self.newest)


class Stretches:
    """Finds the longest rows of runs without an advance, and what came nearest since the last one."""

    def __init__(self, direction: Direction, kept: int) -> None:
        self.direction, self.kept = direction, kept
        self.now: Stretch | None = None
        self.nearest: RunLine | None = None
        self.longest: list[Stretch] = []

    def add(self, run: RunFacts, value: float | None) -> None:
        """Take in one more run; `value` is None where it cannot be compared."""
        if run.verdict == "advance":
            self._keep(self.now)
            self.now = self.nearest = None
        elif tells(run):
            first = run.run_id if self.now is None else self.now.first
            self.now = Stretch(first=first, last=run.run_id, runs=1 + (self.now.runs if self.now else 0))
            if value is not None and run.valid and self._is_nearer(value):
                self.nearest = line_of(run)

    def lines(self) -> tuple[Stretch, ...]:
        """Return the longest rows, the longest first, the one that goes on among them."""
        self._keep(self.now)
        return tuple(self.longest)

    def _is_nearer(self, value: float) -> bool:
        if self.nearest is None or self.nearest.value is None:
            return True
        return rank(value, self.direction) < rank(self.nearest.value, self.direction)

    def _keep(self, stretch: Stretch | None) -> None:
        if stretch is None:
            return
        self.longest.append(stretch)
        self.longest.sort(key=lambda one: -one.runs)  # stable: the earlier one first
        del self.longest[self.kept :]
