"""The umask of this process (standard library alone, for the client loads it at every start)."""

import os


def umask() -> int:
    """Return this process's umask, which can only be read by setting it (umask(2))."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
