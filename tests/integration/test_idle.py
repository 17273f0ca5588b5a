"""Sessions with --measure-noise: idle places launch the best again, and give way to any run."""

import json
from typing import Any

import pytest

from ardaemon.core.layout import Experiment
from tests.integration.test_noise_verdict import SCRIPT, edit, measured
from tests.support import chains
from tests.support.lab import Lab, wait_until
from tests.support.machine import configured, with_gpus

# Reruns of the best wait until they are told to go on; its first launch does not.
HOLDS = """import os, pathlib, time
while os.environ["AR_RUN_ID"] not in ("r0001", "r0002") and not pathlib.Path("go").exists():
    time.sleep(0.01)
"""
LAUNCHES = ["r0001m0x2", "r0001m0x3", "r0001m1", "r0001m2", "r0001m3"]


def holding(lab: Lab, value: float = 1.0) -> None:
    lab.write(HOLDS + SCRIPT.format(value=value, luck=1.0))


def go(lab: Lab) -> None:
    (lab.project / "go").touch()


def values(lab: Lab) -> list[float | None]:
    found: list[float | None] = lab.read("best.json").get("values", [])
    return found


def under_way(lab: Lab) -> list[str]:
    """The runs on the board that a place is at work for."""
    return [run["run_id"] for run in lab.call("queue.list")["runs"] if run["state"] == "running"]


def gave_way(lab: Lab) -> Any:
    """The result of the first idle launch: its place is free, and taken, before that is there."""
    wait_until((lab.folder / "runs/r0001m1/result.json").exists, "the result")
    return lab.read("runs/r0001m1/result.json")


def begun(lab: Lab) -> None:
    """A session with its baseline, whose first idle launch is at work."""
    lab.ready(measure_noise=True)
    holding(lab)
    lab.run()
    wait_until(lambda: under_way(lab) == ["r0001m1"], "the idle launch")


def test_before_the_first_edit_a_plain_session_measures_the_noise_and_stops_then(lab: Lab) -> None:
    configured(lab, "cpu_slots = 2\n")
    lab.ready(measure_noise=True)
    edit(lab, 1.0)
    lab.run()
    wait_until(lambda: measured(lab) == LAUNCHES, "its launches")
    view = lab.get("noise.get")
    assert (view["values"], view["same"]) == ([1.0021, 0.9966, 1.0012, 1.0007], [1.0021] * 3)
    edit(lab, 1.1)
    assert lab.run()["verdict"] == "revert"
    assert measured(lab) == LAUNCHES
    assert lab.get("session.get")["session"]["counters"]["launches"] == 7


def test_a_launch_that_cannot_be_laid_out_is_told_and_made_after_the_next_run(lab: Lab) -> None:
    """Two fit; the disk refuses the first one."""
    configured(lab, "cpu_slots = 2\n")
    lab.ready(measure_noise=True)
    in_the_way = Experiment(lab.folder).version("r0001m1")
    in_the_way.mkdir(parents=True)
    edit(lab, 1.0)
    lab.run()
    wait_until(lambda: lab.events("idle place not used"), "it to be told")
    assert measured(lab) == []
    in_the_way.rmdir()
    edit(lab, 1.1)
    assert lab.run()["verdict"] == "revert"
    wait_until(lambda: measured(lab) == LAUNCHES, "all launches")
    assert not lab.events("a task at the side failed")


def test_a_launch_whose_record_is_broken_keeps_no_other_seed_from_being_launched(lab: Lab) -> None:
    configured(lab, "cpu_slots = 2\n")
    lab.ready(measure_noise=True)
    broken = lab.folder / "runs/r0001m1/run.json"
    broken.parent.mkdir()
    broken.write_text("{")
    edit(lab, 1.0)
    lab.run()
    wait_until(lambda: measured(lab) == sorted({*LAUNCHES} - {"r0001m1"}), "the other launches")
    assert broken.read_text() == "{"


def test_a_launch_on_the_only_place_gives_way_to_a_run_and_is_made_again(lab: Lab) -> None:
    configured(lab, "cpu_slots = 1\n")
    begun(lab)
    edit(lab, 1.1)
    assert lab.run()["verdict"] == "revert"
    ended = gave_way(lab)
    assert (ended["status"], ended["said"]) == (
        "interrupted",
        "no value with seed 1: gave way to a run that wanted its place",
    )
    go(lab)
    wait_until(lambda: "r0001m1x2" in measured(lab), "the next launch with that seed")
    wait_until(lambda: len(measured(lab)) == 6, "the others")
    assert lab.read("best.json")["values"] == [1.0021, 0.9966, 1.0012, 1.0007]
    assert [one.get("run_id") for one in lab.events("started")].count("r0001m1x2") == 1


def test_a_noise_session_measures_the_best_until_its_mean_is_known_well(lab: Lab) -> None:
    configured(lab, "cpu_slots = 2\n")
    lab.ready(verdict="noise", measure_noise=True)
    edit(lab, 1.0)
    lab.run()
    wait_until(lambda: len(lab.read("best.json")["values"]) >= 7, "seven values")
    edit(lab, 1.5)
    assert lab.run()["verdict"] == "revert"
    assert len(measured(lab)) == 6, "a variance of sigma²/7 is small enough"


def test_beside_a_run_another_place_is_used_and_no_run_gives_way(lab: Lab) -> None:
    configured(lab, "cpu_slots = 2\n")
    lab.ready(measure_noise=True)
    holding(lab)
    lab.run()
    wait_until(lambda: len(under_way(lab)) == 2, "two idle launches")
    lab.write("import pathlib, time\nwhile not pathlib.Path('go').exists():\n    time.sleep(0.01)\n")
    run_id = lab.submit()["run_id"]
    wait_until(lambda: run_id in under_way(lab), "the run, in the place of one of them")
    wait_until(lambda: len(under_way(lab)) == 2, "an idle launch beside it")
    lab.write("print('val/loss: 2')")
    assert lab.run()["verdict"] == "revert"
    assert run_id in under_way(lab), "it is a run like any other"
    go(lab)
    assert lab.wait(run_id)["result"]["status"] == "invalid"


def test_what_was_planned_is_not_launched_if_the_files_say_otherwise_by_now(lab: Lab) -> None:
    """Another daemon may have had the project since; here its best.json is another one, and nobody tells."""
    configured(lab, "cpu_slots = 1\n")
    lab.ready(measure_noise=True)
    other = lab.beside("q")
    other.init()
    other.session()
    waits = "import pathlib, time\nwhile not pathlib.Path('go').exists():\n    time.sleep(0.01)\n"
    lab.write(waits + SCRIPT.format(value=1.0, luck=1.0))
    run_id = lab.submit()["run_id"]
    other.write(waits + "print('val/loss: 1')")
    others = other.submit()["run_id"]
    go(lab)
    lab.wait(run_id)
    wait_until(lambda: others in under_way(other), "the place to be taken")
    (lab.folder / "best.json").write_text(json.dumps({**lab.read("best.json"), "rerun_failed": True}))
    go(other)
    other.wait(others)
    edit(lab, 1.1)
    assert lab.run()["verdict"] == "revert"
    assert measured(lab) == []


@pytest.mark.parametrize("killed", [False, True])
def test_an_idle_launch_ends_with_its_session_and_leaves_no_gap(lab: Lab, killed: bool) -> None:
    configured(lab, "cpu_slots = 1\n")
    begun(lab)
    if killed:
        lab.kill()
        lab.start()
        wait_until(lambda: under_way(lab) == ["r0001m1"], "it to be found, for it has outlived the daemon")
    lab.get("session.stop")
    wait_until(lambda: not lab.call("queue.list")["runs"], "its end")
    assert (lab.read("best.json").get("values") or []) == []
    go(lab)
    lab.session(resume="continue", measure_noise=True)
    wait_until(lambda: lab.read("best.json").get("values") == [1.0021, 0.9966, 1.0012, 1.0007], "the values")
    assert sorted(set(measured(lab)) - set(LAUNCHES)) == ["r0001m1x2"]


def test_a_daemon_that_is_killed_again_and_again_launches_no_seed_twice(lab: Lab) -> None:
    """What it had planned is planned anew by the next one, with nobody's help: no seed is lost either."""
    configured(lab, "cpu_slots = 2\n")
    lab.ready(verdict="noise", measure_noise=True)
    edit(lab, 1.0)
    mark = 'import os\nopen("marks", "a").write(os.environ["AR_RUN_ID"] + "\\n")\n'
    lab.write(mark + (lab.folder / "train.py").read_text())
    lab.run()
    for event in ("started", "ended", "committed"):
        seen = len(lab.events(event))

        def is_time(event: str = event, seen: int = seen) -> bool:
            return len(lab.events(event)) > seen or not lab.call("queue.list")["runs"]

        wait_until(is_time, f"the next {event}, or nothing that goes on")
        lab.kill()
        lab.start()
    wait_until(lambda: len(values(lab)) >= 7, "seven values")
    marks = (lab.project / "marks").read_text().splitlines()
    assert sorted(marks) == ["r0001", *(f"r0001m{seed}" for seed in range(1, 7))]


def test_an_idle_launch_keeps_no_chain_from_going_on_and_ends_then(lab: Lab) -> None:
    configured(lab, "cpu_slots = 1\n")
    lab.start()
    lab.init()
    chains.begin(lab, chain=2, settings={"measure_noise": True, "max_runs": 9})
    holding(lab)
    lab.run()
    wait_until(lambda: under_way(lab) == ["r0001m1"], "the idle launch")
    assert not chains.go_on(lab, force=True)["decision"].get("dropped")
    wait_until(lambda: not lab.call("queue.list")["runs"], "its end")
    assert lab.read("runs/r0001m1/result.json")["reason"] == "gave way to a run that wanted its place"
    session = lab.read(".ar-session.json")
    assert (session["live"], session["terminated_by"]) == (False, "chained")
    assert measured(lab) == ["r0001m1"]


def test_who_cancels_an_idle_launch_gets_no_other(lab: Lab) -> None:
    configured(lab, "cpu_slots = 1\n")
    begun(lab)
    lab.get("run.cancel", run_id="r0001m1")
    assert lab.wait("r0001m1")["result"]["status"] == "interrupted"
    edit(lab, 1.1)
    lab.run()
    assert measured(lab) == ["r0001m1"]
    assert not lab.call("queue.list")["runs"]


def test_a_launch_on_the_only_gpu_gives_way_too(lab: Lab) -> None:
    with_gpus(lab, 1)
    begun(lab)
    edit(lab, 1.1)
    assert lab.run()["verdict"] == "revert"
    assert gave_way(lab)["status"] == "interrupted"


def test_launches_for_idle_places_count_and_end_a_session_by_max_launches(lab: Lab) -> None:
    configured(lab, "cpu_slots = 1\n")
    lab.ready(measure_noise=True, max_launches=3)
    edit(lab, 1.0)
    lab.run()
    wait_until(lambda: not lab.get("session.get")["session"]["live"], "the third launch")
    wait_until(lambda: not lab.call("queue.list")["runs"], "what was begun meanwhile")
    assert lab.get("session.get")["session"]["terminated_by"] == "max_launches"
    assert (
        len([name for name in measured(lab) if lab.read(f"runs/{name}/result.json")["status"] == "ok"]) == 2
    )


def test_a_rerun_of_the_best_that_is_not_as_expected_is_told_to_a_person(lab: Lab) -> None:
    """The seventh value and those after it come from a machine that has changed."""
    configured(lab, "cpu_slots = 2\n")
    lab.ready(verdict="noise", measure_noise=True)
    slow = "import os\nchanged = 0.1 if os.path.exists('hot') else 0.0\n"
    lab.write(slow + SCRIPT.format(value="1.0 + changed", luck=1.0))
    lab.run()
    wait_until(lambda: len(lab.read("best.json")["values"]) >= 7, "seven values")
    (lab.project / "hot").touch()
    lab.get("run.rerun", run_id="r0001", environment=lab.environment)
    wait_until(lambda: lab.events("drift"), "the event")
    warnings = lab.get("status.get")["warnings"]
    assert [warning for warning in warnings if warning.startswith("r0001m7: 1.1015 with seed 7, ")]
    lab.get("session.stop")
    lab.session(resume="continue", verdict="noise")
    assert not lab.get("status.get")["warnings"], "a new session begins without it"
