"""A thread that reads a long file ends when nobody waits for what it reads."""

import threading
from collections.abc import Generator
from contextlib import closing
from pathlib import Path

import anyio
import anyio.from_thread
import anyio.to_thread
import pytest

from ardaemon.core import file_kinds, files
from ardaemon.core.interrupting import interruptible
from ardaemon.host.disk import until_cancelled
from ardaemon.metrics.formats.growing import CHUNK, Growing
from ardaemon.metrics.sqlite_file import reading

WAIT_S = 30.0
ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n"


class Ended(BaseException):
    """Nobody waits any more."""


def test_a_daemon_that_stops_waits_for_no_reader_of_a_large_file(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    path.write_bytes(b"1,0.5\n" * CHUNK)
    begun, cancelled = threading.Event(), threading.Event()
    seen: list[int] = []

    def work() -> None:
        for at, _ in Growing(path).lines():
            if not seen:
                begun.set()
                assert cancelled.wait(WAIT_S)
            seen.append(at)

    async def stop() -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(anyio.to_thread.run_sync, until_cancelled(work))
            assert await anyio.to_thread.run_sync(begun.wait, WAIT_S)
            tasks.cancel_scope.cancel()
            cancelled.set()

    anyio.run(stop)
    assert seen[-1] < 2 * CHUNK  # of six: what was read before


def test_a_log_that_is_read_in_blocks_is_given_up_between_two_of_them(tmp_path: Path) -> None:
    path = tmp_path / "run.log"
    path.write_bytes(bytes(1 << 20))
    blocks: list[bytes] = []

    def check() -> None:
        if len(blocks) == 3:
            raise Ended

    def work() -> None:
        with files.opened(path, file_kinds.LOG) as file:
            while block := file.read(1 << 16):
                blocks.append(block)

    with pytest.raises(Ended):
        interruptible(check, work)
    assert len(blocks) == 3
    blocks.clear()
    work()  # nobody can end it
    assert len(blocks) == 16


def test_a_query_that_takes_long_is_given_up(tmp_path: Path) -> None:
    path = tmp_path / "metrics.db"
    path.write_bytes(b"")
    looks = iter(range(10))

    def check() -> None:
        if next(looks, None) is None:
            raise Ended

    def work() -> Generator[object, None, None]:
        with reading(path, seconds=WAIT_S) as connection:
            yield from connection.execute(ENDLESS)

    with pytest.raises(Ended), closing(work()) as rows:
        interruptible(check, lambda: list(rows))
