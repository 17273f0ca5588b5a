"""A session with --verdict noise in the report: intervals, the luckiest value, what the noise cost."""

from collections.abc import Iterable

import pytest
from msgspec.structs import replace

from ardaemon.core.facts import RunFacts
from ardaemon.core.model import Best, Direction, KeptVersion, Primary, SeedValue
from ardaemon.core.summary import Luck, Lucky
from ardaemon.report.limits import FEW
from ardaemon.report.luck_lines import luck_lines
from ardaemon.report.markdown import markdown
from ardaemon.report.tally import Frame, Tally
from tests.support.histories import run

LUCK = Luck(
    mean=0.75,
    low=0.74,
    high=0.76,
    values=3,
    noise=0.01,
    df=7,
    advances=1,
    expected_false=0.1,
    launches=9,
    confirmations=4,
)


def seeds(*values: float | None) -> tuple[SeedValue, ...]:
    return tuple(SeedValue(seed=seed, value=value) for seed, value in enumerate(values))


BASELINE = run(1, verdict="advance", value=1.02, note="start")
ADVANCE = run(
    4,
    verdict="advance",
    value=0.73,
    best_before=1.0,
    best_run_before="r0001",
    values=seeds(0.72, 0.74),
    p_better=0.971,
    estimate=0.76,
    estimate_sd=0.01,
    note="lr",
)
NIGHT = (BASELINE, run(2, value=0.71), run(3, value=0.7, values=seeds(0.66, 0.74), best_before=1.0), ADVANCE)


def frame(luck: Luck | None = LUCK, direction: Direction = "min") -> Frame:
    primary = Primary(metric="val/loss", direction=direction)
    best = Best(
        run_id="r0004",
        primary=primary,
        value=0.75,
        values=(0.72, 0.74, 0.78),
        earlier=(KeptVersion(run_id="r0001", values=(1.02, 0.99, None, 0.96)),),
    )
    return Frame(expr="261122-lr", primary=primary, session="live", best=best, luck=luck)


def tally(runs: Iterable[RunFacts], about: Frame) -> Tally:
    made = Tally(about, FEW)
    for one in runs:
        made.add(one)
    return made


def test_the_report_says_interval_luck_and_how_sure_each_advance_is() -> None:
    lines = markdown(tally(NIGHT, frame()).summary(0)).splitlines()
    head = lines[lines.index("- Metric: `val/loss`, lower is better") + 1 :]
    assert head[:5] == [
        "- Best: r0004 0.75, advance: `lr`",
        "- The best's value: that is the mean over seeds, less the luck by which it was chosen"
        " (90%: 0.74 to 0.76); measured 3 times",
        "- Luckiest value ever seen: 0.66 (r0003 with seed 0), which flatters by 0.09, 9.0 × the noise",
        "- Noise: ±0.01 (7 df); 4 of 9 launches were confirmations; expected false advances: 0.1 of 1",
        "- Baseline: r0001; from it to the best: 0.99 → 0.75 (-0.24)",
    ]
    assert "- r0001 0.99 (baseline): `start`" in lines, "the mean of its launches"
    assert "- r0004 1 → 0.75 (-0.25) (90%: 0.74 to 0.76), P=0.97, 3 attempts: `lr`" in lines, "as it is now"


def test_an_earlier_best_is_told_as_it_was_judged() -> None:
    later = run(5, verdict="advance", value=0.5, best_before=0.76, p_better=0.9, estimate=0.6)
    (_, old, new) = tally((BASELINE, ADVANCE, later), frame(None)).summary(0).advances
    assert (old.value, old.launches) == (0.76, 2)
    assert (old.low, old.high) == pytest.approx((0.74355, 0.77645))
    assert (new.value, new.low, new.p_better) == (0.6, None, 0.9), "a daemon of before kept no spread"


def test_a_run_that_was_launched_again_has_all_its_values() -> None:
    """Also one that is no best. Its value stays as it was judged."""
    more = {"r0002": seeds(None, 0.6, 0.9)[1:], "r0003": seeds(0.1), "r0009": seeds(0.1)}
    about = replace(frame(), reruns=more)
    made = tally((NIGHT[1], replace(NIGHT[2], conditions="other")), about)
    told = made.reruns.told(NIGHT[1])
    assert (told.value, told.values) == (0.71, seeds(0.71, 0.6, 0.9))
    lucky = made.summary(0).luck
    assert lucky is not None
    assert lucky.luckiest is not None
    assert (lucky.luckiest.run_id, lucky.luckiest.seed, lucky.luckiest.value) == ("r0002", 1, 0.6)


def test_a_plain_session_has_none_of_it() -> None:
    """Its best may have been launched again by `arctl rerun`: that changes nothing."""
    plain = (BASELINE, run(4, verdict="advance", value=0.72, best_before=1.02, best_run_before="r0001"))
    summary = tally(plain, frame(None)).summary(0)
    assert summary.luck is None
    assert [line.value for line in summary.advances] == [1.02, 0.72]
    text = markdown(summary)
    for word in ("luck", "90%", "P=", "confirmation", "surely"):
        assert word not in text


def test_a_luckiest_value_far_beyond_the_noise_is_told_with_few_digits() -> None:
    luck = replace(LUCK, noise=1e-200, luckiest=Lucky(run_id="r0003", seed=0, value=1e100, flatters=1e100))
    assert ", which flatters by 1e+100, 1e+300 × the noise" in luck_lines(luck)[1]


@pytest.mark.parametrize(
    ("direction", "value", "flatters"), [("min", 0.6, 0.15), ("max", 0.9, 0.15), ("min", 0.8, 0.0)]
)
def test_the_luckiest_value_is_that_of_one_launch(
    direction: Direction, value: float, flatters: float
) -> None:
    """Not of one that was measured under other conditions, broke a constraint, or crashed."""
    far = 0.1 if direction == "min" else 9.0
    crash = (SeedValue(seed=0, value=value), SeedValue(seed=1, value=far, status="crash"))
    runs = [
        run(2, value=far, valid=False),
        run(3, value=far, tainted="somebody else"),
        run(5, value=far, status="crash", verdict="crash"),
        run(6, value=far, measure=True),
        run(7, value=value, values=crash),
    ]
    luckiest = tally(runs, frame(direction=direction)).summary(0).luck
    assert luckiest is not None
    assert luckiest.luckiest is not None
    found = luckiest.luckiest
    assert found == Lucky(run_id="r0007", seed=0, value=value, flatters=found.flatters)
    assert found.flatters == pytest.approx(flatters)


def test_a_luckiest_value_that_does_not_flatter_is_said_so() -> None:
    lines = markdown(tally([run(2, value=0.8)], frame()).summary(0)).splitlines()
    assert "- Luckiest value ever seen: 0.8 (r0002 with seed 0), no better than the best's mean" in lines
