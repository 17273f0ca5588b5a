"""The jsonl backend: one JSON object per line. A number in nested objects is named by their keys.

{"val": {"loss": 1}} is val/loss.
"""

import json
from collections.abc import Iterator

from ardaemon.core.config import NAME_MAX
from ardaemon.metrics.rows import Row, RowsBackend, step_of, wall_of

DEPTH_MAX = 4  # of objects in objects: deeper ones are settings, not metrics


class JsonParser:
    """Parses the lines of one file, each by itself."""

    def __init__(self) -> None:
        self.bad = 0

    def row(self, line: str) -> Row | None:
        """Return the line's numbers; None for an empty line, or for one that is no object and is counted."""
        if not line.strip():
            return None
        try:
            entry = json.loads(line)
        except (ValueError, RecursionError):
            entry = None
        if not isinstance(entry, dict):
            self.bad += 1
            return None
        values = dict(_numbers(entry))
        return Row(values, step_of(values), wall_of(values))


def _numbers(entry: dict[str, object], path: str = "", depth: int = 1) -> Iterator[tuple[str, float]]:
    for key, value in entry.items():
        name = f"{path}{key}"
        if isinstance(value, dict) and depth < DEPTH_MAX:
            yield from _numbers(value, f"{name}/", depth + 1)
        elif isinstance(value, int | float) and not isinstance(value, bool) and len(name) <= NAME_MAX:
            yield name, as_float(value)


def as_float(value: float) -> float:
    """Return a JSON number as a float; an integer with hundreds of digits becomes infinite."""
    try:
        return float(value)
    except OverflowError:
        return float("inf") if value > 0 else float("-inf")


JSONL = RowsBackend("jsonl", "{run_dir}/**/metrics.jsonl", "*.*json*", JsonParser)
