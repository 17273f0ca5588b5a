"""A quarantine without a kill: as the daemon writes it where processes have survived one."""

import json
import os
from pathlib import Path

from ardaemon.core.layout import boot_id
from ardaemon.host import proc
from tests.support.lab import Lab


def forged(lab: Lab, **facts: object) -> Path:
    """Put the only slot into quarantine for this very test, which lives; `facts` change the record."""
    record = {
        "schema": 1,
        "slot": "cpu0",
        "folder": str(lab.folder),
        "run_id": "r0001",
        "survivors": [{"pid": os.getpid(), "start": proc.start_time(os.getpid()), "name": "test"}],
        "boot_id": boot_id(),
        "at": "2026-11-22T10:00:00Z",
    }
    path = lab.home / "quarantine/cpu0.json"
    path.write_text(json.dumps(record | facts))
    return path
