"""The summary of an experiment that `report.get` answers: what its runs have shown, counted and cut.

Each list is cut to a number that does not grow with the number of runs; the number that stands beside it
counts all of them. Values are those of the primary metric; times are in seconds.
"""

from msgspec import Struct

from ardaemon.core.model import Direction, Primary, Verdict


class RunLine(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One run in few words. `before` is the best value of the moment when it was judged."""

    run_id: str
    verdict: Verdict
    value: float | None = None
    before: float | None = None
    note: str = ""


class Setting(Struct, frozen=True, kw_only=True):
    """One value to which edits set a name, as it is written (null: the name was removed).

    `run_id` is the run that did best with it, or the last one where none was measured.
    """

    setting: str | None
    runs: int
    run_id: str
    verdict: Verdict
    value: float | None = None


class Parameter(Struct, frozen=True, kw_only=True):
    """A name whose value edits changed: how many runs that were, what became of them, and what was tried."""

    name: str
    runs: int
    advances: int
    failures: int  # crashes, timeouts and runs without a value
    distinct: int  # of its settings
    settings: tuple[Setting, ...]  # the best first


class Failure(Struct, frozen=True, kw_only=True):
    """One way in which runs failed, as `crash oom`; `message` is what the last of them said."""

    kind: str
    runs: int
    last_run: str
    message: str = ""


class Equal(Struct, frozen=True, kw_only=True):
    """A snapshot that was run more than once: the first of its runs and their values."""

    run_ids: tuple[str, ...]
    values: tuple[float, ...]
    runs: int
    lowest: float
    highest: float


class Noise(Struct, frozen=True, kw_only=True):
    """How much the values of equal snapshots differ."""

    snapshots: int
    runs: int
    deviation: float  # standard deviation, pooled over all of them
    largest: float  # difference between two runs of one snapshot


class Stretch(Struct, frozen=True, kw_only=True):
    """Runs in a row of which none advanced; only those that say something about their edit are counted."""

    first: str
    last: str
    runs: int


class Link(Struct, frozen=True, kw_only=True):
    """An experiment of the chain: why it was begun, and the best value with which the next one began."""

    expr: str
    rationale: str = ""
    primary: Primary | None = None
    value: float | None = None
    run_id: str | None = None


class Summary(Struct, frozen=True, kw_only=True):
    """All that the report says of an experiment."""

    expr: str
    goal: str
    metric: str
    direction: Direction
    constraints: tuple[str, ...]
    session: str  # "live", "plateau", …
    runs: int
    verdicts: dict[str, int]
    pending: int  # runs that are committed and not counted here yet
    best: RunLine | None = None
    baseline: RunLine | None = None
    advance_count: int = 0
    advances: tuple[RunLine, ...] = ()  # oldest first; the baseline and the newest where not all are kept
    top: tuple[RunLine, ...] = ()
    bottom: tuple[RunLine, ...] = ()  # the worst first; none that is in `top`
    parameter_count: int = 0
    parameters: tuple[Parameter, ...] = ()  # those that most runs changed first
    unnamed: int = 0  # runs that changed no named value
    failure_count: int = 0
    failures: tuple[Failure, ...] = ()
    violations: int = 0  # runs that were measured and broke a constraint
    noise: Noise | None = None
    equal: tuple[Equal, ...] = ()  # those with most runs first
    since_advance: Stretch | None = None
    nearest: RunLine | None = None  # the best of them
    stretches: tuple[Stretch, ...] = ()  # the longest first
    wall_s: float = 0.0
    gpu_s: float = 0.0
    failed_s: float = 0.0  # wall time of the runs that failed
    elsewhere: int = 0  # runs measured under other conditions than the best: their values are not compared
    chain: tuple[Link, ...] = ()  # oldest first, this experiment last
