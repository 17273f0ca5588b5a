"""`arctl status`: an experiment as it stands."""

import click

from arctl.base import Here, at_terminal, common, say, say_json
from arctl.dial import Answer
from arctl.render import status as status_lines
from arctl.render.line import project_line

RECENT = 5  # runs in the text for people
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
    view = here.ask("status.get", last=last or (0 if compact else RECENT))
    if as_json:
        say_json(view)
        return
    if here.elsewhere:
        settings = view["session"].get("settings") or {}
        say(project_line(here.project, str(settings.get("runner") or "")))
    if last is not None:
        _say_recent(view)
    elif compact:
        say(status_lines.compact(view))
    elif at_terminal():
        from arctl.render import tables  # rich, for people only

        tables.status(view)
    else:
        say(status_lines.compact(view))
        _say_recent(view)


def _say_recent(view: Answer) -> None:
    metric = view["contract"]["primary"]["metric"]
    for row in view.get("recent") or ():
        say(status_lines.recent(row, metric))
