"""A run that is over, with everything that was found of it: what the first stage of its commit judges."""

import msgspec

from ardaemon.core.layout import Experiment, Run
from ardaemon.core.measured import Measured
from ardaemon.core.model import Exit
from ardaemon.core.run_record import RunRecord
from ardaemon.pipeline.extract import Extracted

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
