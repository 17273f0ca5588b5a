"""The common parts of all commands: the choice of the experiment, printing, exit codes."""

import json
import os
import sys
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import click

from arctl.client import Client, Resume
from arctl.connection import Notify
from arctl.dial import Answer
from ardaemon.core.errors import AmbiguousExperiment, UsageError
from ardaemon.core.places import FOLDER
from ardaemon.core.project import find_project, require_ours, trusted_folders
from ardaemon.core.text import clean, escaped, is_text
from ardaemon.core.words import CHAIN_FIRST, CHAIN_FIRST_SINCE, option

F = TypeVar("F", bound=Callable[..., Any])
# Exit codes by how a run ended; those of errors are in ardaemon.core.errors.
EXIT_OF_STATUS = {"ok": 0, "crash": 10, "timeout": 11, "invalid": 12, "interrupted": 13, "unclean": 14}
EXIT_STILL_RUNNING = 75  # EX_TEMPFAIL of sysexits.h: come back later
EXIT_PIPE_CLOSED = 141  # as a shell shows a death by SIGPIPE
NOT_LAUNCHED = ("queued", "launching")  # states of a run whose job was not started yet


def has_ended(view: Answer) -> bool:
    """Tell whether the run's job had ended by itself: its verdict stands, or comes."""
    wished = (view.get("exit") or {}).get("ending") in ("cancelled", "stopped")
    return view["state"] in ("exited", "judged", "committed") and not wished


_given: list[str] = []  # the folder that --project names, if it was given


def _take(_context: click.Context, _option: click.Parameter, folder: str | None) -> None:
    _given[:] = [os.path.abspath(folder)] if folder is not None else []


project_option = click.option(
    "--project",
    type=click.Path(exists=True, file_okay=False),
    metavar="DIR",
    expose_value=False,
    callback=_take,
    help="A folder of the project. Default: the current one.",
)
_expr_option = click.option(
    "--expr", metavar="SLUG", help="The experiment. Default: AR_EXPR, else the live or the newest one."
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print one line of JSON.")


def expr_option(command: F) -> F:
    """Add the options that say which experiment is meant: --expr and --project."""
    return _expr_option(project_option(command))


def common(command: F) -> F:
    """Add the options of every command about an experiment: --expr and --json."""
    return expr_option(json_option(command))


class Here:
    """The project of a folder (None: the current one), and the experiment that is meant."""

    def __init__(self, expr: str | None, folder: str | None = None) -> None:
        self.client = Client(complain)
        self.project = project(folder)
        self.elsewhere = self.project != (folder or os.getcwd())  # then `run` and `status` name it
        self.chosen = expr is not None
        self.expr = expr or os.environ.get("AR_EXPR") or (CHAIN_FIRST if noninteractive() else None)

    def ask(self, method: str, *, deadline: float | None = None, **params: Any) -> Answer:
        """Call a method about this experiment and return its answer; warnings go to stderr.

        If the daemon cannot tell which experiment is meant, a person at a terminal is asked.
        """
        while True:
            try:
                return self.ask_once(method, deadline=deadline, **params)
            except AmbiguousExperiment as error:
                self.expr = choose(error)

    def ask_once(self, method: str, *, deadline: float | None = None, **params: Any) -> Answer:
        """Call a method as `ask` does, but ask nobody. Raises AmbiguousExperiment."""
        answer = self.client.call(
            method, deadline=deadline, project=self.project, expr=self._meant(), **params
        )
        # The experiment is chosen once per command: further calls name it.
        self.expr = str(answer.get("expr") or self.expr)
        self.warn(answer)
        return answer

    def _meant(self) -> str | None:
        """Return the experiment as the daemon knows the word for it: one of before knows no CHAIN_FIRST."""
        if self.expr == CHAIN_FIRST and not self.client.speaks(CHAIN_FIRST_SINCE):
            return None
        return self.expr

    def follow(self, method: str, notify: Notify, resume: Resume | None = None, **params: Any) -> Answer:
        """Call a method that sends notifications before its answer; each goes to `notify`."""
        answer = self.client.stream(
            method, notify, resume, project=self.project, expr=self._meant(), **params
        )
        self.warn(answer)
        return answer

    def warn(self, answer: Answer) -> None:
        """Print an answer's warnings, where the client says what happens to the daemon."""
        for warning in answer.get("warnings") or ():
            self.client.tell(clean(f"warning: {warning}"))

    def hint(self, run_id: str | None) -> str:
        """Return the command that attaches to a run again; without one, to the latest."""
        words = ("arctl wait", run_id or "", f"--expr {self.expr}" if self.chosen else "")
        return " ".join(filter(None, words))


def project(start: str | None = None) -> str:
    """Return the project of a folder, by default the current one.

    Raises UsageError if the current folder was deleted, and ForeignOwner if the project is another user's.
    """
    try:
        folder = find_project(start or next(iter(_given), None) or os.getcwd())
    except FileNotFoundError:
        raise UsageError("the current folder was deleted", "change to the project's folder") from None
    require_ours(folder, (FOLDER,), trusted_folders)
    return folder


def choose(error: AmbiguousExperiment) -> str:
    """Ask a person which experiment is meant; raise the error, which lists them, if nobody can be asked."""
    candidates = [str(slug) for slug in error.data.get("candidates", [])]
    if not candidates or not interactive():
        raise error
    complain(error.message)
    return str(click.prompt("Which experiment", type=click.Choice(candidates), err=True))


def interactive() -> bool:
    """Return whether a person is there to be asked."""
    if noninteractive():
        return False
    return sys.stdin is not None and sys.stdin.isatty() and sys.stderr is not None and sys.stderr.isatty()


def ask_missing(given: dict[str, Any], ask: Mapping[str, Callable[[], object]], mend: str) -> dict[str, Any]:
    """Ask a person for the options that are not given.

    Raises UsageError, which names them, if nobody can be asked.
    """
    missing = [name for name in ask if given[name] is None]
    if missing and not interactive():
        raise UsageError(f"missing: {', '.join(map(option, missing))}", mend)
    return {**given, **{name: str(ask[name]()) for name in missing}}


def noninteractive() -> bool:
    """Return whether the caller has said that nobody is there to be asked (AR_NONINTERACTIVE=1)."""
    return os.environ.get("AR_NONINTERACTIVE", "0") not in ("", "0")


def at_terminal() -> bool:
    """Return whether the output goes to a terminal, where a person reads it."""
    return sys.stdout is not None and sys.stdout.isatty()


def line_moves() -> bool:
    """Return whether stderr is a terminal in which a line can be redrawn, and a person is before it."""
    if noninteractive() or os.environ.get("TERM") == "dumb":
        return False
    return sys.stderr is not None and sys.stderr.isatty()


def environment() -> dict[str, str]:
    """Return this process's environment for a run, without variables that are no UTF-8, as JSON needs it."""
    fit = {name: value for name, value in os.environ.items() if is_text(name) and is_text(value)}
    for name in sorted(os.environ.keys() - fit.keys()):
        complain(f"warning: the environment variable {name!a} is not UTF-8 and is left out")
    return fit


def say(text: str, **style: Any) -> None:
    """Print a line on stdout, made safe for a terminal; colours (`style`) only at a terminal."""
    click.secho(clean(text), **style)


def complain(text: str) -> None:
    """Print a line on stderr, made safe for a terminal."""
    click.echo(clean(text), err=True)


def warn(answer: Answer) -> None:
    """Print an answer's warnings."""
    for warning in answer.get("warnings") or ():
        complain(f"warning: {warning}")


def say_answer(answer: Answer, as_json: bool) -> None:
    """Print what was done or found (`said`), one line each, or the whole answer as JSON."""
    if as_json:
        say_json(answer)
        return
    for line in answer.get("said") or ():
        say(line)


def say_json(value: Any, err: bool = False) -> None:
    """Print one compact line of JSON, escaped so that nothing in it acts on a terminal."""
    click.echo(escaped(json.dumps(value, ensure_ascii=False, separators=(",", ":"))), err=err)
