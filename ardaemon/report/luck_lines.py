"""How the report says what --verdict noise knows: intervals, the luckiest value, the noise. Pure."""

from ardaemon.core.line import counted, number, times
from ardaemon.core.summary import Luck, Lucky, RunLine


def luck_lines(luck: Luck) -> list[str]:
    """Return the lines of the report's head."""
    seen = [_luckiest(luck, luck.luckiest)] if luck.luckiest is not None else []
    return [_best(luck), *seen, _cost(luck)]


def how_sure(line: RunLine) -> str:
    """Return ` (90%: 0.842 to 0.8462), P=0.97, 2 attempts` of an advance that P has decided."""
    return f"{_within(line.low, line.high)}, P={line.p_better:.2f}, {counted(line.launches, 'attempt')}"


def _within(low: float | None, high: float | None) -> str:
    return f" (90%: {number(low)} to {number(high)})" if low is not None and high is not None else ""


def _best(luck: Luck) -> str:
    what = "that is the mean over seeds, less the luck by which it was chosen"
    return f"- The best's value: {what}{_within(luck.low, luck.high)}; measured {_times(luck.values)}"


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


def _luckiest(luck: Luck, lucky: Lucky) -> str:
    head = f"- Luckiest value ever seen: {number(lucky.value)} ({lucky.run_id} with seed {lucky.seed})"
    if lucky.flatters == 0:
        return f"{head}, no better than the best's mean"
    ratio = f", {times(lucky.flatters / luck.noise)} × the noise" if luck.noise > 0 else ""
    return f"{head}, which flatters by {lucky.flatters:.3g}{ratio}"


def _cost(luck: Luck) -> str:
    return (
        f"- Noise: ±{luck.noise:.2g} ({luck.df} df); {luck.confirmations} of {luck.launches} launches were"
        f" confirmations; expected false advances: {luck.expected_false:.1f} of {luck.advances}"
    )
