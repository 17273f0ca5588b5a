"""`wait --any` at the moment in which the run that it waits for leaves the board."""

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ardaemon.core import protocol as p
from ardaemon.core.config import Config
from ardaemon.core.layout import Project
from ardaemon.core.live_config import LiveConfig
from ardaemon.gpus.book import GpuBook
from ardaemon.handlers import wait
from ardaemon.queue.board import Board
from ardaemon.queue.gate import Gate
from ardaemon.queue.placement import Placement
from tests.support.lab import SLUG


def test_a_verdict_that_comes_while_the_session_is_read_is_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The session was read before the commit, the board is looked at after it: neither knows of the run."""
    experiment = Project(tmp_path).experiment(SLUG)
    board = Board(LiveConfig(Config()), Placement(Config(), GpuBook()), Gate(tmp_path / "gate.json", None))
    key = (str(experiment.folder), "r0001")
    run = SimpleNamespace(run_id="r0001")
    record = SimpleNamespace(of="")
    flight: Any = SimpleNamespace(key=key, run=run, record=record, active=SimpleNamespace(seq=1))
    board.flights[key] = flight
    committed = SimpleNamespace(run_id="r0001", result="the verdict")
    undelivered: tuple[str, ...] = ()

    async def load(_: object) -> Any:
        nonlocal undelivered
        read, undelivered = undelivered, ("r0001",)
        if key in board.flights:  # the commit ends here
            del board.flights[key]
            board.wake()
        return SimpleNamespace(session=SimpleNamespace(undelivered=read, last_run=1))

    async def stored(*_: object) -> Any:
        return committed

    async def as_it_is(view: object, *_: object) -> object:
        return view

    async def resolve(*_: object) -> Any:
        return experiment

    monkeypatch.setattr(wait, "stored", stored)
    monkeypatch.setattr(wait.Waiter, "_with_feedback", lambda self, _, *given: as_it_is(*given))
    context: Any = SimpleNamespace(board=board, views=None, load=load, resolve=resolve)
    asked = p.Wait(project=str(tmp_path), expr=SLUG, any=True)
    notify: Any = None
    view: object = asyncio.run(wait.Waiter(context).run_wait(asked, notify))
    assert view is committed
