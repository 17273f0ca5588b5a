"""Puts a run's edit into train.py again: what a crash, a Ctrl+C or a revert has put back is not lost."""

from datetime import UTC, datetime
from typing import NamedTuple

from msgspec.structs import replace

from ardaemon.core.errors import StorageError, UnknownRun
from ardaemon.core.layout import Experiment
from ardaemon.experiment import placing, train_file
from ardaemon.experiment.fresh import archive_train
from ardaemon.experiment.repair import load_or_repair
from ardaemon.experiment.state import State
from ardaemon.host import durable, state


class Restored(NamedTuple):
    """What was done, in one line each, and the state that was met."""

    said: tuple[str, ...]
    state: State


def restore(experiment: Experiment, run_id: str) -> Restored:
    """Make train.py the version of a run. An edit that stands there, and that no run has, is archived first.

    Raises UnknownRun, StorageError.
    """
    if not experiment.run(run_id).train.exists():
        raise UnknownRun(f"no run {run_id} in {experiment.slug}", "arctl status --last 10 lists the latest")
    current = load_or_repair(experiment)
    target = placing.kept(experiment, run_id)
    standing, said = train_file.current(experiment), []
    accepted = {target.sha256, *_known(current)}
    if standing is not None and standing not in accepted:
        stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S%f")
        accepted.add(archive_train(experiment, stamp) or "")
        said.append(f"the edit that stood there is in {experiment.archive / stamp}")
    if placing.place(experiment, target, accepted, None) == "edited_since":
        raise StorageError(f"{experiment.train} changes while it is restored", "try again")
    with state.storage("sync", experiment.folder):
        durable.sync_folder(experiment.folder)
    state.write(experiment.session, replace(current.session, placed=target))
    return Restored((f"train.py is that of {run_id}", *said), current)


def _known(current: State) -> set[str]:
    """Return the versions that runs keep: what the daemon has placed, and the best."""
    return {known.sha256 for known in (current.session.placed, current.best) if known is not None}
