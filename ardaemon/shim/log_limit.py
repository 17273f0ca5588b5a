"""Keeps a job's run.log within --max-log (standard library alone, for the shim).

The job writes its log by itself, and nothing stands in between that could break. So the limit is kept behind
the job's back: the shim looks at the log's size, and gives what lies between its head and its tail back to
the disk (host/holes.py). The log keeps its size and every byte that is left keeps its place, so writers and
readers go on undisturbed.
"""

import os

from ardaemon.host import holes

# The shim looks again before the log can be full, if the job prints no faster than a good disk takes it. It
# sleeps LOOK_MIN_S at least: by what is printed in that time (20 MB at FASTEST) a log may be too large.
FASTEST = 1 << 30  # bytes per second
LOOK_MIN_S, LOOK_S = 0.02, 1.0
NEVER_S = 86400.0
HEAD_PART = 4  # the head is a fourth of the limit: the configuration is printed first, and the end tells more
# A fourth of the limit is free again after a look has given something back, so that the next looks need not.
SPARE_PART = 4


class LogLimit:
    """The limit on one log, of `most` bytes; None: no limit.

    `dropped` is the end of what was given back, 0 as long as nothing was. `trouble` says why the limit cannot
    be kept.
    """

    def __init__(self, log: int, most: int | None) -> None:
        """Take the descriptor of the open run.log."""
        self.log, self.most = log, most
        self.head = _whole_blocks((most or 0) // HEAD_PART)
        self.tail = (most or 0) - (most or 0) // SPARE_PART - self.head
        self.dropped = 0
        self.trouble: str | None = None

    def look(self) -> float:
        """Give back what is too much of the log, and return the seconds until it is to be looked at again."""
        if self.most is None or self.trouble is not None:
            return NEVER_S
        size = os.fstat(self.log).st_size
        if size < self.dropped:  # the job has cut it off
            self.dropped = 0
        if self._taken(size) > self.most:
            self._give_back(size)
        return min(max((self.most - self._taken(size)) / FASTEST, LOOK_MIN_S), LOOK_S)

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
