"""The keys of the live view: select, follow, show, cancel, hold, switch, filter, leave."""

from typing import Any, ClassVar

from textual.binding import Binding, BindingType

from arctl.watch import actions
from arctl.watch.asker import Call, Work
from arctl.watch.dialogs import Choice, Question, TextScreen, Typed
from arctl.watch.model import Ask, Key
from arctl.watch.view import View
from ardaemon.core.errors import ArdaemonError

HELP = (
    "↑ ↓ j k      select a run; PgUp PgDn: ten further",
    "Enter, l     follow the log of the selected run (else of the one that runs, or the latest)",
    "d            what the run changed in train.py",
    "o            the report: what all runs have shown",
    "p            write the report as a page for a browser, into the current folder",
    "c            cancel the run, after a question",
    "h            hold a waiting run, or release it",
    "e            switch to another experiment",
    "/            filter runs and verdicts by a text; an empty one shows all",
    "?            this help",
    "q            leave: whatever runs goes on",
    "",
    "The curve is that of the selected run; dotted, the best run's. A graph of a GPU is as old as this view.",
)


class Watch(View):
    """The live view of one experiment, and of all runs on this machine."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down,j", "move(1)"),
        Binding("up,k", "move(-1)"),
        Binding("pagedown", "move(10)"),
        Binding("pageup", "move(-10)"),
        Binding("l,enter", "log"),
        Binding("d", "diff"),
        Binding("o", "report"),
        Binding("p", "page"),
        Binding("c", "cancel"),
        Binding("h", "hold"),
        Binding("e", "experiment"),
        Binding("slash", "filter"),
        Binding("question_mark", "help"),
        Binding("escape", "unselect"),
        Binding("q,ctrl+c", "quit"),
        Binding("ctrl+z", "suspend_process"),
    ]

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Tell whether a key does something now: over the board lies a text, it is the text's."""
        return action == "quit" or len(self.screen_stack) == 1

    def _focus(self) -> Key | None:
        """Return the run that a key is about; say so where there is none."""
        focus = self.model.focus()
        if focus is None:
            self.say("there is no run yet")
        return focus

    def say(self, notice: str) -> None:
        """Say what became of a key, in the last line."""
        self.model.notice = notice
        self.changed()

    def action_move(self, by: int) -> None:
        """Select another run."""
        self.model.notice = ""
        self.model.move(by)
        self.changed()

    def action_unselect(self) -> None:
        """Select nothing: the curve is that of the run at work again."""
        self.model.selected, self.model.notice = None, ""
        self.changed()

    def action_help(self) -> None:
        """Show the keys."""
        self.push_screen(TextScreen("keys", [(("", line),) for line in HELP]))

    def action_log(self) -> None:
        """Follow the log of a run."""
        if (run := self._focus()) is not None:
            self.push_screen(actions.LogScreen(run))

    def action_diff(self) -> None:
        """Show what a run changed."""
        if (run := self._focus()) is not None:
            self._show(f"what {run[2]} changed", lambda call: actions.diff(call, run))

    def action_report(self) -> None:
        """Show the report of the experiment."""
        place = self.model.place
        self._show(f"report of {place[1]}", lambda call: actions.report(call, place))

    def action_page(self) -> None:
        """Write the report as a page for a browser."""
        place = self.model.place
        self.say("the page is being made")
        self.asker.ask(lambda call: actions.page(call, place), self._say_what_came)

    def _say_what_came(self, value: str | ArdaemonError) -> None:
        self.say(value.message if isinstance(value, ArdaemonError) else value)

    def _show(self, heading: str, work: Work) -> None:
        """Show the lines that the work makes, on a screen of their own."""

        def then(value: Any) -> None:
            if isinstance(value, ArdaemonError):
                self.say(value.message)
            else:
                self.push_screen(TextScreen(heading, value))

        self.asker.ask(work, then)

    def action_cancel(self) -> None:
        """Cancel a run that is under way, after a question."""
        run = self._focus()
        view = self.model.run(run)
        if run is None or view is None:
            self.say("only a run that is under way can be cancelled")
            return

        def answered(yes: bool | None) -> None:
            if yes:
                self._change("run.cancel", run, f"{run[2]} is cancelled")

        lost = "It has not started." if view["state"] == "queued" else "What it has done so far is lost."
        self.push_screen(Question(f"Cancel {run[2]} of {run[1]}? {lost}"), answered)

    def action_hold(self) -> None:
        """Hold a run that waits, or release it."""
        run = self._focus()
        view = self.model.run(run)
        if run is None or view is None or view["state"] != "queued":
            self.say("only a run that waits can be held")
        elif view.get("held"):
            self._change("queue.release", run, f"{run[2]} may start again")
        else:
            self._change("queue.hold", run, f"{run[2]} is held until it is released")

    def _change(self, method: str, run: Key, done: str) -> None:
        def work(call: Call) -> str:
            call(method, **Ask(method, run).params)
            return done

        self.asker.ask(work, self._say_what_came)

    def action_experiment(self) -> None:
        """Switch to another experiment: of this project, or one that has runs under way."""
        places = actions.places(self.model)

        def chosen(entry: int | None) -> None:
            if entry is not None:
                self.model.switch(places[entry])
                self.changed()

        entries = [actions.place_name(place, self.model.place) for place in places]
        self.push_screen(Choice("Which experiment?", entries), chosen)

    def action_filter(self) -> None:
        """Show only runs and verdicts in which a text stands."""

        def typed(text: str | None) -> None:
            if text is not None:
                self.model.filter, self.model.selected = text.strip(), None
                self.changed()

        heading = "Show only runs with this text in their id, verdict, note or experiment:"
        self.push_screen(Typed(heading, self.model.filter), typed)
