"""Keeps a job's run.log within --max-log (standard library alone, for the shim).

The job writes its log by itself, and nothing stands in between that could break. So the limit is kept behind
the job's back: the shim looks at the log's size, and gives what lies between its head and its tail back to
the disk (host/holes.py). The log keeps its size and every byte that is left keeps its place, so writers and
readers go on undisturbed.
"""

import os

from ardaemon.host import holes

LOOK_S = 0.25  # between two looks: what a job prints meanwhile is all by which a log may be too large
# The same while the log grows fast: at 1 GB/s a look after 20 ms finds it 20 MB too large at most.
LOOK_MIN_S = 0.02
NEVER_S = 86400.0
HEAD_PART = 4  # the head is a fourth of the limit: the configuration is printed first, and the end tells more
# What a look gives back beyond what it must is an eighth of the limit, so that not every look has to.
SPARE_PART = 8


class LogLimit:
    """The limit on one log, of `most` bytes; None: no limit. All times are CLOCK_MONOTONIC seconds.

    `dropped` is the end of what was given back, 0 as long as nothing was. `trouble` says why the limit cannot
    be kept.
    """

    def __init__(self, log: int, most: int | None) -> None:
        """Take the descriptor of the open run.log."""
        self.log, self.most = log, most
        self.head = _whole_blocks((most or 0) // HEAD_PART)
        self.tail = (most or 0) - (most or 0) // SPARE_PART - self.head
        self.size, self.looked, self.dropped = 0, 0.0, 0
        self.trouble: str | None = None

    def look(self, now: float) -> float:
        """Give back what is too much of the log, and return the seconds until it is to be looked at again."""
        if self.most is None or self.trouble is not None:
            return NEVER_S
        size = os.fstat(self.log).st_size
        if size < self.dropped:  # the job has cut it off
            self.dropped = 0
        if self._taken(size) > self.most:
            self._give_back(size)
        grown, passed = size - self.size, now - self.looked
        self.size, self.looked = size, now
        if grown <= 0:
            return LOOK_S
        # In half the time in which it would be full if it grew on like this.
        until_full = (self.most - self._taken(size)) * passed / grown
        return min(max(until_full / 2, LOOK_MIN_S), LOOK_S)

    def _taken(self, size: int) -> int:
        """Return the bytes that the log takes of the disk."""
        return size - max(self.dropped - self.head, 0)

    def _give_back(self, size: int) -> None:
        end = _whole_blocks(size - self.tail)
        try:
            holes.punch(self.log, max(self.head, self.dropped), end)
        except OSError as error:
            self.trouble = f"--max-log cannot be kept: {error.strerror} (fallocate on run.log)"
        else:
            self.dropped = end


def _whole_blocks(size: int) -> int:
    return size // holes.BLOCK * holes.BLOCK
