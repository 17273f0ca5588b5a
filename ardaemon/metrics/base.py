"""The interface of a metric backend, which answers which metrics a run reported, and from which source."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol, runtime_checkable

from msgspec import Struct, field

from ardaemon.core.model import Count, Primary
from ardaemon.metrics import own
from ardaemon.metrics.not_finite import NotFinite
from ardaemon.metrics.own import Mine
from ardaemon.metrics.searches import Searches

# Different names that are kept of one run: a script that prints a new name on each line must not fill the
# memory.
METRICS_MAX = 512
NEAREST = 3  # similar names that are offered if the primary metric is missing


class Metric(Struct, frozen=True):
    """The values that a run reported under one name: the last one, with its step.

    `best` is set for the primary metric alone, and only if all its values were read.
    """

    last: float
    best: float | None = None
    step: int | None = None


class Point(Struct, frozen=True):
    """One value of the primary metric; `wall` is its time in seconds since 1970, if the source has it."""

    step: int | None
    value: float
    wall: float | None = None


# Bytes that are read before the first bookmark: half a second to two, where every line is parsed.
WORTH_A_BOOKMARK = 2 << 20
BOOKMARK_PAUSE_S = 2.0  # between two of them: one takes some milliseconds


class Bookmarks(Struct, frozen=True):
    """Where readers keep how far they are (metrics/bookmark.py), and how often."""

    folder: Path
    worth_it: int = WORTH_A_BOOKMARK
    pause_s: float = BOOKMARK_PAUSE_S


class AttemptOutput(Struct, frozen=True, kw_only=True):
    """The output of one attempt: where it is, and which files are certainly this attempt's.

    `started_at` is the attempt's start in seconds since 1970. `before` has the marks of the files that were
    there at the launch, `noted` the patterns by which they were looked for, and `unseen` those that were too
    much to look through, each with the reason (metrics/own.py). `searches` remembers what was found.
    `log_from` is set where the log is a file of the script's own: what is before that byte is not this run's.
    `bookmarks` is set where the attempt is over, so that a reading can go on where an earlier one was ended.
    """

    log: Path
    run_folder: Path
    attempt_folder: Path
    project: Path
    environment: dict[str, str] = field(default_factory=dict)
    started_at: float = 0.0
    before: Mapping[str, str] = field(default_factory=dict)
    noted: tuple[str, ...] = ()
    unseen: Mapping[str, str] = field(default_factory=dict)
    searches: Searches = field(default_factory=Searches)
    log_from: int | None = None
    bookmarks: Bookmarks | None = None

    def mine(self, pattern: str, names: str = "*") -> list[Mine]:
        """Return the files that match the glob and that this attempt wrote, sorted by name.

        `{run_dir}` stands for the run's folder; a relative pattern begins at the project. Where a folder
        matches, the files in it that `names` matches are taken. Raises Unsearched if there is too much to
        look through.
        """
        return self.searches.ask((pattern, names), lambda: own.mine(pattern, names, self._marks()))

    def anybodys(self, pattern: str) -> list[Mine]:
        """Return the files that the glob matches, whoever wrote them. Raises Unsearched."""
        return self.searches.ask((pattern,), lambda: own.anybodys(pattern, self.project))

    def absent(self, pattern: str, names: str = "*") -> str:
        """Say in one line why mine() finds nothing. Raises Unsearched."""
        return own.absent(pattern, names, self._marks())

    def _marks(self) -> own.LaunchMarks:
        return own.LaunchMarks(
            project=self.project,
            run_folder=self.run_folder,
            started_at=self.started_at,
            before=self.before,
            noted=self.noted,
            unseen=self.unseen,
        )

    def shown(self, path: Path) -> str:
        """Return a file's name for people: relative to the run's folder, else to the project."""
        for folder in (self.run_folder, self.project):
            if path.is_relative_to(real := os.path.realpath(folder)):
                return str(path.relative_to(real))
        return str(path)

    @property
    def place(self) -> str:
        """The run's folder as messages name it, as `runs/r0042/job`: below that of the experiment."""
        return "/".join(self.run_folder.parts[-3:])


class Query(Struct, frozen=True):
    """A question to a backend: the primary metric, which value of it counts, the session's ways to find it.

    `regex`, `command` and `path` are the session's --metric-regex, --metric-command and --metric-path, a glob
    for AttemptOutput.mine. `max_log` is its --max-log, in MiB: a hole in run.log is what it has dropped.
    """

    primary: Primary
    regex: str | None = None
    command: str | None = None
    path: str | None = None
    count: Count = "last"
    max_log: float | None = None


class Readings(Struct, frozen=True):
    """A backend's answer. `value` is the primary metric's value that counts; `counted` says which one it is.

    Without a value, `problem` says why in one line, and `nearest` holds the most similar names, the most
    similar first. With a value, `problem` is something that a person should know all the same, as that a file
    is torn. `detail` is the place within the source, as a file's name.
    """

    source: str
    metrics: dict[str, Metric]
    nearest: tuple[str, ...] = ()
    problem: str | None = None
    value: float | None = None
    settled: bool = False  # the primary metric is in this source, be it as nan: no other one is to be asked
    counted: str | None = None  # "last@1200", "best@900", "at 1000@1000"; without "@" if no step is known
    curve: tuple[Point, ...] = ()
    detail: str | None = None
    printed: str | None = None  # the value that counts as the log has it: how many digits are known
    # The value before the log's last mention of the primary metric, where that could not be read.
    stale: float | None = None
    absent: bool = False  # the source is not there at all: `auto` does not mention it
    unnamed: bool = False  # the source was read, and never names the primary metric
    passed: tuple[str, ...] = ()  # set by `auto`: the sources that it asked before, and why they do not count


class MetricBackend(Protocol):
    """Reads metrics from one kind of source. Its methods block, so they are called in a thread."""

    @property
    def name(self) -> str:
        """The backend's word in `--metrics`."""

    def read(self, attempt: AttemptOutput, query: Query) -> Readings:
        """Return the attempt's metrics. Of what a training script can do wrong, only Unsearched is raised."""


@runtime_checkable
class FileBackend(MetricBackend, Protocol):
    """Reads files of one kind."""

    @property
    def names(self) -> str:
        """The pattern of its files' names, without a folder; it tells them from others in a folder."""

    def pattern(self, attempt: AttemptOutput, query: Query) -> str:
        """Return the glob of its files: --metric-path, or the run's folder, or where the environment says."""

    def follower(self, attempt: AttemptOutput, query: Query) -> "Follower":
        """Return a follower, for an attempt that is still running."""


class Follower(Protocol):
    """Follows the primary metric of an attempt that is still running."""

    @property
    def latest(self) -> float | None:
        """The last value; None if there is none yet, or while it is nan or infinite."""

    @property
    def step(self) -> int | None:
        """The step of the last value."""

    @property
    def not_finite(self) -> NotFinite:
        """How many values in a row were nan or infinite, the newest among them."""

    def feed(self) -> None:
        """Read what was added since the last call. It blocks, and costs little if nothing was added.

        Raises Unsearched if there is too much to look through.
        """
