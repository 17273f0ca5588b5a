"""The nights on real training, but for the training: edits, plan, figures, page."""

import math
from pathlib import Path

import pytest

from ardaemon.source.normal import normal, parsed
from tests.noise.real import edits, figures, page, plan, records, scripted
from tests.noise.real.figures import Figure
from tests.noise.real.launches import value_of
from tests.noise.real.plan import Part
from tests.noise.real.records import Night, Noise, Rule, Tried, Values

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted(plan.METRICS)


def script(example: str) -> str:
    return (ROOT / "examples" / example / "train.py").read_text()


def same_code(one: str, other: str) -> bool:
    return normal(one.encode(), parsed(one.encode())) == normal(other.encode(), parsed(other.encode()))


@pytest.mark.parametrize("example", EXAMPLES)
def test_every_edit_finds_its_place_by_itself_and_after_all_others(example: str) -> None:
    before = text = script(example)
    made = scripted.of_a_night(example, "scripted", 1, plan.EDITS)
    assert len(made) == plan.EDITS
    for edit in made:
        assert not same_code(edit.made(before), before), edit.note
        assert not same_code(edit.made(text), text), edit.note
        text = edit.made(text)
        compile(text, "train.py", "exec")


def test_a_later_round_has_the_same_edits_in_another_order() -> None:
    first, second = (scripted.of_a_night("digits", "scripted", number, plan.EDITS) for number in (1, 2))
    assert first != second
    assert sorted(edit.note for edit in first) == sorted(edit.note for edit in second)


@pytest.mark.parametrize("example", EXAMPLES)
def test_a_no_op_takes_the_place_of_the_one_before_it(example: str) -> None:
    text = script(example)
    for kind in ("new luck", "same luck", "comment"):
        one, other = scripted.of_a_night(example, kind, 1, 2)
        assert other.made(one.made(text)) == other.made(text) != one.made(text), kind
        assert same_code(one.made(text), text) == (kind == "comment")


@pytest.mark.parametrize("example", EXAMPLES)
def test_the_unused_draw_comes_after_the_seed_and_before_all_others(example: str) -> None:
    lines = edits.new_luck(example, 7).made(script(example)).splitlines()
    at = next(n for n, line in enumerate(lines) if "(7)" in line)
    assert "AR_SEED" in lines[at - 1]
    assert not any(
        "rand(" in line or "normal(" in line for line in lines[lines.index("def main() -> None:") : at]
    )


@pytest.mark.parametrize("example", EXAMPLES)
def test_each_round_takes_other_seeds(example: str) -> None:
    assert '1000 + int(os.environ.get("AR_SEED", "0"))' in edits.other_seeds(script(example), 1000)


def test_a_constant_is_scaled_as_what_it_is() -> None:
    half = edits.scaled("N", 0.5).made
    assert (half("N = 5\n"), half("N = 1\n"), half("N = 1e-3\n")) == ("N = 2\n", "N = 1\n", "N = 0.0005\n")
    assert half("M = 5\n") == "M = 5\n"


def test_the_plain_night_is_played_before_the_one_that_gets_as_many_launches() -> None:
    files = [part.file for part in plan.parts("digits")]
    assert files[0] == "digits-noise.json"
    assert files.index("digits-scripted-2-plain.json") < files.index("digits-scripted-2-noise.json")
    assert len(set(files)) == len(files) == 1 + 2 * (4 + 2)
    assert Part("digits", "new luck", 2, "noise").file == "digits-new-luck-2-noise.json"


def test_only_the_torch_example_is_shortened() -> None:
    assert plan.shorter("digits", script("digits")) == script("digits")
    assert "\nEPOCHS = 20\n" in plan.shorter("plain-pytorch", script("plain-pytorch"))


def test_a_launch_without_the_daemon_takes_the_seed_and_gives_the_last_value(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AR_SEED", "0")
    train = tmp_path / "train.py"
    train.write_text(
        'import os\nseed = os.environ["AR_SEED"]\nprint("train/val/loss=9")\n'
        'if __name__ == "__main__":\n    print(f"val/loss=3 val/loss: {1 / (3 - int(seed))}")\n'
    )
    assert [value_of(str(train), "val/loss", seed) for seed in (1, 2, 3)] == [0.5, 1.0, None]
    assert "ZeroDivisionError" in capsys.readouterr().err
    assert value_of(str(train), "acc", 1) is None


def test_what_is_the_seeds_is_what_one_seed_does_not_show() -> None:
    assert figures.spread([1.0, 2.0, 3.0]) == Figure(1.0, 0.5)
    assert figures.seed_share([1.0, 2.0, 3.0], [5.0] * 3) == Figure(1.0, 0.0)
    share, error = figures.seed_share([0.0, 2.0, 4.0], [0.0, 1.0, 2.0])
    assert (share, error) == pytest.approx((0.75, 0.25 * math.sqrt(2)))


def test_luck_that_is_kept_shows_in_the_difference_with_one_seed() -> None:
    kept = figures.kept_luck((1.0, 2.0, 3.0, None), (0.5, 1.5, 2.5, 9.0))
    assert kept.gain == Figure(0.5, 0.0)
    assert kept.correlation.value == pytest.approx(1.0)
    assert (kept.sd, kept.sd_of_difference) == (1.0, 0.0)


BASELINE: Values = (1.0, 1.2, 1.1, 1.3)
BETTER: Values = (0.8, 1.0, 0.9, 1.1)
LUCKY: Values = (0.8, 1.0, 1.0, 1.1)


def night(rule: Rule, kind: records.Kind = "scripted") -> Night:
    """Return a night of four edits: one that helps, one that only seems to, a refused one, a bad one."""
    return Night(
        example="digits",
        kind=kind,
        round=1,
        rule=rule,
        tried=(
            Tried(note="baseline", run="r0001", verdict="advance", value=1.1),
            Tried(note="a", run="r0002", verdict="advance", base="r0001", value=0.9, p_better=0.9),
            Tried(note="b", run="r0003", verdict="advance", base="r0002", value=0.7, p_better=0.7),
            Tried(note="c"),
            Tried(note="d", run="r0004", verdict="revert", base="r0003", value=2.0),
        ),
        launches=4,
        confirmations=0,
        best="r0003",
        shown=0.7,
        said="",
        truths={"r0001": BASELINE, "r0002": BETTER, "r0003": LUCKY} if kind == "scripted" else {},
        cpu_s=30.0,
    )


NOISE = Noise(
    example="digits",
    seeds=(1.0, 1.1, 1.2),
    same=(1.1, 1.1, 1.1),
    edited={"lr × 2": (0.9, 1.0, 1.2)},
    said=(),
    cpu_s=30.0,
)


def test_an_advance_is_false_if_fresh_seeds_show_no_gain_on_its_parent() -> None:
    found = figures.came(night("noise"))
    assert (found.launched, found.unlaunched, found.advances, found.false) == (3, 1, 2, 1)
    assert found.unclear == 1  # 0.025 worse, ± 0.025
    assert found.expected_false == pytest.approx(0.4)
    assert found.gain.value == pytest.approx(0.175)
    assert found.flattery.value == pytest.approx(0.7 - 0.975)


def test_in_a_night_of_no_ops_the_truth_is_the_baselines_mean() -> None:
    assert figures.flattery_of_no_ops(night("plain", "new luck"), NOISE).value == pytest.approx(-4.0)


def test_the_page_has_a_row_for_each_part_that_was_measured() -> None:
    text = page.markdown([NOISE], [night("plain"), night("noise"), night("plain", "new luck")])
    assert "| digits | 3 | 0.100 ± 0.050 | 3 | 0 ± 0 | 100 ± 0% |" in text
    assert (
        "| digits, 1 | draws numbers that nobody uses | plain | 3 (1 refused) | 4 | 2 | -4.0 ± 0.6 sd |"
        in text
    )
    assert "| digits, 1 | noise-aware | 4 | 3 (and 1 not) | 2, 1 false (1 unclear) |" in text
    assert "the plain rule kept 2 edits: 1 false, 1 unclear" in text
    assert text.endswith("17 launches by the daemon, 2 minutes of one core for all jobs.")
    assert "rule" not in page.markdown([NOISE], [])


def test_a_part_that_was_measured_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "made" / Part("digits").file
    records.save(path, NOISE)
    assert records.load(path, Noise) == NOISE
    records.save(path, night("noise"))
    assert records.load(path, Night) == night("noise")
    assert [one.name for one in path.parent.iterdir()] == [path.name]
