"""`arctl cancel`: interrupt a run."""

import click

from arctl.base import Here, common, has_ended, say, say_json
from arctl.options import which_run
from arctl.render import run as run_lines


@click.command()
@which_run
@common
def cancel(expr: str | None, as_json: bool, run_id: str | None) -> None:
    """Interrupt a run, or take it from the queue. Without RUN: the latest."""
    here = Here(expr)
    view = here.ask("run.cancel", run_id=run_id)
    if as_json:
        say_json(view)
    elif view.get("result"):
        say(run_lines.verdict_line(view["result"]))
    elif has_ended(view):
        say(run_lines.too_late(view, here.hint(str(view["run_id"]))))
    else:
        name = str(view["run_id"])
        say(f"[{name}] cancelled: it is judged when its processes are gone, call: {here.hint(name)}")
