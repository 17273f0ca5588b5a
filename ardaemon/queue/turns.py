"""Give the waiting runs their turns: the order in which they are looked at.

By priority, then by what a person moved to the front, then so that experiments get equal shares, then first
come, first served; launches for idle places go last. Lazy: most decisions look at a few runs of thousands.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from heapq import heapify, heappop, heapreplace
from itertools import accumulate
from operator import attrgetter

from ardaemon.core.queue import AtWork, QueueFacts, Waiting
from ardaemon.queue.table import Kind, Table, kind_of

# A run, its kind, the memory it needs on each card, and whether a moment is known at which it could start.
Asked = tuple[Waiting, Kind, float, bool]
Worth = Callable[[Waiting, Kind, float, bool], bool]
Lanes = dict[str, list[Waiting]]  # experiment -> its runs, first come first


@dataclass(slots=True)
class Lane:
    """The runs of one experiment on one level, and what the experiment has before the next of them."""

    n: int
    experiment: str
    runs: Iterator[Waiting]
    ahead: int  # GPUs of its runs that had their turn
    shares: "Shares | None"
    last: Asked | None = None


class Shares:
    """The GPUs that one experiment has at work.

    Against a run count only those that were submitted before it: what overtook it by backfill would otherwise
    push it further and further back.
    """

    def __init__(self, runs: Sequence[AtWork]) -> None:
        ordered = sorted(runs, key=attrgetter("seq"))
        self._seqs = [run.seq for run in ordered]
        self._sums = list(accumulate((max(1, len(run.seat.cards)) for run in ordered), initial=0))

    def before(self, seq: int) -> int:
        """Return how many GPUs at work count against the run of that number; a CPU run is as one GPU."""
        return self._sums[bisect_left(self._seqs, seq)]


Item = tuple[int, int, int, Asked, Lane]


class Turns:
    """Yield all runs that are not held, one after the other, as far as anybody asks.

    A run that cannot start at any known moment has its turn, but does not count against those behind it.
    `worth`: whether a run needs to be looked at; once it says no to a run it must never say yes to it.
    """

    def __init__(self, facts: QueueFacts, table: Table, worth: Worth) -> None:
        self._facts, self._table, self._worth = facts, table, worth
        self._ahead: dict[str, int] = {}
        self._seen: set[str] = set()  # experiments that had a turn on a level above
        at_work: dict[str, list[AtWork]] = {}
        for run in (run for run in facts.at_work if not run.idle):
            at_work.setdefault(run.experiment, []).append(run)
        self._shares = {experiment: Shares(runs) for experiment, runs in at_work.items()}
        self._heap: list[Item] = []
        self._kept: Waiting | None = None

    def __iter__(self) -> Iterator[Asked]:
        levels = _levels(self._facts.waiting)
        for level in sorted(levels, reverse=True):
            self._kept = self._find_kept(levels[level])
            if self._kept is not None:
                yield self._ask(self._kept)
            yield from self._fairly(levels[level])

    def prune(self) -> None:
        """Drop at once the runs that are not worth a look any more, instead of each in its turn."""
        heads = (item if self._worth(*item[3]) else self._next(item[4]) for item in self._heap)
        self._heap[:] = [head for head in heads if head is not None]
        heapify(self._heap)

    def _fairly(self, lanes: Lanes) -> Iterator[Asked]:
        """Yield always the first run of the experiment that has least; the oldest run among equals."""
        self._heap.clear()
        for n, (experiment, runs) in enumerate(lanes.items()):
            ahead = self._ahead.get(experiment, 0)
            head = self._next(Lane(n, experiment, iter(runs), ahead, self._shares.get(experiment)))
            if head is not None:
                self._heap.append(head)
        heapify(self._heap)
        while self._heap:
            *_, asked, lane = self._heap[0]
            if (following := self._next(lane)) is None:
                heappop(self._heap)
            else:
                heapreplace(self._heap, following)
            yield asked

    def _next(self, lane: Lane) -> Item | None:
        """Return the next run of a lane that is worth a look; the others only count."""
        for run in lane.runs:
            last = lane.last
            # Runs of one experiment mostly ask for the same, and thousands of them may be passed over here.
            if last is None or run.need != last[0].need or run.alone != last[0].alone:
                lane.last = last = self._ask(run)
            _, kind, vram, hopeful = last
            load = lane.ahead
            if hopeful:
                lane.ahead = load + (kind[1] or 1)
            if run is not self._kept and self._worth(run, kind, vram, hopeful):
                if lane.shares is not None:
                    load += lane.shares.before(run.seq)
                return load, run.seq, lane.n, (run, kind, vram, hopeful), lane
        self._ahead[lane.experiment] = lane.ahead
        return None

    def _ask(self, run: Waiting) -> Asked:
        kind, vram = kind_of(run)
        return run, kind, vram, not kind[1] or self._table.is_hopeful(kind, vram)

    def _find_kept(self, lanes: Lanes) -> Waiting | None:
        """Find the run that had the reservation: it goes first among its equals, as it was promised.

        Not before an earlier one of its own experiment where that has one run at a time.
        """
        key = self._facts.kept
        if key is None:
            return None
        for run in (run for lane in lanes.values() for run in lane if run.key == key):
            earlier = (other for other in lanes[run.experiment] if other.seq < run.seq)
            ahead = self._ahead.get(run.experiment, 0) or any(self._ask(other)[3] for other in earlier)
            return None if run.alone_in is not None and ahead else run
        return None


def _levels(waiting: Sequence[Waiting]) -> dict[tuple[bool, int, int], Lanes]:
    """Sort the runs that are not held into lanes, by (not idle, priority, front)."""
    levels: dict[tuple[bool, int, int], Lanes] = {}
    for run in sorted(waiting, key=attrgetter("seq")):
        if run.held or run.unfit is not None:
            continue
        lanes = levels.setdefault((not run.idle, run.need.priority, run.front), {})
        lanes.setdefault(run.experiment, []).append(run)
    return levels
