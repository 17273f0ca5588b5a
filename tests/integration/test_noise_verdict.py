"""A session with --verdict noise: launches with several seeds, of the run and of the best."""

import shutil
from typing import Any

import pytest

from arctl.render.run import verdict_line
from ardaemon.core.errors import UsageError
from tests.support.lab import Lab, wait_until
from tests.support.machine import configured
from tests.support.pages import data_of

# The luck of each seed, and what an edit adds to it. An edit keeps the luck, as edits of hyper-parameters do.
SCRIPT = """import os
LUCK = [0.0021, -0.0034, 0.0012, 0.0007, -0.0019, 0.0030, -0.0008, 0.0015]
seed = int(os.environ["AR_SEED"])
print("val/loss:", round({value} + {luck} * LUCK[seed % 8], 6))
"""
# What the launches of a version with 0.985 give: better by six times the noise, and confirmed once.
KEPT = [{"seed": 0, "value": 0.9871}, {"seed": 1, "value": 0.9816}]


def edit(lab: Lab, value: float, luck: float = 1.0) -> None:
    lab.write(SCRIPT.format(value=value, luck=luck))


def noisy(lab: Lab, **settings: Any) -> Lab:
    lab.ready(verdict="noise", **settings)
    edit(lab, 1.0)
    assert lab.run()["verdict"] == "advance"
    return lab


def measured(lab: Lab) -> list[str]:
    return sorted(path.name for path in (lab.folder / "runs").glob("r*m*") if (path / "result.json").exists())


def test_the_baseline_is_launched_four_times_and_its_own_result_stays(lab: Lab) -> None:
    noisy(lab)
    before = (lab.folder / "runs/r0001/result.json").read_bytes()
    wait_until(lambda: len(measured(lab)) == 3, "its reruns")
    best = lab.read("best.json")
    assert (best["run_id"], best["values"]) == ("r0001", [1.0021, 0.9966, 1.0012, 1.0007])
    assert (lab.folder / "runs/r0001/result.json").read_bytes() == before
    rows = (lab.folder / "results.tsv").read_text().splitlines()
    assert len(rows) == 2, "a rerun has no row"


def test_a_new_session_says_nothing_of_the_noise_before_its_first_verdict(lab: Lab) -> None:
    noisy(lab)
    edit(lab, 0.5)
    lab.run()
    lab.settled()
    assert "were confirmations" in lab.read(".ar-session.json")["noise"]
    lab.get("session.stop")
    lab.session("fresh")
    assert not lab.read(".ar-session.json").get("noise"), "there is no best whose noise it could be"


@pytest.mark.parametrize("budget", [0.0, 1.0])
def test_the_ends_of_the_noise_budget_are_refused_as_what_they_are(lab: Lab, budget: float) -> None:
    lab.start()
    lab.init()
    with pytest.raises(UsageError, match="more than 0 and less than 1"):
        lab.session(verdict="noise", noise_budget=budget)


def test_a_best_that_is_made_anew_has_the_values_of_its_later_launches(lab: Lab) -> None:
    noisy(lab)
    wait_until(lambda: len(measured(lab)) == 3, "its reruns")
    # The end of a commit looks at best.json as well, and would put it right before anybody asks.
    wait_until(lambda: not lab.call("queue.list")["runs"], "the end of the last one's commit")
    before = lab.read("best.json")
    (lab.folder / "best.json").write_text("{")
    assert any("rebuilt from r0001" in warning for warning in lab.get("status.get")["warnings"])
    assert lab.read("best.json") == before
    edit(lab, 0.5)
    assert lab.run()["verdict"] == "advance"
    assert len(measured(lab)) == 3, "no seed is launched again"


def test_a_clear_win_advances_and_a_clear_loss_reverts_and_the_line_says_how_sure(lab: Lab) -> None:
    noisy(lab)
    edit(lab, 1.5)
    worse = lab.run()
    assert (worse["verdict"], worse["attempts"]) == ("revert", 1)
    assert worse["p_better"] < 0.05
    edit(lab, 0.5)
    better = lab.run()
    assert better["verdict"] == "advance"
    assert better["p_better"] > 0.95
    assert better["gain"] == pytest.approx(0.5, abs=0.01)
    assert "est. (P=" in better["said"]
    assert 0 < better["estimate_sd"] < 0.01
    best = lab.read("best.json")
    assert best["run_id"] == better["run_id"]
    assert best["value"] == better["estimate"] == pytest.approx(0.5, abs=0.01)
    assert [one["run_id"] for one in best["earlier"]] == ["r0001"]
    the_report_says_how_sure_the_best_is(lab.get("report.get", format="json")["summary"], best)
    (again,) = lab.get("run.rerun", run_id=worse["run_id"], environment=lab.environment)["runs"]
    lab.wait(again)
    (link,) = data_of(lab.get("report.page")["html"].encode())["links"]
    launches = {number: values for number, values, *_ in link["launches"]}
    assert launches[2] == [1.5021, 1.4966], "a run that is no best, launched again"
    assert launches[3] == best["values"]


def the_report_says_how_sure_the_best_is(summary: Any, best: Any) -> None:
    luck, (baseline, advance) = summary["luck"], summary["advances"]
    assert luck["low"] < luck["mean"] == best["value"] < luck["high"]
    assert (luck["advances"], luck["values"]) == (1, len(best["values"]))
    assert luck["luckiest"]["value"] == min(value for value in best["values"] if value is not None)
    assert (baseline["value"], baseline["launches"]) == (pytest.approx(1.00015), 4)
    assert (advance["value"], advance["low"]) == (best["value"], pytest.approx(luck["low"]))
    assert advance["p_better"] > 0.95


def test_luck_alone_does_not_advance(lab: Lab) -> None:
    """No edit changes anything but the luck: by the plain rule every second one would win."""
    noisy(lab)
    for luck in (-1.0, 0.3, -0.5):
        edit(lab, 1.0, luck)
        assert lab.run()["verdict"] == "revert"


def test_the_best_is_launched_also_if_the_daemon_is_killed_as_the_baseline_is_committed(lab: Lab) -> None:
    """Its entry is the last of it: as long as that is there, the launches are due, whoever asks."""
    lab.ready(verdict="noise")
    edit(lab, 1.0)
    wait = "import pathlib, time\nwhile not pathlib.Path('go').exists():\n    time.sleep(0.01)\n"
    lab.write(wait + (lab.folder / "train.py").read_text())
    lab.submit()
    wait_until(lambda: lab.get("run.get", run_id="r0001")["state"] == "running", "its launch")
    lab.call("queue.pause")
    entry = next((lab.home / "active").glob("*.json"))
    kept = entry.read_bytes()
    (lab.project / "go").touch()
    assert lab.wait("r0001")["result"]["verdict"] == "advance"
    lab.kill()
    for launch in (lab.folder / "runs").glob("r0001m*"):
        shutil.rmtree(launch)
    for other in (lab.home / "active").glob("*.json"):
        other.unlink()
    entry.write_bytes(kept)
    lab.start()
    wait_until(lambda: lab.call("queue.list")["runs"], "what was left to be taken up")
    assert [run["run_id"] for run in lab.call("queue.list")["runs"]] == ["r0001m1", "r0001m2", "r0001m3"]
    wait_until(lambda: not entry.exists(), "the end of its commit")
    lab.call("queue.resume")
    wait_until(lambda: len(measured(lab)) == 3, "its reruns")


def test_a_shorter_version_with_the_bests_values_wins_where_that_is_preferred_and_checks_come_after(
    lab: Lab,
) -> None:
    """The best's mean is no value that a launch gives: seed by seed the two are equal."""
    noisy(lab, prefer_shorter=True, checks=["test ! -e bad"])
    wait_until(lambda: len(measured(lab)) == 3, "the best's reruns")
    long = (lab.folder / "train.py").read_text()
    lab.write(f"{long}# a comment\n")
    assert lab.run()["verdict"] == "revert", "it is longer"
    (lab.project / "bad").touch()
    shorter = long.replace("import os\n", "").replace("os.environ", "__import__('os').environ")
    lab.write(shorter)
    failed = lab.run()
    assert (failed["verdict"], failed["reason"].split(":")[0]) == ("revert", "check_failed")
    (lab.project / "bad").unlink()
    lab.write(shorter)
    won = lab.run()
    assert (won["verdict"], won["reason"], won.get("p_better")) == (
        "advance",
        "equal, and its train.py is shorter",
        None,
    )
    assert won["said"] == "val/loss is equal, and its train.py is shorter"
    best = lab.read("best.json")
    assert (best["run_id"], best.get("p_better")) == (won["run_id"], None)
    assert "expected false advances 0.0 of 0" in lab.get("session.get")["session"]["noise"], (
        "it spends no budget"
    )


@pytest.mark.parametrize("event", ["ended", "committed"])
def test_a_daemon_that_is_killed_all_the_time_gives_the_same_verdict(lab: Lab, event: str) -> None:
    noisy(lab)
    edit(lab, 0.985)
    run_id = lab.submit()["run_id"]
    result = lab.folder / "runs" / run_id / "result.json"
    while not result.exists():
        seen = len(lab.events(event))
        wait_until(lambda seen=seen: len(lab.events(event)) > seen or result.exists(), "the next event")  # type: ignore[misc]
        lab.kill()
        lab.start()
    told = lab.wait(run_id)["result"]
    assert (told["verdict"], told["values"]) == ("advance", KEPT), told["said"]
    best = lab.read("best.json")
    assert best["run_id"] == run_id
    assert best["earlier"] == [{"run_id": "r0001", "values": [1.0021, 0.9966, 1.0012, 1.0007]}]
    rows = (lab.folder / "results.tsv").read_text().splitlines()[1:]
    assert [row.split("\t")[0] for row in rows] == ["r0001", run_id]
    assert lab.get("session.get")["session"]["counters"]["launches"] == 6


def test_a_confirmation_that_crashes_is_made_once_more_with_the_next_seed(lab: Lab) -> None:
    noisy(lab)
    edit(lab, 0.985)
    lab.write("import os\nassert os.environ['AR_SEED'] != '1'\n" + (lab.folder / "train.py").read_text())
    result = lab.run()
    values = [KEPT[0], {"seed": 1, "status": "crash"}, {"seed": 2, "value": 0.9862}]
    assert (result["verdict"], result["values"]) == ("advance", values), result["said"]


def test_a_second_one_that_crashes_makes_the_run_unstable(lab: Lab) -> None:
    """A launch that failed before it printed what a constraint is about has broken none by that."""
    noisy(lab, constraints=["val/loss<=1.1"])
    edit(lab, 0.985)
    lab.write("import os\nassert os.environ['AR_SEED'] == '0'\n" + (lab.folder / "train.py").read_text())
    result = lab.run()
    assert (result["status"], result["verdict"]) == ("ok", "revert")
    assert result["reason"] == "unstable: two reruns failed"
    assert verdict_line(result) == "[r0002] revert: unstable: two reruns failed"
    assert result["attempts"] == 3
    assert lab.read("best.json")["run_id"] == "r0001"


def test_a_confirmation_that_breaks_a_constraint_reverts_the_run(lab: Lab) -> None:
    noisy(lab, constraints=["val/loss<=1.1"])
    edit(lab, 0.985)
    worse = "import os\nif os.environ['AR_SEED'] == '1':\n    print('val/loss: 1.2')\n    raise SystemExit\n"
    lab.write(worse + (lab.folder / "train.py").read_text())
    result = lab.run()
    assert (result["verdict"], result["attempts"]) == ("revert", 2), result["said"]
    assert result["reason"] == "constraint val/loss<=1.1 violated: 1.2"
    assert result["said"] == "attempt 2 (seed 1) broke a constraint"
    assert result["values"] == [KEPT[0], {"seed": 1, "value": 1.2}]
    assert verdict_line(result) == (
        "[r0002] revert: constraint val/loss<=1.1 violated (1.2) — attempt 2 (seed 1) broke a constraint"
    )
    assert lab.read("best.json")["run_id"] == "r0001"


def test_in_what_order_the_launches_of_the_best_end_changes_nothing(lab: Lab) -> None:
    """The launch with seed 1 ends last: until then its place is empty, and the others stay at theirs."""
    configured(lab, "cpu_slots = 4\n")
    lab.ready(verdict="noise")
    edit(lab, 1.0)
    hold = (
        "import os, pathlib, time\nwhile os.environ['AR_SEED'] == '1' and not pathlib.Path('go').exists():\n"
    )
    lab.write(f"{hold}    time.sleep(0.01)\n{(lab.folder / 'train.py').read_text()}")
    lab.run()
    wait_until(lambda: measured(lab) == ["r0001m2", "r0001m3"], "the later launches")
    assert lab.read("best.json")["values"] == [1.0021, None, 1.0012, 1.0007]
    edit(lab, 0.985)
    run_id = lab.submit()["run_id"]
    why = "the best is launched once more first (r0001m1)"
    wait_until(lambda: lab.get("run.get", run_id=run_id)["why"] == why, "it to wait", 8)
    (lab.project / "go").touch()
    result = lab.wait(run_id)["result"]
    assert lab.read("best.json")["earlier"][0]["values"] == [1.0021, 0.9966, 1.0012, 1.0007]
    assert (result["verdict"], result["values"]) == ("advance", KEPT), result["said"]


@pytest.mark.parametrize("killed", [False, True])
def test_a_run_that_waits_for_its_confirmation_is_undecided_when_the_session_ends(
    lab: Lab, killed: bool
) -> None:
    noisy(lab)
    wait_until(lambda: len(measured(lab)) == 3, "the best's reruns")
    edit(lab, 0.985)
    wait = "import pathlib, time\nwhile not pathlib.Path('go').exists():\n    time.sleep(0.01)\n"
    lab.write(wait + (lab.folder / "train.py").read_text())
    run_id = lab.submit()["run_id"]
    wait_until(lambda: lab.get("run.get", run_id=run_id)["state"] == "running", "its first launch")
    lab.call("queue.pause")
    (lab.project / "go").touch()
    wait_until(lambda: lab.events("again"), "its confirmation to wait")
    lab.get("session.stop")
    if killed:
        lab.kill()
        lab.start()
    result = lab.wait(run_id)["result"]
    assert (result["status"], result["verdict"], result["values"]) == ("ok", "revert", KEPT[:1])
    assert result["reason"].startswith("undecided")


def test_a_run_that_waits_for_the_best_is_undecided_when_the_session_ends(lab: Lab) -> None:
    configured(lab, "cpu_slots = 4\n")
    lab.ready(verdict="noise")
    edit(lab, 1.0)
    hold = (
        "import os, pathlib, time\nwhile os.environ['AR_SEED'] != '0' and not pathlib.Path('go').exists():\n"
    )
    lab.write(f"{hold}    time.sleep(0.01)\n{(lab.folder / 'train.py').read_text()}")
    lab.run()
    edit(lab, 0.5)
    run_id = lab.submit()["run_id"]
    why = "the best is launched once more first (r0001m1)"
    wait_until(lambda: lab.get("run.get", run_id=run_id)["why"] == why, "it to wait")
    lab.get("session.stop")
    assert lab.wait(run_id)["result"]["reason"].startswith("undecided")
    wait_until(lambda: (lab.folder / "runs/r0001m1/result.json").exists(), "the end of the launch")
    wait_until(lambda: len(measured(lab)) == 3, "the end of the others")
    best = lab.read("best.json")
    assert (best["values"], best["rerun_failed"]) == ([1.0021, None, None, None], False)
    (lab.project / "go").touch()
    lab.session(resume="continue", verdict="noise")
    edit(lab, 0.5)
    assert lab.run()["verdict"] == "advance", "other seeds tell as well"


@pytest.mark.promise("noise")
def test_what_a_rebuilt_best_has_forgotten_is_read_from_the_launches_and_none_is_made_again(lab: Lab) -> None:
    noisy(lab)
    wait_until(lambda: len(measured(lab)) == 3, "the best's reruns")
    (lab.folder / "best.json").unlink()
    edit(lab, 0.5)
    assert lab.run()["verdict"] == "advance"
    values = [1.0021, 0.9966, 1.0012, 1.0007]
    assert lab.read("best.json")["earlier"] == [{"run_id": "r0001", "values": values}]
    assert [event.get("run_id") for event in lab.events("started")].count("r0001m1") == 1


def test_under_other_conditions_what_was_measured_before_counts_no_more(lab: Lab) -> None:
    noisy(lab)
    wait_until(lambda: len(measured(lab)) == 3, "the best's reruns")
    lab.get("session.stop")
    lab.session(resume="continue", ack=True, verdict="noise", seconds=30)
    edit(lab, 0.5)
    result = lab.run()
    assert result["verdict"] == "advance", result["said"]
    assert lab.read("best.json")["earlier"][0]["values"][:4] == [1.0021, None, None, None]
    assert "r0001m0" in measured(lab), "the best is launched anew"


def test_a_threshold_that_one_value_touches_is_not_met_before_more_tell(lab: Lab) -> None:
    lab.ready(verdict="noise", threshold=1.0)
    edit(lab, 1.002, -1.0)  # 0.9999 with the first seed, and 1.002 in the mean
    assert lab.run()["should_terminate"] is False
    wait_until(lambda: len(measured(lab)) == 3, "the best's reruns")
    edit(lab, 0.9)
    result = lab.run()
    assert result["verdict"] == "advance"
    assert result["terminated_by"] == "primary_threshold"


def test_launches_are_counted_and_limited_with_the_confirmations_among_them(lab: Lab) -> None:
    lab.ready(verdict="noise", max_launches=4)
    edit(lab, 1.0)
    lab.run()
    wait_until(lambda: not lab.get("session.get")["session"]["live"], "the fourth launch")
    assert lab.get("session.get")["session"]["terminated_by"] == "max_launches"
    wait_until(
        lambda: not lab.call("queue.list")["runs"], "the end of its commit, which ends the session first"
    )
    assert len(measured(lab)) == 3


@pytest.mark.parametrize(
    "settings",
    [{"max_runs": 9}, {"plateau": 9}, {"checks": ["true"]}, {"exec": "live"}, {"max_launches": 30}],
)
def test_a_verdict_waits_for_the_best_on_the_only_place_whatever_else_the_session_asks(
    lab: Lab, settings: dict[str, Any]
) -> None:
    """A run that is judged may end the session by a limit, and keeps its place for checks, otherwise."""
    noisy(lab, **settings)
    edit(lab, 0.5)
    assert lab.run()["verdict"] == "advance"
