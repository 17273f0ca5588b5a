"""The entry point of `ardaemon` and of `python -m ardaemon`."""

import os
import sys

from ardaemon.core import isolated, own_start


def main() -> None:
    """Run `ardaemon`; to serve, replace this process by an isolated one (core/isolated.py) first."""
    own_start.fill_descriptors()
    if "serve" in sys.argv[1:] and not sys.flags.isolated:
        command = isolated.command(*sys.argv[1:])
        os.execve(command[0], command, isolated.environment(os.environ, isolated.FROM_SYSTEMD))
    own_start.begin()
    from ardaemon.cli import main as run

    run()


if __name__ == "__main__":
    main()
