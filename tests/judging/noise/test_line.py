"""The lines that say a noise-aware verdict, and what a status line says of the noise."""

from dataclasses import replace

import pytest

from ardaemon.judging.noise.line import LINE_MAX, status_line, verdict_line
from ardaemon.judging.noise.types import Advance, BestNow, Facts, Revert, Unkept

BEST = BestNow(
    run="r0040",
    attempts=4,
    mean=0.85123,
    sd=0.0009,
    noise=0.00213,
    df=31,
    keeps=0.8,
    advances=8,
    expected_false=0.94,
)
FACTS = Facts(
    p_better=0.971, gain=0.0071, gain_sd=0.001, mean=0.84412, sd=0.0008, first=0.8436, attempts=2, best=BEST
)


def test_an_advance_says_from_where_to_where_and_how_sure_that_is() -> None:
    assert verdict_line("r0043", "val/loss", Advance(FACTS)) == (
        "[r0043] advance: val/loss 0.8512 → 0.8441 est. (P=0.97, noise ±0.0021, 2 attempts)"
    )


@pytest.mark.parametrize(
    ("reason", "p", "attempts", "line"),
    [
        ("looked_better", 0.31, 3, "[r0044] revert: 0.8436 looked better, is not (P=0.31, 3 attempts)"),
        ("too_small", 0.01, 1, "[r0044] revert: 0.8436 is not better by more than --min-delta (P=0.01)"),
        ("within_noise", 0.48, 1, "[r0044] revert: within noise, not worth a rerun (P=0.48)"),
        ("worse", 0.0, 1, "[r0044] revert: 0.8436 is no better than the best (P=0.00)"),
        (
            "unsure",
            0.7,
            2,
            "[r0044] revert: perhaps better than the best, not surely enough (P=0.70, 2 attempts)",
        ),
    ],
)
def test_a_revert_says_why_and_how_sure_that_is(reason: Unkept, p: float, attempts: int, line: str) -> None:
    facts = replace(FACTS, p_better=p, attempts=attempts)
    assert verdict_line("r0044", "val/loss", Revert(reason, facts)) == line


@pytest.mark.parametrize(
    ("reason", "line"),
    [
        (
            "disturbed",
            "[r0044] revert: two launches were tainted, and gave no value; once more: arctl run --again",
        ),
        ("unstable", "[r0044] revert: unstable: two reruns failed"),
        ("constraint", "[r0044] revert: an attempt broke a constraint"),
        ("no_value", "[r0044] revert: no attempt gave a value"),
        ("unmeasured", "[r0044] revert: looked no better, and the noise is not known yet"),
        ("undecided", "[r0044] revert: undecided: the session ends before its rerun"),
    ],
)
def test_a_revert_without_statistics_says_why(reason: Unkept, line: str) -> None:
    assert verdict_line("r0044", "val/loss", Revert(reason)) == line
    assert verdict_line("r0044", "val/loss", Revert("undecided", FACTS)).endswith("before its rerun")


def test_values_are_shown_to_the_digit_at_which_the_noise_begins() -> None:
    for noise, mean, shown in ((0.5, 93.4567, "93.46"), (20.0, 1234.5, "1234"), (1e-12, 0.25, "0.25")):
        best = replace(BEST, noise=noise, mean=mean)
        assert f"loss {shown} → " in verdict_line("r0043", "loss", Advance(replace(FACTS, best=best)))
    assert "loss 1e+09 → " in verdict_line(
        "r0043", "loss", Advance(replace(FACTS, best=replace(BEST, mean=1e9, noise=1e7)))
    )


def test_the_first_value_at_all_has_nothing_to_be_compared_with() -> None:
    assert verdict_line("r0001", "val/loss", Advance()) == "[r0001] advance: val/loss: the first value"


def test_a_metrics_name_cannot_write_to_the_terminal_or_break_the_limit() -> None:
    name = "\x1b[31mloss\x1b[0m\n" + "é" * 500
    line = verdict_line("r0043" * 9, name, Advance(FACTS))
    assert "\x1b" not in line
    assert "\n" not in line
    assert len(line.encode()) < LINE_MAX


def test_the_status_line_says_the_noise_and_what_was_spent_on_it() -> None:
    assert status_line(BEST, launches=55, confirmations=12) == (
        "noise: ±0.0021 (31 df), 12 of 55 launches were confirmations; expected false advances 0.9 of 8"
    )
