"""Defaults and limits, each with the reason for its value, and the user's config.toml."""

import re
import shlex
from functools import lru_cache
from typing import Annotated, Literal

import msgspec

from ardaemon.core.denied import DENIED_ENVIRONMENT
from ardaemon.core.errors import UsageError
from ardaemon.core.hours import Hours, hours
from ardaemon.core.size import mebibytes

# --- limits of one experiment ---
NAME_MAX = 128  # characters; anything longer that a run prints is not a metric's name
NOTE_MAX = 200  # characters of a note that are kept; a line of results stays readable
NEIGHBOURS_MAX = 4096  # files beside train.py, or its original, that are linked for a job: 40 ms of a launch
RECENT_SUBMITS = 64  # submit ids remembered: a client retries within seconds, not within 64 runs
ATTEMPTS_MAX = 3  # launches of one run for the same value; more would hide a real fault
ATTEMPTS_OF_VERSION = 24  # launches of one version that --verdict noise makes at most (docs/noise.md)
LAUNCHES_MAX = 128  # of one run, whatever for: a daemon that looks for one looks no further
NOISE_BUDGET = 0.20  # expected false advances for each advance, of --verdict noise (docs/noise.md)
RESULT_MAX_BYTES = 2048  # result.json: what an agent reads per iteration is bounded
FREE_DISK_MIN = 64 << 20  # bytes that must be free to accept a run: its log and record must fit
# --max-log of a session that names none: more than anybody reads of a log, and a job that prints without end
# fills no disk with it.
LOG_MIB = 1024.0
LOG_MIN_MIB = 1.0  # of --max-log: the tail then holds what a verdict and `arctl tail` read of a log
DRAINED_MAX_S = 30.0  # of one look whether all runs have ended; a client asks again
QUEUE_MAX = 10_000  # runs waiting or running in one daemon
ENVIRONMENT_MAX_BYTES = 512 << 10  # of one run; the kernel's own limit is larger (execve(2))

# --- supervision ---
HOUR_S = 3600.0  # an hour in seconds
SETTLE_S = 5.0  # a wandb service finishes its upload in this time
GRACE_S = 10.0  # between TERM and KILL: a checkpoint of some GB can be written
VERIFY_S = 10.0  # after KILL: how long a process may take to be gone before it is "unclean"
# Processes and threads of one attempt, where the system allows a limit: eight trainers with sixteen loader
# workers each and a BLAS of 128 threads in every one are 16 thousand; a fork bomb ends there.
PIDS_MAX = 32768

UNDELIVERED_MAX = 256  # verdicts kept for `arctl wait --any`; an older one is in `arctl status --last`

# --- GPUs ---
GPUS_MAX = 64  # of one run: more than any one host has
MEMORY_MAX_MIB = float(1 << 24)  # 16 TiB: a larger amount is a slip of the finger

# --- metrics ---
CHECK_S = 300.0  # a check evaluates a model, as a short training does; --check-seconds gives it more
# An audit evaluates a checkpoint on data that the agent is not shown; --audit-seconds gives it more.
AUDIT_S = 600.0
AUDITS_KEPT = 1000  # values of one experiment, the newest: more advances than any night has
AUDIT_LOGS_KEPT = 50  # of one experiment, the newest, each of 128 KiB at most
AUDIT_STARTS = 3  # of one audit: where the daemon ended during each, it may be the audit that ends it
# Until the audits of a project that is away are given up: an unmounted disk is back by then.
AUDIT_AWAY_S = 7 * 86400.0
AUDIT_CHECKPOINTS = 4  # kept for audits that wait, the next ones': each may have many GB
CUSTOM_DEADLINE_S = 60.0  # a metric command reads files; one that takes longer hangs

# --- notices ---
ON_EVENT_S = 30.0  # a message to a server that is slow to answer takes some seconds

# --- server ---
FRAME_MAX = 1 << 20  # bytes of one request line
HALF_FRAME_S = 10.0  # a started line must be finished in this time
SEND_S = 30.0  # a client that does not read an answer is dropped after this
CONNECTIONS_MAX = 512  # of all clients: each agent and each `arctl watch` has a few
REQUESTS_PER_CONNECTION = 64  # at work at the same time; further ones are refused
BATCH_MAX = 64  # requests of one batch
ID_MAX = 256  # bytes of a request's id: a UUID has 36
# Bytes that are held for clients: of lines that came in part, of requests in flight, of answers not yet sent.
REQUEST_BYTES = 10 << 10  # for a request that waits, beside its line: what its task takes (measured)
OWN_BYTES = 64 << 10  # of one connection, whatever others hold: `arctl` asks one thing, of a few KiB
CONNECTION_BYTES = 16 << 20  # of one: the largest answer, a queue of QUEUE_MAX runs, is half of that
CLIENTS_BYTES = 64 << 20  # of all together: where so much is held, a connection gets no more than its own
SUBSCRIBER_QUEUE = 256  # events a slow subscriber may be behind before it is dropped
DEPTH_MAX = 64  # nesting of one JSON text


# --- config.toml ---
TIME_MAX_S = 24 * HOUR_S  # of a setting: a longer one is a slip of the finger

Folder = Annotated[str, msgspec.Meta(pattern=r"^/[^\0]*\Z")]  # absolute; no path has a NUL
Seconds = Annotated[float, msgspec.Meta(ge=0, le=TIME_MAX_S)]
Notable = Literal["advance", "crash", "unclean", "terminated", "gpu_quarantined", "idle", "audit"]
Patience = Annotated[float, msgspec.Meta(gt=0, le=TIME_MAX_S)]  # seconds


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The settings in config.toml. Times are in seconds.

    The comments before the fields are the text of docs/configuration.md (`make configuration`).
    """

    # Seconds between TERM and KILL, when a run is ended.
    grace: Seconds = GRACE_S
    # Seconds after KILL until a process counts as a survivor, and the run as `unclean`.
    verify: Seconds = VERIFY_S
    # `off`: no cgroups, and so no `pids_max`; trees of processes are found through /proc alone.
    cgroup: Literal["auto", "off"] = "auto"
    # Processes and threads of one job, where the system allows a limit.
    pids_max: Annotated[int, msgspec.Meta(ge=8, le=1 << 22)] = PIDS_MAX  # fewer hold no interpreter
    # Where daemons of several users tell each other who has a GPU; the same for all. Unset: a folder of the
    # system's own (gpu.md).
    lease_folder: Folder | None = None
    # Seconds until a client that does not read an answer is dropped.
    send_timeout: Patience = SEND_S
    # Seconds until a client that has begun a request and does not end it is dropped.
    request_timeout: Patience = HALF_FRAME_S
    # Runs without a GPU at the same time.
    cpu_slots: Annotated[int, msgspec.Meta(ge=1, le=1024)] = 1
    # The GPUs that this daemon may use: indices or UUIDs, as text. Unset: all.
    gpus: tuple[str, ...] | None = None
    # Processes on a GPU that are no reason to leave it alone.
    ignore_pids: tuple[int, ...] = ()
    # Environment variables that no job gets, besides the built-in list; a * is anything (security.md).
    deny_environment: tuple[str, ...] = ()
    # Environment variables that jobs get after all (security.md).
    allow_environment: tuple[str, ...] = ()
    # Folders in which projects and checkpoints are taken whoever owns them (security.md).
    trusted: tuple[Folder, ...] = ()
    # When runs may start, each day, by the machine's own time zone, as "20-08" or "19:30-07:00".
    # Unset: always (gpu.md).
    hours: str | None = None

    # A command of yours that is run, without a shell, for each event that is worth notice, with the event as
    # JSON on its standard input (notifications.md).
    on_event: str | None = None
    # The events for which it is run.
    events: tuple[Notable, ...] = (
        "advance",
        "crash",
        "unclean",
        "terminated",
        "gpu_quarantined",
        "idle",
        "audit",
    )
    # Seconds until it is ended.
    on_event_seconds: Patience = ON_EVENT_S
    # Minutes without a new run after which an agent counts as idle. Unset: never.
    idle_minutes: Annotated[float, msgspec.Meta(gt=0, le=TIME_MAX_S / 60)] | None = None

    # The disk that the logs and samples of a project's runs may take, as "20GiB": where it is more, the
    # oldest go. Unset: they go only where the disk is full (files.md). "none": they stay.
    log_quota: str | None = None

    # Whether an agent gets what the command prints of its run: at most 300 bytes, in `arctl run --wait`.
    feedback: bool = False

    def __post_init__(self) -> None:
        """Raise ValueError for hours or an amount that are none, and for a command that no shell reads."""
        self.daily()
        self.quota()
        if self.on_event is not None:
            _require_command(self.on_event)

    def daily(self) -> Hours | None:
        """Return `hours`, read; None: the whole day."""
        return None if self.hours is None else hours(self.hours)

    def quota(self) -> int | None:
        """Return `log_quota` in bytes; None: no limit. Raises ValueError."""
        if self.log_quota is None or self.logs_stay:
            return None
        try:
            return int(mebibytes(self.log_quota, "log_quota") * (1 << 20))
        except UsageError as error:
            text = self.log_quota[:40]
            raise ValueError(f'log_quota = "{text}": it is no amount; write it as "20GiB"') from error

    @property
    def logs_stay(self) -> bool:
        """Tell whether old logs stay even where the disk is full."""
        return self.log_quota == "none"

    @property
    def tree_max(self) -> int | None:
        """The limit on processes of the cgroup that each tree gets; None: it gets no cgroup."""
        return None if self.cgroup == "off" else self.pids_max


def _require_command(text: str) -> None:
    try:
        fault = "" if shlex.split(text) else "it is empty"
    except ValueError as error:
        fault = str(error)
    if "\0" in text:
        fault = "it has a NUL character"
    if fault:
        raise ValueError(f"on_event = {text[:40]!r} is no command: {fault}")


def denied(name: str, config: Config) -> bool:
    """Return whether the environment variable `name` is kept from jobs."""
    patterns = DENIED_ENVIRONMENT + config.deny_environment
    return _is_named(name, patterns) and not _is_named(name, config.allow_environment)


def _is_named(name: str, patterns: tuple[str, ...]) -> bool:
    return _compiled(patterns).fullmatch(name) is not None


@lru_cache(maxsize=8)  # the lists of one daemon
def _compiled(patterns: tuple[str, ...]) -> re.Pattern[str]:
    """Return what matches a name that one of the patterns names."""
    parts = (".*".join(map(re.escape, pattern.split("*"))) for pattern in patterns)
    return re.compile("|".join(parts), re.IGNORECASE | re.DOTALL)
