"""`events.subscribe` with `live`: how things stand now, for those who watch and for nobody else."""

import asyncio
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import anyio
import pytest

from ardaemon.core.config import Config
from ardaemon.core.gpus import Inventory
from ardaemon.core.live_config import LiveConfig
from ardaemon.core.protocol import RunView
from ardaemon.gpus.book import GpuBook
from ardaemon.handlers import live
from ardaemon.queue.board import Board
from ardaemon.queue.gate import Gate
from ardaemon.queue.placement import Placement
from tests.support import chains
from tests.support.lab import SLUG, Lab, Rpc, wait_until
from tests.support.machine import with_gpus
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
    lab.wait(run_id, until="launched")  # else its start may be told before all else
    lab.submit(note="the next one")
    client = subscribed(lab, live=True)
    first = client.receive()["params"]
    assert first["event"] == "queue"
    assert [run["run_id"] for run in first["runs"]] == ["r0001", "r0002"]
    assert (first["total"], first["runs"][1]["note"]) == (2, "the next one")
    assert first["runs"][1]["submitted_at"]
    last = heard(client, lambda event: (event.get("latest"), event.get("line")) == (1.7, "epoch 50%"))[-1]
    assert (last["event"], last["expr"], last["run_id"]) == ("progress", SLUG, run_id)
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


def test_a_watcher_is_told_that_the_queue_is_paused_and_that_it_goes_on(lab: Lab) -> None:
    lab.ready()
    client = subscribed(lab, live=True)
    assert client.receive()["params"]["closed"] is None
    lab.call("queue.pause")
    assert "paused" in heard(client, is_event("queue"))[-1]["closed"]
    lab.call("queue.resume")
    assert heard(client, is_event("queue"))[-1]["closed"] is None


def test_where_there_are_gpus_a_watcher_sees_them_at_once_and_as_they_change(lab: Lab) -> None:
    fake = with_gpus(lab, 2)
    lab.ready()
    client = subscribed(lab, live=True)
    first, second = (client.receive()["params"] for _ in range(2))
    assert (first["event"], second["event"]) == ("queue", "gpus")
    assert [gpu["index"] for gpu in second["gpus"]] == [0, 1]
    fake.gpu(1, utilisation=73)
    fake.write()
    after = heard(client, lambda event: event["event"] == "gpus" and event["gpus"][1]["utilisation"] == 73)
    assert after[-1]["gpus"][0]["name"] == second["gpus"][0]["name"]


def test_nothing_is_at_work_once_nobody_watches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One loop for all watchers, however often they come and go."""
    monkeypatch.setattr(live, "EVERY_S", 0.01)
    looks = 0

    def views(*_: object) -> Iterator[RunView]:
        nonlocal looks
        looks += 1
        return iter(())

    async def inventory() -> Inventory:
        return Inventory(state="none", at=0.0)

    async def story() -> None:
        placement = Placement(Config(), GpuBook())
        board = Board(LiveConfig(Config()), placement, Gate(tmp_path / "gate.json", None))
        context: Any = SimpleNamespace(
            board=board,
            views=SimpleNamespace(views=views),
            overseer=SimpleNamespace(inventory=inventory),
        )
        async with anyio.create_task_group() as tasks:
            feed = live.Live(context, tasks)
            for _ in range(3):
                send, receive = anyio.create_memory_object_stream[Any](8)
                board.subscribers.add(send)
                await feed.join(send)
                assert (await receive.receive())["event"] == "queue"
                assert looks > 0
                feed.leave(send)
                send.close()
                receive.close()
            with anyio.fail_after(10):
                while feed.looping or len(asyncio.all_tasks()) > 1:  # one is left: this one
                    board.wake()  # a parked loop looks once more, and ends
                    await anyio.sleep(0.01)
            before = looks
            board.wake()
            assert len(asyncio.all_tasks()) == 1, "nobody is left who could look"
            assert looks == before

    asyncio.run(story())


def test_a_view_that_fails_ends_neither_the_daemon_nor_the_view(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "EVERY_S", 0.01)
    said: list[str] = []

    async def story() -> None:
        at_work = {"r0001": SimpleNamespace(state="running")}
        looked_twice = anyio.Event()

        def warning(message: str, **_: object) -> None:
            said.append(message)
            if len(said) == 2:
                looked_twice.set()

        monkeypatch.setattr(live.log, "warning", warning)
        context: Any = SimpleNamespace(board=SimpleNamespace(changed=anyio.Event(), flights=at_work))
        async with anyio.create_task_group() as tasks:
            feed = live.Live(context, tasks)
            send, receive = anyio.create_memory_object_stream[Any](8)
            feed.watchers.add(send)  # what it looks at is not there: each look fails
            tasks.start_soon(feed.loop)
            with anyio.fail_after(10):
                await looked_twice.wait()
            feed.leave(send)
            tasks.cancel_scope.cancel()
        send.close()
        receive.close()

    asyncio.run(story())
    assert set(said) == {"not told"}


def test_a_long_queue_is_looked_at_when_it_has_changed(tmp_path: Path) -> None:
    """A look at 10,000 runs takes a while; a short queue is looked at each time."""
    looks = 0

    def views(*_: object) -> Iterator[RunView]:
        nonlocal looks
        looks += 1
        return iter(())

    board: Any = Board(
        LiveConfig(Config()), Placement(Config(), GpuBook()), Gate(tmp_path / "gate.json", None)
    )
    context: Any = SimpleNamespace(board=board, views=SimpleNamespace(views=views))
    tasks: Any = None
    feed = live.Live(context, tasks)
    for count, expected in ((live.RUNS_MAX, 3), (live.RUNS_MAX + 1, 2)):
        board.flights = dict.fromkeys(range(count))
        looks = 0
        board.wake()
        list(feed.changes())
        list(feed.changes())
        board.wake()
        list(feed.changes())
        assert looks == expected
