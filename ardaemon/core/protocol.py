"""The protocol on the socket: one Struct per verb and per answer. The table of methods is methods.py.

JSON-RPC 2.0, one JSON text per line. `project` is an absolute path; `expr` a slug, or null for
the one that is meant (the rule is in the README), or CHAIN_FIRST of core/words.py.
"""

from typing import TYPE_CHECKING, Annotated, Any, Literal

from msgspec import UNSET, Meta, Raw, Struct, UnsetType, defstruct
from msgspec.structs import FieldInfo, fields

from ardaemon.core.config import DRAINED_MAX_S, ID_MAX
from ardaemon.core.duration import LONGEST_S
from ardaemon.core.gpus import CardState
from ardaemon.core.history import HistoryLine
from ardaemon.core.model import (
    Best,
    ChainDecision,
    ChainMode,
    Contract,
    Direction,
    Exit,
    Result,
    Resume,
    SeedValue,
    Session,
    Settings,
    ShellState,
)
from ardaemon.core.size import SIZES
from ardaemon.core.summary import Summary

# A daemon serves clients of the version before and after its own.
PROTOCOL = 2
AMOUNT_MAX = 64  # characters of a time or a size


class Params(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The base of all parameters: a misspelt one is an error, not a silent default."""


class Request(Struct, frozen=True):
    """A request object (JSON-RPC 2.0, section 4); `protocol` is ours."""

    jsonrpc: Literal["2.0"]
    method: str
    params: Raw | UnsetType = UNSET
    id: str | int | float | UnsetType | None = UNSET
    protocol: int | UnsetType = UNSET

    def __post_init__(self) -> None:
        """Refuse an id that is no name for a request but a load: it is kept until the answer is sent."""
        if isinstance(self.id, str | int) and len(str(self.id).encode()) > ID_MAX:
            raise ValueError(f"an id has at most {ID_MAX} bytes")


class Nothing(Params, frozen=True, kw_only=True):
    """No parameters."""


class Where(Params, frozen=True, kw_only=True):
    """An experiment."""

    project: str
    expr: str | None = None


class Submit(Where, frozen=True, kw_only=True):
    """run.submit. The same `submit_id` again gives the same run."""

    submit_id: str
    environment: dict[str, str]
    note: str | None = None
    restore: Literal["at_submit", "at_verdict"] = "at_verdict"
    gpus: int | None = None  # None, here and below: as the session says
    vram: float | None = None  # MiB on each of its GPUs
    share: bool | None = None
    priority: int = 0
    again: bool = False  # also a version that was run before; one that is the best is measured again
    umask: Annotated[int, Meta(ge=0, le=0o777)] | None = None  # of the job; None: the daemon's
    shell: ShellState | None = None  # of the job, likewise


class WhichRun(Where, frozen=True, kw_only=True):
    """A run; null for the experiment's latest."""

    run_id: str | None = None


class Rerun(WhichRun, frozen=True, kw_only=True):
    """run.rerun: launch a run's version with `seeds` that are new to it, and `same` times with the first."""

    environment: dict[str, str]
    seeds: Annotated[int, Meta(ge=0, le=32)] = 1
    same: Annotated[int, Meta(ge=0, le=32)] = 0
    umask: Annotated[int, Meta(ge=0, le=0o777)] | None = None
    shell: ShellState | None = None


class Compare(Where, frozen=True, kw_only=True):
    """run.compare: two runs of an experiment, which may be the same one."""

    run_id: str
    other: str


Until = Literal["launched", "committed", "launched_or_closed"]


class Wait(WhichRun, frozen=True, kw_only=True):
    """run.wait. `any`: the next of the experiment's runs to finish, if one is under way.

    "launched_or_closed": also until it waits because a person has closed the queue.
    """

    until: Until = "committed"
    timeout: float | None = None
    any: bool = False


class Tail(WhichRun, frozen=True, kw_only=True):
    """run.tail. With `follow`, what is added arrives as `run.log` notifications {"text": …, "offset": …}.

    With `offset`, as the last one told it, a client that lost its connection goes on from there.
    """

    lines: int = 40
    follow: bool = False
    offset: int | None = None  # bytes of the log that were sent


class Cancel(WhichRun, frozen=True, kw_only=True):
    """run.cancel. `manual` ends the session too (Ctrl+C in `arctl run --wait`)."""

    manual: bool = False


class Move(WhichRun, frozen=True, kw_only=True):
    """queue.move. `first` and `last` are meant among runs of equal priority."""

    to: Literal["first", "last"] | None = None
    priority: int | None = None


class Pause(Params, frozen=True, kw_only=True):
    """queue.pause, queue.resume. `seconds`: for how long; without it until the other one comes."""

    seconds: Annotated[float, Meta(gt=0, le=LONGEST_S)] | None = None
    drain: bool = False  # of a pause: nothing is to run, because of maintenance


class Drained(Params, frozen=True, kw_only=True):
    """queue.drained. `timeout`: seconds after which the answer comes whatever still runs."""

    timeout: Annotated[float, Meta(ge=0, le=DRAINED_MAX_S)] = DRAINED_MAX_S


class ListGpus(Params, frozen=True, kw_only=True):
    """gpu.list. `release`: let go of the driver until something needs it. `clear`: GPUs to lift."""

    release: bool = False
    clear: tuple[str, ...] = ()


VALUES_MAX = 100  # of one Glance: a graph of one line is no wider


class ListStatus(Params, frozen=True, kw_only=True):
    """status.list. `values`: how many of each experiment's last runs tell their primary metric.

    `skip`: how many experiments, of those that were changed last, are left out.
    """

    project: str
    values: Annotated[int, Meta(ge=0, le=VALUES_MAX)] = 0
    skip: Annotated[int, Meta(ge=0)] = 0


class Recent(Where, frozen=True, kw_only=True):
    """The last N committed runs."""

    last: int = 0


class Init(Params, frozen=True, kw_only=True):
    """experiment.init. Paths are absolute. `source`: a folder with train.py, prepare.py, program.md."""

    project: str
    slug: str
    source: str | None = None
    train: str | None = None
    prepare: str | None = None
    program: str | None = None
    primary_metric: str | None = None
    primary_direction: Literal["min", "max"] | None = None
    goal: str | None = None
    constraints: tuple[str, ...] = ()
    seal: tuple[str, ...] = ()
    mutation_scope: tuple[str, ...] | None = None  # None: train.py


class Archive(Params, frozen=True, kw_only=True):
    """experiment.archive. With `back` the experiment is taken back; without `slug` the archive is listed."""

    project: str
    slug: str | None = None
    back: bool = False


class Seal(Where, frozen=True, kw_only=True):
    """experiment.seal. Without `accept` it only reports what changed."""

    accept: bool = False
    add: tuple[str, ...] = ()


# Settings that may be written with their unit, as text: "10m", "8h", "6GiB" (experiment/settings.py).
DURATIONS = ("seconds", "startup", "stall", "settle", "check_seconds", "audit_seconds")
HOURS = ("max_hours", "max_gpu_hours")


def _given_type(field: FieldInfo) -> Any:
    """Return the type of a setting as it is given."""
    text = Annotated[str, Meta(max_length=AMOUNT_MAX)] if field.name in DURATIONS + HOURS + SIZES else None
    return field.type | None | UnsetType if text is None else field.type | text | None | UnsetType


if TYPE_CHECKING:

    class SomeSettings(Params, frozen=True, kw_only=True):
        """Some of the settings: a field that is not there is not touched, null is the default."""

else:  # made from the fields of Settings, so that none is forgotten here
    SomeSettings = defstruct(
        "SomeSettings",
        [(field.name, _given_type(field), UNSET) for field in fields(Settings)],
        bases=(Params,),
        module=__name__,
        frozen=True,
        kw_only=True,
    )


Budget = int | Literal["unlimited"]  # of a chain: how many experiments may follow


class SessionStart(Where, frozen=True, kw_only=True):
    """session.start. `environment` is where the runner's program is looked for (PATH).

    `chain` begins a new chain; `force`: also while that of another experiment goes on.
    What `given` leaves out is as in the last session; with `defaults`, or where this user has started none,
    as by default. Clients of earlier versions send all `settings`; then nothing is inherited.
    """

    settings: Settings | None = None
    environment: dict[str, str]
    resume: Resume | None = None
    chain: Budget | None = None
    ack_baseline: bool = False
    given: SomeSettings = SomeSettings()
    defaults: bool = False
    force: bool = False


class SessionSet(Where, frozen=True, kw_only=True):
    """session.set: other settings for the live session.

    `environment` is where the programs of new checks and of a new audit are looked for (PATH).
    """

    given: SomeSettings
    environment: dict[str, str] | None = None


LINKS_MAX = 64  # of one chain.get


class ChainInit(Params, frozen=True, kw_only=True):
    """chain.init. The same `submit_id` again gives the same child. Paths are absolute.

    Null, or what `given` leaves out, is as in the parent. `environment` is where the runner's program is
    looked for (PATH). `force`: also if the parent's session is live.
    """

    project: str
    submit_id: Annotated[str, Meta(min_length=1, max_length=ID_MAX)]
    slug: str  # of the child
    goal: str
    rationale: str
    environment: dict[str, str]
    from_expr: str | None = None  # null: the chain's current experiment
    mutation_scope: tuple[str, ...] | None = None
    primary_metric: str | None = None
    primary_direction: Direction | None = None
    train: str | None = None  # null: the parent's best
    parent_ckpt: str | None = None  # a file or folder; null: the best's checkpoint
    no_checkpoint: bool = False
    given: SomeSettings = SomeSettings()
    force: bool = False


class ChainGet(Params, frozen=True, kw_only=True):
    """chain.get. `last`: the newest links that are listed."""

    project: str
    last: Annotated[int, Meta(ge=0, le=LINKS_MAX)] = 8


class ChainStop(Params, frozen=True, kw_only=True):
    """chain.stop."""

    project: str


class Prune(Where, frozen=True, kw_only=True):
    """log.prune. `keep_logs`: of so many runs, the last ones, the logs stay; `dry_run`: only say it."""

    keep_logs: Annotated[int, Meta(ge=0)]
    dry_run: bool = False


class Adopt(Params, frozen=True, kw_only=True):
    """project.adopt. `take_over`: a person has said so, where a daemon on another host has given no sign."""

    project: str
    take_over: bool = False


class Report(Where, frozen=True, kw_only=True):
    """report.get. `all`: every list whole, in place of the first entries that fit into 8 KiB."""

    format: Literal["markdown", "json"] = "markdown"
    all: bool = False


class History(Where, frozen=True, kw_only=True):
    """history.get: one of four questions, or none for the newest runs. `grep`: * is any text, | is or."""

    grep: str | None = None
    param: str | None = None
    best: Annotated[int, Meta(ge=1)] | None = None
    similar: bool = False


class Subscribe(Params, frozen=True, kw_only=True):
    """events.subscribe. Events arrive as `event` notifications until the connection closes.

    With `confirm` the first of them is {"event": "subscribed"}: from then on the client misses none.
    With `live` there are also those that tell how things stand now (LiveEvent of core/events.py).
    """

    project: str | None = None
    expr: str | None = None
    confirm: bool = False
    live: bool = False


class Answer(Struct, frozen=True, kw_only=True):
    """The base of all results; `warnings` are for a person, on stderr."""

    warnings: tuple[str, ...] = ()


class RunView(Answer, frozen=True, kw_only=True):
    """run.submit, run.wait, run.get, run.cancel: one run as it stands."""

    project: str
    expr: str
    run_id: str
    folder: str
    state: str  # of core/lifecycle.py
    position: int | None = None  # in the queue, from 1
    why: str | None = None  # what it waits for
    blocked: bool = False  # `why` is what is in the way: it is tried again until that is mended
    runner: str = ""  # as the session has it
    argv: tuple[str, ...] = ()
    seconds: float | None = None  # the limit
    elapsed: float | None = None
    pid: int | None = None
    base: str | None = None
    of: str = ""  # the run whose version it launches once more, without a verdict
    note: str = ""
    checkpoint_glob: str | None = None
    latest: float | None = None  # primary metric, while it runs
    gpus: tuple[int, ...] = ()  # indices of those it has, or had
    priority: int = 0
    held: bool = False  # by `arctl queue hold`
    vram_mb: float | None = None  # of its processes, by the last sample
    rss_mb: float | None = None
    submitted_at: str = ""  # UTC, ISO 8601
    missing: tuple[str, ...] = ()  # of run.submit alone: variables that the best's run had, and this has not
    exit: Exit | None = None
    result: Result | None = None
    feedback: str = ""  # of run.wait alone: what a person's command printed of this run


class Reruns(Answer, frozen=True, kw_only=True):
    """run.rerun: the launches, as `r0042m3`; run.wait takes them."""

    expr: str
    run_id: str
    runs: tuple[str, ...]


Ignores = Literal["yes", "perhaps", "no"]


class NoiseView(Answer, frozen=True, kw_only=True):
    """noise.get: what a version's launches measured, by seed and with the first, and what that says."""

    expr: str
    run_id: str
    metric: str
    values: tuple[float, ...] = ()
    same: tuple[float, ...] = ()
    sd: float | None = None  # over seeds; None: fewer than two values
    df: int | None = None
    same_sd: float | None = None  # with one seed
    seed_share: float | None = None  # of the variance: what the seed makes of it, 0 to 1
    resolves: float | None = None  # the difference of two launches that is luck once in 20 times
    ignores_seed: Ignores | None = None  # whether the script ignores AR_SEED
    said: tuple[str, ...] = ()


class Measured(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a run's launches measured. With 90% the mean lies between `low` and `high` (Student's t)."""

    values: tuple[SeedValue, ...] = ()
    mean: float | None = None
    low: float | None = None  # null for one value
    high: float | None = None


class Difference(Struct, frozen=True, kw_only=True):
    """The values of a run less those of another, with the seeds that both have: their mean, its interval."""

    mean: float
    low: float | None  # null for one seed
    high: float | None
    seeds: int


class CompareView(Answer, frozen=True, kw_only=True):
    """run.compare. Not `comparable`: both have values, but under no conditions that are the same."""

    expr: str
    metric: str
    direction: Direction
    run_id: str
    other: str
    values: Measured
    other_values: Measured
    comparable: bool
    difference: Difference | None = None


class AuditRow(Struct, frozen=True, kw_only=True):
    """The audit of one advance; `problem` says why there is no value."""

    run_id: str
    at: str
    primary: float | None  # the best's value after that advance
    value: float | None
    name: str
    problem: str
    seconds: float
    trend: str  # better, worse, same: beside the audit before it; "": they cannot be compared


AUDITS_MAX = 200  # rows of one audit.get, the newest


class AuditView(Answer, frozen=True, kw_only=True):
    """audit.get: what the hidden audit has shown, oldest first. For people: no agent is to be shown this.

    `warning`: the primary metric improves and the audit does not. `log`: the folder with what audits printed.
    A value lies with the daemon that had the run: `elsewhere` names the others.
    """

    expr: str
    command: str | None
    metric: str
    direction: Direction  # of the primary metric
    audit_direction: Direction
    rows: tuple[AuditRow, ...] = ()
    total: int = 0
    waiting: tuple[str, ...] = ()  # runs whose audit is not recorded yet
    at_work: str | None = None  # the one of these whose audit is under way
    warning: str = ""
    log: str = ""
    # State folder of another daemon -> how many of the newest advances it has audited, or will; "": an
    # earlier version's.
    elsewhere: dict[str, int] = {}


class RunList(Answer, frozen=True, kw_only=True):
    """run.list: oldest first; one dict per row, keyed as the columns of results.tsv."""

    expr: str
    primary: str
    runs: tuple[dict[str, str], ...]


class TailText(Answer, frozen=True, kw_only=True):
    """run.tail: cleaned text, traceback first."""

    expr: str
    run_id: str
    state: str
    text: str


CURVE_MAX = 200  # points of a curve: twice as many as a wide terminal has columns for it


class CurvePoint(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One value of the primary metric; `at` is seconds since the attempt's start, where that is known."""

    value: float
    step: int | None = None
    at: float | None = None


class CurveView(Answer, frozen=True, kw_only=True):
    """run.curve: the primary metric's history in a run, oldest first, thinned out to CURVE_MAX points.

    Of a run that is under way: since this daemon has followed it.
    """

    expr: str
    run_id: str
    state: str
    seconds: float | None = None  # how long the run took; of one under way, so far
    points: tuple[CurvePoint, ...] = ()


class ChainPlace(Struct, frozen=True, kw_only=True):
    """An experiment's place in its chain, and what is left of the chain (null: no limit)."""

    position: int  # from 1
    current: str  # the chain's current experiment
    remaining: int | None = None


STATUS_RUNS_MAX = 16  # runs under way in one status.get: more than anybody looks at at once


class StatusView(Answer, frozen=True, kw_only=True):
    """status.get: an experiment as it stands.

    `active` has the first of the runs under way, STATUS_RUNS_MAX at most: those that cannot go on, then those
    at work, then those that wait. How many there are of each is in `blocked`, `at_work` and `waiting`.
    """

    project: str
    expr: str
    folder: str
    contract: Contract
    session: Session
    best: Best | None
    train_py: str  # "in-sync with best", "edited since r0040", …
    unclean: bool = False
    chain: ChainPlace | None = None
    hours: float = 0.0  # since the session started
    gpu_hours: float = 0.0  # of its runs that are committed
    active: tuple[RunView, ...] = ()
    blocked: int = 0
    at_work: int = 0
    waiting: int = 0
    recent: tuple[dict[str, str], ...] = ()


GLANCES_MAX = 16  # experiments of one status.list: more than a person looks at at once


class Glance(Struct, frozen=True, kw_only=True):
    """An experiment in a line. `values`: the primary metric of its last runs, oldest first; null: none."""

    expr: str
    metric: str
    direction: Direction
    live: bool
    started: bool  # it has had a session
    terminated_by: str | None = None
    best: float | None = None
    best_run: str | None = None
    runs: int = 0  # that are committed
    running: str | None = None  # the first run at work
    at_work: int = 0
    waiting: int = 0
    values: tuple[float | None, ...] = ()


class ProjectView(Answer, frozen=True, kw_only=True):
    """status.list: the experiments that were changed last, newest first, and how many `more` there are."""

    project: str
    experiments: tuple[Glance, ...]
    more: int = 0


class Archived(Answer, frozen=True, kw_only=True):
    """experiment.archive: what was done, or what is archived, one line each."""

    project: str
    said: tuple[str, ...]


class SessionView(Answer, frozen=True, kw_only=True):
    """session.start, session.set, session.stop, session.get: the session as it stands."""

    project: str
    expr: str
    session: Session
    chain_mode: ChainMode | None = None  # of the chain of which it is the current link
    hours: float = 0.0  # since the session started
    gpu_hours: float = 0.0  # of its runs that are committed
    chain_remaining: int | None = None
    inherited: tuple[str, ...] = ()  # settings of the last session that the new one keeps
    said: tuple[str, ...] = ()  # what a change of the settings means, one line each


RATIONALE_SHOWN = 400  # characters of a rationale in chain.get; chain_decision.json has all of it


class ChainLink(Struct, frozen=True, kw_only=True):
    """One experiment of a chain. `parent` and `rationale` are null for the first, and where they are lost."""

    expr: str
    position: int  # from 1
    best: Best | None = None
    live: bool = False
    terminated_by: str | None = None
    parent: str | None = None
    rationale: str | None = None  # cleaned, and cut


class ChainMade(Answer, frozen=True, kw_only=True):
    """chain.init: the child, and the chain with it."""

    project: str
    expr: str  # the child
    folder: str
    decision: ChainDecision
    session: Session
    chain_mode: ChainMode
    chain_remaining: int | None = None  # null: no limit


class ChainView(Answer, frozen=True, kw_only=True):
    """chain.get, chain.stop: the chain as it stands; `links` are the last ones, oldest first."""

    project: str
    expr: str  # its current experiment
    chain_mode: ChainMode
    chain_remaining: int | None = None  # null: no limit
    chain_trail: tuple[str, ...] = ()  # of the links
    links: tuple[ChainLink, ...] = ()
    earlier: int = 0  # links before them


class Adopted(Answer, frozen=True, kw_only=True):
    """project.adopt: runs are named as 261122-lr/r0043."""

    project: str
    runs: tuple[str, ...] = ()  # that are followed here from now on
    unseen: tuple[str, ...] = ()  # that are not, each with the reason
    said: tuple[str, ...] = ()  # the same, one line each


class Pruned(Answer, frozen=True, kw_only=True):
    """log.prune: the runs whose logs went, and what those took of the disk, in bytes."""

    expr: str
    runs: tuple[str, ...]
    size: int
    said: tuple[str, ...] = ()  # the same, one line each


class ExperimentView(Answer, frozen=True, kw_only=True):
    """experiment.init, .seal, .clean and .restore: what was done, and the contract by now."""

    project: str
    expr: str
    folder: str
    contract: Contract
    said: tuple[str, ...] = ()  # what was done or found, one line each


class ReportView(Answer, frozen=True, kw_only=True):
    """report.get: the report as Markdown, or its content."""

    expr: str
    text: str = ""
    summary: Summary | None = None


class PageGet(Where, frozen=True, kw_only=True):
    """report.page. `audit`: with what the hidden audit has shown, for a person."""

    audit: bool = False


class PageView(Answer, frozen=True, kw_only=True):
    """report.page: the page, and how many of the experiment's runs are in it, and are not yet."""

    expr: str
    html: str
    runs: int
    pending: int


class HistoryView(Answer, frozen=True, kw_only=True):
    """history.get: the runs that answer the question, as many as 4 KiB of JSON hold; `found` counts all."""

    expr: str
    metric: str
    direction: Direction
    found: int
    pending: int  # runs that are committed and were not looked at yet
    lines: tuple[HistoryLine, ...]
    hint: str = ""


class QueueView(Answer, frozen=True, kw_only=True):
    """queue.list: all runs that are not committed, of all experiments; `slots` are the CPU slots."""

    runs: tuple[RunView, ...]
    slots: int
    busy: int = 0  # runs that have their place
    closed: str | None = None  # why no run may start now
    closed_until: float | None = None  # when that ends by itself, in seconds since 1970
    opened_until: float | None = None  # by when a person has opened it, whatever the hours say


class GpuHolder(Struct, frozen=True, kw_only=True):
    """A holder of a GPU: a run of ours (`expr`, `run_id`), else a process (`pid`, `user`, `name`)."""

    expr: str | None = None
    run_id: str | None = None
    pid: int | None = None
    user: str | None = None
    name: str | None = None
    used_mb: float | None = None


class GpuView(Struct, frozen=True, kw_only=True):
    """One GPU or MIG instance. Memory in MiB; null is unknown."""

    index: int
    uuid: str
    name: str
    state: CardState
    why: str | None = None  # it takes no run
    parent: str | None = None
    total_mb: float | None = None
    used_mb: float | None = None
    utilisation: float | None = None  # percent
    temperature: float | None = None  # degrees Celsius
    power_w: float | None = None
    holders: tuple[GpuHolder, ...] = ()


class GpuList(Answer, frozen=True, kw_only=True):
    """gpu.list: the GPUs as far as the driver answers; `why` says what is the matter where it does not."""

    gpus: tuple[GpuView, ...]
    state: Literal["ok", "none", "unknown"]
    why: str = ""
    driver: str = ""


class ConfigState(Answer, frozen=True, kw_only=True):
    """How the daemon stands to config.toml: it takes up a change when the file is saved.

    `held` has the settings of which a change waits for the next daemon: name -> the value until then, in
    JSON.
    `fault` says why the file as it is now is not taken up; then the settings of before hold.
    `on_event` says why that command failed when it last ran.
    """

    held: dict[str, str] = {}
    variables: dict[str, str] = {}  # of the daemon's environment that give a setting
    fault: str = ""
    on_event: str = ""


class DaemonInfo(Answer, frozen=True, kw_only=True):
    """daemon.info: the daemon that answers, and where it writes its log.

    `unit` is the systemd unit that runs it, "" where none does; `watchdog_s` is how long its event loop may
    hang before systemd starts it anew.
    """

    pid: int
    version: str
    protocol: int
    socket: str
    started_at: str
    uptime_s: float
    active: int
    python: str = ""
    log: str = ""
    unit: str = ""
    watchdog_s: float | None = None
    config: ConfigState | None = None


class Done(Answer, frozen=True, kw_only=True):
    """daemon.stop, and the end of a followed tail or a subscription."""

    ok: bool = True
