"""`arctl queue`: the runs of all experiments, at work and waiting, and the order in which they go."""

import click

from arctl.base import Here, at_terminal, common, json_option, say, say_json, warn
from arctl.client import Client
from arctl.dial import Answer
from arctl.options import PRIORITY
from arctl.render import queue as queue_lines


@click.group(invoke_without_command=True)
@json_option
@click.pass_context
def queue(ctx: click.Context, as_json: bool) -> None:
    """Show what runs and what waits, in order, and why it waits."""
    if ctx.invoked_subcommand is not None:
        return
    view = Client().call("queue.list")
    warn(view)
    if as_json:
        say_json(view)
    elif not view["runs"]:
        say("nothing runs, nothing waits")
    elif at_terminal():
        from arctl.render import tables  # rich, for people only

        tables.queue(view)
    else:
        for run in view["runs"]:
            say(queue_lines.queued(run))


@queue.command()
@click.argument("run_id", metavar="RUN")
@click.option("--first", "to", flag_value="first", help="Before all others of its priority.")
@click.option("--last", "to", flag_value="last", help="After all others of its priority.")
@click.option("--priority", type=PRIORITY, metavar="N", help="Higher goes first.")
@common
def move(expr: str | None, as_json: bool, run_id: str, to: str | None, priority: int | None) -> None:
    """Put a waiting run first or last, or give it another priority."""
    if to is None and priority is None:
        raise click.UsageError("say where to: --first, --last or --priority N")
    _say(Here(expr).ask("queue.move", run_id=run_id, to=to, priority=priority), as_json)


@queue.command()
@click.argument("run_id", metavar="RUN")
@common
def hold(expr: str | None, as_json: bool, run_id: str) -> None:
    """Keep a waiting run from starting, until it is released."""
    _say(Here(expr).ask("queue.hold", run_id=run_id), as_json)


@queue.command()
@click.argument("run_id", metavar="RUN")
@common
def release(expr: str | None, as_json: bool, run_id: str) -> None:
    """Let a run start again that was held."""
    _say(Here(expr).ask("queue.release", run_id=run_id), as_json)


def _say(view: Answer, as_json: bool) -> None:
    if as_json:
        say_json(view)
    else:
        say(queue_lines.queued(view))
