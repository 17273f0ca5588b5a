"""What the next run is taken to need, by what the last ones used."""

import pytest
from hypothesis import given
from hypothesis import strategies as some

from ardaemon.core.measured import CardPeak, Measured, Source
from ardaemon.measuring import learned
from ardaemon.measuring.learned import MODELS_MAX, RUNS, learn, need

A100, H100 = "NVIDIA A100-SXM4-80GB", "NVIDIA H100 80GB HBM3"


def measured(
    *peaks: int | None, model: str = A100, source: Source = "process", elsewhere: int = 0
) -> Measured:
    cards = tuple(
        CardPeak(uuid=f"GPU-{n}", index=n, name=model, peak_mb=peak, source=source)
        for n, peak in enumerate(peaks)
    )
    known = [peak for peak in peaks if peak is not None]
    return Measured(peak_vram_mb=sum(known), source=source, cards=cards, elsewhere_mb=elsewhere)


@pytest.mark.parametrize(
    ("known", "needed"),
    [
        ((), None),
        ((10_000,), 11_512),
        ((10_000, 40_000, 20_000), 44_512),
    ],
)
def test_it_needs_what_the_largest_of_the_last_runs_used_and_a_margin(
    known: tuple[float, ...], needed: float | None
) -> None:
    found = need({A100: known}, A100)
    assert found == (None if needed is None else pytest.approx(needed))


def test_another_model_says_nothing() -> None:
    assert need({A100: (1.0,)}, H100) is None


def test_of_several_cards_the_largest_counts() -> None:
    assert learn({}, measured(100, 300, 200)) == {A100: (300,)}


@pytest.mark.parametrize(
    "nothing",
    [
        measured(500, source="device_delta"),
        measured(500, source="unknown"),
        measured(500, elsewhere=100),  # it used a card that it was not given
        measured(None),
        measured(0),
        measured(),
        Measured(peak_vram_mb=700, source=None),
    ],
)
def test_what_was_not_measured_by_process_teaches_nothing(nothing: Measured) -> None:
    assert learn({A100: (7.0,)}, nothing) == {A100: (7.0,)}


def test_a_large_run_is_forgotten_after_some_smaller_ones() -> None:
    known: learned.Learned = {}
    for peak in (9000, *[100] * RUNS):
        known = learn(known, measured(peak))
    assert known == {A100: (100,) * RUNS}


@given(some.lists(some.tuples(some.integers(1, 10**6), some.integers(0, 99)), max_size=60))
def test_it_stays_small_and_never_needs_less_than_was_just_used(runs: list[tuple[int, int]]) -> None:
    known: learned.Learned = {}
    for peak, model in runs:
        known = learn(known, measured(peak, model=str(model)))
        assert len(known) <= MODELS_MAX
        assert all(0 < len(peaks) <= RUNS for peaks in known.values())
        assert (need(known, str(model)) or 0) > peak
