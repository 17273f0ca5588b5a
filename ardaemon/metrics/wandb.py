"""Metrics that a run gave to Weights & Biases, read from the `.wandb` file itself, offline and online.

`wandb-summary.json` is not written offline, and wandb's own reader is not in our environment: the file is
read by `wandb_file`, found by `wandb_place`.
"""

import heapq
from collections.abc import Iterator, Sequence
from pathlib import Path

from ardaemon.core.text import one_line
from ardaemon.metrics.base import Evidence, Query, Readings
from ardaemon.metrics.formats.wandb_file import Row, WandbFile
from ardaemon.metrics.series import Series
from ardaemon.metrics.wandb_place import SUFFIX, environment, find, folders, run_id

__all__ = ["WandbBackend", "WandbFollower", "environment"]

_DETAIL_MAX = 200  # characters


class WandbBackend:
    """`--metrics wandb`."""

    name = "wandb"
    names = f"run-*{SUFFIX}"

    def pattern(self, evidence: Evidence, query: Query) -> str:
        """The session's path, else the folder where wandb puts its runs."""
        return query.path or f"{folders(evidence)[0]}/{self.names}"

    def read(self, evidence: Evidence, query: Query) -> Readings:
        """The history's values, then what the summary alone has."""
        try:
            found = find(evidence, query)
            if found.problem is not None:
                return Readings(self.name, {}, problem=found.problem, absent=found.absent)
            files = [WandbFile(path) for path in found.files]
            series = Series(query)
            _add(series, files)
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
            detail=one_line(", ".join(_described(file, evidence) for file in files), _DETAIL_MAX),
            absent=_absent(files, query),
        )

    def follower(self, evidence: Evidence, query: Query) -> "WandbFollower":
        """For a run that goes on."""
        return WandbFollower(evidence, query)


class WandbFollower:
    """The primary metric of files that grow; a file that appears later is taken in."""

    def __init__(self, evidence: Evidence, query: Query) -> None:
        self._evidence, self._query = evidence, query
        self._files: dict[Path, WandbFile] = {}
        self._series = Series(query)

    @property
    def latest(self) -> float | None:
        """None as well while the last value is nan or infinite."""
        return self._series.latest

    @property
    def step(self) -> int | None:
        """The step of the last value."""
        return self._series.step

    def feed(self) -> None:
        """Read on, from the last whole record of each file."""
        try:
            for path in find(self._evidence, self._query).files:
                self._files.setdefault(path, WandbFile(path))
            _add(self._series, list(self._files.values()))
        except OSError:  # it will be there again at the next one, or the reading at the end tells
            return


def _add(series: Series, files: Sequence[WandbFile]) -> None:
    """What was added to the files, in the order of writing."""
    for row, file in _in_order(files):
        for name, value in row.values.items():
            series.add(name, value, file.step(name, row), row.wall)


def _in_order(files: Sequence[WandbFile]) -> Iterator[tuple[Row, WandbFile]]:
    """Several inits, one after the other or side by side: by wandb's own time."""
    rows = [((row, file) for row in file.rows()) for file in files]
    return rows[0] if len(rows) == 1 else heapq.merge(*rows, key=lambda pair: pair[0].wall or 0.0)


def _problem(files: Sequence[WandbFile]) -> str | None:
    """What is wrong with a file, with or without a value."""
    said = []
    for file in files:
        log = file.log
        wrong = [
            file.problem,
            f"has {log.damaged} damaged blocks of 32 KiB, whose rows are missing" if log.damaged else None,
            f"has {log.too_long} records that are too long" if log.too_long else None,
            f"has {file.strange} records that cannot be read" if file.strange else None,
            f"ends in the middle of a record ({log.cut} bytes)" if log.cut else None,
        ]
        said += [f"{file.path.name} {word}" for word in wrong if word]
    return one_line("; ".join(said), _DETAIL_MAX) or None


def _mismatch(file: WandbFile) -> str:
    return one_line(f"{file.path.name} holds another run, {file.run_id}: nothing of it was read", _DETAIL_MAX)


def _described(file: WandbFile, evidence: Evidence) -> str:
    end = "not finished" if file.exit_code is None else f"exit code {file.exit_code}"
    return f"{evidence.shown(file.path)}: {file.count} rows, {end}"


def _absent(files: Sequence[WandbFile], query: Query) -> str:
    count = sum(file.count for file in files)
    if count == 0:
        return "the run logged nothing to wandb, or was killed before wandb wrote it"
    return f"{query.primary.metric} is in none of the {count} rows that were logged to wandb"
