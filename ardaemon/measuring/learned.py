"""Learn how much GPU memory the runs of an experiment need, from what the last of them used. Pure.

The peaks stand in .ar-session.json as {GPU model: (peaks in MiB, …)}, the newest last. Only successful runs
count, and only peaks that NVML told by process: a difference on the whole card may hold anybody's memory.
A peak is that of one card, as `--vram` is; of a run on several cards, that of the card which used most.
"""

from collections.abc import Mapping

from ardaemon.core.measured import Measured

Learned = dict[str, tuple[float, ...]]

RUNS = 5  # remembered; the largest of them counts, because an edit that was reverted may come back
MARGIN = 1.1  # the allocator's fragmentation differs from run to run
CONTEXT_MB = 512.0  # room for another CUDA context with its libraries
MODELS_MAX = 16  # GPU models of this machine, and of machines that the experiment was moved from


def need(learned: Mapping[str, tuple[float, ...]], model: str) -> float | None:
    """Return the MiB that the next run needs on a card of that model; None if no run was measured there."""
    peaks = learned.get(model)
    return max(peaks) * MARGIN + CONTEXT_MB if peaks else None


def learn(learned: Mapping[str, tuple[float, ...]], measured: Measured) -> Learned:
    """Add what one more successful run has used, if that can be told."""
    models = dict(learned)
    for model, peak in _peaks(measured).items():
        earlier = models.pop(model, ())  # put back at the end: the model used last is forgotten last
        models[model] = (*earlier, peak)[-RUNS:]
    return dict(list(models.items())[-MODELS_MAX:])


def _peaks(measured: Measured) -> dict[str, float]:
    """Return the largest peak on each model; none if NVML did not tell all of the memory by process."""
    if measured.source != "process" or measured.elsewhere_mb:
        return {}
    peaks: dict[str, float] = {}
    for card in measured.cards:
        if card.peak_mb:  # a run that did not touch its card says nothing about the next one
            peaks[card.name] = max(peaks.get(card.name, 0.0), float(card.peak_mb))
    return peaks
