"""What a submit says of its shell's limits, CPUs and priority: what cannot be had, and what may end a run."""

from ardaemon.core.layout import Experiment, run_name, run_number
from ardaemon.core.model import ShellState
from ardaemon.core.run_record import RunRecord
from ardaemon.experiment import history
from ardaemon.host import shell_state


def not_given(shell: ShellState | None) -> tuple[str, ...]:
    """Return a line for each part of the shell's state that a job of this daemon's cannot have."""
    if shell is None:
        return ()
    lines = shell_state.lacking(shell.limits, shell.nice, shell_state.mine())
    return (*lines, *shell_state.lacking_cpus(shell.affinity))


def before(experiment: Experiment, record: RunRecord) -> RunRecord | None:
    """Return the record of the run before this one, if it is of the same session."""
    number = run_number(record.run_id) - 1
    earlier = history.record_of(experiment.run(run_name(number))) if number > 0 else None
    return earlier if earlier is not None and earlier.epoch == record.epoch else None


def warnings(record: RunRecord, earlier: RunRecord | None) -> tuple[str, ...]:
    """Return what a person should know of the shell's limits before the run is compared with others. Pure."""
    if record.shell is None:
        return ()
    lines = [f"of this shell the job of {record.run_id} cannot have {line}" for line in record.not_given]
    told = shell_state.told(record.shell.limits)
    if told:
        lines.append(f"limits of this shell hold for {record.run_id}, and may end it: {', '.join(told)}")
    if earlier is not None and earlier.shell is not None and shell_state.told(earlier.shell.limits) != told:
        last = ", ".join(shell_state.told(earlier.shell.limits)) or "none of them"
        lines.append(
            f"{earlier.run_id} of this session had other limits ({last}): the two may not be comparable;"
            " set the same with ulimit before arctl run"
        )
    return tuple(lines)
