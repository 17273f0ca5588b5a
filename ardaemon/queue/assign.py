"""Decide which waiting run starts where. Pure.

The first run in the order of turns that needs GPUs and cannot have them gets a reservation: the moment by
which it can start whatever happens. Those behind it start too if they do not delay that moment (EASY
backfill).
"""

from ardaemon.core.queue import Assignment, QueueFacts, Reservation, Seat, Start, Waiting
from ardaemon.queue.table import Kind, Table
from ardaemon.queue.turns import Asked, Turns


def assign(facts: QueueFacts) -> Assignment:
    """Decide what starts now, and for whom room is made.

    Pass the key of the reservation back as `kept` at the next decision. Pure.
    """
    return Assignment() if facts.closed is not None else _Deciding(facts).decide()


def free_slots(facts: QueueFacts) -> list[str]:
    """Return the CPU slots that no run has."""
    taken = {run.seat.slot for run in facts.at_work}
    return [slot for slot in facts.slots if slot not in taken]


class _Deciding:
    """One decision while it is made; what is taken is never given back in it."""

    def __init__(self, facts: QueueFacts) -> None:
        self.now = facts.now
        self.table = Table(facts)
        self.slots = free_slots(facts)
        self.taken = {run.experiment for run in facts.at_work}
        self.starts: list[Start] = []
        self.first: Asked | None = None
        self.turns = Turns(facts, self.table, self._may_matter)

    def decide(self) -> Assignment:
        """Look at each run in its turn, until nothing more can be given."""
        for asked in self.turns:
            if self._may_matter(*asked):
                self._place(asked)
            if self.first is not None and not self.slots and self.table.is_full():
                break
            if self.first is asked:
                self.turns.prune()
        return Assignment(tuple(self.starts), self.first and self._reservation(self.first))

    def _may_matter(self, run: Waiting, kind: Kind, vram: float, hopeful: bool) -> bool:
        """Tell whether the run may start, be the first that cannot, or have others wait for it."""
        if not hopeful or run.alone_in in self.taken:
            return False
        if run.alone_in is not None:
            return True
        if not kind[1]:
            return bool(self.slots)
        return self.first is None or self.table.may_fit(kind, vram, self.now + run.seconds)

    def _place(self, asked: Asked) -> None:
        run, kind, vram, _ = asked
        if run.alone_in is not None:  # those behind it keep their order
            self.taken.add(run.alone_in)
        if not kind[1]:
            if self.slots:
                self._start(asked, Start(key=run.key, seat=Seat(slot=self.slots.pop(0))))
            return
        ends = self.now + run.seconds
        cards = self.table.find(kind, vram, ends)
        if cards is not None:
            self.table.take(cards, kind[0], vram, ends)
            seat = Seat(cards=self._uuids(cards), share=kind[0])
            self._start(asked, Start(key=run.key, seat=seat))
        elif self.first is None and self.table.reserve(kind, vram):
            self.first = asked

    def _start(self, asked: Asked, start: Start) -> None:
        self.taken.add(asked[0].experiment)
        if not asked[0].paused:  # else its place is kept for it
            self.starts.append(start)

    def _reservation(self, first: Asked) -> Reservation:
        run, kind, vram, _ = first
        return Reservation(run.key, self._uuids(self.table.reserved(kind, vram)), self.table.at)

    def _uuids(self, cards: list[int]) -> tuple[str, ...]:
        return tuple(self.table.cards[i].uuid for i in sorted(cards))
