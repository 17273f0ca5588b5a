"""Checks a session's settings before anything is done by them."""

from ardaemon.core import constraints
from ardaemon.core.config import GPUS_MAX, MEMORY_MAX_MIB
from ardaemon.core.errors import UsageError
from ardaemon.core.model import Settings
from ardaemon.experiment import runner
from ardaemon.metrics.custom import split_command
from ardaemon.metrics.log import check_regex

SECONDS_MAX = 30 * 86400  # a month: a longer limit is mistyped


def check(settings: Settings) -> None:
    """Raise UsageError, which names the option, if a setting is wrong."""
    _positive("--seconds", settings.seconds, SECONDS_MAX)
    counts = {
        "--max-runs": settings.max_runs,
        "--plateau": settings.plateau,
        "--keep-checkpoints": settings.keep_checkpoints,
    }
    for option, value in counts.items():
        if value is not None and value < 1:
            raise UsageError(f"{option} {value}: it must be at least 1", "leave it out for no limit")
    for option, seconds in (("--startup", settings.startup), ("--stall", settings.stall)):
        if seconds is not None:
            _positive(option, seconds, SECONDS_MAX)
    if not 0 <= settings.settle <= 3600:
        raise UsageError(
            f"--settle {settings.settle:g}: it must be between 0 and 3600 seconds", "the default is 5"
        )
    _check_gpus(settings)
    runner.split_runner(settings.runner)
    for text in settings.constraints:
        constraints.parse(text)
    _check_metrics(settings)


def _positive(option: str, value: float, most: float) -> None:
    if not 0 < value <= most:
        raise UsageError(f"{option} {value:g}: it must be more than 0 and at most {most:g} seconds", "")


def _check_gpus(settings: Settings) -> None:
    if settings.gpus is not None and not 0 <= settings.gpus <= GPUS_MAX:
        raise UsageError(f"--gpus {settings.gpus}: it must be between 0 and {GPUS_MAX}", "0 is a CPU slot")
    memory = {"--vram": settings.vram, "--max-vram": settings.max_vram, "--max-rss": settings.max_rss}
    for option, mib in memory.items():
        if mib is not None and not 0 < mib <= MEMORY_MAX_MIB:
            raise UsageError(f"{option} {mib:g} MiB: it is not an amount of memory", "write it as 6GiB")
    if settings.vram is not None and not settings.share:
        raise UsageError("--vram is what a run needs on a GPU that it shares", "add --share, or leave it out")


def _check_metrics(settings: Settings) -> None:
    if settings.metric_regex is not None:
        check_regex(settings.metric_regex)
    if settings.ready_regex is not None:
        _check_ready(settings)
    if settings.metric_command is not None:
        split_command(settings.metric_command)
    _check_path(settings)
    if settings.metrics == "custom" and not settings.metric_command:
        raise UsageError("--metrics custom needs a command", '--metric-command "python read_metrics.py"')


def _check_path(settings: Settings) -> None:
    path = settings.metric_path
    if path is not None and (not path.strip("/ ") or "\0" in path):
        raise UsageError(f"--metric-path {path!r} names no file", "give a glob of files")
    if path is not None and settings.metrics in ("log", "custom"):
        raise UsageError(
            f"--metric-path is for files, and --metrics {settings.metrics} reads none",
            "leave one of them out",
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
