"""The widget that shows the lines of the layout; of each new picture only the lines that differ are drawn."""

from collections.abc import Callable

from rich.segment import Segment
from rich.style import Style
from textual.geometry import Region
from textual.strip import Strip
from textual.widget import Widget

from arctl.watch.paint import Line, text_of

# The terminal's own colours and its own background: so a light terminal stays light. Where there are no
# colours, the words say the same.
STYLES = {
    "": Style(),
    "dim": Style(dim=True),
    "title": Style(bold=True),
    "good": Style(color="green"),
    "bad": Style(color="red", bold=True),
    "warn": Style(color="yellow"),
    "info": Style(color="cyan", bold=True),
    "best": Style(color="green"),
    "selected": Style(reverse=True),
}


class Board(Widget):
    """Shows lines; `lines` are replaced by show()."""

    lines: list[Line] = []  # noqa: RUF012 - replaced as a whole, never changed

    def __init__(self, resized: Callable[[], None]) -> None:
        """Call `resized` once the board has another size."""
        super().__init__()
        self._resized = resized

    def on_resize(self) -> None:
        """Have other lines made. The terminal's own event comes before the board has its new size."""
        self._resized()

    def show(self, lines: list[Line]) -> None:
        """Show these lines."""
        before, self.lines = self.lines, lines
        if len(before) != len(lines):
            self.refresh()
            return
        width = self.size.width
        changed = [at for at, (old, new) in enumerate(zip(before, lines, strict=True)) if old != new]
        if changed:
            self.refresh(*(Region(0, at, width, 1) for at in changed))

    def render_line(self, y: int) -> Strip:
        """Return one line, as Textual asks for it."""
        if y >= len(self.lines):
            return Strip.blank(self.size.width)
        return Strip([Segment(text, STYLES[style]) for style, text in self.lines[y] if text])

    def text(self) -> str:
        """Return what is shown, without its styles."""
        return "\n".join(text_of(line).rstrip() for line in self.lines)
