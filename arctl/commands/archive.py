"""`arctl archive`: put an experiment aside, or take it back."""

import click

from arctl.base import json_option, project, project_option, say_answer, warn
from arctl.client import Client
from ardaemon.core.errors import UsageError


@click.command()
@click.argument("slug", metavar="[SLUG]", required=False)
@click.option("--back", is_flag=True, help="Take it back out of the archive.")
@project_option
@json_option
def archive(slug: str | None, back: bool, as_json: bool) -> None:
    """Put the experiment SLUG into .autoresearch/archive/. Without SLUG: list what is there.

    All its files stay as they are, but no command lists it or takes it for the one that is meant.
    """
    if back and slug is None:
        raise UsageError("--back needs the name of an archived experiment", "arctl archive lists them")
    answer = Client().call("experiment.archive", project=project(), slug=slug, back=back)
    warn(answer)
    say_answer(answer, as_json)
