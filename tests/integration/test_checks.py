"""A win is kept only after the session's checks: on the run's own place, and again after a kill."""

import json
import os
import shutil
import signal
import sys
from contextlib import closing
from typing import Any

import pytest

from ardaemon.core.errors import RunnerNotFound, SealBroken
from tests.support.chains import CHILD, folder, go_on, parent
from tests.support.jobs import alive, children_of, launched
from tests.support.lab import SLUG, Lab, wait_until
from tests.support.machine import configured
from tests.support.shell import UNTIL_TOLD, Shell
from tests.support.terminal import Terminal

# Says no to a train.py that cheats.
CHECK = """import os, pathlib, sys
run_dir = pathlib.Path(sys.argv[1])
assert run_dir == pathlib.Path(os.environ["AR_RUN_DIR"])
with open("asked", "a") as file:
    file.write(os.environ["AR_RUN_ID"] + "\\n")
print("looking", flush=True)
if "cheat" in (run_dir / "train.py").read_text():
    print("\\x1b[31mthe metric is copied\\x1b[0m\\n", file=sys.stderr)
    sys.exit(3)
"""
# Stays until it is told to go, with a child in a session of its own.
STAYS = """import os, pathlib, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
if os.fork() == 0:
    os.setsid()
with open("pids", "a") as file:
    file.write(f"{os.getpid()}\\n")
while not os.path.exists("go"):
    time.sleep(0.02)
"""
# Stays too: a shell, for an interpreter may need more than its second to begin.
LATE = """trap "" TERM
setsid sh -c 'echo $$ >> pids; exec sleep 60' &
echo $$ >> pids
exec sleep 60
"""
# Stays too, and leaves a word when it is asked to end.
CLEANS_UP = """import pathlib, os, sys, signal, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit(pathlib.Path("cleaned").touch()))
pathlib.Path("pids").write_text(f"{os.getpid()}\\n")
time.sleep(60)
"""


def ready(lab: Lab, script: str = CHECK, **settings: Any) -> None:
    configured(lab, "grace = 0.5\n")
    (lab.project / "check.py").write_text(script)
    lab.ready(checks=[f"{sys.executable} check.py {{run_dir}}"], **settings)


def asked(lab: Lab) -> list[str]:
    """The runs that were checked, in order."""
    path = lab.project / "asked"
    return path.read_text().split() if path.exists() else []


def at_work(lab: Lab, count: int = 2) -> list[int]:
    """The processes of a check that stays, once they are there; `count`: of all checks so far."""
    path = lab.project / "pids"
    wait_until(lambda: path.exists() and path.read_text().count("\n") == count, "the check's processes")
    return [int(pid) for pid in path.read_text().split()][-2:]


@pytest.mark.promise("checks")
def test_a_win_that_fails_its_check_is_reverted_and_one_that_passes_is_kept(lab: Lab) -> None:
    ready(lab, plateau=9)
    assert lab.tried(1.0)["verdict"] == "advance"
    lab.write("# cheat\nprint('val/loss: 0.5')\n")
    shown = Shell(lab)("run", "--wait")
    assert shown.splitlines()[2:] == [
        "[r0002] revert: check_failed: the metric is copied — val/loss 0.5 vs best 1 @ r0001",
        "[r0002] continue: plateau 1/9",
    ]
    result = lab.read("runs/r0002/result.json")
    assert (result["status"], result["valid"], result["improved_over_best"]) == ("ok", False, False)
    assert (result["reason"], result["train_py"]) == ("check_failed: the metric is copied", "restored")
    assert lab.read("best.json")["run_id"] == "r0001"
    assert lab.tried(2.0)["verdict"] == "revert"
    assert lab.tried(0.9)["verdict"] == "advance"
    assert asked(lab) == ["r0001", "r0002", "r0004"], "what does not win needs no check"


@pytest.mark.promise("checks")
def test_a_baseline_that_fails_its_check_is_replaced_by_the_first_run_that_passes(lab: Lab) -> None:
    ready(lab)
    lab.write("# cheat\nprint('val/loss: 0.5')\n")
    first = lab.run()
    assert (first["verdict"], first["valid"]) == ("advance", False)
    assert first["reason"] == "check_failed: the metric is copied"
    assert lab.read("best.json")["valid"] is False
    assert lab.tried(3.0)["verdict"] == "advance"
    assert lab.read("best.json")["value"] == 3.0


def test_a_constraint_comes_before_the_check(lab: Lab) -> None:
    ready(lab, constraints=["steps>=1"])
    assert lab.tried(1.0)["valid"] is False
    assert asked(lab) == []


def test_a_check_that_is_late_fails_and_nothing_of_it_is_left(lab: Lab) -> None:
    configured(lab, "grace = 0.5\n")
    (lab.project / "check.sh").write_text(LATE)
    lab.ready(checks=["sh check.sh {run_dir}"], check_seconds=1)
    assert lab.tried(1.0)["reason"] == "check_failed: still running after 1 s"
    pids = [int(pid) for pid in (lab.project / "pids").read_text().split()]
    assert not any(map(alive, pids))


@pytest.mark.promise("checks")
def test_a_killed_daemon_decides_nothing_by_half_a_check_and_the_next_runs_it_again(lab: Lab) -> None:
    ready(lab, STAYS)
    lab.edit(1.0)
    run_id = lab.submit()["run_id"]
    pids = at_work(lab)
    waiting = lab.submit()["run_id"]
    assert lab.get("run.get", run_id=run_id)["why"] == "its check is at work"
    lab.kill()
    wait_until(lambda: not any(map(alive, pids)), "the end of the check")
    assert lab.read(f"runs/{run_id}/run.json")["state"]["state"] == "launching"
    assert not (lab.folder / f"runs/{run_id}/result.json").exists()
    lab.start()
    again = at_work(lab, count=4)
    assert set(again).isdisjoint(pids)
    assert lab.get("run.get", run_id=waiting)["state"] == "queued", "the place is kept"
    (lab.project / "go").touch()
    assert lab.wait(run_id)["result"]["verdict"] == "advance"
    assert lab.wait(waiting)["result"]["verdict"] == "revert"
    assert (lab.folder / "results.tsv").read_text().count(f"\n{run_id}\t") == 1


@pytest.mark.promise("checks")
def test_a_check_that_lost_its_keeper_with_the_daemon_is_ended_before_the_next_begins(lab: Lab) -> None:
    ready(lab, STAYS)
    lab.edit(1.0)
    run_id = lab.submit()["run_id"]
    pids = at_work(lab)
    keepers = children_of(lab, "keeper")
    assert lab.process is not None
    stop_all = [lab.process.pid, *keepers]
    for pid in stop_all:  # so that none of them sees the end of another
        os.kill(pid, signal.SIGSTOP)
    for pid in reversed(stop_all):
        os.kill(pid, signal.SIGKILL)
    lab.kill()
    assert any(map(alive, pids)), "nobody was there to end it"
    lab.start()
    at_work(lab, count=4)
    assert not any(map(alive, pids))
    (lab.project / "go").touch()
    assert lab.wait(run_id)["result"]["verdict"] == "advance"


def test_a_check_may_clean_up_within_the_grace(lab: Lab) -> None:
    configured(lab, "grace = 60.0\n")
    (lab.project / "check.py").write_text(CLEANS_UP)
    lab.ready(checks=[f"{sys.executable} check.py {{run_dir}}"])
    lab.edit(1.0)
    run_id = lab.submit()["run_id"]
    at_work(lab, count=1)
    Shell(lab)("cancel", run_id)
    assert lab.wait(run_id)["result"]["status"] == "interrupted"
    assert (lab.project / "cleaned").exists()


def test_a_daemon_that_stops_does_not_wait_for_a_check(lab: Lab) -> None:
    ready(lab, STAYS)
    lab.edit(1.0)
    run_id = lab.submit()["run_id"]
    pids = at_work(lab)
    lab.stop()
    assert not any(map(alive, pids))
    assert not (lab.folder / f"runs/{run_id}/result.json").exists()
    (lab.project / "go").touch()
    lab.start()
    assert lab.wait(run_id)["result"]["verdict"] == "advance"


@pytest.mark.promise("checks")
@pytest.mark.parametrize("wish", ["cancel", "stop", "ctrl-c"])
def test_a_cancel_ends_the_check_and_interrupts_the_run(lab: Lab, wish: str) -> None:
    ready(lab, STAYS)
    lab.edit(1.0)
    shell = Shell(lab)
    with closing(Terminal()) as terminal:
        _end_by(wish, lab, shell, terminal)


def _end_by(wish: str, lab: Lab, shell: Shell, terminal: Terminal) -> None:
    client = shell.start("run", "--wait", preexec_fn=terminal.take)
    pids = at_work(lab)
    if wish == "cancel":
        assert "cancelled: it is judged when" in shell("cancel", "r0001")
    elif wish == "stop":
        lab.get("session.stop")
    else:
        terminal.ctrl_c()
    code, out, _ = shell.end(client)
    assert (code, "interrupted" in out) == (13, True), out
    assert not any(map(alive, pids))
    result = lab.read("runs/r0001/result.json")
    assert (result["status"], result["verdict"]) == ("interrupted", "interrupted")
    assert result["terminated_by"] == (None if wish == "cancel" else "manual")
    assert not (lab.folder / "best.json").exists()


def test_a_wish_that_was_written_before_the_daemon_was_killed_holds(lab: Lab) -> None:
    ready(lab, STAYS)
    lab.edit(1.0)
    run_id = lab.submit()["run_id"]
    at_work(lab)
    entry = next((lab.home / "active").iterdir())
    lab.kill()
    entry.write_text(json.dumps({**json.loads(entry.read_text()), "wanted": "cancel"}))
    lab.start()
    assert lab.wait(run_id)["result"]["status"] == "interrupted"


def test_the_check_sees_what_a_metric_command_sees_and_runs_in_the_project(lab: Lab) -> None:
    (lab.project / "env.py").write_text(
        "import json, os, sys\n"
        "open(sys.argv[1], 'w').write(json.dumps([os.getcwd(), dict(os.environ)]))\n"
        "print('{\"val/loss\": 1}')\n"
    )
    here = sys.executable
    lab.ready(metrics="custom", metric_command=f"{here} env.py m.json", checks=[f"{here} env.py c.json"])
    assert lab.run()["verdict"] == "advance"
    seen, of_metric = (json.loads((lab.project / name).read_text()) for name in ("c.json", "m.json"))
    assert seen == of_metric
    assert seen[0] == str(lab.project)
    assert {"AR_LOG", "AR_RUN_DIR", "AR_SECONDS", "AR_SEED"} <= seen[1].keys()


@pytest.mark.promise("checks")
def test_a_changed_check_is_refused_as_a_changed_seal_is(lab: Lab) -> None:
    ready(lab)
    assert lab.tried(1.0)["verdict"] == "advance"
    first = launched(lab, UNTIL_TOLD.format(go=str(lab.root / "go"), value=0.5))
    (lab.project / "check.py").write_text("import sys\nsys.exit(0)\n")
    with pytest.raises(SealBroken, match=r"check\.py changed") as refused:
        lab.submit()
    assert "check.py changed" in " ".join(lab.get("experiment.seal")["said"])
    (lab.root / "go").touch()
    result = lab.wait(first)["result"]
    assert (result["status"], result["verdict"]) == ("invalid", "invalid")
    assert "check.py changed" in result["reason"]
    shell = Shell(lab)
    for command in refused.value.mend.partition("the change is meant: ")[2].split(" && "):
        shell(*command.split()[1:])
    assert lab.tried(0.5)["verdict"] == "advance"


def test_only_files_of_the_project_are_sealed_and_not_what_changes_with_each_run(lab: Lab) -> None:
    (lab.project / "check.sh").write_text("true\n")
    command = f"{sys.executable} -c pass check.sh {lab.folder}/train.py {lab.folder}/prepare.py missing.txt"
    lab.start()
    (lab.project / "prepare.py").write_text("A = 1\n")
    lab.init(prepare=str(lab.project / "prepare.py"))
    lab.session(checks=[command])
    sealed = [one["path"] for one in lab.read(".ar-session.json")["checks_sealed"]]
    assert sealed == ["../../check.sh", "prepare.py"]
    (lab.project / "check.sh").write_text("false\n")
    for accept in (False, True):
        [said] = lab.get("experiment.seal", accept=accept)["said"]
        assert "check.sh changed" in said
        assert f"arctl session stop --expr {SLUG} && arctl session start --resume continue" in said


def test_a_check_whose_script_is_not_there_is_named_before_it_costs_a_win(lab: Lab) -> None:
    (lab.project / "there.sh").write_text("true\n")
    lab.start()
    lab.init()
    started = lab.session(
        checks=["sh there.sh {run_dir}/made.py", "sh cheks/typo.sh out.txt"], audit="sh held.sh"
    )
    slip, audit = started["warnings"]
    assert f"--check names cheks/typo.sh, which is not in {lab.project}" in slip
    assert audit == f"--audit names held.sh, which is not in {lab.project}: each audit fails until it is"
    shell = Shell(lab)
    assert "names gone.py" in shell("session", "set", "--check", "sh gone.py")
    assert "names gone.py" not in shell("session", "set", "--plateau", "7"), "it was said once"


@pytest.mark.parametrize(
    ("settings", "error", "named"),
    [
        ({"checks": ["no-such-program x"]}, RunnerNotFound, "no-such-program"),
        ({"checks": ["python 'x"]}, Exception, "--check"),
        ({"checks": [""]}, Exception, "--check is empty"),
        ({"checks": ["true"] * 17}, Exception, "at most 16"),
        ({"checks": ["true"], "check_seconds": 0}, Exception, "--check-seconds"),
        ({"audit": "no-such-program x"}, RunnerNotFound, "no-such-program"),
    ],
)
def test_a_check_that_could_never_run_is_refused(
    lab: Lab, settings: dict[str, Any], error: type[Exception], named: str
) -> None:
    lab.start()
    lab.init()
    with pytest.raises(error, match=named):
        lab.session(**settings)
    assert lab.get("session.get")["session"]["live"] is False


@pytest.mark.parametrize("option", ["--check", "--audit"])
def test_a_check_that_could_never_run_is_refused_in_a_live_session_too(lab: Lab, option: str) -> None:
    lab.ready()
    shell = Shell(lab)
    code, _, error = shell.end(shell.start("session", "set", option, "no-such-program x"))
    assert (code, "no-such-program" in error, option in error) == (65, True, True), error
    settings = lab.get("session.get")["session"]["settings"]
    assert not settings.get("checks")
    assert settings.get("audit") is None
    shell("session", "set", option, "true")
    lab.get("session.set", given={"plateau": 3}, environment={})  # of what is there, nobody asks again


# --- equal, but shorter ---

LONG = "# why\n\nx = 1\ny = 2\nprint('val/loss: 1.0')\n"
SHORT = "# a comment more\n# and one more\n\n\nx = 1\nprint('val/loss: 1.0')\n"


def test_an_equal_value_of_a_shorter_version_wins_where_that_is_preferred(lab: Lab) -> None:
    lab.ready(prefer_shorter=True)
    lab.write(LONG)
    assert lab.run()["verdict"] == "advance"
    lab.write(LONG + "z = 3\n")
    assert lab.run()["verdict"] == "revert"
    lab.write(SHORT)
    shown = Shell(lab)("run", "--wait")
    assert shown.splitlines()[2] == "[r0003] advance: val/loss 1 → 1 (equal, but shorter: best updated)"
    assert lab.read("best.json")["run_id"] == "r0003"
    lab.write("print('val/loss: 1.0000001')\n")
    assert lab.run()["verdict"] == "revert", "equal means exactly equal"
    lab.get("session.set", given={"prefer_shorter": None})
    lab.write("print('val/loss: 1.0')\n")
    assert lab.run()["verdict"] == "revert", "off by default"


def test_a_shorter_version_of_equal_value_has_to_pass_the_check_too(lab: Lab) -> None:
    ready(lab, prefer_shorter=True)
    lab.write(LONG)
    assert lab.run()["verdict"] == "advance"
    lab.write(SHORT + "# cheat\n")
    assert lab.run()["reason"] == "check_failed: the metric is copied"
    assert asked(lab) == ["r0001", "r0002"]


def test_the_checks_go_along_in_a_chain_and_a_changed_one_makes_no_child(lab: Lab) -> None:
    (lab.project / "check.py").write_text(CHECK)
    lab.start()
    parent(lab, checks=[f"{sys.executable} check.py {{run_dir}}"])
    (lab.project / "check.py").write_text(CHECK + "\n")
    with pytest.raises(SealBroken, match=r"check\.py changed"):
        go_on(lab)
    (lab.project / "check.py").write_text(CHECK)
    go_on(lab)
    session = json.loads((folder(lab) / ".ar-session.json").read_bytes())
    assert [one["path"] for one in session["checks_sealed"]] == ["../../check.py"]
    (folder(lab) / "train.py").write_text("# cheat\nprint('val/loss: 0.1')\n")
    where = {"project": str(lab.project), "expr": CHILD}
    run = lab.call("run.submit", submit_id="cheat", environment=lab.environment, **where)["run_id"]
    result = lab.call("run.wait", run_id=run, **where)["result"]
    assert (result["valid"], result["reason"]) == (False, "check_failed: the metric is copied")


def test_a_run_whose_folder_is_removed_while_its_check_is_at_work_is_dropped(lab: Lab) -> None:
    ready(lab, STAYS)
    lab.edit(1.0)
    run_id = lab.submit()["run_id"]
    pids = at_work(lab)
    shutil.rmtree(lab.folder / "runs" / run_id)
    lab.edit(2.0)
    lab.submit()  # whoever changes the experiment next notices it
    wait_until(lambda: not any(map(alive, pids)), "the end of the check")
    wait_until(lambda: lab.events("dropped"), "the run to be dropped")


def test_what_survives_the_kill_of_a_check_makes_the_run_unclean(lab: Lab) -> None:
    (lab.project / "check.py").write_text(CHECK)
    lab.start("tests.support.lingering")
    lab.init()
    lab.session(checks=[f"{sys.executable} check.py {{run_dir}}"])
    lab.edit(1.0)
    result = lab.run()
    assert (result["status"], result["verdict"]) == ("unclean", "crash")
    (left,) = lab.read("UNCLEAN.json")["survivors"]
    assert alive(left["pid"])
    assert lab.read("UNCLEAN.json")["slots"] == ["cpu0"]
    os.kill(left["pid"], signal.SIGKILL)
    Shell(lab)("clean")
    lab.session()
    assert lab.tried(1.0)["status"] == "ok"
