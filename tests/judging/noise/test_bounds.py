"""What a verdict costs does not grow with the history, and nothing that a script prints can break it."""

import dataclasses
import math
import random
from statistics import fmean

import pytest

from ardaemon.judging.noise import replay
from ardaemon.judging.noise.best import standing, threshold, worth_measuring
from ardaemon.judging.noise.decide import decide
from ardaemon.judging.noise.replay import bounded
from ardaemon.judging.noise.types import NoiseConfig, RunValues

# Values that a script may print and a JSON file may hold.
ODD = (None, math.nan, math.inf, -math.inf, 0.0, -0.0, 1e308, -1e308, 5e-324, 1.0, 1.0, 0.5, 1e-100, -1.0)


def history(count: int, keep: float, most: int = 3) -> list[RunValues]:
    """Runs with one to `most` values, of which a share was kept."""
    dice = random.Random(count)
    runs = [RunValues(run="r0", values=(1.0, 1.01, 0.99, 1.002))]
    for number in range(1, count):
        values = tuple(dice.gauss(1.0, 0.01) for _ in range(dice.randint(1, most)))
        kept = dice.random() < keep
        runs.append(RunValues(run=f"r{number}", values=values, advanced=kept, p_better=0.9 if kept else None))
    return runs


@pytest.mark.parametrize(("keep", "most"), [(0.0, 1), (0.0, 24), (0.02, 3), (0.2, 3), (0.2, 24), (1.0, 24)])
def test_ten_thousand_runs_replay_no_more_than_the_last_few(keep: float, most: int) -> None:
    runs = history(10_000, keep, most)
    chosen = bounded(runs)
    kept = [run for run in chosen[1:] if run.advanced]
    reverted = [run for run in chosen[1:] if not run.advanced]
    assert len(kept) <= replay.KEPT_MOST[0]
    assert len(reverted) <= replay.REVERTED_MOST[0]
    assert sum(len(run.values) for run in kept) < replay.KEPT_MOST[1] + most
    assert sum(len(run.values) for run in reverted) < replay.REVERTED_MOST[1] + most
    assert chosen[-1] == runs[-1]
    assert chosen[0].advanced or chosen[0] == runs[0]


def test_a_night_is_replayed_whole() -> None:
    """150 launches: as many values, in 100 runs here."""
    runs = history(100, 0.15, most=2)
    assert bounded(runs) == runs
    missing = [dataclasses.replace(runs[1], values=(None,)), dataclasses.replace(runs[2], advanced=None)]
    assert bounded([runs[0], *missing, *runs[3:]]) == [runs[0], *runs[3:]]


def test_seeds_that_nobody_had_cost_nothing_until_somebody_has_one() -> None:
    """A replay for a candidate with 24 values is the one that was made for its first value."""
    runs = history(60, 0.3)
    noise = replay.noise_of(runs, NoiseConfig())
    assert noise is not None
    replay.replay(runs, noise, 1, NoiseConfig())
    made = replay._after.cache_info().misses
    wide = replay.replay(runs, noise, 24, NoiseConfig())
    assert replay._after.cache_info().misses == made
    assert len(wide.belief.mean) == len(wide.reported.mean) == 25


def test_a_seed_that_nobody_had_is_believed_in_as_one_that_failed_in_every_run() -> None:
    """Gaps in the baseline make entries for seeds which else are left out: the belief is the same."""
    runs = history(40, 0.3, most=2)
    noise = replay.noise_of(runs, NoiseConfig())
    assert noise is not None
    gaps = dataclasses.replace(runs[0], values=(*runs[0].values, *[None] * 4))
    left_out, carried = (
        replay.replay([first, *runs[1:]], noise, 8, NoiseConfig()) for first in (runs[0], gaps)
    )
    for one, other in ((left_out.belief, carried.belief), (left_out.reported, carried.reported)):
        assert one.mean == pytest.approx(other.mean, abs=1e-9)
        for row, other_row in zip(one.cov, other.cov, strict=True):
            assert row == pytest.approx(other_row, abs=1e-9)


def test_what_lies_before_the_bounds_changes_what_is_said_of_the_best_by_little(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """On average of six histories: by a sixteenth of the noise at most, and its error by a tenth."""
    histories = [history(number, 0.3) for number in range(400, 406)]
    cut = [standing(runs, NoiseConfig()) for runs in histories]
    assert all(len(bounded(runs)) < 150 for runs in histories)
    for bound in ("KEPT_MOST", "REVERTED_MOST"):
        monkeypatch.setattr(replay, bound, (1000, 1000))
    monkeypatch.setattr(replay, "REPORTED_MOST", 1000)
    whole = [standing(runs, NoiseConfig()) for runs in histories]
    both = [(one, other) for one, other in zip(cut, whole, strict=True) if one and other]
    assert len(both) == len(histories)
    assert fmean(abs(one.mean - other.mean) / other.noise for one, other in both) < 1 / 16
    assert fmean(abs(one.sd / other.sd - 1) for one, other in both) < 0.1


def test_no_values_break_it() -> None:
    """300 histories of odd values: every number in the answer is finite."""
    dice = random.Random(5)
    for _ in range(300):
        odd = dice.random() < 0.5
        runs = [
            RunValues(
                run=f"r{number}",
                values=tuple(
                    dice.choice(ODD) if odd or dice.random() < 0.05 else dice.gauss(0, 1)
                    for _ in range(dice.choice((0, 1, 1, 2, 4, 9)))
                ),
                advanced=dice.choice((True, False, None)),
                p_better=dice.choice((None, 0.9)),
            )
            for number in range(dice.randint(1, 8))
        ]
        config = NoiseConfig(direction=dice.choice(("min", "max")), min_delta=dice.choice((0.0, 1e-3, 1e308)))
        facts = decide(runs, config).facts
        if facts is not None:
            numbers = (facts.p_better, facts.gain, facts.gain_sd, facts.mean, facts.sd, *facts.best.interval)
            assert all(map(math.isfinite, numbers))
        threshold(runs, dice.choice(ODD[4:]) or 0.0, config)
        worth_measuring(runs, config)
