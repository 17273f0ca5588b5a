"""Whatever is killed, a run is never lost, never orphaned, never judged twice."""

import json
import os
import signal
import time
from pathlib import Path

import pytest

from ardaemon.core.errors import ArdaemonError, Refused
from tests.support.jobs import alive, job_of, launched, shim_of
from tests.support.lab import DEADLINE_S, Lab, wait_until
from tests.support.run_json import of_another_boot
from tests.support.shell import UNTIL_TOLD

SLEEP = 'import time\nprint("val/loss: {value}", flush=True)\ntime.sleep({seconds})\n'
# Every launch leaves a mark: a second one would be seen.
MARKED = (
    "import os, pathlib, time\n"
    "with open(pathlib.Path(os.environ['AR_EXPR_DIR']).parent.parent / 'launches', 'a') as f:\n"
    "    f.write(os.environ['AR_RUN_ID'] + chr(10))\n"
    "time.sleep({seconds})\nprint('val/loss: {value}')\n"
)
# The same, until `go` is there.
HELD = MARKED.replace("time.sleep({seconds})", "while not os.path.exists({go!r}):\n    time.sleep(0.01)")


def go(lab: Lab) -> str:
    """The file that lets UNTIL_TOLD and HELD come to their end."""
    return str(lab.root / "go")


def all_killed(lab: Lab) -> str:
    """A run whose daemon, shim and job are gone."""
    run_id = launched(lab, SLEEP.format(value=1, seconds=60))
    pids = [shim_of(lab, run_id), job_of(lab, run_id)]
    lab.kill()
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not any(map(alive, pids)), "the end of both")
    return run_id


@pytest.mark.promise("adoption")
def test_a_job_goes_on_without_the_daemon_and_is_judged_once_by_the_next(lab: Lab) -> None:
    lab.ready()
    begun = time.monotonic()
    run_id = launched(lab, UNTIL_TOLD.format(value=0.5, go=go(lab)))
    lab.kill()
    assert alive(job_of(lab, run_id))
    adopted = time.monotonic()
    lab.start()
    worked = time.monotonic() - adopted
    Path(go(lab)).touch()
    result = lab.wait(run_id)["result"]
    assert (result["status"], result["verdict"], result["exit_code"]) == ("ok", "advance", 0)
    assert worked < result["seconds"] < time.monotonic() - begun
    assert (lab.folder / "results.tsv").read_text().count(run_id) == 1


@pytest.mark.promise("adoption")
def test_a_job_that_ends_while_no_daemon_lives_has_its_exact_code_and_duration(lab: Lab) -> None:
    lab.ready()
    begun = time.monotonic()
    run_id = launched(lab, f"{UNTIL_TOLD.format(value=1, go=go(lab))}raise SystemExit(7)\n")
    known = time.monotonic()
    lab.kill()
    worked = time.monotonic() - known
    Path(go(lab)).touch()
    wait_until((lab.folder / f"runs/{run_id}/a1/exit.json").exists, "the shim's record")
    ended = time.monotonic()
    lab.start()
    result = lab.wait(run_id)["result"]
    assert (result["status"], result["exit_code"]) == ("crash", 7)
    assert worked < result["seconds"] < ended - begun


@pytest.mark.promise("adoption")
def test_the_limit_holds_with_the_daemon_dead(lab: Lab) -> None:
    lab.ready(seconds=1)
    run_id = launched(lab, SLEEP.format(value=1, seconds=60))
    job = job_of(lab, run_id)
    lab.kill()
    wait_until(lambda: not alive(job), "the end of the job by its shim")
    lab.start()
    assert lab.wait(run_id)["result"]["status"] == "timeout"


@pytest.mark.promise("adoption")
def test_queued_runs_survive_and_keep_their_order(lab: Lab) -> None:
    lab.ready()
    launched(lab, MARKED.format(value=1, seconds=1))
    for value in (0.9, 0.8):
        lab.write(MARKED.format(value=value, seconds=0))
        lab.submit()
    lab.kill()
    lab.start()
    lab.wait("r0003")
    assert (lab.project / "launches").read_text().split() == ["r0001", "r0002", "r0003"]


@pytest.mark.promise("adoption")
def test_the_same_submit_id_after_a_restart_is_the_same_run(lab: Lab) -> None:
    lab.ready()
    lab.write(MARKED.format(value=1, seconds=0.3))
    first = lab.submit(submit_id="one")
    lab.kill()
    lab.start()
    assert lab.submit(submit_id="one")["run_id"] == first["run_id"]
    lab.wait(first["run_id"])
    assert lab.submit(submit_id="one")["result"]["run_id"] == first["run_id"]
    assert (lab.project / "launches").read_text().split() == ["r0001"]


@pytest.mark.timeout(120)
@pytest.mark.promise("adoption")
def test_a_kill_at_any_moment_loses_no_acknowledged_run_and_launches_none_twice(lab: Lab) -> None:
    lab.ready()
    acknowledged = []
    for number in range(12):
        lab.write(MARKED.format(value=1 + number, seconds=0))
        try:
            acknowledged.append(lab.submit(submit_id=f"s{number}")["run_id"])
            time.sleep(number * 0.004)  # not a wait: the moment of the kill, spread over a run's whole life
        except (ArdaemonError, OSError, AssertionError):
            pass
        lab.kill()
        lab.start()
    assert len(set(acknowledged)) == len(acknowledged) == 12
    for run_id in acknowledged:
        assert lab.wait(run_id)["result"]["status"] == "ok"
    launches = (lab.project / "launches").read_text().split()
    assert sorted(launches) == sorted(acknowledged)
    rows = (lab.folder / "results.tsv").read_text().splitlines()[1:]
    assert sorted(row.split("\t")[0] for row in rows) == sorted(acknowledged)
    assert lab.get("status.get")["session"]["counters"]["since_start"] == 12


@pytest.mark.promise("supervisor-lost")
def test_a_killed_shim_leaves_the_job_adopted_the_slot_held_and_the_code_unknown(lab: Lab) -> None:
    lab.ready()
    run_id = launched(lab, UNTIL_TOLD.format(value=1, go=go(lab)))
    job = job_of(lab, run_id)
    os.kill(shim_of(lab, run_id), signal.SIGKILL)
    lab.edit(0.5)
    second = lab.submit()["run_id"]
    assert alive(job)
    assert lab.get("run.get", run_id=second)["state"] == "queued"
    Path(go(lab)).touch()
    result = lab.wait(run_id)["result"]
    assert not alive(job)
    assert (result["status"], result["reason"], result["exit_code"]) == ("crash", "supervisor_lost", None)
    assert lab.wait(second)["result"]["verdict"] == "advance"


@pytest.mark.promise("supervisor-lost")
def test_shim_and_daemon_killed_leave_one_copy_which_is_adopted(lab: Lab) -> None:
    lab.ready()
    run_id = launched(lab, HELD.format(value=1, go=go(lab)))
    job, shim = job_of(lab, run_id), shim_of(lab, run_id)
    lab.kill()
    os.kill(shim, signal.SIGKILL)
    lab.start()
    assert alive(job)
    wait_until(lambda: lab.get("run.get", run_id=run_id)["state"] == "running", "the daemon's look at it")
    Path(go(lab)).touch()
    assert lab.wait(run_id)["result"]["reason"] == "supervisor_lost"
    assert (lab.project / "launches").read_text().split() == [run_id]


@pytest.mark.promise("supervisor-lost")
def test_an_adopted_job_is_ended_at_its_deadline(lab: Lab) -> None:
    lab.ready(seconds=4)  # longer than it takes from the launch to the shim's end
    run_id = launched(lab, SLEEP.format(value=1, seconds=60))
    job = job_of(lab, run_id)
    os.kill(shim_of(lab, run_id), signal.SIGKILL)
    result = lab.wait(run_id)["result"]
    assert (result["status"], result["reason"]) == ("crash", "supervisor_lost")
    assert not alive(job)


@pytest.mark.promise("supervisor-lost")
def test_everything_killed_is_told_apart_from_a_crash_of_the_script(lab: Lab) -> None:
    lab.ready()
    run_id = all_killed(lab)
    lab.start()
    assert lab.wait(run_id)["result"]["reason"] == "supervisor_lost"


@pytest.mark.promise("host-restart")
def test_another_boot_id_means_that_the_host_restarted(lab: Lab) -> None:
    lab.ready()
    run_id = all_killed(lab)
    of_another_boot(lab, run_id)
    lab.start()
    result = lab.wait(run_id)["result"]
    assert (result["status"], result["reason"]) == ("crash", "host_restart")
    assert lab.get("session.get")["session"]["counters"]["plateau"] == 0


def ended_before_a_reboot(lab: Lab) -> str:
    """A run that wrote a checkpoint and ended, and whose verdict the reboot prevented."""
    run_id = launched(
        lab,
        "import os, time\nopen(os.environ['AR_RUN_DIR'] + '/state.pt', 'w').write('state')\n"
        + UNTIL_TOLD.format(value=0.5, go=go(lab)),
    )
    lab.kill()
    Path(go(lab)).touch()
    wait_until((lab.folder / f"runs/{run_id}/a1/exit.json").exists, "the shim's record")
    of_another_boot(lab, run_id)
    lab.start()
    return run_id


@pytest.mark.promise("host-restart")
def test_a_run_that_ended_before_a_reboot_advances_without_the_checkpoint_that_nobody_synced(
    lab: Lab,
) -> None:
    lab.ready()
    result = lab.wait(ended_before_a_reboot(lab))["result"]
    assert (result["verdict"], result["primary"]["value"], result["checkpoint"]) == ("advance", 0.5, None)
    assert result["reason"] == "checkpoint not promoted: the host restarted before it was safe on the disk"
    assert not (lab.folder / "best_ckpt").is_symlink()


@pytest.mark.promise("host-restart")
def test_a_metric_command_is_not_asked_about_files_that_a_reboot_may_have_torn(lab: Lab) -> None:
    lab.ready(metrics="custom", metric_command="""python -c "print('{}')" """)
    result = lab.wait(ended_before_a_reboot(lab))["result"]
    assert (result["status"], result["reason"]) == ("crash", "host_restart")


@pytest.mark.promise("pid-reuse")
def test_a_forged_record_with_a_reused_pid_never_gets_a_foreign_process_signalled(lab: Lab) -> None:
    lab.ready()
    run_id = all_killed(lab)
    start = lab.folder / f"runs/{run_id}/a1/start.json"
    facts = json.loads(start.read_bytes())
    me = os.getpid()
    facts.update(shim=[me, 12345], job=[me, 12345])
    start.write_text(json.dumps(facts))
    lab.start()
    lab.get("run.cancel", run_id=run_id)
    assert lab.wait(run_id)["result"]["reason"] == "supervisor_lost"  # and this test still lives


@pytest.mark.promise("adoption")
def test_an_interrupt_that_was_acknowledged_holds_over_a_restart(lab: Lab) -> None:
    lab.ready()
    deaf = (
        "import signal, time\nsignal.signal(15, signal.SIG_IGN)\nprint('deaf', flush=True)\ntime.sleep(60)\n"
    )
    run_id = launched(lab, deaf)
    log = lab.folder / f"runs/{run_id}/a1/run.log"
    wait_until(log.read_bytes, "the script to be deaf")
    job = job_of(lab, run_id)
    waiting = lab.submit()["run_id"]
    lab.get("run.cancel", run_id=waiting)
    lab.get("run.cancel", run_id=run_id)
    lab.kill()
    lab.start()
    assert lab.wait(waiting)["result"]["status"] == "interrupted"
    os.kill(job, signal.SIGKILL)
    assert lab.wait(run_id)["result"]["status"] == "interrupted"


@pytest.mark.promise("adoption")
def test_a_clean_stop_leaves_the_job_running_and_no_file_of_the_daemon_behind(lab: Lab) -> None:
    lab.ready()
    run_id = launched(lab, UNTIL_TOLD.format(value=1, go=go(lab)))
    lab.call("daemon.stop")
    assert lab.process is not None
    lab.process.wait(DEADLINE_S)
    assert not (lab.home / "daemon.json").exists()
    assert not (lab.runtime / "ardaemon/control.sock").exists()
    assert alive(job_of(lab, run_id))
    lab.start()
    Path(go(lab)).touch()
    assert lab.wait(run_id)["result"]["verdict"] == "advance"


def test_nothing_is_left_of_a_committed_run_but_its_folder(lab: Lab) -> None:
    lab.ready()
    lab.tried(1.0)
    assert list((lab.runtime / "ardaemon/locks").iterdir()) == []
    idle = wait_until(
        lambda: len(lab.processes()) == 1, "the daemon alone (its spare shim has no environment)"
    )
    assert idle


def test_an_edit_that_a_killed_daemon_held_in_mid_swap_goes_back(lab: Lab) -> None:
    lab.ready()
    lab.tried(1.0)
    lab.tried(2.0)
    (lab.folder / ".train.py.swap").write_text("# somebody's edit\n")
    result = lab.submit(restore="at_submit")
    assert "train.py was edited" in result["warnings"][0]
    assert (lab.folder / "train.py").read_text() == "# somebody's edit\n"
    assert not (lab.folder / ".train.py.swap").exists()


def test_after_another_metric_is_sealed_nothing_is_compared_with_the_old_best(lab: Lab) -> None:
    lab.ready()
    lab.tried(1.0)
    program = lab.folder / "program.md"
    program.write_text(program.read_text().replace('"min"', '"max"'))
    lab.get("experiment.seal", accept=True)
    with pytest.raises(Refused, match="seal now says"):
        lab.submit()
    lab.get("session.stop")
    with pytest.raises(Refused, match="seal now says"):
        lab.session(ack=True)
    lab.session(resume="fresh")
    assert lab.tried(3.0)["verdict"] == "advance"
