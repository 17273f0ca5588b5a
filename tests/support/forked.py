"""Run something in a fork of this process, and return what it printed and its exit code.

A process that has loaded all that many short commands need forks one for each of them in a millisecond, where
an interpreter of its own takes 30 to 300.
"""

import os
import sys
from collections.abc import Callable
from typing import NamedTuple, NoReturn


class Ended(NamedTuple):
    """The exit code of a fork, negative for a signal, and what it wrote."""

    code: int
    out: str
    err: str


def forked(do: Callable[[], object], stdin: bytes = b"") -> Ended:
    """Fork; `do` ends the fork by SystemExit, or by its return with code 0."""
    given, out, err = (os.memfd_create(name) for name in ("stdin", "stdout", "stderr"))
    os.pwrite(given, stdin, 0)
    pid = os.fork()
    if pid == 0:
        _become(do, (given, out, err))
    status = os.waitpid(pid, 0)[1]
    os.close(given)
    return Ended(os.waitstatus_to_exitcode(status), _text(out), _text(err))


def _become(do: Callable[[], object], files: tuple[int, int, int]) -> NoReturn:
    code: object = 1
    try:
        for number, file in enumerate(files):
            os.dup2(file, number)
        do()
        code = 0
    except SystemExit as ended:
        code = ended.code
    except BaseException:
        sys.excepthook(*sys.exc_info())
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code if isinstance(code, int) else 0 if code is None else 1)


def _text(file: int) -> str:
    with open(file, encoding="utf-8") as stream:
        stream.seek(0)
        return stream.read()
