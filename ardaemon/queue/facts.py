"""The queue and the machine as facts: what the scheduler decides from."""

import time
from collections.abc import Iterator

from msgspec.structs import replace

from ardaemon.core.config import Config
from ardaemon.core.model import LIMITS
from ardaemon.core.queue import AtWork, QueueFacts, Seat, Waiting
from ardaemon.pipeline.flight import Flight, Going, SeenWaiting
from ardaemon.queue.assign import free_slots
from ardaemon.queue.board import Board
from ardaemon.queue.placement import Placement

AWAY = "a project that is away"
LAUNCH_S = 5.0  # from the decision to the job's first instruction, on a machine that swaps


def gather(board: Board, now: float, strict: bool = True) -> QueueFacts:
    """Collect the queue and the machine at this moment.

    `strict`: for a decision. A GPU that was not looked at in this moment counts as unknown, and takes no run;
    and where nothing can start, whoever waits, nobody is asked what he waits for. Only a view may do without.
    """
    placement, closed = board.placement, board.gate.closed()
    facts = QueueFacts(
        now=now,
        at_work=(*(_at_work(f, board) for f in placement.seated.values()), *_strange(placement)),
        cards=placement.cards(now if strict else None),
        slots=placement.open_slots(),
        kept=placement.kept,
        closed=closed.why if closed is not None else None,
    )
    if strict and is_shut(facts):
        return facts
    judging = {f.key[0] for f in board.flights.values() if _is_waited_for(f)}
    asking = (waiting(f, board, f.key[0] in judging) for f in board.asking() if placement.is_waiting(f))
    return replace(facts, waiting=tuple(asking))


def is_shut(facts: QueueFacts) -> bool:
    """Tell whether nothing can start, and no room be made or kept, whoever waits."""
    idle = any(run.idle for run in facts.at_work)
    return facts.closed is not None or not (facts.cards or free_slots(facts) or idle)


def waiting(flight: Flight, board: Board, judging: bool = False) -> Waiting:
    """Return a run as the queue sees it; `judging`: no other of its experiment may start for a moment.

    Each decision asks it of every run that waits. So the answer is kept with all that it was made of, and is
    given again while that is the same; not where it also depends on the GPUs of the moment.
    """
    need = flight.need
    if need.gpus > 1 or (need.share and need.vram_mb is None):
        return _waiting(flight, board, judging)
    of = flight.record, flight.active, board.config.now, flight.stands_still, judging
    if flight.seen is None or flight.seen.of != of:
        flight.seen = SeenWaiting(of, _waiting(flight, board, judging))
    return flight.seen.waiting


def _waiting(flight: Flight, board: Board, judging: bool) -> Waiting:
    return Waiting(
        key=flight.key,
        seq=flight.active.seq,
        experiment=flight.key[0],
        need=board.placement.need(flight),
        seconds=_longest(flight, board.config.now),
        front=flight.active.front,
        held=flight.stands_still,
        paused=judging,
        alone_in=_alone(flight),
        alone=any(attempt.why == "oom" for attempt in flight.before),
        unfit=board.placement.gpus.unfit(flight.need),
        idle=flight.is_idle,
    )


def _at_work(flight: Flight, board: Board) -> AtWork:
    going = flight.going or Going()
    since = going.placed if going.placed is not None else going.started or time.monotonic()
    return AtWork(
        key=flight.key,
        experiment=flight.key[0],
        seq=flight.active.seq,
        seat=going.seat,
        ends_by=since + _longest(flight, board.config.now),
        idle=flight.is_idle,
    )


def _longest(flight: Flight, config: Config) -> float:
    """Return how long an attempt holds its place at most (seconds), from the decision that it may start."""
    settings = flight.record.settings
    clean_up = settings.settle + 2 * config.grace + config.verify
    clean_up += len(settings.checks) * settings.check_seconds
    return LAUNCH_S + (settings.startup or 0.0) + settings.seconds + clean_up


def _strange(placement: Placement) -> Iterator[AtWork]:
    """Give each stranger a CPU slot: what runs without being a run of ours takes one as well."""
    taken = {flight.seat.slot for flight in placement.seated.values()}
    free = [slot for slot in placement.open_slots() if slot not in taken]
    for stranger, slot in zip(placement.strangers, free, strict=False):
        yield AtWork(key=(AWAY, stranger.run), experiment=AWAY, seat=Seat(slot=slot))


def _is_waited_for(flight: Flight) -> bool:
    """Tell whether the run is being judged, and no other of its experiment may start before that is done.

    It may end the session, or what it has left lies where the next one would write.
    """
    if flight.state not in ("exited", "judged") or flight.comparing is not None:
        return False  # one that waits for a launch of the best must not keep that from starting
    if _alone(flight) is not None:
        return True
    limited = any(getattr(flight.record.settings, limit) is not None for limit in LIMITS)
    unclean = flight.exit is not None and bool(flight.exit.survivors)
    return limited or unclean or flight.active.wanted in ("stop", "judge_stop")


def _alone(flight: Flight) -> str | None:
    """Return the experiment's folder where it has one run at a time; None where its runs may overlap.

    Outputs outside the run's own folder could not be told from those of another run.
    """
    settings = flight.record.settings
    patterns = (settings.checkpoint_glob, settings.metric_path)
    shared = any(pattern is not None and "{run_dir}" not in pattern for pattern in patterns)
    return flight.key[0] if shared or settings.exec == "live" else None
