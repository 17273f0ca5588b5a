"""Events, one type for each kind: in the life of a run, of an experiment, and how things stand now.

An event is a view: it is logged and passed on to whoever subscribed, and nothing is decided by it. The tag is
the event's name in the log and on the wire. Times are milliseconds where the name says so, else seconds;
sizes are bytes.
"""

from msgspec import Struct

from ardaemon.core.model import Again, Ending, Limit, Status, Verdict
from ardaemon.core.protocol import GpuView, RunView
from ardaemon.core.run_record import Wanted


class RunEvent(Struct, frozen=True, kw_only=True, tag_field="event"):
    """The base of all events; whose run it is stands beside it, not in it."""


class RunSubmitted(RunEvent, frozen=True, kw_only=True, tag="submitted"):
    """A run is on disk."""

    base: str | None
    note: str
    to_disk_ms: float | None  # since the request came; None: the daemon itself wants it
    of: str | None = None  # the run whose version it launches once more; it gets no verdict


class RunStarted(RunEvent, frozen=True, kw_only=True, tag="started"):
    """The job was spawned, or was found at work."""

    pid: int | None
    attempt: int
    to_exec_ms: float | None  # since the request came; None: it waited, or another daemon took the request


class RunEnded(RunEvent, frozen=True, kw_only=True, tag="ended"):
    """The job's processes are gone, but for survivors of the kill."""

    ending: Ending
    seconds: float


class RunAgain(RunEvent, frozen=True, kw_only=True, tag="again"):
    """An attempt did not count, and the run waits for another."""

    why: Again
    attempts: int


class CheckpointCopied(RunEvent, frozen=True, kw_only=True, tag="promoting"):
    """A part of the run's checkpoint is copied: `done` of `total` bytes."""

    done: int
    total: int


class RunCommitted(RunEvent, frozen=True, kw_only=True, tag="committed"):
    """The verdict is on disk, and all that follows from it."""

    status: Status
    verdict: Verdict
    value: float | None
    reason: str | None
    terminated_by: str | None
    of: str | None = None  # the run whose version it launched once more: then there is no verdict
    to_result_ms: float | None  # since the first process ended; None: that was under another daemon


class BestDrifted(RunEvent, frozen=True, kw_only=True, tag="drift"):
    """A rerun of the best has a value that was not to be expected: the machine may have changed."""

    why: str


class RunBlocked(RunEvent, frozen=True, kw_only=True, tag="blocked"):
    """Something is in the way that the run waits for."""

    why: str
    retry_s: float


class RunUnblocked(RunEvent, frozen=True, kw_only=True, tag="unblocked"):
    """The run is tried again."""


class LimitPassed(RunEvent, frozen=True, kw_only=True, tag="limit"):
    """The job takes more memory than it may, or its primary metric is nan, and it is ended."""

    limit: Limit


class EndWanted(RunEvent, frozen=True, kw_only=True, tag="cancel"):
    """Somebody wants the run's end; too late for that in `judge` and `judge_stop`."""

    wanted: Wanted


class RunMoved(RunEvent, frozen=True, kw_only=True, tag="moved"):
    """The run has another place in the queue."""

    priority: int
    front: int
    held: bool


class RunDropped(RunEvent, frozen=True, kw_only=True, tag="dropped"):
    """The run's folder was removed: nothing is left to judge."""

    why: str


class LeaseRefused(RunEvent, frozen=True, kw_only=True, tag="lease refused"):
    """Another daemon has a GPU that the run was given."""

    gpu: str
    why: str


class NotMeasured(RunEvent, frozen=True, kw_only=True, tag="not measured"):
    """The run is not measured: what it uses is not known."""

    why: str


class NotFollowed(RunEvent, frozen=True, kw_only=True, tag="not followed"):
    """The live value of the run's metric is not known."""

    why: str


class ExperimentEvent(Struct, frozen=True, kw_only=True, tag_field="event"):
    """The base of what happens to an experiment, and to none of its runs in particular."""


class SessionChanged(ExperimentEvent, frozen=True, kw_only=True, tag="session"):
    """Somebody has started, changed or stopped the session, or gone on with the next experiment of the chain.

    A session that ends with a run is not told here.
    """

    live: bool


class AuditEnded(ExperimentEvent, frozen=True, kw_only=True, tag="audited"):
    """The hidden audit of an advance is recorded; what it has shown is not told here (docs/audit.md)."""

    run_id: str


class LogsRemoved(ExperimentEvent, frozen=True, kw_only=True, tag="logs removed"):
    """Old logs were removed: by `arctl prune`, or because of `log_quota` in config.toml."""

    runs: int
    size: int  # bytes of the disk
    by: str


class MachineEvent(Struct, frozen=True, kw_only=True, tag_field="event"):
    """The base of what happens to the machine, and to no experiment in particular."""


class ConfigTaken(MachineEvent, frozen=True, kw_only=True, tag="config"):
    """A change of config.toml was taken up."""

    changed: tuple[str, ...]  # names of settings


class GpuQuarantined(MachineEvent, frozen=True, kw_only=True, tag="quarantined"):
    """A GPU takes no run until a person has looked at it."""

    gpu: str
    why: str


class LiveEvent(Struct, frozen=True, kw_only=True, tag_field="event"):
    """The base of what only those get who subscribed with `live`: how things stand now.

    Each replaces the last one of its kind. None is logged.
    """


class RunProgress(LiveEvent, frozen=True, kw_only=True, tag="progress"):
    """A run at work, as it stands now; memory in MiB."""

    project: str
    expr: str
    run_id: str
    elapsed: float | None = None
    latest: float | None = None  # primary metric
    step: int | None = None  # of that value, where the script tells it
    vram_mb: float | None = None
    rss_mb: float | None = None
    line: str = ""  # the last one of its log, cleaned and cut


class QueueSeen(LiveEvent, frozen=True, kw_only=True, tag="queue"):
    """The queue has changed: its first runs, those at work before those that wait, and how many there are."""

    runs: tuple[RunView, ...]
    total: int
    closed: str | None = None  # why no run may start now


class GpusSeen(LiveEvent, frozen=True, kw_only=True, tag="gpus"):
    """The GPUs, as they were at the last look; only where there are any."""

    gpus: tuple[GpuView, ...]
