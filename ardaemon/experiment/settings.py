"""Makes a new session's settings from the last session's, and checks them before anything is done by them."""

import math
import os
from collections.abc import Callable
from functools import partial
from typing import Any

from msgspec import NODEFAULT, UNSET
from msgspec.structs import asdict, fields

from ardaemon.core import constraints, duration
from ardaemon.core.config import GPUS_MAX, LOG_MIN_MIB, MEMORY_MAX_MIB
from ardaemon.core.errors import SecondsNeeded, UsageError
from ardaemon.core.model import OF_A_NEW_SESSION, Settings
from ardaemon.core.protocol import DURATIONS, HOURS, SomeSettings
from ardaemon.core.size import SIZES, mebibytes, no_size, written
from ardaemon.core.words import option as option_of
from ardaemon.experiment import runner
from ardaemon.metrics.custom import split_command
from ardaemon.metrics.log import check_regex

SECONDS_MAX = 30 * 86400  # a month: a longer limit is mistyped
CHECKS_MAX = 16  # each may take --check-seconds
ATTEMPTS_LEAST = 2  # one value tells nothing of the noise
ATTEMPTS_OF_VERSION_MOST = 32  # result.json has the value of each
OF_NOISE = ("noise_budget", "max_attempts", "min_delta")
HOURS_MAX = 1e6  # a century: likewise
_PATHS = ("metric_path", "checkpoint_glob")  # a shell leaves the ~ of --metric-path=~/logs as it is


# Without the runner: that of Settings is what a session of an earlier version has where none is written down.
DEFAULTS: dict[str, Any] = {
    field.name: field.default
    for field in fields(Settings)
    if field.default is not NODEFAULT and field.name != "runner"
}


def inherit(
    last: Settings | None, given: SomeSettings, default_runner: Callable[[], str]
) -> tuple[Settings, tuple[str, ...]]:
    """Return the settings of a new session, and the names of those that it has from `last`.

    What `given` leaves out is as in `last`; without `last`, as by default. Raises SecondsNeeded if neither
    says how long a run may take.
    """
    changes = given_values(given)
    before = {} if last is None else asdict(last)
    usual = {**DEFAULTS, **OF_A_NEW_SESSION}
    kept = {name: value for name, value in before.items() if name not in changes and value != usual.get(name)}
    values = {**OF_A_NEW_SESSION, **kept, **changes}
    if "seconds" not in values:
        raise SecondsNeeded("missing: --seconds", "the wall-clock limit of each run, as --seconds 600")
    if values.get("runner") is None:
        values["runner"] = default_runner()
    return Settings(**values), tuple(kept)


UNITS: dict[str, Callable[[str, str], float]] = {
    **dict.fromkeys(DURATIONS, partial(duration.seconds, zero=True)),
    **dict.fromkeys(HOURS, duration.hours),
    **dict.fromkeys(SIZES, mebibytes),
}


def _amount(name: str, value: Any) -> Any:
    """Return a time in seconds or hours and a size in MiB, also where it was given as text with its unit."""
    return UNITS[name](value, option_of(name)) if isinstance(value, str) else value


def given_values(given: SomeSettings) -> dict[str, Any]:
    """Return the settings that were given, each with its default where it is cleared."""
    values = {name: value for name, value in asdict(given).items() if value is not UNSET}
    if "seconds" in values and values["seconds"] is None:
        raise UsageError("--seconds cannot be cleared: every run has a limit", "give one, as --seconds 600")
    values |= {name: _amount(name, value) for name, value in values.items() if name in UNITS}
    values |= {name: os.path.expanduser(values[name]) for name in _PATHS if values.get(name)}
    return {name: DEFAULTS.get(name) if value is None else value for name, value in values.items()}


def check(settings: Settings) -> None:
    """Raise UsageError, which names the option, if a setting is wrong."""
    _positive("--seconds", settings.seconds, SECONDS_MAX)
    counts = {
        "--max-runs": settings.max_runs,
        "--plateau": settings.plateau,
        "--max-failures": settings.max_failures,
        "--keep-checkpoints": settings.keep_checkpoints,
        "--max-launches": settings.max_launches,
    }
    for option, value in counts.items():
        if value is not None and value < 1:
            raise UsageError(f"{option} {value}: it must be at least 1", "none: no limit")
    for option, hours in (("--max-hours", settings.max_hours), ("--max-gpu-hours", settings.max_gpu_hours)):
        if hours is not None and not 0 < hours <= HOURS_MAX:
            raise UsageError(
                f"{option} {hours:g}: it must be more than 0 and at most {HOURS_MAX:g} hours",
                "none: no limit",
            )
    _positive("--check-seconds", settings.check_seconds, SECONDS_MAX)
    _positive("--audit-seconds", settings.audit_seconds, SECONDS_MAX)
    for option, seconds in (("--startup", settings.startup), ("--stall", settings.stall)):
        if seconds is not None:
            _positive(option, seconds, SECONDS_MAX)
    if not 0 <= settings.settle <= 3600:
        raise UsageError(
            f"--settle {settings.settle:g}: it must be between 0 and 3600 seconds", "the default is 5"
        )
    _check_gpus(settings)
    runner.check_runner(settings.runner)
    for text in settings.constraints:
        constraints.parse(text)
    _check_metrics(settings)
    _check_verdict(settings)


def _check_verdict(settings: Settings) -> None:
    if not 0 < settings.noise_budget < 1:
        raise UsageError(
            f"--noise-budget {settings.noise_budget:g}: it must be more than 0 and less than 1",
            "the default is 0.2",
        )
    if not ATTEMPTS_LEAST <= settings.max_attempts <= ATTEMPTS_OF_VERSION_MOST:
        raise UsageError(
            f"--max-attempts {settings.max_attempts}: it must be between {ATTEMPTS_LEAST} and"
            f" {ATTEMPTS_OF_VERSION_MOST}",
            f"the default is {DEFAULTS['max_attempts']}",
        )
    if not 0 <= settings.min_delta < math.inf:
        raise UsageError(
            f"--min-delta {settings.min_delta:g}: it must be 0 or more, in the metric's unit",
            "the default is 0",
        )
    given = [name for name in OF_NOISE if getattr(settings, name) != DEFAULTS[name]]
    if settings.verdict == "plain" and given:
        raise UsageError(
            f"{', '.join(map(option_of, given))}: for --verdict noise alone",
            f"add --verdict noise, or {' '.join(f'{option_of(name)} none' for name in given)}",
        )


def _positive(option: str, value: float, most: float) -> None:
    if not 0 < value <= most:
        raise UsageError(f"{option} {value:g}: it must be more than 0 and at most {most:g} seconds", "")


def _check_gpus(settings: Settings) -> None:
    if settings.gpus is not None and not 0 <= settings.gpus <= GPUS_MAX:
        raise UsageError(f"--gpus {settings.gpus}: it must be between 0 and {GPUS_MAX}", "0 is a CPU slot")
    memory = {"--vram": settings.vram, "--max-vram": settings.max_vram, "--max-rss": settings.max_rss}
    for option, mib in memory.items():
        if mib is not None and not 0 < mib <= MEMORY_MAX_MIB:
            raise no_size(option, f"{mib:g} MiB")
    if settings.max_log is not None and not LOG_MIN_MIB <= settings.max_log <= MEMORY_MAX_MIB:
        raise UsageError(
            f"--max-log {written(settings.max_log)}: it must be between {written(LOG_MIN_MIB)} and"
            f" {written(MEMORY_MAX_MIB)}",
            "write it as 256MiB; none: no limit",
        )
    if settings.vram is not None and not settings.share:
        raise UsageError("--vram is what a run needs on a GPU that it shares", "add --share, or --vram none")


def _check_metrics(settings: Settings) -> None:
    if settings.metric_regex is not None:
        check_regex(settings.metric_regex)
    if settings.ready_regex is not None:
        _check_ready(settings)
    if settings.metric_command is not None:
        split_command(settings.metric_command)
        runner.require_no_shell("--metric-command", settings.metric_command)
    if len(settings.checks) > CHECKS_MAX:
        raise UsageError(
            f"--check: {len(settings.checks)} of them; at most {CHECKS_MAX}", "join some in a script"
        )
    for command in settings.checks:
        split_command(command, "--check")
        runner.require_no_shell("--check", command)
    if settings.audit is not None:
        split_command(settings.audit, "--audit")
        runner.require_no_shell("--audit", settings.audit)
    _check_path(settings)
    if settings.metrics == "custom" and not settings.metric_command:
        raise UsageError("--metrics custom needs a command", '--metric-command "python read_metrics.py"')


def _check_path(settings: Settings) -> None:
    path = settings.metric_path
    if path is not None and (not path.strip("/ ") or "\0" in path):
        raise UsageError(f"--metric-path {path!r} names no file", "give a glob of files")
    if path is not None and settings.metrics == "custom":
        raise UsageError(
            "--metric-path is for files, and --metrics custom reads none",
            "clear it, as --metric-path none, or read the metrics from files",
        )
    if isinstance(settings.value, int) and settings.value < 0:
        raise UsageError(f"--value {settings.value}: a step is not negative", "last, best, or a step")


def _check_ready(settings: Settings) -> None:
    import re

    try:
        re.compile(settings.ready_regex or "")
    except re.error as error:
        raise UsageError(f"--ready-regex: {error}", "correct the pattern (Python's re syntax)") from error
    if settings.startup is None:
        raise UsageError(
            "--ready-regex needs --startup N", "N: after how many seconds the clock starts anyway"
        )
