"""A session that came with a project is not live until this user starts it; his own goes along with him."""

import json
import re
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ardaemon.core.errors import SessionNotLive
from tests.support.jobs import launched
from tests.support.lab import SLUG, Lab, wait_until
from tests.support.shell import UNTIL_TOLD, Shell
from tests.torture.story import facts_kept


def key(lab: Lab) -> Path:
    return lab.home.parent / "session.key"


def change(lab: Lab, work: Callable[[dict[str, Any]], object], name: str = ".ar-session.json") -> None:
    """Change the session, or another file, as a pull would."""
    path = lab.folder / name
    facts = json.loads(path.read_bytes())
    work(facts)
    path.write_text(json.dumps(facts))


def as_another_user(lab: Lab) -> None:
    """The daemon anew, in a state folder that knows nothing of the project: as after a clone."""
    lab.stop()
    shutil.rmtree(lab.state_home / "ardaemon")
    lab.start()


def as_before_the_upgrade(lab: Lab) -> None:
    """The daemon anew, on what a version without signatures left."""
    lab.kill()
    key(lab).unlink()
    change(lab, lambda facts: facts.pop("signature"))
    lab.start()


def test_a_session_of_a_clone_runs_nothing_until_it_is_started(lab: Lab) -> None:
    ran = lab.root / "ran"
    runner = f"{shutil.which('env')} RAN={ran} python train.py"
    given = {"metric_regex": r"val/loss: (\S+)", "checkpoint_glob": "{run_dir}/ck-*", "gpus": 0, "plateau": 5}
    lab.ready(runner=runner, **given)
    lab.tried(1.0)
    as_another_user(lab)
    lab.edit(0.5)
    shell = Shell(lab)
    code, _, error = shell.end(shell.start("run"))
    assert code == 65
    assert "was started elsewhere" in error
    assert repr(runner) in error
    assert "{run_dir}/ck-*" in error
    assert not (lab.folder / "runs/r0002").exists()
    command = re.search(r"start it: (arctl .*)", error)
    assert command is not None
    shell(*shlex.split(command[1])[1:])  # as printed
    assert lab.run()["verdict"] == "advance"


def test_a_session_of_a_clone_is_shown_as_not_live(lab: Lab) -> None:
    lab.ready(metric_command="python\x1b]0title\x07 read.py")
    as_another_user(lab)
    for method in ("status.get", "session.get"):
        view = lab.get(method)
        assert not view["session"]["live"]
        (line,) = view["warnings"]
        assert "started elsewhere" in line
        assert "metric command 'python read.py'" in line
        assert line.isprintable()
    lab.get("session.stop")
    assert lab.get("status.get")["warnings"] == []


@pytest.mark.parametrize("name", ["runner", "metric_command", "checkpoint_glob"])
def test_a_setting_that_a_pull_has_changed_makes_the_session_another(lab: Lab, name: str) -> None:
    lab.ready()
    change(lab, lambda facts: facts["settings"].update({name: "/bin/sh train.py"}))
    with pytest.raises(SessionNotLive, match=r"started elsewhere.*'/bin/sh train.py'"):
        lab.submit()
    change(lab, lambda facts: facts.pop("signature"))  # as an earlier version would have left it
    with pytest.raises(SessionNotLive, match="started elsewhere"):
        lab.submit()


def test_a_held_run_is_not_launched_by_a_session_that_a_pull_brought(lab: Lab) -> None:
    lab.ready(max_runs=1)
    first = launched(lab, UNTIL_TOLD.format(go=str(lab.root / "go"), value=1))
    second = lab.submit()["run_id"]
    (lab.root / "go").touch()
    lab.wait(first)
    lab.stop()
    change(lab, lambda facts: facts.update(live=True, terminated_by=None, epoch=facts["epoch"] + 1))
    lab.start()
    stuck = lambda: "its session is over" in (lab.get("run.get", run_id=second)["why"] or "")  # noqa: E731
    wait_until(stuck, "the refusal of the launch")
    lab.session(resume="continue")
    assert lab.wait(second)["result"]["status"] == "ok"


@pytest.mark.promise("trust")
@pytest.mark.parametrize("changed", ["run.json", "run.json and session"])
def test_a_queued_run_that_a_pull_has_changed_is_not_launched(lab: Lab, changed: str) -> None:
    lab.ready()
    first = launched(lab, UNTIL_TOLD.format(go=str(lab.root / "go"), value=1))
    second = lab.submit()["run_id"]
    lab.stop()
    ran = lab.root / "ran"
    evil = {"runner": f"/usr/bin/touch {ran} train.py"}
    change(lab, lambda facts: facts["settings"].update(evil), f"runs/{second}/run.json")
    if changed != "run.json":
        change(lab, lambda facts: facts["settings"].update(evil))
    lab.start()
    (lab.root / "go").touch()
    lab.wait(first)
    if changed == "run.json":
        result = lab.wait(second)["result"]
        assert (result["status"], result["verdict"]) == ("invalid", "invalid")
        assert f"runs/{second}/run.json" in result["reason"]
    else:
        stuck = lambda: "its session is over" in (lab.get("run.get", run_id=second)["why"] or "")  # noqa: E731
        wait_until(stuck, "the refusal of the launch")
    assert not ran.exists()


def test_a_project_that_is_moved_or_copied_goes_on(lab: Lab) -> None:
    lab.ready()
    lab.tried(2.0)
    wait_until(lambda: facts_kept(lab.folder), "the last that is written of the run")
    copy = lab.beside("copy")
    shutil.copytree(lab.project, copy.project, symlinks=True, dirs_exist_ok=True)
    assert copy.tried(1.0)["runs"] is None
    moved = lab.root / "moved"
    lab.project.rename(moved)
    lab.project = moved
    lab.stop()
    lab.start()
    assert lab.tried(1.0)["verdict"] == "advance"


def test_a_machine_that_shares_the_home_folder_knows_the_session(lab: Lab) -> None:
    lab.ready()
    lab.stop()
    shutil.rmtree(lab.home)  # a folder of each machine's own
    lab.start()
    assert lab.tried(1.0)["verdict"] == "advance"


@pytest.mark.promise("older-state")
def test_a_session_that_an_earlier_version_started_goes_on_where_a_run_of_it_is_active(lab: Lab) -> None:
    lab.ready()
    running = launched(lab, UNTIL_TOLD.format(go=str(lab.root / "go"), value=2))
    waiting = lab.submit()["run_id"]
    as_before_the_upgrade(lab)
    assert lab.get("status.get")["session"]["live"]
    lab.edit(1.0)
    third = lab.submit()["run_id"]
    (lab.root / "go").touch()
    for run_id in (running, waiting, third):
        assert lab.wait(run_id)["result"]["status"] == "ok"
    lab.stop()
    lab.start()
    assert lab.tried(0.5)["verdict"] == "advance", "it is signed by now"


@pytest.mark.promise("trust")
@pytest.mark.parametrize("start", ["the first", "a later one"])
def test_no_unsigned_session_is_adopted_for_what_a_clone_can_have(lab: Lab, start: str) -> None:
    lab.ready()
    if start == "the first":  # its run has all that is public of it, but for the active entry
        lab.tried(2.0)
        as_before_the_upgrade(lab)
    else:
        launched(lab, UNTIL_TOLD.format(go=str(lab.root / "go"), value=2))
        lab.kill()
        change(lab, lambda facts: facts.pop("signature"))
        lab.start()
    with pytest.raises(SessionNotLive, match="started elsewhere"):
        lab.submit()
    assert not lab.get("status.get")["session"]["live"]
    assert SLUG in lab.get("status.get")["warnings"][0]
