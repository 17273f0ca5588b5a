"""Wait for one run: through signals and restarts of the daemon, and with a word on how it goes meanwhile."""

import time
from collections.abc import Callable
from contextlib import nullcontext
from typing import TYPE_CHECKING

from arctl.base import (
    EXIT_OF_STATUS,
    EXIT_STILL_RUNNING,
    NOT_LAUNCHED,
    Here,
    complain,
    has_ended,
    line_moves,
    say,
    say_json,
)
from arctl.dial import Answer, Stopped
from arctl.render import progress
from arctl.render import run as run_lines
from arctl.render.line import project_line
from arctl.signals import NOT_CTRL_C, Detached, is_ctrl_c, leaving_on_signals
from ardaemon.core.errors import ArdaemonError, UnderWay, UsageError

if TYPE_CHECKING:
    from arctl.watch.moving import Moving

COLOURS = {"advance": "green", "revert": "yellow"}
START_S = 1.0  # a run that has not started by then waits for something: an agent, or a person, is told


class Watch:
    """Wait for one run and print what becomes of it.

    On stderr stands meanwhile how it goes: at a terminal a line that moves, elsewhere what it waits for.
    """

    def __init__(self, here: Here, as_json: bool, timeout: float | None, exit_zero: bool) -> None:
        self.here = here
        self.as_json = as_json
        self.exit_zero = exit_zero
        self.deadline = None if timeout is None else time.monotonic() + timeout
        self.run_id: str | None = None
        self.submits = False  # what is not submitted yet cannot be waited for
        self.moving: Moving | None = None

    def run(self, submit: Callable[[], Answer]) -> int:
        """Submit and wait; the first Ctrl+C interrupts the run, the second one leaves it alone.

        Every other signal leaves it alone at once.
        """
        self.submits = True
        with leaving_on_signals():
            try:
                try:
                    view = submit()
                    self.run_id = str(view["run_id"])
                    if not self.as_json:
                        say_project(self.here, view)
                    return self._follow()
                except KeyboardInterrupt:
                    if not is_ctrl_c():
                        raise Detached(NOT_CTRL_C) from None
                    return self._interrupt(submit)
            except (KeyboardInterrupt, Detached, Stopped) as why:
                return self._leave(why, answered=self.run_id is not None)

    def wait(self, run_id: str | None, any_run: bool) -> int:
        """Wait for a run that is under way; every signal just leaves."""
        self.run_id = run_id
        with leaving_on_signals():
            try:
                view = self._launched(any_run)
                over = view.get("result") is not None or view["state"] in NOT_LAUNCHED
                return self._say(view) if over else self._finish(any_run)
            except (KeyboardInterrupt, Detached, Stopped) as why:
                return self._leave(why)

    def show(self, error: UnderWay) -> int:
        """Show the run that is under way already, and what is known of it, without waiting."""
        complain(f"warning: {error.message}: nothing was recorded")
        self.run_id, self.deadline = str(error.data["run_id"]), time.monotonic()
        return self._finish()

    def _follow(self) -> int:
        view = self._launched()
        if view["state"] in NOT_LAUNCHED:
            return self._still(view)
        if not self.as_json:
            say(run_lines.launched(view))
        return self._finish()

    def _launched(self, any_run: bool = False) -> Answer:
        """Wait until the run is launched, or the time is over; tell what it waits for."""
        moves = line_moves()
        view = self._ask(until="launched", any=any_run, within=0.0 if moves else START_S)
        if not any_run:
            self.run_id = str(view["run_id"])  # the latest run may soon be another one
        if moves and view.get("result") is None:
            self._show(view, any_run)
        elif self._waits(view):
            view = self._told(view, any_run)
        return self._ask(until="launched", any=any_run) if self._waits(view) else view

    def _told(self, view: Answer, any_run: bool) -> Answer:
        """Say what the run waits for; once more where a person closes the queue, and must open it again."""
        complain(progress.waiting(view))
        try:
            closed = self._ask(until="launched_or_closed", any=any_run)
        except UsageError:  # an earlier daemon does not know that word
            return view
        if self._waits(closed) and closed.get("why") != view.get("why"):
            complain(progress.waiting(closed))
        return closed

    def _waits(self, view: Answer) -> bool:
        """Tell whether the run still waits, and there is time left."""
        left = self.deadline is None or time.monotonic() < self.deadline
        return left and view["state"] in NOT_LAUNCHED

    def _finish(self, any_run: bool = False) -> int:
        return self._say(self._ask(until="committed", any=any_run))

    def _say(self, view: Answer) -> int:
        """Print what has become of the run, or how to go on waiting for it."""
        result = view.get("result")
        if result is None:
            return self._still(view)
        if self.as_json:
            say_json({**result, "feedback": view["feedback"]} if view.get("feedback") else result)
        else:
            _say_verdict(view, result)
        return self._code(EXIT_OF_STATUS.get(str(result["status"]), ArdaemonError.exit_code))

    def _interrupt(self, submit: Callable[[], Answer]) -> int:
        """Ask the daemon to interrupt the run, then wait for its verdict as before."""
        if self.run_id is None:
            self.run_id = str(submit()["run_id"])
        complain(f"interrupting {self.run_id} (Ctrl+C again leaves it to the daemon)")
        try:
            view = self.here.ask("run.cancel", run_id=self.run_id, manual=True)
            if has_ended(view):
                complain(run_lines.too_late(view, self._hint()))
                if view["state"] != "exited":
                    complain("its session is as it was; to end it: arctl session stop")
        except ArdaemonError as error:  # as when it was committed in the meantime
            complain(f"warning: {error.message}")
        self.deadline = None
        return self._finish()

    def _leave(self, why: BaseException, answered: bool = True) -> int:
        reason = f" ({why})" if str(why) else ""
        goes_on = ": the run goes on" if answered else " before the daemon had answered"
        try:
            complain(f"detached{reason}{goes_on}, call: {self._hint()}")
        except OSError:  # the terminal was closed: that is why we leave
            pass
        if answered:
            return self._code(EXIT_STILL_RUNNING)
        return why.exit_code if isinstance(why, Stopped) else EXIT_STILL_RUNNING  # no run may go on

    def _still(self, view: Answer) -> int:
        self.run_id = str(view["run_id"])
        if self.as_json:
            say_json(view)
        else:
            say(run_lines.still_running(view, self._hint()))
        return self._code(EXIT_STILL_RUNNING)

    def _code(self, code: int) -> int:
        """Return the exit code of a run that was judged or goes on."""
        return 0 if self.exit_zero else code

    def _show(self, view: Answer, any_run: bool) -> None:
        """From here on show a line that moves, with the daemon's warnings above it."""
        from arctl.watch.moving import Moving  # threads and a second connection, for people only

        self.moving = Moving(view, any_run)
        self.here.client.tell = self.moving.above

    def _ask(self, within: float | None = None, **params: object) -> Answer:
        """Wait until the deadline, or `within` so many seconds if that is sooner."""
        ends = [] if self.deadline is None else [self.deadline]
        ends += [] if within is None else [time.monotonic() + within]
        params.update(run_id=self.run_id)
        with nullcontext() if self.moving is None else self.moving.shown():
            view = self.here.ask("run.wait", deadline=min(ends, default=None), **params)
        if self.moving is not None:
            self.moving.see(view)
        return view

    def _hint(self) -> str:
        if self.run_id is None and self.submits:
            return "arctl status"
        return self.here.hint(self.run_id) + (" --exit-zero" if self.exit_zero else "")


def say_project(here: Here, view: Answer) -> None:
    """Name the project and its runner, where the current folder is not the project's."""
    if here.elsewhere:
        say(project_line(here.project, str(view.get("runner") or "")))


def _say_verdict(view: Answer, result: Answer) -> None:
    metric, verdict, closing = run_lines.verdict_lines(view, result)
    say(metric)
    say(verdict, fg=COLOURS.get(str(result["verdict"]), "red"))
    if view.get("feedback"):  # before the last line, by which a loop goes on
        say(run_lines.feedback(view))
    say(closing)
