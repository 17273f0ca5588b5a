"""The daemon's side of NVML: asks a worker process under deadlines, and replaces the worker when it fails.

If NVML does not answer, the inventory's state is `unknown`; it still names the GPUs that were there,
with nothing measured, so that none of them is taken for idle. Without a driver's library no worker is
started at all.
"""

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import anyio

from ardaemon.core.gpus import GpuReading, Inventory
from ardaemon.gpus import known_gpus, nvml_library
from ardaemon.gpus.nvml_process import NvmlAnswer, NvmlProcess, Want
from ardaemon.host.worker import WorkerEnded, WorkerLost

# For the first answer: nvmlInit wakes every GPU, in seconds each if no persistence daemon keeps them awake.
FIRST_S = 30.0
# For later answers: a look takes less than a millisecond, but waits for the driver's lock while a process
# starts up.
LOOK_S = 5.0
RESPAWN_FIRST_S = 1.0  # doubles with each failure: to replace a driver takes seconds, …
RESPAWN_MAX_S = 60.0  # … and a broken one needs a person
PROBE_S = 60.0  # between two looks for a driver if there is none: somebody may load one
TRIES = 3  # looks in a row with an error of unclear cause until it counts as a fault: it may pass
STUCK_MAX = 3  # workers that not even SIGKILL ends: another one would be stuck as well
# NVML's errors that mean CPU mode: there is no driver, and so nothing is wrong with it.
NO_DRIVER = ("DRIVER_NOT_LOADED", "LIBRARY_NOT_FOUND")


@dataclass(frozen=True, kw_only=True)
class Limits:
    """The deadlines and pauses, in seconds; tests have shorter ones."""

    first: float = FIRST_S
    look: float = LOOK_S
    respawn_first: float = RESPAWN_FIRST_S
    respawn_max: float = RESPAWN_MAX_S
    probe: float = PROBE_S


class NoAnswer(Exception):
    """NVML gives no answer now; `state` is the inventory's state for it, `why` the reason in words."""

    def __init__(self, absence: "Absence") -> None:
        super().__init__(absence[1])
        self.state, self.why = absence


Absence = tuple[Literal["none", "unknown"], str]


def backoff(failures: int, limits: Limits) -> float:
    """Return the seconds until the next worker may start, after that many failures in a row."""
    doubled = limits.respawn_first * 2 ** min(failures - 1, 16)  # no overflow after years
    return float(min(doubled, limits.respawn_max))


class Nvml:
    """Reads this machine's GPUs by NVML."""

    def __init__(
        self,
        heard: Callable[[Inventory], None] = lambda _: None,
        limits: Limits = Limits(),
        environment: Mapping[str, str] = os.environ,
        root: str = "/",
    ) -> None:
        """Take `heard`, which is called once with every new inventory: an Xid is in one inventory alone."""
        self.heard = heard
        self.limits = limits
        self.environment = environment
        self.root = root
        self._lock = anyio.Lock()
        self._worker: NvmlProcess | None = None
        self._stuck: list[NvmlProcess] = []
        self._failures = 0
        self._not_before = 0.0  # CLOCK_MONOTONIC; no worker is started until then, …
        self._meanwhile: Absence = ("unknown", "NVML has not been asked yet")  # … and this is the answer
        self._known: dict[str, GpuReading] = {}
        self._strikes: dict[str, int] = {}
        self._wanted = Want()
        self._last: tuple[Want, Inventory] | None = None

    async def read(self, thorough: bool = False, graphics: bool = False) -> Inventory:
        """Read memory, compute processes and utilisation of all GPUs now. Raises nothing.

        With `thorough` temperature, power and throttling are read too, with `graphics` graphics
        processes (slow). Callers that ask while a look is under way share the next one.
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
        """End the worker, which lets go of NVML; the next read() starts a new one."""
        worker = self._worker
        if worker is None:
            return
        worker.kill()  # a read() that waits for it sees that it ended
        async with self._lock:
            if self._worker is worker:
                await self._drop(worker)

    async def release(self, seconds: float) -> None:
        """Let go of NVML for that many seconds: its open handles block a GPU reset and changes of MIG."""
        self._pause(seconds, ("unknown", "NVML was released by request"))
        await self.stop()

    def close(self) -> None:
        """End the worker when the daemon ends, with no event loop to wait in."""
        worker, self._worker = self._worker, None
        if worker is not None:
            worker.close()

    def forget(self, uuid: str) -> None:
        """Forget a GPU that is gone, so that no inventory names it any more."""
        self._known.pop(uuid, None)

    async def _look(self, want: Want) -> Inventory:
        at = time.monotonic()
        try:
            answer = await self._ask(want)
            gpus = await self._take(answer)
        except NoAnswer as error:
            unread = map(known_gpus.gone if error.state == "none" else known_gpus.blank, self._known.values())
            return Inventory(state=error.state, at=at, why=error.why, gpus=tuple(unread))
        return Inventory(state="ok", at=at, driver=answer.driver, gpus=gpus, cpu_s=answer.cpu_s)

    async def _ask(self, want: Want) -> NvmlAnswer:
        """Ask the worker, which is started if there is none. Raises NoAnswer."""
        self._stuck = [worker for worker in self._stuck if not worker.gone]
        worker = self._worker or self._start()
        try:
            answer = await worker.look(want, self.limits.look if worker.answered else self.limits.first)
        except WorkerLost as error:
            stopped = worker.killed
            await self._drop(worker)
            if stopped:
                raise NoAnswer(("unknown", "NVML was let go meanwhile")) from error
            raise self._fail(
                f"{error} ({worker.how})" if isinstance(error, WorkerEnded) else str(error)
            ) from error
        if answer.failed is None:
            return answer
        await self._drop(worker)
        if answer.failed in NO_DRIVER:
            raise self._pause(self.limits.probe, ("none", answer.failed))
        raise self._fail(answer.failed)

    async def _take(self, answer: NvmlAnswer) -> tuple[GpuReading, ...]:
        """Return the GPUs of the answer, completed by earlier answers. Raises NoAnswer if every GPU fails."""
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

    def _start(self) -> NvmlProcess:
        """Start a new worker. Raises NoAnswer if none may be started now."""
        if time.monotonic() < self._not_before:
            raise NoAnswer(self._meanwhile)
        environment = nvml_library.environment(self.environment, self.root)
        if environment is None:
            raise self._pause(self.limits.probe, ("none", "no NVIDIA driver"))
        if len(self._stuck) >= STUCK_MAX:
            raise self._fail(f"{len(self._stuck)} NVML workers are stuck in the driver")
        try:
            # On the event loop: the start waits for execve(2) alone, a millisecond.
            self._worker = NvmlProcess(environment)
        except OSError as error:
            raise self._fail(f"the NVML worker cannot be started: {error}") from error
        return self._worker

    async def _drop(self, worker: NvmlProcess) -> None:
        self._worker = None
        worker.kill()
        if not await worker.reap():
            self._stuck.append(worker)

    def _fail(self, why: str) -> NoAnswer:
        """Start no worker for a time that grows with each failure, and return the exception for it."""
        self._failures += 1
        return self._pause(backoff(self._failures, self.limits), ("unknown", why))

    def _pause(self, seconds: float, meanwhile: Absence) -> NoAnswer:
        """Start no worker for that many seconds, and return the exception for it."""
        self._not_before, self._meanwhile = time.monotonic() + seconds, meanwhile
        return NoAnswer(meanwhile)
