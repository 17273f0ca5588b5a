"""The daemon's own log: one JSON object per line, bounded by rotation."""

import json
import logging
import logging.handlers
import os
from asyncio import InvalidStateError
from datetime import UTC, datetime
from pathlib import Path

LOG_MAX_BYTES = 5 << 20
LOG_FILES = 2  # the current one and one before it


class _Lines(logging.Formatter):
    """Format a record as one JSON object; its `facts` become fields of their own."""

    def format(self, record: logging.LogRecord) -> str:
        facts = getattr(record, "facts", {})
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": record.getMessage(),
            **facts,
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


def _no_false_alarm(record: logging.LogRecord) -> bool:
    """Leave out what a read that is cancelled in the moment in which its data comes makes asyncio say.

    anyio (4.16) has the event loop set the result of the future that it has just cancelled. Nothing is
    lost: the data is still in the socket, and nobody reads it any more.
    """
    error = record.exc_info[1] if record.exc_info else None
    return not (isinstance(error, InvalidStateError) and "Future.set_result(" in record.getMessage())


def open_log(path: Path) -> None:
    """Send all log records of this process to `path` (mode 0600)."""
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
    handler = logging.handlers.RotatingFileHandler(
        path, maxBytes=LOG_MAX_BYTES, backupCount=LOG_FILES - 1, encoding="utf-8", delay=True
    )
    handler.setFormatter(_Lines())
    root = logging.getLogger()
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    logging.getLogger("watchfiles").setLevel(logging.WARNING)
    logging.getLogger("asyncio").addFilter(_no_false_alarm)
