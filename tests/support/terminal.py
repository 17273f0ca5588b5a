"""A real terminal, in whose foreground a command runs, and Ctrl+C typed at it."""

import codecs
import fcntl
import os
import pty
import re
import select
import signal
import struct
import termios
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import IO

from tests.support import client
from tests.support.lab import DEADLINE_S
from tests.support.shell import Shell

CTRL_C = b"\x03"


class Terminal:
    """A terminal that becomes the controlling one of a process, without being its stdin, stdout or stderr."""

    def __init__(self) -> None:
        self._ours, self._theirs = pty.openpty()

    def take(self) -> None:
        """Become the leader of a session at this terminal, in its foreground; for `preexec_fn` of Popen."""
        os.setsid()
        fcntl.ioctl(self._theirs, termios.TIOCSCTTY, 0)

    def ctrl_c(self) -> None:
        """Type Ctrl+C: the kernel sends SIGINT to whoever is in the foreground."""
        os.write(self._ours, CTRL_C)

    def close(self) -> None:
        """Close it; the kernel hangs up on who still runs at it."""
        os.close(self._ours)
        os.close(self._theirs)


def typed(arguments: list[str], answers: str, environment: dict[str, str], folder: Path) -> tuple[int, str]:
    """Run `arctl` with a terminal as stdin, stdout and stderr; its code, and what the terminal was sent."""
    ours, theirs = pty.openpty()
    process = client.popen(
        *arguments,
        env=environment,
        cwd=folder,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    os.write(ours, answers.encode())
    shown = b""
    try:
        while block := os.read(ours, 4096):
            shown += block
    except OSError:  # EIO: the other side is closed (pty(7))
        pass
    os.close(ours)
    return process.wait(DEADLINE_S), shown.decode()


class Session:
    """An `arctl` command at a terminal of its own, in its foreground; `behind`: in its background."""

    def __init__(
        self,
        shell: Shell,
        *arguments: str,
        columns: int = 80,
        stdout: IO[str] | None = None,
        behind: bool = False,
        environment: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self._ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        self.columns, self.shown = columns, ""
        self._decoder = codecs.getincrementaldecoder("utf-8")()  # a read may end within a character

        def take() -> None:
            os.setsid()
            fcntl.ioctl(theirs, termios.TIOCSCTTY, 0)
            if behind:
                _give_away(theirs)

        self.process = shell.start(
            *arguments,
            env={**_without_size(shell.lab.environment), "TERM": "xterm", **environment},
            stdin=theirs,
            stdout=theirs if stdout is None else stdout,
            stderr=theirs,
            preexec_fn=take,
        )
        os.close(theirs)

    def until(self, wanted: str) -> str:
        """Read until the terminal was sent this text; all that it was sent."""
        return self._read(lambda: wanted in self.shown, f"{wanted!r}")

    def end(self) -> str:
        """Wait for the command; all that the terminal was sent."""
        self._read(lambda: False, "the end")
        self.process.wait(DEADLINE_S)
        return self.shown

    def ctrl_c(self) -> None:
        """Type Ctrl+C."""
        os.write(self._ours, CTRL_C)

    def close(self) -> None:
        """Close the terminal."""
        os.close(self._ours)

    def _read(self, reached: Callable[[], bool], what: str) -> str:
        end = time.monotonic() + DEADLINE_S
        while not reached():
            left = end - time.monotonic()
            assert left > 0, f"not within {DEADLINE_S:g} s: {what} in {self.shown!r}"
            if select.select([self._ours], [], [], left)[0]:
                try:
                    self.shown += self._decoder.decode(os.read(self._ours, 1 << 16))
                except OSError:  # EIO: the other side is closed (pty(7))
                    break
        return self.shown


def _without_size(environment: dict[str, str]) -> dict[str, str]:
    """The size of pytest's own terminal, which some libraries believe."""
    return {name: value for name, value in environment.items() if name not in ("COLUMNS", "LINES")}


def _give_away(terminal: int) -> None:
    """Put another process group into the foreground, which ends at once."""
    other = os.fork()
    if other == 0:
        signal.pause()
    os.setpgid(other, other)
    os.tcsetpgrp(terminal, other)
    os.kill(other, signal.SIGKILL)
    os.waitpid(other, 0)


def played(text: str, columns: int) -> list[str]:
    """The lines that a terminal shows in the end, which knows colours, \\r, \\n and \\b alone.

    Fails where a line reaches its edge.
    """
    lines, column = [""], 0
    for sign in re.sub(r"\x1b\[[0-9;]*m", "", text):
        if sign == "\r":
            column = 0
        elif sign == "\b":
            column -= 1
        elif sign == "\n":
            lines.append("")
        else:
            assert sign >= " ", repr(sign)
            lines[-1] = lines[-1][:column].ljust(column) + sign + lines[-1][column + 1 :]
            column += 1
            assert column < columns, lines[-1]
    return [line.rstrip() for line in lines]
