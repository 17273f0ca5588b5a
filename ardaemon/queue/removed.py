"""Find the runs whose folders somebody removed, at a cost that a long queue does not raise."""

from collections.abc import Sequence

from ardaemon.pipeline.flight import Flight

# Waiting runs that each change looks at. The others are looked at once one of these is gone, and when their
# turn comes: a look takes two files, and 10,000 runs may wait.
LOOKED_AT_MAX = 64


def removed_of(flights: Sequence[Flight]) -> list[Flight]:
    """Return which flights of one experiment, in the order of submission, were removed. It blocks."""
    waiting = [flight for flight in flights if flight.state == "queued"]
    first = [flight for flight in flights if flight.state != "queued"] + waiting[:LOOKED_AT_MAX]
    removed = [flight for flight in first if flight.is_removed()]
    if removed:
        removed += [flight for flight in waiting[LOOKED_AT_MAX:] if flight.is_removed()]
    return removed
