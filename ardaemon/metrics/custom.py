"""Metrics that a command of the session's prints as one JSON object.

    {"val/loss": 0.84, "accuracy": {"last": 0.91, "best": 0.92, "step": 4000}}

The command runs in the project's folder with the run's environment; AR_RUN_DIR and AR_LOG say where to look.
"""

import json
import math
import shlex
import signal
from dataclasses import dataclass

from msgspec.structs import replace

from ardaemon.core.config import CUSTOM_DEADLINE_S, NAME_MAX
from ardaemon.core.errors import UsageError
from ardaemon.core.text import one_line
from ardaemon.metrics.base import METRICS_MAX, Evidence, Metric, Query, Readings
from ardaemon.metrics.command import Ended, run
from ardaemon.metrics.series import Series

SAID_MAX = 120  # characters of the command's own error message that are shown


@dataclass(frozen=True)
class CustomBackend:
    """`--metric-command`: run without a shell, once, after the attempt has ended."""

    deadline: float = CUSTOM_DEADLINE_S
    name: str = "custom"

    def read(self, evidence: Evidence, query: Query) -> Readings:
        """Run the command and read its JSON object; whatever goes wrong is the reading's `problem`."""
        if not query.command:
            return self._failed("no metric command is set (--metric-command)")
        try:
            argv = split_command(query.command)
            environment = {**evidence.environment, "AR_LOG": str(evidence.log)}
            ended = run(argv, evidence.project, environment, self.deadline)
        except UsageError as error:
            return self._failed(error.message)
        except (OSError, ValueError) as error:  # ValueError: a NUL byte in an argument
            return self._failed(f"{_named(query.command)} cannot be run: {one_line(str(error), SAID_MAX)}")
        problem = _problem(ended, self.deadline)
        if problem is not None:
            return self._failed(f"{_named(query.command)} {problem}")
        return self._answer(ended.output, query)

    def _failed(self, problem: str) -> Readings:
        return Readings(self.name, {}, problem=problem)

    def _answer(self, output: bytes, query: Query) -> Readings:
        found = _json_object(output.decode("utf-8", "replace"))
        if found is None:
            shown = one_line(output[: 4 * SAID_MAX].decode("utf-8", "replace"), SAID_MAX)
            return self._failed(f"{_named(query.command)} printed no JSON object but {shown!r}")
        primary = query.primary.metric
        # The primary first, so that it is never the one beyond the limit.
        names = sorted(found, key=lambda name: name != primary)[:METRICS_MAX]
        series = Series(query)
        for name in names:
            metric = _metric(found[name])
            if metric is not None:
                if name == primary and metric.best is not None:
                    series.add(name, metric.best)
                series.add(one_line(name, NAME_MAX), metric.last, metric.step)
        absent = f"{_named(query.command)} printed no {primary}"
        readings = series.readings(self.name, absent=absent)
        if primary in series.last or primary not in found:
            return readings
        shown = one_line(json.dumps(found[primary]), SAID_MAX)
        problem = f"{_named(query.command)} gave {shown} for {primary}, not a finite number"
        return replace(readings, problem=problem, nearest=(), settled=True)


def split_command(text: str) -> list[str]:
    """`text` as a shell splits it; raises UsageError where a quote is open or nothing is left."""
    try:
        argv = shlex.split(text)
    except ValueError as error:
        raise UsageError(f"{_named(text)} cannot be split: {error}", "close the quote") from None
    if not argv:
        raise UsageError("--metric-command is empty", "give a command that prints a JSON object")
    return argv


def _named(command: str | None) -> str:
    return f"metric command {one_line(command or '', 60)!r}"


def _problem(ended: Ended, deadline: float) -> str | None:
    """Why the command's output does not count, in words that follow the command's name."""
    if ended.how == "late":
        return f"was still running after {deadline:g} s and was killed"
    if ended.how == "too_much":
        return f"printed more than {len(ended.output)} bytes and was killed"
    if ended.code == 0:
        return None
    how = f"was ended by {_signal(-ended.code)}" if ended.code < 0 else f"exited {ended.code}"
    said = _said(ended.errors.decode("utf-8", "replace"))
    return f"{how}: {said}" if said else how


def _said(errors: str) -> str:
    """The first line of stderr; of a traceback the last, which names the error."""
    lines = [line for line in errors.splitlines() if line.strip()]
    if not lines:
        return ""
    return one_line(lines[-1] if lines[0].startswith("Traceback ") else lines[0], SAID_MAX)


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _json_object(text: str) -> dict[str, object] | None:
    """The output as an object; else its last line, since libraries print greetings."""
    for part in (text, (text.strip().splitlines() or [""])[-1]):
        try:
            found = json.loads(part)
        except (ValueError, RecursionError):
            continue
        if isinstance(found, dict):
            return found
    return None


def _metric(value: object) -> Metric | None:
    """A number, or {"last": …, "best": …, "step": …}; None without a finite last value."""
    parts = value if isinstance(value, dict) else {"last": value}
    last, step = _finite(parts.get("last")), _finite(parts.get("step"))
    if last is None:
        return None
    return Metric(last, _finite(parts.get("best")), None if step is None else int(step))


def _finite(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value) if math.isfinite(value) else None
    except OverflowError:
        return None
