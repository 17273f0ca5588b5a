"""The guards of the session that runs the loop, called as an agent does: a process, an event on its stdin."""

import atexit
import json
import os
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import IO, Any

from tests.support.forked import Ended
from tests.support.imports import ROOT
from tests.support.lab import DEADLINE_S

GUARD = ROOT / "skill/hooks/guard.py"
SLUG = "261122-lr"
HOST = """
import sys
sys.path.insert(0, sys.argv[1])
from tests.support.guard_host import main
main(sys.argv[2])
"""
PYTHON = (sys.executable, "-I", "-S")
Answer = Ended  # what a guard said, and with which exit code


def ask(guard: str, event: object, *options: str, **environment: str) -> Answer:
    """Hand an event to a guard; bytes are handed over as they are.

    The guard is a fork of a process that has loaded all guards; with options of Python, an interpreter's own.
    """
    data = event if isinstance(event, bytes) else json.dumps(event).encode()
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AR_", "CLAUDE"))}
    if not options:
        return _asked(guard, data, {**kept, **environment})
    done = subprocess.run(
        [*PYTHON, *options, str(GUARD), guard],
        input=data,
        env={**kept, **environment},
        capture_output=True,
        timeout=DEADLINE_S,
    )
    return Answer(done.returncode, done.stdout.decode(), done.stderr.decode())


def _asked(guard: str, data: bytes, environment: dict[str, str]) -> Answer:
    requests, answers = _host()
    request = {"guard": guard, "data": data.decode("latin-1"), "environment": environment}
    requests.write(json.dumps(request) + "\n")
    requests.flush()
    return Answer(*json.loads(answers.readline()))


@cache
def _host() -> tuple[IO[str], IO[str]]:
    host = subprocess.Popen(
        [*PYTHON, "-c", HOST, str(ROOT), str(GUARD.parent)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        encoding="utf-8",
    )
    atexit.register(host.communicate)
    assert host.stdin is not None
    assert host.stdout is not None
    return host.stdin, host.stdout


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
