"""The daemon's own log: what is in it, and the one thing that is not."""

import asyncio
import json
import logging
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from ardaemon.journal import open_log


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Path]:
    """An open log; the loggers are as before afterwards."""
    root, theirs = logging.getLogger(), logging.getLogger("asyncio")
    before, filters, level = list(root.handlers), list(theirs.filters), root.level
    open_log(tmp_path / "daemon.log")
    yield tmp_path / "daemon.log"
    for handler in root.handlers[len(before) :]:
        root.removeHandler(handler)
        handler.close()
    theirs.filters[:] = filters
    root.setLevel(level)


def lines(path: Path) -> list[dict[str, Any]]:
    """Its lines."""
    return [json.loads(line) for line in path.read_text().splitlines()]


async def cancelled_as_its_data_comes() -> list[BaseException]:
    """A read is cancelled in the very turn of the loop in which its data comes; what asyncio was told."""
    loop = asyncio.get_running_loop()
    told: list[BaseException] = []

    def handler(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        told.append(context["exception"])
        loop.default_exception_handler(context)

    loop.set_exception_handler(handler)
    ours, theirs = socket.socketpair(socket.AF_UNIX)
    ours.setblocking(False)
    stream = await anyio.abc.UNIXSocketStream.from_socket(ours)
    with theirs:
        async with stream, anyio.create_task_group() as tasks:
            tasks.start_soon(stream.receive)
            await anyio.wait_all_tasks_blocked()

            def come_and_cancel() -> None:
                theirs.send(b"x")
                loop.call_soon(tasks.cancel_scope.cancel)

            loop.call_soon(come_and_cancel)
            await anyio.sleep_forever()
    return told


def test_a_read_that_is_cancelled_as_its_data_comes_is_no_fault(log: Path) -> None:
    told = anyio.run(cancelled_as_its_data_comes)
    assert {type(error) for error in told} <= {asyncio.InvalidStateError}  # none where anyio has mended it
    logging.getLogger("ardaemon").info("after")
    assert [line["event"] for line in lines(log)] == ["after"]


def test_every_other_fault_of_a_callback_is_in_the_log_with_its_traceback(log: Path) -> None:
    def fault() -> None:
        raise asyncio.InvalidStateError("of ours")

    async def main() -> None:
        asyncio.get_running_loop().call_soon(fault)
        await anyio.lowlevel.checkpoint()
        await anyio.lowlevel.checkpoint()

    anyio.run(main)
    assert [line["level"] for line in lines(log)] == ["error"]
    assert "of ours" in lines(log)[0]["traceback"]
