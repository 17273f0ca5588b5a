"""`arctl rerun` and `arctl noise`: launches that get no verdict, and what they say."""

import json

import pytest

from tests.integration.test_noise_verdict import SCRIPT, edit
from tests.support.lab import Lab
from tests.support.machine import configured
from tests.support.shell import Shell


@pytest.fixture
def shell(lab: Lab) -> Shell:
    """A plain session with a best and a run that is worse."""
    configured(lab, "cpu_slots = 2\n")
    lab.ready()
    edit(lab, 1.0)
    lab.run()
    edit(lab, 1.1)
    lab.run()
    return Shell(lab)


def test_a_rerun_is_a_measurement_and_changes_neither_rows_nor_results_nor_the_best(
    lab: Lab, shell: Shell
) -> None:
    before = [(lab.folder / name).read_bytes() for name in ("results.tsv", "runs/r0002/result.json")]
    said = shell("rerun", "r0002", "--seeds", "2")
    assert "[r0002m1] val/loss 1.0966 with seed 1" in said
    assert "[r0002m2] val/loss 1.1012 with seed 2" in said
    assert "r0002: val/loss 1.1021, 1.0966, 1.1012 (3 seeds)" in said
    assert [(lab.folder / name).read_bytes() for name in ("results.tsv", "runs/r0002/result.json")] == before
    assert (lab.read("best.json")["run_id"], lab.read("best.json")["value"]) == ("r0001", 1.0021)
    assert "[r0002m3] val/loss 1.1007 with seed 3" in shell("rerun", "2"), "the next free seed"


def test_the_bests_values_are_kept_and_the_plain_rule_goes_by_the_first(lab: Lab, shell: Shell) -> None:
    shell("rerun", "r0001", "--seeds", "2")
    best = lab.read("best.json")
    assert (best["value"], best["values"]) == (1.0021, [1.0021, 0.9966, 1.0012])


def test_noise_tells_the_seeds_share_from_the_rest(lab: Lab, shell: Shell) -> None:
    said = shell("noise", "--runs", "3")
    assert "noise: ±0.00244 over seeds (3 df)" in said
    assert "with one seed: ±0, 100% of the variance is the seed's" in said
    assert "--verdict noise" in said
    view = json.loads(shell("noise", "--json"))
    assert (view["values"], view["same"]) == ([1.0021, 0.9966, 1.0012, 1.0007], [1.0021] * 4)
    assert lab.read("best.json")["values"] == [1.0021, 0.9966, 1.0012, 1.0007]


def test_a_script_that_ignores_its_seed_is_told(lab: Lab, shell: Shell) -> None:
    lab.write(SCRIPT.format(value=0.5, luck=0.0))
    lab.run()
    said = shell("noise", "--runs", "2")
    assert "the script ignores AR_SEED" in said
    assert "--verdict plain" in said


def test_what_cannot_be_launched_again_is_refused(lab: Lab, shell: Shell) -> None:
    lab.write("raise SystemExit(3)\n")
    lab.run()
    shell("rerun", "r0003", code=65)
    lab.get("session.stop")
    shell("rerun", "r0001", code=65)
    assert not list((lab.folder / "runs").glob("r*m*"))
