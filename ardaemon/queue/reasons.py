"""The queue for people: each run's position, and why it waits. Asked by a view, never for a decision."""

from collections.abc import Iterable, Iterator

from msgspec import Struct

from ardaemon.core.queue import AtWork, Key, QueueFacts, Reservation, Waiting
from ardaemon.queue.assign import assign, free_slots
from ardaemon.queue.table import CLOSED, Kind, Table
from ardaemon.queue.turns import Asked, Turns

# What writes where other runs write too could not be told from theirs.
ONE_AT_A_TIME = "its experiment has one run at a time (a path without {run_dir}, or --exec live)"
NAMED_MAX = 8  # cards named in one reason: a line, not a page, on a machine with 64
BY_ITSELF = {
    "quarantined": "is in quarantine",
    "unknown": "gives no answer",
    "foreign": "is used by another",
    "held": "is not drained yet",
}


class QueuePlace(Struct, frozen=True):
    """A run's place in the queue, counted from 1; None: it is passed over as long as `why` stands."""

    key: Key
    position: int | None
    why: str


def places(facts: QueueFacts) -> list[QueuePlace]:
    """List every waiting run in the order in which it is looked at, then those that are held."""
    return list(_Reasons(facts).places())


class _Reasons:
    """One look at the queue: what would start now, who is where, and so why each of the others waits."""

    def __init__(self, facts: QueueFacts) -> None:
        self.facts = facts
        self.table = Table(facts)
        assignment = assign(facts)
        self.starting = {start.key for start in assignment.starts}
        self.reservation = assignment.reservation
        self.on_card: dict[str, list[AtWork]] = {}
        self.at_work = {run.experiment: run.key for run in facts.at_work}
        for run in facts.at_work:
            for uuid in run.seat.cards:
                self.on_card.setdefault(uuid, []).append(run)
        # There may be thousands of runs, and the reason of one is that of all that ask for the same.
        self.for_gpus: dict[tuple[Kind, float], str] = {}
        self.by_card = [self._who(i) for i in range(len(self.table.cards))]
        self.slots = free_slots(facts)

    def places(self) -> Iterator[QueuePlace]:
        """Yield the place of every run: those that have a turn in that order, then those that have none."""
        first_of: dict[str, Key] = {}  # experiments with one run at a time -> the run that is next
        for position, asked in enumerate(Turns(self.facts, self.table, lambda *_: True), 1):
            run = asked[0]
            if self.facts.closed is not None:
                yield QueuePlace(run.key, None, self.facts.closed)
                continue
            yield QueuePlace(run.key, position, self._why(asked, first_of))
            if run.alone_in is not None and asked[3]:
                first_of.setdefault(run.alone_in, run.key)
        for run in sorted(self.facts.waiting, key=lambda run: run.seq):
            if run.unfit is not None or run.held:
                yield QueuePlace(run.key, None, run.unfit or "held: arctl queue release")

    def _why(self, asked: Asked, first_of: dict[str, Key]) -> str:
        run = asked[0]
        if run.paused and run.alone_in is not None:
            return f"{ONE_AT_A_TIME}: one of it is being judged"
        if run.paused:
            return "a run of its experiment is being judged, which may end the session"
        if run.key in self.starting:
            return "starts now"
        if run.alone_in in self.at_work:
            return f"{ONE_AT_A_TIME}: {_name(self.at_work[run.alone_in])} is at work"
        if run.alone_in in first_of:
            return f"{ONE_AT_A_TIME}: after {_name(first_of[run.alone_in])}"
        if not run.need.gpus:
            holders = (_name(other.key) for other in self.facts.at_work if other.seat.slot is not None)
            return f"waits for one of {len(self.facts.slots)} CPU slots: {_listed(holders)}"
        kept = self.reservation
        if kept is not None and kept.key == run.key:
            return f"next, on {self._named(kept)} {self._by(kept)}: {self._others(asked)}"
        same = asked[1:3]
        if same not in self.for_gpus:
            self.for_gpus[same] = self._too_much(run) or self._for_gpus(asked)
        return self.for_gpus[same]

    def _too_much(self, run: Waiting) -> str | None:
        """Return what the run asks for beyond what there is: no waiting mends that."""
        need, cards = run.need, self.table.allowed(run.need.allowed)
        if need.gpus > len(cards):
            given = (
                "there" if need.allowed is None else f"allowed to it ({', '.join(need.allowed) or 'none'})"
            )
            return f"asks for {_gpus(need.gpus)}, {len(cards)} are {given}"
        large = [i for i in cards if (self.table.cards[i].total_mb or 0) >= (need.vram_mb or 0)]
        if need.vram_mb and need.gpus > len(large):
            return f"asks for {_gpus(need.gpus)} with {need.vram_mb:.0f} MiB, {len(large)} have as much"
        return None

    def _for_gpus(self, asked: Asked) -> str:
        run, kind, vram, _ = asked
        kept = self.reservation
        room = self.table.now[kind[0]]
        free = sum(room[i] >= vram for i in self.table.allowed(kind[2]))
        if kept is not None and free >= run.need.gpus:
            return f"behind {_name(kept.key)}, for which {self._named(kept)} is kept {self._by(kept)}"
        of = len(self.table.allowed(kind[2]))
        return f"waits for {_gpus(run.need.gpus)}, {free} of {of} free: {self._others(asked)}"

    def _others(self, asked: Asked) -> str:
        """Name who is on the cards that the run might have."""
        _, kind, vram, _ = asked
        room = self.table.now[kind[0]]
        return _listed(self.by_card[i] for i in self.table.allowed(kind[2]) if room[i] < vram)

    def _who(self, i: int) -> str:
        card = self.table.cards[i]
        runs = ", ".join(_name(run.key) for run in self.on_card.get(card.uuid, ()))
        state = "" if runs and card.state == "held" else BY_ITSELF.get(card.state, "")
        room = self.table.now[True][i]
        left = f"{max(room, 0):.0f} MiB free" if room != CLOSED else ""
        return f"GPU {card.index} {'; '.join(filter(None, (runs, state and (card.occupant or state), left)))}"

    def _named(self, kept: Reservation) -> str:
        wanted = [f"GPU {card.index}" for card in self.table.cards if card.uuid in kept.cards]
        return _listed(wanted)

    def _by(self, kept: Reservation) -> str:
        return f"in {max(0.0, kept.at - self.facts.now):.0f} s at the latest"


def _listed(names: Iterable[str]) -> str:
    listed = list(names)
    more = [f"and {len(listed) - NAMED_MAX} more"] if len(listed) > NAMED_MAX else []
    return ", ".join(listed[:NAMED_MAX] + more)


def _gpus(count: int) -> str:
    return "1 GPU" if count == 1 else f"{count} GPUs"


def _name(key: Key) -> str:
    return f"{key[0].rpartition('/')[2]}/{key[1]}"
