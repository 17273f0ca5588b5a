"""One pass over the runs: what is counted, what is compared, and how much of it is kept."""

import math
import tracemalloc
from collections.abc import Iterable

import pytest

from ardaemon.core.facts import Change, RunFacts
from ardaemon.core.model import Best, Direction, Primary
from ardaemon.core.summary import RunLine, Summary
from ardaemon.report.limits import ALL, FEW, Kept
from ardaemon.report.markdown import markdown
from ardaemon.report.tally import Frame, Tally
from tests.support.histories import history, run


def frame(direction: Direction = "min", best: str | None = None, conditions: str = "") -> Frame:
    primary = Primary(metric="val/loss", direction=direction)
    named = best and Best(run_id=best, primary=primary, value=0.5, conditions=conditions)
    return Frame(expr="261122-lr", primary=primary, goal="lower it", session="live", best=named or None)


def tally(
    runs: Iterable[RunFacts], about: Frame | None = None, kept: Kept = FEW, pending: int = 0
) -> Summary:
    made = Tally(about or frame(), kept)
    for one in runs:
        made.add(one)
    return made.summary(pending)


def advance(number: int, value: float, before: float | None = None, **facts: object) -> RunFacts:
    return run(number, verdict="advance", value=value, best_before=before, **facts)


def ids(lines: Iterable[RunLine]) -> list[str]:
    return [line.run_id for line in lines]


def test_the_way_to_the_best_is_told_with_notes_and_what_stood_before() -> None:
    runs = [advance(1, 1.0, note="start"), run(2, value=1.5), advance(3, 0.5, 1.0, note="half\nof it")]
    found = tally(runs, frame(best="r0003"))
    assert found.advances == (
        RunLine(run_id="r0001", verdict="advance", value=1.0, note="start"),
        RunLine(run_id="r0003", verdict="advance", value=0.5, before=1.0, note="half of it"),
    )
    assert found.baseline == found.advances[0]
    assert found.best == found.advances[1]
    assert (found.runs, found.verdicts) == (3, {"advance": 2, "revert": 1})


def test_of_many_advances_the_baseline_and_the_newest_are_kept() -> None:
    runs = [advance(number, 1 / number, 1 / (number - 1) if number > 1 else None) for number in range(1, 301)]
    found = tally(runs)
    assert found.advance_count == 300
    assert ids(found.advances) == ["r0001", *(f"r{n:04d}" for n in range(301 - FEW.advances, 301))]
    assert len(tally(runs, kept=ALL).advances) == 300


@pytest.mark.parametrize(("direction", "best", "worst"), [("min", 2, 9), ("max", 9, 2)])
def test_the_best_and_the_worst_by_the_direction_of_the_metric(
    direction: Direction, best: int, worst: int
) -> None:
    runs = [run(n, value=float(n)) for n in (5, 9, 2, 7, 3, 8, 4)]
    found = tally(runs, frame(direction))
    step = 1 if direction == "min" else -1
    assert [line.value for line in found.top] == [best, best + step, best + 2 * step]
    assert [line.value for line in found.bottom] == [worst, worst - step, worst - 2 * step]


def test_of_few_runs_none_is_among_both_the_best_and_the_worst() -> None:
    found = tally([run(1, value=1.0), run(2, value=1.0), run(3, value=2.0), run(4, value=3.0)])
    assert ids(found.top) == ["r0001", "r0002", "r0003"]
    assert ids(found.bottom) == ["r0004"]


def test_values_that_cannot_be_compared_have_no_place_among_the_best() -> None:
    runs = [
        run(1, value=0.1, conditions="other"),
        run(2, value=0.2, conditions="same", valid=False),
        run(3, value=0.3, conditions="same", status="crash", verdict="crash"),
        run(4, value=0.4, conditions="same", measure=True),
        run(5, value=float("inf"), conditions="same"),
        run(6, value=0.6, conditions="same"),
        run(7, value=0.7),  # under a seal that holds no more
    ]
    found = tally(runs, frame(best="r0006", conditions="same"))
    assert ids(found.top) == ["r0006"]
    assert (found.elsewhere, found.violations) == (2, 1)
    assert ids(tally(runs).top) == ["r0001", "r0006", "r0007"], (
        "nobody wrote down what the best was measured under"
    )


def test_a_setting_that_a_check_refused_is_not_the_best_of_its_name() -> None:
    refused = {"value": 0.001, "valid": False, "reason": "check_failed: it cheats"}
    found = tally(
        [
            run(1, changes=(Change("width", "4", "999"),), **refused),
            run(2, value=0.5, changes=(Change("width", "4", "8"),)),
        ]
    )
    shown = [(one.setting, one.verdict, one.value) for one in found.parameters[0].settings]
    assert shown == [("8", "revert", 0.5), ("999", "revert", None)]


def test_parameters_have_what_was_tried_and_what_came_of_it() -> None:
    def tried(number: int, after: str | None, **facts: object) -> RunFacts:
        return run(number, changes=(Change("lr", "1e-3", after),), **facts)

    found = tally(
        [
            tried(1, "1e-2", status="crash", verdict="crash", reason="nan"),
            tried(2, "3e-4", value=0.8),
            tried(3, "3e-4", value=0.7, verdict="advance"),
            tried(4, "1e-4", value=0.9),
            run(5, value=0.9, changes=(Change("depth", "2", "4"),)),
            run(6, value=0.9, added=3),
            run(7, value=0.9),  # the same code: no edit at all
        ]
    )
    lr = found.parameters[0]
    assert (lr.name, lr.runs, lr.advances, lr.failures, lr.distinct) == ("lr", 4, 1, 1, 3)
    tried_of_lr = [(one.setting, one.runs, one.run_id, one.value) for one in lr.settings]
    assert tried_of_lr == [
        ("3e-4", 2, "r0003", 0.7),
        ("1e-4", 1, "r0004", 0.9),
        ("1e-2", 1, "r0001", None),
    ]
    assert lr.settings[-1].verdict == "crash"
    assert (found.parameter_count, found.unnamed) == (2, 1)


def test_failures_are_counted_by_status_and_token() -> None:
    runs = [
        run(1, status="crash", verdict="crash", reason="oom CUDA out of memory"),
        run(2, status="crash", verdict="crash", reason="oom on device 0"),
        run(3, status="timeout", verdict="timeout", reason="limit"),
        run(4, status="invalid", reason="metric val/loss not found"),
        run(5, status="interrupted", verdict="interrupted", reason="stopped on request"),
        run(6, value=1.0),
        run(7, value=0.1, valid=False, reason="check_failed: the held-out set was empty"),
        run(8, value=0.1, valid=False, reason="constraint peak_vram_mb<=1 violated: 2"),
    ]
    found = tally(runs)
    assert found.violations == 1
    assert [(one.kind, one.runs, one.last_run, one.message) for one in found.failures] == [
        ("crash oom", 2, "r0002", "on device 0"),
        ("interrupted", 1, "r0005", "stopped on request"),
        ("invalid", 1, "r0004", "metric val/loss not found"),
        ("revert check_failed", 1, "r0007", "the held-out set was empty"),
        ("timeout limit", 1, "r0003", ""),
    ]


def test_equal_code_shows_how_large_the_noise_is() -> None:
    runs = [
        run(1, value=1.0, normal="a"),
        run(2, value=5.0, normal="b"),
        run(3, value=1.2, normal="a"),
        run(4, value=1.1, normal="a", measure=True),  # a rerun of the best decides nothing, and measures
        run(5, value=9.9, normal="a", tainted="another process used the GPU"),
        run(6, value=5.0, normal="c", sha256="b"),
    ]
    found = tally(runs)
    assert found.noise is not None
    assert (found.noise.snapshots, found.noise.runs) == (1, 3)
    assert found.noise.deviation == pytest.approx(0.1)
    assert found.noise.largest == pytest.approx(0.2)
    (equal,) = found.equal
    assert (equal.run_ids, equal.values, equal.runs) == (("r0001", "r0003", "r0004"), (1.0, 1.2, 1.1), 3)
    assert tally([run(1, value=1.0, normal="a"), run(2, value=1.0, normal="b")]).noise is None


@pytest.mark.parametrize("values", [(1.7e308, -1.7e308, 1.0), (1e200, 2e200)])
def test_the_noise_is_a_number_also_where_the_squares_of_values_overflow(values: tuple[float, ...]) -> None:
    found = tally([run(at, value=value, normal="a") for at, value in enumerate(values, 1)])
    assert found.noise is not None
    assert math.isfinite(found.noise.deviation)
    assert math.isfinite(found.noise.largest)
    assert "Noise" in markdown(found)


def test_runs_without_an_advance_are_rows_and_what_says_nothing_counts_for_none() -> None:
    runs = [
        advance(1, 1.0),
        run(2, value=1.1),
        run(3, value=1.1),
        advance(4, 0.5, 1.0),
        run(5, value=0.6),
        run(6, status="interrupted", verdict="interrupted"),
        run(7, status="crash", verdict="crash", reason="host_restart"),
        run(8, status="invalid", verdict="invalid", reason="seal broken: prepare.py"),
        run(9, value=0.7, tainted="heat"),
        run(10, status="crash", verdict="crash", reason="nan"),
        run(11, value=0.55, note="near"),
        run(12, value=0.8),
    ]
    found = tally(runs, frame(best="r0004"))
    assert [(one.first, one.last, one.runs) for one in found.stretches] == [
        ("r0005", "r0012", 4),
        ("r0002", "r0003", 2),
    ]
    assert found.since_advance == found.stretches[0]
    assert found.nearest is not None
    assert (found.nearest.run_id, found.nearest.note) == ("r0011", "near")


def test_time_is_counted_and_what_failed_of_it() -> None:
    runs = [
        run(1, value=1.0, seconds=3600.0, gpus=2),
        run(2, status="crash", verdict="crash", seconds=1800.0),
    ]
    found = tally(runs, pending=3)
    assert (found.wall_s, found.gpu_s, found.failed_s, found.pending) == (5400.0, 7200.0, 1800.0, 3)


def test_what_is_no_run_is_passed_over() -> None:
    """facts.jsonl may have come with a clone."""
    assert tally([run(1, run_id="r1; rm -rf /"), run(1, run_id=""), run(2)]).runs == 1


def test_the_same_runs_give_the_same_summary() -> None:
    assert tally(history(300)) == tally(history(300))


@pytest.mark.parametrize("kept", [FEW, ALL])
def test_memory_does_not_grow_with_the_runs(kept: Kept) -> None:
    """Every run with names, values, a reason and a snapshot of its own; limits made small."""

    def peak(count: int) -> int:
        def runs() -> Iterable[RunFacts]:
            for number in range(count):
                text = f"{number:064d}"
                yield advance(number, -number, normal=text, changes=(Change(text, "1", text),))
                yield run(number, status="crash", verdict="crash", reason=f"exception:{text}")

        tracemalloc.start()
        tally(runs(), kept=kept)
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    limits = ("parameters.NAMES_MAX", "parameters.SETTINGS_MAX", "failures.KINDS_MAX", "noise.SNAPSHOTS_MAX")
    with pytest.MonkeyPatch.context() as patch:
        for limit in limits:
            patch.setattr(f"ardaemon.report.{limit}", 20)
        small = kept._replace(advances=20, stretches=20)
        kept = small
        assert peak(4000) < 1.2 * peak(1000)
