"""A run that is over, with everything that was found of it: what the first stage of its commit judges."""

import msgspec
from msgspec.structs import replace

from ardaemon.core.config import ATTEMPTS_MAX
from ardaemon.core.layout import Experiment, Run
from ardaemon.core.measured import Measured
from ardaemon.core.model import Again, Exit
from ardaemon.core.run_record import RunRecord
from ardaemon.experiment.state import State
from ardaemon.judging import again
from ardaemon.pipeline import environment as job_environment
from ardaemon.pipeline import extract
from ardaemon.pipeline.extract import Extracted
from ardaemon.pipeline.flight import Flight
from ardaemon.pipeline.order import seal_faults

# Names under which what was measured is a metric as any other: in constraints, or as the primary one.
PEAK_VRAM, PEAK_RSS = "peak_vram_mb", "peak_rss_mb"
SICK = "gpu_fault"  # the taint of a run whose GPU fell ill


class Ended(msgspec.Struct, frozen=True, kw_only=True):
    """A run that is over, with everything that was found of it."""

    experiment: Experiment
    run: Run
    record: RunRecord
    exit: Exit
    attempts: int
    extracted: Extracted
    seal_faults: tuple[str, ...]
    manual: bool
    boot_id: str
    slots: tuple[str, ...] = ()
    restarted: bool = False  # the host, since its end: what was not synced may be torn
    measured: Measured | None = None
    notes: tuple[str, ...] = ()  # what its GPUs' driver said meanwhile
    sick: bool = False  # and that was no fault of the program's

    @property
    def metrics(self) -> dict[str, float]:
        """What the script reports and what was measured; the measurement counts where there are both."""
        return self.extracted.metrics | self._peaks()

    def _peaks(self) -> dict[str, float]:
        found = self.measured or Measured()
        # A run that was too short to be looked at has at least its largest process (getrusage(2)).
        rss = max(found.peak_rss_mb or 0, self.exit.max_rss_kb // 1024)
        peaks = {PEAK_RSS: float(rss)} if rss else {}
        return peaks if found.peak_vram_mb is None else {**peaks, PEAK_VRAM: float(found.peak_vram_mb)}

    @property
    def tainted(self) -> str | None:
        """Why it was not measured under fair conditions."""
        if self.sick:
            return SICK
        return self.measured.tainted if self.measured is not None else None


def gather(flight: Flight, found: State) -> Ended:
    """In a thread: the metrics, the reason, and the seal once more."""
    assert flight.exit is not None
    faults = flight.seal_faults or seal_faults(flight, found)
    attempt = max(flight.attempts, 1)
    environment = job_environment.environment_of(
        flight.active.environment, flight.record.settings, flight.experiment, flight.run, attempt
    )
    extracted = extract.extract(
        flight.experiment,
        flight.run,
        flight.record,
        found.contract,
        environment,
        attempt,
        flight.exit,
        flight.restarted,
    )
    # What the log does not say may stand in files that the restart has torn.
    end = replace(flight.exit, ending="host_restart") if extracted.silent else flight.exit
    return Ended(
        experiment=flight.experiment,
        run=flight.run,
        record=flight.record,
        exit=end,
        attempts=flight.attempts,
        extracted=extracted,
        seal_faults=faults,
        manual=flight.active.wanted == "stop",
        boot_id=flight.handle.boot_id if flight.handle else "",
        slots=flight.slots,
        restarted=flight.restarted,
        measured=flight.measured,
        notes=flight.notes,
        sick=flight.sick,
    )


def again_why(flight: Flight, ended: Ended) -> Again | None:
    """Why it is to be launched once more; never after its end was asked for, or its session's."""
    over = flight.active.wanted != "run" or flight.held or flight.attempts >= ATTEMPTS_MAX
    if over or ended.seal_faults or flight.restarted:
        return None
    facts = again.Facts(
        exit=ended.exit,
        reason=ended.extracted.reason,
        tainted=ended.tainted,
        sick=flight.sick,
        shared=flight.shares,
        before=flight.again,
    )
    return again.wanted(facts, flight.record.settings)
