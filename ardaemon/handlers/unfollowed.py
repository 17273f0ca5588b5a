"""Runs that no daemon follows: on disk without a result, and without a flight on the board.

Either the active entry is unreadable or its run's folder is away (the board knows these: they are stranded),
or there is no entry: it was deleted, the project was moved or copied, or another daemon has it. Or the run
was committed, and somebody has broken its result.json since.
"""

import os
import shlex
from collections.abc import Iterator
from functools import partial
from itertools import chain

import anyio

from ardaemon.core.errors import ArdaemonError, OwnedElsewhere, Unfollowed
from ardaemon.core.layout import RECORD, RESULT, Experiment, Run, candidate_number, run_name
from ardaemon.core.run_record import Launching, RunRecord
from ardaemon.experiment import history
from ardaemon.handlers.context import Context
from ardaemon.host import state
from ardaemon.pipeline.flight import Flight
from ardaemon.pipeline.submit import entry_path
from ardaemon.queue.board import Board

# Run numbers that are looked at on both sides of the last committed one: `status` costs the same after
# 100,000 runs, and these cost it 0.03 ms.
NEAR = 8
# Until a submit that has its run on disk has it on the board, too: it holds the experiment's lock so long.
SUBMIT_S = 5.0
NO_DAEMON = "does not move, no daemon follows it"


async def flight_of(context: Context, experiment: Experiment, run_id: str) -> Flight | None:
    """Return the run's flight; None where it is committed. Raises Unfollowed."""
    flight = context.board.find(experiment, run_id)
    if flight is not None or not await _unfollowed(context, experiment, {run_id}):
        return flight or context.board.find(experiment, run_id)
    raise await refusal(context, experiment, run_id)


async def refusal(context: Context, experiment: Experiment, run_id: str) -> Unfollowed:
    """Make the error that says why no daemon follows the run, and what to do."""
    active, data = context.host.active, {"expr": experiment.slug, "run_id": run_id}
    entry = context.board.stranded.get(entry_path(active, experiment, run_id).name)
    result = experiment.run(run_id).result
    if entry is not None:
        why, mend = entry.why, f"{entry.mend}; the daemon looks again within a minute"
    elif await context.ask(experiment, result.exists):
        why, mend = f"{result} is none that a daemon has written", "put back a copy of it"
    elif (other := await owner(context, experiment)) is not None:
        what = NO_DAEMON if other.data["standing"] == "left" else "is not followed by this daemon"
        return Unfollowed(f"{run_id} {what}: {other.message}", other.mend, data)
    else:
        why = (
            f"{active} has no entry of it. The entry was deleted, the project was moved or copied, or another"
            " daemon has had the run (another HOME, XDG_STATE_HOME, user or host)"
        )
        mend = "if the project was moved, move it back"
    at_work, once_more = await context.ask(
        experiment, lambda: (_at_work(experiment, run_id), _once_more(experiment, run_id))
    )
    return Unfollowed(
        f"{run_id} {NO_DAEMON}: {why}{at_work}",
        mend + once_more,
        data,
    )


async def owner(context: Context, experiment: Experiment) -> OwnedElsewhere | None:
    """Return the error that names another daemon which has runs in the project; None if there is none."""
    return await context.ask(experiment, partial(context.ownership.other, experiment.project))


async def listed(context: Context, experiment: Experiment, last_run: int) -> tuple[str, ...]:
    """List an experiment's runs that no daemon follows, as far as its latest numbers and the board tell."""
    return await of(
        context, experiment, await context.ask(experiment, partial(suspects, experiment, last_run))
    )


def suspects(experiment: Experiment, last_run: int) -> set[str]:
    """Return the runs near the last one that have no result on disk."""
    runs = f"{experiment.runs}/"

    def has(number: int, name: str) -> bool:  # as text, for making a Path costs more than the look
        return os.access(f"{runs}{run_name(number)}/{name}", os.F_OK)

    # One look is enough for most of them: an earlier run has a result, a later one is not there.
    earlier = (n for n in range(max(1, last_run - NEAR), last_run + 1) if not has(n, RESULT))
    later = range(last_run + 1, last_run + NEAR)
    return {run_name(n) for n in chain(earlier, later) if has(n, RECORD) and not has(n, RESULT)}


async def of(context: Context, experiment: Experiment, suspected: set[str]) -> tuple[str, ...]:
    """Return which of `suspected`, and of the runs that the board knows as stranded, no daemon follows."""
    if context.board.arriving[str(experiment.folder)]:
        return ()  # nobody knows before all are taken up
    candidates = {*suspected, *stranded(context, experiment)}
    return tuple(sorted(await _unfollowed(context, experiment, candidates), key=candidate_number))


def warnings(board: Board) -> Iterator[str]:
    """Yield a line for each run, of whatever experiment, whose active entry the daemon cannot follow."""
    for name, entry in board.stranded.items():
        yield f"no daemon follows {_run_id(name)}: {entry.why} ({entry.mend})"


def arrivals(count: int) -> Iterator[str]:
    """Yield a line while runs that an earlier daemon left are being taken up."""
    if count:
        yield f"the daemon has just started, and takes up {count} runs again: they count as waiting meanwhile"


def stranded(context: Context, experiment: Experiment) -> Iterator[str]:
    """Yield the runs of an experiment whose active entries the daemon has and cannot follow."""
    for name in context.board.stranded:
        run_id = _run_id(name)
        if name == entry_path(context.host.active, experiment, run_id).name:
            yield run_id


def _run_id(entry_name: str) -> str:
    return entry_name.removesuffix(".json").rpartition("-")[2]


async def _unfollowed(context: Context, experiment: Experiment, run_ids: set[str]) -> list[str]:
    """Return which of them have neither flight nor result, once a submit that is under way has ended."""
    if not _off_board(context, experiment, run_ids):
        return []
    with anyio.move_on_after(SUBMIT_S):
        async with context.locks.of(experiment.folder):
            pass
    left = _off_board(context, experiment, run_ids)
    if not left:
        return []
    return await context.ask(
        experiment, lambda: [run_id for run_id in left if not _has_result(experiment.run(run_id))]
    )


def _has_result(run: Run) -> bool:
    """Tell whether the run has a result that counts; True where run.json is to blame, which others name."""
    if not run.result.exists():
        return False
    try:
        record = state.read(run.record, RunRecord)
        return record is None or history.committed(run, record) is not None
    except ArdaemonError:
        return True


def _off_board(context: Context, experiment: Experiment, run_ids: set[str]) -> list[str]:
    return [run_id for run_id in run_ids if context.board.find(experiment, run_id) is None]


def _at_work(experiment: Experiment, run_id: str) -> str:
    try:
        record = state.read(experiment.run(run_id).record, RunRecord)
    except ArdaemonError:  # that is why nobody follows it
        return ""
    if record is None or not isinstance(record.state, Launching):
        return ""
    return f"; its job may still be at work, until its limit of {record.settings.seconds:g} s"


def _once_more(experiment: Experiment, run_id: str) -> str:
    snapshot = experiment.run(run_id).train
    if not snapshot.exists():
        return ""
    files = shlex.join([str(snapshot), str(experiment.train)])
    command = f"cp {files} && arctl run --wait --expr {experiment.slug}"
    return f"; to run that version again, in place of what train.py holds: {command}"
