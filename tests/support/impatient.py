"""`ardaemon` that gives up a disk which does not answer, and the threads that hang there, sooner.

Run as `python -m tests.support.impatient serve …`.
"""

from ardaemon import daemon
from ardaemon.cli import main
from ardaemon.host import disk

ANSWER_S, THREADS_END_S = 4.0, 1.0  # in the place of limits that leave time to a mount that fails over

if __name__ == "__main__":
    disk.ANSWER_S, daemon.THREADS_END_S = ANSWER_S, THREADS_END_S
    main()
