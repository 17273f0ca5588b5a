"""What a metric backend is: it answers which metrics a run reported, and from which source."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol, runtime_checkable

from msgspec import Struct, field

from ardaemon.core.model import Count, Primary
from ardaemon.metrics import own
from ardaemon.metrics.own import Mine

# Different names that are kept of one run: a script that prints unique names must not fill the memory.
METRICS_MAX = 512
NEAREST = 3  # names that are offered where the primary metric was not found


class Metric(Struct, frozen=True):
    """What a run reported under one name; `best` is the primary metric's alone, where all of it was read."""

    last: float
    best: float | None = None
    step: int | None = None


class Point(Struct, frozen=True):
    """One value of the primary metric; `wall`: seconds since 1970, where the source has it."""

    step: int | None
    value: float
    wall: float | None = None


class Evidence(Struct, frozen=True, kw_only=True):
    """Where one attempt left its traces; `started_at` is its start, seconds of the wall clock.

    `before` and `noted`: the files there were at its launch, by which patterns they were looked for (`own`).
    """

    log: Path
    run_folder: Path
    attempt_folder: Path
    project: Path
    environment: dict[str, str] = field(default_factory=dict)
    started_at: float = 0.0
    before: Mapping[str, str] = field(default_factory=dict)
    noted: tuple[str, ...] = ()

    def mine(self, pattern: str, names: str = "*") -> list[Mine]:
        """The files matching the glob that this attempt wrote, sorted by name; {run_dir} is its run's folder.

        A relative pattern begins at the project; of a folder that matches, the files that `names` matches.
        """
        return own.mine(pattern, names, self._known())

    def absent(self, pattern: str) -> str:
        """Why `mine` finds nothing, in one line."""
        return own.absent(pattern, self._known())

    def _known(self) -> own.Known:
        return own.Known(
            project=self.project,
            run_folder=self.run_folder,
            started_at=self.started_at,
            before=self.before,
            noted=self.noted,
        )

    def shown(self, path: Path) -> str:
        """A file's name for people: relative to the run's folder, else to the project."""
        for folder in (self.run_folder, self.project):
            if path.is_relative_to(real := os.path.realpath(folder)):
                return str(path.relative_to(real))
        return str(path)


class Query(Struct, frozen=True):
    """What is asked: the primary metric, which of its values, and the session's own ways to find it.

    `path` is the session's --metric-path, a glob for `Evidence.mine`.
    """

    primary: Primary
    regex: str | None = None
    command: str | None = None
    path: str | None = None
    count: Count = "last"


class Readings(Struct, frozen=True):
    """A backend's answer; `value` is the primary metric's that counts, `counted` says which one it is.

    Where there is none, `problem` says why in one line, and `nearest` holds the names most like it, the most
    similar first; with a value, `problem` is what the reader ought to know all the same (a file is torn).
    `detail`: where in the source, as a file's name.
    """

    source: str
    metrics: dict[str, Metric]
    nearest: tuple[str, ...] = ()
    problem: str | None = None
    value: float | None = None
    settled: bool = False  # the primary was found, and no other source is to be asked, even where it is nan
    counted: str | None = None  # "last@1200", "best@900", "at 1000@1000"; without "@" where no step is known
    curve: tuple[Point, ...] = ()
    detail: str | None = None
    absent: bool = False  # there is nothing of its kind: where other sources were asked too, not worth a word
    passed: tuple[str, ...] = ()  # by `auto`: the sources that were asked before, and why they do not count


class MetricBackend(Protocol):
    """Reads metrics from one kind of source; synchronous, called in a thread."""

    @property
    def name(self) -> str:
        """The word for it in `--metrics`."""

    def read(self, evidence: Evidence, query: Query) -> Readings:
        """The attempt's metrics. Never raises for what a training script can do wrong."""


@runtime_checkable
class FileBackend(MetricBackend, Protocol):
    """Reads files of this run; `names` is what they are called, which tells them from others in a folder."""

    @property
    def names(self) -> str:
        """A pattern of files' own names."""

    def pattern(self, evidence: Evidence, query: Query) -> str:
        """Where they are: --metric-path, else in the run's own folder, or where the environment says."""

    def follower(self, evidence: Evidence, query: Query) -> "Follower":
        """For a run that goes on."""


class Follower(Protocol):
    """The primary metric of a run that goes on: each `feed` reads what was added since the last one."""

    @property
    def latest(self) -> float | None:
        """The last value; None as well while that is nan or infinite."""

    @property
    def step(self) -> int | None:
        """And its step."""

    def feed(self) -> None:
        """Read on, in a thread; cheap where nothing was added."""
