"""The first of the backends that holds the primary metric."""

from collections.abc import Sequence
from dataclasses import dataclass

from msgspec.structs import replace

from ardaemon.metrics.base import NEAREST, Evidence, MetricBackend, Query, Readings


@dataclass(frozen=True)
class AutoBackend:
    """Asks `backends` in their order; the custom one only where the session has a command."""

    backends: Sequence[MetricBackend]
    name: str = "auto"

    def read(self, evidence: Evidence, query: Query) -> Readings:
        """The first answer with the primary metric; else the fullest one, with every backend's problem."""
        misses: list[Readings] = []
        for backend in self.backends:
            if backend.name == "custom" and not query.command:
                continue
            readings = backend.read(evidence, query)
            if query.primary.metric in readings.metrics:
                return readings
            misses.append(readings)
        return _together(misses)


def _together(misses: list[Readings]) -> Readings:
    if len(misses) == 1:
        return misses[0]
    fullest = max(misses, key=lambda readings: len(readings.metrics))
    problems = [f"{readings.source}: {readings.problem}" for readings in misses if readings.problem]
    names = dict.fromkeys(name for readings in misses for name in readings.nearest)
    return replace(fullest, nearest=tuple(names)[:NEAREST], problem="; ".join(problems) or None)
