"""How much GPU memory the runs of an experiment need, by what the last of them used; pure.

Kept in .ar-session.json as {GPU model: (peaks in MiB, …)}, the newest last. Only successful runs count, and
only peaks that NVML told by process: a difference on the whole card may hold anybody's memory. Peaks are
those of one card, as `--vram` is: of a run on several, the largest.
"""

from collections.abc import Mapping

from ardaemon.core.measured import Measured

Learned = dict[str, tuple[float, ...]]

RUNS = 5  # of the last runs the one that needed most: an edit may come back
MARGIN = 1.1  # fragmentation of the allocator differs from run to run
CONTEXT_MB = 512.0  # of a CUDA context with its libraries, should another be loaded
MODELS_MAX = 16  # GPU models in one machine, and in those that the experiment was moved to


def need(learned: Mapping[str, tuple[float, ...]], model: str) -> float | None:
    """MiB that the next run needs on a card of that model; None where no run was measured there."""
    peaks = learned.get(model)
    return max(peaks) * MARGIN + CONTEXT_MB if peaks else None


def learn(learned: Mapping[str, tuple[float, ...]], measured: Measured) -> Learned:
    """What is known after one more successful run; the same where nothing can be learned of it."""
    found = dict(learned)
    for model, peak in _peaks(measured).items():
        known = found.pop(model, ())  # the last that was used is the last to be forgotten
        found[model] = (*known, peak)[-RUNS:]
    return dict(list(found.items())[-MODELS_MAX:])


def _peaks(measured: Measured) -> dict[str, float]:
    """The largest of each model; nothing where a part of the memory is not known by process."""
    if measured.source != "process" or measured.elsewhere_mb:
        return {}
    found: dict[str, float] = {}
    for card in measured.cards:
        if card.peak_mb:  # a run that did not touch its card says nothing about the next one
            found[card.name] = max(found.get(card.name, 0.0), float(card.peak_mb))
    return found
