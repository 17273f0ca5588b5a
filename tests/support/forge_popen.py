"""subprocess.Popen whose process comes from a forge (tests/support/forge.py)."""

import signal
import subprocess
from collections.abc import Mapping, Sequence
from typing import Any

from tests.support.forge import Forked, Order, Orders

Way = tuple[Orders, Order]  # where a process is ordered, and which


class Popen(subprocess.Popen[Any]):
    """A process whose parent is the forge; all else is as Popen has it."""

    forked: Forked | None = None

    def order(
        self, args: Sequence[str], folder: str, environment: Mapping[str, str], leads: bool
    ) -> Way | None:
        """Return what is ordered, and where; None: it is started as ever."""
        raise NotImplementedError

    def _execute_child(self, args: Sequence[str], *given: Any) -> None:
        # In the place of fork(2) and execve(2): Popen hands over by place what it was given.
        way = self.order(args, str(given[4]), given[5], given[-2])
        if way is None:
            super()._execute_child(args, *given)  # type: ignore[misc]
            return
        ends = given[9:15]  # of the pipes: theirs and ours of stdin, ours and theirs of the two others
        theirs = (ends[0], ends[3], ends[5])
        place, order = way
        self.forked = place.fork(order, [own if fd == -1 else fd for own, fd in enumerate(theirs)])
        self.pid, self._child_created = self.forked.pid, True
        self._close_pipe_fds(*ends)  # type: ignore[attr-defined]

    def _internal_poll(self, *given: Any, **named: Any) -> int | None:
        if self.forked is None:
            return super()._internal_poll(*given, **named)  # type: ignore[misc,no-any-return]
        self.returncode = self.forked.poll()
        return self.returncode

    def _wait(self, timeout: float | None) -> int:
        if self.forked is None:
            return super()._wait(timeout)  # type: ignore[misc,no-any-return]
        self.returncode = self.forked.wait(timeout)
        return self.returncode

    def send_signal(self, sig: int) -> None:
        """Send a signal, unless it has ended."""
        if self.forked is None:
            super().send_signal(sig)
        else:
            self.forked.send(signal.Signals(sig))
