"""The lines of `arctl compare`: bounded and clean whatever runs say, and right about which run is better."""

from typing import Any

import pytest

from arctl.render import compare
from arctl.render.columns import width

EVIL = "\x1b[2J\u202eevil\n" * 20


def view(run_id: str, **result: Any) -> dict[str, Any]:
    given = {"status": "ok", "verdict": "revert", "valid": True, "metrics": {}, "seconds": 3.0, **result}
    return {"run_id": run_id, "state": "committed", "result": given}


def measured(values: list[float], low: float | None = None, high: float | None = None) -> dict[str, Any]:
    found = [{"seed": seed, "value": value} for seed, value in enumerate(values)]
    mean = sum(values) / len(values) if values else None
    return {"values": found, "mean": mean, "low": low, "high": high}


def answer(**given: Any) -> dict[str, Any]:
    about = {
        "metric": "val/loss",
        "direction": "min",
        "run_id": "r0042",
        "other": "r0040",
        "comparable": True,
    }
    return about | {"values": measured([1.0]), "other_values": measured([1.5]), "difference": None} | given


def difference(mean: float, low: float | None, high: float | None, seeds: int = 3) -> dict[str, Any]:
    return {"mean": mean, "low": low, "high": high, "seeds": seeds}


@pytest.mark.parametrize(
    ("direction", "apart", "says"),
    [
        (
            "min",
            difference(-0.5, -0.6, -0.4),
            "r0042 is better by 0.5, over the 3 seeds that both have: luck alone seldom",
        ),
        (
            "max",
            difference(-0.5, -0.6, -0.4),
            "r0042 is worse by 0.5, over the 3 seeds that both have: luck alone seldom",
        ),
        (
            "max",
            difference(0.5, -0.1, 1.1),
            "r0042 is better by 0.5, over the 3 seeds that both have: that may be luck",
        ),
        ("min", difference(0.5, None, None, 1), "r0042 is worse by 0.5 with one seed: that may be luck."),
        ("min", difference(0.0, 0.0, 0.0), "The values are equal, over the 3 seeds that both have."),
        ("min", difference(0.0, None, None, 1), "The values are equal, with the one seed that both have."),
        ("min", difference(0.0, None, None, 3), "No number holds the interval, over the 3 seeds that both"),
        ("min", None, "No value to compare: no seed has one in both."),
    ],
)
def test_what_the_values_say(direction: str, apart: Any, says: str) -> None:
    views = [view("r0042"), view("r0040")]
    several = {side: measured([1.0, 2.0, 3.0]) for side in ("values", "other_values")}
    (line,) = compare.said(answer(direction=direction, difference=apart, **several), views, "")
    assert line.startswith(says)


def test_a_lone_value_names_the_command_that_gives_it_an_interval() -> None:
    """Not where another launch would give no value, or there is none to launch again."""
    views = [view("r0042"), view("r0040")]
    lines = compare.said(answer(), views, " --expr lr")
    assert lines[1:] == [
        f"One value of {each} has no interval: arctl rerun {each} --seeds 3 --expr lr"
        for each in ("r0042", "r0040")
    ]
    others = [view("r0042", valid=False), {**view("r0040m3"), "of": "r0040"}]
    assert len(compare.said(answer(), others, "")) == 1


@pytest.mark.parametrize(
    ("values", "others", "says"),
    [
        ([], [1.0, 2.0], "No value to compare: r0042 has none."),
        ([], [], "No value to compare: r0042 and r0040 have none."),
    ],
)
def test_a_run_without_a_value_is_named(values: list[float], others: list[float], says: str) -> None:
    told = answer(values=measured(values), other_values=measured(others))
    assert compare.said(told, [view("r0042"), view("r0040")], "") == [says]


def test_the_table_is_clean_and_bounded_whatever_the_runs_say() -> None:
    metrics = {f"{EVIL}{number}": float(number) for number in range(100)}
    ours = view("r0042", note=EVIL, metrics=metrics, status="crash", reason=EVIL)
    theirs = view("r0040", note="wide 漢字 " * 50, metrics={"one": 1e300}, p_better=0.5, estimate=1.25)
    told = answer(
        values=measured([1e300] * 200), other_values=measured([-1e-300] * 20, -1.0, 1.0), metric=EVIL
    )
    lines = [compare.head(told), *compare.table(told, ours, theirs)]
    assert len(lines) < 45
    assert all(width(line) <= 4 * compare.CELL_MAX + 6 for line in lines[1:])
    assert "\x1b" not in "".join(lines)
    assert "\u202e" not in "".join(lines)
    assert "… 184 more" in lines[2 + compare.SEEDS_MAX]
    assert any(line.startswith("… 89 more metrics") for line in lines)
    assert any(line.startswith("90% interval") and "-1 to 1" in line for line in lines)


def test_the_difference_of_means_is_that_of_the_seeds_that_both_have() -> None:
    told = answer(
        values=measured([1.0, 2.0, 30.0]),
        other_values=measured([1.5, 2.5]),
        difference=difference(-0.5, -0.5, -0.5, 2),
    )
    lines = compare.table(told, view("r0042"), view("r0040"))
    means = [line.split() for line in lines if line.startswith(("mean", "90%"))]
    assert means[0] == ["mean", "11", "2"]
    assert means[1:] == [
        ["mean", "of", "2", "in", "both", "1.5", "2", "-0.5"],
        ["90%", "interval", "-0.5", "to", "-0.5"],
    ]


def test_values_under_other_conditions_have_no_difference() -> None:
    told = answer(comparable=False)
    assert [line for line in compare.table(told, view("r0042"), view("r0040")) if "seed 0" in line] == [
        "seed 0   1       1.5     –"
    ]
    assert compare.said(told, [view("r0042"), view("r0040")], "")[0].startswith(
        "They were measured under other"
    )
