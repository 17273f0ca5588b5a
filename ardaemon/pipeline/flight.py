"""A flight: one run that is not committed yet, as the daemon holds it in memory."""

import functools
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import anyio
from anyio import CancelScope
from msgspec.structs import replace

from ardaemon.checkpoints.promote import Promotion
from ardaemon.core import lifecycle
from ardaemon.core.gpus import Need
from ardaemon.core.layout import Experiment, Run, candidate_number
from ardaemon.core.measured import Measured
from ardaemon.core.model import Exit, Result
from ardaemon.core.protocol import CURVE_MAX, RunView
from ardaemon.core.queue import IDLE, NOWHERE, Seat, Waiting, seat_of
from ardaemon.core.run_record import Active, AttemptResult, Handle, Judged, Launching, Queued, RunRecord
from ardaemon.experiment.state import is_removed
from ardaemon.gpus import nvml_library
from ardaemon.host.command import Commands
from ardaemon.metrics.curve import Curve

READING, CHECKING = "its metrics are read", "its check is at work"


@dataclass(eq=False)
class Going:
    """One attempt, from the decision that it may start until the run is committed or waits again.

    All that must not be taken for the next attempt's stands here, and goes with it.
    """

    seat: Seat = NOWHERE
    placed: float | None = None  # CLOCK_MONOTONIC of the decision that it may start
    handle: Handle | None = None  # None: no attempt was given to the engine yet
    started: float | None = None
    ended: float | None = None
    pid: int | None = None
    exit: Exit | None = None
    boot_id: str = ""  # in which it ended, by its engine; for what survived
    restarted: bool = False  # the host, between its end and its verdict: what it wrote may be torn
    seal_faults: tuple[str, ...] = ()
    cut_off: bool = False  # none was made: the session ended, and the run is judged by those before
    measured: Measured | None = None
    notes: tuple[str, ...] = ()  # what its GPUs' driver said meanwhile
    sick: bool = False  # and that was no fault of the program's
    latest: float | None = None  # the newest value of the primary metric
    step: int | None = None  # of that value
    curve: Curve = field(
        default_factory=lambda: Curve(CURVE_MAX)
    )  # of those values, as far as it was followed
    watching: CancelScope | None = None

    @property
    def elapsed(self) -> float | None:
        """Return the seconds since its start, until its end; None if it has not started."""
        return None if self.started is None else (self.ended or time.monotonic()) - self.started

    def note(self, value: float | None, step: int | None) -> None:
        """Note the newest value of the primary metric; the curve's times are seconds since the start."""
        if value is not None and (value, step) != (self.latest, self.step):
            self.curve.add(value, step, self.elapsed)
        self.latest, self.step = value, step


class SeenWaiting(NamedTuple):
    """What the queue has made of a run that waits, and of what: while that is the same, so is this."""

    of: tuple[object, ...]
    waiting: Waiting


@dataclass(eq=False)
class Flight:
    """One run that is not committed: who it is, what is wanted of it, and where it stands.

    Changed by synchronous code of the event loop only, so that the loop is the lock: what is done in a
    thread returns facts.

    `record` and `active` are frozen and replaced as a whole, so a thread that has one of them sees no half of
    a change. A wish is in `active` before it is on disk: it counts from the moment that it is made. `going`
    has all that belongs to one attempt and is thrown away as a whole, so that nothing of it is taken for the
    next one's.

    Waiters wait for `changed`, an event that wake() replaces; until() looks before each wait, and so misses
    nothing.
    """

    experiment: Experiment
    run: Run
    active: Active
    record: RunRecord
    entry: Path
    state: lifecycle.State = "queued"
    going: Going | None = None
    session_over: bool = False  # the run waits for the next session
    driven: bool = False  # the scheduler has it driven on
    dropped: bool = False  # its folder is gone for good: nothing is left to judge
    blocked: str | None = None  # the disk does not let it go on; retried
    received: float | None = None  # CLOCK_MONOTONIC of the request, until the first attempt is over
    peaks: Mapping[str, tuple[float, ...]] = field(default_factory=dict)  # what such runs have needed
    result: Result | None = None
    promotion: Promotion = field(default_factory=Promotion)
    comparing: str | None = None  # what its verdict waits for, where it is to be compared with more
    promoting: str | None = None  # how far the copy of its checkpoint is
    reading: bool = False  # what it has left is read: of a large file that takes minutes
    checking: Commands | None = None  # its checks, while they are under way
    failures: int = 0  # launches in a row that never started
    seen: SeenWaiting | None = None
    writing: anyio.Lock = field(default_factory=anyio.Lock)  # its active entry
    changed: anyio.Event = field(default_factory=anyio.Event)
    nudged: anyio.Event = field(default_factory=anyio.Event)

    @functools.cached_property
    def key(self) -> tuple[str, str]:
        """Return what tells this run from all others on this machine."""
        return str(self.experiment.folder), self.run.run_id

    @functools.cached_property
    def number(self) -> int:
        """Return the number that the run has used up; 0 for a launch that only measures."""
        return candidate_number(self.run.run_id)

    @property
    def need(self) -> Need:
        """Return what the run asks for; one GPU, where a version that knew of none took the submit."""
        return self.record.need or _need_before_gpus()

    @property
    def stands_still(self) -> bool:
        """Tell whether the run does not start, whatever is free: two tasks must never drive it at once."""
        waits = self.only_waits and not self.driven
        return not waits or self.session_over or self.active.held or self.blocked is not None

    def goes_on(self) -> bool:
        """Tell whether nobody wants the run to end: it may be launched, and launched again."""
        return self.active.wanted == "run"

    @property
    def only_waits(self) -> bool:
        """Tell whether the run needs nobody until it gets its place."""
        if self.state != "queued" or self.dropped or not self.goes_on():
            return False
        return not (self.session_over and self.is_cut_off)  # in this order: each decision asks of thousands

    @property
    def is_cut_off(self) -> bool:
        """Tell whether the session ended before another launch of the run could tell more of it."""
        waits = self.state == "queued" and self.session_over and self.goes_on()
        return waits and bool(self.before) and self.before[-1].why == "confirm"

    @property
    def is_idle(self) -> bool:
        """Tell whether nothing waits for it: no verdict has asked for it, and nobody moved it forward."""
        return self.record.idle and self.active.front <= IDLE

    def is_removed(self) -> bool:
        """Tell whether somebody removed the run's folder."""
        return is_removed(self.experiment, self.run)

    # --- the attempt under way ---

    @property
    def seat(self) -> Seat:
        """Return where the attempt under way is, or was."""
        return self.going.seat if self.going is not None else NOWHERE

    @property
    def handle(self) -> Handle | None:
        """Return how the engine knows the attempt; None before it was given to the engine."""
        return self.going.handle if self.going is not None else None

    @property
    def exit(self) -> Exit | None:
        """Return how the attempt ended; None while it has not."""
        return self.going.exit if self.going is not None else None

    @property
    def attempts(self) -> int:
        """Return how many launches there were, the one under way counted."""
        if self.handle is not None:
            return self.handle.attempt
        match self.record.state:
            case Queued() as waiting:
                return len(waiting.before)
            case Judged(decision=decision):
                return decision.result.attempts
            case Launching(handle=handle):
                return handle.attempt

    @property
    def before(self) -> tuple[AttemptResult, ...]:
        """Return the attempts that did not count, oldest first."""
        state = self.record.state
        return state.before if isinstance(state, Queued | Launching) else ()

    @property
    def seed(self) -> int:
        """Return AR_SEED of the attempt under way, or of the next."""
        state = self.record.state
        return state.seed if isinstance(state, Queued | Launching) else 0

    @property
    def keeps_place(self) -> bool:
        """Tell whether the run may still need its place after its job has ended: for the session's checks."""
        end = self.exit
        well = end is not None and end.ending == "exited" and end.exit_code == 0
        # A launch of the best that its verdict needs may need that very place.
        by_noise = self.record.settings.verdict == "noise"
        return well and bool(self.record.settings.checks) and not by_noise

    @property
    def reads(self) -> tuple[str, ...]:
        """Return the promoted checkpoints that it was launched with, while it may still read them."""
        state = self.record.state
        return state.reads if isinstance(state, Launching) else ()

    def taken_back(self) -> RunRecord:
        """Return the record as it is once the launch under way is taken back: no attempt was made."""
        return replace(self.record, state=Queued(attempts=self.before, seed=self.seed))

    # --- changes ---

    def end_as(self, end: Exit) -> None:
        """Write down how the run ended: its attempt, or the run itself where none was made."""
        self.going = self.going or Going()
        self.going.exit = end

    def step(self, event: lifecycle.Event) -> None:
        """Move along the table and wake the waiters. A run that waits again has no attempt under way."""
        self.state = lifecycle.step(self.state, event, self.run.run_id)
        if self.state == "queued":
            self.going = self.received = None
            self.run = self.experiment.run(self.run.run_id)
        self.wake()

    def wake(self) -> None:
        """Let the waiters look again."""
        self.changed.set()
        self.changed = anyio.Event()

    def nudge(self) -> None:
        """Try again now: what was in the way may be mended."""
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
        """Take the state that run.json tells, after a restart; the engine tells the rest.

        `launching` may be anything from a job that never started to one that ended long ago.
        """
        match self.record.state:
            case Launching() as given:
                seat = seat_of(given.slots, given.share, given.vram_mb)
                # A version that did not write it down: a GPU is known by its UUID too.
                devices = given.devices if given.devices is not None else seat.cards or None
                seat = replace(seat, devices=devices)
                self.state, self.going = "launching", Going(seat=seat, handle=given.handle)
                self.run = Run(self.run.folder, job_name=given.job)
            case Judged(decision=decision):
                slots = decision.unclean.slots if decision.unclean else ()
                self.state, self.going = "judged", Going(seat=seat_of(slots), exit=decision.exit)
            case Queued():
                self.state = "queued"

    def judge_again(self, handle: Callable[[Run, int], Handle]) -> None:
        """Take back, at a restart, a decision of which nothing was applied: it is made anew from the files.

        `handle` is how the engine names an attempt.
        """
        assert self.state == "judged"
        assert self.going is not None
        self.state = "exited"
        if self.attempts > 0:
            self.going.handle = handle(self.run, self.attempts)

    @property
    def _judged_by(self) -> str | None:
        """Return what is done between the end of the job and the commit, where that may take long."""
        if self.checking is not None:
            return CHECKING
        return self.comparing or self.promoting or (READING if self.reading else None)

    def view(self, position: int | None = None, why: str | None = None) -> RunView:
        """Return the run as clients see it."""
        record, going = self.record, self.going or Going()
        return RunView(
            project=str(self.experiment.project),
            expr=self.experiment.slug,
            run_id=self.run.run_id,
            folder=str(self.run.folder),
            state=self.state,
            position=position,
            blocked=self.blocked is not None,
            why=self.blocked or self._judged_by or why,
            runner=record.settings.runner,
            argv=record.argv,
            seconds=record.settings.seconds,
            elapsed=going.elapsed,
            pid=going.pid,
            base=record.base,
            of=record.of,
            note=record.note,
            checkpoint_glob=record.settings.checkpoint_glob,
            latest=going.latest,
            priority=self.active.priority,
            held=self.active.held,
            submitted_at=record.submitted_at,
            exit=going.exit,
            result=self.result,
        )


@functools.cache
def _need_before_gpus() -> Need:
    """Return what a run asks for whose version knew of no GPUs; looked up once, not for each that waits."""
    return Need(gpus=0 if nvml_library.environment(os.environ) is None else 1)
