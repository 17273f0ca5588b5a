"""report.*, history.*: what an experiment's runs have shown."""

from collections.abc import Callable
from functools import partial

from ardaemon.core import protocol as p
from ardaemon.core.errors import UnknownRun, UsageError
from ardaemon.core.facts import RunFacts
from ardaemon.core.layout import ORIGINAL, Experiment
from ardaemon.core.line import short
from ardaemon.core.summary import Summary
from ardaemon.experiment import train_file, vanished
from ardaemon.experiment.state import State
from ardaemon.handlers.context import Context
from ardaemon.handlers.luck import with_luck
from ardaemon.report.gather import Pass
from ardaemon.report.grep import Grep
from ardaemon.report.limits import ALL, FEW, Kept
from ardaemon.report.markdown import SHORT, WHOLE, markdown
from ardaemon.report.memory import Best, Newest, Question, Tried, fitting
from ardaemon.report.similar import Similar
from ardaemon.report.tally import Tally
from ardaemon.rpc.dispatch import Notify

# For runs that were committed a moment ago to be there: each takes some milliseconds. Those of an earlier
# version's experiment take longer: the answer says how many are missing.
CATCH_UP_S = 5.0
METRIC_BYTES = 80  # of the metric's name in an answer


class Reports:
    """The methods that read all runs of an experiment."""

    def __init__(self, context: Context) -> None:
        self.context = context

    async def report_get(self, params: p.Report, _: Notify) -> p.ReportView:
        """Return the report, as Markdown or its content."""
        experiment = await self.context.resolve(params.project, params.expr)
        summary = await summary_of(self.context, experiment, ALL if params.all else FEW)
        if params.format == "json":
            return p.ReportView(expr=experiment.slug, summary=summary)
        work = partial(markdown, summary, WHOLE if params.all else SHORT)
        return p.ReportView(expr=experiment.slug, text=await self.context.ask(experiment, work))

    async def history_get(self, params: p.History, _: Notify) -> p.HistoryView:
        """Answer one question about all runs, by the few of them that matter most."""
        experiment = await self.context.resolve(params.project, params.expr)
        state = await self.context.load(experiment)
        question = await self._question(params, experiment, state)
        pending = await self.context.facts.caught_up(experiment, CATCH_UP_S)
        await all_runs(self.context, experiment, question.add)
        lines = await self.context.ask(experiment, lambda: fitting(question.lines()))
        primary = state.contract.primary
        return p.HistoryView(
            expr=experiment.slug,
            metric=short(primary.metric, METRIC_BYTES),
            direction=primary.direction,
            found=question.found,
            pending=pending,
            lines=lines,
            hint=question.hint(),
        )

    async def _question(self, params: p.History, experiment: Experiment, state: State) -> Question:
        """Return the question that is asked. Raises UsageError if there are several."""
        asked = (params.grep, params.param, params.best, params.similar or None)
        if sum(one is not None for one in asked) > 1:
            raise UsageError("grep, param, best and similar are questions of their own", "ask one at a time")
        direction, conditions = state.contract.primary.direction, state.best.conditions if state.best else ""
        if params.grep is not None:
            return Grep(params.grep)
        if params.param is not None:
            return Tried(params.param, direction, conditions)
        if params.best is not None:
            return Best(params.best, direction, conditions)
        return await self._similar(experiment, state) if params.similar else Newest()

    async def _similar(self, experiment: Experiment, state: State) -> Similar:
        """Return the question about the edit that stands in train.py now."""
        base = state.session.placed.run_id if state.session.placed is not None else ORIGINAL
        before, after = await self.context.ask(experiment, partial(_versions, experiment, base))
        if before == after:
            raise UsageError(f"train.py is {base} unchanged: there is no edit to compare", "edit it first")
        edit = await self.context.facts.reader.edit(before, after)
        return Similar(edit.diff, edit.normal)


async def report_bytes(context: Context, experiment: Experiment) -> bytes:
    """Return the report that `arctl report` prints, in UTF-8, for whoever hashes it."""
    summary = await summary_of(context, experiment, FEW)
    return (await context.ask(experiment, partial(markdown, summary))).encode()


async def summary_of(context: Context, experiment: Experiment, kept: Kept) -> Summary:
    """Return what the runs have shown so far."""
    state = await context.load(experiment)
    pending = await context.facts.caught_up(experiment, CATCH_UP_S)
    tally = await context.ask(experiment, partial(_tally, experiment, state, kept))
    await all_runs(context, experiment, tally.add)
    return await context.ask(experiment, partial(tally.summary, pending))


async def all_runs(context: Context, experiment: Experiment, take: Callable[[RunFacts], None]) -> None:
    """Take in all runs. Each piece of them is a question of its own to the project's disk."""
    work = await context.ask(experiment, partial(Pass, experiment, take))
    while await context.ask(experiment, work.step):
        pass


def _tally(experiment: Experiment, state: State, kept: Kept) -> Tally:
    return Tally(with_luck(experiment, state), kept)


def _versions(experiment: Experiment, base: str) -> tuple[bytes, bytes]:
    """Return the version that the edit began with, and train.py as it is now."""
    kept = experiment.run(base).train
    if not kept.exists():
        vanished.require_results(experiment)
        raise UnknownRun(f"{kept} is gone: there is nothing to compare with", "put a copy of it back")
    return train_file.read(kept), train_file.read(experiment.train)
