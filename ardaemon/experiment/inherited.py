"""Chooses what a new session of an experiment has from the last one."""

from collections.abc import Callable
from typing import NamedTuple

from ardaemon.core.errors import SecondsNeeded
from ardaemon.core.mends import session_anew
from ardaemon.core.model import Session, Settings
from ardaemon.core.protocol import SessionStart
from ardaemon.experiment import seal
from ardaemon.experiment.settings import inherit
from ardaemon.experiment.started_here import would_run
from ardaemon.experiment.state import State

BASELINE = "baseline_acknowledged"  # stands among the names of what was inherited


class Chosen(NamedTuple):
    """The settings of a session that is to start, and the names of what it has from the last one."""

    settings: Settings
    inherited: tuple[str, ...]
    acknowledged: bool  # the best is the one to beat, under whatever conditions it was measured
    warnings: tuple[str, ...] = ()


def choose(
    slug: str, current: State, params: SessionStart, mine: bool, default_runner: Callable[[], str]
) -> Chosen:
    """Return the settings that were given, and those of the last session if this user started it (`mine`).

    `default_runner` is asked where neither names a runner.

    A session of somebody else's gives nothing: it names programs, which would run as this user, unasked.
    """
    chosen = _chosen(slug, current.session, params, mine, default_runner)
    kept = mine and not params.defaults and params.resume != "fresh" and _accepted(current, chosen.settings)
    if not kept:
        return chosen
    return chosen._replace(inherited=(*chosen.inherited, BASELINE), acknowledged=True)


def _chosen(
    slug: str, session: Session, params: SessionStart, mine: bool, default_runner: Callable[[], str]
) -> Chosen:
    acknowledged = params.ack_baseline
    if params.settings is not None:  # of a client of an earlier version, which sends all of them
        return Chosen(inherit(params.settings, params.given, default_runner)[0], (), acknowledged)
    if params.defaults or mine or session.settings is None:
        last = None if params.defaults else session.settings
        return Chosen(*inherit(last, params.given, default_runner), acknowledged)
    line = f"the session of {slug} was started elsewhere, so nothing is inherited from it"
    try:
        return Chosen(*inherit(None, params.given, default_runner), acknowledged, (line,))
    except SecondsNeeded as error:
        mend = f"to start that as yours: {session_anew(session.settings, slug)}"
        raise SecondsNeeded(f"{error.message}; {line}; {would_run(session.settings)}", mend) from error


def _accepted(current: State, settings: Settings) -> bool:
    """Tell whether the last session was accepted with its best, and the conditions are as they were then."""
    session = current.session
    return session.baseline_acknowledged and session.conditions == seal.conditions(settings, current.contract)
