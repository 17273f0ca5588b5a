"""A disk that hangs is given up after a time, holds few threads, and refuses at once until it answers."""

import math
import threading
import time
import weakref
from pathlib import Path

import anyio
import pytest

from ardaemon.core import folders
from ardaemon.core.errors import StorageError
from ardaemon.core.folders import Look, walk
from ardaemon.host import disk
from tests.support.lab import wait_until

pytestmark = pytest.mark.promise("dead-disk")

PROJECT = Path("/somewhere/p")
HANGS_S = 30.0  # by then a question that has a deadline was given up


async def _refused(disks: disk.Disks, hung: threading.Event, count: list[int]) -> None:
    def hang() -> None:
        count.append(1)
        hung.wait()

    with pytest.raises(StorageError, match=r"/somewhere/p has not answered for 0\.2 s"):
        await disks.ask(PROJECT, hang)


def test_a_dead_disk_holds_few_threads_and_is_asked_again_when_it_has_answered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hung, begun = threading.Event(), list[int]()

    async def main() -> None:
        disks = disk.Disks()
        monkeypatch.setattr(disk, "ANSWER_S", 0.2)
        with anyio.fail_after(HANGS_S):
            async with anyio.create_task_group() as tasks:
                for _ in range(20):
                    tasks.start_soon(_refused, disks, hung, begun)
        await anyio.to_thread.run_sync(wait_until, lambda: begun, "a question")
        # Who waited for an answer now would wait for longer than this test does.
        monkeypatch.setattr(disk, "ANSWER_S", 10 * HANGS_S)
        hanging = disks._of(PROJECT).questions
        hanging.update(dict.fromkeys(hanging, -math.inf))
        with anyio.fail_after(HANGS_S):
            with pytest.raises(StorageError):
                await disks.ask(PROJECT, lambda: None)
            with pytest.raises(StorageError):
                await disks.do(PROJECT, lambda: None)
        assert await disks.ask(PROJECT.parent, lambda: "another") == "another"
        hung.set()
        await anyio.to_thread.run_sync(wait_until, lambda: _free(disks), "the threads")
        assert await disks.ask(PROJECT, lambda: "it answers") == "it answers"
        assert await disks.do(PROJECT, lambda: "it works") == "it works"
        assert len(begun) <= disk.QUESTIONS_MAX

    try:
        anyio.run(main)
    finally:
        hung.set()  # else its threads would keep this process


def _free(disks: disk.Disks) -> bool:
    return not disks._of(PROJECT).questions


def test_the_disks_that_were_asked_last_are_kept_and_no_others() -> None:
    async def main() -> None:
        disks = disk.Disks()
        await disks.ask(PROJECT, lambda: None)
        first = weakref.ref(disks._of(PROJECT))
        for number in range(disk.DISKS_KEPT - 1):
            await disks.ask(PROJECT / str(number), lambda: None)
        assert first() is not None
        await disks.ask(PROJECT / "another", lambda: None)
        assert first() is None

    anyio.run(main)


def test_who_goes_away_before_the_answer_makes_no_disk_dead() -> None:
    hung = threading.Event()

    async def main() -> None:
        disks = disk.Disks()
        with anyio.move_on_after(0.01):
            await disks.ask(PROJECT, hung.wait)
        assert await disks.ask(PROJECT, lambda: "alive") == "alive"
        hung.set()

    anyio.run(main)


def test_an_error_of_the_work_is_its_own() -> None:
    def refuse() -> None:
        raise FileNotFoundError("no such thing")

    with pytest.raises(FileNotFoundError):
        anyio.run(disk.Disks().ask, PROJECT, refuse)


def test_a_look_through_folders_ends_when_nobody_waits_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folders, "OFTEN", 1)
    (tmp_path / "one").touch()
    begun, ended = threading.Event(), threading.Event()

    def look_for_ever() -> None:
        look = Look(tmp_path, seconds=HANGS_S)
        try:
            while True:
                list(walk(tmp_path, look))
                begun.set()
        finally:
            ended.set()

    async def main() -> None:
        with anyio.CancelScope() as scope:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(anyio.to_thread.run_sync, disk.until_cancelled(look_for_ever))
                await anyio.to_thread.run_sync(wait_until, begun.is_set, "the look to begin")
                scope.cancel()
        assert ended.is_set()
        with anyio.move_on_after(0.01):
            await disk.Disks().ask(PROJECT, look_for_ever)

    begin = time.monotonic()
    anyio.run(main)
    assert time.monotonic() - begin < HANGS_S
