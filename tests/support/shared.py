"""`ardaemon` to which each disk may be other machines' too. Run as `python -m tests.support.shared …`.

With NO_LOCKS in its environment, flock(2) says of a project's lock what it says where there are no locks.
"""

import errno
import fcntl
import os
from types import SimpleNamespace

from ardaemon import letting_go
from ardaemon.cli import main
from ardaemon.core import project_owner
from ardaemon.host import file_system, owner_file
from tests.support.prompt import LET_GO_S, REST_S


def flock(_: int, __: int) -> None:
    """Refuse, as on a disk that was mounted without locks."""
    raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))


if __name__ == "__main__":
    file_system.LOCAL = frozenset()
    project_owner.LET_GO_S, letting_go.REST_S = LET_GO_S, REST_S
    if os.environ.pop("NO_LOCKS", ""):
        vars(owner_file)["fcntl"] = SimpleNamespace(flock=flock, LOCK_EX=fcntl.LOCK_EX, LOCK_NB=fcntl.LOCK_NB)
    main()
