"""`arctl` as subprocess.Popen has it, forked from a process that has imported it (tests/support/forge.py).

`arctl status` costs 10 ms of CPU time so, in the place of 50; `arctl mcp` some 50, in the place of a second.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

from tests.support import forge

ARCTL = (sys.executable, "-m", forge.CLIENT)
# What a forged command can be given; with anything else it is started as users start it.
OPTIONS = frozenset({"stdin", "stdout", "stderr", "env", "cwd", "text", "start_new_session"})


def popen(*arguments: str, **options: Any) -> subprocess.Popen[Any]:
    """Start `arctl` in the background; `options` are those of Popen, with `env` and `cwd` among them."""
    return start([*ARCTL, *arguments], **options)


def start(command: Sequence[str], inside: int = 0, **options: Any) -> subprocess.Popen[Any]:
    """Start this command, whatever it is: forked, if it is `arctl` and nothing speaks against it.

    `inside`: the process in whose mount namespace it runs, in the folder `cwd`; 0: in ours.
    """
    forges = (*command[: len(ARCTL)],) == ARCTL and options.keys() <= OPTIONS
    if forges and forge.at_start(options["env"]) == _ours():
        return Client(command, inside, **options)
    within = ("nsenter", f"--target={inside}", "--mount", f"--wd={options['cwd']}") if inside else ()
    return subprocess.Popen([*within, *command], **options)


def run(*arguments: str, timeout: float, **options: Any) -> Any:
    """Run `arctl` to its end, without input; a CompletedProcess with its output."""
    given = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
    with popen(*arguments, **given) as process:
        try:
            out, err = process.communicate(timeout=timeout)
        except BaseException:
            process.kill()
            raise
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def _ours() -> dict[str, str]:
    return forge.at_start({**os.environ, "PYTHONPATH": str(forge.ROOT)})


class Client(subprocess.Popen[Any]):
    """A command whose parent is the forge; all else is as Popen has it."""

    def __init__(self, command: Sequence[str], inside: int, **options: Any) -> None:
        self.inside = inside
        super().__init__(command, **options)

    def _execute_child(self, args: Sequence[str], *given: Any) -> None:
        # In the place of fork(2) and execve(2): Popen hands over by place what it was given.
        folder, environment, leads = given[4], given[5], given[-2]
        ends = given[9:15]  # of the pipes: theirs and ours of stdin, ours and theirs of the two others
        theirs = (ends[0], ends[3], ends[5])
        arguments = [*args[len(ARCTL) :]]
        order = forge.Order(
            forge.CLIENT, arguments, dict(environment), str(folder), leads, inside=self.inside
        )
        place = forge.servers() if arguments[:1] == ["mcp"] else forge.clients()
        self.forked = place.fork(order, [own if fd == -1 else fd for own, fd in enumerate(theirs)])
        self.pid, self._child_created = self.forked.pid, True
        self._close_pipe_fds(*ends)  # type: ignore[attr-defined]

    def _internal_poll(self, *_: Any, **__: Any) -> int | None:
        self.returncode = self.forked.poll()
        return self.returncode

    def _wait(self, timeout: float | None) -> int:
        self.returncode = self.forked.wait(timeout)
        return self.returncode

    def send_signal(self, sig: int) -> None:
        """Send a signal, unless it has ended."""
        self.forked.send(signal.Signals(sig))
