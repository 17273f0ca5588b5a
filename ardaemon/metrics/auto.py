"""The `auto` backend: asks the sources in a fixed order, and takes the first that has the primary metric.

The session's own settings come first: its command, its regular expression for the log, its path. The log
comes next, because what the script prints is certainly this run's. The files in the run's folder come last.
If the metric ended as nan in a source, no later source is asked: no other value may stand in for it.

A log has a value as it was printed, perhaps rounded. Where a file of the run agrees with it to the digits
printed, the file's value counts.
"""

import fnmatch
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from msgspec.structs import replace

from ardaemon.core.folders import Unsearched
from ardaemon.metrics.base import NEAREST, AttemptOutput, FileBackend, MetricBackend, Query, Readings
from ardaemon.metrics.formats.digits import agree


@dataclass(frozen=True)
class AutoBackend:
    """Asks the custom backend, the log backend and the file backends.

    `own_log` reads a log that the script writes itself, where the session's path leads to nothing else.
    """

    custom: MetricBackend
    log: MetricBackend
    files: Sequence[FileBackend]
    own_log: FileBackend
    name: str = "auto"

    def read(self, attempt: AttemptOutput, query: Query) -> Readings:
        """Return the first answer with the primary metric.

        If there is none, return the one with most metrics; its `problem` names the problems of every source.
        """
        misses: list[Readings] = []
        if query.path is not None and (problem := self._unknown(attempt, query)) is not None:
            misses.append(Readings("--metric-path", {}, problem=problem))
            query = replace(query, path=None)
        for backend, asked in self.sources(attempt, query):
            readings = _read(backend, attempt, asked)
            if readings.absent:
                continue
            readings = _unless_stale(readings, misses, query.primary.metric)
            if readings.settled:
                passed = tuple(f"{miss.source}: {miss.problem}" for miss in misses)
                exact = self._exact(attempt, query, readings) if backend is self.log else None
                return replace(exact or readings, passed=passed)
            misses.append(readings)
        return _together(misses) if len(misses) > 1 or query.regex else _with_place(misses[0], attempt)

    def _exact(self, attempt: AttemptOutput, query: Query, log: Readings) -> Readings | None:
        """Return the log's answer with the exact value of a file that agrees with it; None if none does."""
        if log.value is None or log.printed is None or query.regex:
            return None
        for backend in self.files:
            try:
                found = backend.read(attempt, replace(query, path=None))
            except Unsearched:  # the other files lie in the same folder
                return None
            if found.value is not None and found.value != log.value and agree(log.printed, found.value):
                name = query.primary.metric
                metrics = {**found.metrics, **log.metrics, name: found.metrics[name]}
                return replace(found, metrics=metrics)
        return None

    def sources(self, attempt: AttemptOutput, query: Query) -> Iterator[tuple[MetricBackend, Query]]:
        """Yield the backends to ask, in order, each with the query for it."""
        if query.command:
            yield self.custom, query
        if query.regex:
            yield self.log, query
        if query.path is not None:
            yield from ((backend, query) for backend in self._present(attempt, query))
        if not query.regex:
            yield self.log, query
        yield from ((backend, replace(query, path=None)) for backend in self.files)

    def _present(self, attempt: AttemptOutput, query: Query) -> list[FileBackend]:
        """Return the file backends for whose kind the session's path leads to a file, else that of logs."""
        path = query.path or ""
        present = [backend for backend in self.files if _has_files(backend, attempt, path)]
        return present or [backend for backend in (self.own_log,) if _has_files(backend, attempt, path)]

    def _unknown(self, attempt: AttemptOutput, query: Query) -> str | None:
        """Say why no file backend reads the session's path; None if one does."""
        path = query.path or ""
        try:
            if self._present(attempt, query):
                return None
            files = attempt.mine(path)
            if not files:
                return attempt.absent(path)
        except Unsearched as error:
            return str(error)
        return f"{attempt.shown(files[0].path)} is of no known kind: say which, as --metrics log for text"


def _read(backend: MetricBackend, attempt: AttemptOutput, query: Query) -> Readings:
    """Return the backend's answer. Where there was too much to look through, a later one may still answer."""
    try:
        return backend.read(attempt, query)
    except Unsearched as error:
        return Readings(backend.name, {}, problem=str(error))


def _unless_stale(readings: Readings, misses: Sequence[Readings], name: str) -> Readings:
    """Take away a file's value that the log had before its last mention, which could not be read."""
    value = readings.value
    if value is None or not any(miss.stale is not None and agree(repr(miss.stale), value) for miss in misses):
        return readings
    problem = f"its last {name} is {value:g}, which the log has before the one that cannot be read"
    others = {other: metric for other, metric in readings.metrics.items() if other != name}
    return replace(readings, value=None, settled=False, metrics=others, problem=problem)


def _has_files(backend: FileBackend, attempt: AttemptOutput, path: str) -> bool:
    files = attempt.mine(path, backend.names)
    return any(fnmatch.fnmatch(mine.path.name, backend.names) for mine in files)


def _with_place(log: Readings, attempt: AttemptOutput) -> Readings:
    """Say where files were looked for, if the log alone was there and has no value of any name."""
    if log.metrics or not log.unnamed:
        return log
    nowhere = f"{attempt.place} has no metrics file; name one with --metric-path"
    return replace(log, problem=f"{log.problem}, and {nowhere}")


def _together(misses: list[Readings]) -> Readings:
    if len(misses) == 1:
        return misses[0]
    fullest = max(misses, key=lambda readings: len(readings.metrics))
    problems = [f"{readings.source}: {readings.problem}" for readings in misses if readings.problem]
    names = dict.fromkeys(name for readings in misses for name in readings.nearest)
    return replace(fullest, nearest=tuple(names)[:NEAREST], problem="; ".join(problems) or None)
