"""`arctl` as subprocess.Popen has it, forked from a process that has imported it (tests/support/forge.py).

`arctl status` costs 10 ms of CPU time so, in the place of 50; `arctl mcp` some 50, in the place of a second.
"""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from tests.support import forge, forge_popen

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


class Client(forge_popen.Popen):
    """A command whose parent is the forge; all else is as Popen has it."""

    def __init__(self, command: Sequence[str], inside: int, **options: Any) -> None:
        self.inside = inside
        super().__init__(command, **options)

    def order(
        self, args: Sequence[str], folder: str, environment: Mapping[str, str], leads: bool
    ) -> forge_popen.Way:
        """Return what is ordered, and where."""
        arguments = [*args[len(ARCTL) :]]
        place = forge.servers() if arguments[:1] == ["mcp"] else forge.clients()
        order = forge.Order(forge.CLIENT, arguments, dict(environment), folder, leads, inside=self.inside)
        return place, order
