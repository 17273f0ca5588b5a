"""The first source that holds the primary metric, asked in an order that does not depend on what is found.

What the session was told comes first: its command, its regular expression for the log, its path. Then the
log: what the script says aloud is its result, and needs no guess whose it is. Then the files in the run's own
folder.
A source where the metric ended as nan is the last one asked: no other value may stand in for it.
"""

import fnmatch
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from msgspec.structs import replace

from ardaemon.metrics.base import NEAREST, Evidence, FileBackend, MetricBackend, Query, Readings


@dataclass(frozen=True)
class AutoBackend:
    """Asks the custom, the log and the file backends."""

    custom: MetricBackend
    log: MetricBackend
    files: Sequence[FileBackend]
    name: str = "auto"

    def read(self, evidence: Evidence, query: Query) -> Readings:
        """The first answer with the primary metric; else the fullest one, with every source's problem."""
        misses: list[Readings] = []
        if query.path is not None and not self._present(evidence, query):
            misses.append(Readings("--metric-path", {}, problem=_unknown(evidence, query.path)))
        for backend, asked in self.sources(evidence, query):
            readings = backend.read(evidence, asked)
            if readings.absent:
                continue
            if readings.settled:
                return replace(readings, passed=tuple(f"{miss.source}: {miss.problem}" for miss in misses))
            misses.append(readings)
        return _together(misses)

    def sources(self, evidence: Evidence, query: Query) -> Iterator[tuple[MetricBackend, Query]]:
        """Whom to ask, in order."""
        if query.command:
            yield self.custom, query
        if query.regex:
            yield self.log, query
        if query.path is not None:
            yield from ((backend, query) for backend in self._present(evidence, query))
        if not query.regex:
            yield self.log, query
        yield from ((backend, replace(query, path=None)) for backend in self.files)

    def _present(self, evidence: Evidence, query: Query) -> list[FileBackend]:
        """Those for whose kind of files the session's path is."""
        return [backend for backend in self.files if _has_files(backend, evidence, query.path or "")]


def _has_files(backend: FileBackend, evidence: Evidence, path: str) -> bool:
    found = evidence.mine(path, backend.names)
    return any(fnmatch.fnmatch(mine.path.name, backend.names) for mine in found)


def _unknown(evidence: Evidence, path: str) -> str:
    found = evidence.mine(path)
    if not found:
        return evidence.absent(path)
    return f"{evidence.shown(found[0].path)} is of no known kind: say which with --metrics"


def _together(misses: list[Readings]) -> Readings:
    if len(misses) == 1:
        return misses[0]
    fullest = max(misses, key=lambda readings: len(readings.metrics))
    problems = [f"{readings.source}: {readings.problem}" for readings in misses if readings.problem]
    names = dict.fromkeys(name for readings in misses for name in readings.nearest)
    return replace(fullest, nearest=tuple(names)[:NEAREST], problem="; ".join(problems) or None)
