"""`arctl diff`: show what a run changed in train.py."""

import click

from arctl import difference
from arctl.base import Here, at_terminal, common, say, say_json
from arctl.dial import Answer
from arctl.options import RUN, which_run
from ardaemon.core.errors import UsageError
from ardaemon.core.layout import ORIGINAL, candidate_number

LINES_MAX = 200  # an agent's context has room for these; a longer diff is rarely one idea
COLOURS = {"+": "green", "-": "red", "@": "cyan"}


@click.command()
@which_run
@click.option(
    "--against",
    type=RUN,
    default="base",
    show_default=True,
    metavar="base|best|RUN",
    help="The version to compare with.",
)
@common
def diff(expr: str | None, as_json: bool, run_id: str | None, against: str) -> None:
    """Show what a run changed in train.py. Without RUN: the latest."""
    here = Here(expr)
    view = here.ask("run.get", run_id=run_id)
    before, after = difference.runs(view, other_run(here, view, against))
    lines = difference.lines(before, after)
    if as_json:
        shown = {"lines": lines[:LINES_MAX], "left_out": max(0, len(lines) - LINES_MAX)}
        say_json({"run_id": after.run_id, "against": before.run_id, **shown})
    elif not lines:
        say(f"{after.run_id} is the same as {before.run_id}")
    else:
        say_diff(lines)


def other_run(here: Here, view: Answer, against: str) -> str:
    """Return the run that `base`, `best` or a run's id means beside the one that is viewed."""
    if against == "base":
        return str(view.get("base") or ORIGINAL)
    if against == "best":
        best = here.ask("status.get")["best"]
        if best is None:
            raise UsageError("there is no best yet", "name a run: arctl status --last 10 lists the latest")
        return str(best["run_id"])
    candidate_number(against)  # raises for what is no id
    return against


def say_diff(lines: list[str]) -> None:
    """Print the first LINES_MAX lines of a diff."""
    for line in lines[:LINES_MAX]:
        say(line, fg=COLOURS.get(line[0]) if line and at_terminal() else None)
    if len(lines) > LINES_MAX:
        say(f"… {len(lines) - LINES_MAX} more lines")
