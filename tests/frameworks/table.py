"""The matrix as Markdown: framework × backend × how it ended."""

from collections.abc import Sequence
from typing import NamedTuple

CELL = "matrix-cell"  # the property of a test's report that holds one cell
ENDINGS = {
    "normal": "ended normally",
    "exception": "exception",
    "deadline": "killed at its limit",
    "sigkill": "SIGKILL",
}


class Cell(NamedTuple):
    """What was read of one run; `place` is its case's place in the matrix."""

    place: int
    framework: str
    backend: str
    ending: str
    said: str


def table(cells: Sequence[Cell]) -> str:
    """One line per framework and backend, in the order of the matrix."""
    lines = [
        f"| framework | `--metrics` | {' | '.join(ENDINGS.values())} |",
        f"|---|---|{'---|' * len(ENDINGS)}",
    ]
    for place in sorted({cell.place for cell in cells}):
        row = {cell.ending: cell for cell in cells if cell.place == place}
        some = next(iter(row.values()))
        said = (row[ending].said if ending in row else "–" for ending in ENDINGS)
        lines.append(f"| {some.framework} | `{some.backend}` | {' | '.join(said)} |")
    return "\n".join(lines)
