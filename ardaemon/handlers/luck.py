"""What a session with --verdict noise knows of its best, for the report and its page. It blocks."""

from msgspec.structs import replace

from ardaemon.core.interval import around
from ardaemon.core.layout import Experiment
from ardaemon.core.model import Best, Settings
from ardaemon.core.summary import Luck
from ardaemon.experiment.state import State
from ardaemon.handlers import launches
from ardaemon.judging.noise.best import standing
from ardaemon.judging.noise.types import BestNow
from ardaemon.pipeline import noise_history
from ardaemon.pipeline.noise_verdict import config_of, history_of
from ardaemon.report.gather import frame
from ardaemon.report.tally import Frame


def with_luck(experiment: Experiment, state: State) -> Frame:
    """Return what the files say of the experiment beside its runs, this among it."""
    best, settings, whole = state.best, state.session.settings, frame(experiment, state)
    if best is None or settings is None or settings.verdict != "noise":
        return whole
    now = _standing(experiment, state, best, settings)
    if now is None:
        return whole
    reruns = launches.beside_best(experiment, best, state.contract)
    return replace(whole, luck=_luck(now, best, state), reruns=reruns)


def _standing(experiment: Experiment, state: State, best: Best, settings: Settings) -> BestNow | None:
    return standing(history_of(experiment, best, settings, state), config_of(settings, best.primary))


def _luck(now: BestNow, best: Best, state: State) -> Luck:
    """Return it around the value of best.json, which every other command shows."""
    interval, counters = around(best.value, now.sd), state.session.counters
    return Luck(
        mean=best.value,
        low=interval.low,
        high=interval.high,
        values=sum(value is not None for value in noise_history.values_of(best)),
        noise=now.noise,
        df=now.df,
        advances=now.advances,
        expected_false=now.expected_false,
        launches=counters.launches,
        confirmations=counters.confirmations,
    )
