"""Runs on the board that do not move by themselves, and the error for whoever waits for one."""

from ardaemon.core.errors import ArdaemonError, StorageError, Stuck
from ardaemon.pipeline.flight import Flight
from ardaemon.pipeline.patience import RETRY_MOST_S
from ardaemon.queue.board import Board
from ardaemon.queue.standstill import Standstill, standstill


def is_stuck(flight: Flight, board: Board) -> bool:
    """Tell whether something has to be mended before the run goes on."""
    return flight.blocked is not None or standstill(flight, board.placement) is not None


def refusal(flight: Flight, board: Board, unclean: bool, way_back: str | None = None) -> ArdaemonError:
    """Make the error for whoever waits for a run that is stuck: why, and what to do now.

    `unclean` tells whether the sentinel stands; `way_back` is what brings the folder of a dropped run back.
    """
    run_id, still = flight.run.run_id, standstill(flight, board.placement)
    if flight.dropped:
        mend = way_back or "arctl status shows what there is"
        return StorageError(f"{run_id} was dropped: its folder is gone", mend)
    if still is None:
        mend = f"mend that: the daemon tries again by itself within {RETRY_MOST_S:.0f} s"
        return StorageError(f"{run_id} cannot go on: {flight.blocked}", mend)
    facts = {"expr": flight.experiment.slug, "run_id": run_id}
    return Stuck(f"{run_id} does not move by itself: {still.why}", _mend(flight, still, unclean), facts)


def _mend(flight: Flight, still: Standstill, unclean: bool) -> str:
    """Say what to do now: one line for a shell, where a command is all that it takes."""
    run_id, expr = flight.run.run_id, f"--expr {flight.experiment.slug}"
    then = f"arctl wait {run_id} {expr}"
    if still.command is None:
        return f"once that is mended: {then}; to give the run up: arctl cancel {run_id} {expr}"
    clean = f"arctl clean {expr} && " if flight.session_over and unclean else ""
    return f"{clean}{still.command} && {then}"
