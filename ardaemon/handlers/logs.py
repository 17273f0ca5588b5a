"""log.prune: remove old logs because somebody says so."""

import shlex
from collections.abc import Collection
from functools import partial
from typing import NamedTuple

from ardaemon.core import protocol as p
from ardaemon.core.errors import StorageError
from ardaemon.core.events import LogsRemoved
from ardaemon.core.layout import Experiment
from ardaemon.core.line import counted
from ardaemon.core.model import Best
from ardaemon.core.size import of_bytes
from ardaemon.experiment import old_logs, which_logs
from ardaemon.experiment.which_logs import RunLogs, names
from ardaemon.handlers.context import Context
from ardaemon.host import operations, state
from ardaemon.rpc.dispatch import Notify


class _Chosen(NamedTuple):
    """The runs whose logs go, and the best's id."""

    runs: list[RunLogs]
    best: str | None


class Logs:
    """The methods on logs, but for run.tail."""

    def __init__(self, context: Context) -> None:
        self.context, self.board = context, context.board

    async def log_prune(self, params: p.Prune, _: Notify) -> p.Pruned:
        """Remove the logs of committed runs, but for the last ones' and the best's."""
        experiment = await self.context.resolve(params.project, params.expr)
        try:
            return await self._pruned(experiment, params)
        except StorageError as error:
            cause = error.__cause__
            if not isinstance(cause, OSError) or cause.errno not in operations.FULL:
                raise
            raise await self.context.ask(experiment, partial(_by_hand, experiment, params, error)) from error

    async def _pruned(self, experiment: Experiment, params: p.Prune) -> p.Pruned:
        by = f"arctl prune --keep-logs {params.keep_logs}"
        async with self.context.changing(experiment, mending=True):  # perhaps a commit waits for the space
            under_way = {flight.run.run_id for flight in self.board.of(experiment)}
            choose = partial(_choose, experiment, params.keep_logs, under_way)
            chosen = await self.context.do(experiment, choose)
            if params.dry_run:
                gone = chosen.runs
            else:
                gone = await self.context.do(experiment, partial(old_logs.remove, chosen.runs, by))
        size = sum(one.log_size for one in gone)
        if gone and not params.dry_run:
            self.board.announce(experiment, LogsRemoved(runs=len(gone), size=size, by=by))
        return p.Pruned(
            expr=experiment.slug,
            runs=tuple(one.run.run_id for one in gone),
            size=size,
            said=(*_said(params, gone, size), *_stayed(chosen.runs, gone), _kept(params, chosen.best)),
        )


def _choose(experiment: Experiment, last: int, under_way: Collection[str]) -> _Chosen:
    """Choose; a run whose commit is cut short stands in results.tsv already, and is still under way."""
    found = state.read(experiment.best, Best)
    best = None if found is None else found.run_id
    over = [one for one in old_logs.committed(experiment) if one.run.run_id not in under_way]
    return _Chosen(which_logs.all_but(over, last, best), best)


def _by_hand(experiment: Experiment, params: p.Prune, error: StorageError) -> StorageError:
    """Return the error with a first step that takes not a byte: even owning the project needs a block."""
    going = _choose(experiment, params.keep_logs, ()).runs
    if not going:
        return error
    largest = max(going, key=lambda one: one.log_size).logs[-1]
    again = ["arctl", "prune", "--keep-logs", str(params.keep_logs), "--expr", experiment.slug]
    mend = f"{shlex.join(['truncate', '--size=0', str(largest)])} && {shlex.join(again)}"
    return StorageError(error.message, mend, error.data)


def _said(params: p.Prune, gone: list[RunLogs], size: int) -> tuple[str, ...]:
    if not gone:
        return ("no log was removed",)
    what = f"{counted(len(gone), 'log')} ({of_bytes(size)}): {names([one.run.run_id for one in gone])}"
    return (f"{'would be removed' if params.dry_run else 'removed'}: {what}",)


def _stayed(chosen: list[RunLogs], gone: list[RunLogs]) -> tuple[str, ...]:
    """Say whose logs the disk refused to remove."""
    left = {one.run.run_id for one in chosen} - {one.run.run_id for one in gone}
    return (f"could not be removed: {names(left)}; call it again",) if left else ()


def _kept(params: p.Prune, best: str | None) -> str:
    last = [f"the last {params.keep_logs}"] if params.keep_logs else []
    of_best = [f"that of {best} (best)"] if best is not None else []
    return f"kept: {' and '.join([*last, *of_best]) or 'none'}"
