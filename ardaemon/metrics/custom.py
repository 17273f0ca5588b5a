"""The custom backend: metrics that the session's own command prints as one JSON object.

    {"val/loss": 0.84, "accuracy": {"last": 0.91, "best": 0.92, "step": 4000}}

The command runs in the project's folder with the run's environment; AR_RUN_DIR and AR_LOG say where to look.
"""

import json
import math
import shlex
from dataclasses import dataclass

from msgspec.structs import replace

from ardaemon.core.config import CUSTOM_DEADLINE_S, NAME_MAX
from ardaemon.core.errors import UsageError
from ardaemon.core.layout import COMMAND_MARK
from ardaemon.core.text import one_line
from ardaemon.host.command import CommandEnd, run, signal_name
from ardaemon.metrics.base import METRICS_MAX, AttemptOutput, Metric, Query, Readings
from ardaemon.metrics.series import Series

ERROR_MAX = 120  # characters of the command's own error message that are shown


@dataclass(frozen=True)
class CustomBackend:
    """Runs --metric-command once, without a shell, after the attempt; for at most `deadline` seconds."""

    deadline: float = CUSTOM_DEADLINE_S
    name: str = "custom"

    def read(self, attempt: AttemptOutput, query: Query) -> Readings:
        """Run the command and read its JSON object. Whatever goes wrong is the answer's `problem`."""
        if not query.command:
            return self._failed("no metric command is set (--metric-command)")
        try:
            argv = split_command(query.command)
            environment = {**attempt.environment, COMMAND_MARK: str(attempt.log)}
            end = run(argv, attempt.project, environment, self.deadline)
        except UsageError as error:
            return self._failed(error.message)
        except (OSError, ValueError) as error:  # ValueError: a NUL byte in an argument
            return self._failed(f"{_named(query.command)} cannot be run: {one_line(str(error), ERROR_MAX)}")
        problem = problem_of(end, self.deadline)
        if problem is not None:
            return self._failed(f"{_named(query.command)} {problem}")
        return self._answer(end.output, query)

    def _failed(self, problem: str) -> Readings:
        return Readings(self.name, {}, problem=problem)

    def _answer(self, output: bytes, query: Query) -> Readings:
        printed = json_object(output.decode("utf-8", "replace"))
        if printed is None:
            shown = one_line(output[: 4 * ERROR_MAX].decode("utf-8", "replace"), ERROR_MAX)
            return self._failed(f"{_named(query.command)} printed no JSON object but {shown!r}")
        primary = query.primary.metric
        # The primary metric first, so that it is never the one beyond the limit.
        names = sorted(printed, key=lambda name: name != primary)[:METRICS_MAX]
        series = Series(query)
        for name in names:
            metric = _metric(printed[name])
            if metric is not None:
                if name == primary and metric.best is not None:
                    series.add(name, metric.best)
                series.add(one_line(name, NAME_MAX), metric.last, metric.step)
        absent = f"{_named(query.command)} printed no {primary}"
        readings = series.readings(self.name, absent=absent)
        if primary in series.last or primary not in printed:
            return readings
        shown = one_line(json.dumps(printed[primary]), ERROR_MAX)
        problem = f"{_named(query.command)} gave {shown} for {primary}, not a finite number"
        return replace(readings, problem=problem, nearest=(), settled=True)


def split_command(text: str, option: str = "--metric-command") -> list[str]:
    """Split `text` as a shell does. Raises UsageError if a quote is open or nothing is left."""
    try:
        argv = shlex.split(text)
    except ValueError as error:
        raise UsageError(
            f"{option} {one_line(text, 60)!r} cannot be split: {error}", "close the quote"
        ) from None
    if not argv:
        raise UsageError(f"{option} is empty", f"give a command, or {option} none")
    return argv


def _named(command: str | None) -> str:
    return f"metric command {one_line(command or '', 60)!r}"


def problem_of(end: CommandEnd, deadline: float) -> str | None:
    """Say why the output does not count, in words that follow the command's name; None if it counts."""
    if end.how == "late":
        return f"was still running after {deadline:g} s and was killed"
    if end.how == "too_much":
        return f"printed more than {len(end.output)} bytes and was killed"
    if end.code == 0:
        return None
    how = f"was ended by {signal_name(-end.code)}" if end.code < 0 else f"exited {end.code}"
    error = _error_line(end.errors.decode("utf-8", "replace"))
    return f"{how}: {error}" if error else how


def _error_line(errors: str) -> str:
    """Return the first line of stderr; if that is a traceback, its last line, which names the error."""
    lines = [line for line in errors.splitlines() if line.strip()]
    if not lines:
        return ""
    return one_line(lines[-1] if lines[0].startswith("Traceback ") else lines[0], ERROR_MAX)


def json_object(text: str) -> dict[str, object] | None:
    """Return the JSON object that is the whole output, or its last line, as libraries print greetings."""
    for part in (text, (text.strip().splitlines() or [""])[-1]):
        try:
            value = json.loads(part)
        except (ValueError, RecursionError):
            continue
        if isinstance(value, dict):
            return value
    return None


def _metric(value: object) -> Metric | None:
    """Read a number, or {"last": …, "best": …, "step": …}; None without a finite last value."""
    parts = value if isinstance(value, dict) else {"last": value}
    last, step = finite(parts.get("last")), finite(parts.get("step"))
    if last is None:
        return None
    return Metric(last, finite(parts.get("best")), None if step is None else int(step))


def finite(value: object) -> float | None:
    """Return a number as a float; None for what is no finite number."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value) if math.isfinite(value) else None
    except OverflowError:
        return None
