"""The gate of the queue: its file and the daemon's memory say the same."""

import time
from pathlib import Path
from typing import Any

import anyio
import anyio.from_thread
import pytest

from ardaemon.core.gate import Order
from ardaemon.core.hours import Hours
from ardaemon.host import state
from ardaemon.queue.gate import LOOK_S, Gate


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


def test_a_view_looks_again_where_the_clock_may_change_something(tmp_path: Path) -> None:
    """The scheduler sleeps on while it is open: nothing starts by its closing."""
    always, sometimes = Gate(tmp_path / "none", None), Gate(tmp_path / "none", Hours(0, 24 * 60 - 1))
    sometimes.order = Order(state="open", until=time.time() + 600)
    assert (always.sleep_s(), always.look_s()) == (None, None)
    assert (sometimes.sleep_s(), sometimes.look_s()) == (None, LOOK_S)
    assert sometimes.opened_until() == sometimes.order.until
    always.order = Order(state="paused")
    assert always.look_s() == always.sleep_s() == LOOK_S


@pytest.mark.parametrize("place", ["folder", "link", "text"])
def test_what_is_in_the_place_of_the_order_keeps_the_queue_closed_until_resume(
    tmp_path: Path, place: str
) -> None:
    """`arctl queue resume`, as the reason says, works whatever stands there; a folder's files are kept."""
    file, elsewhere = tmp_path / "queue.json", tmp_path / "elsewhere"
    elsewhere.mkdir()
    if place == "folder":
        (file / "x").mkdir(parents=True)
    elif place == "link":
        file.symlink_to(elsewhere)
    else:
        file.write_text("{")
    gate = Gate(file, None)
    closed = gate.closed()
    assert closed is not None
    assert closed.why.endswith("the queue is paused: arctl queue resume")
    anyio.run(gate.set, Order(state="open", until=0.0))
    assert gate.closed() is None
    assert state.read(file, Order) == gate.order
    assert [path.name for path in tmp_path.glob("*/x")] == ["x"] * (place == "folder")
