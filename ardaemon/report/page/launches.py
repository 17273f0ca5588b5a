"""Of --verdict noise: what each launch of a run measured, and the interval of its mean."""

import math
from collections import deque
from collections.abc import Container, Iterator

from msgspec import Struct

from ardaemon.core.facts import RunFacts
from ardaemon.core.layout import run_number
from ardaemon.report.page.pieces import Work
from ardaemon.report.page.records import that_fit
from ardaemon.report.reading import interval_of

LAUNCHES_BYTES = 60_000  # of all of them in the page: some 1,000 runs with two launches each
HELD = 3_000  # runs of each kind that may find room
SEEDS_MAX = 64  # of one run
DIGITS = 7  # that a screen has room for


class Launches(Struct, frozen=True, array_like=True):
    """One run; an array in the page. `values` by seed, null where a launch gave none."""

    number: int
    values: tuple[float | None, ...]
    low: float | None  # the mean lies between these two with a probability of 90%
    high: float | None
    p_better: float | None


def launches_of(run: RunFacts) -> Launches | None:
    """Return the launches of a run that has a run's id; None where there is no more than its point."""
    interval = interval_of(run)
    found = {one.seed: one.value for one in run.values if 0 <= one.seed < SEEDS_MAX}
    known = {seed: value for seed, value in found.items() if value is not None and math.isfinite(value)}
    if interval is None and len(known) < 2:
        return None
    return Launches(
        number=run_number(run.run_id),
        values=tuple(_short(known.get(seed)) for seed in range(1 + max(found, default=-1))),
        low=_short(interval.low) if interval is not None else None,
        high=_short(interval.high) if interval is not None else None,
        p_better=run.p_better,
    )


def _short(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.{DIGITS}g}")


class AllLaunches:
    """The runs of a stream that were launched more than once, or have an interval: as many as fit."""

    def __init__(self) -> None:
        self._advances: deque[Launches] = deque(maxlen=HELD)
        self._others: deque[Launches] = deque(maxlen=HELD)

    def add(self, run: RunFacts) -> None:
        """Take the next run."""
        launches = launches_of(run)
        if launches is not None:
            (self._advances if run.verdict == "advance" else self._others).append(launches)

    def several(self) -> Iterator[list[float]]:
        """Yield the values of each run that has more than one."""
        for launches in (*self._advances, *self._others):
            known = [value for value in launches.values if value is not None]
            if len(known) > 1:
                yield known

    def chosen(self, room: int, drawn: Container[int]) -> Work[tuple[Launches, ...]]:
        """Return those that fit into `room` bytes of the page, the newest first; `drawn` have a point."""
        held = (*reversed(self._advances), *reversed(self._others))
        fitting, _ = yield from that_fit(held, drawn, min(room, LAUNCHES_BYTES))
        return tuple(fitting)
