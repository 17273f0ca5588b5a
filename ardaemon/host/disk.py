"""Ask a project's disk in threads of its own, with a deadline: a dead mount holds up that project alone.

Whoever waits for a dead network mount or FUSE filesystem hangs in the kernel: nothing but the answer ends
such a thread. So each project has a few threads of its own, a question is given up after ANSWER_S, and
while one that was given up still hangs, the next is refused at once.
"""

import math
import shlex
import time
from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import cached_property, partial
from pathlib import Path
from typing import TypeVar
from weakref import WeakValueDictionary

import anyio
import anyio.from_thread
import anyio.to_thread

from ardaemon.core.errors import StorageError
from ardaemon.core.interrupting import interruptible
from ardaemon.host import state

T = TypeVar("T")

ANSWER_S = 10.0  # a network mount that fails over to another server answers within it
QUESTIONS_MAX = 4  # of one project at the same time; each takes a millisecond
DISKS_KEPT = 16  # more projects are rarely asked in turns; making one costs a question 10 us
WORKERS_MAX = 16  # threads that write for one project; more runs of it are rarely at work at the same time


class Disks:
    """The disks of all projects, each made when it is first asked.

    Those that were made last are kept. Any other is forgotten when nobody asks it.
    """

    def __init__(
        self,
        owning: Callable[[Path], AbstractContextManager[object]] = nullcontext,
        changed: Callable[[], None] = lambda: None,
    ) -> None:
        """Ask nothing yet. Each change of a project is made within `owning`; `changed` is called after it."""
        self._owning, self._changed = owning, changed
        self._disks: WeakValueDictionary[Path, _Disk] = WeakValueDictionary()
        self._kept: deque[_Disk] = deque(maxlen=DISKS_KEPT)

    async def ask(self, project: Path, work: Callable[[], T]) -> T:
        """Do `work`, which only reads, in a thread. Raises StorageError if it takes longer than ANSWER_S."""
        return await self._of(project).ask(work)

    async def do(self, project: Path, work: Callable[[], T]) -> T:
        """Do `work`, which may write, in a thread, and wait for as long as it takes.

        Raises StorageError at once if the disk is known to hang, and what `owning` raises.
        """
        disk = self._of(project)
        disk.require()
        try:
            return await anyio.to_thread.run_sync(self.owned, project, work, limiter=disk.workers)
        finally:
            self._changed()

    def owned(self, project: Path, work: Callable[[], T]) -> T:
        """Do `work`, which may write, as the project's owner. For a thread."""
        with self._owning(project), state.seen():
            return work()

    def _of(self, project: Path) -> "_Disk":
        disk = self._disks.get(project)
        if disk is None:
            disk = self._disks[project] = _Disk(project)
            self._kept.append(disk)
        return disk


def until_cancelled(work: Callable[[], T]) -> Callable[[], T]:
    """Return the work as one whose looks through folders and files are given up when nobody waits for it.

    It must be such as may end at each of them: as a kill would have it.
    """
    return partial(interruptible, anyio.from_thread.check_cancelled, work)


class _Disk:
    """One project's disk: its threads, and the questions that have no answer yet."""

    def __init__(self, project: Path) -> None:
        self.project = project
        self.askers = anyio.CapacityLimiter(QUESTIONS_MAX)
        self.questions: dict[object, float] = {}  # when each was asked, until its thread is back

    @cached_property  # made at the first change: most disks are only asked, and forgotten after the answer
    def workers(self) -> anyio.CapacityLimiter:
        return anyio.CapacityLimiter(WORKERS_MAX)

    async def ask(self, work: Callable[[], T]) -> T:
        asked = time.monotonic()  # before the deadline is set: a question that was given up is as old as that
        with anyio.CancelScope(deadline=anyio.current_time() + ANSWER_S):
            return await anyio.to_thread.run_sync(
                self._answer, work, asked, abandon_on_cancel=True, limiter=self.askers
            )
        raise self._dead()

    def _answer(self, work: Callable[[], T], asked: float) -> T:
        """Do the work, in a thread. The question counts until the work is back, even if nobody waits for it.

        Raises StorageError if an earlier question was given up and still hangs.
        """
        self.require()  # those that asked before may hang
        question = object()
        self.questions[question] = asked
        try:
            with state.seen():
                return until_cancelled(work)()
        finally:
            del self.questions[question]

    def require(self) -> None:
        """Raise StorageError while a question that was given up still hangs."""
        oldest = min(list(self.questions.values()), default=math.inf)
        if time.monotonic() - oldest >= ANSWER_S:
            raise self._dead()

    def _dead(self) -> StorageError:
        target = shlex.quote(str(self.project))
        return StorageError(
            f"the disk of {self.project} has not answered for {ANSWER_S:g} s",
            f"look at its mount: findmnt --target {target}; what waits there goes on when the disk answers",
        )
