"""The trainer_state backend: the Hugging Face Trainer's log_history, from the state that was saved last.

Each checkpoint-N/trainer_state.json holds the whole history up to it (transformers, trainer_callback.py); so
does the one that `trainer.save_state()` leaves in the output folder. Names are as in the file, `eval_loss`,
or as wandb and TensorBoard have them, `eval/loss` (transformers, integrations: rewrite_logs).
"""

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

from ardaemon.metrics.base import Evidence, Query, Readings
from ardaemon.metrics.json_lines import as_float
from ardaemon.metrics.own import Mine
from ardaemon.metrics.series import Series

DEFAULT = "{run_dir}/**/trainer_state.json"
FILE_MAX = 64 << 20  # some hundred thousand entries; ten times as much in memory
_CHECKPOINT = re.compile(r"checkpoint-([0-9]+)")


class TrainerStateBackend:
    """`checkpoint-*/trainer_state.json`."""

    name = "trainer_state"
    names = "trainer_state.json"

    def pattern(self, evidence: Evidence, query: Query) -> str:
        """The session's path, else anywhere in the run's folder."""
        return query.path or DEFAULT

    def read(self, evidence: Evidence, query: Query) -> Readings:
        """The history of the newest state of this run that can be read."""
        pattern = query.path or DEFAULT
        files = sorted(evidence.mine(pattern, self.names), key=_newest, reverse=True)
        problems = []
        for mine in files:
            try:
                history = _history(mine.path)
            except (OSError, ValueError) as error:
                problems.append(f"{evidence.shown(mine.path)}: {error}")
                continue
            series = Series(query)
            for name, value, step in _reports(history, query.primary.metric):
                series.add(name, value, step)
            return series.readings(self.name, "; ".join(problems) or None, evidence.shown(mine.path))
        said = "; ".join(problems) or evidence.absent(pattern)
        return Readings(self.name, {}, problem=said, absent=not files)

    def follower(self, evidence: Evidence, query: Query) -> "StateFollower":
        """For a run that goes on."""
        return StateFollower(self, evidence, query)


class StateFollower:
    """Reads the newest state again whenever there is a newer one: it is written with each checkpoint."""

    def __init__(self, backend: TrainerStateBackend, evidence: Evidence, query: Query) -> None:
        self.latest: float | None = None
        self.step: int | None = None
        self._backend, self._evidence, self._query = backend, evidence, query
        self._seen: tuple[int, int, str] | None = None

    def feed(self) -> None:
        """Read on."""
        files = self._evidence.mine(self._query.path or DEFAULT, self._backend.names)
        newest = max(map(_newest, files), default=None)
        if newest is None or newest == self._seen:
            return
        self._seen = newest
        found = self._backend.read(self._evidence, self._query).metrics.get(self._query.primary.metric)
        self.latest, self.step = (None, None) if found is None else (found.last, found.step)


def _newest(mine: Mine) -> tuple[int, int, str]:
    """By time of writing; of two in the same moment, the later checkpoint."""
    number = _CHECKPOINT.fullmatch(mine.path.parent.name)
    try:
        written = os.stat(mine.path).st_mtime_ns
    except OSError:  # gone since it was listed
        written = 0
    return written, int(number[1]) if number else 0, str(mine.path)


def _history(path: Path) -> list[object]:
    """log_history; ValueError, saying why, for what is no trainer's state."""
    if path.stat().st_size > FILE_MAX:
        raise ValueError(f"is larger than {FILE_MAX >> 20} MiB")
    try:
        found = json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        raise ValueError("is torn, or no JSON") from None
    history = found.get("log_history") if isinstance(found, dict) else None
    if not isinstance(history, list):
        raise ValueError("has no log_history")
    return history


def _reports(history: list[object], primary: str) -> Iterator[tuple[str, float, int | None]]:
    for entry in history:
        if not isinstance(entry, dict):
            continue
        at = entry.get("step")
        step = at if isinstance(at, int) else None
        for name, value in entry.items():
            if isinstance(value, int | float) and not isinstance(value, bool):
                yield primary if _spelled(name) == primary else name, as_float(value), step


def _spelled(name: str) -> str:
    """eval_loss as the trainer's other reporters spell it."""
    for kind in ("eval_", "test_"):
        if name.startswith(kind):
            return f"{kind[:-1]}/{name.removeprefix(kind)}"
    return f"train/{name}"
