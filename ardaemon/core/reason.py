"""The reason why a run ended: a token for programs, a message for people, and one text that holds both.

The daemon decides by a Reason. Files and clients get its text alone, and the client reads the token back out
of that; so this module imports nothing heavy.
"""

from typing import NamedTuple

REASON_MAX = 120  # characters of what is taken from a log; it shares one line with the verdict
OOM, STALL, CHECK_FAILED = "oom", "stall", "check_failed:"
SHORTER = "equal, and its train.py is shorter"  # why a run wins whose value is no better
# Every token there is, beside the two families: what a log or the kernel shows, and how an attempt ended.
TOKENS = frozenset(
    f"{OOM} host_oom nan import_error limit {STALL} vram_limit rss_limit"
    f" {CHECK_FAILED} spawn_failed seal_broken supervisor_lost host_restart lost".split()
)
# Endings, and their tokens, that say nothing about the idea that was tried: they do not count for plateau.
NOT_COMPARABLE = frozenset(
    "stopped cancelled gave_way seal_broken supervisor_lost host_restart lost spawn_failed".split()
)
# Endings by which a run is lost, whatever its job did: they are no failure of the job's.
LOST = frozenset(("supervisor_lost", "host_restart", "lost"))
FAMILIES = ("exception:", "signal:")
_NOTE = "; "  # stands before each note


class Reason(NamedTuple):
    """The reason why a run ended. `token` may be empty; `notes` are further facts that came to light."""

    token: str
    message: str = ""
    notes: tuple[str, ...] = ()

    def text(self) -> str:
        """Make the text that files and clients get: `oom CUDA out of memory; Xid 31`."""
        return _NOTE.join((" ".join(filter(None, (self.token, self.message))), *self.notes))


def read(text: str) -> Reason:
    """Read a reason back from the text that was made of it.

    What follows a "; " in the message comes back among the notes.
    """
    first, *notes = text.split(_NOTE)
    token, _, message = first.partition(" ")
    is_token = token in TOKENS or token.startswith(FAMILIES)
    return Reason(token, message, tuple(notes)) if is_token else Reason("", first, tuple(notes))
