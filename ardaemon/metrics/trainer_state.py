"""The trainer_state backend: the Hugging Face Trainer's log_history, from the state that was saved last.

Each checkpoint-N/trainer_state.json holds the whole history up to that checkpoint (transformers,
trainer_callback.py). So does the file that `trainer.save_state()` leaves in the output folder. A metric may
be named as in the file, `eval_loss`, or as in wandb and TensorBoard, `eval/loss` (transformers, integrations:
rewrite_logs).
"""

import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from ardaemon.core import file_kinds, files
from ardaemon.metrics.base import AttemptOutput, Query, Readings
from ardaemon.metrics.formats.json_array import elements
from ardaemon.metrics.formats.json_numbers import as_float
from ardaemon.metrics.not_finite import NotFinite
from ardaemon.metrics.own import Mine
from ardaemon.metrics.series import Series

DEFAULT = "{run_dir}/**/trainer_state.json"
_CHECKPOINT = re.compile(r"checkpoint-([0-9]+)")


class TrainerStateBackend:
    """Reads trainer_state.json of the newest checkpoint (`--metrics trainer_state`)."""

    name = "trainer_state"
    names = "trainer_state.json"

    def pattern(self, attempt: AttemptOutput, query: Query) -> str:
        """Return the session's path, else trainer_state.json anywhere in the run's folder."""
        return query.path or DEFAULT

    def read(self, attempt: AttemptOutput, query: Query) -> Readings:
        """Read the history in the newest state of this run that can be read."""
        return self.newest(attempt, query)[0]

    def newest(self, attempt: AttemptOutput, query: Query) -> tuple[Readings, NotFinite]:
        """Return the answer of read(), and how many values in a row were nan or infinite at its end."""
        pattern = query.path or DEFAULT
        states = sorted(attempt.mine(pattern, self.names), key=_newest, reverse=True)
        problems = []
        for mine in states:
            series = Series(query)
            try:
                for name, value, step in _reports(_history(mine.path), query.primary.metric):
                    series.add(name, value, step)
            except (OSError, ValueError) as error:
                why = getattr(error, "strerror", None) or error
                problems.append(f"{attempt.shown(mine.path)}: {why}")
                continue
            answer = series.readings(self.name, "; ".join(problems) or None, attempt.shown(mine.path))
            return answer, series.not_finite
        problem = "; ".join(problems) or attempt.absent(pattern, self.names)
        return Readings(self.name, {}, problem=problem, absent=not states), NotFinite()

    def follower(self, attempt: AttemptOutput, query: Query) -> "StateFollower":
        """Return a follower, for an attempt that is still running."""
        return StateFollower(self, attempt, query)


class StateFollower:
    """Follows the primary metric: reads the newest state when there is a new one, as with each checkpoint."""

    def __init__(self, backend: TrainerStateBackend, attempt: AttemptOutput, query: Query) -> None:
        self.latest: float | None = None
        self.step: int | None = None
        self.not_finite = NotFinite()
        self._backend, self._attempt, self._query = backend, attempt, query
        self._seen: tuple[int, int, str] | None = None

    def feed(self) -> None:
        """Read the newest state, if it is new."""
        files = self._attempt.mine(self._query.path or DEFAULT, self._backend.names)
        newest = max(map(_newest, files), default=None)
        if newest is None or newest == self._seen:
            return
        self._seen = newest
        answer, self.not_finite = self._backend.newest(self._attempt, self._query)
        metric = answer.metrics.get(self._query.primary.metric)
        self.latest, self.step = (None, None) if metric is None else (metric.last, metric.step)


def _newest(mine: Mine) -> tuple[int, int, str]:
    """Return a key that sorts states by time of writing, and those of the same moment by checkpoint."""
    number = _CHECKPOINT.fullmatch(mine.path.parent.name)
    try:
        written = os.stat(mine.path).st_mtime_ns
    except OSError:  # gone since it was listed
        written = 0
    return written, int(number[1]) if number else 0, str(mine.path)


def _history(path: Path) -> Iterator[object]:
    """Yield the entries of log_history. Raises ValueError, which says why, if it is no trainer's state."""
    with files.opened(path, file_kinds.TRAINER_STATE) as file:
        yield from elements(file, "log_history")


def _reports(history: Iterable[object], primary: str) -> Iterator[tuple[str, float, int | None]]:
    for entry in history:
        if not isinstance(entry, dict):
            continue
        at = entry.get("step")
        step = at if isinstance(at, int) else None
        for name, value in entry.items():
            if isinstance(value, int | float) and not isinstance(value, bool):
                yield primary if _spelled(name) == primary else name, as_float(value), step


def _spelled(name: str) -> str:
    """Return a name as the trainer gives it to wandb: eval_loss -> eval/loss, loss -> train/loss."""
    for kind in ("eval_", "test_"):
        if name.startswith(kind):
            return f"{kind[:-1]}/{name.removeprefix(kind)}"
    return f"train/{name}"
