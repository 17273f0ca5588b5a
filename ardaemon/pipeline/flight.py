"""A flight: one run that is not committed yet, as the daemon holds it in memory."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import anyio

from ardaemon.core import lifecycle
from ardaemon.core.layout import Experiment, Run
from ardaemon.core.model import Active, Exit, Handle, Judged, Launching, Result, RunRecord
from ardaemon.core.protocol import RunView


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
    started: float | None = None
    ended: float | None = None
    handle: Handle | None = None
    slot: str = ""  # where it is, or was
    pid: int | None = None
    exit: Exit | None = None
    restarted: bool = False  # the host, between its end and its verdict: what it wrote may be torn
    seal_faults: tuple[str, ...] = ()
    latest: float | None = None
    result: Result | None = None
    failures: int = 0  # launches in a row that never started
    changed: anyio.Event = field(default_factory=anyio.Event)
    nudged: anyio.Event = field(default_factory=anyio.Event)
    watching: anyio.CancelScope | None = None

    @property
    def key(self) -> tuple[str, str]:
        """What tells it from all others on this machine."""
        return str(self.experiment.folder), self.run.run_id

    @property
    def attempts(self) -> int:
        """How many launches there were, this one counted."""
        return self.handle.attempt if self.handle is not None else 0

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
            case Launching(handle=handle, slot=slot):
                self.state, self.handle, self.slot = "launching", handle, slot
            case Judged(decision=decision):
                self.state, self.exit = "judged", decision.exit
                self.slot = decision.unclean.slot if decision.unclean else ""
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
            why=self.blocked or why,
            argv=record.argv,
            seconds=record.settings.seconds,
            elapsed=None if self.started is None else (self.ended or time.monotonic()) - self.started,
            pid=self.pid,
            base=record.base,
            note=record.note,
            checkpoint_glob=record.settings.checkpoint_glob,
            latest=self.latest,
            exit=self.exit,
            result=self.result,
        )
