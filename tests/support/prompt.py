"""`ardaemon` that lets go of a project soon after its last change.

Run as `python -m tests.support.prompt serve …`.
"""

from ardaemon import letting_go
from ardaemon.cli import main
from ardaemon.core import project_owner

LET_GO_S, REST_S = 1.0, 0.1

if __name__ == "__main__":
    project_owner.LET_GO_S, letting_go.REST_S = LET_GO_S, REST_S
    main()
