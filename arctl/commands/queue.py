"""`arctl queue`: what runs and what waits, of all experiments."""

import click

from arctl import render
from arctl.base import at_terminal, json_option, say, say_json, warn
from arctl.client import Client


@click.command()
@json_option
def queue(as_json: bool) -> None:
    """Show what runs and what waits, in order."""
    view = Client().call("queue.list")
    warn(view)
    if as_json:
        say_json(view)
    elif not view["runs"]:
        say("nothing runs, nothing waits")
    elif at_terminal():
        from arctl import tables  # rich, for people only

        tables.queue(view)
    else:
        for run in view["runs"]:
            say(render.queued(run))
