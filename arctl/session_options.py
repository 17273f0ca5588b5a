"""The options that are a session's settings, for each command that takes them.

An option that is not given leaves its setting as it is; `inherit` says the same in a word. `none` clears a
setting, and a flag has its `--no-` form.
"""

from collections.abc import Callable
from enum import Enum
from typing import Any, TypeVar

import click

from arctl.options import DURATION, DURATION_OR_0, GPUS, GPUS_HELP, HOURS, SIZE, VRAM_HELP
from ardaemon.core.metric_names import METRIC_SOURCES

# The fields of Settings in ardaemon.core.model, each an option here. A list's is named without the s at its
# end, and may be given several times.
SETTINGS = (
    "seconds runner exec max_runs plateau threshold max_hours max_gpu_hours max_failures constraints"
    " metrics metric_regex metric_command metric_path value checkpoint_glob keep_checkpoints capture startup"
    " ready_regex stall settle gpus share vram max_vram max_rss max_log on_tainted on_nan checks"
    " check_seconds prefer_shorter verdict noise_budget max_attempts min_delta max_launches measure_noise"
    " audit audit_seconds audit_direction"
).split()

Command = TypeVar("Command", bound=Callable[..., Any])


class Word(Enum):
    """A word in the place of a setting's value."""

    NONE = "none"
    INHERIT = "inherit"


class OrWord(click.ParamType[Any]):
    """The type of a setting's option: `none`, `inherit`, or a value of another type."""

    def __init__(self, inner: click.ParamType[Any] | type) -> None:
        self.inner = click.types.convert_type(inner)
        self.name = self.inner.name

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str | None:
        """Name what the option takes, as the other type does."""
        return self.inner.get_metavar(param, ctx)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[Any]:
        """Complete a value as the other type does."""
        return self.inner.shell_complete(ctx, param, incomplete)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the word, or what the other type makes of the value."""
        if value in [word.value for word in Word]:
            return Word(value)
        return value if isinstance(value, Word) else self.inner.convert(value, param, ctx)


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
count = click.IntRange(min=1)


def setting(
    *names: str, type: click.ParamType[Any] | type = str, **given: Any
) -> Callable[[Command], Command]:
    """Make the option of a setting."""
    return click.option(*names, type=OrWord(type), **given)


OPTIONS = (
    setting("--seconds", type=DURATION, metavar="TIME", help="Wall-clock limit of each run, as 600 or 10m."),
    setting(
        "--runner",
        metavar="COMMAND",
        help="Command that runs train.py. Default: with the active environment, the project's, or python3.",
    ),
    setting(
        "--exec",
        type=click.Choice(["snapshot", "live"]),
        help="Run the snapshot (default), or live: in the folder that train.py came from.",
    ),
    setting("--max-runs", type=count, metavar="N", help="End the session after N runs."),
    setting("--plateau", type=count, metavar="N", help="End it after N runs in a row without improvement."),
    setting("--threshold", type=float, metavar="X", help="End it when the primary metric reaches X."),
    setting(
        "--max-hours",
        type=HOURS,
        metavar="TIME",
        help="End it so long after its start, as 8 (hours) or 90m; what runs goes on.",
    ),
    setting(
        "--max-gpu-hours",
        type=HOURS,
        metavar="TIME",
        help="End it when its runs have had GPUs so long, as 40 (hours) or 2d.",
    ),
    setting(
        "--max-failures",
        type=count,
        metavar="N",
        help="End it after N crashes, timeouts and invalid runs in a row.",
    ),
    setting(
        "--max-launches", type=count, metavar="N", help="End it after N launches, confirmations among them."
    ),
    setting(
        "--constraint",
        "constraints",
        multiple=True,
        metavar="EXPR",
        help="As 'peak_vram_mb<=70000'; repeatable.",
    ),
    setting(
        "--metrics", type=click.Choice(METRIC_SOURCES), help="Where metrics are read from; default: auto."
    ),
    setting("--metric-regex", metavar="RE", help="Pattern with a group for the metric's value in the log."),
    setting("--metric-command", metavar="COMMAND", help="Command that prints a JSON object of metrics."),
    setting(
        "--metric-path", metavar="GLOB", help="The files with the metrics; {run_dir} is the job's own folder."
    ),
    setting(
        "--value",
        type=VALUE,
        metavar="last|best|N",
        help="The value that counts; N: the last one up to step N.",
    ),
    setting("--checkpoint-glob", metavar="GLOB", help="A run's checkpoints; the best run's is kept."),
    setting(
        "--capture",
        type=click.Choice(["off", "auto"]),
        help="auto: save the model that torch's optimizer trains, when a run ends.",
    ),
    setting(
        "--keep-checkpoints",
        type=count,
        metavar="N",
        help="Remove checkpoints in runs' output but for the last N and the best's; default: keep all.",
    ),
    setting(
        "--startup",
        type=DURATION,
        metavar="TIME",
        help="Start the clock when the script is ready, after this time at the latest.",
    ),
    setting("--ready-regex", metavar="RE", help="The script is ready when a log line matches."),
    setting("--stall", type=DURATION, metavar="TIME", help="Kill a run that prints nothing for so long."),
    setting(
        "--settle",
        type=DURATION_OR_0,
        metavar="TIME",
        help="Time for processes that the script leaves; default: 5 seconds.",
    ),
    setting("--gpus", type=GPUS, metavar="N", help=GPUS_HELP),
    setting(
        "--check",
        "checks",
        multiple=True,
        metavar="COMMAND",
        help="Run on each win before it is kept; if it fails, the win is reverted; repeatable.",
    ),
    setting("--check-seconds", type=DURATION, metavar="TIME", help="Limit of each check; default: 5m."),
    click.option(
        "--prefer-shorter/--no-prefer-shorter",
        default=None,
        help="Of two equal values, take that of the train.py with fewer lines.",
    ),
    setting(
        "--verdict",
        type=click.Choice(["plain", "noise"]),
        help="plain: a better value wins (default). noise: only one that is no luck; see docs/noise.md.",
    ),
    setting(
        "--noise-budget",
        type=float,
        metavar="X",
        help="With --verdict noise: expected false advances for each advance; default: 0.2.",
    ),
    setting(
        "--max-attempts",
        type=click.IntRange(min=2),
        metavar="N",
        help="With --verdict noise: launches of one version; default: 24.",
    ),
    setting(
        "--min-delta",
        type=float,
        metavar="X",
        help="With --verdict noise: a win must be better by more than this; default: 0.",
    ),
    click.option(
        "--measure-noise/--no-measure-noise",
        default=None,
        help="Have GPUs that are idle launch the best again, with other seeds; see docs/noise.md.",
    ),
    setting(
        "--audit",
        metavar="COMMAND",
        help="Run on each advance after its commit; no agent is shown its value: docs/audit.md.",
    ),
    setting("--audit-seconds", type=DURATION, metavar="TIME", help="Limit of each audit; default: 10m."),
    setting(
        "--audit-direction",
        type=click.Choice(["min", "max"]),
        help="What is better in the audit's value; default: as in the primary metric.",
    ),
    click.option("--share/--no-share", default=None, help="Let runs share a GPU if their memory fits."),
    setting("--vram", type=SIZE, metavar="SIZE", help=VRAM_HELP),
    setting("--max-vram", type=SIZE, metavar="SIZE", help="End a run that takes more GPU memory."),
    setting("--max-rss", type=SIZE, metavar="SIZE", help="End a run that takes more host memory."),
    setting(
        "--max-log",
        type=SIZE,
        metavar="SIZE",
        help="Of a longer log keep the head and the tail, as 256MiB; default: 1GiB; none: all of it.",
    ),
    setting(
        "--on-tainted",
        type=click.Choice(["rerun", "accept"]),
        help="If others disturbed the measurement: rerun the run (default, once), or accept the value.",
    ),
    setting(
        "--on-nan",
        type=click.Choice(["end", "ignore"]),
        help="If the metric is nan or infinite twice in a row: end the run (default), or let it go on.",
    ),
)


def session_options(command: Command) -> Command:
    """Add the options of all settings to a command."""
    for option in reversed(OPTIONS):
        command = option(command)
    return command


def take_settings(params: dict[str, Any]) -> dict[str, Any]:
    """Take the settings that were given out of a command's parameters, as the daemon wants them."""
    taken = {name: params.pop(name) for name in SETTINGS}
    return {name: _wire(value) for name, value in taken.items() if _is_given(value)}


def _is_given(value: Any) -> bool:
    words = value if isinstance(value, tuple) else (value,)
    return value is not None and value != () and Word.INHERIT not in words


def _wire(value: Any) -> Any:
    """Return a value as it goes over the wire: null clears the setting."""
    if isinstance(value, tuple):
        return [each for each in value if each is not Word.NONE]
    return None if value is Word.NONE else value
