"""A real terminal of a given size, whose screen can be read: tmux, with a server of its own."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

TMUX = shutil.which("tmux")
needs_tmux = pytest.mark.skipif(TMUX is None, reason="tmux is not installed (Debian: apt-get install tmux)")


class Tmux:
    """One terminal, in which one command runs."""

    def __init__(self, socket: Path) -> None:
        self.socket = socket

    def tell(self, *arguments: str) -> str:
        """Run a command of tmux; its output."""
        assert TMUX is not None
        command = [TMUX, "-S", str(self.socket), "-f", os.devnull, *arguments]
        environment = {**os.environ, "LC_ALL": "C.UTF-8"}
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout

    def text(self) -> str:
        """What is on the screen."""
        return self.tell("capture-pane", "-p")

    def coloured(self) -> str:
        """The same, with its escape sequences."""
        return self.tell("capture-pane", "-p", "-e")

    def type(self, *keys: str) -> None:
        """Press keys, by tmux' names."""
        self.tell("send-keys", *keys)

    def alive(self) -> bool:
        """Does the command still run?"""
        return self.tell("list-panes", "-F", "#{pane_dead}") == "0\n"


@contextmanager
def terminal(folder: Path, command: str, columns: int, lines: int) -> Iterator[Tmux]:
    """A terminal with a shell's command line; at the end, its server and all in it are gone."""
    tmux = Tmux(folder / "tmux")
    tmux.tell("new-session", "-d", "-x", str(columns), "-y", str(lines), "cat")
    try:
        tmux.tell("set-option", "-g", "remain-on-exit", "on")
        tmux.tell("respawn-pane", "-k", command)
        yield tmux
    finally:
        tmux.tell("kill-server")
