"""`ardaemon` that looks ten times a second at the disks of runs under way, in the place of each 10 s.

Run as `python -m tests.support.alert serve …`.
"""

from ardaemon.cli import main
from ardaemon.pipeline import log_quota

if __name__ == "__main__":
    log_quota.LOOK_S = 0.1
    main()
