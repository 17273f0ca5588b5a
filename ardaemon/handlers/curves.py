"""run.curve: the primary metric's history in a run, for a plot of it."""

import math
from collections.abc import Iterable
from datetime import datetime
from functools import partial

from ardaemon.core import protocol as p
from ardaemon.core.layout import Experiment
from ardaemon.core.model import Result
from ardaemon.handlers.context import Context
from ardaemon.handlers.lookup import named, read_stored
from ardaemon.metrics.base import Point
from ardaemon.metrics.curve import Curve
from ardaemon.pipeline import extract
from ardaemon.pipeline.flight import Flight
from ardaemon.rpc.dispatch import Notify

ENDS = 3  # points that a Curve keeps beyond what it is told: the lowest, the highest and the last


class Curves:
    """The curve of a run: from memory while it is under way, from curve.jsonl afterwards."""

    def __init__(self, context: Context) -> None:
        self.context, self.board = context, context.board

    async def run_curve(self, params: p.WhichRun, _: Notify) -> p.CurveView:
        """Return the curve of a run; without points where nothing was read."""
        experiment = await self.context.resolve(params.project, params.expr)
        run_id = await named(self.context, experiment, params.run_id)
        flight = self.board.find(experiment, run_id)
        if flight is not None:
            return _of_flight(experiment, flight)
        return await self.context.ask(experiment, partial(_stored, experiment, run_id))


def _of_flight(experiment: Experiment, flight: Flight) -> p.CurveView:
    going = flight.going
    return p.CurveView(
        expr=experiment.slug,
        run_id=flight.run.run_id,
        state=flight.state,
        seconds=going.elapsed if going is not None else None,
        # Its times are seconds since the start already.
        points=_thinned(going.curve.points(), 0.0) if going is not None else (),
    )


def _stored(experiment: Experiment, run_id: str) -> p.CurveView:
    view = read_stored(experiment, run_id)
    result = view.result
    attempt = experiment.run(run_id).attempt(max(result.attempts, 1) if result is not None else 1)
    return p.CurveView(
        expr=experiment.slug,
        run_id=run_id,
        state=view.state,
        seconds=result.seconds if result is not None else None,
        points=_thinned(extract.read_curve(attempt.curve), _started(result)),
    )


def _started(result: Result | None) -> float | None:
    """Return when the run started, in seconds since 1970; None where the result does not say."""
    if result is None or result.started_at is None:
        return None
    return datetime.fromisoformat(result.started_at).timestamp()


def _thinned(points: Iterable[Point], started: float | None) -> tuple[p.CurvePoint, ...]:
    """Return CURVE_MAX of the points at most, with their times since `started`."""
    curve = Curve(p.CURVE_MAX - ENDS)
    for point in points:
        if math.isfinite(point.value):
            curve.add(point.value, point.step, point.wall)
    return tuple(
        p.CurvePoint(value=point.value, step=point.step, at=_at(point.wall, started))
        for point in curve.points()
    )


def _at(wall: float | None, started: float | None) -> float | None:
    return wall - started if wall is not None and started is not None else None
