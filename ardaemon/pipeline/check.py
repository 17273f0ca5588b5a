"""Runs a session's checks on a run that would become the best, before that is decided.

A check is a command of the session's. Each runs in the project's folder, with the variables that a metric
command gets, on the run's own place, as a process tree that ends with it or with the daemon. Nothing of it is
believed later: a daemon that comes after a kill runs all checks again.
"""

import shlex
import time
from collections.abc import Callable
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from ardaemon.core.config import Config
from ardaemon.core.layout import COMMAND_MARK
from ardaemon.core.model import Process
from ardaemon.core.reason import REASON_MAX
from ardaemon.core.text import one_line
from ardaemon.experiment import checks
from ardaemon.host import command
from ardaemon.host.command import CommandEnd, Commands, KillPolicy
from ardaemon.pipeline import environment as job_environment
from ardaemon.pipeline import view_file
from ardaemon.pipeline.flight import Flight
from ardaemon.pipeline.remains import killed


class Checked(Struct, frozen=True):
    """What came of the checks: why the first of those that failed did, and how long they took."""

    problem: str | None = None
    seconds: float = 0.0
    survivors: tuple[Process, ...] = ()  # processes that could not be killed


class Checks(Struct, frozen=True):
    """The checks of one attempt that is over, and with what they are run."""

    commands: tuple[list[str], ...]
    project: Path
    environment: dict[str, str]
    seconds: float  # for each
    log: Path  # where what they print is kept
    policy: KillPolicy = KillPolicy()


def of_attempt(flight: Flight, config: Config) -> Checks:
    """Return the checks of the flight's attempt, which is over. In a thread: files are looked at."""
    settings, attempt = flight.record.settings, max(flight.attempts, 1)
    environment = job_environment.of_attempt(flight, attempt, settings)
    return Checks(
        commands=tuple(checks.argv(text, flight.run.job) for text in settings.checks),
        project=flight.experiment.project,
        environment={
            **environment,
            **job_environment.visible(flight.seat.devices),
            COMMAND_MARK: str(flight.run.attempt(attempt).log),
        },
        seconds=settings.check_seconds,
        log=flight.run.attempt(attempt).check_log,
        policy=KillPolicy(config.grace, config.verify, config.tree_max),
    )


def run_all(prepare: Callable[[], Checks], group: Commands) -> Checked | None:
    """Run the checks, up to the first that fails; in a thread. `group` ends them.

    Returns None if somebody wanted their end: they say nothing then.
    """
    begun, every = time.monotonic(), prepare()
    checked, printed = Checked(survivors=_killed(every)), bytearray()
    if checked.survivors:
        return checked
    for argv in every.commands:
        one = _run(argv, every, group, printed)
        if one is None:
            return None
        checked = replace(one, seconds=time.monotonic() - begun)
        if checked.problem is not None or checked.survivors:
            break
    view_file.write(every.log, bytes(printed))
    return checked


def _run(argv: list[str], every: Checks, group: Commands, printed: bytearray) -> Checked | None:
    """Run one check; what it prints is added to `printed`."""
    try:
        end = command.run(argv, every.project, every.environment, every.seconds, group, True, every.policy)
    except (OSError, ValueError) as error:  # ValueError: a NUL byte in an argument
        return Checked(one_line(f"{argv[0]} cannot be run: {error}", REASON_MAX))
    printed += f"$ {shlex.join(argv)}\n".encode() + end.output
    survivors = () if end.verified else _killed(every, end.tree)
    if end.wanted and not survivors:
        return None
    return Checked(_problem(end, every.seconds), survivors=survivors)


def _problem(end: CommandEnd, seconds: float) -> str | None:
    """Say why a check failed, by its last line; None if it passed."""
    if end.how == "late":
        return f"still running after {seconds:g} s"
    if end.code == 0:
        return None
    lines = [line for line in end.output.decode("utf-8", "replace").splitlines() if line.strip()]
    return one_line(lines[-1], REASON_MAX) if lines else f"exit code {end.code}"


def _killed(every: Checks, tree: str = "") -> tuple[Process, ...]:
    return killed(every.environment, every.policy.verify, tree)
