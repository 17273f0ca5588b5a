"""How an experiment stands, in the few words by which a person tells it from another one."""

from ardaemon.core.errors import ArdaemonError
from ardaemon.core.layout import Experiment
from ardaemon.core.line import number
from ardaemon.core.model import Best, Session
from ardaemon.core.text import one_line
from ardaemon.host import state

NAME_MAX = 32  # characters of a metric's name


def is_new(experiment: Experiment) -> bool:
    """Return whether the experiment was made, and never had a session."""
    try:
        session = state.read(experiment.session, Session)
    except ArdaemonError:
        return False
    return session is not None and session.settings is None and session.last_run == 0


def in_words(experiment: Experiment) -> str:
    """Return `live, 12 runs, best val/loss 0.851 @ r0040`."""
    try:
        session, best = state.read(experiment.session, Session), state.read(experiment.best, Best)
    except ArdaemonError:
        return "its files cannot be read"
    if session is None or session.settings is None:
        return "not started"
    runs = session.counters.total
    words = [
        "live" if session.live else f"over: {session.terminated_by or 'stopped'}",
        f"{runs} run" if runs == 1 else f"{runs} runs",
    ]
    if best is not None:
        name = one_line(best.primary.metric, NAME_MAX)
        words.append(f"best {name} {number(best.value)} @ {one_line(best.run_id, NAME_MAX)}")
    return ", ".join(words)
