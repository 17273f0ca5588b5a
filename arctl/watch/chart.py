"""Curves drawn with braille characters, each of which has two columns and four rows of dots. Pure: no I/O."""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

from arctl.watch.paint import Line, Piece, fitted
from ardaemon.core.line import number

# The bits of the dots of one character, by column and row (Unicode, "Braille Patterns").
DOTS = ((0x01, 0x02, 0x04, 0x40), (0x08, 0x10, 0x20, 0x80))
BLANK = 0x2800
LABEL = 9  # columns for the values at the left
DOTTED = 3  # of a dotted curve every third dot is drawn: it can be told from the other one without colours
# A first loss may be a hundred times the last one. So many of all values set the scale; those beyond it are
# drawn at the edge.
SHOWN_SHARE = 0.9

Dot = tuple[int, int]


class Series(NamedTuple):
    """One curve: its points in order, by x."""

    style: str
    points: Sequence[tuple[float, float]]
    dotted: bool = False


class Scale(NamedTuple):
    """The part of the plane that is drawn, and the dots there are for it."""

    left: float
    right: float
    low: float
    high: float
    columns: int
    rows: int

    def dot(self, x: float, y: float) -> Dot:
        """Return the dot for a point; one that lies beyond is drawn at the edge."""
        across, up = _share(x, self.left, self.right), _share(y, self.low, self.high)
        column = round(min(max(across, 0.0), 1.0) * (self.columns - 1))
        return column, round((1.0 - min(max(up, 0.0), 1.0)) * (self.rows - 1))


def _share(value: float, low: float, high: float) -> float:
    """Return how far the value lies from `low` to `high`."""
    # Of halves: the distance of two values that a float can hold may be more than one can hold.
    return (value / 2 - low / 2) / (high / 2 - low / 2 or 1.0)


def draw(series: Sequence[Series], width: int, height: int, lower_is_better: bool, unit: str) -> list[Line]:
    """Return the curves in `height` lines, with the values at the left and the x axis in the last line.

    Of two curves in one character the first one has its colour.
    """
    points = [point for one in series for point in one.points]
    if not points or width <= LABEL or height < 2:
        return [(("dim", "no value yet"),)]
    scale = _scale(points, 2 * (width - LABEL), 4 * (height - 1), lower_is_better)
    cells: dict[Dot, tuple[int, str]] = {}
    for one in reversed(series):
        for column, row in _dots(one, scale):
            cell = column // 2, row // 4
            bits = cells.get(cell, (0, ""))[0] | DOTS[column % 2][row % 4]
            cells[cell] = bits, one.style
    rows = height - 1
    lines = [(_label(row, rows, scale), *_pieces(cells, row, width - LABEL)) for row in range(rows)]
    return [*lines, _axis(scale, width, unit)]


def _scale(points: list[tuple[float, float]], columns: int, rows: int, lower_is_better: bool) -> Scale:
    values = sorted(y for _, y in points)
    kept = max(int(len(values) * SHOWN_SHARE), 1)
    shown = values[:kept] if lower_is_better else values[-kept:]
    right = max(x for x, _ in points)
    return Scale(min(0.0, *(x for x, _ in points), right), right, shown[0], shown[-1], columns, rows)


def _dots(series: Series, scale: Scale) -> Iterator[Dot]:
    dots = [scale.dot(x, y) for x, y in series.points]
    for dot in dots[:1] if len(dots) == 1 else _joined(dots):
        if not series.dotted or len(dots) == 1 or dot[0] % DOTTED == 0:
            yield dot


def _joined(dots: list[Dot]) -> Iterator[Dot]:
    """Yield the dots of the lines from each point to the next."""
    for (column, row), (next_column, next_row) in pairwise(dots):
        steps = max(abs(next_column - column), abs(next_row - row), 1)
        for step in range(steps + 1):
            share = step / steps
            yield round(column + (next_column - column) * share), round(row + (next_row - row) * share)


def _pieces(cells: dict[Dot, tuple[int, str]], row: int, width: int) -> Iterator[Piece]:
    """Yield the characters of a line, those of one style together."""
    style, text = "", ""
    for column in range(width):
        bits, wanted = cells.get((column, row), (0, style))
        if wanted != style:
            yield style, text
            style, text = wanted, ""
        text += chr(BLANK + bits) if bits else " "
    yield style, text


def _label(row: int, rows: int, scale: Scale) -> Piece:
    value = {0: f"{scale.high:.4g}", rows - 1: f"{scale.low:.4g}"}.get(row, "")
    return "dim", value[: LABEL - 1].rjust(LABEL - 1) + " "


def _axis(scale: Scale, width: int, unit: str) -> Line:
    left, right = number(scale.left), f"{number(scale.right)} {unit}"
    room = max(width - LABEL - len(left) - len(right), 1)
    return fitted((("dim", " " * LABEL + left + " " * room + right),), width)
