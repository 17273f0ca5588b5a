"""NVML from the daemon's side: one question at a time, deadlines, a worker that is replaced when it fails.

A failed query never looks idle: while NVML does not answer the inventory's state is `unknown`, and it names
the GPUs that were there, with nothing measured. Without a driver's library no process is started at all.
"""

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import anyio

from ardaemon.core.gpus import GpuReading, Inventory
from ardaemon.gpus import known_gpus, nvml_library
from ardaemon.gpus.nvml_process import Answer, Want, Worker, WorkerEnded, WorkerLost

# nvmlInit wakes every GPU: seconds each, where no persistence daemon keeps them awake.
FIRST_S = 30.0
# Later looks take less than a millisecond; while another process starts up they wait for the driver's lock.
LOOK_S = 5.0
RESPAWN_FIRST_S = 1.0  # doubles with each failure: a driver that is being replaced takes seconds, …
RESPAWN_MAX_S = 60.0  # … and one that is broken needs a person
PROBE_S = 60.0  # without a driver: somebody may load one
TRIES = 3  # an error that says nothing may pass: then it is one more look
STUCK_MAX = 3  # workers that even SIGKILL does not end: another one would be stuck as well
# Without a driver there is nothing out of step: CPU mode.
NO_DRIVER = ("DRIVER_NOT_LOADED", "LIBRARY_NOT_FOUND")


@dataclass(frozen=True, kw_only=True)
class Limits:
    """The times, in seconds; tests have shorter ones."""

    first: float = FIRST_S
    look: float = LOOK_S
    respawn_first: float = RESPAWN_FIRST_S
    respawn_max: float = RESPAWN_MAX_S
    probe: float = PROBE_S


class Without(Exception):
    """NVML says nothing now: the inventory's state, and why."""

    def __init__(self, absence: "Absence") -> None:
        super().__init__(absence[1])
        self.state, self.why = absence


Absence = tuple[Literal["none", "unknown"], str]


def backoff(failures: int, limits: Limits) -> float:
    """Seconds until the next worker, after so many failures in a row."""
    doubled = limits.respawn_first * 2 ** min(failures - 1, 16)  # no overflow after years
    return float(min(doubled, limits.respawn_max))


class Nvml:
    """This machine's GPUs, as NVML has them."""

    def __init__(
        self,
        heard: Callable[[Inventory], None] = lambda _: None,
        limits: Limits = Limits(),
        environment: Mapping[str, str] = os.environ,
        root: str = "/",
    ) -> None:
        """`heard` gets every new inventory, once, whoever asked for it: Xids are in one alone."""
        self.heard = heard
        self.limits = limits
        self.environment = environment
        self.root = root
        self._lock = anyio.Lock()
        self._worker: Worker | None = None
        self._stuck: list[Worker] = []
        self._failures = 0
        self._not_before = 0.0  # CLOCK_MONOTONIC; no worker is started until then, …
        self._meanwhile: Absence = ("unknown", "NVML has not been asked yet")  # … and this is the answer
        self._known: dict[str, GpuReading] = {}
        self._strikes: dict[str, int] = {}
        self._wanted = Want()
        self._last: tuple[Want, Inventory] | None = None

    async def read(self, thorough: bool = False, graphics: bool = False) -> Inventory:
        """All GPUs now: memory, compute processes, utilisation; what else is asked for. Raises nothing.

        `thorough`: temperature, power and throttling too. `graphics`: processes that draw, too (slow). Those
        who ask while a look is under way share the next one.
        """
        want, asked = Want(thorough=thorough, graphics=graphics), time.monotonic()
        self._wanted |= want
        async with self._lock:
            if self._last is None or self._last[1].at <= asked or not self._last[0].covers(want):
                wanted, self._wanted = self._wanted | want, Want()
                self._last = wanted, await self._look(wanted)
                self.heard(self._last[1])
            return self._last[1]

    async def stop(self) -> None:
        """Let go of NVML; the next read starts a worker again."""
        worker = self._worker
        if worker is None:
            return
        worker.kill()  # who waits for it hears that it ended
        async with self._lock:
            if self._worker is worker:
                await self._drop(worker)

    async def release(self, seconds: float) -> None:
        """Let go of NVML for so long: its open handles are in the way of a GPU reset and of MIG changes."""
        self._pause(seconds, ("unknown", "NVML was released by request"))
        await self.stop()

    def close(self) -> None:
        """At the end, with no event loop to wait in."""
        worker, self._worker = self._worker, None
        if worker is not None:
            worker.close()

    def forget(self, uuid: str) -> None:
        """A GPU that is gone need not be mentioned any more."""
        self._known.pop(uuid, None)

    async def _look(self, want: Want) -> Inventory:
        at = time.monotonic()
        try:
            answer = await self._ask(want)
            gpus = await self._take(answer)
        except Without as error:
            known = map(known_gpus.gone if error.state == "none" else known_gpus.blank, self._known.values())
            return Inventory(state=error.state, at=at, why=error.why, gpus=tuple(known))
        return Inventory(state="ok", at=at, driver=answer.driver, gpus=gpus)

    async def _ask(self, want: Want) -> Answer:
        """The worker's answer, from a new one if need be. Raises Without."""
        self._stuck = [worker for worker in self._stuck if not worker.gone]
        worker = self._worker or self._start()
        try:
            answer = await worker.ask(want, self.limits.look if worker.answered else self.limits.first)
        except WorkerLost as error:
            stopped = worker.killed
            await self._drop(worker)
            if stopped:
                raise Without(("unknown", "NVML was let go meanwhile")) from error
            raise self._fail(
                f"{error} ({worker.how})" if isinstance(error, WorkerEnded) else str(error)
            ) from error
        if answer.failed is None:
            return answer
        await self._drop(worker)
        if answer.failed in NO_DRIVER:
            raise self._pause(self.limits.probe, ("none", answer.failed))
        raise self._fail(answer.failed)

    async def _take(self, answer: Answer) -> tuple[GpuReading, ...]:
        """The GPUs, with what is known from before. Raises Without."""
        seen = known_gpus.named(answer.gpus, self._known)
        self._strikes = known_gpus.struck(seen, self._strikes)
        if known_gpus.none_works(seen, self._strikes, TRIES):
            self._strikes = {}
            if self._worker is not None:
                await self._drop(self._worker)
            raise self._fail(f"every GPU says {seen[0].error}")
        if any(gpu.error is None for gpu in seen):
            self._failures = 0
        gpus = known_gpus.with_gone(known_gpus.judged(seen, self._strikes, TRIES), self._known)
        self._known = {gpu.uuid: gpu for gpu in gpus}
        return tuple(gpus)

    def _start(self) -> Worker:
        """A new worker. Raises Without where there is none to be."""
        if time.monotonic() < self._not_before:
            raise Without(self._meanwhile)
        environment = nvml_library.environment(self.environment, self.root)
        if environment is None:
            raise self._pause(self.limits.probe, ("none", "no NVIDIA driver"))
        if len(self._stuck) >= STUCK_MAX:
            raise self._fail(f"{len(self._stuck)} NVML workers are stuck in the driver")
        try:
            self._worker = Worker(environment)  # on the event loop: waits for execve(2) alone, a millisecond
        except OSError as error:
            raise self._fail(f"the NVML worker cannot be started: {error}") from error
        return self._worker

    async def _drop(self, worker: Worker) -> None:
        self._worker = None
        worker.kill()
        if not await worker.reap():
            self._stuck.append(worker)

    def _fail(self, why: str) -> Without:
        self._failures += 1
        return self._pause(backoff(self._failures, self.limits), ("unknown", why))

    def _pause(self, seconds: float, meanwhile: Absence) -> Without:
        self._not_before, self._meanwhile = time.monotonic() + seconds, meanwhile
        return Without(meanwhile)
