"""A process in which all guards are loaded: each event is judged by a fork of it, as an agent's would be.

Started as an agent starts a guard, by `guards.py`. A request is a line of JSON, and so is each answer.
"""

import json
import os
import sys
from functools import partial
from typing import Any

from tests.support.forked import forked

GUARDS = ("edit", "compact", "stop")


def main(hooks: str) -> None:
    """Answer requests until stdin ends."""
    sys.path.insert(0, hooks)
    import guard

    for name in GUARDS:
        __import__(f"guards.{name}")
    with os.fdopen(
        os.dup(0), encoding="utf-8"
    ) as requests:  # sys.stdin is the forks': nothing is read of it here
        for line in requests:
            request = json.loads(line)
            said = forked(partial(_judge, guard.main, request), request["data"].encode("latin-1"))
            print(json.dumps(said), flush=True)


def _judge(guard: Any, request: dict[str, Any]) -> None:
    os.environ.clear()
    os.environ.update(request["environment"])
    sys.exit(guard(request["guard"]))
