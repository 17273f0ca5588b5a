"""`arctl result`: show what became of a run."""

import click

from arctl.base import EXIT_STILL_RUNNING, Here, common, say, say_json
from arctl.options import which_run
from arctl.render import run as run_lines


@click.command()
@which_run
@common
def result(expr: str | None, as_json: bool, run_id: str | None) -> int:
    """Show the result of a run. Without RUN: of the latest. The exit code is 75 if there is no result yet."""
    here = Here(expr)
    view = here.ask("run.get", run_id=run_id)
    if view.get("result") is None:
        # `run.wait` tells a run that moves (75) from one that does not, which it refuses with what to do.
        view = here.ask("run.wait", run_id=view["run_id"], timeout=0.0)
    committed = view.get("result")
    if committed is None:
        if as_json:
            say_json(view)
        else:
            say(run_lines.still_running(view, here.hint(str(view["run_id"]))))
        return EXIT_STILL_RUNNING
    if as_json:
        say_json(committed)
    else:
        for line in run_lines.verdict_lines(view, committed):
            say(line)
    return 0
