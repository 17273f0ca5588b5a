"""`ardaemon` to which each disk may be other machines' too. Run as `python -m tests.support.shared …`.

With NO_LOCKS in its environment, a try for a project's lock finds what it finds where there are none.
"""

import os

from ardaemon import cli, letting_go
from ardaemon.core import project_owner
from ardaemon.core.locking import Lock
from ardaemon.host import file_system, owner_file
from tests.support.prompt import LET_GO_S, REST_S


def attempt(_: int, __: int) -> Lock:
    """Find what is found on a disk that was mounted without locks."""
    return "unknown"


def main() -> None:
    """Run it."""
    file_system.LOCAL = frozenset()
    project_owner.LET_GO_S, letting_go.REST_S = LET_GO_S, REST_S
    if os.environ.pop("NO_LOCKS", ""):
        assert hasattr(owner_file, "attempt")  # the daemon's own folders keep their locks
        vars(owner_file)["attempt"] = attempt
    cli.main()


if __name__ == "__main__":
    main()
