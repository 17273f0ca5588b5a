"""`arctl rerun`, `arctl noise`: launch a version that was judged once more, and see how much is luck."""

import click

from arctl.base import Here, common, environment, say, say_json
from arctl.dial import Answer
from arctl.options import which_run
from arctl.render.line import NAME_MAX
from ardaemon.core.line import number, short
from ardaemon.core.shell_state import of_this_process, umask

LAUNCHES = click.IntRange(1, 32)
RUNS_DEFAULT = 4  # the noise is known to about a third then


@click.command()
@which_run
@click.option("--seeds", type=LAUNCHES, default=1, metavar="N", help="Launches, each with a seed of its own.")
@click.option("--no-wait", is_flag=True, help="Queue them, and return at once.")
@common
def rerun(expr: str | None, as_json: bool, run_id: str | None, seeds: int, no_wait: bool) -> None:
    """Launch a run's version once more. It gets no verdict and no row: it is a measurement.

    Without RUN: the latest. Where it is the best, its values are kept in best.json.
    """
    here = Here(expr)
    asked = _launched(here, run_id, seeds, 0)
    if no_wait:
        say_json(asked) if as_json else say("\n".join(f"[{one}] queued" for one in asked["runs"]))
        return
    _show(here, asked, as_json)


@click.command()
@which_run
@click.option(
    "--runs",
    type=LAUNCHES,
    metavar="N",
    help="Launch it N times with other seeds, and N times with the first; default: with what there is.",
)
@common
def noise(expr: str | None, as_json: bool, run_id: str | None, runs: int | None) -> None:
    """Say how far launches of one version lie apart, and how much of that is the seed's.

    Without RUN: the best.
    """
    here = Here(expr)
    if runs is None:
        _say_noise(here.ask("noise.get", run_id=run_id), as_json)
        return
    best = run_id or here.ask("noise.get")["run_id"] or None
    _show(here, _launched(here, best, runs, runs), as_json)


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


def _show(here: Here, asked: Answer, as_json: bool) -> None:
    """Wait for each launch, say what it measured, then what all of them say."""
    for one in asked["runs"]:
        result = here.ask("run.wait", run_id=one)["result"]
        if not as_json:
            say(f"[{one}] {short(result.get('said') or result['status'], 96)}")
    _say_noise(here.ask("noise.get", run_id=asked["run_id"]), as_json)


def _say_noise(view: Answer, as_json: bool) -> None:
    if as_json:
        say_json(view)
        return
    if not view["run_id"]:
        say("there is no best yet: arctl run --wait")
        return
    name, values = short(view["metric"], NAME_MAX), view["values"]
    shown = ", ".join(map(number, values[:8])) + (", …" if len(values) > 8 else "")
    say(f"{view['run_id']}: {name} {shown} ({len(values)} seeds)")
    for line in view["said"]:
        say(line)
    if not view["said"]:
        say(f"one value tells nothing of the noise: arctl noise --runs {RUNS_DEFAULT}")
