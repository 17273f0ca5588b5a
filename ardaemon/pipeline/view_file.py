"""Writes a file that is for looking at only: nothing is decided by it, and no verdict waits for it."""

import logging
import os
from pathlib import Path

from ardaemon.host import operations

logger = logging.getLogger("ardaemon.view")


def write(path: Path, data: bytes) -> None:
    """Write the file anew; what the disk refuses is logged."""
    try:
        fd = operations.create(path, os.O_TRUNC | os.O_NONBLOCK, 0o644)
        try:
            operations.write(fd, data)
        finally:
            os.close(fd)
    except OSError as error:
        logger.warning("not written", extra={"facts": {"path": str(path), "why": str(error)}})
