"""Command lines that errors name: what to do now."""

import shlex
from collections.abc import Sequence

from msgspec.structs import asdict

from ardaemon.core.model import OF_A_NEW_SESSION, Settings
from ardaemon.core.size import SIZES, written
from ardaemon.core.text import clean
from ardaemon.core.words import option as option_of

CANCELLED_MAX = 8  # runs that one line ends: it is to be copied from a terminal
COMMAND_MAX = 2000  # characters of a command that can still be copied from a terminal
_FIRST = ("seconds", "runner", "plateau", "max_runs")
_CONTINUE = "arctl session start --resume continue"


def go_on(slug: str) -> str:
    """Return the command that starts the next session of an experiment, with the settings of the last one."""
    return f"{_CONTINUE} --expr {slug}"


def release(run_id: str, slug: str) -> str:
    """Return the command that lets a run start that a person holds."""
    return f"arctl queue release {run_id} --expr {slug}"


def cancel(run_ids: Sequence[str], slug: str) -> str:
    """Return the commands that end these runs, or the first of them."""
    return " && ".join(f"arctl cancel {run_id} --expr {slug}" for run_id in run_ids[:CANCELLED_MAX])


def with_other_files(slug: str) -> str:
    """Return the commands that start a session with the files of its checks and its audit as they are now."""
    return f"arctl session stop --expr {slug} && {_CONTINUE} --expr {slug}"


def measure_anew(slug: str) -> str:
    """Return the commands that put an experiment's results aside and begin with its original train.py."""
    return f"arctl session stop --expr {slug} && arctl session start --resume fresh --yes --expr {slug}"


def keep_best(slug: str) -> str:
    """Return the commands that begin a session in which the best stays the one to beat."""
    return f"arctl session stop --expr {slug} && {_CONTINUE} --ack-baseline --expr {slug}"


def runner_anew(slug: str) -> str:
    """Return the commands that have the runner chosen anew; the best stays the one to beat."""
    return f"arctl session stop --expr {slug} && {_CONTINUE} --runner none --ack-baseline --expr {slug}"


def session_anew(settings: Settings, slug: str) -> str:
    """Return the command that starts a session with these settings where nothing is inherited.

    Settings that a terminal would not show as they are, or that make it too long, are left to the reader.
    """
    given = {name: value for name, value in asdict(settings).items() if value != _DEFAULTS[name]}
    names = [*_FIRST, *(name for name in given if name not in _FIRST)]
    words = [word for name in names if name in given for word in _option(name, given[name])]
    command = " ".join([_CONTINUE, *words])
    if len(command) > COMMAND_MAX or clean(command) != command or "\n" in command:
        return f"{_CONTINUE} --seconds N, and its other settings as you want them"
    return f"{command} --expr {slug}"


_NAMED = {"seconds": None, "runner": None}  # always
_DEFAULTS = {**asdict(Settings(seconds=1)), **OF_A_NEW_SESSION, **_NAMED}


def _option(name: str, value: object) -> list[str]:
    """Return the words of one setting, as `arctl session start` takes them."""
    option = option_of(name)
    match value:
        case True:
            return [option]
        case None:
            return [f"{option} none"]
        case tuple():
            return [f"{option} {shlex.quote(str(each))}" for each in value]
        case float() if name in SIZES:
            return [f"{option} {written(value)}"]
        case float():
            return [f"{option} {value:.12g}"]
    return [f"{option} {shlex.quote(str(value))}"]
