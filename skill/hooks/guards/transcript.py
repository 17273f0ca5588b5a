"""Whether an agent's context was compacted and the state is not in it yet, by the end of its transcript.

Claude Code takes a hook for compactions from a skill's front matter (SessionStart), but does not call it
(seen with 2.1.197). So the edit guard looks here, at its next call.
"""

import os

from guards.event import OPEN

MARK = "The context was compacted; the autoresearch loop goes on from its files:"
TAIL_MAX = 1 << 20  # bytes; what follows a compaction is far less until the first call of a tool
CALLS_MAX = 10  # calls after a compaction with which the state may come: an agent may read a file first
_COMPACTED = b'"compact_boundary"'
_CALL = b'"tool_use"'


def is_compacted(path: object) -> bool:
    """Return whether the state is missing since the last compaction; False where that cannot be told."""
    tail = _tail(path) if isinstance(path, str) and "\0" not in path else b""
    _, compacted, after = tail.rpartition(_COMPACTED)
    return bool(compacted) and MARK.encode() not in after and after.count(_CALL) <= CALLS_MAX


def _tail(path: str) -> bytes:
    try:
        fd = os.open(path, OPEN)
    except (OSError, ValueError):
        return b""
    try:
        size = os.fstat(fd).st_size
        return os.pread(fd, TAIL_MAX, max(0, size - TAIL_MAX))
    except OSError:  # no plain file
        return b""
    finally:
        os.close(fd)
