"""`arctl list`: the experiments of the project, a line each."""

import click

from arctl.base import at_terminal, json_option, project, project_option, say, say_json, warn
from arctl.client import Client
from arctl.render import overview
from ardaemon.core.errors import UnknownExperiment, UsageError
from ardaemon.core.words import CREATE

TREND = 60  # runs in the graph for people
PAGE = 16  # experiments of one page, as the daemon answers them


@click.command()
@project_option
@click.option(
    "--page",
    type=click.IntRange(min=1),
    default=1,
    metavar="N",
    help="The page, with 16 experiments; default: 1.",
)
@json_option
def list(page: int, as_json: bool) -> None:
    """List the experiments: how each stands, its runs, its best, what runs.

    The 16 that changed last, the newest first; on the next page the 16 before them.
    """
    where = project()
    skipped = {"skip": (page - 1) * PAGE} if page > 1 else {}  # an earlier daemon knows no pages
    values = TREND if at_terminal() or as_json else 0
    view = Client().call("status.list", project=where, values=values, **skipped)
    warn(view)
    if as_json:
        say_json(view)
        return
    if not (view["experiments"] or view.get("more") or view.get("warnings")):  # these name what is unreadable
        if page > 1:
            raise UsageError(f"there is no page {page}", "arctl list")
        raise UnknownExperiment(f"there is no experiment in {where}", f"create one with: {CREATE}")
    if at_terminal():
        from arctl.render import tables  # rich, for people only

        tables.overview(view, None)
    else:
        for line in overview.listed(view["experiments"]):
            say(line)
    if view.get("more"):
        say(f"and {view['more']} more: arctl list --page {page + 1}")
