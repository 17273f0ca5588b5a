"""State files of other versions are read or refused, never harmed; a new daemon takes over from another."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ardaemon.core import errors
from ardaemon.core.gate import Order
from ardaemon.core.model import Best, Chain, Contract, Exit, Result, Session
from ardaemon.core.protocol import PROTOCOL
from ardaemon.core.run_record import Active, RunRecord
from ardaemon.core.version import VERSION
from ardaemon.core.words import CHAIN_FIRST
from ardaemon.host import state
from tests.support.jobs import alive, job_of, launched, shim_of
from tests.support.lab import DEADLINE_S, SLUG, Lab, Rpc, wait_until
from tests.support.older import Version, as_before, gone, replaced
from tests.support.promises import FULL, times
from tests.support.record import lay_out
from tests.support.run_json import changed, of_an_earlier_version
from tests.support.runs import everything
from tests.support.shell import Shell
from tests.support.strikes import start_at_copy

DATA = Path(__file__).parents[1] / "data"
older_state = pytest.mark.promise("older-state")
takeover = pytest.mark.promise("takeover")
PLATEAU = 9
# Leaves a mark per launch, and waits to be told.
MARKED = """import os, pathlib, time
here = pathlib.Path(os.environ["AR_EXPR_DIR"]).parent.parent
with open(here / "launches", "a") as file:
    file.write(os.environ["AR_RUN_ID"] + chr(10))
print("begun", flush=True)
while not (here / ("go-" + os.environ["AR_RUN_ID"])).exists():
    time.sleep(0.01)
print("val/loss: {value}")
"""


def go(lab: Lab, *runs: str) -> None:
    for run_id in runs:
        (lab.project / f"go-{run_id}").touch()


def launches(lab: Lab) -> list[str]:
    return (lab.project / "launches").read_text().split()


# --- files of another schema ---


def put(path: Path, data: bytes) -> None:
    """As every version writes: at one stroke. A daemon may look at any moment, as for a run that waits."""
    aside = path.with_name(f"{path.name}.put")
    aside.write_bytes(data)
    aside.replace(path)


def with_schema(path: Path, schema: int | None) -> bytes:
    """Write the file as if another version had: the schema is another one, or none."""
    facts = json.loads(path.read_bytes())
    facts.pop("schema", None)
    data = json.dumps(facts if schema is None else {"schema": schema, **facts}, indent=1).encode()
    put(path, data)
    return data


def asked(lab: Lab) -> list[str]:
    """Everything that can be asked of a daemon about the experiment; what it said against it."""
    calls: list[Callable[[], Any]] = [
        lambda: lab.get("status.get", last=5),
        lambda: lab.get("session.get"),
        lambda: lab.get("run.list"),
        lambda: lab.get("run.get", run_id="r0001"),
        lambda: lab.get("run.wait", run_id="r0001", timeout=0),
        lambda: lab.get("run.tail", run_id="r0001"),
        lambda: lab.get("experiment.seal"),
        lambda: lab.get("experiment.clean"),
        lambda: lab.submit(),
        lambda: lab.get("run.wait", timeout=5, any=True),
        lambda: lab.get("session.stop"),
        lambda: lab.session(resume="continue", ack=True),
        lambda: lab.get("experiment.seal", accept=True),
        lambda: lab.call("chain.get", project=str(lab.project))["warnings"],
        lambda: lab.call("queue.list")["warnings"],
    ]
    said: list[str] = []
    for call in calls:
        try:
            answer = call()
            said += map(str, answer) if call in calls[-2:] else []
        except errors.ArdaemonError as error:
            said.append(f"{error.message} {error.mend}")
    return said


def settled(lab: Lab) -> Lab:
    """Two committed runs, one with a checkpoint, and a chain."""
    lab.start()
    lab.init()
    lab.call(
        "session.start",
        project=str(lab.project),
        expr=SLUG,
        settings={"seconds": 20, "settle": 1, "plateau": PLATEAU, "checkpoint_glob": "{run_dir}/ck-*"},
        environment=lab.environment,
        chain=2,
    )
    lab.write("import os\nopen(os.environ['AR_RUN_DIR'] + '/ck-1', 'w').write('w')\nprint('val/loss: 1')\n")
    assert lab.run()["checkpoint"] == ".ckpt/r0001"
    lab.tried(2.0)
    return lab


# Below .autoresearch/; and whether a command must name it, since all it is read for is that command.
KINDS = {
    f"{SLUG}/.ar-session.json": True,
    f"{SLUG}/batch_contract.json": True,
    f"{SLUG}/best.json": True,
    f"{SLUG}/UNCLEAN.json": True,
    f"{SLUG}/chain_decision.json": True,
    f"{SLUG}/runs/r0001/run.json": True,
    f"{SLUG}/runs/r0001/result.json": True,
    ".chain-session.json": True,
    f"{SLUG}/runs/r0001/a1/exit.json": False,  # of a committed run: nobody reads it again
    f"{SLUG}/runs/r0001/a1/start.json": False,
    f"{SLUG}/runs/r0001/a1/before.json": False,
    f"{SLUG}/.ckpt/r0001/meta.json": False,
}
DECISION = {
    "schema": 1,
    "parent_expr": "261121-parent",
    "parent_primary": {"name": "val/loss", "direction": "min", "best_value": 1.0, "best_run": "r0001"},
    "child_primary": {"name": "val/loss", "direction": "min"},
    "child_goal": "lower it",
    "child_mutation_scope": ["train.py"],
    "rationale": "it still falls",
    "parent_report_sha256": "",
    "created_at": "2026-11-22T10:00:00Z",
    "chain_position": 1,
    "submit_id": "s",
}
SENTINEL = {"schema": 1, "run_id": "r0001", "survivors": [], "boot_id": "", "at": "2026-11-22T10:00:00Z"}
PUT_THERE = {"UNCLEAN.json": SENTINEL, "chain_decision.json": DECISION}


@older_state
@pytest.mark.timeout(300)
def test_a_file_of_another_schema_is_refused_by_name_and_stays_as_it_is(
    lab: Lab, record_property: Callable[[str, object], None]
) -> None:
    home = settled(lab).project / ".autoresearch"
    cases = 0
    for number, (kind, named) in enumerate(KINDS.items()):
        schemas = [0, None, 2] if FULL else [[None, 2][number % 2]]
        path = home / kind
        if path.name in PUT_THERE:
            put(path, json.dumps(PUT_THERE[path.name]).encode())
        before = path.read_bytes()
        for schema in schemas:
            cases += 1
            bytes_then = with_schema(path, schema)
            said = " ".join(asked(lab))
            if FULL or kind.endswith(("best.json", "session.json")):
                lab.stop()
                lab.start()
                said += " ".join(asked(lab))
            assert path.read_bytes() == bytes_then, f"{kind} with schema {schema} was changed"
            assert not list(path.parent.glob(f"{path.name}.broken*"))
            if named:
                found = "schema 2" if schema == 2 else "schema 0" if schema == 0 else "no schema"
                assert f"{path} has {found}; this version reads schema 1" in said, (kind, schema, said)
                assert ("upgrade" in said) == (schema == 2)
        put(path, before)
        if path.name in PUT_THERE:
            path.unlink()
        if FULL:
            assert not [line for line in asked(lab) if "schema" in line], kind
    assert not [line for line in asked(lab) if "schema" in line]
    record_property("cases", cases)


@older_state
@pytest.mark.parametrize("schema", [None, 2] if FULL else [2])
def test_a_queue_entry_of_another_schema_is_kept_and_shown_and_read_again_later(
    lab: Lab, schema: int | None
) -> None:
    lab.ready()
    running = launched(lab, MARKED.format(value=1))
    waiting = lab.submit()["run_id"]
    lab.kill()
    entries = sorted((lab.home / "active").iterdir())
    before = {entry: entry.read_bytes() for entry in entries}
    after = {entry: with_schema(entry, schema) for entry in entries}
    lab.start()
    shell = Shell(lab)
    process = shell.start("queue")
    _, _, shown = shell.end(process)
    assert all(str(entry) in shown for entry in entries)
    doctor = shell.start("doctor").communicate()[0]
    assert all(str(entry) in doctor for entry in entries)
    lab.edit(0.5)
    third = lab.submit()["run_id"]
    assert third == "r0003", "a number that another version gave away is not given again"
    view = lab.get("run.get", run_id=third)
    assert (view["state"], alive(job_of(lab, running))) == ("queued", True), "two ran in one slot"
    lab.stop()
    assert {entry: entry.read_bytes() for entry in entries} == after
    for entry, data in before.items():
        entry.write_bytes(data)
    lab.start()
    go(lab, running, waiting)
    for run_id in (running, waiting, third):
        assert lab.wait(run_id)["result"]["status"] == "ok"
    assert launches(lab) == [running, waiting]


@older_state
@pytest.mark.parametrize("name", ["start.json", "exit.json", "run.json"])
def test_a_run_in_flight_waits_for_a_version_that_can_read_its_files(lab: Lab, name: str) -> None:
    lab.ready()
    run_id = launched(lab, MARKED.format(value=1))
    job, shim = job_of(lab, run_id), shim_of(lab, run_id)
    lab.kill()
    if name == "exit.json":
        go(lab, run_id)
        wait_until(lambda: not alive(shim), "the shim's end")
    path = lab.folder / f"runs/{run_id}" / ("a1" if name != "run.json" else ".") / name
    before = path.read_bytes()
    after = with_schema(path, 2)
    lab.start()
    shell = Shell(lab)

    def shown() -> bool:
        out, err = shell.start("queue").communicate()
        return f"{path} has schema 2" in out + err

    wait_until(shown, "the queue to say what is in the way")
    assert path.read_bytes() == after
    assert alive(job) == (name != "exit.json")
    lab.stop()
    path.write_bytes(before)
    lab.start()
    go(lab, run_id)
    assert lab.wait(run_id)["result"]["exit_code"] == 0
    assert launches(lab) == [run_id]


@older_state
@pytest.mark.parametrize("ended", [False, True], ids=["at work", "ended meanwhile"])
def test_an_attempt_that_an_earlier_version_launched_is_found_again(lab: Lab, ended: bool) -> None:
    lab.ready()
    run_id = launched(lab, MARKED.format(value=1))
    job, shim = job_of(lab, run_id), shim_of(lab, run_id)
    lab.kill()

    def change(facts: dict[str, Any]) -> None:
        facts["state"]["handle"] = as_before(facts["state"]["handle"])

    of_an_earlier_version(lab, run_id, change)
    if ended:
        go(lab, run_id)
        wait_until(lambda: not alive(shim), "the shim's end")
    lab.start()
    if not ended:
        wait_until(lambda: lab.get("run.get", run_id=run_id)["state"] == "running", "the run to be found")
        assert lab.get("run.get", run_id=run_id)["pid"] == job
    go(lab, run_id)
    assert lab.wait(run_id)["result"]["exit_code"] == 0
    assert launches(lab) == [run_id]
    assert not list((lab.runtime / "ardaemon/locks").iterdir())


@older_state
@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"place": {"shim_lock": "-"}}, "does not say where attempt 1 is"),
        ({"engine": "cloud"}, "names the engine 'cloud', which this version does not have"),
    ],
)
def test_a_run_that_cannot_be_found_again_is_not_followed_and_the_others_are(
    lab: Lab, changes: dict[str, Any], why: str
) -> None:
    lab.ready()
    run_id = launched(lab, MARKED.format(value=1))
    lab.write(MARKED.format(value=2))
    other = lab.submit()["run_id"]
    lab.kill()
    path = lab.folder / f"runs/{run_id}/run.json"
    before = path.read_bytes()
    changed(lab, run_id, lambda facts: facts["state"]["handle"].update(changes))
    lab.start()
    warnings = wait_until(lambda: lab.call("queue.list")["warnings"], "the daemon's look at them")
    assert any(f"{path} {why}" in warning for warning in warnings), warnings
    assert [run["run_id"] for run in lab.call("queue.list")["runs"]] == [other]
    put(path, before)
    wait_until(lambda: len(lab.call("queue.list")["runs"]) == 2, "the run to be found")
    go(lab, run_id, other)
    for name in (run_id, other):
        assert lab.wait(name)["result"]["exit_code"] == 0
    assert launches(lab) == [run_id, other]


@older_state
def test_a_client_finds_a_daemon_whose_daemon_json_is_of_another_schema(lab: Lab) -> None:
    lab.ready()
    for schema in (0, None, 2):
        with_schema(lab.home / "daemon.json", schema)
        assert Shell(lab).json("daemon", "status")["pid"] == lab.pid


TYPES: dict[str, type[Any]] = {
    ".ar-session.json": Session,
    ".chain-session.json": Chain,
    "batch_contract.json": Contract,
    "best.json": Best,
    "run.json": RunRecord,
    "result.json": Result,
    "exit.json": Exit,
}


@older_state
@pytest.mark.parametrize("version", sorted(path.name for path in DATA.glob("schema*")))
def test_a_folder_that_an_earlier_version_wrote_is_read_whole(lab: Lab, version: str) -> None:
    lay_out(lab, DATA / version)
    committed = [lab.folder / "runs" / name for name in ("r0000", "r0001", "r0002", "r0003")]
    before = {folder: everything(folder) for folder in committed}
    for path in lab.folder.parent.rglob("*.json"):
        if path.name in TYPES:
            assert state.read(path, TYPES[path.name]) is not None
    for path in (lab.home / "active").iterdir():
        assert state.read(path, Active) is not None
    # Else the one that waited could be judged first: the slot is free before the verdict.
    state.write(lab.home / "queue.json", Order(state="paused"), 0o600)
    lab.start()
    ended = lab.wait("r0004")["result"]
    lab.call("queue.resume")
    waited = lab.wait("r0005")["result"]
    assert (ended["status"], ended["verdict"], ended["primary"]["value"]) == ("ok", "advance", 0.5)
    assert (waited["verdict"], waited["primary"]["best_before"]) == ("advance", 0.5)
    view = lab.get("status.get", last=9)
    assert [row["run_id"] for row in view["recent"]] == [f"r000{number}" for number in range(1, 6)]
    counters = {name: view["session"]["counters"][name] for name in ("advance", "revert", "crash")}
    assert counters == {"advance": 3, "revert": 1, "crash": 1}
    assert (view["best"]["run_id"], view["warnings"]) == ("r0005", [])
    assert lab.get("session.get")["chain_remaining"] == 2
    assert lab.get("run.get", run_id="r0003")["result"]["exit_code"] == 3
    report = lab.get("report.get")["text"]
    assert "- Runs: 5 (3 advance, 1 crash, 1 revert); session: live" in report
    assert "- best: r0005 " in report
    assert {folder: everything(folder) for folder in committed} == before
    lab.write('echo "val/loss: 0.75"\n')
    assert lab.run(environment={"PATH": "/usr/bin:/bin"})["run_id"] == "r0006"


def test_what_is_recorded_holds_nothing_of_the_machine_it_was_recorded_on() -> None:
    for path in DATA.glob("schema*/**/*.json"):
        assert "/tmp" not in path.read_text()
        assert str(Path.home()) not in path.read_text()


# --- another version takes over ---


def subscribed(lab: Lab) -> Rpc:
    """Who wants to hear of everything."""
    client = lab.rpc()
    client.send_raw(b'{"jsonrpc": "2.0", "id": 1, "method": "events.subscribe", "params": {}}\n')
    return client


def committed(client: Rpc) -> list[str]:
    """The runs of which a subscriber hears that they were committed, until its connection ends."""
    messages = iter(client.receive, None)
    return [m["params"]["run_id"] for m in messages if m.get("params", {}).get("event") == "committed"]


@takeover
@pytest.mark.parametrize("ago", [1, 2], ids=["the previous protocol", "two protocols ago"])
def test_a_newer_daemon_takes_over_from_an_older_one_with_runs_in_flight(lab: Lab, ago: int) -> None:
    old, new = Version(lab, "0.0.9", PROTOCOL - ago), Shell(lab)
    first_daemon = old.boot()
    lab.init()
    lab.session()
    running = launched(lab, MARKED.format(value=1))
    queued = []
    for value in (0.9, 0.8):
        lab.write(MARKED.format(value=value))
        queued.append(lab.submit()["run_id"])
    runs = [running, *queued, "r0004"]
    pids = shim_of(lab, running), job_of(lab, running)
    lab.write(MARKED.format(value=0.7))
    waiting = {
        "run --wait": old.start("run", "--wait"),
        "wait": old.start("wait", queued[0]),
        "wait --any": old.start("wait", "--any"),
        "tail": old.start("tail", "--follow", running),
    }
    if ago == 1:
        waiting |= {"new wait": new.start("wait", running), "new tail": new.start("tail", "-f", running)}
    subscriber = subscribed(lab)
    wait_until(lambda: len(lab.call("queue.list")["runs"]) == 4, "all four runs")
    if ago == 2:
        _, _, err = new.end(new.start("status"))
        assert f"speaks protocol {PROTOCOL - 2}" in err
        assert "arctl daemon restart" in err
    info = new.json("daemon", "restart")
    gone(first_daemon)
    assert (info["version"], info["active"]) == (VERSION, 4)
    assert json.loads((lab.home / "daemon.json").read_bytes())["version"] == VERSION
    assert (shim_of(lab, running), job_of(lab, running)) == pids
    assert alive(pids[1])
    assert committed(subscriber) == [], "its connection ends with the old one: it subscribes again"
    subscriber = subscribed(lab)
    for run_id in runs:  # one by one: the next one starts before the verdict of the one before
        go(lab, run_id)
        wait_until((lab.folder / f"runs/{run_id}/result.json").exists, f"the verdict of {run_id}")
    # Before this asks for any verdict: one that it has got is not left for `wait --any`, which may come late.
    ends = {name: old.end(process) for name, process in waiting.items()}
    for run_id in runs:
        assert lab.wait(run_id)["result"]["verdict"] == "advance"
    if ago == 1:
        assert {name: code for name, (code, _, _) in ends.items()} == dict.fromkeys(waiting, 0), ends
        assert ends["run --wait"][1].count("advance") == 1
        assert "val/loss=0.9" in ends["wait"][1]
        assert ends["wait --any"][1].count("advance") == 1
        for name in ("tail", "new tail"):
            assert ends[name][1] == "begun\nval/loss: 1\n", "each line once, across both daemons"
    else:
        assert all(code == 69 and "protocol" in err for code, _, err in ends.values()), ends
    assert launches(lab) == runs
    new("daemon", "stop")
    assert committed(subscriber) == runs


@takeover
def test_a_newer_client_says_what_an_older_daemon_may_not_know(lab: Lab) -> None:
    old, new = Version(lab, "0.0.9", PROTOCOL - 1), Shell(lab)
    replaced(old.root / "ardaemon/core/words.py", CHAIN_FIRST, "@unknown")
    old.boot()
    lab.init()
    lab.environment["AR_NONINTERACTIVE"] = "1"
    code, out, err = new.end(new.start("status", "--compact"))
    assert (code, out.splitlines()[0]) == (0, f"expr: {SLUG}"), err
    code, _, err = new.end(new.start("result", "r9"))
    assert code == 64
    assert "arctl daemon restart" in err
    new("daemon", "restart")
    assert "arctl daemon restart" not in new.end(new.start("result", "r9"))[2]
    new("daemon", "stop")


@takeover
def test_two_restarts_at_once_both_succeed_and_one_daemon_is_left(lab: Lab) -> None:
    old, new = Version(lab, "0.0.9", PROTOCOL - 1), Shell(lab)
    first_daemon = old.boot()
    lab.init()
    lab.session()
    running = launched(lab, MARKED.format(value=1))
    waiting = new.start("wait", running)
    both = [new.start("daemon", "restart", "--json") for _ in range(2)]
    infos = [json.loads(new.end(process)[1]) for process in both]
    gone(first_daemon)
    pids = {info["pid"] for info in infos}
    assert {info["version"] for info in infos} == {VERSION}
    assert [pid for pid in pids if alive(pid)] == [json.loads((lab.home / "daemon.json").read_bytes())["pid"]]
    go(lab, running)
    assert new.end(waiting)[0] == 0
    assert launches(lab) == [running]


@takeover
def test_a_restart_while_another_client_stops_the_daemon(lab: Lab) -> None:
    new = Shell(lab)
    new.json("daemon", "start")
    lab.init()
    lab.session()
    running = launched(lab, MARKED.format(value=1))
    stopping, restarting = new.start("daemon", "stop"), new.start("daemon", "restart")
    assert (new.end(stopping)[0], new.end(restarting)[0]) == (0, 0)
    new.json("daemon", "start")  # the stop may have come last
    go(lab, running)
    assert lab.wait(running)["result"]["verdict"] == "advance"
    assert launches(lab) == [running]


@takeover
@pytest.mark.parametrize("again", times(5, 1))
def test_a_restart_while_a_commit_is_under_way_judges_once(lab: Lab, again: int) -> None:
    """The daemon is held in the midst of it, at the copy of a checkpoint, until it is being stopped."""
    new, size = Shell(lab), 1 << 20
    flag = start_at_copy(lab, "ck-1", checkpoint_glob="{run_dir}/ck-*")
    saves = f"import os\nopen(os.environ['AR_RUN_DIR'] + '/ck-1', 'wb').write(bytes({size}))\n"
    lab.write(f"{saves}print('val/loss: 1')\n")
    run_id = lab.submit()["run_id"]
    wait_until(flag.exists, "the copy")
    partial = lab.folder / f".ckpt/.{run_id}.partial"
    assert partial.exists()
    assert not (lab.folder / f"runs/{run_id}/result.json").exists()
    restarting = new.start("daemon", "restart")
    wait_until(lambda: not (lab.home / "daemon.json").exists(), "the daemon's end to begin")
    flag.unlink()
    assert new.end(restarting)[0] == 0
    assert lab.wait(run_id)["result"]["checkpoint"] == f".ckpt/{run_id}"
    assert (lab.folder / f".ckpt/{run_id}/ck-1").stat().st_size == size
    assert not partial.exists()
    assert (lab.folder / "results.tsv").read_text().count(run_id) == 1
    assert lab.get("session.get")["session"]["counters"]["since_start"] == 1


@takeover
def test_sigterm_at_any_moment_of_a_start_leaves_a_folder_that_the_next_one_takes(
    lab: Lab, record_property: Callable[[str, object], None]
) -> None:
    lab.ready(seconds=300)
    running = launched(lab, MARKED.format(value=1))
    job = job_of(lab, running)
    lab.kill()
    moments = times(40, 5)
    begun = time.monotonic()
    lab.start()
    whole = time.monotonic() - begun
    lab.stop()
    for moment in moments:
        process = subprocess.Popen(
            [sys.executable, "-m", "ardaemon", "serve"],
            env=lab.environment,
            stdin=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        time.sleep(whole * 1.2 * moment / len(moments))  # not a wait: the moment of the signal
        process.send_signal(signal.SIGTERM)
        assert process.wait(DEADLINE_S) in (0, -signal.SIGTERM)
        assert alive(job)
    record_property("cases", len(moments))
    lab.start()
    wait_until(lambda: lab.get("run.get", run_id=running)["state"] == "running", "the run to be found")
    go(lab, running)
    assert lab.wait(running)["result"]["verdict"] == "advance"
    assert launches(lab) == [running]
