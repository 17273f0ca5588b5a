"""The curves that are shown: a run's values, as many as a screen has columns for. Pure: no I/O."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from arctl.dial import Answer

POINTS_MAX = 400  # of one curve: twice the columns of a wide terminal


@dataclass
class RunCurve:
    """The primary metric of one run, oldest value first; `seconds` is how long the run took, or takes."""

    seconds: float | None = None
    values: list[tuple[float, int | None, float | None]] = field(default_factory=list)  # value, step, at

    def add(self, value: float, step: int | None, at: float | None) -> None:
        """Add a value that is not there yet; of too many every second one goes."""
        self.seconds = at if at is not None else self.seconds
        if self.values and self.values[-1][:2] == (value, step):
            return
        self.values.append((value, step, at))
        if len(self.values) > POINTS_MAX:
            self.values = [*self.values[:-1:2], self.values[-1]]

    def points(self, by_step: bool) -> list[tuple[float, float]]:
        """Return the points by step, else by seconds; where a value has no time, they are spread evenly."""
        if by_step:
            return [(float(step), value) for value, step, _ in self.values if step is not None]
        each = (self.seconds or 0.0) / max(len(self.values), 1)
        return [
            (at if at is not None else (place + 1) * each, value)
            for place, (value, _, at) in enumerate(self.values)
        ]


def curve_of(answer: Answer) -> RunCurve:
    """Return the curve that `run.curve` has answered."""
    curve = RunCurve()
    for point in answer.get("points") or ():
        curve.add(point["value"], point.get("step"), point.get("at"))
    curve.seconds = answer.get("seconds") or curve.seconds
    return curve


def have_steps(curves: Iterable[RunCurve]) -> bool:
    """Tell whether all values have a step, so that they can be compared by it."""
    return all(step is not None for curve in curves for _, step, _ in curve.values)
