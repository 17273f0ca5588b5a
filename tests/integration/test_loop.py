"""From an edit to a committed verdict: real daemon, real processes, real files."""

import json
import os
import time
from pathlib import Path

import pytest

from ardaemon.core import errors
from tests.support.lab import SLUG, TRAIN, Lab, wait_until
from tests.support.shell import UNTIL_TOLD

SLOW = 'import time\nprint("val/loss: {value}", flush=True)\ntime.sleep({seconds})\n'


def train(lab: Lab) -> str:
    return (lab.folder / "train.py").read_text()


def hold(lab: Lab, value: float) -> Path:
    """Edit train.py so that it runs until this file is there."""
    go = lab.root / "go"
    lab.write(UNTIL_TOLD.format(go=str(go), value=value))
    return go


def test_the_first_run_with_a_metric_becomes_best_and_stays_in_train_py(lab: Lab) -> None:
    lab.ready()
    result = lab.tried(1.5)
    assert (result["run_id"], result["status"], result["verdict"]) == ("r0001", "ok", "advance")
    assert result["train_py"] == "kept"
    assert lab.read("best.json")["value"] == 1.5
    assert lab.read("runs/r0001/result.json") == result


def test_a_better_run_advances_and_a_worse_one_is_put_back(lab: Lab) -> None:
    lab.ready()
    lab.tried(1.0)
    assert lab.tried(0.5)["verdict"] == "advance"
    worse = lab.tried(0.7)
    assert (worse["verdict"], worse["train_py"], worse["base"]) == ("revert", "restored", "r0002")
    assert worse["primary"]["delta"] == pytest.approx(0.2)
    assert "0.5" in train(lab)


@pytest.mark.parametrize(
    ("script", "status", "verdict", "reason"),
    [
        ("raise ValueError('bad shape')", "crash", "crash", "exception:ValueError bad shape"),
        ("import no_such_module", "crash", "crash", "import_error"),
        ("def f(:\n  pass", "crash", "crash", "exception:SyntaxError"),
        ("import os; os.kill(os.getpid(), 11)", "crash", "crash", "signal:SIGSEGV"),
        ("raise SystemExit(3)", "crash", "crash", "exit code 3"),
        ("print('train/loss: 3')", "invalid", "revert", "val/loss"),
        ("print('val/loss: nan')", "invalid", "revert", "nan"),
        ("print('val_loss: 1.0')", "invalid", "revert", "val_loss"),
    ],
)
def test_what_went_wrong_is_named_and_train_py_restored(
    lab: Lab, script: str, status: str, verdict: str, reason: str
) -> None:
    lab.ready()
    lab.tried(1.0)
    lab.write(script)
    result = lab.run()
    assert (result["status"], result["verdict"], result["train_py"]) == (status, verdict, "restored")
    assert reason in result["reason"]
    assert "1.0" in train(lab)


def test_a_run_past_its_limit_is_a_timeout_whose_values_are_recorded_not_compared(lab: Lab) -> None:
    lab.ready(seconds=0.6, startup=30, ready_regex="val/loss")
    lab.write(SLOW.format(value=0.1, seconds=60))
    result = lab.run()
    assert (result["status"], result["reason"], result["signal"]) == ("timeout", "limit", "SIGTERM")
    assert result["primary"]["value"] == 0.1
    assert not (lab.folder / "best.json").exists()


def test_a_silent_run_ends_by_its_stall_limit(lab: Lab) -> None:
    lab.ready(stall=0.5)
    lab.write(SLOW.format(value=0.1, seconds=60))
    assert lab.run()["reason"] == "stall"


def test_the_clock_starts_when_the_script_says_that_it_is_ready(lab: Lab) -> None:
    lab.ready(seconds=0.7, startup=30, ready_regex="compiled")
    lab.write(
        'import time\ntime.sleep(1.2)\nprint("compiled", flush=True)\nprint("val/loss: 1")\ntime.sleep(60)\n'
    )
    result = lab.run()
    assert result["status"] == "timeout"
    assert 1.8 < result["seconds"] < 30, "not before it was ready, and not at the end of its startup"


def test_an_edit_made_while_the_run_trained_is_left_alone(lab: Lab) -> None:
    lab.ready()
    lab.tried(1.0)
    go = hold(lab, 2.0)
    run_id = lab.submit()["run_id"]
    lab.wait(run_id, until="launched")
    lab.write("# someone else's edit\n")
    go.touch()
    result = lab.wait(run_id)["result"]
    assert (result["verdict"], result["train_py"]) == ("revert", "edited_since")
    assert train(lab) == "# someone else's edit\n"


def test_the_snapshot_runs_not_the_live_file(lab: Lab) -> None:
    lab.ready()
    lab.write(SLOW.format(value=1.25, seconds=0.5))
    run_id = lab.submit()["run_id"]
    lab.write("raise SystemExit(9)\n")
    assert lab.wait(run_id)["result"]["primary"]["value"] == 1.25


def test_without_wait_the_best_is_back_at_once_and_a_later_advance_updates_train_py(lab: Lab) -> None:
    lab.ready()
    lab.tried(1.0)
    go = hold(lab, 0.5)
    first = lab.submit(restore="at_submit")["run_id"]
    assert train(lab) == TRAIN.format(value=1.0, note="")
    lab.edit(0.7)
    second = lab.submit(restore="at_submit")
    assert (second["state"], second["position"], second["base"]) == ("queued", 1, "r0001")
    assert first in second["why"]
    go.touch()
    assert lab.wait(first)["result"]["train_py"] == "updated"
    assert lab.wait(second["run_id"])["result"]["verdict"] == "revert"
    assert "0.5" in train(lab)


def test_candidates_are_judged_against_the_best_at_their_commit(lab: Lab) -> None:
    lab.ready()
    lab.edit(0.9)
    runs = [lab.submit()["run_id"]]
    for value in (0.5, 0.7):
        lab.edit(value)
        runs.append(lab.submit()["run_id"])
    verdicts = [lab.wait(run)["result"]["verdict"] for run in runs]
    assert verdicts == ["advance", "advance", "revert"]


def test_a_sealed_file_that_changes_during_the_run_makes_it_invalid(lab: Lab) -> None:
    lab.start()
    (lab.project / "prepare.py").write_text("CONTRACT = {'rows': 3}\n")
    lab.init(prepare=str(lab.project / "prepare.py"))
    assert lab.read("batch_contract.json")["contract"] == {"rows": 3}
    lab.session()
    go = hold(lab, 1)
    run_id = lab.submit()["run_id"]
    lab.wait(run_id, until="launched")
    (lab.folder / "prepare.py").write_text("CONTRACT = {'rows': 4}\n")
    go.touch()
    result = lab.wait(run_id)["result"]
    assert (result["status"], result["verdict"]) == ("invalid", "invalid")
    assert "prepare.py" in result["reason"]
    with pytest.raises(errors.SealBroken, match=r"prepare\.py changed"):
        lab.submit()
    said = lab.get("experiment.seal", accept=True)["said"]
    assert said == ["sealed prepare.py"]
    lab.submit()


def test_the_script_finds_its_siblings_its_environment_and_nothing_of_the_agents(lab: Lab) -> None:
    lab.start()
    (lab.project / "prepare.py").write_text("ANSWER = 0.25\n")
    lab.init(prepare=str(lab.project / "prepare.py"))
    (lab.folder / "vocab.txt").write_text("a b c")
    (lab.project / "hostmodule.py").write_text("FACTOR = 2\n")
    lab.session(seconds=20)
    lab.write(
        "import json, os, pathlib, prepare, hostmodule\n"
        "here = pathlib.Path(__file__).parent\n"
        "assert (here / 'vocab.txt').read_text() == 'a b c'\n"
        "pathlib.Path(os.environ['AR_RUN_DIR'], 'env.json').write_text(json.dumps(dict(os.environ)))\n"
        "print('val/loss:', prepare.ANSWER * hostmodule.FACTOR)\n"
    )
    secrets = {"ANTHROPIC_API_KEY": "k1", "OPENAI_API_KEY": "k2", "WANDB_API_KEY": "k3"}
    environment = {**lab.environment, **secrets, "AR_RUN_DIR": "/outer", "AR_EXPR": "outer"}
    assert lab.run(environment=environment)["primary"]["value"] == 0.5
    seen = json.loads((lab.folder / "runs/r0001/job/env.json").read_text())
    assert seen["AR_RUN_ID"] == "r0001"
    assert seen["AR_EXPR_DIR"] == str(lab.folder)
    assert (seen["AR_SECONDS"], seen["AR_ATTEMPT"], seen["AR_SEED"]) == ("20", "1", "0")
    assert seen["WANDB_API_KEY"] == "k3"
    assert not {"ANTHROPIC_API_KEY", "OPENAI_API_KEY", "AR_EXPR"} & set(seen)
    stored = b"".join(p.read_bytes() for p in lab.root.rglob("*.json") if p.name != "env.json")
    assert b"k1" not in stored


def test_the_active_entry_is_private_and_goes_with_the_commit(lab: Lab) -> None:
    lab.ready()
    go = hold(lab, 1)
    run_id = lab.submit()["run_id"]
    (entry,) = (lab.home / "active").iterdir()
    assert entry.stat().st_mode & 0o777 == 0o600
    go.touch()
    lab.wait(run_id)
    assert list((lab.home / "active").iterdir()) == []


def test_a_note_is_read_from_the_script_without_running_it_and_cleaned(lab: Lab) -> None:
    lab.ready()
    lab.write('RUN_NOTE = "lr\\t1e-3\\n\\x1b[31mred"\nraise SystemExit(1)\n')
    assert lab.run()["note"] == "lr 1e-3 red"
    assert lab.run(note="x" * 300)["note"].startswith("x" * 190)
    assert len(lab.read("runs/r0002/result.json")["note"]) <= 200


def test_a_constraint_that_does_not_hold_reverts_a_better_run(lab: Lab) -> None:
    lab.ready(constraints=["peak_vram_mb<=100"])
    script = 'print("peak_vram_mb: {vram}")\nprint("val/loss: {value}")\n'
    lab.write(script.format(vram=500, value=1.0))
    assert (lab.run()["verdict"], lab.read("best.json")["valid"]) == ("advance", False)
    lab.write(script.format(vram=90, value=3.0))
    assert lab.run()["verdict"] == "advance"
    lab.write(script.format(vram=500, value=0.1))
    result = lab.run()
    assert (result["status"], result["verdict"], result["valid"]) == ("ok", "revert", False)
    assert result["reason"] == "constraint peak_vram_mb<=100 violated: 500"
    assert lab.tried(0.1)["constraints"] == [{"expr": "peak_vram_mb<=100", "value": None, "ok": False}]


def test_a_plateau_ends_the_session_and_continue_starts_new_counters(lab: Lab) -> None:
    lab.ready(plateau=2)
    lab.tried(1.0)
    assert lab.tried(2.0)["plateau"] == "1/2"
    last = lab.tried(3.0)
    assert (last["should_terminate"], last["terminated_by"]) == (True, "plateau")
    with pytest.raises(errors.SessionNotLive, match="plateau") as refused:
        lab.submit()
    assert "--resume continue" in refused.value.mend
    lab.session(resume="continue", plateau=2)
    again = lab.tried(4.0)
    assert (again["run_id"], again["plateau"], again["should_terminate"]) == ("r0004", "1/2", False)


def test_threshold_and_max_runs_end_the_session(lab: Lab) -> None:
    lab.ready(threshold=0.5, max_runs=2)
    assert lab.tried(0.4)["terminated_by"] == "primary_threshold"
    lab.session(max_runs=1)
    assert lab.tried(0.3)["terminated_by"] == "max_runs"


def test_cancel_interrupts_a_running_run_and_takes_a_waiting_one_from_the_queue(lab: Lab) -> None:
    lab.ready()
    lab.write(SLOW.format(value=1, seconds=60))
    running = lab.submit()["run_id"]
    waiting = lab.submit()["run_id"]
    lab.wait(running, until="launched")
    lab.get("run.cancel", run_id=waiting)
    second = lab.wait(waiting)["result"]
    assert (second["status"], second["reason"]) == ("interrupted", "cancelled in the queue")
    lab.get("run.cancel", run_id=running)
    first = lab.wait(running)["result"]
    assert (first["status"], first["verdict"], first["terminated_by"]) == ("interrupted", "interrupted", None)


def test_session_stop_interrupts_what_runs_and_holds_what_waits(lab: Lab) -> None:
    lab.ready()
    lab.write(SLOW.format(value=1, seconds=60))
    running = lab.submit()["run_id"]
    lab.wait(running, until="launched")
    lab.edit(0.5)
    waiting = lab.submit()["run_id"]
    assert lab.get("session.stop")["session"]["live"] is False
    result = lab.wait(running)["result"]
    assert (result["status"], result["terminated_by"]) == ("interrupted", "manual")
    assert "session is over" in lab.get("run.get", run_id=waiting)["why"]
    lab.session(resume="continue")
    assert lab.wait(waiting)["result"]["verdict"] == "advance"


def test_fresh_puts_everything_aside_and_ids_go_on(lab: Lab) -> None:
    lab.ready()
    lab.tried(1.0)
    lab.write("# my unfinished idea\n")
    lab.get("session.stop")
    lab.session(resume="fresh")
    assert train(lab) == TRAIN.format(value=1.0, note="")
    archived = {p.name for p in lab.folder.glob("archive/*/*")}
    assert {"runs", "results.tsv", "best.json", "train.py"} <= archived
    ideas = [p.read_text() for p in lab.folder.glob("archive/*/train.py")]
    assert "# my unfinished idea\n" in ideas
    assert lab.tried(2.0)["run_id"] == "r0002"


def test_revert_puts_the_best_back_and_keeps_the_edit_aside(lab: Lab) -> None:
    lab.ready()
    lab.tried(1.0)
    lab.get("session.stop")
    lab.write("# idea\n")
    lab.session(resume="revert")
    assert "1.0" in train(lab)
    assert [p.read_text() for p in lab.folder.glob("archive/*/train.py")] == ["# idea\n"]


def test_a_best_measured_under_other_settings_needs_an_acknowledgement(lab: Lab) -> None:
    lab.ready()
    lab.tried(1.0)
    lab.get("session.stop")
    with pytest.raises(errors.Refused, match="other settings") as refused:
        lab.session(seconds=5)
    assert "--ack-baseline" in refused.value.mend
    lab.session(seconds=5, ack=True)


def test_the_checkpoint_of_the_best_run_is_promoted_whole(lab: Lab) -> None:
    lab.ready(checkpoint_glob="out/ckpt-*")
    script = (
        "import pathlib, sys\n"
        "out = pathlib.Path('out/ckpt-{n}'); out.mkdir(parents=True)\n"
        "(out / 'w.bin').write_text('weights {n}')\nprint('val/loss: {value}')\n"
    )
    lab.write(script.format(n=1, value=1.0))
    assert lab.run()["checkpoint"] == ".ckpt/r0001"
    lab.write(script.format(n=2, value=2.0))
    lab.run()
    assert (lab.folder / "best_ckpt/ckpt-1/w.bin").read_text() == "weights 1"
    lab.write(script.format(n=3, value=0.5))
    lab.run()
    assert os.readlink(lab.folder / "best_ckpt") == ".ckpt/r0003"
    assert (lab.folder / "best_ckpt/ckpt-3/w.bin").read_text() == "weights 3"
    assert json.loads((lab.folder / "best_ckpt/meta.json").read_text())["run_id"] == "r0003"
    lab.write("import os\nprint('val/loss:', 1 if os.path.exists(os.environ['AR_BEST_CKPT']) else 'no')\n")
    assert lab.run()["status"] == "ok"


def test_exec_live_runs_the_experiments_own_file_and_checks_it(lab: Lab) -> None:
    lab.ready(exec="live")
    lab.write("print('val/loss:', 1 if '/runs/' not in __file__ else 2)\n")
    assert lab.run()["primary"]["value"] == 1
    go = hold(lab, 1)
    first = lab.submit()["run_id"]
    lab.wait(first, until="launched")
    log = lab.folder / f"runs/{first}/a1/run.log"
    wait_until(lambda: "started" in log.read_text(), "the script to be read, before it is edited")
    lab.edit(0.5)
    second = lab.submit()["run_id"]
    lab.edit(0.6)
    go.touch()
    assert lab.wait(second)["result"]["reason"].startswith("seal broken: train.py changed")


def test_custom_metrics_come_from_a_command(lab: Lab) -> None:
    lab.ready(metrics="custom", metric_command="python read.py")
    (lab.project / "read.py").write_text(
        "import json, os\nprint(json.dumps({'val/loss': len(open(os.environ['AR_LOG']).read())}))\n"
    )
    lab.write("print('12345', end='')\n")
    result = lab.run()
    assert (result["primary"]["value"], result["metrics_source"]) == (5.0, "custom")


def test_descendants_have_the_settle_time_then_they_are_ended(lab: Lab) -> None:
    lab.ready(settle=1)
    lab.write(
        "import os, subprocess, sys\n"
        "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'], start_new_session=True)\n"
        "print('val/loss: 1')\n"
    )
    begun = time.monotonic()
    result = lab.run()
    assert (result["status"], result["verdict"]) == ("ok", "advance")
    assert result["seconds"] <= time.monotonic() - begun - 1, "they had that second, and it is not the run's"
    run_folder = str(lab.folder / "runs/r0001").encode()
    assert not any(run_folder in environment(pid) for pid in lab.processes())


def environment(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return b""


def test_the_live_value_is_seen_while_a_run_trains(lab: Lab) -> None:
    lab.ready()
    lab.write(
        "import time\nfor i in range(600):\n"
        "    print('val/loss:', 5 - i / 1000, flush=True)\n    time.sleep(.05)\n"
    )
    run_id = lab.submit()["run_id"]
    lab.wait(run_id, until="launched")
    latest = wait_until(lambda: lab.get("run.get", run_id=run_id)["latest"], "a live value")
    assert 4 < latest <= 5
    lab.get("run.cancel", run_id=run_id)


def test_tail_follows_the_log_to_its_end(lab: Lab) -> None:
    lab.ready()
    lab.write(
        "import time\nfor i in range(10):\n"
        "    print('step', i, '\\x1b[1mbold', flush=True)\n    time.sleep(.1)\n"
    )
    run_id = lab.submit()["run_id"]
    lab.wait(run_id, until="launched")
    client = lab.rpc()
    client.call("run.tail", project=str(lab.project), expr=SLUG, run_id=run_id, follow=True)
    text = "".join(n["params"]["text"] for n in client.notifications)
    assert text.count("step 9 bold") == 1
    assert "\x1b" not in text


def test_status_counts_without_reading_the_history(lab: Lab) -> None:
    lab.ready(plateau=5, max_runs=20)
    lab.tried(1.0)
    lab.tried(2.0)
    found = lab.get("status.get", last=1)
    assert found["session"]["counters"]["advance"] == 1
    assert found["train_py"] == "in-sync with best"
    assert [row["run_id"] for row in found["recent"]] == ["r0002"]
    lab.write("# edit\n")
    assert lab.get("status.get")["train_py"] == "edited since r0001"


def test_wait_any_gives_each_verdict_once_also_of_runs_that_ended_between_two_calls(lab: Lab) -> None:
    lab.ready()
    runs = []
    for value in (1.0, 0.9, 0.8):
        lab.edit(value)
        runs.append(lab.submit(restore="at_submit")["run_id"])
    lab.wait(runs[1])
    wait_until(lambda: (lab.folder / f"runs/{runs[2]}/result.json").exists(), "the last verdict")
    given = [lab.wait(any=True)["run_id"] for _ in range(2)]
    assert given == [runs[0], runs[2]], "the second was given to whom waited for it"
    with pytest.raises(errors.UnknownRun, match="every verdict has been given"):
        lab.wait(any=True)
    lab.edit(0.7)
    lab.submit()
    lab.stop()
    lab.start()
    assert lab.wait(any=True)["run_id"] == "r0004"


def test_of_two_that_wait_for_any_each_gets_another_verdict(lab: Lab) -> None:
    lab.ready()
    clients = [lab.rpc(), lab.rpc()]
    for value in (1.0, 0.9):
        lab.edit(value)
        lab.submit(restore="at_submit")
    params = {"project": str(lab.project), "expr": lab.folder.name, "any": True}
    for client in clients:
        message = {"jsonrpc": "2.0", "id": 1, "method": "run.wait", "params": params}
        client.send_raw(json.dumps(message).encode() + b"\n")
    assert sorted(client.receive()["result"]["run_id"] for client in clients) == ["r0001", "r0002"]


def test_a_tail_from_beyond_every_end_has_nothing_more_to_say(lab: Lab) -> None:
    lab.ready()
    run_id = lab.tried(1.0)["run_id"]
    for offset in (10**6, 1 << 63, 1 << 200):
        with_offset = lab.get("run.tail", run_id=run_id, follow=True, offset=offset)
        assert with_offset["text"] == ""
