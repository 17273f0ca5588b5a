"""What has been tried: questions about all runs, answered in one pass by the few that matter most. Pure.

Each kind of question is a class that takes in run after run and keeps at most LINES_MAX lines.
"""

from collections import deque
from collections.abc import Sequence
from typing import Protocol

import msgspec

from ardaemon.core.facts import VALUE_MAX, Change, RunFacts
from ardaemon.core.history import HistoryLine
from ardaemon.core.line import short
from ardaemon.core.model import Direction
from ardaemon.report.parameters import NAME_MAX
from ardaemon.report.ranks import Ranks
from ardaemon.report.reading import is_named, rank, tells, value_of

LINES_MAX = 40  # more do not fit into LINES_BYTES
# Bytes of the lines as JSON: with the rest of the answer less than 4 KiB. As text they are shorter.
LINES_BYTES = 3_200
NOTE_BYTES = 120
WHY_BYTES = 140
HINT_BYTES = 400
CHANGES_SHOWN = 2


class Question(Protocol):
    """A question about the runs; `found` counts the runs that answer it, also those without a line."""

    found: int

    def add(self, run: RunFacts) -> None:
        """Take in one more run, oldest first."""

    def lines(self) -> Sequence[HistoryLine]:
        """Return the lines that answer it, what matters most first."""

    def hint(self) -> str:
        """Return what to ask instead where no run answers it; "" if there is nothing to say."""


class Newest:
    """The last runs that say something about their edit, the newest first."""

    def __init__(self) -> None:
        self.found = 0
        self._runs: deque[RunFacts] = deque(maxlen=LINES_MAX)

    def add(self, run: RunFacts) -> None:
        """Take in one more run."""
        if is_named(run) and tells(run):
            self.found += 1
            self._runs.append(run)

    def lines(self) -> Sequence[HistoryLine]:
        """Return the newest first."""
        return [line_of(run, about(run)) for run in reversed(self._runs)]

    def hint(self) -> str:
        """Return nothing: every experiment begins without runs."""
        return ""


class Best:
    """The runs with the best values, the best first."""

    def __init__(self, count: int, direction: Direction, conditions: str) -> None:
        self.found, self.conditions = 0, conditions
        self._ranks: Ranks[HistoryLine] = Ranks(direction, min(count, LINES_MAX))

    def add(self, run: RunFacts) -> None:
        """Take in one more run; a rerun of the best, or one that broke a constraint, does not count."""
        value = value_of(run, self.conditions)
        if is_named(run) and value is not None and run.valid and not run.measure:
            self.found += 1
            self._ranks.add(value, lambda: line_of(run, about(run)))

    def lines(self) -> Sequence[HistoryLine]:
        """Return the best first."""
        return self._ranks.best()

    def hint(self) -> str:
        """Return nothing: it is asked for values alone."""
        return ""


class Tried:
    """The values to which edits set one name, and what came of each: what did best first.

    `lr` is also the last part of a longer name, as `optimizer.lr`.
    """

    VALUES_MAX = 2_000  # that are told apart
    NAMES_MAX, NAMES_SHOWN = 200, 20  # that are remembered, and offered where nobody changed this one

    def __init__(self, name: str, direction: Direction, conditions: str) -> None:
        self.name, self.direction, self.conditions = name, direction, conditions
        self.found = 0
        self.names: dict[str, int] = {}
        self._values: dict[str | None, _Value] = {}

    def add(self, run: RunFacts) -> None:
        """Take in one more run."""
        for change in run.changes if is_named(run) else ():
            self._count(change.name[:NAME_MAX])
            if change.name == self.name or change.name.endswith(f".{self.name}"):
                self.found += 1
                self._add(run, change)

    def _count(self, name: str) -> None:
        if name in self.names or len(self.names) < self.NAMES_MAX:
            self.names[name] = self.names.get(name, 0) + 1

    def _add(self, run: RunFacts, change: Change) -> None:
        after = change.after and change.after[:VALUE_MAX]
        before = self._values.get(after)
        if before is None and len(self._values) >= self.VALUES_MAX:
            return
        value = None if run.measure or not run.valid else value_of(run, self.conditions)
        place = (value is None, 0.0 if value is None else rank(value, self.direction))
        runs = 1 if before is None else before.runs + 1
        if before is None or place < before.place:
            self._values[after] = _Value(place, runs, line_of(run, run.reason or ""), change)
        else:
            self._values[after] = msgspec.structs.replace(before, runs=runs)

    def lines(self) -> Sequence[HistoryLine]:
        """Return a line for each value, of the run that did best with it."""
        best_first = sorted(self._values.values(), key=lambda value: value.place)[:LINES_MAX]
        return [msgspec.structs.replace(value.line, why=_times(value)) for value in best_first]

    def hint(self) -> str:
        """Return the names that were changed most often, where this one never was."""
        if self.found or not self.names:
            return ""
        most = sorted(self.names, key=lambda name: (-self.names[name], name))[: self.NAMES_SHOWN]
        return short(f"these names were changed: {', '.join(most)}", HINT_BYTES)


class _Value(msgspec.Struct, frozen=True):
    """One value of a name: its place among the others, and the run that did best with it."""

    place: tuple[bool, float]
    runs: int
    line: HistoryLine
    change: Change


def _times(value: _Value) -> str:
    times = f" ({value.runs} runs)" if value.runs > 1 else ""
    why = short(changed((value.change,)), WHY_BYTES - len(times)) + times
    return short(f"{why}; {value.line.why}", WHY_BYTES) if value.line.why else why


def line_of(run: RunFacts, why: str) -> HistoryLine:
    """Return the line of a run, its text cleaned and cut."""
    return HistoryLine(
        run_id=run.run_id,
        verdict=run.verdict,
        measure=run.measure,
        value=run.value,
        note=short(run.note, NOTE_BYTES),
        why=short(why, WHY_BYTES),
    )


def about(run: RunFacts) -> str:
    """Return what the run's edit changed, and why it failed if it did."""
    return "; ".join(filter(None, (changed(run.changes), run.reason)))


def changed(changes: Sequence[Change]) -> str:
    """Return `lr 1e-3 → 3e-4, warmup 100 → 200`, the first changes of an edit."""
    shown = [f"{one.name} {one.before or 'none'} → {one.after or 'none'}" for one in changes[:CHANGES_SHOWN]]
    more = f", {len(changes) - CHANGES_SHOWN} more" if len(changes) > CHANGES_SHOWN else ""
    return ", ".join(shown) + more


def fitting(lines: Sequence[HistoryLine]) -> tuple[HistoryLine, ...]:
    """Return the first lines that fit into LINES_BYTES as JSON."""
    room, kept = LINES_BYTES, []
    for line in lines:
        room -= len(msgspec.json.encode(line)) + 1
        if room < 0:
            break
        kept.append(line)
    return tuple(kept)
