"""The newest value of the primary metric while a run trains: a view, nothing is decided by it."""

import contextlib
import glob
import os
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

import anyio
import anyio.to_thread

from ardaemon.experiment.state import load
from ardaemon.host.follow import changes, read_at
from ardaemon.metrics import log
from ardaemon.metrics.base import AttemptOutput, FileBackend, Follower, Query
from ardaemon.metrics.own import RUN_DIR
from ardaemon.metrics.registry import AUTO, BACKENDS
from ardaemon.pipeline import environment as job_environment
from ardaemon.pipeline import extract
from ardaemon.pipeline.flight import Flight

# A run that ends sooner needs no live value; a watcher costs a thread.
FOLLOW_AFTER_S = 1.0
# Folders that are watched for one pattern: a training script makes a few, and each costs the kernel a watch.
FOLDERS_MAX = 64
# Bytes of a log that are read at one look: a script prints less between two, and a hole has no end.
FEED_MAX = 64 << 20


async def keep_latest(flight: Flight) -> None:
    """Keep the newest value of the primary metric, until cancelled, for those who look while it runs."""
    await anyio.sleep(FOLLOW_AFTER_S)
    current = await anyio.to_thread.run_sync(load, flight.experiment)
    query = extract.query(flight.record.settings, current.contract)
    output = await anyio.to_thread.run_sync(_output, flight)
    files = _files(flight.record.settings.metrics)
    sources: list[Follower] = [backend.follower(output, query) for backend in files]
    # A pattern of the user's may run for ever: never in this process.
    if flight.record.settings.metrics in ("log", "auto") and query.regex is None:
        sources.insert(len(files) if query.path is not None else 0, LogFollower(output.log, query))
    if not sources:
        return
    patterns = [backend.pattern(output, query) for backend in files]
    async for _ in changes(lambda: folders(output, patterns)):
        newest = await anyio.to_thread.run_sync(latest, sources)
        if flight.going is not None:  # the attempt may be over meanwhile
            flight.going.latest = newest


def _files(name: str) -> list[FileBackend]:
    backends = AUTO.files if name == "auto" else [BACKENDS[name]]
    return [backend for backend in backends if isinstance(backend, FileBackend)]


def _output(flight: Flight) -> AttemptOutput:
    assert flight.handle is not None
    record, attempt = flight.record, flight.handle.attempt
    environment = job_environment.of_attempt(flight, attempt, record.settings)
    return extract.output_of(flight.experiment, flight.run, environment, attempt, record.submitted_at)


class LogFollower:
    """Follow a log as it grows: `latest` is what it printed last of the primary metric."""

    def __init__(self, path: Path, query: Query) -> None:
        self.latest: float | None = None
        self.step: int | None = None
        self._path, self._at, self._reader = path, 0, log.GrowingLog(query)

    def feed(self) -> None:
        """Read on, from FEED_MAX bytes before the end at the earliest."""
        size = 0
        with contextlib.suppress(OSError):
            size = self._path.lstat().st_size
        if size - self._at > FEED_MAX:
            self._at = size - FEED_MAX
            self._reader.skip()
        while self._at < size and (data := read_at(self._path, self._at)):
            self._at += len(data)
            self._reader.feed(data)
        self.latest, self.step = self._reader.latest, self._reader.step


def latest(sources: Sequence[Follower]) -> float | None:
    """Return the value of the first source that has one, as `auto` would; those after it are not read."""
    for source in sources:
        source.feed()
        if source.latest is not None:
            return source.latest
    return None


def folders(output: AttemptOutput, patterns: Sequence[str]) -> set[Path]:
    """Return where a change may be one of the run's metrics: the log's folder, and where the patterns lie.

    Of a pattern in the project's own folder that one alone: below it may be anything.
    """
    watched = {output.attempt_folder}
    for pattern in patterns:
        top = _static(pattern.replace(RUN_DIR, glob.escape(str(output.run_folder))), output.project)
        while not top.is_dir():
            top = top.parent
        deep = top != output.project and top not in output.project.parents
        below = (Path(folder) for folder, _, _ in os.walk(top)) if deep else [top]
        watched.update(islice(below, FOLDERS_MAX))
    return watched


def _static(pattern: str, project: Path) -> Path:
    """Return the folder in which a pattern begins to be one."""
    at = project
    for part in Path(pattern).parts:
        if glob.has_magic(part.replace("[[]", "")):  # as glob.escape writes it
            break
        at /= part.replace("[[]", "[")
    return at
