"""The jsonl backend: one JSON object per line. Objects inside it are named by their way: {"val": {"loss": 1}}
is val/loss.
"""

import json
from collections.abc import Iterator

from ardaemon.core.config import NAME_MAX
from ardaemon.metrics.rows import Row, RowsBackend, step_of, wall_of

DEPTH_MAX = 4  # of objects in objects: deeper are settings, not metrics


class JsonParser:
    """Lines of one file; each stands for itself."""

    def __init__(self) -> None:
        self.bad = 0

    def row(self, line: str) -> Row | None:
        """The line's numbers; None for an empty line and for what is no object."""
        if not line.strip():
            return None
        try:
            found = json.loads(line)
        except (ValueError, RecursionError):
            found = None
        if not isinstance(found, dict):
            self.bad += 1
            return None
        values = dict(_numbers(found))
        return Row(values, step_of(values), wall_of(values))


def _numbers(found: dict[str, object], path: str = "", depth: int = 1) -> Iterator[tuple[str, float]]:
    for key, value in found.items():
        name = f"{path}{key}"
        if isinstance(value, dict) and depth < DEPTH_MAX:
            yield from _numbers(value, f"{name}/", depth + 1)
        elif isinstance(value, int | float) and not isinstance(value, bool) and len(name) <= NAME_MAX:
            yield name, as_float(value)


def as_float(value: float) -> float:
    """A JSON number; one with hundreds of digits is infinite."""
    try:
        return float(value)
    except OverflowError:
        return float("inf") if value > 0 else float("-inf")


JSONL = RowsBackend("jsonl", "{run_dir}/**/metrics.jsonl", "*.*json*", JsonParser)
