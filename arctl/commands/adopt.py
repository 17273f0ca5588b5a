"""`arctl adopt`: a decision of a person."""

import click

from arctl.base import json_option, project, say_answer
from arctl.client import Client


@click.command()
@json_option
def adopt(as_json: bool) -> None:
    """Take over the runs of a daemon with another HOME or state folder that has ended.

    Runs that cannot be seen from here are named, and left as they are.
    """
    say_answer(Client().call("project.adopt", project=project()), as_json)
