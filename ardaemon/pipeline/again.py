"""Is this attempt to be judged, or made again? The decision is pure; applying it, one durable write."""

from msgspec import Struct
from msgspec.structs import replace

from ardaemon.core.layout import Run
from ardaemon.core.model import Again, Exit, Settings
from ardaemon.core.run_record import Queued, RunRecord
from ardaemon.host import durable, operations, state

# What an attempt leaves in the run's folder that the next one would take for its own.
LEFT = ("ready", "state.pt", "state")


class Facts(Struct, frozen=True, kw_only=True):
    """All that the decision depends on."""

    exit: Exit
    reason: str | None = None
    tainted: str | None = None
    sick: bool = False  # its GPU fell ill
    shared: bool = False  # others could be on its GPUs
    before: tuple[Again, ...] = ()


def wanted(facts: Facts, settings: Settings) -> Again | None:
    """Why another attempt is due; each reason counts once.

    A number that was not measured under fair conditions says nothing, nor does a crash on a sick GPU; and
    who runs out of memory on a card that others used as well may fit when it has it alone.
    """
    if facts.exit.survivors:
        return None
    ended_well = facts.exit.ending == "exited" and facts.exit.exit_code == 0
    unfair = facts.sick or (ended_well and facts.tainted is not None)
    if unfair and settings.on_tainted == "rerun" and "tainted" not in facts.before:
        return "tainted"
    ran_out = not ended_well and (facts.reason or "").split(" ")[0] == "oom"
    return "oom" if ran_out and facts.shared and "oom" not in facts.before else None


def queue_again(run: Run, record: RunRecord, attempts: int, again: tuple[Again, ...]) -> RunRecord:
    """The run waits again, durably."""
    waiting = replace(record, state=Queued(attempts, again))
    state.write(run.record, waiting)
    return waiting


def put_aside(run: Run, attempt: int) -> None:
    """At the next launch: what the attempt before left for this one to find goes into its own folder."""
    folder = run.attempt(attempt).folder
    paths = [run.folder / name for name in LEFT]
    # A link is to a file of the experiment that has that name.
    found = [path.name for path in paths if path.exists() and not path.is_symlink()]
    with state.storage("put aside", folder):
        for name in found:
            operations.rename(run.folder / name, folder / name)
        if found:
            durable.sync_folder(folder)  # the run's own folder is synced with run.json
