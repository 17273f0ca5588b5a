"""Which launches on idle places give way to the runs that wait. Pure.

A launch that was begun only because its place was idle holds up no run: it is ended as soon as a run could
start if the launch were not there.
"""

from collections.abc import Iterable

from msgspec.structs import replace

from ardaemon.core.queue import Assignment, AtWork, Card, Key, QueueFacts, Seat, Waiting
from ardaemon.queue.assign import assign


def giving_way(facts: QueueFacts, assignment: Assignment) -> tuple[Key, ...]:
    """Return the idle launches that are in the way of a run which `assignment` leaves waiting."""
    idle = [run for run in facts.at_work if run.idle]
    started = {start.key: start.seat for start in assignment.starts}
    waiting = {run.key: run for run in facts.waiting if not run.idle and run.key not in started}
    if not idle or not waiting:
        return ()
    wanted = [(waiting[start.key], start.seat) for start in assign(_without(facts, idle, started)).starts]
    return tuple(run.key for run in idle if any(_is_in_the_way(run, *one) for one in wanted))


def _is_in_the_way(idle: AtWork, run: Waiting, seat: Seat) -> bool:
    return run.alone_in == idle.experiment or not {*idle.seat.slots}.isdisjoint(seat.slots)


def _without(facts: QueueFacts, idle: list[AtWork], started: dict[Key, Seat]) -> QueueFacts:
    """Return the queue as it would be without the idle launches, those that start now at work."""
    runs = {run.key: run for run in facts.waiting}
    starting = (AtWork(key=key, experiment=runs[key].experiment, seat=seat) for key, seat in started.items())
    others = (*(run for run in facts.at_work if not run.idle), *starting)
    return replace(
        facts,
        waiting=tuple(run for run in facts.waiting if not run.idle and run.key not in started),
        at_work=others,
        cards=tuple(_freed(card, idle, others) for card in facts.cards),
    )


def _freed(card: Card, idle: Iterable[AtWork], others: Iterable[AtWork]) -> Card:
    """Return the card as it is once the idle launches have left it."""
    leaving = [run for run in idle if card.uuid in run.seat.cards]
    if not leaving or card.state != "held":
        return card
    if not any(card.uuid in run.seat.cards for run in others):
        return replace(card, state="free", free_mb=card.total_mb)
    given_back = sum(run.seat.vram_mb or 0.0 for run in leaving)
    return replace(card, free_mb=None if card.free_mb is None else card.free_mb + given_back)
