"""Which waiting run starts where: the promises of assign(), over whatever queue and machine there is."""

import random
from math import inf
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from ardaemon.core.gpus import CardState
from ardaemon.core.queue import Assignment, AtWork, Card, QueueFacts, Waiting
from ardaemon.queue.assign import assign
from ardaemon.queue.reasons import places
from tests.support.queues import (
    MODELS,
    TOTALS,
    World,
    apply,
    card,
    ordered,
    require_all,
    waiting,
    working,
)

EXPERIMENTS = ("e1", "e2", "e3")
STATES: tuple[CardState, ...] = ("free", "free", "free", "held", "foreign", "quarantined", "unknown")
ALLOWED: st.SearchStrategy[tuple[str, ...] | None] = st.sampled_from(
    [None, None, None, ("0", "2"), ("1", "GPU-0003"), ()]
)
LONGEST = 40.0
PHASES = (Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink)  # explaining takes minutes here


@st.composite
def queues(draw: st.DrawFn, most: int = 6, levels: int = 1) -> list[Waiting]:
    """Runs of few experiments, in any order; those of one experiment are all alone in it or none is."""
    alone = draw(st.sets(st.sampled_from(EXPERIMENTS), max_size=1))
    sharing = draw(st.booleans())  # a queue of them alone: conflicts of memory are rare otherwise
    found = []
    for seq in draw(st.lists(st.integers(0, 50), unique=True, max_size=most)):
        experiment = draw(st.sampled_from(EXPERIMENTS))
        share = sharing or draw(st.booleans())
        found.append(
            waiting(
                seq,
                experiment,
                draw(st.sampled_from([0, 1, 1, 1, 2, 2, 3, 4])),
                draw(st.sampled_from([5.0, 10.0, 15.0, LONGEST, inf])),
                share=share,
                vram_mb=draw(st.sampled_from([10.0, 16.0, 16.0, 30.0, 70.0, None])),
                priority=draw(st.integers(0, levels)),
                front=draw(st.integers(0, levels)),
                allowed=draw(ALLOWED),
                held=draw(st.integers(0, 9)) == 9,
                unfit="why" if draw(st.integers(0, 9)) == 9 else None,
                alone=draw(st.integers(0, 4)) == 4,
                alone_in=experiment if experiment in alone else None,
            )
        )
    return found


@st.composite
def machines(draw: st.DrawFn) -> tuple[list[Card], list[AtWork]]:
    """Cards in any state, and runs that are there by the rules."""
    totals = st.sampled_from((*TOTALS, None))
    cards = [card(i, draw(totals)) for i in range(draw(st.sampled_from([2, 1, 2, 3, 4, 0])))]
    at_work: list[AtWork] = []
    for index, plain in enumerate(cards):
        tenants = draw(st.integers(0, 2))
        share = tenants > 1 or draw(st.booleans())
        taken = 0.0
        for _ in range(tenants):
            vram = draw(st.sampled_from([8.0, 12.0])) if share else None
            ends = draw(st.sampled_from([None, 1.0, 5.0, 10.0, 12.0, 20.0]))
            seq = draw(st.integers(0, 50))
            expr = draw(st.sampled_from((*EXPERIMENTS, "w")))
            taken += vram or 0.0
            at_work.append(working(seq, (plain,), ends, experiment=expr, share=share, vram_mb=vram))
        # More in use than was set aside is no rarity.
        free = (
            None
            if plain.total_mb is None
            else plain.total_mb - taken - draw(st.sampled_from([0.0, 0.0, 6.0]))
        )
        state = "held" if tenants and draw(st.integers(0, 5)) else draw(st.sampled_from(STATES))
        cards[index] = replace(plain, state=state, free_mb=free)
    return draw(st.permutations(cards)), at_work


@st.composite
def situations(draw: st.DrawFn) -> QueueFacts:
    """A queue before a machine, at second 2: a run may be past its bound."""
    cards, at_work = draw(machines())
    slots = tuple(f"cpu{n}" for n in range(draw(st.integers(0, 2))))
    occupied = draw(st.booleans())
    if slots and occupied:
        at_work.append(working(0, (), 4.0, slot=slots[0]))
    queue = draw(queues())
    kept = draw(st.sampled_from([None, *(run.key for run in queue)]))
    return QueueFacts(
        now=2.0, waiting=tuple(queue), at_work=tuple(at_work), cards=tuple(cards), slots=slots, kept=kept
    )


# --- one decision ---


def test_a_run_whose_last_moment_a_start_takes_has_nobody_wait_for_it() -> None:
    """One run at a time in e1: its first may go to GPU 0 alone, and there a run starts that may never end."""
    given: dict[str, Any] = {"share": True, "vram_mb": 10.0}
    first = waiting(3, "e1", 1, 5.0, front=1, allowed=("0", "2"), alone=True, alone_in="e1", **given)
    queue = (waiting(0, "e1", 1, 5.0, alone_in="e1", **given), waiting(2, "e2", 1, inf, priority=1, **given))
    facts = QueueFacts(now=2.0, waiting=(*queue, first), cards=(card(0, TOTALS[0]), card(1, TOTALS[0])))
    decision = assign(facts)
    assert [start.key for start in decision.starts] == [queue[1].key, queue[0].key]
    require_all(facts, decision)


# To make up a situation takes longer than all that is asked about it.
@settings(max_examples=400, deadline=None, phases=PHASES)
@given(situations(), st.randoms(use_true_random=False))
def test_a_decision_keeps_every_promise(facts: QueueFacts, chance: random.Random) -> None:
    decision = assign(facts)
    require_all(facts, decision)
    require_same_in_any_order(facts, decision, chance)
    require_nothing_more_to_start(facts, decision)
    require_a_reason_for_each(facts, decision)


def require_same_in_any_order(facts: QueueFacts, decision: Assignment, chance: random.Random) -> None:
    """A decision does not depend on the order of the facts."""

    def mixed(things: tuple[Any, ...]) -> tuple[Any, ...]:
        return tuple(chance.sample(things, len(things)))

    other = replace(
        facts, waiting=mixed(facts.waiting), cards=mixed(facts.cards), at_work=mixed(facts.at_work)
    )
    assert assign(other) == decision


def require_nothing_more_to_start(facts: QueueFacts, decision: Assignment) -> None:
    """Where it was applied, nothing more can start, and the reservation stands as it was."""
    kept = decision.reservation
    after = replace(apply(facts, decision.starts), kept=kept and kept.key)
    again = assign(after)
    assert again.starts == ()
    assert (again.reservation and (again.reservation.key, again.reservation.at)) == (
        kept and (kept.key, kept.at)
    )


def require_a_reason_for_each(facts: QueueFacts, decision: Assignment) -> None:
    """Every run has one place in the order of turns, and a reason."""
    found = places(facts)
    assert [place.key for place in found if place.position is not None] == [run.key for run in ordered(facts)]
    assert sorted(place.key for place in found) == sorted(run.key for run in facts.waiting)
    assert all(place.why for place in found)
    starting = {place.key for place in found if place.why == "starts now"}
    assert starting == {start.key for start in decision.starts}


# --- a queue from beginning to end ---


def level_of(run: Waiting) -> tuple[int, int]:
    """What a reservation gives way to, if it is higher."""
    return run.need.priority, run.front


@settings(max_examples=100, deadline=None, phases=PHASES)
@given(st.randoms(use_true_random=False), queues(most=6, levels=0), queues(most=6, levels=0))
def test_a_queue_is_run_to_its_end_and_a_promised_moment_never_moves_later(
    chance: random.Random, first: list[Waiting], later: list[Waiting]
) -> None:
    """Runs arrive and end at any moment; every decision holds every promise; who is left can never start."""
    world = World(chance, tuple(card(i, chance.choice(TOTALS)) for i in range(4)), ("cpu0",))
    world.submit(*map(finite, first))
    one_at_a_time = {run.alone_in for run in first}
    arrivals = [
        replace(
            finite(run),
            seq=run.seq + 100,
            key=(run.key[0], f"r{run.seq + 100:04d}"),
            alone_in=run.experiment if run.experiment in one_at_a_time else None,
        )
        for run in sorted(later, key=lambda run: -run.seq)
    ]
    promised: Assignment = Assignment()
    while True:
        decision = assign(world.facts)
        require_all(world.facts, decision)
        require_promise_kept(promised, decision)
        promised = decision
        world.put(decision)
        if arrivals and chance.random() < 0.5:
            world.submit(arrivals.pop())
        elif world.facts.at_work:
            world.advance()
        elif arrivals:
            world.submit(arrivals.pop())
        else:
            break
    assert decision.reservation is None
    assert all(cannot_ever_start(run, world.facts.cards) for run in world.facts.waiting)


def finite(run: Waiting) -> Waiting:
    """With a bound; everything ends."""
    return replace(run, seconds=min(run.seconds, LONGEST))


def cannot_ever_start(run: Waiting, cards: tuple[Card, ...]) -> bool:
    """Held, unfit, or it asks for what is not there."""
    names, vram = run.need.allowed, run.need.vram_mb or 0.0
    fitting = [
        c
        for c in cards
        if (names is None or str(c.index) in names or c.uuid in names) and (c.total_mb or 0) >= vram
    ]
    return run.held or run.unfit is not None or run.need.gpus > len(fitting)


def require_promise_kept(before: Assignment, after: Assignment) -> None:
    """Who had a reservation has started, or still has it, for no later moment."""
    kept, now = before.reservation, after.reservation
    if kept is None or kept.key in {start.key for start in after.starts}:
        return
    assert now is not None
    assert now.key == kept.key
    assert now.at <= kept.at


@settings(max_examples=50, deadline=None, phases=PHASES)
@given(st.randoms(use_true_random=False), st.integers(2, 5))
def test_a_wide_run_starts_by_the_first_moment_promised_to_it_behind_an_endless_stream(
    chance: random.Random, gpus: int
) -> None:
    """Narrow runs of other experiments, new ones too, arrive without end and fill every gap."""
    world = World(chance, tuple(card(i) for i in range(5)))
    world.submit(*(waiting(n, f"old{n}", seconds=chance.uniform(1, LONGEST)) for n in range(5)))
    world.put(assign(world.facts))
    wide = waiting(10, "wide", gpus, LONGEST)
    world.submit(wide)
    decision = assign(world.facts)
    assert decision.reservation is not None
    latest, seq = decision.reservation.at, 11
    while wide.key not in world.waited:
        world.submit(*(waiting(seq + n, f"e{seq + n}", seconds=chance.uniform(1, LONGEST)) for n in range(3)))
        seq += 3
        world.put(assign(world.facts))
        if wide.key not in world.waited:
            world.advance()
    assert world.facts.now <= latest


def test_a_wide_run_is_not_pushed_back_by_what_overtakes_it_in_its_own_experiment() -> None:
    """Two experiments keep four of five cards busy in turn; the wide run's own narrow ones have the fifth."""
    world = World(random.Random(0), tuple(card(i) for i in range(5)))
    world.submit(waiting(0, "b", 4), waiting(1, "mine", 1, 3.0), waiting(2, "mine", 4), waiting(3, "c", 4))
    wide, seq = ("/p/mine", "r0002"), 4
    while wide not in world.waited:
        for experiment, gpus, seconds in (("b", 4, 10.0), ("c", 4, 10.0), ("mine", 1, 3.0)):
            world.submit(waiting(seq, experiment, gpus, seconds))
            seq += 1
        world.put(assign(world.facts))
        run = min(world.facts.at_work, key=lambda run: run.ends_by or 0.0)
        world.end(run, run.ends_by or 0.0)
        assert world.facts.now < 60, "it starves"


def test_a_stream_of_fresh_experiments_does_not_take_a_promised_moment_away() -> None:
    """The reservation's run stays first among equals when others come to have less than its experiment."""
    cards = tuple(card(i) for i in range(3))
    own = working(0, (cards[0],), 30.0, experiment="wide")
    other = working(1, (cards[1],), 10.0, experiment="x")
    facts = QueueFacts(now=0.0, cards=cards, at_work=(own, other), waiting=(waiting(2, "wide", 3),))
    kept = assign(facts).reservation
    assert kept is not None
    fresh = replace(facts, kept=kept.key, waiting=(*facts.waiting, waiting(3, "y", 3)))
    decision = assign(fresh)
    assert decision.reservation == kept


# --- the rules of order, one by one ---


def started(*queue: Waiting, cards: int = 1, at_work: tuple[AtWork, ...] = (), slots: int = 0) -> list[str]:
    """Who starts on empty cards, in order, by run id."""
    facts = QueueFacts(
        now=0.0,
        waiting=queue,
        at_work=at_work,
        cards=tuple(card(i) for i in range(cards)),
        slots=tuple(f"cpu{n}" for n in range(slots)),
    )
    return [start.key[1] for start in assign(facts).starts]


def test_priority_goes_before_front_and_front_before_fair_share_and_that_before_age() -> None:
    queue = (
        waiting(1, "a"),
        waiting(2, "a"),
        waiting(3, "b"),
        waiting(4, "c", front=1),
        waiting(5, "a", priority=1),
    )
    # a has had one run ahead already when its others are compared with b's.
    assert started(*queue, cards=5) == ["r0005", "r0004", "r0003", "r0001", "r0002"]


def test_an_experiment_that_has_gpus_already_comes_after_one_that_has_fewer() -> None:
    cards = tuple(card(i) for i in range(2, 5))
    at_work = (working(0, cards[:2], 9.0, experiment="a"), working(1, cards[2:], 9.0, experiment="b"))
    assert started(waiting(2, "a"), waiting(3, "b"), cards=2, at_work=at_work) == ["r0003", "r0002"]


def test_a_wide_run_counts_as_its_gpus_and_a_cpu_run_as_one() -> None:
    queue = (waiting(1, "a", 2), waiting(2, "a"), waiting(3, "b", 0), waiting(4, "b"), waiting(5, "b"))
    assert started(*queue, cards=5, slots=1) == ["r0001", "r0003", "r0004", "r0002", "r0005"]


def test_a_run_that_can_never_start_does_not_hold_back_its_experiment() -> None:
    queue = (waiting(1, "a", 8), waiting(2, "a"), waiting(3, "b"), waiting(4, "b"))
    assert started(*queue, cards=1) == ["r0002"]
    alone = tuple(replace(run, alone_in=run.experiment) for run in queue)
    assert started(*alone, cards=2) == ["r0002", "r0003"]


def test_runs_of_an_experiment_that_has_one_at_a_time_keep_their_order_even_for_a_gap() -> None:
    cards = tuple(card(i) for i in range(2))
    facts = QueueFacts(
        now=0.0,
        cards=cards,
        at_work=(working(0, cards[:1], 50.0),),
        waiting=(waiting(1, "a", 2, alone_in="a"), waiting(2, "a", 1, 5.0, alone_in="a")),
    )
    assert assign(facts).starts == ()
    free = replace(facts, waiting=tuple(replace(run, alone_in=None) for run in facts.waiting))
    assert [start.key[1] for start in assign(free).starts] == ["r0002"]


# --- the reservation ---


def kept_for_wide(*behind: Waiting, ends: tuple[float | None, ...] = (10.0, 20.0)) -> Assignment:
    """Card 0 is empty, cards 1, 2, … are busy until those ends; a run that needs all but one is first."""
    cards = tuple(card(i) for i in range(len(ends) + 1))
    at_work = tuple(working(n, (c,), e) for n, (c, e) in enumerate(zip(cards[1:], ends, strict=True)))
    wide = waiting(10, "wide", len(ends))
    return assign(QueueFacts(now=0.0, cards=cards, at_work=at_work, waiting=(wide, *behind)))


def test_what_ends_in_time_or_uses_what_can_be_spared_starts_behind_a_reservation() -> None:
    decision = kept_for_wide(waiting(11, "a", 1, 10.0))
    assert [start.key[1] for start in decision.starts] == ["r0011"]
    assert decision.reservation is not None
    assert (decision.reservation.at, decision.reservation.cards) == (10.0, ("GPU-0000", "GPU-0001"))
    assert kept_for_wide(waiting(11, "a", 1, 10.5)).starts == ()
    spared = kept_for_wide(waiting(11, "a", 1, 999.0), ends=(10.0, 10.0))
    assert [start.key[1] for start in spared.starts] == ["r0011"]
    assert spared.reservation is not None
    assert spared.reservation.cards == ("GPU-0001", "GPU-0002")


def test_a_run_that_may_not_start_does_not_hide_the_next_of_its_experiment() -> None:
    decision = kept_for_wide(waiting(11, "a", 1, 999.0), waiting(12, "a", 1, 5.0))
    assert [start.key[1] for start in decision.starts] == ["r0012"]


def test_a_smaller_run_starts_after_a_larger_one_was_refused() -> None:
    cards = (card(0, state="held", free_mb=40.0),)
    at_work = (working(0, cards, 10.0, share=True, vram_mb=40.0),)
    needs = (70.0, 30.0, 20.0, 10.0)
    queue = tuple(waiting(n, f"e{n}", 1, 5.0, share=True, vram_mb=vram) for n, vram in enumerate(needs, 1))
    decision = assign(QueueFacts(now=0.0, cards=cards, at_work=at_work, waiting=queue))
    assert [start.key[1] for start in decision.starts] == ["r0002", "r0004"]


def test_a_reservation_names_the_cards_that_are_free_last() -> None:
    """The others may be used for longer, so that is what a person is told."""
    kept = kept_for_wide(ends=(10.0, 10.0)).reservation
    assert kept is not None
    assert kept.cards == ("GPU-0001", "GPU-0002")


def test_nothing_is_kept_free_for_a_run_whose_moment_nobody_knows() -> None:
    """Cards do not idle for a foreign process; when the last end is known, the run is first again."""
    unknown = kept_for_wide(waiting(11, "a", 1, 999.0), ends=(10.0, None, 20.0))
    assert [start.key[1] for start in unknown.starts] == []
    hopeless = kept_for_wide(waiting(11, "a", 1, 999.0), ends=(None, None))
    assert [start.key[1] for start in hopeless.starts] == ["r0011"]
    assert hopeless.reservation is None


def test_a_card_that_drains_or_a_run_past_its_bound_is_expected_at_any_moment() -> None:
    """Else a wide run would lose its place whenever one of its cards is between two states."""
    cards = (card(0), card(1, state="held", free_mb=20.0), card(2, state="held"))
    late = working(0, cards[2:], -5.0)
    queue = (waiting(1, "wide", 3), waiting(2, "a", 1, 0.5))
    decision = assign(QueueFacts(now=0.0, cards=cards, at_work=(late,), waiting=queue))
    assert decision.starts == ()
    assert decision.reservation is not None
    assert decision.reservation.at == 0.0


def test_long_sharing_runs_may_sit_where_the_reserved_one_still_fits_beside_them() -> None:
    """40 MiB are free now and 80 later, of which 50 are kept: one of 20 may stay, a second may not."""
    cards = (card(0, state="held", free_mb=40.0),)
    at_work = (working(0, cards, 10.0, share=True, vram_mb=40.0),)
    big = waiting(1, "big", share=True, vram_mb=50.0)
    small = [waiting(n, f"e{n}", 1, 999.0, share=True, vram_mb=20.0) for n in (2, 3)]
    decision = assign(QueueFacts(now=0.0, cards=cards, at_work=at_work, waiting=(big, *small)))
    assert [start.key[1] for start in decision.starts] == ["r0002"]
    assert decision.reservation is not None
    assert decision.reservation.at == 10.0


def test_an_earlier_run_that_is_released_goes_before_the_reservation_of_its_own_experiment() -> None:
    """Where that has one run at a time."""
    queue = (waiting(1, "a", 2, alone_in="a"), waiting(2, "a", 1, alone_in="a"))
    facts = QueueFacts(now=0.0, cards=(card(0), card(1)), waiting=queue, kept=queue[1].key)
    assert [start.key[1] for start in assign(facts).starts] == ["r0001"]


# --- which card ---


def cards_of(*queue: Waiting, cards: tuple[Card, ...], at_work: tuple[AtWork, ...] = ()) -> list[list[int]]:
    """The indices that each start gets."""
    index = {c.uuid: c.index for c in cards}
    decision = assign(QueueFacts(now=0.0, waiting=queue, cards=cards, at_work=at_work))
    return [[index[uuid] for uuid in start.seat.cards] for start in decision.starts]


def test_a_run_alone_gets_the_card_that_sharing_runs_miss_least_and_the_first_of_equals() -> None:
    cards = (card(0, 80.0), card(1, 24.0), card(2, 24.0), card(3, 80.0))
    assert cards_of(waiting(1), waiting(2), waiting(3), cards=cards) == [[1], [2], [0]]


def test_a_sharing_run_goes_where_least_is_left_and_leaves_empty_cards_empty() -> None:
    cards = (card(0, 24.0), card(1, state="held", free_mb=60.0), card(2, state="held", free_mb=30.0))
    at_work = tuple(working(n, (cards[n],), 9.0, share=True, vram_mb=20.0) for n in (1, 2))
    queue = tuple(waiting(n, share=True, vram_mb=20.0) for n in range(1, 6))
    assert cards_of(*queue, cards=cards, at_work=at_work) == [[2], [1], [1], [1], [0]]


def test_several_gpus_are_of_one_model_where_that_can_be() -> None:
    cards = (card(0, 24.0), card(1, 80.0), card(2, 80.0), card(3, 40.0))
    assert cards_of(waiting(1, gpus=2), cards=cards) == [[1, 2]]
    assert cards_of(waiting(1, gpus=3), cards=cards) == [[0, 1, 3]]


def test_memory_that_is_unknown_is_not_shared() -> None:
    cards = (card(0, None),)
    assert cards_of(waiting(1, share=True, vram_mb=10.0), cards=cards) == []
    assert cards_of(waiting(1, vram_mb=10.0), cards=cards) == [[0]]


@pytest.mark.parametrize("need", [{"alone": True}, {"vram_mb": None}])
def test_a_run_that_must_be_alone_or_whose_need_is_unknown_does_not_share(need: dict[str, Any]) -> None:
    """The first is a rerun after it ran out of memory beside others."""
    mine = waiting(1, **{"share": True, "vram_mb": 10.0, **need})
    other = waiting(2, share=True, vram_mb=10.0)
    assert cards_of(mine, other, cards=(card(0), card(1))) == [[0], [1]]
    assert cards_of(other, replace(mine, seq=3), cards=(card(0),)) == [[0]]


def test_an_allow_list_names_cards_by_index_by_uuid_or_by_its_beginning() -> None:
    cards = (card(0), card(1), card(2), replace(card(3), uuid="GPU-abcd-3"))
    queue = [waiting(n, f"e{n}", allowed=(name,)) for n, name in enumerate(("2", "GPU-0001", "GPU-abc"))]
    assert cards_of(*queue, cards=cards) == [[2], [1], [3]]
    assert cards_of(waiting(1, allowed=()), waiting(2, allowed=("GPU-",)), cards=cards) == []


def test_the_models_of_the_tests_differ() -> None:
    assert len(set(MODELS.values())) == len(TOTALS)
