"""`arctl events`: the stream of events, as `arctl watch` prints it where there is no screen."""

import click

from arctl.base import json_option
from arctl.commands.watch import lines


@click.command()
@click.option("--expr", metavar="SLUG", help="This experiment's alone. Default: all.")
@json_option
def events(expr: str | None, as_json: bool) -> None:
    """Print each event as it happens: a line for each, or with --json an object.

    Events are of all experiments, or of the one that --expr names. It goes on over restarts of the daemon;
    Ctrl+C ends it.
    """
    lines(expr, as_json)
