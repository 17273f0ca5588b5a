"""The local engine's waits: each of them ends, whatever a shim does and whatever stands in its files."""

import json
import os
import signal
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest
from msgspec.structs import replace

from ardaemon.core.errors import StorageError
from ardaemon.core.layout import Run
from ardaemon.core.model import Process
from ardaemon.core.run_record import Handle
from ardaemon.engines.base import Finished, NeverStarted, Running
from ardaemon.engines.local import beginning, starter
from ardaemon.engines.local.records import place_of
from ardaemon.host import file_lock, proc
from tests.support.engines import EngineWorld
from tests.support.lab import DEADLINE_S, wait_until
from tests.support.stuck import stuck

stopped_spare = pytest.mark.promise("stopped-spare")
GO = "while [ ! -e go ]; do sleep 0.02; done"


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[EngineWorld]:
    """An engine that waits for a shim for a moment only."""
    (tmp_path / "s").mkdir()
    monkeypatch.setattr(starter, "ACKNOWLEDGE_S", 0.2)
    monkeypatch.setattr(beginning, "BEGIN_S", 0.2)
    made = EngineWorld(tmp_path)
    try:
        yield made
    finally:
        made.close()


def runs(work: Callable[[], Awaitable[None]]) -> None:
    anyio.run(work)


def start_json(world: EngineWorld) -> Path:
    return Path(world.handle.folder) / "start.json"


async def given_to_a_stopped_shim(world: EngineWorld, script: str = "touch ran") -> int:
    """An attempt that waits in the socket of a stopped shim, and that shim."""
    spare = world.engine.starter.spare = await world.engine.starter._take()
    pid = spare.process.pid
    give = spare.give

    def halting(*arguments: object) -> None:
        os.kill(pid, signal.SIGSTOP)
        wait_until(lambda: proc.stopped(pid), "the spare to be stopped")
        give(*arguments)  # type: ignore[arg-type]

    spare.give = halting  # type: ignore[method-assign, assignment]
    assert await world.start(script) is None
    return pid


def test_a_start_json_that_names_another_process_does_not_stop_the_event_loop(world: EngineWorld) -> None:
    async def work() -> None:
        await world.engine.start(world.order(GO))
        await world.until(lambda: json.loads(start_json(world).read_bytes())["job"], "the job's pid")
        start_json(world).write_text(
            json.dumps({**json.loads(start_json(world).read_bytes()), "shim": [os.getpid(), 12345]})
        )
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_let_go, world)
            end = await world.engine.ended(world.handle)
        assert isinstance(end, Finished)
        assert end.exit.ending == "exited"

    runs(work)


async def _let_go(world: EngineWorld) -> None:
    await anyio.lowlevel.checkpoint()  # `ended` waits by now
    (world.root / "go").touch()


@stopped_spare
def test_an_attempt_that_lies_unread_in_a_socket_is_held_by_the_shim_that_the_lock_names(
    world: EngineWorld,
) -> None:
    async def work() -> None:
        pid = await given_to_a_stopped_shim(world)
        assert file_lock.is_locked(place_of(world.handle).shim_lock)
        named = file_lock.named_holder(place_of(world.handle).shim_lock)
        assert named == Process(pid, proc.start_time(pid) or 0, proc.name(pid))
        assert isinstance(await world.engine.begun(world.handle), NeverStarted)
        assert not file_lock.is_locked(place_of(world.handle).shim_lock)
        assert file_lock.named_holder(place_of(world.handle).shim_lock) is None, "it does not live any more"
        assert not (world.root / "ran").exists()

    runs(work)


@stopped_spare
def test_a_shim_that_begins_right_before_it_would_be_ended_goes_on(
    world: EngineWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def work() -> None:
        pid = await given_to_a_stopped_shim(world, GO)
        given_to = beginning.given_to

        def late(handle: Handle) -> list[Process]:
            os.kill(pid, signal.SIGCONT)
            wait_until(start_json(world).exists, "the shim to begin")
            return given_to(handle)

        monkeypatch.setattr(beginning, "given_to", late)
        begun = await world.engine.begun(world.handle)
        assert isinstance(begun, Running)
        assert begun.shim is not None
        assert begun.shim.pid == pid
        (world.root / "go").touch()
        end = await world.engine.ended(world.handle)
        assert isinstance(end, Finished)
        assert end.exit.exit_code == 0

    runs(work)


def test_a_shim_that_hangs_in_the_kernel_holds_its_attempt_until_it_is_gone(
    world: EngineWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a disk that does not answer: KILL does not end it, and it must not be launched twice."""
    monkeypatch.setattr(beginning, "FROZEN_S", 0.1)
    monkeypatch.setattr(beginning, "GONE_S", 0.2)

    async def work() -> None:
        with stuck(tmp_path / "fuse") as disk:
            assert await world.engine.start(replace(world.order("touch ran"), run=Run(disk.file))) is None
            disk.caught()
            with pytest.raises(StorageError, match="cannot be ended"):
                await world.engine.begun(world.handle)
            assert isinstance(world.engine.probe(world.handle), Running)
        await world.until(lambda: not file_lock.is_locked(place_of(world.handle).shim_lock), "its end")
        assert isinstance(await world.engine.begun(world.handle), NeverStarted)
        assert not (world.root / "ran").exists()

    runs(work)


def test_a_spare_that_hangs_in_the_kernel_is_left_behind(
    world: EngineWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def work() -> None:
        with stuck(tmp_path / "fuse") as disk:
            await world.engine.start(replace(world.order("touch ran"), run=Run(disk.file)))
            disk.caught()
            hanging = world.engine.starter.children[world.handle.folder]
            hanging.dismiss()  # a wait for its end would not come back: what it hangs on goes after that
            assert hanging.process.poll() is None
        hanging.process.wait(DEADLINE_S)

    runs(work)
