"""Reads a log with a session's own regular expression, in a process of its own.

A pattern that backtracks without end holds the interpreter's lock all the while, so in a thread of the daemon
it would stop every other run. A process of its own is killed at its deadline.
"""

import json
import os
import sys
from pathlib import Path

import msgspec

from ardaemon.core.text import one_line
from ardaemon.host.command import CommandEnd, run
from ardaemon.metrics.base import AttemptOutput, Query, Readings

ERROR_MAX = 120  # characters of the child's own error that are shown
_PROGRAM = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); from ardaemon.metrics.log import main; main()"
)


def read(attempt: AttemptOutput, query: Query, limits: dict[str, int], deadline: float) -> Readings:
    """Return what LogBackend(limits) reads with `query`, in at most `deadline` seconds."""
    request = json.dumps(
        {
            "log": str(attempt.log),
            "log_from": attempt.log_from,
            "query": msgspec.to_builtins(query),
            "limits": limits,
        }
    )
    # The daemon's own modules, wherever they lie; nothing of the user's environment or folder.
    path = json.dumps([entry for entry in sys.path if os.path.isabs(entry)])
    named = f"--metric-regex {one_line(query.regex or '', 80)!r}"
    try:
        end = run([sys.executable, "-I", "-c", _PROGRAM, path, request], Path("/"), {}, deadline)
    except OSError as error:
        return Readings("log", {}, problem=f"{named} cannot be searched for: {error.strerror}")
    if end.how == "exited" and end.code == 0:
        return msgspec.json.decode(end.output, type=Readings)
    return Readings("log", {}, problem=f"{named} {_problem(end, deadline)}")


def _problem(end: CommandEnd, deadline: float) -> str:
    if end.how == "late":
        return f"was still searching the log after {deadline:g} s and was given up: does it backtrack?"
    last_line = (end.errors.decode("utf-8", "replace").strip().splitlines() or [""])[-1]
    return f"could not be searched for (code {end.code}): {one_line(last_line, ERROR_MAX)}"
