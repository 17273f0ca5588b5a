"""One pass over an experiment's runs, oldest first, and the summary of what they have shown. Pure.

Memory is bounded by the numbers of limits.py, whatever the number of runs.
"""

from msgspec import Struct
from msgspec.structs import replace

from ardaemon.core.facts import RunFacts
from ardaemon.core.model import Best, Primary, SeedValue
from ardaemon.core.summary import Link, Luck, RunLine, Summary
from ardaemon.core.text import one_line
from ardaemon.core.words import told_verdict
from ardaemon.report.advances import Advances, Stretches
from ardaemon.report.failures import Failures
from ardaemon.report.limits import Kept
from ardaemon.report.luck import Luckiest, Reruns
from ardaemon.report.noise import EqualSnapshots
from ardaemon.report.parameters import Parameters
from ardaemon.report.ranks import Ranks
from ardaemon.report.reading import is_elsewhere, is_named, level_of, line_of, value_of

GOAL_MAX = 400  # characters
METRIC_MAX = 128
CONSTRAINT_MAX = 120
CONSTRAINTS_MAX = 16


class Frame(Struct, frozen=True, kw_only=True):
    """What an experiment's files say of it, beside its runs."""

    expr: str
    primary: Primary
    goal: str = ""
    constraints: tuple[str, ...] = ()
    session: str = ""
    best: Best | None = None
    luck: Luck | None = None  # of a session with --verdict noise
    reruns: dict[str, tuple[SeedValue, ...]] = {}  # likewise: of runs that are no best, what best.json lacks
    chain: tuple[Link, ...] = ()


class Tally:
    """Takes in run after run."""

    def __init__(self, frame: Frame, kept: Kept) -> None:
        self.frame, self.kept = frame, kept
        self.conditions = frame.best.conditions if frame.best is not None else ""
        direction = frame.primary.direction
        self.runs, self.wall, self.gpu, self.elsewhere = 0, 0.0, 0.0, 0
        self.verdicts: dict[str, int] = {}
        self.best: RunLine | None = None
        self.advances = Advances(kept.advances)
        self.stretches = Stretches(direction, kept.stretches)
        self.ranks: Ranks[RunLine] = Ranks(direction, kept.ranks)
        self.parameters = Parameters(direction)
        self.failures = Failures()
        self.equal = EqualSnapshots(kept.values)
        self.luckiest = Luckiest(direction)
        self.reruns = Reruns(frame.best, frame.luck, frame.reruns)

    def add(self, run: RunFacts) -> None:
        """Take in one more run."""
        if not is_named(run):
            return
        run = self.reruns.told(run)
        self.runs += 1
        verdict = told_verdict(run.verdict, run.measure)
        self.verdicts[verdict] = self.verdicts.get(verdict, 0) + 1
        self.wall += run.seconds
        self.gpu += run.seconds * run.gpus
        self.elsewhere += is_elsewhere(run, self.conditions)
        if self.frame.best is not None and run.run_id == self.frame.best.run_id:
            self.best = line_of(run)
        value = value_of(run, self.conditions)
        self.equal.add(run, value)
        self.luckiest.add(run, value)
        self._judge(run, None if run.measure or value is None else level_of(run))

    def _judge(self, run: RunFacts, value: float | None) -> None:
        """Take in what the run says about its edit; a rerun of the best says nothing about one."""
        self.advances.add(run)
        self.stretches.add(run, value)
        if value is not None and run.valid:
            self.ranks.add(value, lambda: line_of(run))
        self.parameters.add(run, value if run.valid else None)
        self.failures.add(run)

    def summary(self, pending: int) -> Summary:
        """Return the summary; `pending` runs are committed and were not among those that were taken in."""
        frame, kept = self.frame, self.kept
        return Summary(
            expr=frame.expr,
            goal=one_line(frame.goal, GOAL_MAX),
            metric=one_line(frame.primary.metric, METRIC_MAX),
            direction=frame.primary.direction,
            constraints=tuple(one_line(c, CONSTRAINT_MAX) for c in frame.constraints[:CONSTRAINTS_MAX]),
            session=frame.session,
            runs=self.runs,
            verdicts=dict(sorted(self.verdicts.items())),
            pending=pending,
            best=self._best(),
            baseline=self.advances.baseline,
            advance_count=self.advances.count,
            advances=self.advances.lines(),
            top=self.ranks.best(),
            bottom=self.ranks.worst(),
            parameter_count=len(self.parameters.names),
            parameters=self.parameters.lines(kept.names, kept.settings),
            unnamed=self.parameters.unnamed,
            failure_count=len(self.failures.kinds),
            failures=tuple(self.failures.lines(kept.kinds)),
            violations=self.failures.violations,
            luck=self.luckiest.beside(frame.luck),
            noise=self.equal.noise(),
            equal=self.equal.lines(kept.equal),
            since_advance=self.stretches.now,
            nearest=self.stretches.nearest,
            stretches=self.stretches.lines(),
            wall_s=self.wall,
            gpu_s=self.gpu,
            failed_s=self.failures.seconds,
            elsewhere=self.elsewhere,
            chain=frame.chain,
        )

    def _best(self) -> RunLine | None:
        """Return the best by best.json; its note is unknown where its run was not among those taken in."""
        best = self.frame.best
        if best is None:
            return None
        line = self.best or RunLine(run_id=best.run_id, verdict="advance")
        return replace(line, value=best.value)  # it may have been measured again
