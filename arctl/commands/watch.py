"""`arctl watch`: what happens, as it happens."""

import os
import sys

import click

from arctl.base import Here, at_terminal, common, project
from arctl.dial import Answer
from ardaemon.core.errors import ArdaemonError, InternalError


@click.command()
@click.option("--plain", is_flag=True, help="A line for each event, as in a pipe.")
@common
def watch(expr: str | None, as_json: bool, plain: bool) -> None:
    """Watch the runs: on the whole screen at a terminal, else a line for each event.

    Lines are of all experiments, or of the one that --expr names; Ctrl+C ends them. On the screen, ? shows
    the keys.
    """
    if as_json or plain or not _has_screen():
        lines(expr, as_json)
    else:
        _screen(expr)


def lines(expr: str | None, as_json: bool) -> None:
    """Print a line for each event, or a JSON object, until Ctrl+C."""
    from arctl.reader import leave_with_reader
    from arctl.watch.plain import Lines

    leave_with_reader()
    if expr is not None:
        here = Here(expr)
        expr = str(here.ask("session.get")["expr"])  # a misspelt one is an error, not a silence
    Lines(project() if expr is not None else None, expr, as_json).run()


def _screen(expr: str | None) -> None:
    here = Here(expr)
    place = _place(here)
    from arctl.person import is_person
    from arctl.watch.app import Watch  # textual: for this command alone

    app = Watch(place)
    app.model.shows_audit = is_person()
    app.run(mouse=False)  # it belongs to the terminal: to select text, also over ssh
    if app.fault is not None:
        raise app.fault
    if app.return_code:
        raise InternalError("the view ended by a fault of its own, see above", "arctl watch --plain")


def _place(here: Here) -> tuple[str, str]:
    """Return the experiment that is meant; where the current folder has none, that of the first run."""
    try:
        return here.project, str(here.ask("session.get")["expr"])
    except ArdaemonError:
        runs: list[Answer] = here.client.call("queue.list")["runs"]
        if here.chosen or not runs:
            raise
        return str(runs[0]["project"]), str(runs[0]["expr"])


def _has_screen() -> bool:
    """Tell whether a person sits at a terminal that can do more than print lines."""
    streams = (sys.stdin, sys.stderr)  # keys come from the one, and Textual draws on the other
    screen = at_terminal() and all(stream is not None and stream.isatty() for stream in streams)
    return screen and os.environ.get("TERM", "dumb") not in ("", "dumb")
