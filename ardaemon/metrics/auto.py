"""The `auto` backend: asks the sources in a fixed order, and takes the first that has the primary metric.

The session's own settings come first: its command, its regular expression for the log, its path. The log
comes next, because what the script prints is certainly this run's. The files in the run's folder come last.
If the metric ended as nan in a source, no later source is asked: no other value may stand in for it.
"""

import fnmatch
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from msgspec.structs import replace

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
        if query.path is not None and not self._present(attempt, query):
            misses.append(Readings("--metric-path", {}, problem=_unknown(attempt, query.path)))
        for backend, asked in self.sources(attempt, query):
            readings = backend.read(attempt, asked)
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


def _has_files(backend: FileBackend, attempt: AttemptOutput, path: str) -> bool:
    files = attempt.mine(path, backend.names)
    return any(fnmatch.fnmatch(mine.path.name, backend.names) for mine in files)


def _unknown(attempt: AttemptOutput, path: str) -> str:
    """Say why no file backend reads `path`."""
    files = attempt.mine(path)
    if not files:
        return attempt.absent(path)
    return f"{attempt.shown(files[0].path)} is of no known kind: say which with --metrics"


def _together(misses: list[Readings]) -> Readings:
    if len(misses) == 1:
        return misses[0]
    fullest = max(misses, key=lambda readings: len(readings.metrics))
    problems = [f"{readings.source}: {readings.problem}" for readings in misses if readings.problem]
    names = dict.fromkeys(name for readings in misses for name in readings.nearest)
    return replace(fullest, nearest=tuple(names)[:NEAREST], problem="; ".join(problems) or None)
