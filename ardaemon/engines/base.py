"""The engine seam: start an attempt, find it again, stop it, wherever its shim runs."""

from collections.abc import Iterable
from typing import Protocol

from msgspec import Struct

from ardaemon.core.errors import StorageError
from ardaemon.core.layout import Run
from ardaemon.core.model import Ending, Exit, Process, ShellState
from ardaemon.core.queue import NOWHERE, Seat, Stranger
from ardaemon.core.run_record import Handle
from ardaemon.gpus.lease import Taken


class FolderAway(StorageError):
    """An attempt's folder is not where it was, and nothing of it lives: how it ended is not known."""


class Launch(Struct, frozen=True, kw_only=True):
    """One attempt to start. Times are seconds; paths are absolute."""

    run: Run
    handle: Handle
    argv: tuple[str, ...]
    environment: dict[str, str]
    umask: int | None = None  # of the job; None: the shim's
    shell: ShellState | None = None  # of the job, likewise
    cwd: str
    limit: float
    startup: float | None
    ready_regex: str | None
    stall: float | None
    max_log: int | None = None  # bytes that run.log may take of the disk
    settle: float
    grace: float
    verify: float
    seat: Seat = NOWHERE


class Started(Struct, frozen=True, kw_only=True):
    """The job was spawned, or could not be (`error`); `monotonic` is CLOCK_MONOTONIC of that moment."""

    pid: int
    monotonic: float
    error: str | None = None


class Running(Struct, frozen=True, kw_only=True):
    """The attempt is under its shim, or its shim cleans up after it."""

    shim: Process | None = None
    job: Process | None = None
    monotonic: float | None = None  # when the job started
    cgroup: str = ""
    over_by: float | None = None  # CLOCK_MONOTONIC by which a shim that is not stopped has ended the job


class Finished(Struct, frozen=True, kw_only=True):
    """The shim has recorded the end; `ended_monotonic` is CLOCK_MONOTONIC of the first process's end.

    `restarted`: the host was restarted since then. The end and the log are safe; what else the job wrote may
    be torn.
    """

    exit: Exit
    ended_monotonic: float | None = None
    restarted: bool = False
    boot_id: str = ""  # in which it ended: what survived, survived in that boot alone


class Unsupervised(Struct, frozen=True, kw_only=True):
    """The shim is gone, and something of the attempt lives on."""

    processes: tuple[Process, ...]
    deadline: float | None = None  # CLOCK_MONOTONIC by which the attempt is to end
    recorded: bool = False  # its end was recorded all the same: not by its shim, which outlives all the rest


class Lost(Struct, frozen=True, kw_only=True):
    """Nothing lives and nothing was recorded."""

    ending: Ending


class NeverStarted(Struct, frozen=True, kw_only=True):
    """No shim ever took the attempt: it may be started."""


Probe = Running | Finished | Unsupervised | Lost | NeverStarted


class Engine(Protocol):
    """A place where shims are started. Handles are data in run.json: a restarted daemon can ask again."""

    # --- one attempt ---

    def handle(self, run: Run, attempt: int) -> Handle:
        """Return how the engine will find the attempt, which is not started yet."""
        ...

    def check(self, handle: Handle) -> None:
        """Check a handle that was read from run.json. Raises CorruptState if it leads to no attempt."""
        ...

    async def start(self, launch: Launch) -> Started | Taken | None:
        """Start an attempt on its seat.

        Returns Taken if a GPU of the seat cannot be had: then nothing was started. Returns None if the shim
        died before it could answer: `begun` tells what came of it.
        """
        ...

    def probe(self, handle: Handle) -> Probe:
        """Return how the attempt stands. Raises StorageError if nobody can tell now."""
        ...

    async def begun(self, handle: Handle) -> Probe:
        """Wait until the attempt has begun or is over, and return how it stands.

        An attempt that does not begin in time is taken back: NeverStarted. Raises StorageError if nobody
        can tell.
        """
        ...

    async def ended(self, handle: Handle) -> Finished | Lost | NeverStarted:
        """Wait until the attempt is over, whoever supervises it."""
        ...

    async def stop(self, handle: Handle) -> None:
        """Ask for the attempt's end; `ended` tells when it came."""
        ...

    def waits(self, handle: Handle) -> str | None:
        """Return what keeps an attempt whose job has ended, for a person; None if nothing does."""
        ...

    def hold(self, handle: Handle, seat: Seat) -> None:
        """Keep the attempt's seat from others, should its shim be lost and the job let go of its GPUs."""
        ...

    async def keep(self, handle: Handle) -> None:
        """Keep the GPUs of an attempt that is over from others, as far as they have not taken them yet.

        `hold` has told which; `forget` lets go of them.
        """
        ...

    def forget(self, handle: Handle) -> None:
        """Remove what was kept to find the attempt again, and let go of its GPUs: it is over."""
        ...

    # --- the engine itself ---

    def strangers(self, known: Iterable[Handle]) -> list[Stranger]:
        """List the attempts that still run and are none of `known`: each takes a place."""
        ...

    async def keep_ready(self) -> None:
        """Prepare for the next launch, so that it need not wait. Raises OSError."""
        ...

    def sweep(self, known: Iterable[Handle]) -> None:
        """Remove what earlier daemons left of attempts that are over: of all but `known`."""
        ...

    def close(self) -> None:
        """Let go of what was kept ready, because the daemon stops; attempts go on."""
        ...
