"""`arctl rerun`, `arctl noise`: launch a version that was judged once more, and see how much is luck."""

from collections.abc import Callable
from functools import partial

import click

from arctl.base import (
    EXIT_OF_STATUS,
    EXIT_STILL_RUNNING,
    Here,
    common,
    complain,
    environment,
    has_ended,
    say,
    say_json,
)
from arctl.dial import Answer, Stopped
from arctl.options import which_run
from arctl.render.line import NAME_MAX
from arctl.render.run import rerun_line
from arctl.signals import Detached, is_ctrl_c, leaving_on_signals
from ardaemon.core.errors import Refused
from ardaemon.core.line import counted, number, short
from ardaemon.core.shell_state import of_this_process, umask

LAUNCHES = click.IntRange(1, 32)
RUNS_DEFAULT = 4  # the noise is known to about a third then


@click.command()
@which_run
@click.option("--seeds", type=LAUNCHES, default=1, metavar="N", help="Launches, each with a seed of its own.")
@click.option("--no-wait", is_flag=True, help="Queue them, and return at once.")
@common
def rerun(expr: str | None, as_json: bool, run_id: str | None, seeds: int, no_wait: bool) -> int:
    """Launch a run's version once more. It gets no verdict and no row: it is a measurement.

    Without RUN: the latest. Where it is the best, its values are kept in best.json.
    """
    here = Here(expr)
    ask = partial(_launched, here, run_id, seeds, 0)
    if no_wait:
        asked = ask()
        say_json(asked) if as_json else say("\n".join(f"[{one}] queued" for one in asked["runs"]))
        return 0
    return _show(here, ask, as_json)


@click.command()
@which_run
@click.option(
    "--runs",
    type=LAUNCHES,
    metavar="N",
    help="Launch it N times with other seeds, and N times with the first; default: launch nothing.",
)
@common
def noise(expr: str | None, as_json: bool, run_id: str | None, runs: int | None) -> int:
    """Say how far launches of one version lie apart, and how much of that is the seed's.

    Without RUN: the best.
    """
    here = Here(expr)
    view = here.ask("noise.get", run_id=run_id)
    if not view["run_id"]:
        raise Refused("there is no best yet whose noise could be measured", "arctl run --wait")
    if runs is None:
        _say_noise(here, view, as_json)
        return 0
    return _show(here, partial(_launched, here, view["run_id"], runs, runs), as_json)


def _launched(here: Here, run_id: str | None, seeds: int, same: int) -> Answer:
    return here.ask(
        "run.rerun",
        run_id=run_id,
        seeds=seeds,
        same=same,
        environment=environment(),
        umask=umask(),
        shell=of_this_process(),
    )


def _show(here: Here, ask: Callable[[], Answer], as_json: bool) -> int:
    """Ask for launches, wait for each and say what it measured, then what all of them say.

    Ctrl+C ends what is left of them. Every other signal leaves them alone.
    """
    left: list[str] = []
    with leaving_on_signals():
        try:
            asked = ask()
            left += map(str, asked["runs"])
            while left:
                result = here.ask("run.wait", run_id=left[0])["result"]
                if not as_json:
                    say(rerun_line(left[0], result))
                left.pop(0)
        except (KeyboardInterrupt, Detached, Stopped) as why:
            return _leave(here, left, isinstance(why, KeyboardInterrupt) and is_ctrl_c())
    _say_noise(here, here.ask("noise.get", run_id=asked["run_id"]), as_json)
    return 0


def _leave(here: Here, left: list[str], interrupted: bool) -> int:
    """End what is left of the launches, if a person wants that; say what becomes of them."""
    if not interrupted or not left:
        complain("detached: what was queued goes on, call: arctl queue")
        return EXIT_STILL_RUNNING
    # Those that wait first: none of them shall start meanwhile.
    ended = [one for one in reversed(left) if not has_ended(here.ask("run.cancel", run_id=one))]
    complain(f"interrupted: {', '.join(reversed(ended)) or 'none'}; what the others say: arctl noise")
    return EXIT_OF_STATUS["interrupted"]


def _say_noise(here: Here, view: Answer, as_json: bool) -> None:
    if as_json:
        say_json(view)
        return
    if not view["values"]:
        say(f"{view['run_id']} has no value that another launch could be compared with")
        return
    name, values = short(view["metric"], NAME_MAX), view["values"]
    shown = ", ".join(map(number, values[:8])) + (", …" if len(values) > 8 else "")
    say(f"{view['run_id']}: {name} {shown} ({counted(len(values), 'seed')})")
    for line in view["said"]:
        say(line)
    if not view["said"]:
        expr = f" --expr {here.expr}" if here.chosen else ""
        more = f"arctl noise {view['run_id']} --runs {RUNS_DEFAULT}{expr}"
        say(f"one value tells nothing of the noise: {more}")
