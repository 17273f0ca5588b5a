"""`ardaemon` whose shims are killed right before the operation that $SHIM_DIES names.

It is one of host/operations.py, as `spawn`; the n-th of its kind with `spawn#n`. Run as
`python -m tests.support.faulty_shim serve …`.
"""

import os

from ardaemon.cli import main
from ardaemon.engines.local import spare

DIES = """
import os, signal
from ardaemon.host import operations
left = [{times}]
def die(name, *_):
    if name == {name!r}:
        left[0] -= 1
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)
operations.hook = die
"""


def hooked(program: str, hook: str) -> str:
    """The shim's program with `hook` run before its main(), which looks for no modules but its own."""
    path, _, run = program.partition("; from ")
    return f"{path}\n{hook}\nfrom {run}"


def dying(where: str) -> str:
    """The hook that kills the shim there."""
    name, _, times = where.partition("#")
    return DIES.format(name=name, times=times or 1)


if __name__ == "__main__":
    spare._PROGRAM = hooked(spare._PROGRAM, dying(os.environ["SHIM_DIES"]))
    main()
