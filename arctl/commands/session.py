"""`arctl session start | set | stop | show`."""

from functools import partial
from typing import Any

import click

from arctl.base import Here, common, environment, interactive, noninteractive, say, say_json
from arctl.dial import Answer
from arctl.options import DURATION
from arctl.render import status as status_lines
from arctl.render.line import setting
from arctl.session_options import session_options, take_settings
from ardaemon.core.errors import SecondsNeeded, UsageError
from ardaemon.core.size import SIZES, written
from ardaemon.core.words import runner_of

SECONDS_SUGGESTED = 600.0  # at the prompt: a first guess for a small model


class Budget(click.ParamType[str | int]):
    """The option --chain: how many experiments may follow, or `unlimited`."""

    name = "budget"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str | int:
        """Return the word, or the number."""
        if value == "unlimited":
            return "unlimited"
        if str(value).isdecimal():
            return int(value)
        self.fail(f"{value!r} is neither a number nor unlimited", param, ctx)


BUDGET = Budget()


@click.group()
def session() -> None:
    """Start, change, stop or show an experiment's session."""


@session.command()
@session_options
@click.option(
    "--resume",
    type=click.Choice(["continue", "revert", "fresh"]),
    help="What train.py and the results start from.",
)
@click.option(
    "--chain",
    type=BUDGET,
    metavar="N|unlimited",
    help="Begin a chain: so many experiments may follow this one.",
)
@click.option("--force", is_flag=True, help="Begin it although another experiment's chain goes on.")
@click.option("--ack-baseline", is_flag=True, help="Accept a best that was measured under other settings.")
@click.option("--yes", is_flag=True, help="Do not ask before --resume fresh.")
@click.option("--defaults", is_flag=True, help="Inherit nothing: what is not given is as by default.")
@common
def start(
    expr: str | None,
    as_json: bool,
    resume: str | None,
    chain: int | str | None,
    force: bool,
    ack_baseline: bool,
    yes: bool,
    defaults: bool,
    **params: Any,
) -> None:
    """Start a session: from now on runs are accepted.

    A setting that is not given stays as in the last session; so does --ack-baseline, as long as nothing of
    the conditions has changed. `none` clears a setting (--plateau none), a repeatable option that is given
    replaces the list, and --defaults inherits nothing.

    --resume continue leaves train.py as it is, revert puts the best version back, and fresh moves all
    results into archive/ and begins anew with the original train.py.
    """
    given = take_settings(params)
    if resume == "fresh" and not yes:
        _confirm_fresh()
    here = Here(expr)
    ask = partial(
        here.ask,
        "session.start",
        environment=environment(),
        resume=resume,
        chain=chain,
        force=force,
        ack_baseline=ack_baseline,
        defaults=defaults,
    )
    try:
        answer = ask(given=given)
    except SecondsNeeded:  # nothing was changed
        if not interactive():
            raise
        answer = ask(given={**given, "seconds": _ask_seconds()})
    _say(answer, as_json)


@session.command("set")
@session_options
@common
def change(expr: str | None, as_json: bool, **params: Any) -> None:
    """Change settings of the live session, such as --plateau and --max-runs; `none` clears one.

    A change is refused if the values before and after it could not be compared.
    """
    here, given = Here(expr), take_settings(params)
    _say(here.ask("session.set", given=given, environment=environment()), as_json)


@session.command()
@common
def stop(expr: str | None, as_json: bool) -> None:
    """End the session: running runs are interrupted, waiting ones are held."""
    _say(Here(expr).ask("session.stop"), as_json)


@session.command()
@common
def show(expr: str | None, as_json: bool) -> None:
    """Show the session's settings and counters.

    With AR_NONINTERACTIVE=1 a line says that nobody is there to be asked.
    """
    _say(Here(expr).ask("session.get"), as_json)
    if noninteractive() and not as_json:
        say("questions: none (AR_NONINTERACTIVE is set)")


def _ask_seconds() -> float:
    return float(
        click.prompt("Seconds per run (--seconds)", type=DURATION, default=SECONDS_SUGGESTED, err=True)
    )


def _confirm_fresh() -> None:
    if not interactive():
        raise UsageError("--resume fresh puts all results aside", "say that it is meant: --yes")
    click.confirm("Put all results aside and begin with the original?", abort=True, err=True)


def _say(answer: Answer, as_json: bool) -> None:
    if as_json:
        say_json(answer)
        return
    session = answer["session"]
    say(f"expr: {answer['expr']}")
    say(f"session: {status_lines.liveness(session)}")
    settings = session.get("settings") or {}
    if settings:
        settings = {**settings, "runner": runner_of(session)}  # also where an earlier version wrote none down
    for name, value in settings.items():
        say(f"  {name}: {_value(name, value)}")
    say(f"runs: {status_lines.counted(session['counters'])}")
    say(f"termination: {status_lines.limits(answer)}")
    if answer.get("inherited"):
        say(f"inherited: {', '.join(answer['inherited'])}")
    if answer.get("chain_mode"):
        left = answer.get("chain_remaining")
        say(f"chain: {'no limit' if left is None else f'{left} left'}")
    for line in answer.get("said") or ():
        say(line)


def _value(name: str, value: Any) -> str:
    """Return a setting as its option takes it."""
    if isinstance(value, list):
        return ", ".join(value)
    return written(value) if name in SIZES else setting(value)
