"""The gate of the queue: its file and the daemon's memory say the same."""

import time
from pathlib import Path
from typing import Any

import anyio
import anyio.from_thread
import pytest

from ardaemon.core.gate import Order
from ardaemon.host import state
from ardaemon.queue.gate import Gate


def test_of_two_orders_at_once_the_one_in_the_file_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the disk takes longer for the first: else a restart would bring back the other one."""
    file, write = tmp_path / "queue.json", state.write

    async def tell() -> None:
        written, gate = anyio.Event(), Gate(file, None)

        def slow(path: Path, order: Order, *more: Any) -> None:
            write(path, order, *more)
            if order.state == "paused":
                anyio.from_thread.run_sync(written.set)
                time.sleep(0.3)  # the disk, which has the file and does not say so yet

        monkeypatch.setattr(state, "write", slow)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(gate.set, Order(state="paused"))
            await written.wait()
            tasks.start_soon(gate.set, Order(state="open"))
        assert state.read(file, Order) == gate.order == Order(state="open")

    anyio.run(tell)
