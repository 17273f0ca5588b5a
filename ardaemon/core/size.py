"""Sizes of memory and of disk as people write them, in MiB (standard library alone: the client loads it)."""

import math
import re

from ardaemon.core.errors import UsageError

# Settings of a session that are an amount, in MiB.
SIZES = ("vram", "max_vram", "max_rss", "max_log")
# IEC 80000-13 prefixes, and the short forms that nvidia-smi, docker and ulimit users write for them.
_MIB = {"k": 1 / 1024, "m": 1.0, "g": 1024.0, "t": 1024.0**2}
_FORM = re.compile(r"\s*(?P<number>[0-9]+(?:\.[0-9]+)?)\s*(?P<unit>[kmgt])(?:ib|b)?\s*", re.IGNORECASE)


def mebibytes(text: str, option: str) -> float:
    """Read a size of memory or of disk (`6GiB`, `6G`, `512MiB`) and return MiB.

    Raises UsageError, which names `option`; so does a bare number, which has no unit.
    """
    match = _FORM.fullmatch(text)
    amount = float(match["number"]) * _MIB[match["unit"].lower()] if match else 0.0
    if not 0 < amount < math.inf:
        raise no_size(option, repr(text[:40]))
    return amount


def no_size(option: str, given: str) -> UsageError:
    """Make the error for what is no size; `given` is how it was written."""
    mend = f"give a number and its unit, as {option} 512MiB or {option} 6GiB"
    return UsageError(f"{option} {given}: it is not a size", mend)


def dropped(size: int, max_log: float | None) -> str:
    """Say how many bytes of a log are gone; `max_log` is the limit in MiB, None where it is not known."""
    why = "" if max_log is None else f" (--max-log {written(max_log)})"
    return f"{of_bytes(size)} of the log were dropped{why}"


def written(mib: float) -> str:
    """Return an amount in MiB as an option takes it: 6144 -> 6GiB, 100.5 -> 100.5MiB."""
    amount, unit = (mib / 1024, "GiB") if mib % 1024 == 0 else (mib, "MiB")
    return f"{f'{amount:.3f}'.rstrip('0').rstrip('.')}{unit}"


def of_bytes(size: int) -> str:
    """Return an amount in bytes as people write it: 4096 -> 4 KiB."""
    return shown(size / (1 << 20)) if size >= 1 << 20 else f"{(size + 1023) // 1024} KiB"


def shown(mib: float) -> str:
    """Return an amount in MiB as people write it: 6144 -> 6.0 GiB."""
    return f"{mib / 1024:.1f} GiB" if mib >= 1024 else f"{mib:.0f} MiB"
