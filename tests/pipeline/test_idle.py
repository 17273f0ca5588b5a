"""Which launches of a version are left to make on idle places."""

from ardaemon.pipeline.idle import Made, Plan, next_launches
from ardaemon.queue.idler import are_at_work, are_judged, idle_in

SEEDS = [Made(1, 1), Made(2, 1), Made(3, 1)]


def test_under_the_plain_rule_three_more_seeds_and_two_more_launches_with_the_first() -> None:
    assert next_launches([]) == ((1, 1), (2, 1), (3, 1), (0, 2), (0, 3))
    assert next_launches(SEEDS) == ((0, 2), (0, 3))
    assert next_launches([*SEEDS, Made(0, 2)]) == ((0, 3),)
    assert next_launches([*SEEDS, Made(0, 2), Made(0, 3)]) == ()


def test_a_launch_that_gave_way_is_made_again_three_times_at_most() -> None:
    gave_way = Made(2, 1, gave_way=True)
    assert (2, 1) in next_launches([Made(1, 1), gave_way])
    assert next_launches([*SEEDS, Made(0, 2, gave_way=True)]) == ((0, 3), (0, 4))
    assert (2, 1) not in next_launches([gave_way._replace(time=time) for time in (1, 2, 3)])
    assert (2, 1) in next_launches([gave_way._replace(time=time, began=False) for time in (1, 2, 3)])


def test_what_arctl_noise_has_launched_already_is_not_made_again() -> None:
    assert next_launches([Made(seed, 1) for seed in range(1, 5)] + [Made(0, 2), Made(0, 5)]) == ()


def test_a_place_is_idle_before_the_first_edit_beside_a_run_or_after_the_time_that_a_run_takes() -> None:
    plan = Plan((), at_once=False, after_s=60.0)
    assert idle_in([], plan._replace(at_once=True), 0.0) == 0.0
    assert idle_in(["running"], plan, 0.0) == 0.0
    assert idle_in([], plan, 20.0) == 40.0
    assert idle_in([], plan, 61.0) == 0.0


def test_no_place_is_idle_while_a_candidate_waits_or_a_value_is_on_its_way() -> None:
    assert are_at_work(["launching", "running"])
    assert not any(are_at_work([state]) for state in ("queued", "exited", "judged"))
    assert are_judged(["queued", "launching", "running", "committed"])
    assert not any(are_judged(["running", state]) for state in ("exited", "judged"))
