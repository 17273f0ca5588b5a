"""`arctl session start | stop | show`."""

from typing import Any

import click

from arctl.base import Here, common, environment, interactive, say, say_json
from arctl.dial import Answer
from arctl.options import MEMORY, gpus_option, vram_option
from arctl.render import status as status_lines
from arctl.render.line import setting
from ardaemon.core.errors import UsageError
from ardaemon.core.metric_names import METRIC_SOURCES

SECONDS_SUGGESTED = 600.0  # at the prompt: a first guess for a small model
# Settings of ardaemon.core.model that are options here under the same name; --constraint is the one with
# another.
SETTINGS = (
    "seconds runner exec max_runs plateau threshold metrics metric_regex metric_command metric_path value"
    " checkpoint_glob keep_checkpoints capture startup ready_regex stall settle gpus share vram max_vram"
    " max_rss on_tainted"
).split()


class Value(click.ParamType[str | int]):
    """The option --value: last, best, or a step."""

    name = "value"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str | int:
        """Return the word, or the step as a number."""
        if value in ("last", "best"):
            return str(value)
        if str(value).isdecimal():
            return int(value)
        self.fail(f"{value!r} is not last, best or a step", param, ctx)


VALUE = Value()
positive = click.FloatRange(min=0, min_open=True)
count = click.IntRange(min=1)


@click.group()
def session() -> None:
    """Start, stop or show an experiment's session."""


@session.command()
@click.option("--seconds", type=positive, metavar="N", help="Wall-clock limit of each run.")
@click.option("--runner", metavar="COMMAND", help="Command that runs train.py; default: python train.py")
@click.option(
    "--exec", type=click.Choice(["snapshot", "live"]), help="Run the snapshot (default) or the file itself."
)
@click.option("--max-runs", type=count, metavar="N", help="End the session after N runs.")
@click.option("--plateau", type=count, metavar="N", help="End it after N runs in a row without improvement.")
@click.option("--threshold", type=float, metavar="X", help="End it when the primary metric reaches X.")
@click.option(
    "--constraint", "constraints", multiple=True, metavar="EXPR", help="As 'peak_vram_mb<=70000'; repeatable."
)
@click.option(
    "--metrics", type=click.Choice(METRIC_SOURCES), help="Where metrics are read from; default: auto."
)
@click.option("--metric-regex", metavar="RE", help="Pattern with a group for the metric's value in the log.")
@click.option("--metric-command", metavar="COMMAND", help="Command that prints a JSON object of metrics.")
@click.option(
    "--metric-path", metavar="GLOB", help="The files with the metrics; {run_dir} is the job's own folder."
)
@click.option(
    "--value", type=VALUE, metavar="last|best|N", help="The value that counts; N: the last one up to step N."
)
@click.option("--checkpoint-glob", metavar="GLOB", help="A run's checkpoints; the best run's is kept.")
@click.option(
    "--capture",
    type=click.Choice(["off", "auto"]),
    help="auto: save the model that torch's optimizer trains, when a run ends.",
)
@click.option(
    "--keep-checkpoints",
    type=count,
    metavar="N",
    help="Remove checkpoints in runs' output but for the last N and the best's; default: keep all.",
)
@click.option(
    "--startup",
    type=positive,
    metavar="N",
    help="Start the clock when the script is ready, after N s at the latest.",
)
@click.option("--ready-regex", metavar="RE", help="The script is ready when a log line matches.")
@click.option("--stall", type=positive, metavar="N", help="Kill a run that prints nothing for N s.")
@click.option(
    "--settle",
    type=click.FloatRange(min=0),
    metavar="N",
    help="Seconds for processes that the script leaves; default: 5.",
)
@gpus_option
@click.option("--share", is_flag=True, default=None, help="Let runs share a GPU if their memory fits.")
@vram_option
@click.option("--max-vram", type=MEMORY, metavar="SIZE", help="End a run that takes more GPU memory.")
@click.option("--max-rss", type=MEMORY, metavar="SIZE", help="End a run that takes more host memory.")
@click.option(
    "--on-tainted",
    type=click.Choice(["rerun", "accept"]),
    help="If others disturbed the measurement: rerun the run (default, once), or accept the value.",
)
@click.option(
    "--resume",
    type=click.Choice(["continue", "revert", "fresh"]),
    help="What train.py and the results start from.",
)
@click.option(
    "--chain", type=click.IntRange(min=0), metavar="N", help="Experiments that may follow this one."
)
@click.option("--ack-baseline", is_flag=True, help="Accept a best that was measured under other settings.")
@click.option("--yes", is_flag=True, help="Do not ask before --resume fresh.")
@common
def start(
    expr: str | None,
    as_json: bool,
    resume: str | None,
    chain: int | None,
    ack_baseline: bool,
    yes: bool,
    constraints: tuple[str, ...],
    **given: Any,
) -> None:
    """Start a session: from now on runs are accepted.

    --resume continue leaves train.py as it is, revert puts the best version back, and fresh moves all
    results into archive/ and begins anew with the original train.py.
    """
    settings = {name: given[name] for name in SETTINGS if given[name] is not None}
    if constraints:
        settings["constraints"] = list(constraints)
    settings.setdefault("seconds", None)
    if settings["seconds"] is None:
        settings["seconds"] = _ask_seconds()
    if resume == "fresh" and not yes:
        _confirm_fresh()
    answer = Here(expr).ask(
        "session.start",
        settings=settings,
        environment=environment(),
        resume=resume,
        chain=chain,
        ack_baseline=ack_baseline,
    )
    _say(answer, as_json)


@session.command()
@common
def stop(expr: str | None, as_json: bool) -> None:
    """End the session: running runs are interrupted, waiting ones are held."""
    _say(Here(expr).ask("session.stop"), as_json)


@session.command()
@common
def show(expr: str | None, as_json: bool) -> None:
    """Show the session's settings and counters."""
    _say(Here(expr).ask("session.get"), as_json)


def _ask_seconds() -> float:
    if not interactive():
        raise UsageError("missing: --seconds", "the wall-clock limit of each run, as --seconds 600")
    return float(
        click.prompt("Seconds per run (--seconds)", type=positive, default=SECONDS_SUGGESTED, err=True)
    )


def _confirm_fresh() -> None:
    if not interactive():
        raise UsageError("--resume fresh puts all results aside", "say that it is meant: --yes")
    click.confirm("Put all results aside and begin with the original?", abort=True, err=True)


def _say(answer: Answer, as_json: bool) -> None:
    if as_json:
        say_json(answer)
        return
    session = answer["session"]
    say(f"expr: {answer['expr']}")
    say(f"session: {status_lines.liveness(session)}")
    for name, value in (session.get("settings") or {}).items():
        say(f"  {name}: {', '.join(value) if isinstance(value, list) else setting(value)}")
    say(f"runs: {status_lines.counted(session['counters'])}")
    say(f"termination: {status_lines.limits(session)}")
    if answer.get("chain_remaining") is not None:
        say(f"chain: {answer['chain_remaining']} remaining")
