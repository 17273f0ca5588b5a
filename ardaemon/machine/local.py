"""What this machine does for a run: its GPUs are leased, and it is measured."""

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

END_S = 5.0  # then what is in the file has to do


class LocalMachine:
    """The pipeline's Machine."""

    def __init__(self, engine: Engine, leasing: Leasing, overseer: Overseer) -> None:
        self.engine, self.leasing, self.overseer = engine, leasing, overseer
        self.gpus, self.sampler = overseer.gpus, overseer.sampler

    # --- its GPUs ---

    async def refused(self, flight: Flight, taken: Taken) -> None:
        """Somebody else was faster."""
        await self.leasing.refused(flight, taken)

    # --- measuring ---

    def begin(self, flight: Flight) -> None:
        """It runs: from now on it is measured. Raises StorageError while its folder is away."""
        assert flight.handle is not None
        shim: Process | None = None
        job: tuple[Process, ...] = ()
        group, started = "", flight.going.started if flight.going is not None else None
        match self.engine.probe(flight.handle):
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
                header=self._header(flight),
                roots=job,
                supervisor=shim,
                cgroup=group,
                alone=not flight.seat.share,
                ignored=self.gpus.ignored,
                max_vram_mb=settings.max_vram,
                max_rss_mb=settings.max_rss,
            )
        )

    def _header(self, flight: Flight) -> Header:
        """Its GPUs as they were before the launch; by its file, where an earlier daemon launched it."""
        header = flight.seat.header
        if header.cards or flight.handle is None or not flight.seat.cards:
            return header
        known, _ = samples.read(Attempt(Path(flight.handle.folder)).samples)
        return known or meter.header(
            self.gpus.inventory or Inventory(state="unknown", at=0.0), flight.seat.cards
        )

    def live(self, handle: Handle) -> Sample | None:
        """What an attempt used at the last look."""
        return self.sampler.live(handle.folder)

    async def end(self, flight: Flight) -> Measured | None:
        """What was measured of it, on disk; None where nothing was. Raises ArdaemonError: call it again."""
        assert flight.handle is not None
        if flight.seat.cards:
            await self.overseer.look()  # an Xid that came with its end is told once, and to who asks then
        attempt = Attempt(Path(flight.handle.folder))
        restarted = flight.going is not None and flight.going.restarted
        if not restarted:
            with anyio.move_on_after(END_S):  # a process that hangs in the driver may hang who looks at it
                measured = await self.sampler.end(flight.handle.folder)
                if measured is not None:
                    return measured
        self.sampler.discard(flight.handle.folder)
        # After a power cut the samples may have lost their peaks; what was written at the end has not.
        if not (attempt.measured.exists() or (attempt.samples.exists() and not restarted)):
            return None
        return await anyio.to_thread.run_sync(recall, attempt)

    def discard(self, flight: Flight) -> None:
        """It is given up: nobody wants to know."""
        if flight.handle is not None:
            self.sampler.discard(flight.handle.folder)
            self.engine.forget(flight.handle)
