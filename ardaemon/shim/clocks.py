"""The clocks of a running job: startup, limit and stall (standard library alone, for the shim)."""

import os
import time

from ardaemon.host import signals

READY_POLL_S = 0.1  # between two looks for readiness; an event per log line would cost more
# Looks at the log's size per stall limit. A stall is noticed late by at most that part of the limit, and
# never early. The file's own time would tell exactly when it was written, but by another clock: that of the
# day, or a file server's.
STALL_LOOKS = 16
LINE_MAX = 4 << 10  # bytes of a log line that are matched against --ready-regex
REGEX_READ_MAX = 1 << 20  # bytes looked at per poll
REGEX_CPU_S = 0.5  # per look: a pattern that backtracks without end must not stop the clocks


class TooSlow(Exception):
    """The search for --ready-regex has used up its CPU time."""


class Clocks:
    """The clocks of one running job. All times are CLOCK_MONOTONIC seconds.

    `deadline` is when the limit ends the job. It is set for the longest startup at first, and set again when
    the job is ready. `ready_after` is the seconds from the start to readiness, None until then.
    """

    def __init__(self, spec: dict, started: float, log: int, run_folder: str) -> None:  # type: ignore[type-arg]
        """`spec` is the shim's specification, `log` the descriptor of the open run.log."""
        self.started, self.log, self.run_folder = started, log, run_folder
        self.limit, self.stall = spec["limit"], spec["stall"]
        self.ready_after: float | None = None
        self.trouble: str | None = None
        self.waiting = spec["startup"] is not None
        self.deadline = started + (spec["startup"] or 0.0) + self.limit
        self.startup_ends = started + (spec["startup"] or 0.0)
        self.size, self.quiet_since = 0, time.monotonic()
        self.pattern = self._compile(spec["ready_regex"]) if self.waiting else None
        self.offset, self.partial, self.searching = 0, b"", False

    def _compile(self, text: str | None):  # type: ignore[no-untyped-def]
        if text is None:
            return None
        import re  # here, because it costs half a megabyte in each shim, and few jobs need it

        signals.handle(signals.SIGVTALRM, self._too_slow)
        try:
            return re.compile(text)
        except Exception as error:
            raise ValueError(f"--ready-regex {text!r} does not compile: {error}") from error

    def _too_slow(self, *_: object) -> None:
        if self.searching:
            raise TooSlow

    def pass_over(self, until: int) -> None:
        """Search no line before that byte of the log: what stood there is gone."""
        if self.offset < until:
            self.offset, self.partial = until, b""

    def keep_only_limit(self) -> None:
        """Give up the search for readiness and the stall clock; the startup then ends by time."""
        self.waiting, self.stall = False, None

    def overdue(self, now: float) -> str | None:
        """Return `limit` or `stall` if that time has come, else None."""
        if self.waiting:
            self._look_for_ready(now)
        if now >= self.deadline:
            return "limit"
        if self.stall is not None:
            self._look_at_log(now)
            if now - self.quiet_since >= self.stall:
                return "stall"
        return None

    def next(self, now: float) -> float:
        """Return when to call overdue() again, if no signal comes before."""
        times: list[float] = [self.deadline]
        if self.stall is not None:
            times.append(min(self.quiet_since + self.stall, now + self.stall / STALL_LOOKS))
        if self.waiting:
            times.append(now + READY_POLL_S)
        return min(times)

    def _look_at_log(self, now: float) -> None:
        size = os.fstat(self.log).st_size
        if size != self.size:
            self.size, self.quiet_since = size, now

    def _look_for_ready(self, now: float) -> None:
        if os.path.exists(f"{self.run_folder}/ready") or self._log_is_ready():
            self.ready_after = round(now - self.started, 3)
            self.deadline = now + self.limit
        elif now < self.startup_ends:
            return
        self.waiting = False

    def _log_is_ready(self) -> bool:
        """Return whether a line that was added to the log since the last look matches --ready-regex."""
        if self.pattern is None:
            return False
        data = os.pread(self.log, REGEX_READ_MAX, self.offset)
        if not data:
            return False
        self.offset += len(data)
        lines = (self.partial + data).replace(b"\r", b"\n").split(b"\n")
        self.partial = lines[-1][:LINE_MAX]
        try:
            return self._search(lines)
        except TooSlow:
            self.pattern = None  # it would be too slow again: the file `ready` or the time ends the startup
            self.trouble = "--ready-regex was given up: it took too long on a line"
            return False

    def _search(self, lines: list[bytes]) -> bool:
        """Return whether a line matches.

        Raises TooSlow, because `re` looks for signals while it backtracks.
        """
        search = self.pattern.search  # type: ignore[union-attr]  # only called with one
        # CPU time, not elapsed time: a busy or suspended machine must not use up the pattern's share.
        signals.setitimer(signals.ITIMER_VIRTUAL, REGEX_CPU_S)
        self.searching = True
        try:
            return any(search(line[:LINE_MAX].decode("utf-8", "replace")) for line in lines)
        finally:
            self.searching = False
            signals.setitimer(signals.ITIMER_VIRTUAL, 0)
