"""What git takes away under a daemon is noticed, and the command that is named brings it back."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from ardaemon.core.errors import ArdaemonError, Refused, UnknownExperiment
from tests.support.lab import SLUG, Lab, wait_until
from tests.support.shell import UNTIL_TOLD

pytestmark = pytest.mark.promise("git")


PERSON = {
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_AUTHOR_NAME": "a",
    "GIT_AUTHOR_EMAIL": "a@example.org",
    "GIT_COMMITTER_NAME": "a",
    "GIT_COMMITTER_EMAIL": "a@example.org",
}


def git(lab: Lab, command: str) -> None:
    """Call git in the project, as a person without settings."""
    environment = {**os.environ, **PERSON}
    done = subprocess.run(command, shell=True, cwd=lab.project, env=environment, capture_output=True)
    assert done.returncode == 0, done.stderr


def tried(lab: Lab, value: float, run_id: str) -> None:
    """A run that is committed; nothing of it is still to be written then."""
    assert lab.tried(value)["run_id"] == run_id
    facts = lab.folder / "facts.jsonl"
    wait_until(lambda: facts.exists() and run_id in facts.read_text(), "the facts of the run")


def track(lab: Lab) -> None:
    """Let git have the experiments, but for the record of who holds the project: that is made anew."""
    (lab.project / ".autoresearch").mkdir()
    (lab.project / ".autoresearch/.gitignore").write_text(".owner\n")


@pytest.fixture
def tracked(lab: Lab) -> Lab:
    """An experiment that git does not ignore, as those of earlier versions; git has r0001."""
    track(lab)
    lab.ready()
    git(lab, "git init -q -b main")
    tried(lab, 0.9, "r0001")
    git(lab, "git add -A && git commit -qm r0001")
    return lab


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


TAKEN_BACK = {
    "stash": "git stash -q -u",
    "reset": "git add -A && git commit -qm r0002 && git reset -q --hard HEAD~1",
    "checkout": "git switch -qc idea && git add -A && git commit -qm r0002 && git switch -q main",
}


@pytest.mark.parametrize("way", TAKEN_BACK)
def test_an_experiment_that_went_back_takes_no_run_until_it_is_brought_back(tracked: Lab, way: str) -> None:
    lab = tracked
    tried(lab, 0.5, "r0002")
    before = contents(lab.folder)
    git(lab, TAKEN_BACK[way])
    assert lab.get("status.get", last=0)["session"]["last_run"] == 1
    [warning] = [line for line in lab.get("status.get", last=0)["warnings"] if "went back" in line]
    assert f"{SLUG} went back to r0001: r0002 was committed here" in warning
    taken = contents(lab.folder)
    with pytest.raises(Refused, match="went back to r0001") as caught:
        lab.submit()
    assert contents(lab.folder) == taken, "nothing is made anew"
    command = caught.value.mend.partition("; or, to go on from r0001: ")[0]
    assert command.startswith("git stash pop" if way == "stash" else "git restore --source=")
    git(lab, command)
    assert contents(lab.folder) == before
    assert lab.tried(0.4)["run_id"] == "r0003"


def test_a_session_that_git_took_back_alone_is_brought_back_from_the_commit_that_is_checked_out(
    tracked: Lab,
) -> None:
    """A commit from before is no way back: it takes the results too."""
    lab = tracked
    tried(lab, 0.5, "r0002")
    git(lab, "git add -A && git commit -qm r0002")
    before = contents(lab.folder)
    git(lab, f"git restore --source=HEAD~1 --worktree -- .autoresearch/{SLUG}/.ar-session.json")
    with pytest.raises(Refused, match="went back to r0001") as caught:
        lab.submit()
    git(lab, caught.value.mend.partition("; or, to go on from r0001: ")[0])
    assert contents(lab.folder) == before
    assert lab.tried(0.4)["run_id"] == "r0003"


def test_a_session_with_the_same_runs_is_brought_back_alone(tracked: Lab) -> None:
    """What a person has changed in the experiment's folder since that commit stays."""
    lab = tracked
    lab.get("session.set", given={"plateau": 3})
    git(lab, "git add -A && git commit -qm plateau")
    session, program = lab.folder / ".ar-session.json", lab.folder / "program.md"
    newest = session.read_bytes()
    program.write_text("another goal\n")
    git(lab, f"git restore --source=HEAD~1 --worktree -- .autoresearch/{SLUG}/.ar-session.json")
    with pytest.raises(Refused, match="went back to r0001") as caught:
        lab.get("session.set", given={"plateau": 4})
    git(lab, caught.value.mend.partition("; or, to go on from r0001: ")[0])
    assert (session.read_bytes(), program.read_text()) == (newest, "another goal\n")


def test_a_person_may_go_on_from_the_earlier_state(tracked: Lab) -> None:
    lab = tracked
    tried(lab, 0.5, "r0002")
    git(lab, TAKEN_BACK["reset"])
    lab.get("session.stop")
    lab.session(resume="continue")
    assert lab.tried(0.4)["run_id"] == "r0003"


def taken_back_in_mid_run(lab: Lab, value: float) -> None:
    """r0002 is committed, r0003 waits with this value, for git has taken r0002 away while it was at work."""
    tried(lab, 0.5, "r0002")
    git(lab, "git add -A && git commit -qm r0002")
    go = lab.root / "go"
    lab.write(UNTIL_TOLD.format(go=str(go), value=value))
    lab.submit()
    wait_until(lambda: lab.get("run.get", run_id="r0003")["state"] == "running", "the run")
    git(lab, "git reset -q --hard HEAD~1")
    go.touch()
    wait_until(lambda: lab.get("run.get", run_id="r0003")["blocked"], "the commit to wait")


def test_a_run_under_way_is_not_committed_into_an_earlier_state(tracked: Lab) -> None:
    lab = tracked
    taken_back_in_mid_run(lab, 0.7)
    why = lab.get("run.get", run_id="r0003")["why"]
    assert "went back to r0001" in why
    git(lab, why[why.index("git restore") : why.index("; or, to go on")])
    wait_until((lab.folder / "runs/r0003/result.json").exists, "the commit")
    assert lab.read("runs/r0003/result.json")["verdict"] == "revert", "compared with r0002, not with r0001"


def test_an_experiment_that_is_gone_is_named_with_the_command_that_brings_it_back(lab: Lab) -> None:
    lab.ready()
    (lab.project / ".autoresearch/.gitignore").unlink()
    git(lab, "git init -q -b main && git add train.py && git commit -qm start")
    tried(lab, 0.9, "r0001")
    before = contents(lab.folder)
    git(lab, "git stash -q -u")
    for where in ({}, {"expr": SLUG}):
        with pytest.raises(UnknownExperiment, match=f"{SLUG} was here, and is gone") as caught:
            lab.call("status.get", project=str(lab.project), last=0, **where)
        assert caught.value.mend == "git stash pop"
    assert not lab.folder.exists()
    git(lab, "git stash pop")
    assert contents(lab.folder) == before
    git(lab, "git clean -fdq")
    with pytest.raises(ArdaemonError, match="was here, and is gone") as caught_again:
        lab.get("status.get", last=0)
    assert caught_again.value.mend == "git has no copy of it: put one back"


SUBMIT: dict[str, object] = {"submit_id": "one", "environment": {}}


@pytest.mark.parametrize(
    "take", ["git clean -fdq", "git clean -fdqx", "rm -r .autoresearch/2*/runs/r000[12]"]
)
def test_where_all_results_are_gone_nothing_is_rebuilt_from_nothing(lab: Lab, take: str) -> None:
    """Git has the experiment as init made it, and none of its runs."""
    track(lab)
    lab.ready()
    git(lab, "git init -q -b main && git add -A && git commit -qm init")
    tried(lab, 0.9, "r0001")
    tried(lab, 0.5, "r0002")
    git(lab, take)
    taken = contents(lab.folder)
    for method, params in (("status.get", {"last": 0}), ("run.submit", SUBMIT), ("run.submit", SUBMIT)):
        with pytest.raises(Refused, match=f"{SLUG} has lost its results") as caught:
            lab.get(method, **params)
        assert "arctl session stop" in caught.value.mend
    assert contents(lab.folder) == taken, "nothing is made anew"
    lab.get("session.stop")
    lab.session(resume="continue")
    result = lab.tried(0.7)
    assert (result["run_id"], result["verdict"]) == ("r0003", "advance")


def test_a_run_that_git_takes_away_as_it_works_is_named_with_the_command_that_brings_it_back(
    tracked: Lab,
) -> None:
    lab = tracked
    text = UNTIL_TOLD.format(go=str(lab.root / "go"), value=0.4)
    lab.write(text)
    lab.submit()
    wait_until(lambda: lab.get("run.get", run_id="r0002")["state"] == "running", "the run")
    waiting = lab.rpc()  # before the run is dropped: nobody knows it after that
    params = {"project": str(lab.project), "expr": SLUG, "run_id": "r0002"}
    asked = {"jsonrpc": "2.0", "id": 1, "method": "run.wait", "params": params}
    waiting.send_raw(json.dumps(asked).encode() + b"\n")
    samples = lab.folder / "runs/r0002/a1/samples.jsonl"  # made under another name, which git could meet
    wait_until(samples.exists, "the first samples")
    git(lab, "git switch -qc idea && git add -A && git commit -qm r0002 && git switch -qf main")
    lab.edit(0.7)
    assert lab.submit()["run_id"] == "r0003"
    error = waiting.receive()["error"]
    assert error["data"]["kind"] == "StorageError"
    assert "r0002 was dropped: its folder is gone" in error["message"]
    command, _, then = error["data"]["mend"].partition(" && ")
    assert command.startswith("git restore --source=")
    assert then == f"arctl restore r0002 --expr {SLUG}"
    assert lab.wait("r0003")["result"]["verdict"] == "advance"
    git(lab, command)
    lab.get("experiment.restore", run_id="r0002")
    assert (lab.folder / "train.py").read_text() == text


def test_a_person_may_go_on_from_the_earlier_state_while_a_run_waits_for_the_other(tracked: Lab) -> None:
    lab = tracked
    taken_back_in_mid_run(lab, 0.4)
    lab.get("session.stop")
    lab.session(resume="continue")
    wait_until((lab.folder / "runs/r0003/result.json").exists, "the commit")
    assert lab.read("runs/r0003/result.json")["verdict"] == "advance"
    assert lab.tried(0.3)["run_id"] == "r0004"
