"""The facts of a decision: what is asked of each run that waits, and how often."""

from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from ardaemon.core.queue import Assignment, AtWork, QueueFacts, Seat
from ardaemon.pipeline.flight import Flight
from ardaemon.queue import facts
from ardaemon.queue.assign import assign
from ardaemon.queue.board import Board
from ardaemon.queue.giving_way import giving_way
from ardaemon.queue.views import LONG
from tests.queue.test_views import of
from tests.support.queues import waiting


def test_a_decision_makes_anew_only_those_that_changed_since_the_last_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    board = of(tmp_path, 5 * LONG).board
    made: list[str] = []
    make = facts._waiting

    def counted(flight: Flight, board: Board, judging: bool) -> object:
        made.append(flight.run.run_id)
        return make(flight, board, judging)

    monkeypatch.setattr(facts, "_waiting", counted)
    before = facts.gather(board, 0.0)
    assert len(made) == len(before.waiting) == 5 * LONG
    one, other, third, *_ = board.flights.values()
    one.active = replace(one.active, priority=3)
    other.record = replace(other.record, settings=replace(other.record.settings, seconds=77))
    third.session_over = True
    after = facts.gather(board, 0.0)
    assert made[5 * LONG :] == [flight.run.run_id for flight in (one, other, third)]
    assert [run.need.priority for run in after.waiting[:2]] == [3, 0]
    assert after.waiting[1].seconds > before.waiting[1].seconds
    assert after.waiting[2].held
    assert after.waiting[3:] == before.waiting[3:]


@pytest.mark.parametrize("closed", [True, False])
def test_where_nothing_can_start_nobody_is_asked(tmp_path: Path, closed: bool) -> None:
    board = of(tmp_path, 5).board
    if closed:
        board.gate.broken = "its order cannot be read"
    else:
        board.placement.slots = ()
    assert facts.gather(board, 0.0).waiting == ()
    assert len(facts.gather(board, 0.0, strict=False).waiting) == 5


SLOT = AtWork(key=("o", "r0001"), experiment="o", seat=Seat(slot="cpu0"))


@pytest.mark.parametrize("changes", [{"closed": "the queue is paused"}, {"at_work": (SLOT,)}])
def test_where_nothing_can_start_a_decision_is_the_same_without_those_that_wait(
    changes: dict[str, Any],
) -> None:
    queue = (waiting(1, gpus=0), waiting(2, gpus=1), waiting(3, gpus=0, idle=True))
    seen = QueueFacts(now=0.0, waiting=queue, slots=("cpu0",), kept=queue[1].key)
    assert not facts.is_shut(seen)
    assert assign(seen).starts
    shut = replace(seen, **changes)
    assert facts.is_shut(shut)
    assert assign(shut) == assign(replace(shut, waiting=())) == Assignment()
    assert giving_way(shut, Assignment()) == ()


def test_a_launch_on_an_idle_place_is_room_for_those_that_wait() -> None:
    idle = QueueFacts(now=0.0, at_work=(replace(SLOT, idle=True),), slots=("cpu0",))
    assert not facts.is_shut(idle)
