"""The guards of the session that runs the loop, called as an agent does: a process, an event on its stdin."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

from tests.support.imports import ROOT

GUARD = ROOT / "skill/hooks/guard.py"
SLUG = "261122-lr"
DEADLINE_S = 30


class Answer(NamedTuple):
    """What a guard said, and with which exit code."""

    code: int
    out: str
    err: str


def ask(guard: str, event: object, *options: str, **environment: str) -> Answer:
    """Hand an event to a guard; bytes are handed over as they are."""
    data = event if isinstance(event, bytes) else json.dumps(event).encode()
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AR_", "CLAUDE"))}
    done = subprocess.run(
        [sys.executable, "-I", "-S", *options, str(GUARD), guard],
        input=data,
        env={**kept, **environment},
        capture_output=True,
        timeout=DEADLINE_S,
    )
    return Answer(done.returncode, done.stdout.decode(), done.stderr.decode())


def edit(tool: str, cwd: Path, **given: Any) -> dict[str, Any]:
    """The event before a call of a tool, with the fields that an agent sends."""
    return {
        "session_id": "s",
        "transcript_path": "/tmp/t.jsonl",
        "cwd": str(cwd),
        "permission_mode": "default",
        "hook_event_name": "PreToolUse",
        "tool_name": tool,
        "tool_input": given,
        "tool_use_id": "t",
    }


def project(folder: Path) -> Path:
    """A project with an experiment, and a file of its own."""
    experiment = folder / ".autoresearch" / SLUG
    (experiment / "runs/r0001").mkdir(parents=True)
    (folder / "lib").mkdir()
    names = ("train.py", "prepare.py", "program.md", "best.json", "runs/r0001/train.py")
    for path in (*(experiment / name for name in names), folder / "model.py", folder / "lib/a.py"):
        path.touch()
    return folder
