"""The `auto` backend: asks the sources in a fixed order, and takes the first that has the primary metric.

The session's own settings come first: its command, its regular expression for the log, its path. The log
comes next, because what the script prints is certainly this run's. The files in the run's folder come last.
If the metric ended as nan in a source, no later source is asked: no other value may stand in for it.
"""

import fnmatch
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from msgspec.structs import replace

from ardaemon.core.folders import Unsearched
from ardaemon.metrics.base import NEAREST, AttemptOutput, FileBackend, MetricBackend, Query, Readings


@dataclass(frozen=True)
class AutoBackend:
    """Asks the custom backend, the log backend and the file backends."""

    custom: MetricBackend
    log: MetricBackend
    files: Sequence[FileBackend]
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
            if readings.settled:
                return replace(readings, passed=tuple(f"{miss.source}: {miss.problem}" for miss in misses))
            misses.append(readings)
        return _together(misses)

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
        """Return the file backends for whose kind of file the session's path leads to one."""
        return [backend for backend in self.files if _has_files(backend, attempt, query.path or "")]

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
        return f"{attempt.shown(files[0].path)} is of no known kind: say which with --metrics"


def _read(backend: MetricBackend, attempt: AttemptOutput, query: Query) -> Readings:
    """Return the backend's answer. Where there was too much to look through, a later one may still answer."""
    try:
        return backend.read(attempt, query)
    except Unsearched as error:
        return Readings(backend.name, {}, problem=str(error))


def _has_files(backend: FileBackend, attempt: AttemptOutput, path: str) -> bool:
    files = attempt.mine(path, backend.names)
    return any(fnmatch.fnmatch(mine.path.name, backend.names) for mine in files)


def _together(misses: list[Readings]) -> Readings:
    if len(misses) == 1:
        return misses[0]
    fullest = max(misses, key=lambda readings: len(readings.metrics))
    problems = [f"{readings.source}: {readings.problem}" for readings in misses if readings.problem]
    names = dict.fromkeys(name for readings in misses for name in readings.nearest)
    return replace(fullest, nearest=tuple(names)[:NEAREST], problem="; ".join(problems) or None)
