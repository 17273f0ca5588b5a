"""A run that is over, with all that it left: what the first stage of its commit judges."""

import math

import msgspec
from msgspec.structs import replace

from ardaemon.core.config import ATTEMPTS_MAX
from ardaemon.core.layout import Experiment, Run
from ardaemon.core.measured import Measured
from ardaemon.core.model import Exit, Session, Settings
from ardaemon.core.queue import seat_of
from ardaemon.core.run_record import AttemptResult, Judged, RunRecord
from ardaemon.experiment import script_place
from ardaemon.experiment.state import State
from ardaemon.pipeline import environment as job_environment
from ardaemon.pipeline import extract
from ardaemon.pipeline.check import Checked
from ardaemon.pipeline.extract import Extracted
from ardaemon.pipeline.flight import Flight
from ardaemon.pipeline.order import seal_faults

# Names under which what was measured is a metric as any other: in constraints, or as the primary one.
PEAK_VRAM, PEAK_RSS = "peak_vram_mb", "peak_rss_mb"
SICK = "gpu_fault"  # the taint of a run whose GPU fell ill


class Ended(msgspec.Struct, frozen=True, kw_only=True):
    """A run that is over, with everything that its verdict is made from; frozen, for it goes to a thread."""

    experiment: Experiment
    run: Run
    record: RunRecord
    exit: Exit
    attempts: int
    extracted: Extracted
    seal_faults: tuple[str, ...]
    manual: bool = False  # somebody wants the end of its session
    boot_id: str = ""  # in which it ended: what survived, survived in that boot alone
    slots: tuple[str, ...] = ()
    restarted: bool = False  # the host, since its end: what was not synced may be torn
    measured: Measured | None = None
    notes: tuple[str, ...] = ()  # what its GPUs' driver said meanwhile
    rewritten: bool = False  # what was run held another text by the end
    sick: bool = False  # and that was no fault of the program's
    shared: bool = False  # others could be on its GPUs
    before: tuple[AttemptResult, ...] = ()  # attempts that did not count
    seed: int = 0  # AR_SEED of this one
    checked: Checked | None = None  # None: no check was run yet
    check_cut_off: bool = False  # the run's end was wanted as its checks were at work; its job had ended well
    goes_on: bool = False  # nobody wants the end of the run or its session: it may be launched again
    cut_off: bool = False  # its session ended while it waited for another launch: it is judged by what it has
    under_way: frozenset[str] = frozenset()  # launches of judged versions that are not committed, by name
    launches_beside: int = 0  # of other runs of the session that are not judged yet
    may_repeat: bool = False  # another attempt may be made: nobody wants the end of the run or its session

    @property
    def metrics(self) -> dict[str, float]:
        """Return what the script reports and what was measured; where there are both, what was measured."""
        return self.extracted.metrics | self._peaks()

    @property
    def finite_metrics(self) -> dict[str, float]:
        """Return the metrics that JSON can hold."""
        return {name: value for name, value in self.metrics.items() if math.isfinite(value)}

    def _peaks(self) -> dict[str, float]:
        measured = self.measured or Measured()
        # A run that was too short to be looked at has at least its largest process (getrusage(2)).
        rss = max(measured.peak_rss_mb or 0, self.exit.max_rss_kb // 1024)
        peaks = {PEAK_RSS: float(rss)} if rss else {}
        return peaks if measured.peak_vram_mb is None else {**peaks, PEAK_VRAM: float(measured.peak_vram_mb)}

    def is_of(self, session: Session) -> bool:
        """Tell whether the run belongs to this session, and not to one that is over."""
        return self.record.epoch == session.epoch

    def settings_in(self, session: Session) -> Settings:
        """Return the session's settings; the run's own where it has none."""
        return session.settings or self.record.settings

    @property
    def gpu_seconds(self) -> float:
        """Return the time that the attempt had its GPUs, those of all of them together."""
        checked = self.checked.seconds if self.checked is not None else 0.0
        return (self.exit.seconds + checked) * len(seat_of(self.slots).cards)

    @property
    def all_gpu_seconds(self) -> float:
        """Return that time of all attempts of the run."""
        return self.gpu_seconds + sum(attempt.gpu_seconds for attempt in self.before)

    @property
    def tainted(self) -> str | None:
        """Return why the run was not measured under fair conditions; None if it was."""
        if self.sick:
            return SICK
        return self.measured.tainted if self.measured is not None else None


def gather(flight: Flight, current: State) -> Ended:
    """Read the metrics and the reason, and check the seal once more.

    In a thread: the flight is read, not changed.
    """
    going = flight.going
    assert going is not None
    assert going.exit is not None
    record = flight.record
    rewritten = script_place.rewritten(flight.experiment, flight.run, record)
    script_place.clear_live(flight.experiment, record.settings, record.origin)
    extracted = _extract(flight, current, going.exit, going.restarted)
    faults = going.seal_faults or seal_faults(flight.experiment, record, current, launched=True)
    return Ended(
        experiment=flight.experiment,
        run=flight.run,
        record=record,
        # What the log does not say may stand in files that the restart has torn.
        exit=replace(going.exit, ending="host_restart") if extracted.silent else going.exit,
        attempts=flight.attempts,
        extracted=extracted,
        seal_faults=faults,
        boot_id=going.boot_id,
        slots=going.seat.slots,
        restarted=going.restarted,
        measured=going.measured,
        notes=going.notes,
        rewritten=rewritten,
        sick=going.sick,
        shared=going.seat.share,
        before=flight.before,
        seed=flight.seed,
        cut_off=going.cut_off,
    )


def as_wanted(ended: Ended, flight: Flight, under_way: frozenset[str], launches_beside: int) -> Ended:
    """Add what is wanted of the run by now, and what is under way: since gather() both may have changed."""
    before = isinstance(flight.record.state, Judged)  # no other attempt was due when it was judged before
    goes_on = flight.goes_on() and not flight.session_over
    alike = sum(one.why != "confirm" for one in flight.before)  # launches that were to give the same value
    return replace(
        ended,
        goes_on=goes_on,
        under_way=under_way,
        launches_beside=launches_beside,
        manual=flight.active.wanted in ("stop", "judge_stop"),
        may_repeat=goes_on and not before and alike < ATTEMPTS_MAX - 1,
    )


def after_checks(ended: Ended, checked: Checked | None, end: Exit | None) -> Ended:
    """Add what came of the checks; None: they were ended, because the run's end is wanted (`end` says so).

    What survived its kill is the run's, as if its job had left it.
    """
    assert end is not None
    if checked is None:
        return replace(ended, exit=replace(ended.exit, ending=end.ending), check_cut_off=True)
    survivors = (*ended.exit.survivors, *checked.survivors)
    return replace(ended, checked=checked, exit=replace(ended.exit, survivors=survivors))


def _extract(flight: Flight, current: State, end: Exit, restarted: bool) -> Extracted:
    """Read what the last attempt left; of a run that was never launched, an empty place."""
    attempt = max(flight.attempts, 1)
    return extract.extract(
        flight.experiment,
        flight.run,
        flight.record,
        current.contract,
        job_environment.of_attempt(flight, attempt, flight.record.settings),
        attempt,
        end,
        restarted,
    )
