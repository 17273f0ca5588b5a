"""Serve a run on this machine: measure it, and let it wait for a GPU that another daemon has."""

import time
from pathlib import Path

import anyio
import anyio.to_thread

from ardaemon.core.gpus import Inventory
from ardaemon.core.layout import Attempt
from ardaemon.core.measured import Header, Measured, Sample
from ardaemon.core.model import Process
from ardaemon.core.run_record import Handle
from ardaemon.engines.base import Engine, Running, Unsupervised
from ardaemon.gpus.lease import Taken
from ardaemon.machine.leasing import Leasing
from ardaemon.machine.overseer import Overseer
from ardaemon.measuring import meter, samples
from ardaemon.measuring.attempt import Job, recall
from ardaemon.pipeline.flight import Flight

END_S = 5.0  # for the last look; then what is in the file has to do


class LocalMachine:
    """The Machine of the pipeline, as this computer is one."""

    def __init__(self, engine: Engine, leasing: Leasing, overseer: Overseer) -> None:
        self.engine, self.leasing, self.overseer = engine, leasing, overseer
        self.gpus, self.sampler = overseer.gpus, overseer.sampler

    # --- its GPUs ---

    async def refused(self, flight: Flight, taken: Taken) -> None:
        """Note that another daemon has a GPU of the flight's seat."""
        await self.leasing.refused(flight, taken)

    # --- measuring ---

    async def begin(self, flight: Flight) -> None:
        """Measure the flight from now on: it runs. Raises StorageError while its folder is away."""
        assert flight.handle is not None
        shim: Process | None = None
        job: tuple[Process, ...] = ()
        group, started = "", flight.going.started if flight.going is not None else None
        match await anyio.to_thread.run_sync(self.engine.probe, flight.handle):
            case Running(shim=shim, job=first, cgroup=group, monotonic=began):
                job, started = (first,) if first is not None else (), began or started
            case Unsupervised(processes=job):
                pass
            case _:
                return
        settings = flight.record.settings
        self.sampler.begin(
            Job(
                attempt=Attempt(Path(flight.handle.folder)),
                started=started if started is not None else time.monotonic(),
                header=await self._header(flight),
                roots=job,
                supervisor=shim,
                cgroup=group,
                alone=not flight.seat.share,
                ignored=self.gpus.ignored,
                max_vram_mb=settings.max_vram,
                max_rss_mb=settings.max_rss,
            )
        )

    async def _header(self, flight: Flight) -> Header:
        """Return the GPUs as they were before the launch; from the file if another daemon launched it."""
        header = flight.seat.header
        if header.cards or flight.handle is None or not flight.seat.cards:
            return header
        file = Attempt(Path(flight.handle.folder)).samples
        recorded, _ = await anyio.to_thread.run_sync(samples.read, file)
        return recorded or meter.header(
            self.gpus.inventory or Inventory(state="unknown", at=0.0), flight.seat.cards
        )

    def live(self, handle: Handle) -> Sample | None:
        """Return what an attempt used at the last look."""
        return self.sampler.live(handle.folder)

    async def end(self, flight: Flight) -> Measured | None:
        """Return what was measured, on disk; None if nothing was. Raises ArdaemonError: call again."""
        assert flight.handle is not None
        if flight.seat.cards:
            await self.overseer.look()  # the driver reports an Xid once, to whoever asks next
        attempt = Attempt(Path(flight.handle.folder))
        restarted = flight.going is not None and flight.going.restarted
        if not restarted:
            with anyio.move_on_after(END_S):  # a process that hangs in the driver may hang who looks at it
                measured = await self.sampler.end(flight.handle.folder)
                if measured is not None:
                    return measured
        self.sampler.discard(flight.handle.folder)
        # After a power cut the samples may have lost their peaks; what was written at the end has not.
        return await anyio.to_thread.run_sync(_recall, attempt, restarted)

    def discard(self, flight: Flight) -> None:
        """Forget the flight, which is given up."""
        if flight.handle is not None:
            self.sampler.discard(flight.handle.folder)
            self.engine.forget(flight.handle)


def _recall(attempt: Attempt, restarted: bool) -> Measured | None:
    if not (attempt.measured.exists() or (attempt.samples.exists() and not restarted)):
        return None
    return recall(attempt)
