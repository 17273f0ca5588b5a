"""Read the results of an experiment's runs, and believe only those that a commit has written."""

import contextlib
from collections.abc import Iterator

from ardaemon.core.errors import ArdaemonError, CorruptState, ForeignOwner
from ardaemon.core.layout import Experiment, Run, run_number
from ardaemon.core.model import Result
from ardaemon.core.run_record import Judged, RunRecord
from ardaemon.host import state


def committed(run: Run, record: RunRecord | None) -> Result | None:
    """Return the run's result; None where there is none that a commit has written.

    The file is believed only if it is ours, decodes, names this run, and the run's record (run.json) says
    that the run was judged: anybody may have put a file of that name there. Raises UnknownSchema,
    StorageError.
    """
    return named(run) if record is not None and isinstance(record.state, Judged) else None


def named(run: Run) -> Result | None:
    """Return what stands in the run's result.json, if it is ours and names this run."""
    with contextlib.suppress(CorruptState, ForeignOwner):
        result = state.read(run.result, Result)
        if result is not None and result.run_id == run.run_id:
            return result
    return None


def results(experiment: Experiment) -> Iterator[Result]:
    """Yield the results of all committed runs, in the order of their ids; pass over what is broken.

    A rebuild asks for them. So a result counts also where run.json is lost or broken: else a run that was
    judged would be lost with it.
    """
    if not experiment.runs.is_dir():
        return
    for folder in sorted(experiment.runs.iterdir(), key=lambda path: (len(path.name), path.name)):
        with contextlib.suppress(ArdaemonError):
            run_number(folder.name)  # no measurement: that has no row
            run = experiment.run(folder.name)
            record = record_of(run)
            result = named(run) if record is None else committed(run, record)
            if result is not None:
                yield result


def record_of(run: Run) -> RunRecord | None:
    """Return the run's record (run.json); None where it is gone or broken, for a rebuild does without it."""
    with contextlib.suppress(CorruptState, ForeignOwner):
        return state.read(run.record, RunRecord)
    return None
