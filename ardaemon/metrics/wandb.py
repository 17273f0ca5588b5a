"""The wandb backend: metrics that a run gave to Weights & Biases, offline or online, from its `.wandb` file.

wandb does not write `wandb-summary.json` offline, and its own reader is not in the daemon's environment. So
metrics/wandb_place.py finds the file and metrics/formats/wandb_file.py reads it.
"""

import heapq
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from msgspec import Struct

from ardaemon.core.folders import Unsearched
from ardaemon.core.text import one_line
from ardaemon.metrics.base import AttemptOutput, Query, Readings
from ardaemon.metrics.bookmark import Bookmark
from ardaemon.metrics.formats.wandb_file import HistoryRow, WandbFile, WandbState
from ardaemon.metrics.not_finite import NotFinite
from ardaemon.metrics.own import Mine
from ardaemon.metrics.series import Series
from ardaemon.metrics.wandb_place import SUFFIX, environment, find, folders, run_id

__all__ = ["WandbBackend", "WandbFollower", "environment"]

_DETAIL_MAX = 200  # characters


class WandbBackend:
    """Reads wandb's files (`--metrics wandb`)."""

    name = "wandb"
    names = f"run-*{SUFFIX}"

    def pattern(self, attempt: AttemptOutput, query: Query) -> str:
        """Return the session's path, else the files in the folder where wandb puts its runs."""
        return query.path or f"{folders(attempt)[0]}/{self.names}"

    def read(self, attempt: AttemptOutput, query: Query) -> Readings:
        """Read the history's values, then those that only the summary has."""
        try:
            place = find(attempt, query)
            if place.problem is not None:
                return Readings(self.name, {}, problem=place.problem, absent=place.absent)
            files = [WandbFile(path) for path in place.files]
            series = _read(files, attempt, query)
        except OSError as error:
            return Readings(self.name, {}, problem=f"{error.filename} cannot be read: {error.strerror}")
        strangers = [file for file in files if file.run_id not in (None, run_id(file.path))]
        if strangers:
            return Readings(self.name, {}, problem=_mismatch(strangers[0]))
        for file in files:
            for name, value in file.summary.items():
                if name not in series.last and not name.startswith("_"):
                    series.add(name, value)
        return series.readings(
            self.name,
            problem=_problem(files),
            detail=one_line(", ".join(_described(file, attempt) for file in files), _DETAIL_MAX),
            absent=_absent(files, query),
        )

    def follower(self, attempt: AttemptOutput, query: Query) -> "WandbFollower":
        """Return a follower, for an attempt that is still running."""
        return WandbFollower(attempt, query)


class _State(Struct, frozen=True):
    """How far the one file of a run has been read."""

    file: WandbState
    series: Series


def _read(files: Sequence[WandbFile], attempt: AttemptOutput, query: Query) -> Series:
    """Return what the files hold; one alone is read from its bookmark on.

    Of several files rows are taken in turns, so that no place in them is one where all rows are taken.
    """
    series = Series(query)
    if len(files) == 1:
        [file] = files
        bookmark = Bookmark(attempt, query, WandbBackend.name, [Mine(file.path)])
        state = bookmark.found(_State)
        if state is not None:
            file.go_on(state.file)
            series = state.series
        file.log.between = partial(bookmark.reached, state=lambda: _State(file.state(), series))
    _add(series, files)
    return series


class WandbFollower:
    """Follows the primary metric in files that grow, and in files that appear later."""

    def __init__(self, attempt: AttemptOutput, query: Query) -> None:
        self._attempt, self._query = attempt, query
        self._files: dict[Path, WandbFile] = {}
        self._series = Series(query)

    @property
    def latest(self) -> float | None:
        """The last value; None if there is none yet, or while it is nan or infinite."""
        return self._series.latest

    @property
    def step(self) -> int | None:
        """The step of the last value."""
        return self._series.step

    @property
    def not_finite(self) -> NotFinite:
        """How many values in a row were nan or infinite, the newest among them."""
        return self._series.not_finite

    def feed(self) -> None:
        """Read what was added, from the last whole record of each file on."""
        try:
            for path in find(self._attempt, self._query).files:
                self._files.setdefault(path, WandbFile(path))
            _add(self._series, list(self._files.values()))
        except Unsearched:
            raise
        except OSError:  # the next feed() tries again, and the reading at the run's end will say so
            return


def _add(series: Series, files: Sequence[WandbFile]) -> None:
    """Add the new rows of the files to the series, in the order of writing."""
    for row, file in _in_order(files):
        for name, value in row.values.items():
            series.add(name, value, file.step(name, row), row.wall)


def _in_order(files: Sequence[WandbFile]) -> Iterator[tuple[HistoryRow, WandbFile]]:
    """Yield the new rows in the order of writing.

    Several files come from several calls of init(), one after the other or side by side: wandb's own time
    merges them.
    """
    rows = [((row, file) for row in file.rows()) for file in files]
    return rows[0] if len(rows) == 1 else heapq.merge(*rows, key=lambda pair: pair[0].wall or 0.0)


def _problem(files: Sequence[WandbFile]) -> str | None:
    """Say what is wrong with the files; the answer has it with or without a value."""
    problems = []
    for file in files:
        log = file.log
        wrong = [
            file.problem,
            f"has {log.damaged} damaged blocks of 32 KiB, whose rows are missing" if log.damaged else None,
            f"has {log.too_long} records that are too long" if log.too_long else None,
            f"has {file.strange} records that cannot be read" if file.strange else None,
            f"ends in the middle of a record ({log.cut} bytes)" if log.cut else None,
        ]
        problems += [f"{file.path.name} {words}" for words in wrong if words]
    return one_line("; ".join(problems), _DETAIL_MAX) or None


def _mismatch(file: WandbFile) -> str:
    return one_line(f"{file.path.name} holds another run, {file.run_id}: nothing of it was read", _DETAIL_MAX)


def _described(file: WandbFile, attempt: AttemptOutput) -> str:
    end = "not finished" if file.exit_code is None else f"exit code {file.exit_code}"
    return f"{attempt.shown(file.path)}: {file.count} rows, {end}"


def _absent(files: Sequence[WandbFile], query: Query) -> str:
    count = sum(file.count for file in files)
    if count == 0:
        return "the run logged nothing to wandb, or was killed before wandb wrote it"
    return f"{query.primary.metric} is in none of the {count} rows that were logged to wandb"
