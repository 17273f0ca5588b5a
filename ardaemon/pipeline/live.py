"""The newest value of the primary metric while a run trains: a view, nothing is decided by it."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import anyio
import anyio.to_thread

from ardaemon.core.folders import Unsearched
from ardaemon.core.model import Settings
from ardaemon.experiment.state import load
from ardaemon.host.disk import until_cancelled
from ardaemon.host.follow import changes
from ardaemon.metrics.base import AttemptOutput, FileBackend, Follower, Query
from ardaemon.metrics.log_follower import LogFollower
from ardaemon.metrics.not_finite import NotFinite
from ardaemon.metrics.registry import AUTO, BACKENDS
from ardaemon.metrics.searches import Searches
from ardaemon.pipeline import environment as job_environment
from ardaemon.pipeline import extract
from ardaemon.pipeline.flight import Flight

# A run that ends sooner needs no live value; a watcher costs a thread.
FOLLOW_AFTER_S = 1.0
# Files that are watched for one run, beside its log: each costs the kernel a watch. Others are read when the
# watcher looks up without a notification.
WATCHED_MAX = 64
FOLLOWED_MAX = 256  # files of one source: each is opened again at each change
# A run is ended at so many values of the primary metric in a row that are nan or infinite: one may stand
# for a validation that has not been.
NOT_FINITE_MAX = 2
SEARCHED_S = 1.0  # until new files are looked for again; longer if a search takes long


async def keep_latest(flight: Flight, tell: Callable[[str], None], diverged: Callable[[], None]) -> None:
    """Keep the newest value of the primary metric, until cancelled, for those who look while it runs.

    `tell` is called with the reason where a source is not followed any more, `diverged` when the run is to
    be ended because its values are not finite.
    """
    await anyio.sleep(FOLLOW_AFTER_S)
    current = await anyio.to_thread.run_sync(load, flight.experiment)
    query = extract.query(flight.record.settings, current.contract)
    output = await anyio.to_thread.run_sync(_output, flight)
    files = _files(flight.record.settings.metrics)
    sources: list[Follower] = [backend.follower(output, query) for backend in files]
    # A pattern of the user's may run for ever: never in this process.
    if _is_printed(flight.record.settings.metrics, query) and query.regex is None:
        sources.insert(len(files) if query.path is not None else 0, LogFollower(output.log, query))
    if not sources:
        return
    async for _ in changes(lambda: watched(output)):
        newest = await anyio.to_thread.run_sync(until_cancelled(partial(latest, sources)))
        for problem in newest.problems:
            tell(problem)
        if flight.going is not None:  # the attempt may be over meanwhile
            flight.going.note(newest.value, newest.step)
        if newest.not_finite is not None and _is_lost(newest.not_finite, query, flight.record.settings):
            diverged()


def _is_lost(values: NotFinite, query: Query, settings: Settings) -> bool:
    """Tell whether a run cannot get a value any more; of one that counts its best, an earlier one stands."""
    kept = query.count != "last" and values.was_finite
    return settings.on_nan == "end" and values.in_a_row >= NOT_FINITE_MAX and not kept


def _files(name: str) -> list[FileBackend]:
    backends = (*AUTO.files, AUTO.own_log) if name == "auto" else [BACKENDS[name]]
    return [backend for backend in backends if isinstance(backend, FileBackend)]


def _is_printed(name: str, query: Query) -> bool:
    """Return whether run.log may hold the primary metric, and not a log that the script writes itself."""
    return name == "auto" or (name == "log" and query.path is None)


def _output(flight: Flight) -> AttemptOutput:
    assert flight.handle is not None
    record, attempt = flight.record, flight.handle.attempt
    environment = job_environment.of_attempt(flight, attempt, record.settings)
    found = Searches(SEARCHED_S, FOLLOWED_MAX)
    return extract.output_of(
        flight.experiment, flight.run, environment, attempt, record.submitted_at, found=found
    )


class Newest(NamedTuple):
    """The newest value and its step, where they are known, and why a source is followed no more."""

    value: float | None
    step: int | None
    problems: list[str]
    not_finite: NotFinite | None = None  # of the source that the value is, or would be, from


def latest(sources: list[Follower]) -> Newest:
    """Return the value of the first source that has one, as `auto` would; those after it are not read.

    A source for which there is too much to look through is removed, and the reason returned.
    """
    problems = []
    for source in list(sources):
        try:
            source.feed()
        except Unsearched as error:
            sources.remove(source)
            problems.append(str(error))
        if source.latest is not None or source.not_finite.in_a_row:
            return Newest(source.latest, source.step, problems, source.not_finite)
    return Newest(None, None, problems)


def watched(output: AttemptOutput) -> set[Path]:
    """Return where a change may be one of the run's metrics: the log's folder, and the files that were found.

    Not the folders in which files may be found: a job may write thousands of others there.
    """
    found = output.searches.found(WATCHED_MAX)
    return {output.attempt_folder, *(path for path in found if path.exists())}
