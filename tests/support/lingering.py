"""A daemon whose checks leave what cannot be killed: no keeper verifies their end, and no signal reaches it.

`python -m tests.support.lingering serve --ready-fd N`
"""

from typing import Any

from msgspec.structs import replace

from ardaemon.cli import main
from ardaemon.host import processes
from ardaemon.metrics import command
from ardaemon.metrics.command import CommandEnd
from ardaemon.pipeline import check

_run = command.run


def unverified(*given: Any, **options: Any) -> CommandEnd:
    return replace(_run(*given, **options), verified=False)


if __name__ == "__main__":
    command.run = unverified
    check.VERIFY_S = 0.2
    processes.kill = lambda *_: None
    main()
