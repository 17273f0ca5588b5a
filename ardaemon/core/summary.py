"""The summary of an experiment that `report.get` answers: what its runs have shown, counted and cut.

Each list is cut to a number that does not grow with the number of runs; the number that stands beside it
counts all of them. Values are those of the primary metric; times are in seconds.
"""

from msgspec import Struct

from ardaemon.core.model import Direction, Primary, Verdict


class RunLine(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One run in few words. `before` is the best value of the moment when it was judged.

    Of an advance by --verdict noise, `value` is its mean over seeds as it was judged (of the best: as it is
    now). With a probability of 90% that lies between `low` and `high`; `p_better` is how surely the edit
    is better.
    """

    run_id: str
    verdict: Verdict
    value: float | None = None
    before: float | None = None
    note: str = ""
    low: float | None = None
    high: float | None = None
    p_better: float | None = None
    launches: int = 0  # of a run by --verdict noise


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


class Lucky(Struct, frozen=True, kw_only=True):
    """The best value that any single launch has shown; `flatters`: by how much it beats the best's mean."""

    run_id: str
    seed: int
    value: float
    flatters: float  # 0 where it does not


class Luck(Struct, frozen=True, kw_only=True):
    """What a session with --verdict noise knows of its best, the luck by which it was chosen taken out."""

    mean: float  # of the best over all seeds
    low: float  # the mean lies between these two with a probability of 90%
    high: float
    values: int  # of the best, each with a seed of its own
    noise: float  # standard deviation of one launch over seeds
    df: int  # degrees of freedom of that
    advances: int  # that were decided by P
    expected_false: float  # of these
    launches: int  # of the session
    confirmations: int  # of these: launches of a version that had a value already
    luckiest: Lucky | None = None


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
    luck: Luck | None = None  # of --verdict noise, once the noise is known
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
