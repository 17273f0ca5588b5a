"""`arctl history`: ask what has been tried, in at most 4 KiB whatever the number of runs."""

import click

from arctl.base import Here, common, say, say_json
from arctl.render import history as history_lines


@click.command()
@click.option(
    "--grep", metavar="TEXT", help="Runs in whose note or diff TEXT stands; * is any text, | is or."
)
@click.option("--param", metavar="NAME", help="The values to which NAME was set, and what came of each.")
@click.option("--best", type=click.IntRange(min=1), metavar="N", help="The N best runs.")
@click.option(
    "--similar", is_flag=True, help="Edits like the one that is in train.py now, the most alike first."
)
@common
def history(
    expr: str | None, as_json: bool, grep: str | None, param: str | None, best: int | None, similar: bool
) -> None:
    """Ask what has been tried. Without a question: the newest runs.

    Each line is a run, its verdict, its value, its note and what of it answers the question.
    """
    if sum(one is not None for one in (grep, param, best, similar or None)) > 1:
        raise click.UsageError("ask one question: --grep, --param, --best or --similar")
    view = Here(expr).ask("history.get", grep=grep, param=param, best=best, similar=similar)
    if as_json:
        say_json(view)
        return
    for line in history_lines.lines(view):
        say(line)
