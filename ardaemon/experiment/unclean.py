"""The sentinel UNCLEAN.json: processes that survived a kill stop an experiment until somebody ends them."""

from pathlib import Path

from ardaemon.core.errors import (
    Unclean,
)
from ardaemon.core.layout import Experiment
from ardaemon.core.model import Quarantine, UncleanRecord
from ardaemon.host import durable, quarantine, state


def clean(experiment: Experiment, folder: Path) -> tuple[list[str], list[str]]:
    """Lift sentinel and quarantine if no survivor lives any more. Raises Unclean, which names those that do.

    `folder` has the records of quarantined slots. Return the lines for a person, and the slots that are free
    again.
    """
    stale = quarantine.lift_stale(folder)
    sentinel = state.read(experiment.unclean, UncleanRecord)
    slots = quarantine.of(folder, experiment)
    if sentinel is None and not slots:
        return ["nothing to clean: no sentinel stands"], stale
    records: list[UncleanRecord | Quarantine] = [*([sentinel] if sentinel else []), *slots]
    for record in records:
        alive = quarantine.alive(experiment, record)
        if alive:
            raise Unclean(
                f"still alive: {quarantine.named(alive)}", "end them (kill -9 PID), then: arctl clean"
            )
    with state.storage("remove", experiment.unclean):
        durable.remove(experiment.unclean)
        durable.sync_folder(experiment.folder)
    for slot in slots:
        quarantine.lift(folder, slot)
    done = [f"verified: nothing of {records[0].run_id} is alive; the sentinel is lifted"]
    freed = [slot.slot for slot in slots]
    done += [f"{', '.join(freed)} may be used again"] if freed else []
    return done, stale + freed


def require_no_unclean(experiment: Experiment) -> None:
    """Raise Unclean while the sentinel stands."""
    unclean = state.read(experiment.unclean, UncleanRecord)
    if unclean is not None:
        pids = ", ".join(f"{p.pid} ({p.name})" for p in unclean.survivors)
        raise Unclean(
            f"processes of {unclean.run_id} survived their kill: {pids}", "end them, then: arctl clean"
        )
