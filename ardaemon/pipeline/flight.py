"""A flight: one run that is not committed yet, as the daemon holds it in memory."""

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import anyio

from ardaemon.checkpoints.promote import Promotion
from ardaemon.core import lifecycle
from ardaemon.core.gpus import Need
from ardaemon.core.layout import Experiment, Run
from ardaemon.core.measured import Header, Measured
from ardaemon.core.model import Again, Exit, Result
from ardaemon.core.protocol import RunView
from ardaemon.core.run_record import Active, Handle, Judged, Launching, Queued, RunRecord
from ardaemon.gpus import nvml_library

NO_CARDS = Header()


@dataclass(eq=False)
class Flight:
    """Changed by synchronous code of the event loop only; waiters wait for `changed`."""

    experiment: Experiment
    run: Run
    active: Active
    record: RunRecord
    entry: Path
    state: lifecycle.State = "queued"
    held: bool = False  # its session is over: it waits for the next one
    dropped: bool = False  # its folder is gone for good: nothing is left to judge
    blocked: str | None = None  # the disk does not let it go on; retried
    received: float | None = None  # CLOCK_MONOTONIC of the request
    placed: float | None = None  # and of the decision that it may start
    started: float | None = None
    ended: float | None = None
    handle: Handle | None = None
    slots: tuple[str, ...] = ()  # where it is, or was: "cpu0", or UUIDs of GPUs
    devices: tuple[str, ...] | None = None  # its GPUs as CUDA_VISIBLE_DEVICES has them; None: no driver here
    shares: bool = False  # others may be on its GPUs
    vram_mb: float | None = None  # set aside for it on each of its GPUs
    peaks: Mapping[str, tuple[float, ...]] = field(default_factory=dict)  # what such runs have needed
    header: Header = NO_CARDS  # its GPUs as they were before the launch
    measured: Measured | None = None
    notes: tuple[str, ...] = ()  # what its GPUs' driver said meanwhile
    sick: bool = False  # and that was no fault of the program's
    pid: int | None = None
    exit: Exit | None = None
    restarted: bool = False  # the host, between its end and its verdict: what it wrote may be torn
    seal_faults: tuple[str, ...] = ()
    latest: float | None = None
    result: Result | None = None
    promotion: Promotion = field(default_factory=Promotion)
    promoting: str | None = None  # how far the copy of its checkpoint is
    failures: int = 0  # launches in a row that never started
    writing: anyio.Lock = field(default_factory=anyio.Lock)  # its active entry
    changed: anyio.Event = field(default_factory=anyio.Event)
    nudged: anyio.Event = field(default_factory=anyio.Event)
    watching: anyio.CancelScope | None = None

    @property
    def key(self) -> tuple[str, str]:
        """What tells it from all others on this machine."""
        return str(self.experiment.folder), self.run.run_id

    @property
    def need(self) -> Need:
        """What it asks for; one GPU, where it was submitted to a version that knew of none."""
        return self.record.need or Need(gpus=0 if nvml_library.environment(os.environ) is None else 1)

    @property
    def stands_still(self) -> bool:
        """It does not start, whatever is free."""
        return self.held or self.active.held or self.blocked is not None

    @property
    def attempts(self) -> int:
        """How many launches there were, this one counted."""
        if self.handle is not None:
            return self.handle.attempt
        return self.record.state.attempts if isinstance(self.record.state, Queued) else 0

    @property
    def again(self) -> tuple[Again, ...]:
        """Why earlier attempts did not count."""
        state = self.record.state
        return state.again if isinstance(state, Queued | Launching) else ()

    @property
    def reads(self) -> tuple[str, ...]:
        """The promoted checkpoints that it was launched with, while it may still read them."""
        state = self.record.state
        return state.reads if isinstance(state, Launching) else ()

    def forget_attempt(self) -> None:
        """It is to be launched once more: nothing of this attempt is to be taken for the next one's."""
        self.handle = self.pid = self.exit = self.started = self.ended = self.latest = None
        self.received = self.placed = self.devices = None
        self.slots = ()
        self.shares, self.vram_mb = False, None
        self.header, self.measured, self.notes, self.sick = NO_CARDS, None, (), False

    def step(self, event: lifecycle.Event) -> None:
        """Move along the table and wake the waiters."""
        self.state = lifecycle.step(self.state, event, self.run.run_id)
        self.wake()

    def wake(self) -> None:
        """Something about it changed."""
        self.changed.set()
        self.changed = anyio.Event()

    def nudge(self) -> None:
        """What was in the way may be mended: look again now."""
        if self.blocked is not None:
            self.blocked = None
            self.wake()
        self.nudged.set()
        self.nudged = anyio.Event()

    async def until(self, reached: Callable[[], bool]) -> None:
        """Wait for a condition of this flight."""
        while not reached():
            await self.changed.wait()

    def resume_from_record(self) -> None:
        """After a restart: the state that run.json tells; the engine tells the rest."""
        match self.record.state:
            case Launching() as given:
                self.state, self.handle = "launching", given.handle
                self.slots, self.shares, self.vram_mb = given.slots, given.share, given.vram_mb
            case Judged(decision=decision):
                self.state, self.exit = "judged", decision.exit
                self.slots = decision.unclean.slots if decision.unclean else ()
            case _:
                self.state = "queued"

    def view(self, position: int | None = None, why: str | None = None) -> RunView:
        """It as clients see it."""
        record = self.record
        return RunView(
            project=str(self.experiment.project),
            expr=self.experiment.slug,
            run_id=self.run.run_id,
            folder=str(self.run.folder),
            state=self.state,
            position=position,
            why=self.blocked or self.promoting or why,
            argv=record.argv,
            seconds=record.settings.seconds,
            elapsed=None if self.started is None else (self.ended or time.monotonic()) - self.started,
            pid=self.pid,
            base=record.base,
            note=record.note,
            checkpoint_glob=record.settings.checkpoint_glob,
            latest=self.latest,
            priority=self.active.priority,
            held=self.active.held,
            exit=self.exit,
            result=self.result,
        )
