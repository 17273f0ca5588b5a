"""Many `arctl` commands in one sandbox, each forked from this process, which has imported them all.

`python -m tests.support.in_turn 'status' 'wait --any'` prints of each, as JSON on a line of its own, its exit
code, its stdout and its stderr.
"""

import importlib
import json
import os
import shlex
import sys
from typing import NoReturn

import arctl.__main__
from arctl.cli import COMMANDS


def main() -> None:
    """Run the commands that are the arguments, one after the other."""
    for module, _ in COMMANDS.values():
        importlib.import_module(f"arctl.commands.{module}")
    for call in sys.argv[1:]:
        out, err = os.memfd_create("out"), os.memfd_create("err")
        pid = os.fork()
        if pid == 0:
            _become(call, out, err)
        status = os.waitpid(pid, 0)[1]
        print(json.dumps([os.waitstatus_to_exitcode(status), _text(out), _text(err)]), flush=True)


def _become(call: str, out: int, err: int) -> NoReturn:
    try:
        os.dup2(out, 1)
        os.dup2(err, 2)
        sys.argv = ["arctl", *shlex.split(call)]
        arctl.__main__.main()
    except BaseException:
        sys.excepthook(*sys.exc_info())
        sys.stderr.flush()
    os._exit(1)


def _text(file: int) -> str:
    with open(file, encoding="utf-8") as stream:
        stream.seek(0)
        return stream.read()


if __name__ == "__main__":
    main()
