"""What launches of one version say of its noise: to a person, and of the seed's share."""

import pytest

from ardaemon.judging.noise.plainly import advice, of

SEEDS = [1.0021, 0.9966, 1.0012, 1.0007]


def said(values: list[float], same: list[float]) -> str:
    noise = of(values, same)
    assert noise is not None
    return "\n".join(advice(noise, "val/loss"))


def test_of_one_value_nothing_is_said() -> None:
    assert of([1.0], [1.0, 1.0]) is None


def test_a_script_that_ignores_its_seed_and_has_no_luck() -> None:
    assert said([0.5] * 4, [0.5] * 3) == (
        "val/loss is equal with 4 seeds: the script ignores AR_SEED, or has no luck in it\n"
        "use --verdict plain: a better value is better"
    )


def test_a_script_that_ignores_its_seed_on_a_machine_that_makes_noise() -> None:
    """With one seed it differs as much as with others."""
    noise = of(SEEDS, [1.0021, 0.9984, 1.0032, 0.9971])
    assert noise is not None
    assert noise.ignores_seed == "perhaps"
    assert "perhaps the script ignores AR_SEED" in said(SEEDS, [1.0021, 0.9984, 1.0032, 0.9971])
    two = of(SEEDS, [1.0021, 0.9966])
    assert two is not None
    assert two.ignores_seed == "no", "two launches with one seed say next to nothing"


def test_values_whose_noise_no_number_holds() -> None:
    assert said([1e308, -1e308], []) == "no number holds the noise of val/loss: some values are so large"


def test_a_script_all_of_whose_noise_is_the_seeds() -> None:
    assert said(SEEDS, [1.0021] * 4) == (
        "noise: ±0.00244 over seeds (3 df)\n"
        "with one seed: ±0, 100% of the variance is the seed's\n"
        "one launch against one tells a gain of 0.00567 apart, 19 times in 20\n"
        "use --verdict noise; or plain, if your edits bring far more than 0.00567"
    )


def test_values_that_are_equal_over_seeds_and_differ_with_one_are_told_as_they_are() -> None:
    assert "but with one seed it differs: ±0.0" in said([0.5, 0.5], [0.5, 0.52, 0.48])


@pytest.mark.parametrize("scale", [1e6, 1e-6, 1e-200, 1e200, -1.0])
def test_the_unit_of_the_metric_makes_no_difference(scale: float) -> None:
    plain, scaled = of(SEEDS, SEEDS[:3]), of([v * scale for v in SEEDS], [v * scale for v in SEEDS[:3]])
    assert plain is not None
    assert scaled is not None
    assert scaled.sd == pytest.approx(plain.sd * abs(scale))
    assert scaled.seed_share == pytest.approx(plain.seed_share)
    assert scaled.ignores_seed == plain.ignores_seed


def test_equal_values_have_no_noise_whatever_their_mean_is_rounded_to() -> None:
    noise = of([0.1] * 7, [0.1] * 3)
    assert noise is not None
    assert (noise.sd, noise.ignores_seed) == (0.0, "yes")
