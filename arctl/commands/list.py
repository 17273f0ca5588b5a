"""`arctl list`: the experiments of the project, a line each."""

import click

from arctl.base import at_terminal, json_option, project, project_option, say, say_json, warn
from arctl.client import Client
from arctl.render import overview
from ardaemon.core.errors import UnknownExperiment
from ardaemon.core.words import CREATE

TREND = 60  # runs in the graph for people


@click.command()
@project_option
@json_option
def list(as_json: bool) -> None:
    """List the experiments: how each stands, its runs, its best, what runs.

    The 16 that changed last, the newest first.
    """
    where = project()
    view = Client().call("status.list", project=where, values=TREND if at_terminal() or as_json else 0)
    warn(view)
    if as_json:
        say_json(view)
        return
    if not view["experiments"] and not view.get("more"):
        raise UnknownExperiment(f"there is no experiment in {where}", f"create one with: {CREATE}")
    if at_terminal():
        from arctl.render import tables  # rich, for people only

        tables.overview(view, None)
    else:
        for line in overview.listed(view["experiments"]):
            say(line)
    if view.get("more"):
        say(f"and {view['more']} more: ls {where}/.autoresearch")
