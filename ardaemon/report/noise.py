"""Snapshots that were run more than once, and how much their values differ, collected in one pass. Pure."""

import heapq
import math
import sys

from ardaemon.core.facts import RunFacts
from ardaemon.core.summary import Equal, Noise
from ardaemon.report.limits import SNAPSHOTS_MAX

LARGEST = sys.float_info.max  # in the place of infinity, which JSON cannot say


class _Same:
    """The values of one snapshot: their number, mean and sum of squares (Welford), and the first of them."""

    __slots__ = ("highest", "kept", "lowest", "mean", "order", "run_ids", "runs", "squares", "values")

    def __init__(self, order: int, run_id: str, value: float, kept: int) -> None:
        self.order, self.kept, self.runs, self.squares = order, kept, 1, 0.0
        self.run_ids, self.values = [run_id], [value]
        self.mean = self.lowest = self.highest = value

    def add(self, run_id: str, value: float) -> None:
        self.runs += 1
        off = value - self.mean
        self.mean += off / self.runs
        self.squares += off * (value - self.mean)
        self.lowest, self.highest = min(self.lowest, value), max(self.highest, value)
        if len(self.values) < self.kept:
            self.run_ids.append(run_id)
            self.values.append(value)


class EqualSnapshots:
    """Finds runs of equal code among the first SNAPSHOTS_MAX snapshots; tainted values do not count."""

    def __init__(self, kept_values: int) -> None:
        self.kept_values = kept_values
        self._once: dict[str, tuple[str, float]] = {}  # most snapshots are run once: nothing more for them
        self._more: dict[str, _Same] = {}

    def add(self, run: RunFacts, value: float | None) -> None:
        """Take in one more run; `value` is None where it cannot be compared."""
        key = run.normal or run.sha256
        if value is None or not key or run.tainted:
            return
        if (same := self._more.get(key)) is not None:
            same.add(run.run_id, value)
        elif (first := self._once.pop(key, None)) is not None:
            same = self._more[key] = _Same(len(self._more), *first, self.kept_values)
            same.add(run.run_id, value)
        elif len(self._once) + len(self._more) < SNAPSHOTS_MAX:
            self._once[key] = (run.run_id, value)

    def noise(self) -> Noise | None:
        """Return how much equal code differs; None if nothing was run twice."""
        groups = self._more.values()
        if not groups:
            return None
        freedom = sum(group.runs - 1 for group in groups)
        return Noise(
            snapshots=len(groups),
            runs=sum(group.runs for group in groups),
            deviation=_deviation(sum(group.squares for group in groups), freedom),
            largest=min(max(group.highest - group.lowest for group in groups), LARGEST),
        )

    def lines(self, kept: int) -> tuple[Equal, ...]:
        """Return the snapshots that were run most often."""
        most = heapq.nsmallest(kept, self._more.values(), key=lambda same: (-same.runs, same.order))
        return tuple(
            Equal(
                run_ids=tuple(same.run_ids),
                values=tuple(same.values),
                runs=same.runs,
                lowest=same.lowest,
                highest=same.highest,
            )
            for same in most
        )


def _deviation(squares: float, freedom: int) -> float:
    """Return the standard deviation. The squares of very large values overflow, and leave no number."""
    return math.sqrt(squares / freedom) if 0 <= squares < math.inf else LARGEST
