"""Many `arctl` commands in one sandbox, each forked from this process, which has imported them all.

`python -m tests.support.in_turn 'status' 'wait --any'` prints of each, as JSON on a line of its own, its exit
code, its stdout and its stderr.
"""

import importlib
import json
import shlex
import sys

import arctl.__main__
from arctl.cli import COMMANDS
from tests.support.forked import forked


def main() -> None:
    """Run the commands that are the arguments, one after the other."""
    for module, _ in COMMANDS.values():
        importlib.import_module(f"arctl.commands.{module}")
    for call in sys.argv[1:]:
        sys.argv = ["arctl", *shlex.split(call)]
        print(json.dumps(forked(arctl.__main__.main)), flush=True)


if __name__ == "__main__":
    main()
