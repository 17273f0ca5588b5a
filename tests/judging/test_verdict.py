"""The verdict: the table of the design, row by row, and the rules of baseline and comparison."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from ardaemon.core.model import Best, Contract, Direction, Exit, Primary, Process, Status, Verdict
from ardaemon.core.reason import Reason, read
from ardaemon.judging.verdict import DISK_FULL, PIDS_LIMIT, Judgement, VerdictFacts, judge
from tests.support.every import every

LOSS = "val/loss"
OK = Exit(ending="exited", exit_code=0)


def best(value: float, valid: bool = True, direction: Direction = "min") -> Best:
    return Best(run_id="r0001", primary=Primary(LOSS, direction), value=value, valid=valid)


def facts(
    value: float | None = 1.0,
    *,
    before: Best | None = None,
    end: Exit = OK,
    direction: Direction = "min",
    constraints: tuple[str, ...] = (),
    **metrics: float,
) -> VerdictFacts:
    found = metrics if value is None else {LOSS: value, **metrics}
    contract = Contract(primary=Primary(LOSS, direction), constraints=constraints)
    return VerdictFacts(exit=end, contract=contract, best=before, metrics=found)


def reason(judged: Judgement) -> str:
    assert judged.reason is not None
    return judged.reason.text()


def decided(judged: Judgement) -> tuple[Status, Verdict, bool]:
    return judged.status, judged.verdict, judged.improved


# --- the table ---


def test_exit_0_with_a_better_metric_advances() -> None:
    assert decided(judge(facts(0.5, before=best(0.6)))) == ("ok", "advance", True)


def test_exit_0_with_a_worse_metric_reverts() -> None:
    assert decided(judge(facts(0.7, before=best(0.6)))) == ("ok", "revert", False)


def test_an_equal_value_is_not_better() -> None:
    assert decided(judge(facts(0.6, before=best(0.6)))) == ("ok", "revert", False)
    assert decided(judge(facts(0.6, before=best(0.6, direction="max"), direction="max")))[1] == "revert"


def test_a_rerun_of_the_best_never_advances_and_says_nothing_of_an_idea() -> None:
    judged = judge(replace(facts(0.5, before=best(0.6)), measure=True))
    assert decided(judged) == ("ok", "revert", False)
    assert not judged.comparable
    assert judge(facts(0.5, before=best(0.6))).comparable


def test_exit_0_with_a_violated_constraint_reverts_and_says_which() -> None:
    judged = judge(facts(0.5, before=best(0.6), constraints=("peak_vram_mb<=70000",), peak_vram_mb=80000))
    assert decided(judged) == ("ok", "revert", False)
    assert not judged.valid
    assert reason(judged) == "constraint peak_vram_mb<=70000 violated: 80000"


def test_exit_0_without_the_metric_is_invalid_and_reverts() -> None:
    judged = judge(facts(None, before=best(0.6), other=1.0))
    assert decided(judged) == ("invalid", "revert", False)
    assert LOSS in reason(judged)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_metric_that_is_not_finite_is_invalid_even_where_it_would_be_a_record(value: float) -> None:
    for before in (None, best(0.6), best(0.6, direction="max")):
        judged = judge(facts(value, before=before))
        assert decided(judged) == ("invalid", "revert", False)
        assert judged.primary.value is None
        assert judged.primary.delta is None


def test_a_seal_broken_meanwhile_is_invalid_whatever_the_run_did() -> None:
    for end in (OK, Exit(ending="exited", exit_code=1), Exit(ending="limit"), Exit(ending="seal_broken")):
        judged = judge(replace(facts(0.1, before=best(0.6), end=end), seal_faults=("prepare.py changed",)))
        assert decided(judged) == ("invalid", "invalid", False)
        assert not judged.comparable
        assert "prepare.py" in reason(judged)


@pytest.mark.parametrize(
    ("end", "text"),
    [
        (Exit(ending="exited", exit_code=1), "exit code 1"),
        (Exit(ending="exited", exit_code=137), "exit code 137"),
        (Exit(ending="spawn_failed", error="no such file"), "spawn_failed no such file"),
        (Exit(ending="lost"), "lost"),
        (Exit(ending="host_restart"), "host_restart"),
        (Exit(ending="supervisor_lost"), "supervisor_lost"),
        (Exit(ending="rss_limit"), "rss_limit"),
        (Exit(ending="nan"), "nan val/loss was nan or infinite twice in a row: the run was ended (--on-nan)"),
        (Exit(ending="vram_limit", error="vram_limit 9 MiB > 8 MiB"), "vram_limit 9 MiB > 8 MiB"),
    ],
)
def test_what_did_not_end_with_exit_0_crashed(end: Exit, text: str) -> None:
    judged = judge(facts(0.1, before=best(0.6), end=end))
    assert decided(judged) == ("crash", "crash", False)
    assert reason(judged) == text
    assert judged.reason == read(text), "a client that gets the text alone can tell as much"


def test_what_the_log_says_of_a_crash_is_its_reason() -> None:
    crashed = facts(0.1, end=Exit(ending="exited", exit_code=1))
    oom = Reason("oom", "CUDA out of memory")
    assert judge(replace(crashed, log_reason=oom)).reason == oom


def test_what_came_to_light_beside_a_failure_is_noted_and_never_beside_a_success() -> None:
    notes = ("Xid 31", "Xid 43", "Xid 45", "Xid 13")
    late = Exit(ending="limit", pids_limit=True)
    judged = judge(replace(facts(0.1, end=late), notes=notes))
    assert judged.reason == Reason("limit", notes=(PIDS_LIMIT, *notes[:3]))
    assert judge(replace(facts(0.1, end=replace(OK, pids_limit=True)), notes=notes)).reason is None


def test_a_failure_on_a_full_disk_says_so_and_counts_as_any_other() -> None:
    failed = Exit(ending="exited", exit_code=1, disk_full=True)
    crash = judge(facts(0.1, before=best(0.6), end=failed))
    assert crash.reason == Reason("", "exit code 1", (DISK_FULL,))
    assert (crash.comparable, crash.failed) == (True, True)
    silent = judge(facts(None, before=best(0.6), end=replace(OK, disk_full=True)))
    assert silent.reason is not None
    assert silent.reason.notes == (DISK_FULL,)
    well = judge(facts(0.1, before=best(0.6), end=replace(OK, disk_full=True)))
    assert (well.verdict, well.reason, well.comparable) == ("advance", None, True)


@pytest.mark.parametrize("ending", ["limit", "stall"])
def test_the_deadline_and_the_stall_limit_are_a_timeout(ending: str) -> None:
    end = Exit(ending="limit" if ending == "limit" else "stall", exit_code=0)
    judged = judge(facts(0.1, before=best(0.6), end=end))
    assert decided(judged) == ("timeout", "timeout", False)
    assert judged.reason == Reason(ending)


def test_the_value_of_a_run_that_timed_out_or_crashed_is_recorded_and_never_compared() -> None:
    for end in (Exit(ending="limit"), Exit(ending="exited", exit_code=1)):
        for before in (None, best(0.6)):
            judged = judge(facts(0.1, before=before, end=end))
            assert judged.primary.value == 0.1
            assert not judged.improved
            assert not judged.valid


def test_a_run_stopped_on_request_is_interrupted_even_with_a_broken_seal() -> None:
    for end in (Exit(ending="stopped"), Exit(ending="cancelled"), Exit(ending="gave_way")):
        judged = judge(replace(facts(0.1, end=end), seal_faults=("prepare.py changed",)))
        assert decided(judged) == ("interrupted", "interrupted", False)


def test_survivors_of_the_kill_make_it_unclean_and_a_crash_before_anything_else() -> None:
    for ending in ("exited", "limit", "stopped"):
        end = replace(OK, survivors=(Process(4242, 1, "python"),))
        end = replace(end, ending=ending)
        judged = judge(facts(0.1, before=best(0.6), end=end))
        assert decided(judged) == ("unclean", "crash", False)
        assert "4242 (python)" in reason(judged)


@every(
    "ending, comparable",
    [
        *(
            ("exited", True),
            ("limit", True),
            ("stall", True),
            ("stopped", False),
            ("cancelled", False),
            ("gave_way", False),
        ),
        *(("lost", False), ("host_restart", False), ("supervisor_lost", False), ("spawn_failed", False)),
    ],
)
def test_only_what_says_something_about_the_idea_is_comparable(ending: str, comparable: bool) -> None:
    end = Exit(ending=ending, exit_code=0)  # type: ignore[arg-type]
    assert judge(facts(end=end)).comparable is comparable


# --- baseline ---


@pytest.mark.parametrize("value", [1e300, -1e300, 0.0])
def test_the_first_run_with_a_metric_becomes_best_whatever_its_value(value: float) -> None:
    judged = judge(facts(value))
    assert decided(judged) == ("ok", "advance", True)
    assert (judged.primary.best_before, judged.primary.delta) == (None, None)


def test_a_baseline_that_violates_a_constraint_becomes_best_but_is_not_valid() -> None:
    judged = judge(facts(1.0, constraints=("acc>=0.9",), acc=0.5))
    assert decided(judged) == ("ok", "advance", True)
    assert not judged.valid


def test_the_first_valid_run_replaces_an_invalid_baseline_whatever_its_value() -> None:
    judged = judge(facts(99.0, before=best(0.1, valid=False), constraints=("acc>=0.9",), acc=0.95))
    assert decided(judged) == ("ok", "advance", True)
    assert judged.valid


def test_another_invalid_run_does_not_replace_an_invalid_baseline_even_if_better() -> None:
    judged = judge(facts(0.01, before=best(0.1, valid=False), constraints=("acc>=0.9",), acc=0.5))
    assert decided(judged) == ("ok", "revert", False)


# --- direction, delta, constraints ---


@pytest.mark.parametrize(("direction", "better"), [("min", 0.5), ("max", 0.7)])
def test_the_direction_says_what_better_means(direction: Direction, better: float) -> None:
    for value in (0.5, 0.7):
        judged = judge(facts(value, before=best(0.6, direction=direction), direction=direction))
        assert judged.improved == (value == better)
        assert judged.primary.delta == pytest.approx(value - 0.6)
        assert (judged.primary.best_before, judged.primary.best_run_before) == (0.6, "r0001")


def test_a_constraint_whose_value_is_unknown_or_not_finite_is_not_met_and_says_so() -> None:
    known = facts(0.1, before=best(0.6), constraints=("acc>=0.9",), acc=math.nan)
    for case in (known, replace(known, metrics={LOSS: 0.1})):
        judged = judge(case)
        assert decided(judged) == ("ok", "revert", False)
        assert judged.constraints[0].value is None
        assert reason(judged) == "constraint acc>=0.9 violated: unknown"


def test_constraints_of_contract_and_session_hold_together_and_the_same_one_counts_once() -> None:
    both = replace(
        facts(0.1, before=best(0.6), constraints=("acc>=0.9",), acc=0.95, gap=3.0),
        session_constraints=("gap<2", "acc>=0.9"),
    )
    judged = judge(both)
    assert [(c.expr, c.ok) for c in judged.constraints] == [("acc>=0.9", True), ("gap<2", False)]
    assert judged.verdict == "revert"


def test_the_primary_metric_itself_can_be_constrained() -> None:
    assert judge(facts(0.5, before=best(0.6), constraints=("val/loss<=0.4",))).verdict == "revert"


# --- over a whole session ---

RUNS = st.lists(
    st.tuples(
        st.floats() | st.none(),
        st.sampled_from(["exited", "exited", "exited", "limit", "stopped", "lost"]),
        st.sampled_from([0, 0, 1]),
        st.floats(0, 1),
    ),
    max_size=40,
)


@given(runs=RUNS, direction=st.sampled_from(["min", "max"]))
def test_a_valid_best_never_gets_worse_and_is_the_best_of_all_valid_runs(
    runs: list[tuple[float | None, str, int, float]], direction: Direction
) -> None:
    standing: Best | None = None
    valid: list[float] = []
    for value, ending, code, acc in runs:
        end = Exit(ending=ending, exit_code=code)  # type: ignore[arg-type]
        given_facts = facts(
            value, before=standing, end=end, direction=direction, constraints=("acc>=0.3",), acc=acc
        )
        judged = judge(given_facts)
        assert judged.improved == (judged.verdict == "advance")
        if judged.valid and judged.primary.value is not None:
            valid.append(judged.primary.value)
        if judged.improved:
            assert judged.primary.value is not None
            standing = best(judged.primary.value, judged.valid, direction)
        if valid:
            assert standing is not None
            assert standing.valid
            assert standing.value == (min(valid) if direction == "min" else max(valid))


@every(
    "end, value, failed",
    [
        (Exit(ending="exited", exit_code=1), 1.0, True),
        (Exit(ending="limit"), 1.0, True),
        (Exit(ending="vram_limit"), 1.0, True),
        (Exit(ending="spawn_failed"), None, True),
        (OK, None, True),
        (OK, 2.0, False),
        (Exit(ending="stopped"), 1.0, False),
        (Exit(ending="cancelled"), None, False),
        *((Exit(ending=ending), 1.0, False) for ending in ("supervisor_lost", "host_restart", "lost")),
    ],
)
def test_a_failure_is_a_crash_a_timeout_or_an_invalid_run_that_the_job_brought_about(
    end: Exit, value: float | None, failed: bool
) -> None:
    assert judge(facts(value, end=end)).failed is failed
    broken = replace(facts(value, end=end), seal_faults=("prepare.py changed",))
    assert not judge(broken).failed
