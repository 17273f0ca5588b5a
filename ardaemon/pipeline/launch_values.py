"""What each launch of a run measured, for the verdict that measures the noise, and for the result."""

from ardaemon.core.model import SeedValue
from ardaemon.core.reason import LOST
from ardaemon.core.run_record import AttemptResult
from ardaemon.judging import verdict
from ardaemon.pipeline.ended import Ended


def confirmations(before: tuple[AttemptResult, ...]) -> tuple[SeedValue, ...]:
    """Return what earlier launches of the run measured, those that were made once more left out."""
    return tuple(
        SeedValue(seed=one.seed, value=one.value, status=one.status) for one in before if one.why == "confirm"
    )


def measured(ended: Ended, judged: verdict.Judgement) -> SeedValue:
    """Return what the launch that is just over measured; where that does not count, it is nothing.

    So it is under unfair conditions, unless the session accepts them, and where a constraint is broken.
    """
    value = _fair(ended, judged) if judged.valid else None
    return SeedValue(seed=ended.seed, value=value, status=judged.status)


def all_of(ended: Ended, judged: verdict.Judgement) -> tuple[SeedValue, ...]:
    """Return what each launch of a run measured that was launched again, whatever became of the last one.

    A value that breaks a constraint is among them. A launch that was never made is not.
    """
    before = confirmations(ended.before)
    if not before or ended.cut_off or ended.exit.ending == "cancelled":
        return before
    status = "ok" if ended.check_cut_off else judged.status
    return (*before, SeedValue(seed=ended.seed, value=_fair(ended, judged), status=status))


def _fair(ended: Ended, judged: verdict.Judgement) -> float | None:
    """Return the value of the launch that is just over, if it ended well and its conditions are accepted."""
    well = judged.status == "ok" or ended.check_cut_off
    accepted = ended.tainted is None or ended.record.settings.on_tainted == "accept"
    return judged.primary.value if well and accepted and ended.exit.ending not in LOST else None
