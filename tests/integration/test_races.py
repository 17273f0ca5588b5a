"""What happens between two steps: sessions that change, seals, restarts, disks and hands in the way."""

import json
import os
import shutil
import signal
from pathlib import Path

import pytest

from ardaemon.core import errors
from tests.support.jobs import alive, job_of, launched, shim_of
from tests.support.lab import Lab, wait_until

SLEEP = "import time\nprint('val/loss: 1', flush=True)\ntime.sleep({})\n"
# Says its value, and ends once it is told to.
HELD = "import os, time\nprint('val/loss: 1', flush=True)\nwhile not os.path.exists({!r}): time.sleep(0.01)\n"
DEAF = "import signal, time\nsignal.signal(15, signal.SIG_IGN)\nprint('deaf', flush=True)\ntime.sleep({})\n"


def deaf(lab: Lab, seconds: float) -> str:
    run_id = launched(lab, DEAF.format(seconds))
    wait_until((lab.folder / f"runs/{run_id}/a1/run.log").read_bytes, "the script to be deaf to TERM")
    return run_id


def held(lab: Lab) -> str:
    """A run that is at work until `release`."""
    return launched(lab, HELD.format(str(lab.root / "go")))


def release(lab: Lab) -> None:
    (lab.root / "go").touch()


def test_a_run_of_a_stopped_session_does_not_end_the_next_one(lab: Lab) -> None:
    lab.ready()
    run_id = deaf(lab, 60)
    job = job_of(lab, run_id)
    lab.get("session.stop")
    lab.session(resume="continue", max_runs=5)
    os.kill(job, signal.SIGKILL)
    result = lab.wait(run_id)["result"]
    assert (result["status"], result["should_terminate"]) == ("interrupted", False)
    session = lab.get("session.get")["session"]
    assert (session["live"], session["counters"]["since_start"]) == (True, 0)
    assert lab.tried(1.0)["runs"] == "1/5"


def test_a_held_run_takes_the_settings_of_the_session_that_releases_it(lab: Lab) -> None:
    lab.ready(max_runs=1)
    first = held(lab)
    second = lab.submit()["run_id"]
    release(lab)
    assert lab.wait(first)["result"]["terminated_by"] == "max_runs"
    view = lab.get("run.get", run_id=second)
    again = "arctl session start --resume continue --expr 261122-test"
    assert (view["state"], view["why"]) == ("queued", f"its session is over: {again}")
    with pytest.raises(errors.Stuck, match="its session is over"):  # instead of hanging
        lab.wait(second)
    lab.session(resume="continue", max_runs=50, seconds=7, ack=True)
    result = lab.wait(second)["result"]
    assert (result["runs"], result["should_terminate"]) == ("1/50", False)
    assert lab.read(f"runs/{second}/run.json")["settings"]["seconds"] == 7


def test_a_seal_accepted_during_a_run_makes_that_run_invalid(lab: Lab) -> None:
    lab.start()
    (lab.project / "prepare.py").write_text("A = 1\n")
    lab.init(prepare=str(lab.project / "prepare.py"))
    lab.session()
    run_id = held(lab)
    (lab.folder / "prepare.py").write_text("A = 2\n")
    lab.get("experiment.seal", accept=True)
    release(lab)
    result = lab.wait(run_id)["result"]
    assert (result["status"], result["verdict"]) == ("invalid", "invalid")
    assert "another seal" in result["reason"]


def test_a_cancelled_run_whose_shim_is_dead_ends_at_once_as_interrupted(lab: Lab) -> None:
    lab.ready(seconds=300)
    run_id = launched(lab, SLEEP.format(300))
    job = job_of(lab, run_id)
    os.kill(shim_of(lab, run_id), signal.SIGKILL)
    lab.get("run.cancel", run_id=run_id)
    assert lab.wait(run_id)["result"]["status"] == "interrupted"
    assert not alive(job)


def test_a_project_that_is_away_when_the_daemon_starts_keeps_its_runs(lab: Lab) -> None:
    lab.ready()
    first = held(lab)
    wait_until((lab.folder / f"runs/{first}/a1/run.log").read_bytes, "the script's first words")
    lab.write("# precious\nprint('val/loss: 0.5')\n")
    second = lab.submit()["run_id"]
    lab.kill()
    release(lab)
    away = lab.root / "away"
    lab.project.rename(away)
    unreadable = lab.home / "active/unreadable.json"
    unreadable.symlink_to(lab.root / "nowhere")
    lab.start()
    wait_until(lambda: lab.events("stranded"), "the daemon's word that a run is away")
    wait_until(lambda: "no daemon follows unreadable" in str(lab.call("queue.list")["warnings"]), "the name")
    unreadable.rename(lab.root / "unreadable.json.old")  # as the warning says
    away.rename(lab.project)
    lab.edit(0.9)
    third = lab.submit()["run_id"]
    assert len({first, second, third}) == 3
    wait_until(lambda: all(_value(lab, run) for run in (first, second, third)), "all three results")
    assert [_value(lab, run) for run in (first, second, third)] == [1.0, 0.5, 0.9]
    assert "precious" in (lab.folder / f"runs/{second}/train.py").read_text()
    wait_until(lambda: not lab.call("queue.list")["warnings"], "the entry that is gone to be named no more")


def _value(lab: Lab, run_id: str) -> float | None:
    path = lab.folder / f"runs/{run_id}/result.json"
    value: float | None = json.loads(path.read_bytes())["primary"]["value"] if path.exists() else None
    return value


def test_a_session_file_broken_while_the_daemon_is_dead_orphans_no_run(lab: Lab) -> None:
    lab.ready()
    run_id = held(lab)
    lab.kill()
    (lab.folder / ".ar-session.json").write_text("{broken")
    lab.start()
    release(lab)
    assert lab.wait(run_id)["result"]["verdict"] == "advance"


def test_what_is_in_the_way_of_a_commit_can_be_mended(lab: Lab) -> None:
    lab.ready()
    run_id = held(lab)
    (lab.folder / "batch_contract.json").write_text("{broken")
    release(lab)
    wait_until(lambda: lab.events("blocked"), "the daemon's word that it cannot go on")
    lab.get("experiment.seal", accept=True)
    result = lab.wait(run_id)["result"]
    assert result["run_id"] == run_id
    lab.edit(2.0)
    lab.submit()


def test_a_fifo_in_the_place_of_train_py_blocks_nobody(lab: Lab) -> None:
    lab.ready()
    (lab.folder / "train.py").unlink()
    os.mkfifo(lab.folder / "train.py")
    assert lab.get("status.get")["train_py"] == "unreadable"
    with pytest.raises(errors.BadTrainFile, match="not a plain file"):
        lab.submit()


def test_what_fails_after_a_run_is_on_disk_is_a_warning_and_the_run_goes_on(lab: Lab) -> None:
    lab.ready()
    lab.tried(1.0)
    lab.edit(0.5)
    in_the_way = lab.folder / ".train.py.swap"
    in_the_way.mkdir()
    answer = lab.submit(restore="at_submit")
    assert "could not be put back" in answer["warnings"][0]
    in_the_way.rmdir()
    assert lab.wait(answer["run_id"])["result"]["verdict"] == "advance"


def test_many_cancels_of_one_run_at_once_all_succeed(lab: Lab) -> None:
    lab.ready()
    run_id = deaf(lab, 60)
    clients = [lab.rpc() for _ in range(12)]
    params = {"project": str(lab.project), "expr": lab.folder.name, "run_id": run_id}
    for client in clients:
        message = {"jsonrpc": "2.0", "id": 1, "method": "run.cancel", "params": params}
        client.send_raw(json.dumps(message).encode() + b"\n")
    assert all("result" in client.receive() for client in clients)
    os.kill(job_of(lab, run_id), signal.SIGKILL)
    assert lab.wait(run_id)["result"]["status"] == "interrupted"


def test_removed_lock_folders_are_made_again(lab: Lab) -> None:
    lab.ready()
    (lab.runtime / "ardaemon/locks").rmdir()
    assert lab.tried(1.0)["verdict"] == "advance"


def test_torn_writes_of_a_killed_daemon_are_swept_at_the_next_start(lab: Lab) -> None:
    lab.ready()
    run_id = held(lab)
    lab.kill()
    torn = lab.folder / ".best.json.999999999.3.tmp"
    torn.write_text("{")
    lab.start()
    wait_until(lambda: not torn.exists(), "the torn file to be swept")
    release(lab)
    lab.wait(run_id)


def test_a_wish_to_cancel_is_heard_by_the_next_daemon(lab: Lab) -> None:
    lab.ready()
    held(lab)
    waiting = lab.submit()["run_id"]
    lab.kill()
    (entry,) = [p for p in (lab.home / "active").iterdir() if waiting in p.name]
    entry.write_text(json.dumps({**json.loads(entry.read_bytes()), "wanted": "cancel"}))
    lab.start()
    assert lab.wait(waiting)["result"]["status"] == "interrupted"
    assert not Path(lab.folder / f"runs/{waiting}/a1").exists()
    release(lab)


def test_after_another_seal_is_accepted_the_old_best_is_not_the_one_to_beat_by_itself(lab: Lab) -> None:
    lab.start()
    (lab.project / "prepare.py").write_text("A = 1\n")
    lab.init(prepare=str(lab.project / "prepare.py"))
    lab.session()
    lab.tried(1.0)
    (lab.folder / "prepare.py").write_text("A = 2\n")
    lab.get("experiment.seal", accept=True)
    with pytest.raises(errors.Refused, match="not comparable any more") as refused:
        lab.submit()
    assert "--ack-baseline" in refused.value.mend
    lab.get("session.stop")
    lab.session(ack=True)
    assert lab.tried(0.5)["verdict"] == "advance"


def test_a_run_that_is_given_up_holds_up_no_later_one(lab: Lab) -> None:
    lab.ready()
    lab.tried(1.0)
    (lab.folder / ".train.py.swap").mkdir()
    lab.edit(2.0)
    lab.submit()
    wait_until(lambda: lab.events("blocked"), "the commit to be stuck")
    shutil.rmtree(lab.project)
    lab.project.mkdir()
    lab.init()
    lab.session()
    assert lab.tried(1.0)["verdict"] == "advance"


def test_a_sealed_fifo_is_refused_and_blocks_nobody(lab: Lab) -> None:
    lab.start()
    os.mkfifo(lab.project / "pipe")
    with pytest.raises(errors.ArdaemonError, match="not a plain file"):
        lab.init(seal=[str(lab.project / "pipe")])


def test_a_missing_seal_is_not_made_anew_by_looking_at_it(lab: Lab) -> None:
    lab.ready()
    (lab.folder / "batch_contract.json").unlink()
    with pytest.raises(errors.CorruptState, match="missing"):
        lab.get("experiment.seal")
    assert not (lab.folder / "batch_contract.json").exists()
    assert "--add PATH" in lab.get("experiment.seal", accept=True)["said"][-1]
