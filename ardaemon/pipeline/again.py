"""Is this attempt to be judged, or made again? The decision is pure; applying it, one durable write."""

from msgspec.structs import replace

from ardaemon.core.layout import Attempt, Run
from ardaemon.core.model import Again, Exit, Queued, RunRecord
from ardaemon.host import durable, operations, state

# What an attempt leaves in the run's folder that the next one would take for its own.
LEFT = ("ready", "state.pt")


def wanted(
    end: Exit, reason: str | None, tainted: str | None, before: tuple[Again, ...], record: RunRecord
) -> Again | None:
    """Why another attempt is due; each reason counts once.

    A number that was not measured under fair conditions says nothing; and who runs out of memory on a card
    that others used as well may fit when it has it alone.
    """
    if end.survivors:
        return None
    if end.ending == "exited" and end.exit_code == 0:
        rerun = tainted is not None and record.settings.on_tainted == "rerun"
        return "tainted" if rerun and "tainted" not in before else None
    shared = record.need.share and "oom" not in before
    return "oom" if shared and (reason or "").split(" ")[0] == "oom" else None


def queue_again(run: Run, record: RunRecord, attempts: int, again: tuple[Again, ...]) -> RunRecord:
    """The run waits again, durably; what this attempt left for the next to find goes into its own folder."""
    attempt = run.attempt(attempts)
    with state.storage("put aside", attempt.folder):
        _put_aside(run, attempt)
    waiting = replace(record, state=Queued(attempts, again))
    state.write(run.record, waiting)
    return waiting


def _put_aside(run: Run, attempt: Attempt) -> None:
    found = [name for name in LEFT if (run.folder / name).exists()]
    for name in found:
        operations.rename(run.folder / name, attempt.folder / name)
    if found:
        durable.sync_folder(attempt.folder)  # the run's own folder is synced with run.json
