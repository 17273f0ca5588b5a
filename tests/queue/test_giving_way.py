"""Launches on idle places: last in the queue, and out of the way of every run."""

from msgspec.structs import replace

from ardaemon.core.queue import AtWork, QueueFacts, Seat
from ardaemon.queue.assign import assign
from ardaemon.queue.giving_way import giving_way
from tests.support.queues import card, waiting, working

GPUS = (card(0), card(1))
HELD = tuple(replace(gpu, state="held") for gpu in GPUS)


def idle(seq: int, index: int, **changes: object) -> AtWork:
    return replace(working(seq, (GPUS[index],), 1000.0, experiment="idle"), idle=True, **changes)


def yielding(facts: QueueFacts) -> list[str]:
    return [run_id for _, run_id in giving_way(facts, assign(facts))]


def test_an_idle_launch_starts_after_every_run_whatever_their_priorities() -> None:
    last = waiting(1, "idle", priority=5, idle=True)
    facts = QueueFacts(now=0.0, waiting=(last, waiting(2, priority=-5)), cards=GPUS[:1])
    assert [start.key[1] for start in assign(facts).starts] == ["r0002"]
    assert [start.key[1] for start in assign(replace(facts, cards=GPUS)).starts] == ["r0002", "r0001"]


def test_it_gives_way_to_a_run_that_has_no_other_place() -> None:
    facts = QueueFacts(now=0.0, waiting=(waiting(2),), at_work=(idle(1, 0),), cards=(HELD[0],))
    assert yielding(facts) == ["r0001"]
    assert yielding(replace(facts, cards=(HELD[0], GPUS[1]))) == [], "another place is free"


def test_one_of_two_gives_way_to_one_run_and_both_to_a_run_that_needs_both_places() -> None:
    at_work = (idle(1, 0), idle(2, 1))
    facts = QueueFacts(now=0.0, waiting=(waiting(3),), at_work=at_work, cards=HELD)
    assert len(yielding(facts)) == 1
    assert yielding(replace(facts, waiting=(waiting(3, gpus=2),))) == ["r0001", "r0002"]


def test_none_gives_way_to_a_run_that_could_not_start_either() -> None:
    at_work = (idle(1, 0), working(2, (GPUS[1],), 500.0))
    facts = QueueFacts(now=0.0, waiting=(waiting(3, gpus=2),), at_work=at_work, cards=HELD)
    assert yielding(facts) == []
    one = replace(facts, waiting=(waiting(3),))
    assert yielding(replace(one, waiting=(waiting(3, held=True),))) == []
    assert yielding(replace(one, closed="the queue is paused")) == []
    assert yielding(replace(one, at_work=(replace(at_work[0], idle=False), at_work[1]))) == []


def test_a_run_that_starts_now_is_counted_where_another_waits() -> None:
    """The first takes the free place, and for the second one the idle launch gives way."""
    facts = QueueFacts(
        now=0.0, waiting=(waiting(2), waiting(3)), at_work=(idle(1, 1),), cards=(GPUS[0], HELD[1])
    )
    assert yielding(facts) == ["r0001"]


def test_it_gives_way_on_a_shared_gpu_and_on_a_slot() -> None:
    shared = idle(1, 0, seat=Seat(cards=(GPUS[0].uuid,), share=True, vram_mb=60.0))
    run = waiting(2, share=True, vram_mb=50.0)
    full = replace(HELD[0], free_mb=20.0)
    assert yielding(QueueFacts(now=0.0, waiting=(run,), at_work=(shared,), cards=(full,))) == ["r0001"]
    slot = idle(1, 0, seat=Seat(slot="cpu0"))
    facts = QueueFacts(now=0.0, waiting=(waiting(2, gpus=0),), at_work=(slot,), slots=("cpu0",))
    assert yielding(facts) == ["r0001"]
    assert yielding(replace(facts, slots=("cpu0", "cpu1"))) == []


def test_it_gives_way_where_its_experiment_has_one_run_at_a_time() -> None:
    run = waiting(2, "idle", alone_in="idle")
    facts = QueueFacts(now=0.0, waiting=(run,), at_work=(idle(1, 0),), cards=(HELD[0], GPUS[1]))
    assert yielding(facts) == ["r0001"]


def test_an_idle_launch_takes_nothing_from_its_experiments_share() -> None:
    """Both experiments have nothing else at work: the older run goes first."""
    queue = (waiting(2, "idle"), waiting(3, "other"))
    facts = QueueFacts(now=0.0, waiting=queue, at_work=(idle(1, 1),), cards=(GPUS[0], HELD[1]))
    assert [start.key[1] for start in assign(facts).starts] == ["r0002"]
