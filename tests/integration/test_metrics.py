"""Metrics from the files that training writes, through a real daemon: whose they are, which value counts."""

import json
import os
import sys
from typing import Any

import pytest

from tests.support.jobs import launched
from tests.support.lab import Lab, wait_until
from tests.support.machine import configured
from tests.support.run_json import of_another_boot
from tests.support.shell import Shell

trust = pytest.mark.promise("trust")

# Writes rows of (step, val/loss) where it is told, as a logger does; prints nothing that is a metric.
ROWS = """import os, pathlib
path = pathlib.Path(os.path.expandvars({path!r}))
path.parent.mkdir(parents=True, exist_ok=True)
with path.open("a") as file:
    if file.tell() == 0:
        print("step,val/loss", file=file)
    for step, value in {rows}:
        print(step, value, sep=",", file=file)
"""
# Goes on until the file `go` is there.
WAITING = """import os, pathlib, time
run = pathlib.Path(os.environ["AR_RUN_DIR"])
(run / "logs" / "v0").mkdir(parents=True)
with (run / "logs" / "v0" / "metrics.jsonl").open("a", buffering=1) as file:
    file.write('{"val/loss": 0.75, "step": 1}\\n')
    while not pathlib.Path(GO).exists():
        time.sleep(0.02)
    file.write('{"val/loss": 0.5, "step": 2}\\n')
"""
OWN = "$AR_RUN_DIR/lightning_logs/version_0/metrics.csv"


def rows(*values: float, path: str = OWN) -> str:
    return ROWS.format(path=path, rows=list(enumerate(values, 1)))


def tried(lab: Lab, *values: float, path: str = OWN) -> dict[str, Any]:
    lab.write(rows(*values, path=path))
    return lab.run()


def test_a_file_in_the_runs_own_folder_needs_no_setting(lab: Lab) -> None:
    lab.ready()
    first = tried(lab, 3, 1, 2)
    assert (first["verdict"], first["primary"]["value"], first["counted"]) == ("advance", 2.0, "last@3")
    assert first["metrics_source"] == "csv lightning_logs/version_0/metrics.csv (log: the log is empty)"
    curve = (lab.folder / "runs/r0001/a1/curve.jsonl").read_text().splitlines()
    assert [json.loads(line)["value"] for line in curve] == [3.0, 1.0, 2.0]
    assert tried(lab, 1, 2.5)["verdict"] == "revert"


@pytest.mark.parametrize(("value", "counts", "counted"), [("best", 1.0, "best@2"), (1, 3.0, "at 1@1")])
def test_which_value_counts_is_the_sessions(lab: Lab, value: str | int, counts: float, counted: str) -> None:
    lab.ready(value=value)
    result = tried(lab, 3, 1, 2)
    assert (result["primary"]["value"], result["counted"]) == (counts, counted)
    assert lab.read("runs/r0001/run.json")["settings"]["value"] == value
    assert lab.read("best.json")["value"] == counts


def test_another_way_to_count_is_another_condition(lab: Lab) -> None:
    lab.ready()
    tried(lab, 3, 1, 2)
    lab.get("session.stop")
    with pytest.raises(Exception, match="measured under other settings"):
        lab.session(value="best")


@pytest.mark.parametrize("newer_by_s", [-1000, 100_000])
def test_an_output_folder_that_every_run_uses_lends_no_run_anothers_value(lab: Lab, newer_by_s: int) -> None:
    """Whatever its time says: clocks are set, and filesystems of other hosts have their own."""
    lab.ready(metrics="csv", metric_path="out/*.csv")
    assert tried(lab, 1, path="out/first.csv")["primary"]["value"] == 1.0
    first = lab.project / "out/first.csv"
    when = first.stat().st_mtime + newer_by_s
    os.utime(first, (when, when))
    result = tried(lab, path="elsewhere/x.csv")
    assert (result["status"], result["primary"]["value"]) == ("invalid", None)
    assert "none of them written by this run" in result["reason"]
    assert tried(lab, 0.5, path="out/second.csv")["primary"]["value"] == 0.5


def test_a_file_that_every_run_adds_to_gives_each_its_own_rows(lab: Lab) -> None:
    lab.ready(metric_path="out/all.csv", value="best")
    assert tried(lab, 1, 2, path="out/all.csv")["primary"]["value"] == 1.0
    assert tried(lab, 4, 3, path="out/all.csv")["primary"]["value"] == 3.0


def test_runs_that_write_in_one_place_wait_for_each_other(lab: Lab) -> None:
    configured(lab, "cpu_slots = 4\n")
    go = lab.root / "go"
    lab.ready(metric_path="out/*.jsonl")
    first = launched(lab, WAITING.replace("GO", repr(str(go))))
    second = lab.submit()["run_id"]
    why = lab.get("run.get", run_id=second)["why"]
    assert why.startswith("its experiment has one run at a time (a path without {run_dir}")
    assert why.endswith(f"{first} is at work")
    go.touch()
    lab.wait(second)


# A metric command that prints its value once the file `go` is there.
SLOW = """import pathlib, time
while not pathlib.Path(GO).exists():
    time.sleep(0.02)
print('{"val/loss": 0.5}')
"""


@pytest.mark.parametrize("settings", [{"checkpoint_glob": "out/*.pt"}, {"exec": "live"}])
def test_runs_in_one_place_wait_until_what_the_one_before_has_left_is_judged(
    lab: Lab, settings: dict[str, Any]
) -> None:
    """The next one would write over it, or lose the file that it runs to whoever clears the place."""
    configured(lab, "cpu_slots = 4\n")
    go, command = lab.root / "go", lab.root / "slow.py"
    command.write_text(SLOW.replace("GO", repr(str(go))))
    lab.ready(metrics="custom", metric_command=f"{sys.executable} {command}", **settings)
    first, second = (lab.submit(submit_id=name)["run_id"] for name in ("1", "2"))
    wait_until(lambda: lab.get("run.get", run_id=first)["state"] == "exited", "the first one's end")
    reads = "its metrics are read"
    wait_until(lambda: lab.get("run.get", run_id=first)["why"] == reads, "it to say what takes so long")
    assert f"{first} exited: {reads}" in Shell(lab)("queue")
    assert f"running: {first} exited: {reads}" in Shell(lab)("status", "--compact")
    why = "one of it is being judged"
    wait_until(
        lambda: why in (lab.get("run.get", run_id=second)["why"] or ""), "the second one to wait for that"
    )
    assert lab.get("run.get", run_id=second)["state"] == "queued"
    go.touch()
    assert lab.wait(second)["result"]["status"] == "ok"


def test_the_live_value_is_seen_in_a_file_too(lab: Lab) -> None:
    go = lab.root / "go"
    lab.ready()
    run_id = launched(lab, WAITING.replace("GO", repr(str(go))))
    wait_until(lambda: lab.get("run.get", run_id=run_id)["latest"] == 0.75, "the live value")
    go.touch()
    result = lab.wait(run_id)["result"]
    assert (result["primary"]["value"], result["counted"]) == (0.5, "last@2")


def test_what_the_script_prints_counts_before_what_it_leaves_unless_a_path_is_named(lab: Lab) -> None:
    lab.ready()
    lab.write(rows(3) + "print('val/loss: 4')\n")
    assert (result := lab.run())["primary"]["value"] == 4.0
    assert result["metrics_source"] == "log"
    lab.get("session.stop")
    lab.session(ack=True, metric_path="{run_dir}/**/*.csv")
    lab.write(rows(3) + "print('val/loss: 4')\n")
    assert lab.run()["primary"]["value"] == 3.0


@pytest.mark.promise("host-restart")
@pytest.mark.parametrize("settings", [{}, {"metrics": "jsonl"}, {"metric_path": "{run_dir}/**/*.jsonl"}])
def test_files_that_a_reboot_may_have_torn_are_not_read(lab: Lab, settings: dict[str, str]) -> None:
    """Only the log is synced before a run counts as ended."""
    lab.ready(**settings)
    go = lab.root / "go"
    run_id = launched(lab, WAITING.replace("GO", repr(str(go))))
    lab.kill()
    go.touch()
    wait_until((lab.folder / f"runs/{run_id}/a1/exit.json").exists, "the shim's record")
    of_another_boot(lab, run_id)
    lab.start()
    result = lab.wait(run_id)["result"]
    assert (result["status"], result["reason"]) == ("crash", "host_restart")


def test_the_client_has_an_option_for_each_of_it(lab: Lab) -> None:
    lab.start()
    lab.init()
    shell = Shell(lab)
    options = ("--metrics", "csv", "--metric-path", "{run_dir}/*.csv", "--value")
    _, _, said = shell.end(shell.start("session", "start", "--seconds", "9", *options, "first"))
    assert "'first' is not last, best or a step" in said
    shell("session", "start", "--seconds", "9", *options, "200")
    told = lab.get("session.get")["session"]["settings"]
    assert (told["metrics"], told["metric_path"], told["value"]) == ("csv", "{run_dir}/*.csv", 200)


@trust
def test_links_that_go_in_a_circle_do_not_hold_up_the_verdict(lab: Lab) -> None:
    """Two of them make so many paths that a search through all of them never ends."""
    circles = 'for name in "ab":\n    os.symlink(".", os.environ["AR_RUN_DIR"] + "/" + name)\n'
    lab.ready()
    lab.write(rows(2) + circles)
    result = lab.run()
    assert (result["verdict"], result["primary"]["value"]) == ("advance", 2.0)
