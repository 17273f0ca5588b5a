"""Queues and machines for the tests of assign(), and its promises spelled out the slow way.

Nothing here uses the code under test: rooms, moments and the order are worked out anew, by trying.
"""

import random
from collections.abc import Iterator
from itertools import combinations
from math import inf

from msgspec.structs import replace

from ardaemon.core.gpus import Need
from ardaemon.core.queue import Assignment, AtWork, Card, QueueFacts, Seat, Start, Waiting

TOTALS = (24.0, 40.0, 80.0)
MODELS = {24.0: "small", 40.0: "medium", 80.0: "large"}


def card(index: int, total: float | None = 80.0, **changes: object) -> Card:
    """An empty card."""
    plain = Card(uuid=f"GPU-{index:04d}", index=index, state="free", total_mb=total, free_mb=total)
    return replace(plain, name=MODELS.get(total or 0, "any"), **changes)


def waiting(
    seq: int, experiment: str = "e", gpus: int = 1, seconds: float = 10.0, **changes: object
) -> Waiting:
    """A run in the queue; what its need has is taken from `changes` as well."""
    names = ("vram_mb", "share", "priority", "allowed")
    need = replace(Need(gpus=gpus), **{name: changes.pop(name) for name in names if name in changes})
    key = (f"/p/{experiment}", f"r{seq:04d}")
    return replace(Waiting(key=key, seq=seq, experiment=experiment, need=need, seconds=seconds), **changes)


def working(seq: int, cards: tuple[Card, ...], ends: float | None, **changes: object) -> AtWork:
    """A run on those cards."""
    experiment = str(changes.pop("experiment", "w"))
    seat = replace(Seat(cards=tuple(c.uuid for c in cards)), **changes)
    key = (f"/p/{experiment}", f"r{seq:04d}")
    return AtWork(key=key, experiment=experiment, seq=seq, ends_by=ends, seat=seat)


# --- the promises, the slow way ---


def shares(run: Waiting) -> bool:
    """Whether it may have others beside it."""
    return run.need.share and not run.alone and (run.need.vram_mb or 0) > 0


def on(facts: QueueFacts, card: Card) -> list[AtWork]:
    """The runs on a card."""
    return [run for run in facts.at_work if card.uuid in run.seat.cards]


def fits(facts: QueueFacts, card: Card, run: Waiting) -> bool:
    """Whether the run may be put on that card now."""
    there, vram = on(facts, card), run.need.vram_mb or 0.0
    if not shares(run):
        return card.state == "free" and not there and (card.total_mb is None or card.total_mb >= vram)
    if card.state not in ("free", "held") or (card.state == "held" and not there):
        return False
    if card.free_mb is None or card.total_mb is None:
        return False
    return all(other.seat.share for other in there) and min(card.free_mb, card.total_mb) >= vram


def fits_at(facts: QueueFacts, card: Card, run: Waiting, at: float) -> bool:
    """Whether it could be at a moment to come, by the ends that are known."""
    if card.state not in ("free", "held"):
        return False
    there = on(facts, card)
    stay = [other for other in there if other.ends_by is None or max(other.ends_by, facts.now) > at]
    gone = [other for other in there if other not in stay]
    if not stay and (gone or card.state == "held"):
        later = replace(card, state="free", free_mb=card.total_mb)
    elif card.free_mb is not None:
        later = replace(card, free_mb=card.free_mb + sum(other.seat.vram_mb or 0 for other in gone))
    else:
        later = card
    return fits(replace(facts, at_work=tuple(stay)), later, run)


def permitted(facts: QueueFacts, run: Waiting) -> list[Card]:
    """The cards on its allow-list."""
    names = run.need.allowed
    return [c for c in facts.cards if names is None or str(c.index) in names or c.uuid in names]


def moment(facts: QueueFacts, run: Waiting) -> float | None:
    """The first moment by which it can start if nothing else is started; None: none is known."""
    ends = {max(other.ends_by, facts.now) for other in facts.at_work if other.ends_by is not None}
    for at in sorted({facts.now, *ends} - {inf}):
        if sum(fits_at(facts, c, run, at) for c in permitted(facts, run)) >= run.need.gpus:
            return at
    return None


def hopeful(facts: QueueFacts, run: Waiting) -> bool:
    """Whether any moment is known for it."""
    return run.need.gpus == 0 or moment(facts, run) is not None


def ordered(facts: QueueFacts) -> list[Waiting]:
    """The runs that may have a turn, as the rules of order say it."""
    left = [run for run in facts.waiting if not run.held and run.unfit is None]
    done: list[Waiting] = []

    def load(run: Waiting) -> int:
        at_work = [w for w in facts.at_work if w.experiment == run.experiment and w.seq < run.seq]
        ahead = [w for w in done if w.experiment == run.experiment and hopeful(facts, w)]
        return sum(max(1, len(w.seat.cards)) for w in at_work) + sum(max(1, w.need.gpus) for w in ahead)

    while left:
        best = max((run.need.priority, run.front) for run in left)
        level = [run for run in left if (run.need.priority, run.front) == best]
        run = min(level, key=lambda run: (load(run), run.seq))
        left.remove(run)
        done.append(run)
    for place, run in enumerate(done):
        if run.key == facts.kept and may_go_first(facts, done, run):
            mine = (run.need.priority, run.front)
            start = next(i for i, other in enumerate(done) if (other.need.priority, other.front) == mine)
            done.insert(start, done.pop(place))
            break
    return done


def may_go_first(facts: QueueFacts, done: list[Waiting], run: Waiting) -> bool:
    """One at a time: not before an earlier one of its experiment."""
    earlier = done[: done.index(run)]
    return run.alone_in is None or not any(
        hopeful(facts, other) for other in earlier if other.experiment == run.experiment
    )


def eligible(facts: QueueFacts, starts: tuple[Start, ...] = ()) -> list[Waiting]:
    """Those of them that may start for all that their own experiment does, in order.

    With `starts`, each run is looked at when those before it have started: one of them may take the last
    moment at which it could, and it then has nobody wait for it.
    """
    busy, left, now = {run.experiment for run in facts.at_work}, {start.key: start for start in starts}, facts
    found = []
    for run in ordered(facts):
        if run.alone_in in busy or not hopeful(now, run):
            continue
        if run.alone_in is not None:
            busy.add(run.alone_in)
        found.append(run)
        if run.key in left:
            now = apply(now, (left[run.key],))
    return found


def apply(facts: QueueFacts, starts: tuple[Start, ...]) -> QueueFacts:
    """The facts when those have their places."""
    queue = {run.key: run for run in facts.waiting}
    at_work, cards = list(facts.at_work), {card.uuid: card for card in facts.cards}
    for start in starts:
        run = queue.pop(start.key)
        vram = (run.need.vram_mb or 0.0) if start.seat.share else 0.0
        for uuid in start.seat.cards:
            free = cards[uuid].free_mb
            cards[uuid] = replace(cards[uuid], state="held", free_mb=None if free is None else free - vram)
        at_work.append(
            AtWork(
                key=run.key,
                experiment=run.experiment,
                seq=run.seq,
                ends_by=None if run.seconds == inf else facts.now + run.seconds,
                seat=replace(start.seat, vram_mb=vram or None),
            )
        )
    return replace(facts, waiting=tuple(queue.values()), at_work=tuple(at_work), cards=tuple(cards.values()))


def ways(facts: QueueFacts, run: Waiting) -> Iterator[Start]:
    """Every way in which it could start now."""
    if run.need.gpus == 0:
        taken = {other.seat.slot for other in facts.at_work}
        yield from (Start(key=run.key, seat=Seat(slot=slot)) for slot in facts.slots if slot not in taken)
        return
    room = [c.uuid for c in permitted(facts, run) if fits(facts, c, run)]
    for cards in combinations(room, run.need.gpus):
        yield Start(key=run.key, seat=Seat(cards=cards, share=shares(run)))


def require_sound(facts: QueueFacts, decision: Assignment) -> None:
    """No start that breaks a rule: one after the other, each is one of the ways there are."""
    now, queue = facts, {run.key: run for run in facts.waiting}
    for start in decision.starts:
        run = queue.pop(start.key)  # twice: KeyError
        assert not run.held
        assert run.unfit is None
        assert run.alone_in is None or all(w.experiment != run.alone_in for w in now.at_work)
        assert replace(start.seat, cards=tuple(sorted(start.seat.cards))) in [
            replace(way.seat, cards=tuple(sorted(way.seat.cards))) for way in ways(now, run)
        ]
        now = apply(now, (start,))


def require_ordered(facts: QueueFacts, decision: Assignment) -> None:
    """Of runs that ask for the same none overtakes another; the first that waits has the reservation."""
    started = {start.key for start in decision.starts}
    waits: list[Waiting] = []
    for run in eligible(facts):
        if run.key not in started:
            waits.append(run)
            continue
        same = [(other.need.gpus, other.need.allowed, other.need.vram_mb, shares(other)) for other in waits]
        mine = (run.need.gpus, run.need.allowed, run.need.vram_mb, shares(run))
        assert all(
            mine != other or run.seconds < run_ahead.seconds
            for other, run_ahead in zip(same, waits, strict=True)
        )
    assert started <= {run.key for run in (*eligible(facts), *eligible(facts, decision.starts))}
    after = apply(facts, decision.starts)
    with_moment = [run for run in waits if run.need.gpus and moment(after, run) is not None]
    if not with_moment:
        assert decision.reservation is None
        return
    first, kept = with_moment[0], decision.reservation
    assert kept is not None
    assert kept.key == first.key
    assert kept.at == moment(after, first)
    assert len(set(kept.cards)) == first.need.gpus
    assert all(fits_at(after, c, first, kept.at) for c in after.cards if c.uuid in kept.cards)


def require_busy(facts: QueueFacts, decision: Assignment) -> None:
    """No run waits that could start without delaying the reservation."""
    after, kept = apply(facts, decision.starts), decision.reservation
    started = frozenset(start.key for start in decision.starts)
    busy = {run.experiment for run in after.at_work}
    first = next((run for run in after.waiting if kept is not None and run.key == kept.key), None)
    for run in eligible(facts):
        if run.key in started or run.alone_in in busy:
            continue
        for way in ways(after, run):
            assert kept is not None, f"{run.key} could start: {way}"
            assert first is not None
            assert run is not first, f"{run.key} has the reservation and could start: {way}"
            delayed = moment(apply(after, (way,)), first)
            assert delayed is None or delayed > kept.at, f"{run.key} delays nothing: {way}"


def require_all(facts: QueueFacts, decision: Assignment) -> None:
    """Every promise about one decision."""
    require_sound(facts, decision)
    require_ordered(facts, decision)
    require_busy(facts, decision)


# --- a machine where time passes ---


class World:
    """A queue that is run to its end; runs end at any moment up to their bound."""

    def __init__(self, chance: random.Random, cards: tuple[Card, ...], slots: tuple[str, ...] = ()) -> None:
        self.chance = chance
        self.facts = QueueFacts(now=0.0, cards=cards, slots=slots)
        self.waited: dict[tuple[str, str], float] = {}
        self.since: dict[tuple[str, str], float] = {}

    def submit(self, *runs: Waiting) -> None:
        """They wait from now on."""
        self.since.update({run.key: self.facts.now for run in runs})
        self.facts = replace(self.facts, waiting=self.facts.waiting + runs)

    def put(self, decision: Assignment) -> None:
        """Apply a decision."""
        self.facts = apply(self.facts, decision.starts)
        self.waited.update({start.key: self.facts.now - self.since[start.key] for start in decision.starts})
        kept = decision.reservation
        self.facts = replace(self.facts, kept=None if kept is None else kept.key)

    def advance(self) -> None:
        """Some run ends, not after the first bound that there is."""
        bound = min(run.ends_by for run in self.facts.at_work if run.ends_by is not None)
        now = bound if self.chance.random() < 0.5 else self.chance.uniform(self.facts.now, bound)
        ripe = [run for run in self.facts.at_work if now < bound or run.ends_by == bound]
        self.end(self.chance.choice(ripe), now)

    def end(self, run: AtWork, now: float) -> None:
        """That one is over."""
        left = tuple(other for other in self.facts.at_work if other is not run)
        cards = tuple(self._without(card, run, left) for card in self.facts.cards)
        self.facts = replace(self.facts, now=now, at_work=left, cards=cards)

    @staticmethod
    def _without(card: Card, run: AtWork, left: tuple[AtWork, ...]) -> Card:
        if card.uuid not in run.seat.cards:
            return card
        if not any(card.uuid in other.seat.cards for other in left):
            return replace(card, state="free", free_mb=card.total_mb)
        return replace(
            card, free_mb=None if card.free_mb is None else card.free_mb + (run.seat.vram_mb or 0.0)
        )
