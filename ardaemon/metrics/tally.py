"""The last values of a run's metrics as they come in, and the answer made of them."""

import difflib
import math
from dataclasses import dataclass, field

from ardaemon.metrics.base import METRICS_MAX, NEAREST, Metric, Query, Readings
from ardaemon.metrics.lines import Place, step


@dataclass
class Tally:
    """Collects reported values in the order they were reported."""

    query: Query
    last: dict[str, tuple[float, Place]] = field(default_factory=dict)
    best: float | None = None  # of the primary metric

    @property
    def primary(self) -> tuple[float, Place] | None:
        """Last value (perhaps nan or infinite) and place of the primary metric; None if never reported."""
        return self.last.get(self.query.primary.metric)

    def add(self, name: str, value: float, place: Place) -> None:
        """Take one report; a value that is not finite is kept as such, to be told."""
        wanted = name == self.query.primary.metric
        if not wanted and name not in self.last and len(self.last) >= METRICS_MAX:
            return
        self.last[name] = (value, place)
        if wanted and math.isfinite(value):
            better = min if self.query.primary.direction == "min" else max
            self.best = value if self.best is None else better(self.best, value)

    def readings(self, source: str, *, whole: bool, absent: str) -> Readings:
        """The answer. `whole`: every value was seen. `absent`: what to say if the primary never was."""
        name = self.query.primary.metric
        metrics = {
            key: Metric(value, self.best if whole and key == name else None, step(place))
            for key, (value, place) in self.last.items()
            if math.isfinite(value)
        }
        if self.primary is None:
            return Readings(source, metrics, nearest(name, list(self.last)), absent)
        if name not in metrics:
            return Readings(source, metrics, problem=f"{name} is {self.primary[0]} at its last value")
        return Readings(source, metrics)


def nearest(name: str, names: list[str]) -> tuple[str, ...]:
    """The names most like `name`, the most similar first, whatever their case."""
    folded = {other.casefold(): other for other in names}
    close = difflib.get_close_matches(name.casefold(), list(folded), NEAREST, cutoff=0.0)
    return tuple(folded[key] for key in close)
