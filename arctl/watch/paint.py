"""Lines of styled text, as wide as they are told: pieces, bars, small graphs. Pure: no I/O.

A style is a name of STYLES in board.py, which knows the colours; "" is plain text. Widths are columns of a
terminal, in which a character may take two.
"""

from collections.abc import Iterable, Iterator, Sequence

from rich.cells import cell_len, set_cell_size

from ardaemon.core.text import ELLIPSIS, one_line

Piece = tuple[str, str]  # style, text
Line = tuple[Piece, ...]
EMPTY: Line = ()
FULL, REST = "━", "─"
GAP = " │ "  # between two columns of panels


def text_of(line: Line) -> str:
    """Return a line without its styles."""
    return "".join(text for _, text in line)


def safe(text: object, most: int) -> str:
    """Return what others wrote as one clean line of at most `most` characters."""
    return one_line(str(text), most)


def fitted(line: Line, width: int) -> Line:
    """Return the line cut, with an ellipsis, or filled up to exactly `width` columns."""
    left, pieces = width, []
    for style, text in line:
        size = cell_len(text)
        if size > left:
            pieces.append((style, set_cell_size(text, max(left - 1, 0)) + ELLIPSIS[:left]))
            left = 0
            break
        pieces.append((style, text))
        left -= size
    return (*pieces, ("", " " * left)) if left else tuple(pieces)


def block(lines: Iterable[Line], width: int, height: int) -> list[Line]:
    """Return exactly `height` lines of exactly `width` columns."""
    some = list(lines)[:height]
    return [fitted(line, width) for line in [*some, *[EMPTY] * (height - len(some))]]


def beside(left: Sequence[Line], right: Sequence[Line]) -> list[Line]:
    """Put two blocks of equal height beside each other."""
    return [(*one, ("dim", GAP), *other) for one, other in zip(left, right, strict=True)]


def title(text: str, width: int) -> Line:
    """Return the line above a panel."""
    head = f"── {text} "
    return ("title", head), ("dim", REST * max(width - cell_len(head), 0))


def packed(chunks: Iterable[Line], width: int) -> Iterator[Line]:
    """Yield lines with as many of the chunks as they have room for; no chunk is divided."""
    line = EMPTY
    for chunk in chunks:
        if line and cell_len(text_of((*line, *chunk))) > width:
            yield line
            line = EMPTY
        line = (*line, *chunk)
    yield line


def marked(line: Line) -> Line:
    """Return the line as the one that is selected."""
    return tuple(("selected", text) for _, text in line)


def bar(share: float, width: int) -> str:
    """Return how much of something is used up."""
    full = round(min(max(share, 0.0), 1.0) * width)
    return FULL * full + REST * (width - full)


def ago(seconds: float) -> str:
    """Return a time as a person says it: `12 s`, `3 min`, `2 h 05 min`."""
    whole = max(int(seconds), 0)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min"
    return f"{whole // 3600} h {whole % 3600 // 60:02} min"


def clock(seconds: float) -> str:
    """Return a duration as a clock shows it: `2:05`, `1:00:00`."""
    whole = max(int(seconds), 0)
    minutes = f"{whole % 3600 // 60}:{whole % 60:02}"
    return minutes if whole < 3600 else f"{whole // 3600}:{minutes.rjust(5, '0')}"
