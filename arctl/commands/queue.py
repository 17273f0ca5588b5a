"""`arctl queue`: the runs of all experiments, at work and waiting, and the order in which they go."""

import time

import click

from arctl.base import EXIT_STILL_RUNNING, Here, at_terminal, common, json_option, say, say_json, warn
from arctl.client import Client
from arctl.dial import Answer
from arctl.options import DURATION, PRIORITY, RUN
from arctl.render import queue as queue_lines

DRAINED_S = 30.0  # the longest time that the daemon waits for the end of all runs at one question


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
        return
    if view.get("closed"):
        say(queue_lines.shut(view))
    if not view["runs"]:
        say("nothing runs, nothing waits")
    elif at_terminal():
        from arctl.render import tables  # rich, for people only

        tables.queue(view)
    else:
        for run in view["runs"]:
            say(queue_lines.queued(run))


@queue.command()
@click.argument("run_id", metavar="RUN", type=RUN)
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
@click.argument("run_id", metavar="RUN", type=RUN)
@common
def hold(expr: str | None, as_json: bool, run_id: str) -> None:
    """Keep a waiting run from starting, until it is released."""
    _say(Here(expr).ask("queue.hold", run_id=run_id), as_json)


@queue.command()
@click.argument("run_id", metavar="RUN", type=RUN)
@common
def release(expr: str | None, as_json: bool, run_id: str) -> None:
    """Let a run start again that was held."""
    _say(Here(expr).ask("queue.release", run_id=run_id), as_json)


@queue.command()
@click.option("--for", "seconds", type=DURATION, metavar="TIME", help="As 2h; without it until `resume`.")
@json_option
def pause(as_json: bool, seconds: float | None) -> None:
    """Let nothing start, in all experiments; what runs goes on. It holds over restarts."""
    _say_queue(Client().call("queue.pause", seconds=seconds), as_json)


@queue.command()
@click.option(
    "--for",
    "seconds",
    type=DURATION,
    metavar="TIME",
    help="As 2h: whatever the hours in config.toml say.",
)
@json_option
def resume(as_json: bool, seconds: float | None) -> None:
    """Let runs start again after `pause` or `drain`."""
    _say_queue(Client().call("queue.resume", seconds=seconds), as_json)


@queue.command()
@click.option("--timeout", type=DURATION, metavar="TIME", help="As 10m: then 75, if runs are still at work.")
@json_option
def drain(as_json: bool, timeout: float | None) -> int:
    """Let nothing start, and wait until nothing runs: before maintenance. Then `arctl queue resume`.

    Ctrl+C ends the waiting; the queue stays closed.
    """
    client, deadline = Client(), None if timeout is None else time.monotonic() + timeout
    view, said = client.call("queue.pause", drain=True), ""
    while view["busy"]:
        at_work = queue_lines.at_work(view)
        if at_work != said:
            click.echo(at_work, err=True)
            said = at_work
        left = DRAINED_S if deadline is None else min(DRAINED_S, deadline - time.monotonic())
        if left <= 0:
            break
        view = client.call("queue.drained", timeout=left)
    if as_json:
        say_json(view)
    elif not view["busy"]:
        say("nothing runs, nothing starts: arctl queue resume")
    return EXIT_STILL_RUNNING if view["busy"] else 0


def _say_queue(view: Answer, as_json: bool) -> None:
    warn(view)
    if as_json:
        say_json(view)
    else:
        say(queue_lines.shut(view) if view["closed"] else queue_lines.opened(view))


def _say(view: Answer, as_json: bool) -> None:
    if as_json:
        say_json(view)
    else:
        say(queue_lines.queued(view))
