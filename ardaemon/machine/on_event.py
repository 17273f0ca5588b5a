"""Runs a person's command, `on_event` of config.toml, for each notice: one at a time, within its deadline.

Nobody waits for it. Where notices come faster than the command takes them, the oldest go; a failure is told
in the log once, until the command succeeds again. It runs in the home folder, never in a project, so that no
file of a project can stand in for it, and with the daemon's own environment.
"""

import errno
import logging
import os
import shlex
import socket
import time
from collections import deque
from functools import partial
from pathlib import Path

import anyio
import anyio.to_thread
from msgspec.json import encode
from msgspec.structs import replace

from ardaemon.core import places
from ardaemon.core.audits import Audits
from ardaemon.core.config import SUBSCRIBER_QUEUE, Config
from ardaemon.core.errors import ArdaemonError
from ardaemon.core.layout import Experiment
from ardaemon.core.line import cut
from ardaemon.core.live_config import LiveConfig
from ardaemon.core.text import one_line
from ardaemon.host import command, state
from ardaemon.host.command import CommandEnd
from ardaemon.machine import notices
from ardaemon.machine.notices import Endings, Idleness, Message, Notice, Whose
from ardaemon.queue.board import Board

WAITING_MAX = 64  # notices that wait for the command: a night's worth of an hour
PRINTED_MAX = 256  # runs of which what the command printed is kept: each client asks within seconds
FEEDBACK_MAX = 300  # bytes of it that an agent gets: its context is small
FEEDBACK_S = 5.0  # for the command to print it; an agent waits no longer for its verdict
SAID_MAX = 300  # characters of what a failed command printed
# Why a command cannot be started -> what a person does about it.
MENDS = {
    errno.ENOENT: "name its whole path: the PATH that counts is the daemon's",
    errno.EACCES: "it has to be a file of mode 755",
    errno.ENOEXEC: "a script begins with the line #!/bin/sh",
}

RunOf = tuple[str | None, str | None, str | None]  # project, experiment, run

log = logging.getLogger("ardaemon.daemon")


class Notifier:
    """Tell a person's command what is worth notice."""

    def __init__(self, config: LiveConfig, board: Board) -> None:
        self.config, self.board = config, board
        self.idleness, self.endings = Idleness(), Endings()
        self.waiting: deque[Notice] = deque(maxlen=WAITING_MAX)
        self.current: Notice | None = None  # for which the command runs now
        self.came = anyio.Event()
        self.command, self.failure = "", ""  # the command that ran last, and what failed
        self.printed: dict[RunOf, list[str]] = {}  # by run, what the command printed of each notice
        self.ran = anyio.Event()

    async def loop(self) -> None:
        """Follow the events and run the command, until cancelled."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._run_all)
            while True:
                await self._follow()  # whoever is cut off for being behind begins again

    async def _follow(self) -> None:
        send, receive = anyio.create_memory_object_stream[Message](SUBSCRIBER_QUEUE)
        self.board.subscribers.add(send)
        with receive:
            try:
                while True:
                    message = None
                    wait_s = self.idleness.next_s(self.config.now.idle_minutes, time.monotonic())
                    with anyio.move_on_after(wait_s):
                        message = await receive.receive()
                    self._take(message)
            except anyio.EndOfStream:
                log.warning("events were missed", extra={"facts": {"who": "on_event"}})
                self.endings = Endings()  # a session may have begun again
            finally:
                self.board.subscribers.discard(send)
                send.close()

    def audited(self, experiment: Experiment, audits: Audits) -> None:
        """Tell of the hidden audit, where it is worth it. No subscriber of events hears of that."""
        notice = notices.audit(str(experiment.project), experiment.slug, audits)
        if notice is not None:
            self._put(notice)

    def _take(self, message: Message | None) -> None:
        now, minutes = time.monotonic(), self.config.now.idle_minutes
        if message is not None:
            self.idleness.heard(message, now)
            self.endings.heard(message)
            for notice in notices.of(message):
                self._put(notice)
        for whose in self.idleness.over(minutes, now):
            if minutes is not None and not self._is_at_work(whose):
                self._put(notices.idle(whose, minutes))

    def _is_at_work(self, whose: Whose) -> bool:
        """Tell whether a run of the experiment is under way: its commit counts as its next event.

        One more launch of a version is none: no agent has sent it, and its commit counts as nothing.
        """
        candidates = (flight for flight in self.board.flights.values() if not flight.record.of)
        return any((str(f.experiment.project), f.experiment.slug) == whose for f in candidates)

    def _put(self, notice: Notice) -> None:
        config, is_new = self.config.now, self.endings.is_new(notice)
        if config.on_event is None or notice.event not in config.events:
            return
        if not is_new:
            self._keep(notice, "")  # an agent that waits for what the command prints waits for nothing
            return
        self.waiting.append(replace(notice, at=state.now()))
        self.came.set()

    async def _run_all(self) -> None:
        while True:
            await self.came.wait()
            self.came = anyio.Event()
            while self.waiting:
                self.current = self.waiting.popleft()
                await self._run(self.current, self.config.now)
                self.current = None

    async def _run(self, notice: Notice, config: Config) -> None:
        if config.on_event is None:  # taken back meanwhile
            return
        try:
            work = partial(run, config.on_event, config.on_event_seconds, notice)
            failure, printed = await anyio.to_thread.run_sync(work)
        except (ArdaemonError, OSError) as error:
            failure, printed = f"it cannot be started: {_why(error)}", ""
        self._keep(notice, printed)
        if failure and (config.on_event, failure) != (self.command, self.failure):
            facts = {"command": config.on_event, "notice": notice.event, "why": failure}
            log.warning("on_event failed", extra={"facts": facts})
        self.command, self.failure = config.on_event, failure

    def trouble(self) -> str:
        """Return why the command that config.toml names now failed when it last ran; "" if it did not."""
        return self.failure if self.command == self.config.now.on_event else ""

    def _keep(self, notice: Notice, printed: str) -> None:
        if notice.run_id is None:  # nobody asks for it, and it would be kept for ever
            return
        self.printed.setdefault((notice.project, notice.expr, notice.run_id), []).append(printed)
        while len(self.printed) > PRINTED_MAX:
            del self.printed[next(iter(self.printed))]
        self.ran.set()
        self.ran = anyio.Event()

    def is_pending(self, run: RunOf) -> bool:
        """Tell whether the command has yet to run, or runs, for a notice of that run."""
        left = [*self.waiting, *([self.current] if self.current is not None else [])]
        return any((notice.project, notice.expr, notice.run_id) == run for notice in left)

    async def feedback(self, committed: Message, seconds: float = FEEDBACK_S) -> str:
        """Return what the command printed of a run that is committed: one clean line, for its agent.

        Wait for the command, but not for long. Return "" if config.toml does not say `feedback = true`.
        """
        config = self.config.now
        if not config.feedback or config.on_event is None:
            return ""
        expected = [notice for notice in notices.of(committed) if notice.event in config.events]
        whose = {(notice.project, notice.expr, notice.run_id) for notice in expected}
        with anyio.move_on_after(min(max(seconds, 0.0), FEEDBACK_S)):
            while any(len(self.printed.get(key, ())) < len(expected) for key in whose):
                await self.ran.wait()
        lines = " ".join(line for key in whose for line in self.printed.get(key, ()))
        return cut(one_line(lines, FEEDBACK_MAX), FEEDBACK_MAX)


def run(text: str, seconds: float, notice: Notice) -> tuple[str, str]:
    """Run the command with the notice on its standard input.

    Return what failed, or "", and what the command printed, or "" if it failed.
    """
    given = {"at": notice.at, "host": socket.gethostname(), **_facts(notice)}
    stdin = os.memfd_create("notice", os.MFD_CLOEXEC)  # a pipe would have to be fed while the command reads
    try:
        os.write(stdin, encode(given) + b"\n")
        os.lseek(stdin, 0, os.SEEK_SET)
        home = Path(places.home())
        argv = [os.path.expanduser(part) if i == 0 else part for i, part in enumerate(shlex.split(text))]
        end = command.run(argv, home, dict(os.environ), seconds, tail=True, stdin=stdin)
    finally:
        os.close(stdin)
    # The log is for agents too, and what the command prints may be what it was told of the audit.
    failure = _failure(end, seconds, said=notice.event != "audit")
    return failure, "" if failure else one_line(end.output.decode(errors="replace"), FEEDBACK_MAX)


def _facts(notice: Notice) -> Message:
    facts = ((name, getattr(notice, name)) for name in Notice.__struct_fields__)
    return {name: value for name, value in facts if value is not None}


def _failure(end: CommandEnd, seconds: float, said: bool) -> str:
    """Return how the command failed, or "", with the end of what it `said`."""
    if end.wanted or (end.how == "exited" and end.code == 0):
        return ""
    words = one_line(end.output.decode(errors="replace"), SAID_MAX) if said else ""
    how = f"exit code {end.code}" if end.code >= 0 else f"it was ended by {command.signal_name(-end.code)}"
    how = f"it was ended after {seconds:g} s" if end.how == "late" else how
    return f"{how}: {words}" if words else how


def _why(error: ArdaemonError | OSError) -> str:
    """Return why a command cannot be started, and what to do about it."""
    if not isinstance(error, OSError) or error.errno is None:
        return str(error)
    mend = MENDS.get(error.errno)
    return f"{error.filename}: {error.strerror}" + (f" ({mend})" if mend else "")
