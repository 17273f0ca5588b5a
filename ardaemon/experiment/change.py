"""Changes the settings of a live session, where the values that it measures stay comparable."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from msgspec.structs import replace

from ardaemon.core import limits
from ardaemon.core.errors import Refused, SessionNotLive, UsageError
from ardaemon.core.layout import Experiment
from ardaemon.core.mends import go_on, runner_anew
from ardaemon.core.model import LIMITS, Contract, Counters, Sealed, Session, Settings
from ardaemon.core.protocol import SomeSettings
from ardaemon.core.words import option
from ardaemon.experiment import checks, generation, max_log, seal
from ardaemon.experiment.repair import load_or_repair
from ardaemon.experiment.settings import check, given_values
from ardaemon.experiment.started_here import StartedHere
from ardaemon.experiment.state import hours_of
from ardaemon.experiment.vanished import require_newest

# Which runs may become the best: asked of the settings with which a run was launched.
RULES = (
    "constraints",
    "checks",
    "check_seconds",
    "prefer_shorter",
    "verdict",
    "noise_budget",
    "max_attempts",
    "min_delta",
)
# When nothing else is to be run.
OF_IDLE_PLACES = ("measure_noise",)
# What a run asks of the machine is settled at its submit.
AT_SUBMIT = ("gpus", "share", "vram")


class Changed(NamedTuple):
    """The session after the change, and what that means for its runs, one line each."""

    session: Session
    said: tuple[str, ...]


def change(
    experiment: Experiment,
    given: SomeSettings,
    started_here: StartedHere,
    require_possible: Callable[[Settings], None],
    environment: Mapping[str, str] | None = None,
) -> Changed:
    """Change the settings of the live session, and sign them. Raises Refused where that is not sound.

    `require_possible` raises UsageError for what this machine can never give. The programs of new checks, and
    of a new audit, are looked for in `environment`; without one they are not looked for.
    """
    current = load_or_repair(experiment)
    session = current.session
    require_newest(experiment, session)
    before = _settings(experiment, session)
    started_here.require(experiment, session)
    values = given_values(given)
    if not values:
        raise UsageError("no setting is given", "give one, as --plateau 20 or --max-runs none")
    if values.get("runner", before.runner) is None:
        raise Refused(
            "--runner none: a runner is chosen when a session starts",
            f"name it; or: {runner_anew(experiment.slug)}",
        )
    changed = {name: value for name, value in values.items() if value != getattr(before, name)}
    settings = replace(before, **changed)
    check(settings)
    if not changed.keys().isdisjoint(AT_SUBMIT):
        require_possible(settings)
    _require_comparable(before, changed, current.contract)
    if environment is not None:
        named = replace(settings, checks=changed.get("checks", ()), audit=changed.get("audit"))
        checks.require_programs(named, environment, str(experiment.project))
    if not changed:
        return Changed(session, ("nothing changes: the settings are so already",))
    sealed = _sealed(experiment, session, settings)
    doubts = max_log.doubts(experiment, settings) if "max_log" in changed else ()
    session = replace(session, settings=settings, revision=session.revision + 1, checks_sealed=sealed)
    session = started_here.signed(session)
    generation.write(experiment, session)
    slips = checks.slips(settings, experiment.project) if {"checks", "audit"} & changed.keys() else ()
    return Changed(session, (*meaning(tuple(changed), settings, session), *slips, *doubts))


def _sealed(experiment: Experiment, session: Session, settings: Settings) -> tuple[Sealed, ...]:
    """Seal what the checks name now; of checks that are gone runs at work still need the files."""
    before = {sealed.path: sealed for sealed in session.checks_sealed}
    return tuple((before | {one.path: one for one in checks.sealed(experiment, settings)}).values())


def _settings(experiment: Experiment, session: Session) -> Settings:
    """Return the settings of the session. Raises SessionNotLive if there is none to change."""
    slug = experiment.slug
    if session.settings is None:
        raise SessionNotLive(f"{slug} has no session yet", "arctl session start --seconds N")
    if not session.live:
        why = session.terminated_by or "stopped"
        mend = f"start the next one with what shall be different, as {go_on(slug)} --plateau 20"
        raise SessionNotLive(f"the session of {slug} is over ({why})", mend)
    return session.settings


def _require_comparable(before: Settings, changed: dict[str, Any], contract: Contract) -> None:
    """Raise Refused if a value measured after the change could not be compared with one from before it."""
    same = seal.conditions(before, contract)
    decisive = [
        name
        for name, value in changed.items()
        if seal.conditions(replace(before, **{name: value}), contract) != same
    ]
    if decisive:
        options = ", ".join(map(option, decisive))
        raise Refused(
            f"{options}: values that were measured before and after the change could not be compared",
            "arctl session stop, then arctl session start with the change and --ack-baseline, or with"
            " --resume fresh --yes",
        )


def meaning(changed: tuple[str, ...], settings: Settings, session: Session) -> tuple[str, ...]:
    """Say from when on a change holds, and what it means for values that are there."""
    of_end = [name for name in changed if name in LIMITS]  # asked of the settings of the session
    of_best = [name for name in changed if name in RULES]
    of_place = [name for name in changed if name in AT_SUBMIT]
    of_idle_places = [name for name in changed if name in OF_IDLE_PLACES]
    others = [name for name in changed if name not in LIMITS + RULES + AT_SUBMIT + OF_IDLE_PLACES]
    lines = (
        (
            of_end,
            "from the next verdict or rerun on; values stay comparable, for this only says when the session"
            " ends",
        ),
        (
            of_best,
            "for runs that start from now on; the best stays the one to beat, and is not judged again",
        ),
        (of_place, "for runs that are submitted from now on; values stay comparable"),
        (of_idle_places, "for idle GPUs from the next run on; verdicts are as before"),
        (others, "for runs that start from now on; values stay comparable"),
    )
    said = [f"{', '.join(map(option, names))}: {text}" for names, text in lines if names]
    return (*said, *_reached(settings, session.counters, hours_of(session)))


def _reached(settings: Settings, counters: Counters, hours: float) -> list[str]:
    """Say which counts have come to their end already, and what therefore ends the session.

    All limits are asked about at the end of a rerun too, for it counts as a launch and takes GPU time.
    """
    return [
        f"{option(name)} {getattr(settings, name):g} is reached already ({count:.3g}):"
        f" {_next(name)} ends the session"
        for name, count in limits.reached(settings, counters, hours).items()
    ]


def _next(limit: str) -> str:
    """Say what asks for this limit."""
    return "the next verdict, rerun or submit" if limit == "max_hours" else "the next verdict or rerun"
