"""The screens that lie over the board for a while: a text, a question, a choice, a line to type."""

from collections.abc import Sequence
from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen, Screen
from textual.widgets import Input, OptionList, RichLog, Static

from arctl.watch.board import STYLES
from arctl.watch.paint import Line
from ardaemon.core.text import ELLIPSIS

LINES_MAX = 5000  # of a text: a log that is followed goes on for days
LINE_MAX = 2000  # characters of one line
LEAVE: list[BindingType] = [Binding("escape,q,ctrl+c", "leave", "back")]


def shortened(line: str) -> str:
    """Return at most LINE_MAX characters of a line, and an ellipsis where it goes on."""
    return line if len(line) <= LINE_MAX else line[:LINE_MAX] + ELLIPSIS


class TextScreen(Screen[None]):
    """A text, which may grow: a log, a diff, the report, the help."""

    BINDINGS: ClassVar[list[BindingType]] = [
        *LEAVE,
        Binding("home,g", "top"),
        Binding("end,G", "bottom"),
    ]

    def __init__(self, title: str, lines: Sequence[Line] = (), at_end: bool = False) -> None:
        super().__init__()
        self.heading, self.given = title, lines
        self.log_of = RichLog(max_lines=LINES_MAX, auto_scroll=at_end, wrap=True)
        self._rest = ""

    def compose(self) -> ComposeResult:
        yield Static(Text(f" {self.heading}   (q: back)", style=STYLES["title"]), id="heading")
        yield self.log_of

    def on_mount(self) -> None:
        """Show what there is already."""
        self.add(self.given)
        self.log_of.focus()

    def add(self, lines: Sequence[Line]) -> None:
        """Add some lines."""
        for line in lines:
            self.log_of.write(Text.assemble(*((text, STYLES[style]) for style, text in line)))

    def piece(self, text: str) -> None:
        """Add a piece of a text that grows: a line is shown, cut, once it has its end."""
        *whole, rest = (self._rest + text).split("\n")
        self._rest = rest[: LINE_MAX + 1]  # one more than is shown, so that it is seen to be cut
        self.add([(("", shortened(line)),) for line in whole[-LINES_MAX:]])

    def end(self, text: str) -> None:
        """Add the last piece, and a line that says that nothing more comes."""
        self.piece(text if not self._rest and not text else f"{text}\n")
        self.add([(("dim", "— end —"),)])

    def action_leave(self) -> None:
        """Go back."""
        self.dismiss()

    def action_top(self) -> None:
        """Show the beginning."""
        self.log_of.scroll_home(animate=False)

    def action_bottom(self) -> None:
        """Show the end."""
        self.log_of.scroll_end(animate=False)


class Question(ModalScreen[bool]):
    """A question that is answered with y or n."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y", "answer(True)"),
        Binding("n,escape,q,ctrl+c", "answer(False)"),
    ]

    def __init__(self, question: str) -> None:
        super().__init__()
        self.question = question

    def compose(self) -> ComposeResult:
        yield Vertical(Static(Text(f"{self.question}\n\ny: yes   n: no")), classes="dialog")

    def action_answer(self, yes: bool) -> None:
        """Go back with the answer."""
        self.dismiss(yes)


class Choice(ModalScreen[int | None]):
    """A list, of which one entry is chosen."""

    BINDINGS: ClassVar[list[BindingType]] = LEAVE

    def __init__(self, heading: str, entries: Sequence[str]) -> None:
        super().__init__()
        self.heading, self.entries = heading, entries

    def compose(self) -> ComposeResult:
        heading = Static(Text(self.heading, style=STYLES["title"]))
        yield Vertical(heading, OptionList(*map(Text, self.entries)), classes="dialog")

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """Go back with the entry's place in the list."""
        self.dismiss(event.option_index)

    def action_leave(self) -> None:
        """Go back without a choice."""
        self.dismiss(None)


class Typed(ModalScreen[str | None]):
    """A line to type."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "leave", "back")]

    def __init__(self, heading: str, value: str) -> None:
        super().__init__()
        self.heading, self.value = heading, value

    def compose(self) -> ComposeResult:
        yield Vertical(Static(Text(self.heading)), Input(self.value), classes="dialog")

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Go back with what was typed."""
        self.dismiss(event.value)

    def action_leave(self) -> None:
        """Go back without it."""
        self.dismiss(None)
