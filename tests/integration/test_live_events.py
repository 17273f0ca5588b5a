"""`events.subscribe` with `live`: how things stand now, for those who watch and for nobody else."""

import json
from collections.abc import Callable
from typing import Any

from tests.support import chains
from tests.support.lab import SLUG, Lab, Rpc, wait_until
from tests.support.shell import UNTIL_TOLD

STEPS = """import os, time
for step in range(1, 4):
    print(f"step {{step}} val/loss: {{2.0 - step / 10}}", flush=True)
    print("\\x1b[31mepoch\\x1b[0m  10%\\repoch  50%", flush=True)
    time.sleep(0.6)
while not os.path.exists({go!r}):
    time.sleep(0.02)
"""


def subscribed(lab: Lab, **params: Any) -> Rpc:
    """A subscriber, once it misses nothing any more."""
    client = lab.rpc()
    call = {"jsonrpc": "2.0", "id": 1, "method": "events.subscribe", "params": {"confirm": True, **params}}
    client.send_raw(json.dumps(call).encode() + b"\n")
    assert client.receive()["params"] == {"event": "subscribed"}
    return client


def heard(client: Rpc, wanted: Callable[[dict[str, Any]], bool]) -> list[dict[str, Any]]:
    """All that comes until one event is as wanted, that one included."""
    events: list[dict[str, Any]] = []
    while not events or not wanted(events[-1]):
        message = client.receive()
        assert message is not None, events
        events.append(message["params"])
    return events


def is_event(name: str) -> Callable[[dict[str, Any]], bool]:
    return lambda event: event["event"] == name


def test_a_watcher_gets_the_queue_at_once_then_the_progress_of_what_runs(lab: Lab) -> None:
    lab.ready()
    go = lab.root / "go"
    lab.write(STEPS.format(go=str(go)))
    run_id = lab.submit()["run_id"]
    lab.submit(note="the next one")
    client = subscribed(lab, live=True)
    first = client.receive()["params"]
    assert first["event"] == "queue"
    assert [run["run_id"] for run in first["runs"]] == ["r0001", "r0002"]
    assert (first["total"], first["runs"][1]["note"]) == (2, "the next one")
    assert first["runs"][1]["submitted_at"]
    last = heard(client, lambda event: event.get("latest") == 1.7)[-1]
    assert (last["event"], last["expr"], last["run_id"]) == ("progress", SLUG, run_id)
    assert last["line"] == "epoch 50%"
    assert 0 < last["elapsed"] < 20
    curve = lab.get("run.curve", run_id=run_id)
    assert curve["state"] == "running"
    assert [point["value"] for point in curve["points"]][-1] == 1.7
    assert all(0 < point["at"] < curve["seconds"] for point in curve["points"])
    go.touch()
    assert heard(client, lambda event: event.get("total") == 0)[-1]["runs"] == [], "told as it changes"


def test_the_curve_of_a_committed_run_is_read_from_its_file(lab: Lab) -> None:
    lab.ready()
    lab.write("".join(f'print("step {step} val/loss: {1000 - step}")\n' for step in range(1000)))
    lab.run()
    curve = lab.get("run.curve", run_id="r0001")
    values = [point["value"] for point in curve["points"]]
    assert (values[0], values[-1], curve["state"]) == (1000.0, 1.0, "committed")
    assert 100 <= len(values) <= 200
    (lab.folder / "runs/r0001/a1/curve.jsonl").write_bytes(b'{"step":1,"value":1e400}\nno json\n[]\n' * 3)
    assert lab.get("run.curve", run_id="r0001")["points"] == []


def test_who_only_subscribes_gets_no_live_event_and_a_watcher_all_others_too(lab: Lab) -> None:
    lab.ready()
    plain, watcher = subscribed(lab), subscribed(lab, live=True)
    lab.write(UNTIL_TOLD.format(go=str(lab.root / "go"), value=0.5))
    lab.submit()
    heard(watcher, is_event("progress"))
    (lab.root / "go").touch()
    live = heard(watcher, is_event("committed"))
    events = heard(plain, is_event("committed"))
    assert [event["event"] for event in events] == ["submitted", "started", "ended", "committed"]
    assert [event for event in live if event["event"] in ("ended", "committed")] == events[2:]


def test_a_change_of_the_session_is_told(lab: Lab) -> None:
    lab.ready()
    client = subscribed(lab, expr=SLUG)
    lab.get("session.set", given={"max_runs": 7})
    lab.get("session.stop")
    lab.session(resume="continue")
    told = [client.receive()["params"] for _ in range(3)]
    where = {"event": "session", "project": str(lab.project), "expr": SLUG}
    assert told == [{**where, "live": True}, {**where, "live": False}, {**where, "live": True}]


def test_a_watcher_that_goes_away_leaves_nothing_behind(lab: Lab) -> None:
    lab.ready()
    client = subscribed(lab, live=True)
    client.close()
    lab.clients.remove(client)
    assert lab.run()["verdict"] == "advance"
    assert lab.events("InternalError") == []
    log = (lab.home / "daemon.log").read_text()
    assert "Traceback" not in log
    wait_until(lambda: lab.call("daemon.info")["active"] == 0, "all is committed")


def test_the_next_experiment_of_a_chain_is_told_to_who_watches_either(lab: Lab) -> None:
    chains.parent(lab.start())
    client = subscribed(lab)
    chains.go_on(lab)
    told = [client.receive()["params"] for _ in range(2)]
    assert [(event["event"], event["expr"], event["live"]) for event in told] == [
        ("session", SLUG, False),
        ("session", chains.CHILD, True),
    ]
