"""The sampler's loop: when it looks, at what, and when it sleeps."""

import itertools
import os
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest

from ardaemon.core.gpus import GpuProcess, GpuReading, Inventory
from ardaemon.core.layout import Attempt
from ardaemon.core.measured import GivenCard, Header
from ardaemon.core.model import Process
from ardaemon.measuring import samples
from ardaemon.measuring.attempt import Job, Measuring, recall
from ardaemon.measuring.sampler import (
    ASKED_EVERY_S,
    ASKED_FOR_S,
    AT_WORK_EVERY_S,
    COST_SHARE,
    YOUNG_EVERY_S,
    YOUNG_S,
    Sampler,
    Tick,
)
from tests.support.trees import tree

DEADLINE_S = 20
CARD = Header(cards=(GivenCard(uuid="GPU-0", index=0, name="A100", baseline_mb=0.0),))


class Gpu:
    """One GPU whose state the test says; it writes down how it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[float, bool, bool]] = []
        self.processes: tuple[GpuProcess, ...] = ()
        self.fault: Exception | None = None
        self.cpu_s = 0.0
        self.open = anyio.Event()
        self.open.set()
        self.inside = 0
        self.called = anyio.Event()

    async def times(self, count: int) -> None:
        """It was asked so often."""
        with anyio.fail_after(DEADLINE_S):
            while len(self.asked) < count:
                await self.called.wait()

    async def read(self, thorough: bool = False, graphics: bool = False) -> Inventory:
        self.asked.append((time.monotonic(), thorough, graphics))
        self.called.set()
        self.called = anyio.Event()
        self.inside += 1
        assert self.inside == 1, "two looks at once"
        await self.open.wait()
        self.inside -= 1
        if self.fault is not None:
            raise self.fault
        gpu = GpuReading(uuid="GPU-0", index=0, used_mb=1.0, processes=self.processes)
        return Inventory(state="ok", at=time.monotonic(), gpus=(gpu,), cpu_s=self.cpu_s)


class World:
    """A sampler at work, and what it has told."""

    def __init__(self) -> None:
        self.gpu = Gpu()
        self.ticks: list[Tick] = []
        self.changed = anyio.Event()
        self.sampler = Sampler(self.gpu.read, self.tell)

    def tell(self, tick: Tick) -> None:
        self.ticks.append(tick)
        self.changed.set()
        self.changed = anyio.Event()

    async def until(self, reached: Callable[[], object]) -> None:
        with anyio.fail_after(DEADLINE_S):
            while not reached():
                await self.changed.wait()


@asynccontextmanager
async def at_work() -> AsyncIterator[World]:
    """Its loop, until the block ends."""
    world = World()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(world.sampler.loop)
        yield world
        tasks.cancel_scope.cancel()


def job(
    folder: Path, root: Process | None = None, header: Header = CARD, age: float = 0.0, **facts: float
) -> Job:
    folder.mkdir(parents=True, exist_ok=True)
    return Job(
        attempt=Attempt(folder),
        started=time.monotonic() - age,
        header=header,
        roots=() if root is None else (root,),
        **facts,  # type: ignore[arg-type]
    )


def test_a_run_whose_disk_hangs_keeps_no_other_from_being_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer, hangs, write = threading.Event(), threading.Event(), Measuring.write

    def maybe_hang(measuring: Measuring) -> None:
        if measuring.job.attempt.folder.name == "dead":
            hangs.set()
            answer.wait()
        write(measuring)

    async def story() -> None:
        async with at_work() as world:
            dead, alive = job(tmp_path / "dead"), job(tmp_path / "alive")
            world.sampler.begin(dead)
            await world.until(hangs.is_set)
            world.sampler.begin(alive)
            begun = len(world.ticks)
            await world.until(lambda: len(world.ticks) >= begun + 3)
            assert await world.sampler.end(alive.key) is not None
            answer.set()
            assert await world.sampler.end(dead.key) is not None

    monkeypatch.setattr(Measuring, "write", maybe_hang)
    anyio.run(story)


def test_a_run_is_measured_from_its_start_to_its_end(tmp_path: Path) -> None:
    async def story() -> None:
        environment = {**os.environ, "AR_RUN_DIR": str(tmp_path), "AR_ATTEMPT": "1"}
        with tree("kept = hold(100)\nready()", environment) as (root, _):
            async with at_work() as world:
                world.gpu.processes = (GpuProcess(pid=root.pid, used_mb=4000.0),)
                asked = job(tmp_path / "a1", root)
                world.sampler.begin(asked)
                await world.until(lambda: len(world.ticks) >= 3)
                live = world.sampler.live(asked.key)
                assert live is not None
                assert (live.vram_mb, live.by) == (4000, "process")
                assert live.rss_mb == pytest.approx(100, abs=40)
                holders = world.ticks[-1].holders["GPU-0"]
                assert holders is not None
                assert holders[0].owner == asked.key
                found = await world.sampler.end(asked.key)
                assert found is not None
                assert (found.peak_vram_mb, found.source) == (4000, "process")
                assert found == recall(asked.attempt)
                assert world.sampler.live(asked.key) is None
                assert await world.sampler.end(asked.key) is None

    anyio.run(story)


def test_it_sleeps_when_nothing_runs_and_nobody_asks(tmp_path: Path) -> None:
    async def story() -> None:
        async with at_work() as world:
            await anyio.wait_all_tasks_blocked()
            assert world.ticks == []
            world.sampler.begin(asked := job(tmp_path / "a1"))
            await world.until(lambda: world.ticks)
            await world.sampler.end(asked.key)
            assert world.sampler.interval(time.monotonic()) is None

    anyio.run(story)


def test_how_often_it_looks(tmp_path: Path) -> None:
    async def story() -> None:
        sampler = Sampler(Gpu().read, lambda _: None)
        now = time.monotonic()
        assert sampler.interval(now) is None
        sampler.ask()
        assert sampler.interval(now + ASKED_FOR_S / 2) == ASKED_EVERY_S
        assert sampler.interval(now + ASKED_FOR_S + DEADLINE_S) is None
        sampler.begin(job(tmp_path / "a1", age=YOUNG_S + DEADLINE_S))
        assert sampler.interval(now) == AT_WORK_EVERY_S
        sampler.begin(job(tmp_path / "a2"))
        assert sampler.interval(now) == YOUNG_EVERY_S
        assert sampler.interval(now + YOUNG_S + DEADLINE_S) == AT_WORK_EVERY_S
        sampler._cost = COST_SHARE / 2  # of a tick: then two a second are its share
        assert sampler.interval(now) == pytest.approx(0.5)
        sampler._cost = 10.0
        assert sampler.interval(now) == AT_WORK_EVERY_S

    anyio.run(story)


def test_a_slow_driver_is_asked_less_often_for_a_young_run(tmp_path: Path) -> None:
    async def story() -> None:
        gpu = Gpu()
        sampler = Sampler(gpu.read, lambda _: None)
        gpu.cpu_s = 1.0
        sampler.begin(job(tmp_path / "a1"))
        assert sampler.interval(time.monotonic()) == YOUNG_EVERY_S
        await sampler._survive()
        assert sampler.interval(time.monotonic()) == AT_WORK_EVERY_S

    anyio.run(story)


def test_a_young_run_is_looked_at_four_times_a_second_and_dear_things_rarely(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # However dear a look is on a busy machine.
    monkeypatch.setattr("ardaemon.measuring.sampler.COST_SHARE", 1.0)

    async def story() -> None:
        async with at_work() as world:
            world.sampler.begin(job(tmp_path / "a1"))
            await world.until(lambda: len(world.ticks) >= 6)
        times = [at for at, _, _ in world.gpu.asked]
        # A busy machine makes a look late, and the next gap shorter: never all of them, nor the whole.
        assert min(after - before for before, after in itertools.pairwise(times)) < 2 * YOUNG_EVERY_S
        assert times[-1] - times[0] > (len(times) - 2) * YOUNG_EVERY_S, "they rest in between"
        assert [thorough for _, thorough, _ in world.gpu.asked[:4]] == [True, False, False, False]
        assert [graphics for _, _, graphics in world.gpu.asked[:4]] == [True, False, False, False]

    anyio.run(story)


def test_a_run_without_a_card_asks_no_gpu(tmp_path: Path) -> None:
    async def story() -> None:
        with tree("ready()") as (root, _):
            async with at_work() as world:
                asked = job(tmp_path / "a1", root, Header())
                world.sampler.begin(asked)
                await world.until(lambda: len(world.ticks) >= 2)
                assert world.gpu.asked == []
                assert world.ticks[-1].inventory is None
                live = world.sampler.live(asked.key)
                assert live is not None
                assert live.rss_mb

    anyio.run(story)


def test_who_asks_is_told_without_any_run() -> None:
    async def story() -> None:
        async with at_work() as world:
            world.sampler.ask()
            await world.until(lambda: world.ticks)
            assert world.ticks[0].inventory is not None
            assert world.ticks[0].inventory.state == "ok"

    anyio.run(story)


def test_who_asks_without_a_pause_does_not_make_it_spin() -> None:
    async def story() -> None:
        async with at_work() as world:
            end = time.monotonic() + 0.5
            while time.monotonic() < end:
                world.sampler.ask()
                await anyio.lowlevel.checkpoint()
            assert len(world.ticks) <= 12

    anyio.run(story)


def test_a_limit_that_is_passed_is_told(tmp_path: Path) -> None:
    async def story() -> None:
        with tree("kept = hold(100)\nready()") as (root, _):
            async with at_work() as world:
                asked = job(tmp_path / "a1", root, Header(), max_rss_mb=50.0)
                world.sampler.begin(asked)
                await world.until(lambda: world.ticks)
                assert world.ticks[0].breaches[asked.key].limit == "rss_limit"

    anyio.run(story)


def test_an_end_does_not_wait_for_a_driver_that_hangs(tmp_path: Path) -> None:
    async def story() -> None:
        async with at_work() as world:
            asked = job(tmp_path / "a1")
            world.sampler.begin(asked)
            await world.until(lambda: world.ticks)
            world.gpu.open = anyio.Event()
            await world.gpu.times(len(world.gpu.asked) + 1)
            with anyio.fail_after(DEADLINE_S):
                assert await world.sampler.end(asked.key) is not None
            world.gpu.open.set()

    anyio.run(story)


def test_a_reader_that_fails_is_logged_once_and_asked_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def story() -> None:
        async with at_work() as world:
            world.gpu.fault = RuntimeError("no such luck")
            world.sampler.begin(job(tmp_path / "a1"))
            await world.gpu.times(3)
            world.gpu.fault = None
            await world.until(lambda: world.ticks)

    anyio.run(story)
    assert [record.message for record in caplog.records] == ["no sample"]


def test_a_run_that_ended_before_the_first_look_has_its_record(tmp_path: Path) -> None:
    async def story() -> None:
        sampler = Sampler(Gpu().read, lambda _: None)
        asked = job(tmp_path / "a1")
        sampler.begin(asked)
        found = await sampler.end(asked.key)
        assert found is not None
        assert (found.peak_vram_mb, found.source, found.samples) == (None, "unknown", 0)
        assert asked.attempt.measured.exists()

    anyio.run(story)


def test_a_daemon_that_stops_leaves_every_sample_to_the_next(tmp_path: Path) -> None:
    async def story() -> None:
        async with at_work() as world:
            asked = job(tmp_path / "a1")
            world.sampler.begin(asked)
            await world.until(lambda: len(world.ticks) >= 4)
        await world.sampler.close()
        assert len(samples.read(asked.attempt.samples)[1]) == len(world.ticks)

    anyio.run(story)
