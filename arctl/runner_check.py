"""The check of `arctl doctor` that says which program the session's runner starts, from this shell."""

from collections.abc import Iterator, Mapping

from arctl.check import Check
from arctl.dial import Answer
from ardaemon.core import command_line, programs
from ardaemon.core.mends import runner_anew
from ardaemon.core.words import runner_of


def runner_checks(status: Answer, environment: Mapping[str, str], own: str | None) -> Iterator[Check]:
    """Yield what the runner of a session starts; `own` is the environment of ardaemon itself."""
    runner, project = runner_of(status["session"]), str(status["project"])
    try:
        line = command_line.read(runner, command_line.home_of(environment))
    except ValueError:
        return  # there is no session yet; or it is an old one, and its runs say what is wrong
    if not line.words:
        return
    program = programs.located(line.words[0], {**environment, **line.variables}, project)
    if program is None:
        yield Check("warn", "runner", f"{runner}: {line.words[0]} is not found from here", _anew(status))
    elif programs.is_of(program, own):
        found = f"{runner}: that is {program} here, ardaemon's own Python"
        yield Check("warn", "runner", found, f"activate the project's environment; or {_anew(status)}")
    else:
        yield Check("ok", "runner", f"{runner} ({program})")


def _anew(status: Answer) -> str:
    return runner_anew(str(status["expr"]))
