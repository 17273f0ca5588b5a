"""What the end of an agent's transcript says: which experiment it runs, and whether it has lost the state.

Claude Code takes a hook for compactions from a skill's front matter (SessionStart), but does not call it
(seen with 2.1.197). So the edit guard looks here, at its next call.
"""

import os
import re

from guards import table
from guards.event import OPEN

MARK = "The context was compacted; the autoresearch loop goes on from its files:"
TAIL_MAX = 1 << 20  # bytes; what follows a compaction is far less until the first call of a tool
CALLS_MAX = 10  # calls after a compaction with which the state may come: an agent may read a file first
_COMPACTED = b'"compact_boundary"'
_CALL = b'"tool_use"'
# A file that the agent reads or edits, and the option of a command; other texts may name any experiment.
_EXPERIMENT = re.compile(
    rf'["/]{re.escape(table.HOME)}/({table.SLUG})/train\.py"|--expr[ =]({table.SLUG})'.encode()
)


def is_compacted(path: object) -> bool:
    """Return whether the state is missing since the last compaction; False where that cannot be told."""
    _, compacted, after = _tail(path).rpartition(_COMPACTED)
    return bool(compacted) and MARK.encode() not in after and after.count(_CALL) <= CALLS_MAX


def experiment(path: object) -> str | None:
    """Return the slug of the experiment at which the agent was last; None where that cannot be told."""
    slug = None
    for match in _EXPERIMENT.finditer(_tail(path)):
        slug = (match[1] or match[2]).decode()
    return slug


def _tail(path: object) -> bytes:
    if not isinstance(path, str) or "\0" in path:
        return b""
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
