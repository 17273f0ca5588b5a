"""The limits of a session that are counted: which of them it has reached. Pure."""

from typing import Literal

from ardaemon.core.model import Counters, Settings

Counted = Literal["plateau", "max_runs", "max_hours", "max_gpu_hours", "max_failures", "max_launches"]
# Those that a launch brings nearer, whatever the verdict on its run is.
OF_LAUNCHES: frozenset[Counted] = frozenset({"max_hours", "max_gpu_hours", "max_launches"})


def reached(settings: Settings, counters: Counters, hours: float) -> dict[Counted, float]:
    """Return the limits that are set and reached, each with its count, the one that ends the session first.

    `hours`: since the session started.
    """
    counts: dict[Counted, float] = {
        "plateau": counters.plateau,
        "max_runs": counters.since_start,
        "max_hours": hours,
        "max_gpu_hours": counters.gpu_hours,
        "max_failures": counters.failures,
        "max_launches": counters.launches,
    }
    return {
        name: count
        for name, count in counts.items()
        if (most := getattr(settings, name)) is not None and count >= most
    }


def allow_a_launch(settings: Settings, counters: Counters, hours: float) -> bool:
    """Tell whether a run that is under way may be launched once more.

    `counters`: with all launches so far, those of runs without a verdict too.
    """
    return OF_LAUNCHES.isdisjoint(reached(settings, counters, hours))
