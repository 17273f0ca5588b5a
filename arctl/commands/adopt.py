"""`arctl adopt`: a decision of a person."""

import click

from arctl.base import json_option, noninteractive, project, project_option, say_answer
from arctl.client import Client
from ardaemon.core.errors import UsageError


@click.command()
@click.option(
    "--take-over",
    is_flag=True,
    help="Also from a daemon on another host that has given no sign for 10 minutes. For a person who knows"
    " that the host is down.",
)
@project_option
@json_option
def adopt(take_over: bool, as_json: bool) -> None:
    """Take over the runs of a daemon with another HOME or state folder that has ended.

    Runs that cannot be seen from here are named, and left as they are.
    """
    if take_over and noninteractive():
        raise UsageError(
            "--take-over is for a person, and AR_NONINTERACTIVE says that none is there",
            "tell a person, who looks whether that host is down, and calls: arctl adopt --take-over",
        )
    wanted = {"take_over": True} if take_over else {}  # a daemon of before knows no such word
    say_answer(Client().call("project.adopt", project=project(), **wanted), as_json)
