"""curve.jsonl: the primary metric's history of one attempt, a line per point. A view: it is not synced."""

import logging
import os
from collections.abc import Sequence
from pathlib import Path

import msgspec

from ardaemon.host import operations
from ardaemon.metrics.base import Point

log = logging.getLogger("ardaemon.curve")


def write(path: Path, points: Sequence[Point]) -> None:
    """Write it anew; what the disk refuses is logged, and no verdict waits for it."""
    if not points and not path.exists():
        return
    data = b"".join(msgspec.json.encode(point) + b"\n" for point in points)
    try:
        fd = operations.create(path, os.O_TRUNC | os.O_NONBLOCK, 0o644)
        try:
            operations.write(fd, data)
        finally:
            os.close(fd)
    except OSError as error:
        log.warning("no curve", extra={"facts": {"path": str(path), "why": str(error)}})
