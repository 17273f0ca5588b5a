"""`arctl run` and `arctl wait`: one candidate from submit to verdict, through signals and restarts."""

import os
from collections.abc import Callable
from typing import Any

import click

from arctl.base import Here, common, environment, say, say_json
from arctl.commands.waiting import Watch, say_project
from arctl.dial import Answer
from arctl.options import DURATION_OR_0, PRIORITY, RUN, gpus_option, vram_option
from arctl.render import run as run_lines
from ardaemon.core.errors import UnderWay
from ardaemon.core.shell_state import of_this_process, umask

timeout_option = click.option(
    "--timeout",
    type=DURATION_OR_0,
    metavar="TIME",
    help="Give up waiting after so long, as 600 or 10m (exit code 75); the run goes on.",
)
exit_zero_option = click.option(
    "--exit-zero",
    is_flag=True,
    help="Exit with 0 for every verdict and for a run that goes on: the last line says which.",
)


@click.command()
@click.option("--wait", is_flag=True, help="Wait for the verdict; Ctrl+C at the terminal interrupts the run.")
@click.option("--note", metavar="TEXT", help="What was tried; else RUN_NOTE in train.py.")
@timeout_option
@exit_zero_option
@gpus_option
@vram_option
@click.option("--share/--alone", default=None, help="May other runs be on its GPUs? Default: as the session.")
@click.option("--priority", type=PRIORITY, default=0, metavar="N", help="Higher goes first; default: 0.")
@click.option("--again", is_flag=True, help="Also a train.py that was run before; the best is only measured.")
@common
def run(
    expr: str | None,
    as_json: bool,
    wait: bool,
    note: str | None,
    timeout: float | None,
    exit_zero: bool,
    **asked: Any,
) -> int:
    """Run train.py as it is now.

    Without --wait the run is queued and train.py becomes the best version again at once, so that the next
    candidate can be written while this one trains.

    --exit-zero is for tools that show every other exit code as a failure. What is left then is an error: 64 a
    wrong option, 65 refused, 69 no daemon, 70 a fault of ardaemon, 74 storage, 75 ended by a signal
    before the daemon had answered, 76 stuck.
    """
    if timeout is not None and not wait:
        raise click.UsageError("--timeout needs --wait")
    here = Here(expr)
    submit = _submission(here, note, wait, asked)
    watch = Watch(here, as_json, timeout, exit_zero)
    try:
        return watch.run(submit) if wait else _queue(here, as_json, submit)
    except UnderWay as error:
        if not exit_zero:
            raise
        return watch.show(error)


def _queue(here: Here, as_json: bool, submit: Callable[[], Answer]) -> int:
    view = submit()
    if as_json:
        say_json(view)
    else:
        say_project(here, view)
        say(run_lines.submitted(view))
    return 0


@click.command()
@click.argument("run_id", metavar="[RUN]", type=RUN, required=False)
@click.option("--any", "any_run", is_flag=True, help="The next of the experiment's runs to finish.")
@timeout_option
@exit_zero_option
@common
def wait(
    expr: str | None,
    as_json: bool,
    run_id: str | None,
    any_run: bool,
    timeout: float | None,
    exit_zero: bool,
) -> int:
    """Wait for a run and print its verdict; without RUN for the latest.

    Ctrl+C ends the waiting, not the run. `arctl run --help` has the exit codes that --exit-zero leaves.
    """
    if any_run and run_id is not None:
        raise click.UsageError("give either RUN or --any")
    return Watch(Here(expr), as_json, timeout, exit_zero).wait(run_id, any_run)


def _submission(here: Here, note: str | None, wait: bool, asked: dict[str, Any]) -> Callable[[], Answer]:
    """Return the call that submits; however often it is made, it is the same run."""
    if not asked["again"]:
        del asked["again"]  # an earlier daemon does not know it, and refuses nothing
    submit_id = os.urandom(16).hex()
    variables, mask, shell = environment(), umask(), of_this_process()
    restore = "at_verdict" if wait else "at_submit"

    def submit() -> Answer:
        return here.ask(
            "run.submit",
            submit_id=submit_id,
            environment=variables,
            umask=mask,
            shell=shell,
            note=note,
            restore=restore,
            **asked,
        )

    return submit
