"""`arctl chain` and `arctl chain stop`."""

import click

from arctl.base import json_option, project, project_option, say, say_json, warn
from arctl.client import Client
from arctl.dial import Answer
from arctl.render import chain as lines


@click.group(invoke_without_command=True)
@click.option(
    "--last", type=click.IntRange(1, lines.LAST_MAX), default=8, metavar="N", help="List the last N links."
)
@project_option
@json_option
@click.pass_context
def chain(context: click.Context, last: int, as_json: bool) -> None:
    """Show the chain: its experiments with their bests and rationales, and how many may follow.

    A chain begins with `arctl session start --chain N`, and goes on with `arctl chain-init`.
    """
    if context.invoked_subcommand is None:
        _say(Client().call("chain.get", project=project(), last=last), as_json)


@chain.command()
@project_option
@json_option
def stop(as_json: bool) -> None:
    """End the chain: no experiment follows any more. The current one goes on."""
    _say(Client().call("chain.stop", project=project()), as_json)


def _say(answer: Answer, as_json: bool) -> None:
    warn(answer)
    if as_json:
        say_json(answer)
        return
    for line in lines.shown(answer):
        say(line)
