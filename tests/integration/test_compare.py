"""`arctl compare`: two runs side by side, whatever became of them."""

import json
from typing import Any

import pytest

from tests.integration.test_noise_verdict import edit
from tests.support.lab import Lab, wait_until
from tests.support.machine import configured
from tests.support.shell import Shell

CURVE = "for value in (3.0, 2.0):\n    print('val/loss:', value)\n"


@pytest.fixture
def shell(lab: Lab) -> Shell:
    """A plain session with a best and a run that is worse, on the same seeds but for most of the luck."""
    configured(lab, "cpu_slots = 2\n")
    lab.ready()
    for value, luck in ((1.0, 1.0), (1.1, 0.4)):
        edit(lab, value, luck)
        lab.write(CURVE + (lab.folder / "train.py").read_text())
        lab.run()
    return Shell(lab)


def compared(shell: Shell, *words: str) -> Any:
    return json.loads(shell("compare", *words, "--json"))


def test_values_stand_side_by_side_by_seed_with_the_edit_and_both_curves(shell: Shell) -> None:
    lines = shell("compare", "2", "r0001").splitlines()
    assert lines[:3] == [
        "r0002 against r0001: val/loss, lower is better",
        "--- r0001/train.py",
        "+++ r0002/train.py",
    ]
    assert "seed 0   1.10084  1.0021   +0.09874" in lines
    assert "r0002 is worse by 0.09874 with one seed: that may be luck." in lines
    assert "Curves: r0002 as a line, r0001 as dots" in lines
    for run_id in ("r0001", "r0002"):
        advice = f"One value of {run_id} has no interval: arctl rerun {run_id} --seeds 3"
        assert advice in lines
        shell(*advice.partition("arctl ")[2].split())
    lines = shell("compare", "2", "best").splitlines()
    assert "seed 3        1.10028             1.0007               +0.09958" in lines
    assert "mean          1.10006             1.00015              +0.09991" in lines
    assert (
        "r0002 is worse by 0.09991, over the 4 seeds that both have: luck alone seldom makes that much."
        in lines
    )
    data = compared(shell, "2", "1")
    assert [one["seed"] for one in data["values"]["values"]] == [0, 1, 2, 3]
    # The standard deviation is 0.001462, of the mean half of it; t with 3 degrees of freedom is 2.353.
    assert data["difference"]["high"] == pytest.approx(0.09991 + 2.353 * 0.001462 / 2, abs=1e-6)
    assert [len(points) for points in data["curves"]] == [3, 3]
    assert data["diff"]["lines"][0] == "--- r0001/train.py"


def test_a_run_without_a_value_one_at_work_one_under_other_conditions_and_none_at_all(
    lab: Lab, shell: Shell
) -> None:
    lab.write("raise SystemExit(3)\n")
    lab.run()
    lines = shell("compare", "3", "1").splitlines()
    assert "No value to compare: r0003 has none." in lines
    assert "Curves: r0003 as a line (none was read), r0001 as dots" in lines
    assert any(line.startswith("verdict") and "crash" in line for line in lines)
    same = shell("compare", "2", "2").splitlines()
    assert "train.py is the same in both." in same
    assert "It is the same run twice." in same
    assert "Curve: r0002 as a line" in same

    lab.write("import pathlib, time\nwhile not pathlib.Path('go').exists():\n    time.sleep(0.01)\n")
    run_id = lab.submit()["run_id"]
    wait_until(lambda: lab.get("run.get", run_id=run_id)["state"] == "running", "it to run")
    at_work = shell("compare", run_id, "1").splitlines()
    assert any(line.startswith(f"[{run_id}] still running (") for line in at_work)
    assert f"No value to compare: {run_id} has none." in at_work
    assert compared(shell, "1", run_id)["states"] == ["committed", "running"]
    (lab.project / "go").touch()
    lab.wait(run_id)

    lab.get("session.stop")
    lab.session(seconds=21.0, resume="continue", ack=True)
    edit(lab, 0.5)
    other = lab.run()["run_id"]
    apart = shell("compare", other, "1").splitlines()
    assert any(line.startswith("They were measured under other conditions") for line in apart)
    assert compared(shell, other, "1")["difference"] is None
    assert not any(line.startswith("Curve") for line in shell("compare", other, other).splitlines()), (
        "one value"
    )

    shell("rerun", "1")
    assert compared(shell, "1", "r0001m1")["other"] == "r0001m1"
    for words in (("compare", "0", "1"), ("compare", "1", "0"), ("noise", "0"), ("rerun", "0")):
        _, _, told = shell.end(shell.start(*words))
        assert "r0000 is train.py as it was at the beginning" in told

    shell("compare", "1", "r0099", code=64)
    shell("compare", "1", "base", code=64)
    shell("compare", "1", code=64)
