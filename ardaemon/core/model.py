"""Types for the files of an experiment. All times on disk are UTC, ISO 8601."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct, field

from ardaemon.core.config import (
    ATTEMPTS_OF_VERSION,
    AUDIT_S,
    CHECK_S,
    HOUR_S,
    LOG_MIB,
    NOISE_BUDGET,
    SETTLE_S,
)
from ardaemon.core.layout import SLUG, SLUG_MAX
from ardaemon.core.metric_names import MetricSource
from ardaemon.core.words import RUNNER_UNNAMED

Direction = Literal["min", "max"]
Status = Literal["ok", "crash", "timeout", "invalid", "interrupted", "unclean"]
Verdict = Literal["advance", "revert", "invalid", "crash", "timeout", "interrupted"]
# `chained`: `arctl chain-init --force` has gone on with the next experiment.
Termination = Literal[
    "unclean",
    "manual",
    "primary_threshold",
    "plateau",
    "max_runs",
    "max_hours",
    "max_gpu_hours",
    "max_failures",
    "max_launches",
    "chained",
]
TrainFile = Literal["kept", "restored", "updated", "edited_since"]
# How an attempt ended. From `cancelled` on the daemon decides it, not the shim. `gave_way`: it was begun on a
# place that was idle, and a run wanted that.
Ending = Literal[
    "exited",
    "limit",
    "stall",
    "stopped",
    "spawn_failed",
    "cancelled",
    "seal_broken",
    "supervisor_lost",
    "host_restart",
    "lost",
    "vram_limit",
    "rss_limit",
    "nan",
    "gave_way",
]
# What the daemon itself ends a run for: memory on its GPUs, memory of the host, values that are not finite.
Limit = Literal["vram_limit", "rss_limit", "nan"]
# Why a run is launched again: the attempt was measured under unfair conditions, or it ran out of memory on a
# card that it had to share. `confirm`: with the next seed, for one value may be luck.
Again = Literal["tainted", "oom", "confirm"]
# What train.py and the results of a session start from.
Resume = Literal["continue", "revert", "fresh"]
# Which value of the primary metric is the run's result. A number: the last value up to that step.
Count = Literal["last", "best"] | int
SCHEMA = 1


class Record(Struct, frozen=True, kw_only=True):
    """Base of every file's type. Unknown fields are ignored, unknown schema versions are refused."""

    schema: int = SCHEMA


class Process(Struct, frozen=True):
    """A process, by pid and start time in clock ticks since boot (proc(5), field 22).

    The kernel gives the same pid to another process later, but never the same pid and start time.
    """

    pid: int
    start: int
    name: str = ""


class Primary(Struct, frozen=True):
    """The metric that is compared, and which direction is better."""

    metric: str
    direction: Direction = "min"


class Sealed(Struct, frozen=True, omit_defaults=True):
    """A sealed file or folder; `path` is absolute, or relative to the experiment's folder.

    `size` is in bytes; None where an earlier version sealed it, and for program.md.
    """

    path: str
    sha256: str
    size: int | None = None


class Contract(Record, frozen=True, kw_only=True):
    """The content of batch_contract.json: the seal of an experiment."""

    primary: Primary
    sealed: tuple[Sealed, ...] = ()
    constraints: tuple[str, ...] = ()
    contract: Any = None
    sealed_at: str = ""
    origin: str | None = None  # where train.py was taken from (experiment/script_place.py); not sealed
    original: str = ""  # sha256 of it, as it was then; "": of an earlier version
    generation: int = 0  # how often another seal was accepted: a copy from before has a smaller number


class Settings(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The settings of a session, as `session start` was given them. Times are in seconds."""

    seconds: float
    runner: str = RUNNER_UNNAMED  # a new session's is written out (experiment/default_runner.py)
    exec: Literal["snapshot", "live"] = "snapshot"
    max_runs: int | None = None
    plateau: int | None = None
    threshold: float | None = None
    max_hours: float | None = None  # since the session's start, also while no daemon is there
    max_gpu_hours: float | None = None
    max_failures: int | None = None
    constraints: tuple[str, ...] = ()
    metrics: MetricSource = "auto"
    metric_regex: str | None = None
    metric_command: str | None = None
    metric_path: str | None = None  # a glob, relative to the project; {run_dir} is the job's own folder
    value: Count = "last"
    checkpoint_glob: str | None = None
    capture: Literal["off", "auto"] = "off"
    keep_checkpoints: int | None = None  # of what runs leave in their output; None: all
    startup: float | None = None
    ready_regex: str | None = None
    stall: float | None = None
    settle: float = SETTLE_S
    gpus: int | None = None  # None: one where there are any, else a CPU slot
    share: bool = False
    vram: float | None = None  # MiB that a run needs on each GPU that it shares; None: as learned
    max_vram: float | None = None  # MiB; a run that takes more is ended
    max_rss: float | None = None  # MiB of host memory, likewise
    max_log: float | None = None  # MiB of the disk that a run's log may take
    on_tainted: Literal["rerun", "accept"] = "rerun"
    on_nan: Literal["end", "ignore"] = "end"
    checks: tuple[str, ...] = ()  # commands that a win must pass before it is kept
    check_seconds: float = CHECK_S  # for each of them
    prefer_shorter: bool = False  # of two equal values the one of the shorter train.py wins
    verdict: Literal["plain", "noise"] = "plain"  # noise: a value is compared with the luck of a launch
    noise_budget: float = NOISE_BUDGET  # of `noise`: expected false advances for each advance
    max_attempts: int = ATTEMPTS_OF_VERSION  # of `noise`: launches of one version
    min_delta: float = 0.0  # of `noise`: an edit must be better by more than this, in the metric's unit
    max_launches: int | None = None  # since the session's start, confirmations among them
    measure_noise: bool = False  # places that are idle launch the best again, with other seeds
    audit: str | None = None  # command whose values the agent does not see (docs/audit.md)
    audit_seconds: float = AUDIT_S  # for each time that it runs
    audit_direction: Direction | None = None  # of what it prints; None: as the primary metric's

    @property
    def max_log_bytes(self) -> int | None:
        """Return --max-log in bytes."""
        return None if self.max_log is None else int(self.max_log * (1 << 20))


# Where a session that names none has another value than Settings. A session of an earlier version, whose file
# holds none, keeps what it had.
OF_A_NEW_SESSION: Mapping[str, Any] = {"max_log": LOG_MIB}
# The settings by which a session ends by itself.
LIMITS = ("threshold", "plateau", "max_runs", "max_hours", "max_gpu_hours", "max_failures", "max_launches")


class ShellState(Struct, frozen=True, kw_only=True):
    """What a submitter's shell gives a job beside its environment (core/shell_state.py).

    `limits` are soft limits by their names in getrlimit(2), -1 for unlimited. What is left out is the
    daemon's.
    """

    limits: dict[Annotated[str, Meta(max_length=16)], Annotated[int, Meta(ge=-1, le=(1 << 63) - 1)]] = field(
        default_factory=dict
    )
    affinity: Annotated[tuple[Annotated[int, Meta(ge=0, lt=1 << 16)], ...], Meta(max_length=1 << 16)] = ()
    nice: Annotated[int, Meta(ge=-20, le=19)] | None = None


class Counters(Struct, frozen=True, kw_only=True):
    """Counts from which termination and status are computed, so that neither reads the history."""

    advance: int = 0
    revert: int = 0
    crash: int = 0
    timeout: int = 0
    invalid: int = 0
    interrupted: int = 0
    measure: int = 0  # reruns of the best that ended well; an earlier version counted them as reverts
    since_start: int = 0  # runs since the session started, for max_runs
    plateau: int = 0  # comparable runs in a row that did not improve
    failures: int = 0  # crashes, timeouts and invalid runs in a row
    gpu_seconds: float = 0.0  # since the session started, of all GPUs together
    launches: int = 0  # likewise, the confirmations among them
    confirmations: int = 0  # likewise: launches of a version that had a value already

    @property
    def gpu_hours(self) -> float:
        """The hours that the session's runs have had GPUs, of all GPUs together."""
        return self.gpu_seconds / HOUR_S

    @property
    def total(self) -> int:
        """The number of runs that were ever judged."""
        decided = self.advance + self.revert + self.crash + self.timeout + self.invalid
        return decided + self.interrupted + self.measure


class Placed(Struct, frozen=True):
    """The version that the daemon last put into train.py."""

    run_id: str
    sha256: str


class ChainState(Struct, frozen=True):
    """Which state of a project's chain an experiment has seen, by how often that was written."""

    lineage: str  # as in Chain: numbers of another project's chain say nothing of this one's
    generation: int


class Session(Record, frozen=True, kw_only=True):
    """The content of .ar-session.json."""

    settings: Settings | None = None
    signature: str = ""  # of the settings, by the user who started it (experiment/started_here.py)
    live: bool = False
    terminated_by: Termination | None = None
    started_at: str | None = None
    conditions: str = ""  # fingerprint, as in Best: the conditions that were accepted when it started
    epoch: int = 0  # how many sessions there were: a run of an earlier session never ends a later one
    revision: int = 0  # how often `session set` has changed the settings: a run that waits takes the latest
    baseline_acknowledged: bool = False  # a person has accepted the best under these conditions
    resume_mode: Resume | None = None  # what `session start --resume` said
    checks_sealed: tuple[Sealed, ...] = ()  # the files that checks and audit name
    counters: Counters = Counters()
    placed: Placed | None = None
    last_run: int  # high-water mark: ids are never used again
    results_bytes: int = 0  # size of results.tsv at the last commit: if it is smaller now, rows were lost
    generation: int = 0  # how often this file was written: a copy from before has a smaller number
    # Random, from `init` on: numbers of an experiment that was here before say nothing of this one's.
    lineage: str = ""  # "": an earlier version's, or rebuilt
    best_measured: int = 0  # `measured` of best.json
    seal: int = 0  # `generation` of batch_contract.json
    chain: ChainState | None = None  # the last that was written as this experiment was the current one
    noise: str = ""  # of --verdict noise, as of the last commit: how large it is, what it has cost, one line
    # Of --verdict noise, one line: the last rerun of the best that was not where it was expected.
    drift: str = ""
    recent_submits: dict[str, str] = field(default_factory=dict)  # submit id -> run id
    # Committed runs whose verdict nobody has got yet: `arctl wait --any` delivers them.
    undelivered: tuple[str, ...] = field(default=(), name="untold")
    # `--resume fresh` is under way: the folder of archive/ that it fills. A name, and no way out of archive/:
    # the session may have come with a clone.
    archiving: Annotated[str, Meta(pattern=r"^\w+\Z")] | None = None
    # GPU model -> peak MiB of the last good runs
    peaks: dict[str, tuple[float, ...]] = field(default_factory=dict)


class KeptVersion(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An earlier best: what its launches measured, by seed, and how sure its advance was."""

    run_id: str
    values: tuple[float | None, ...]
    p_better: float | None = None


class Best(Record, frozen=True, kw_only=True):
    """The content of best.json. `valid` is false for a baseline that breaks a constraint or fails a check."""

    run_id: str
    primary: Primary
    value: float
    valid: bool = True
    metrics: dict[str, float] = field(default_factory=dict)
    sha256: str = ""
    checkpoint: str | None = None
    at: str = ""
    conditions: str = ""  # fingerprint of what makes values comparable: seconds, runner, seal
    # What its launches measured, by seed; None: that one gave no value. Empty: `value`, with the first seed.
    values: tuple[float | None, ...] = ()
    p_better: float | None = None  # how sure its advance was; None: the plain rule decided
    rerun_failed: bool = False
    earlier: tuple[KeptVersion, ...] = ()  # the bests before it, under the same conditions, oldest first
    advances: int = 0  # how many there were, with this one: a copy from before has fewer
    measured: int = 0  # how many later launches it has the values of: a copy from before has fewer


class Exit(Record, frozen=True, kw_only=True):
    """The content of exit.json, which the shim writes; if there is none, what the daemon concluded itself.

    `seconds` is measured on CLOCK_MONOTONIC, from the spawn to the end of the first process. `max_rss_kb` and
    the CPU times cover all reaped descendants (getrusage(2)).
    """

    ending: Ending
    exit_code: int | None = None
    signal: str | None = None
    seconds: float = 0.0
    started_at: str | None = None
    ended_at: str | None = None
    ready_after: float | None = None
    user_s: float = 0.0
    system_s: float = 0.0
    max_rss_kb: int = 0
    host_oom: bool = False  # the cgroup's oom_kill count rose while the attempt ran
    pids_limit: bool = False  # a fork was refused: config.toml's pids_max was reached
    disk_full: bool = False  # there was no room for this record: the job may have found none either
    tree: Literal["cgroup", "walk"] | None = None  # how the end of the process tree was verified
    cgroup: str = ""  # the survivors' cgroup, if there are survivors
    survivors: tuple[Process, ...] = ()
    error: str | None = None


class PrimaryResult(Struct, frozen=True, kw_only=True):
    """The primary metric of one run, beside the best value of the moment when it was judged."""

    name: str
    value: float | None
    direction: Direction
    best_before: float | None = None
    best_run_before: str | None = None
    delta: float | None = None


class ConstraintResult(Struct, frozen=True, kw_only=True):
    """A constraint, and whether the run kept it; a run whose value is unknown did not."""

    expr: str
    value: float | None
    ok: bool


class SeedValue(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What one launch of a run measured."""

    seed: int
    value: float | None = None
    status: Status = "ok"


class Result(Record, frozen=True, kw_only=True):
    """The content of result.json, at most RESULT_MAX_BYTES.

    The file is the sign of the commit: if it names the run and run.json says `judged`, the run is committed.
    """

    run_id: str
    expr: str
    status: Status
    verdict: Verdict
    valid: bool
    improved_over_best: bool
    primary: PrimaryResult
    metrics: dict[str, float] = field(default_factory=dict)
    metrics_source: str | None = None
    counted: str | None = None  # which value: "last@1200", "best@900", "at 1000@1000"; no "@": no step known
    constraints: tuple[ConstraintResult, ...] = ()
    peak_vram_mb: float | None = None
    peak_vram_source: str | None = None  # process, device_delta, reported
    peak_rss_mb: float | None = None
    tainted: str | None = None  # why the conditions of the measurement were not fair
    seconds: float = 0.0
    exit_code: int | None = None
    signal: str | None = None
    reason: str | None = None
    base: str | None = None
    train_py: TrainFile = "kept"
    checkpoint: str | None = None
    should_terminate: bool = False
    terminated_by: str | None = None
    next: str = ""  # what a loop has to do now (judging/next_step.py); "": of an earlier version
    chain_over: bool = False  # the session is over, and so is the chain's budget
    plateau: str | None = None  # "2/5"
    runs: str | None = None  # "42/200"
    hours: str | None = None  # "2.5/8"
    gpu_hours: str | None = None  # "3.1/16"
    failures: str | None = None  # "1/3"
    launches: str | None = None  # "55/400"
    best: str | None = None  # after this run: "r0037"
    best_value: float | None = None
    chain_remaining: int | None = None
    attempts: int = 1
    measure: bool = False  # a rerun of the best, which decides nothing
    rewritten: bool = False  # the file that was run held another text by the end (script_place.rewritten)
    # Of --verdict noise, in the metric's unit and sign (docs/noise.md).
    said: str = ""  # the verdict and how sure it is, for people and agents
    p_better: float | None = None  # the probability that the edit is better by more than --min-delta
    gain: float | None = None  # by how much it is better, over all seeds
    gain_sd: float | None = None
    estimate: float | None = None  # of the run's value over all seeds
    estimate_sd: float | None = None
    noise: float | None = None  # standard deviation of one launch over seeds
    df: int | None = None  # degrees of freedom of that
    values: tuple[SeedValue, ...] = ()  # what each launch measured
    note: str = ""
    started_at: str | None = None
    ended_at: str | None = None


ChainMode = Literal["disabled", "max_n", "unlimited"]
CHAIN_MAX = 1_000_000  # experiments that may follow: more is mistyped
TRAIL_MAX = 4096  # links that are remembered, the newest
Slug = Annotated[str, Meta(pattern=f"^(?:{SLUG.pattern})\\Z", max_length=SLUG_MAX)]


class Making(Struct, frozen=True, kw_only=True):
    """The intent of `chain.init`: the child that is being made.

    `epoch` is the number of the parent's session that ends with it, as `chained`; None: none is live.
    """

    slug: Slug
    parent: Slug
    submit_id: str
    epoch: int | None = None


class Chain(Record, frozen=True, kw_only=True):
    """The content of .chain-session.json.

    `chain_remaining` counts with `max_n` alone. In a file of before there is no mode: a number means max_n,
    null unlimited.
    """

    current_slug: Slug
    chain_mode: ChainMode | None = None
    chain_remaining: Annotated[int, Meta(ge=0)] | None  # earlier versions took more than CHAIN_MAX
    chain_trail: Annotated[tuple[Slug, ...], Meta(max_length=TRAIL_MAX)] = ()
    making: Making | None = None
    lineage: str = ""  # the same in all chains of the project, one after the other; "": an earlier version's
    generation: int = 0  # how often this file was written: a copy from before has a smaller number

    @property
    def mode(self) -> ChainMode:
        """Return the mode, also of a file of before."""
        if self.chain_mode is not None:
            return self.chain_mode
        return "unlimited" if self.chain_remaining is None else "max_n"

    @property
    def left(self) -> int | None:
        """Return how many experiments may follow; None: any number."""
        if self.mode == "unlimited":
            return None
        return self.chain_remaining or 0 if self.mode == "max_n" else 0


class ParentPrimary(Struct, frozen=True, kw_only=True):
    """The parent's primary metric, and the value of its best when the chain went on."""

    name: str
    direction: Direction
    best_value: float
    best_run: str


class ChildPrimary(Struct, frozen=True, kw_only=True):
    """The child's primary metric."""

    name: str
    direction: Direction


class ChainDecision(Record, frozen=True, kw_only=True):
    """The content of chain_decision.json: why an experiment follows another one. Never changed."""

    parent_expr: Slug
    parent_primary: ParentPrimary
    child_primary: ChildPrimary
    child_goal: str
    child_mutation_scope: tuple[str, ...]
    rationale: str  # word for word
    parent_report_sha256: str  # of the parent's report, as it was then
    created_at: str
    chain_position: int  # the first child has 1
    submit_id: str  # the same call again gives the same child
    parent_checkpoint: str | None = None  # where parent_ckpt/ was copied from; None: there was none
    inherited: tuple[str, ...] = ()  # settings that are as the parent's session had them
    dropped: tuple[str, ...] = ()  # runs of the parent that waited, and were cancelled


class UncleanRecord(Record, frozen=True, kw_only=True):
    """The content of UNCLEAN.json: which processes survived the kill of which run."""

    run_id: str
    survivors: tuple[Process, ...]
    boot_id: str
    at: str
    slots: tuple[str, ...] = ()
    cgroup: str = ""


class Quarantine(Record, frozen=True, kw_only=True):
    """The content of quarantine/{slot}.json: the slot gets no run until the processes named here are gone."""

    slot: str
    folder: str  # of the experiment
    run_id: str
    survivors: tuple[Process, ...]
    boot_id: str
    at: str
    cgroup: str = ""
