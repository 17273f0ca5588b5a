"""`ardaemon` that lets go of a project soon after its last change, and soon says what it waits for itself.

Run as `python -m tests.support.prompt serve …`.
"""

from ardaemon import cli, letting_go
from ardaemon.core import project_owner
from ardaemon.handlers import context

LET_GO_S, REST_S, TOLD_S = 1.0, 0.1, 0.1


def main() -> None:
    """Run it."""
    project_owner.LET_GO_S, letting_go.REST_S, context.OWNER_TOLD_S = LET_GO_S, REST_S, TOLD_S
    cli.main()


if __name__ == "__main__":
    main()
