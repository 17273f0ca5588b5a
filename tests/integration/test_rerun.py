"""`arctl rerun` and `arctl noise`: launches that get no verdict, and what they say."""

import errno
import json
from contextlib import closing

import pytest

from tests.integration.test_noise_verdict import SCRIPT, edit
from tests.support.lab import Lab, wait_until
from tests.support.machine import configured
from tests.support.shell import Shell
from tests.support.strikes import start_at_entry
from tests.support.terminal import Terminal


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
    assert "AR_SEED: r0001 gave different values with 4 seeds" in shell("doctor", code=None)
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
    assert "AR_SEED: r0003 gave the same value with 3 seeds: the script ignores it" in shell(
        "doctor", code=None
    )
    assert "--verdict plain" in said


def test_a_launch_without_a_value_says_why_and_the_others_count(lab: Lab, shell: Shell) -> None:
    fails = "import os\nassert os.environ['AR_SEED'] != '1', 'an unlucky seed'\n"
    lab.write(fails + SCRIPT.format(value=0.5, luck=1.0))
    lab.run()
    said = shell("noise", "--runs", "2")
    assert (
        "[r0003m1] no value with seed 1: exception:AssertionError an unlucky seed; arctl tail r0003m1" in said
    )
    assert "r0003: val/loss 0.5021, 0.5012 (2 seeds)" in said
    assert "noise: ±0.000636 over seeds (1 df)" in said


def test_a_launch_that_breaks_a_constraint_says_which(lab: Lab, shell: Shell) -> None:
    lab.get("session.set", given={"constraints": ["mem<=10"]})
    memory = "import os\nprint('mem:', 5 if os.environ['AR_SEED'] == '0' else 20)\n"
    lab.write(memory + SCRIPT.format(value=0.5, luck=1.0))
    lab.run()
    said = shell("rerun", "r0003", "--seeds", "1")
    assert "[r0003m1] no value with seed 1: constraint mem<=10 violated (20)" in said


def test_two_who_measure_at_once_launch_different_seeds(lab: Lab, shell: Shell) -> None:
    lab.call("queue.pause")
    both = [shell.start("noise", "--runs", "2") for _ in range(2)]
    names = [f"r0001m{name}" for name in ("0x2", "0x3", "0x4", "0x5", "1", "2", "3", "4")]
    wait_until(lambda: len(lab.call("queue.list")["runs"]) == 8, "what both want")
    assert sorted(run["run_id"] for run in lab.call("queue.list")["runs"]) == names
    lab.call("queue.resume")
    assert [shell.end(process)[0] for process in both] == [0, 0]
    assert json.loads(shell("noise", "--json"))["same"] == [1.0021] * 5


def test_ctrl_c_ends_the_launches_that_are_left(lab: Lab, shell: Shell) -> None:
    wait = "import os, time\nwhile os.environ['AR_RUN_ID'] == 'r0003m2':\n    time.sleep(0.01)\n"
    lab.write(wait + SCRIPT.format(value=0.5, luck=1.0))
    lab.run()
    with closing(Terminal()) as terminal:
        process = shell.start("noise", "--runs", "2", preexec_fn=terminal.take)
        assert process.stdout is not None
        assert process.stdout.readline() == "[r0003m1] val/loss 0.4966 with seed 1\n"
        wait_until(lambda: len(lab.call("queue.list")["runs"]) == 1, "the others' end")
        terminal.ctrl_c()
        code, _, err = shell.end(process)
    assert code == 13
    assert err == "interrupted: r0003m2; what the others say: arctl noise\n"
    wait_until(lambda: not lab.call("queue.list")["runs"], "its end")


def test_what_was_never_launched_leaves_no_gap_and_a_killed_client_ends_nothing(
    lab: Lab, shell: Shell
) -> None:
    lab.call("queue.pause")
    shell("rerun", "r0001", "--no-wait")
    lab.get("run.cancel", run_id="r0001m1")
    wait_until(lambda: not lab.call("queue.list")["runs"], "its end")
    process = shell.start("noise", "--runs", "1")
    wait_until(lambda: len(lab.call("queue.list")["runs"]) == 2, "its launches")
    process.kill()
    shell.end(process)
    lab.call("queue.resume")
    wait_until(lambda: not lab.call("queue.list")["runs"], "their end")
    view = json.loads(shell("noise", "--json"))
    assert (view["values"], view["same"]) == ([1.0021, 0.9966], [1.0021] * 2)
    assert lab.read("best.json")["values"] == [1.0021, 0.9966]


def test_where_the_disk_refuses_one_of_several_launches_those_before_it_are_queued(lab: Lab) -> None:
    """What is on disk is on the board, the answer says what is not, and its seed is free."""
    flag = start_at_entry(lab, "r0001m2", errno.EDQUOT)
    edit(lab, 1.0)
    lab.run()
    lab.call("queue.pause")
    process = Shell(lab).start("rerun", "r0001", "--seeds", "3", "--no-wait")
    code, out, err = Shell(lab).end(process)
    assert flag.exists()
    assert (code, out) == (0, "[r0001m1] queued\n")
    assert err.startswith("warning: only 1 of 3 launches are queued: "), err
    assert [run["run_id"] for run in lab.call("queue.list")["runs"]] == ["r0001m1"]
    assert Shell(lab)("rerun", "r0001", "--no-wait") == "[r0001m2] queued\n"


def test_values_of_other_conditions_are_not_compared(lab: Lab, shell: Shell) -> None:
    shell("noise", "--runs", "1")
    lab.get("session.stop")
    lab.session(resume="continue", ack=True, seconds=30)
    said = shell("noise", "--runs", "2")
    assert "r0001: val/loss 1.0021, 1.0012, 1.0007 (3 seeds)" in said
    assert "with one seed" in said


def test_without_a_best_there_is_nothing_to_measure(lab: Lab) -> None:
    configured(lab, "cpu_slots = 2\n")
    lab.ready()
    lab.write("raise SystemExit(3)\n")
    lab.run()
    process = Shell(lab).start("noise", "--runs", "2")
    code, out, err = Shell(lab).end(process)
    assert (code, out) == (65, "")
    assert "there is no best yet" in err
    assert "arctl run --wait" in err


def test_what_cannot_be_launched_again_is_refused(lab: Lab, shell: Shell) -> None:
    lab.write("raise SystemExit(3)\n")
    lab.run()
    shell("rerun", "r0003", code=65)
    lab.get("session.stop")
    shell("rerun", "r0001", code=65)
    assert not list((lab.folder / "runs").glob("r*m*"))


def test_what_is_said_of_the_noise_is_of_the_run_that_is_named(lab: Lab, shell: Shell) -> None:
    lab.write("raise SystemExit(3)\n")
    lab.run()
    assert "r0003 has no value that another launch could be compared with" in shell("noise", "r0003")
    shell("noise", "r0009", code=64)
    mend = f"one value tells nothing of the noise: arctl noise r0002 --runs 4 --expr {lab.folder.name}"
    assert mend in shell("noise", "2", "--expr", lab.folder.name)


def test_the_name_of_a_rerun_stands_for_the_version_that_it_launched(lab: Lab, shell: Shell) -> None:
    shell("rerun", "r0002")
    assert "[r0002m2] val/loss 1.1012 with seed 2" in shell("rerun", "r0002m1")
    assert "r0002: val/loss 1.1021, 1.0966, 1.1012 (3 seeds)" in shell("noise", "r0002m2")
    assert "train.py is that of r0002\n" in shell("restore", "r0002m1")
    assert lab.submit()["base"] == "r0002"
