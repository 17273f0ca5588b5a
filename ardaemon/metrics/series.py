"""Collects a run's values in bounded memory, and makes every backend's answer of them."""

import difflib
import math
from typing import NamedTuple

from msgspec import Struct, field

from ardaemon.core.direction import is_better
from ardaemon.core.spelling import one_spelling
from ardaemon.metrics.base import METRICS_MAX, NEAREST, Metric, Query, Readings
from ardaemon.metrics.curve import Curve
from ardaemon.metrics.formats.digits import same
from ardaemon.metrics.formats.lines import Place, Report, step
from ardaemon.metrics.not_finite import NotFinite


class Value(NamedTuple):
    """One value; `printed` is its text where it was read from a log."""

    value: float
    place: Place
    printed: str | None = None


class Series(Struct):
    """Collects reported values in the order in which they were written.

    The query's `count` says which one counts.
    """

    query: Query
    not_finite: NotFinite = field(default_factory=NotFinite)  # values of the primary metric
    last: dict[str, Value] = field(default_factory=dict)
    # Why the primary metric's newest value could not be read, and the one before it.
    unread: str | None = None
    stale: float | None = None
    lost: str | None = None  # why other values than the last are not all known
    # The last number of a list, where only a list could not be read: the value before it may be the same.
    _ends: str | None = None
    _name: str = ""
    _spelled: str = ""
    _best: Value | None = None
    _at: Value | None = None  # the last value up to the step that counts; its place is the step
    _curve: Curve = field(default_factory=Curve)

    def __post_init__(self) -> None:
        self._name = self.query.primary.metric
        self._spelled = one_spelling(self._name)

    @property
    def primary(self) -> Value | None:
        """The last value (perhaps nan or infinite) and place of the primary metric; None if there is none."""
        return self.last.get(self._name)

    @property
    def is_lost(self) -> bool:
        """Return whether the value that counts may be one that is not known."""
        return self.lost is not None and self.query.count != "last"

    @property
    def latest(self) -> float | None:
        """The primary metric's last value; None if there is none, or if it is not finite or not readable."""
        if self.primary is None or self.unread is not None:
            return None
        return self.primary[0] if math.isfinite(self.primary[0]) else None

    @property
    def step(self) -> int | None:
        """The step of the primary metric's last value."""
        return step(self.primary[1]) if self.primary is not None else None

    def add(
        self,
        name: str,
        value: float,
        step: Place = None,
        wall: float | None = None,
        printed: str | None = None,
    ) -> None:
        """Take one report. A value that is not finite is kept as well, so that the answer can say so.

        The primary metric has the name that the query gives it, any other name its one spelling.
        """
        name = one_spelling(name)
        wanted = name == self._spelled
        if wanted:
            name = self._name
        if not wanted and name not in self.last and len(self.last) >= METRICS_MAX:
            return
        self.last[name] = Value(value, step, printed)
        if wanted:
            self.unread = None
            self._add_primary(self.last[name], wall)

    def add_unread(self, why: str, place: Place = None, ends: str | None = None) -> None:
        """Take a report of the primary metric whose value cannot be read: no earlier one stands in for it.

        One at a step beyond that which counts is passed over. So is a list, as a history printed at the end,
        whose last number `ends` is the value before it.
        """
        at = step(place)
        if isinstance(self.query.count, int) and at is not None and at > self.query.count:
            return
        before = self.primary
        if ends is not None and self.unread is None and before is not None:
            ends = None if same(ends, before.printed or repr(before.value)) else ends
            if ends is None:
                return
        is_list = ends is not None and self.primary is None and (self.unread is None or self._ends == ends)
        self._ends = ends if is_list else None
        self.unread, self.stale = why, self.primary.value if self.primary is not None else None
        self.not_finite.take(None)

    def add_earlier(self, report: Report) -> None:
        """Take the report before the one that cannot be read; its value counts if a list ends with it."""
        value = report.value
        if value is None and report.last is not None and report.last == self._ends:
            return
        if value is not None and self._ends is not None and same(self._ends, report.printed):
            self.add(self._name, value, report.place, printed=report.printed)
        self._ends = None
        self.stale = value if self.unread is not None else None

    def _add_primary(self, one: Value, wall: float | None) -> None:
        value, place = one.value, one.place
        self.not_finite.take(value, step(place))
        if isinstance(self.query.count, int):
            self._note_at(one, step(place), self.query.count)
        if not math.isfinite(value):
            return
        self._curve.add(value, place, wall)
        if self._best is None or is_better(value, self._best[0], self.query.primary.direction):
            self._best = one

    def _note_at(self, one: Value, at: int | None, most: int) -> None:
        """Keep the value at the highest step up to `most`; of a step written twice, the later value."""
        if at is not None and at <= most and (self._at is None or at >= (step(self._at.place) or 0)):
            self._at = one._replace(place=at)

    def readings(
        self,
        source: str,
        problem: str | None = None,
        detail: str | None = None,
        *,
        absent: str | None = None,
        whole: bool = True,
    ) -> Readings:
        """Make the answer of the source `source`.

        `absent` is the problem to name if the primary metric was never reported. `whole` says that every
        value was seen, so that the best of them is known.
        """
        counts = self._counted()
        value = counts[0] if counts is not None and math.isfinite(counts[0]) else None
        missing = None if value is not None else self._missing(absent)
        metrics = {
            name: Metric(last, None, step(place))
            for name, (last, place, _) in self.last.items()
            if math.isfinite(last)
        }
        if self.unread is not None and value is None:
            metrics.pop(self._name, None)
        if self._name in metrics:
            best = self._best[0] if whole and self._best is not None else None
            metrics[self._name] = Metric(metrics[self._name].last, best, metrics[self._name].step)
        return Readings(
            source=source,
            metrics=metrics,
            nearest=() if self._is_known else nearest(self._name, list(self.last)),
            problem="; ".join(filter(None, (missing, problem))) or None,
            value=value,
            counted=_words(self.query, counts[1]) if counts is not None and value is not None else None,
            settled=value is not None or (self._is_known and not isinstance(self.query.count, int)),
            printed=counts.printed if counts is not None and value is not None else None,
            stale=self.stale if self.unread is not None and value is None else None,
            curve=self._curve.points(),
            detail=detail,
            unnamed=not self._is_known,
        )

    @property
    def _is_known(self) -> bool:
        return self.primary is not None or self.unread is not None

    def _counted(self) -> Value | None:
        if self.is_lost:
            return None
        if self.unread is not None and self.query.count != "best":
            return None
        match self.query.count:
            case "last":
                return self.primary
            case "best":
                return self._best
            case _:
                return self._at

    def _missing(self, absent: str | None) -> str:
        """Say why there is no value that counts."""
        if self.is_lost and self._is_known:
            return f"--value {self.query.count} needs all values of {self._name}, and {self.lost}"
        if self.unread is not None:
            return f"the last value of {self._name} cannot be read: {self.unread}"
        if self.primary is None:
            return absent or f"{self._name} was never reported"
        match self.query.count:
            case "last":
                return f"{self._name} is {self.primary[0]} at its last value"
            case "best":
                return f"{self._name} was never finite"
            case at if self._at is not None:
                return f"{self._name} is {self._at.value} at step {self._at.place}, the last one up to {at}"
            case at:
                return f"{self._name} has no value at a step up to {at}"


def _words(query: Query, place: Place) -> str:
    how = query.count if isinstance(query.count, str) else f"at {query.count}"
    at = step(place)
    return how if at is None else f"{how}@{at}"


def nearest(name: str, names: list[str]) -> tuple[str, ...]:
    """Return the NEAREST names that are most like `name`, the most similar first, in upper or lower case."""
    folded = {other.casefold(): other for other in names}
    close = difflib.get_close_matches(name.casefold(), list(folded), NEAREST, cutoff=0.0)
    return tuple(folded[key] for key in close)
