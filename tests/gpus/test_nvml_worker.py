"""The worker's life: given up when it hangs, replaced when it crashes, gone with its daemon."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest
from anyio.abc import TaskGroup

from ardaemon.core.gpus import Inventory
from ardaemon.gpus.nvml import Limits, backoff
from ardaemon.host import worker
from tests.support import nvml as codes
from tests.support.lab import DEADLINE_S, wait_until
from tests.support.nvml import FakeGpus
from tests.support.nvml.asked import Asked
from tests.support.stuck import stuck

ROOT = str(Path(__file__).parents[2])
HASTY = 0.3  # a deadline for what will never come
OTHER_PROCESS = """
import os, sys, anyio
sys.path.insert(0, {root!r})
from ardaemon.gpus.nvml import Nvml
async def main():
    nvml = Nvml()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(nvml.read)
        while nvml._worker is None: await anyio.sleep(0.01)
        print(nvml._worker.process.pid, flush=True)
        await anyio.sleep_forever()
anyio.run(main)
"""


# --- hangs and crashes ---


def test_an_init_that_hangs_is_given_up(asked: Asked, fake: FakeGpus) -> None:
    asked.limit(Limits(first=HASTY, respawn_first=0))
    fake.hang("nvmlInitWithFlags")
    fake.write()
    found = asked.read()
    assert (found.state, found.why) == ("unknown", "NVML has not answered for 0.3 s")
    assert not asked.workers


def test_a_call_that_hangs_is_given_up_and_a_new_worker_goes_on(asked: Asked, fake: FakeGpus) -> None:
    asked.gpu()
    asked.nvml.limits = Limits(first=DEADLINE_S, look=HASTY, respawn_first=0)
    fake.hang("nvmlDeviceGetUtilizationRates", gpu=1)
    fake.write()
    found = asked.read()
    assert (found.state, [gpu.used_mb for gpu in found.gpus]) == ("unknown", [None, None])
    assert not asked.workers
    fake.heal()
    fake.write()
    assert asked.read().state == "ok"


def test_a_hang_shows_though_nobody_waits_for_long(asked: Asked, fake: FakeGpus) -> None:
    async def impatient() -> Inventory | None:
        with anyio.move_on_after(0.01):
            return await asked.nvml.read()
        return None

    asked.gpu()
    asked.nvml.limits = Limits(look=HASTY, respawn_first=1000)
    fake.hang("nvmlDeviceGetUtilizationRates", gpu=1)
    fake.write()
    found = wait_until(lambda: asked.portal.call(impatient), "given up")
    assert (found.state, found.why) == ("unknown", "NVML has not answered for 0.3 s")


def test_an_answer_that_nobody_waited_for_is_not_taken_for_the_next(asked: Asked, fake: FakeGpus) -> None:
    async def cancelled() -> None:
        with anyio.CancelScope() as scope:
            scope.cancel()
            await asked.nvml.read()
        with anyio.CancelScope() as scope:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(asked.nvml.read)
                await anyio.lowlevel.checkpoint()
                await anyio.lowlevel.checkpoint()
                scope.cancel()

    asked.gpu()
    pid = asked.worker()
    for used in range(1, 20):
        asked.portal.call(cancelled)
        fake.gpu(0, used=used)
        fake.write()
        assert asked.gpu().used_mb == used
    assert asked.worker() == pid


@pytest.mark.parametrize("call", ["nvmlInitWithFlags", "nvmlDeviceGetMemoryInfo_v2"])
def test_a_crash_in_the_driver_is_the_workers_alone(asked: Asked, fake: FakeGpus, call: str) -> None:
    fake.crash(call)
    fake.write()
    found = asked.read()
    assert (found.state, found.why) == ("unknown", "the NVML worker ended (signal 11)")
    fake.heal()
    fake.write()
    assert asked.read().state == "ok"


def test_a_killed_worker_is_replaced(asked: Asked) -> None:
    asked.gpu()
    os.kill(asked.worker(), 9)
    found = asked.read()
    assert (found.state, found.why) == ("unknown", "the NVML worker ended (signal 9)")
    assert asked.read().state == "ok"


def test_after_a_failure_no_worker_is_started_for_a_while(asked: Asked, fake: FakeGpus) -> None:
    asked.limit(Limits(respawn_first=1000, respawn_max=1000))
    asked.gpu()
    os.kill(asked.worker(), 9)
    first, second = asked.read(), asked.read()
    assert (second.state, second.why) == (first.state, first.why) == ("unknown", first.why)
    assert [gpu.uuid for gpu in second.gpus] == [fake.gpus[0].uuid, fake.gpus[1].uuid]
    assert not asked.workers


def test_the_while_doubles_up_to_its_maximum() -> None:
    found = [backoff(failures, Limits()) for failures in (1, 2, 3, 6, 7, 100_000)]
    assert found == [1, 2, 4, 32, 60, 60]


def test_failures_count_until_a_gpu_answers(asked: Asked, fake: FakeGpus) -> None:
    fake.error("nvmlInitWithFlags", codes.UNKNOWN)
    fake.write()
    for _ in range(3):
        asked.read()
    assert asked.nvml._failures == 3
    fake.heal()
    fake.write()
    asked.gpu()
    assert asked.nvml._failures == 0


def test_a_worker_stuck_in_the_driver_is_left_behind_and_reaped_when_it_can_be(
    asked: Asked, fake: FakeGpus, tmp_path: Path
) -> None:
    with stuck(tmp_path / "fuse") as filesystem:
        asked.gpu()  # what begins late on a busy machine has begun
        asked.nvml.limits = Limits(first=DEADLINE_S, look=2, respawn_first=0)
        fake.stuck("nvmlDeviceGetCount_v2", filesystem.file)
        fake.write()
        future = asked.portal.start_task_soon(asked.nvml.read)
        pid = filesystem.caught()
        assert future.result(DEADLINE_S).state == "unknown"
        assert asked.workers == {pid}, "not even SIGKILL ends it"
        fake.heal()
        fake.write()
        assert asked.read().state == "ok"
        assert len(asked.workers) == 2
        asked.portal.call(asked.nvml.stop)
        filesystem.release()
        wait_until(lambda: asked.read().state == "ok" and not asked.nvml._stuck, "reaped")
        assert pid not in asked.workers


def test_an_answer_that_is_too_long_is_not_read_to_its_end(
    asked: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "ANSWER_MAX", 100)
    found = asked.read()
    assert (found.state, found.why) == ("unknown", "the NVML worker's answer is longer than 100 bytes")
    assert not asked.workers


# --- the worker's own life ---


class Waiting:
    """Several who ask while the worker is stopped, so that the first look is under way."""

    def __init__(self, asked: Asked) -> None:
        asked.gpu()
        self.asked, self.pid = asked, asked.worker()
        self.found: list[tuple[bool, Inventory]] = []

    async def ask(self, tasks: TaskGroup, thorough: bool) -> anyio.CancelScope:
        """One more, who waits by now."""
        scope = anyio.CancelScope()

        async def read() -> None:
            with scope:
                self.found.append((thorough, await self.asked.nvml.read(thorough=thorough)))

        tasks.start_soon(read)
        await anyio.wait_all_tasks_blocked()
        return scope

    async def give_up(self, scope: anyio.CancelScope) -> None:
        """One less; the next look is under way by now."""
        scope.cancel()
        await anyio.wait_all_tasks_blocked()


def test_who_asks_during_a_look_shares_the_next_one(asked: Asked, fake: FakeGpus) -> None:
    waiting = Waiting(asked)

    async def together() -> None:
        os.kill(waiting.pid, signal.SIGSTOP)
        async with anyio.create_task_group() as tasks:
            for number in range(21):
                await waiting.ask(tasks, number > 10)
            os.kill(waiting.pid, signal.SIGCONT)

    fake.listen()
    asked.portal.call(together)
    assert len(waiting.found) == 21
    assert sum(call.startswith("nvmlDeviceGetCount") for call in fake.calls()) == 2
    assert all(found.gpus[0].temperature is not None for thorough, found in waiting.found if thorough)


def test_who_gives_up_takes_nothing_from_the_others(asked: Asked) -> None:
    waiting = Waiting(asked)

    async def together() -> None:
        os.kill(waiting.pid, signal.SIGSTOP)
        async with anyio.create_task_group() as tasks:
            first, second = await waiting.ask(tasks, False), await waiting.ask(tasks, True)
            await waiting.ask(tasks, False)
            await waiting.ask(tasks, True)
            await waiting.give_up(first)
            await waiting.give_up(second)  # whose look was to be for the fourth, too
            os.kill(waiting.pid, signal.SIGCONT)

    asked.portal.call(together)
    assert [thorough for thorough, _ in waiting.found] == [False, True]
    assert waiting.found[1][1].gpus[0].temperature is not None
    assert waiting.found[1][1] is asked.heard[-1]


def test_after_stop_nothing_is_left_and_the_next_read_works(asked: Asked) -> None:
    asked.gpu()
    pid = asked.worker()
    asked.portal.call(asked.nvml.stop)
    asked.portal.call(asked.nvml.stop)
    assert not asked.workers, "not even a zombie"
    assert asked.gpu().fault is None
    assert asked.worker() != pid


def test_stop_does_not_wait_for_a_driver_that_hangs(asked: Asked, fake: FakeGpus) -> None:
    fake.hang("nvmlInitWithFlags")
    fake.write()
    reading = asked.portal.start_task_soon(asked.nvml.read)
    wait_until(lambda: asked.workers, "a worker")
    asked.portal.call(asked.nvml.stop)
    found = reading.result(DEADLINE_S)
    assert (found.state, found.why) == ("unknown", "NVML was let go meanwhile")
    assert asked.nvml._failures == 0


def test_while_released_nothing_holds_the_driver(asked: Asked) -> None:
    asked.gpu()
    asked.portal.call(asked.nvml.release, 1000)
    assert (asked.read().state, asked.read().why) == ("unknown", "NVML was released by request")
    assert not asked.workers
    asked.portal.call(asked.nvml.release, 0)
    assert asked.read().state == "ok"


def test_it_can_be_closed_without_an_event_loop(asked: Asked) -> None:
    asked.gpu()
    asked.nvml.close()
    assert not asked.workers


def test_the_worker_gets_little_of_the_daemon(
    asked: Asked, fake: FakeGpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET_TOKEN", "x")
    with socket.socket() as inheritable:
        inheritable.set_inheritable(True)
        asked.gpu()
        home = Path(f"/proc/{asked.worker()}")
        number = os.readlink(f"/proc/self/fd/{inheritable.fileno()}")
        assert number not in [os.readlink(fd) for fd in (home / "fd").iterdir()]
        names = {entry.partition(b"=")[0] for entry in (home / "environ").read_bytes().split(b"\0") if entry}
        assert names <= {b"PATH", b"LD_LIBRARY_PATH", b"LC_CTYPE"}
        assert os.readlink(home / "cwd") == "/"
        assert os.getsid(asked.worker()) == asked.worker()


@pytest.mark.parametrize("hangs", [False, True])
def test_the_worker_dies_with_a_daemon_that_is_killed(fake: FakeGpus, hangs: bool) -> None:
    if hangs:
        fake.hang("nvmlInitWithFlags")
        fake.write()
    fake.listen()
    program = OTHER_PROCESS.format(root=ROOT)
    environment = {**os.environ, **fake.environment}
    with subprocess.Popen([sys.executable, "-c", program], env=environment, stdout=subprocess.PIPE) as daemon:
        assert daemon.stdout is not None
        pid = int(daemon.stdout.readline())
        wait_until(fake.calls, "it is in the library")
        worker = os.pidfd_open(pid)
        daemon.kill()
        try:
            wait_until(lambda: not Path(f"/proc/{pid}/cmdline").read_bytes(), "gone")
        except FileNotFoundError:
            pass  # and reaped, too
        finally:
            os.close(worker)


def test_the_worker_talks_json_by_hand(fake: FakeGpus) -> None:
    program = f"import sys; sys.path.insert(0, {ROOT!r}); from ardaemon.gpus.nvml_worker import main; main()"
    command = [sys.executable, "-c", program]
    environment = {**os.environ, **fake.environment}
    with subprocess.Popen(
        command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
    ) as worker:
        assert worker.stdin is not None
        assert worker.stdout is not None
        for number, word in ((7, "true"), (8, "false")):
            worker.stdin.write(b'{"id": %d, "thorough": %s}\n' % (number, word.encode()))
            answer = json.loads(worker.stdout.readline())
            assert (answer["id"], len(answer["gpus"])) == (number, 2)
        worker.stdin.close()
        assert worker.wait(DEADLINE_S) == 0


def test_what_a_look_costs(
    asked: Asked, fake: FakeGpus, record_property: Callable[[str, object], None]
) -> None:
    """Printed with -s; no limit, since the machine may be busy."""
    for index in range(8):
        fake.gpu(index)
    fake.write()
    begun = time.monotonic()
    asked.read()
    first = time.monotonic() - begun

    async def many() -> float:
        begun = time.monotonic()
        for _ in range(100):
            await asked.nvml.read()
        return (time.monotonic() - begun) / 100

    each = asked.portal.call(many)
    record_property("look_us", round(each * 1e6))
    print(f"\nfirst look {first * 1e3:.0f} ms, each later one {each * 1e6:.0f} µs (8 GPUs)")
