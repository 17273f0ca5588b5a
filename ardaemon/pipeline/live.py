"""The newest value of the primary metric while a run trains: a view, nothing is decided by it."""

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


async def keep_latest(flight: Flight) -> None:
    """Keep the newest value of the primary metric, until cancelled, for those who look while it runs."""
    await anyio.sleep(FOLLOW_AFTER_S)
    found = await anyio.to_thread.run_sync(load, flight.experiment)
    query = extract.query(flight.record.settings, found.contract)
    evidence = await anyio.to_thread.run_sync(_evidence, flight)
    files = _files(flight.record.settings.metrics)
    sources: list[Follower] = [backend.follower(evidence, query) for backend in files]
    # A pattern of the user's may run for ever: never in this process.
    if flight.record.settings.metrics in ("log", "auto") and query.regex is None:
        sources.insert(len(files) if query.path is not None else 0, LogFollower(evidence.log, query))
    if not sources:
        return
    patterns = [backend.pattern(evidence, query) for backend in files]
    async for _ in changes(lambda: folders(evidence, patterns)):
        newest = await anyio.to_thread.run_sync(latest, sources)
        if flight.going is not None:  # the attempt may be over meanwhile
            flight.going.latest = newest


def _files(name: str) -> list[FileBackend]:
    backends = AUTO.files if name == "auto" else [BACKENDS[name]]
    return [backend for backend in backends if isinstance(backend, FileBackend)]


def _evidence(flight: Flight) -> AttemptOutput:
    assert flight.handle is not None
    experiment, run, attempt = flight.experiment, flight.run, flight.handle.attempt
    settings = flight.record.settings
    environment = job_environment.environment_of(
        flight.active.environment, settings, experiment, run, attempt, flight.seed
    )
    return extract.evidence(experiment, run, environment, attempt, flight.record.submitted_at)


class LogFollower:
    """What the log printed last."""

    def __init__(self, path: Path, query: Query) -> None:
        self.latest: float | None = None
        self.step: int | None = None
        self._path, self._at, self._reader = path, 0, log.GrowingLog(query)

    def feed(self) -> None:
        """Read on."""
        while data := read_at(self._path, self._at):
            self._at += len(data)
            self._reader.feed(data)
        self.latest, self.step = self._reader.latest, self._reader.step


def latest(sources: Sequence[Follower]) -> float | None:
    """The first source's value that has one, as `auto` would take it; those after it are not read."""
    for source in sources:
        source.feed()
        if source.latest is not None:
            return source.latest
    return None


def folders(evidence: AttemptOutput, patterns: Sequence[str]) -> set[Path]:
    """Where a change may be one of the run's metrics: the log's folder, and what the patterns lie in.

    Of a pattern in the project's own folder that one alone: below it may be anything.
    """
    found = {evidence.attempt_folder}
    for pattern in patterns:
        top = _static(pattern.replace(RUN_DIR, glob.escape(str(evidence.run_folder))), evidence.project)
        while not top.is_dir():
            top = top.parent
        deep = top != evidence.project and top not in evidence.project.parents
        below = (Path(folder) for folder, _, _ in os.walk(top)) if deep else [top]
        found.update(islice(below, FOLDERS_MAX))
    return found


def _static(pattern: str, project: Path) -> Path:
    """The folder in which a pattern begins to be one."""
    at = project
    for part in Path(pattern).parts:
        if glob.has_magic(part.replace("[[]", "")):  # as glob.escape writes it
            break
        at /= part.replace("[[]", "[")
    return at
