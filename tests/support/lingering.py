"""A daemon whose checks leave what cannot be killed: no keeper verifies their end, and no signal reaches it.

`python -m tests.support.lingering serve --ready-fd N`
"""

import subprocess
import sys
from typing import Any

from msgspec.structs import replace

from ardaemon.cli import main
from ardaemon.host import command, processes
from ardaemon.host.command import CommandEnd, KillPolicy
from ardaemon.pipeline import check

_run, _of_attempt = command.run, check.of_attempt
_left: list[subprocess.Popen[bytes]] = []
READER = [sys.executable, "-c", "import sys; sys.stdin.read()"]


def unverified(argv: Any, folder: Any, environment: Any, *given: Any) -> CommandEnd:
    end = _run(argv, folder, environment, *given)
    _left.append(subprocess.Popen(READER, env=environment, stdin=subprocess.PIPE))
    return replace(end, verified=False)


def of_attempt(*given: Any) -> check.Checks:
    return replace(_of_attempt(*given), policy=KillPolicy(verify=0.2))


if __name__ == "__main__":
    setattr(command, "run", unverified)  # noqa: B010  # with fewer words in its signature
    setattr(check, "of_attempt", of_attempt)  # noqa: B010
    processes.kill = lambda *_: None
    main()
