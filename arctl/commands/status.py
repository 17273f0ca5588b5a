"""`arctl status`: an experiment as it stands."""

import click

from arctl.base import Here, at_terminal, common, say, say_json
from arctl.dial import Answer
from arctl.render import status as status_lines
from arctl.render.line import project_line
from ardaemon.core.errors import AmbiguousExperiment, UsageError
from ardaemon.core.words import runner_of

RECENT = 5  # runs in the text for people
TREND = 60  # runs in the graph: a line of it beside the rest of the screen
LAST_MAX = 1000  # the daemon's own limit of one answer


@click.command()
@click.option("--compact", is_flag=True, help="At most 10 lines, whatever the number of runs.")
@click.option(
    "--last", type=click.IntRange(1, LAST_MAX), metavar="N", help="One line for each of the last N runs."
)
@common
def status(expr: str | None, as_json: bool, compact: bool, last: int | None) -> None:
    """Show an experiment: best, counts, limits, what runs."""
    if compact and last is not None:
        raise click.UsageError("give either --compact or --last")
    here = Here(expr)
    if not (as_json or compact or last) and at_terminal():
        _show_people(here)
        return
    view = here.ask("status.get", last=last or (0 if compact else RECENT))
    if as_json:
        say_json(view)
        return
    _say_project(here, view)
    if last is not None:
        _say_recent(view)
    elif compact:
        say(status_lines.compact(view))
    else:
        say(status_lines.whole(view))
        _say_recent(view)


def _say_recent(view: Answer) -> None:
    metric = view["contract"]["primary"]["metric"]
    for row in view.get("recent") or ():
        say(status_lines.recent(row, metric))


def _say_project(here: Here, view: Answer) -> None:
    if here.elsewhere:
        say(project_line(here.project, runner_of(view["session"])))


def _show_people(here: Here) -> None:
    """Show one experiment, and the others of the project below it; all of them where several are meant."""
    from arctl.render import tables  # rich, for people only

    every = _every(here)
    try:
        view = here.ask_once("status.get", last=TREND)
    except AmbiguousExperiment:
        if every is None:
            raise
        tables.overview(every, None)
        say("one of them: arctl status --expr SLUG")
        return
    _say_project(here, view)
    tables.status(view, RECENT)
    if every is not None and len(every["experiments"]) > 1:
        tables.overview(every, view["expr"])


def _every(here: Here) -> Answer | None:
    """Return all experiments of the project at a glance; None where an earlier daemon knows no such thing."""
    try:
        every = here.client.call("status.list", project=here.project, values=TREND)
    except UsageError:
        return None
    here.warn(every)
    return every
