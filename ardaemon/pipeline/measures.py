"""Launch a version that was judged once more: an entry of its own, whose value is a measurement.

It has a folder, a record and an active entry as a candidate has, under the name of its run and its seed
(r0012m3), and goes through the same stages. It gets no verdict and no row; its value is committed into
best.json, if its run is the best still. The name makes it happen once, whoever asks for it again.
"""

import os
from collections.abc import Callable, Iterator, Mapping
from itertools import count
from pathlib import Path
from typing import NamedTuple

from msgspec.structs import replace

from ardaemon.core import file_kinds, files
from ardaemon.core.errors import CorruptState
from ardaemon.core.events import RunSubmitted
from ardaemon.core.layout import MEASURE_ID, Experiment, Run, measure_name
from ardaemon.core.model import Best
from ardaemon.core.queue import IDLE
from ardaemon.core.run_record import Active, Queued, RunRecord, came_to_nothing
from ardaemon.experiment import history, run_folders, same, seal, versions
from ardaemon.experiment.own_records import Records
from ardaemon.experiment.ownership import described
from ardaemon.experiment.repair import load_or_repair
from ardaemon.host import durable, state
from ardaemon.judging.noise.best import threshold
from ardaemon.pipeline import noise_history
from ardaemon.pipeline.flight import Flight
from ardaemon.pipeline.noise_verdict import config_of
from ardaemon.pipeline.ports import Listener
from ardaemon.pipeline.submit import entry_path

FIRST, LATER = 1, -1  # `front` of an entry that a verdict waits for, and of one that nothing waits for


class OneMore(NamedTuple):
    """One more launch of a version, and how: `like` and `active` have its settings and its environment."""

    of: str  # the run whose version it is
    sha256: str
    seed: int
    like: RunRecord
    active: Active
    time: int = 1  # that the version is launched with that seed, for whoever wants one again
    idle: bool = False  # nothing waits for it: it gives way to any run


class LaidOut(NamedTuple):
    """A measurement on disk, for the board."""

    run: Run
    record: RunRecord
    active: Active
    entry: Path


def lay_out(
    experiment: Experiment, launch: OneMore, entries: Path, seq: int, records: Records, front: int
) -> LaidOut | None:
    """Put one more launch of a version on disk; None if it was made and committed already.

    Raises CorruptState where the version is not there as it was judged, and StorageError.
    """
    run, before = _place_of(experiment, launch.of, launch.seed, records.read, launch.time)
    launched = run.run_id
    entry = entry_path(entries, experiment, launched)
    if before is not None and (history.committed(run, before) is not None or entry.exists()):
        return None
    data = _version(experiment, launch)
    record = records.signed(_record(launch, run.run_id))
    with state.storage("create", run.folder):
        durable.make_own_folder(run.folder)
        durable.sweep(run.folder)
        versions.keep(experiment, launched, data)
        durable.write(run.train, data, durable.mode_of(experiment.train, 0o444), folder=False)
        durable.write(run.record, state.encode(record))
    active = replace(
        launch.active,
        run_id=run.run_id,
        seq=seq,
        submit_id=record.submit_id,
        wanted="run",
        priority=0 if launch.idle else launch.active.priority,
        front=IDLE if launch.idle else front,
        held=False,
    )
    state.write(entry, active, 0o600)
    return LaidOut(run, record, active, entry)


def _place_of(
    experiment: Experiment,
    run_id: str,
    seed: int,
    read: Callable[[Run], RunRecord | None],
    first: int = 1,
) -> tuple[Run, RunRecord | None]:
    """Return the folder of such a launch, and its record: the first one that did not come to nothing."""
    for time in count(first):
        run = experiment.run(measure_name(run_id, seed, time))
        record = read(run)
        if record is None or not came_to_nothing(record):
            return run, record
    raise AssertionError("there is always one more")


def under_way(
    listener: Listener, experiment: Experiment, run_id: str, seed: int, time: int = 1
) -> Flight | None:
    """Return the launch of that version with that seed, if it is not committed.

    With the first seed a version is launched several times; with any other again only if a launch came to
    nothing.
    """
    for flight in listener.of(experiment):
        match = MEASURE_ID.fullmatch(flight.run.run_id)
        if match is None or (match[1], int(match[2])) != (run_id, seed):
            continue
        if seed or int(match[3] or 1) == time:
            return flight
    return None


def put_on(
    listener: Listener,
    experiment: Experiment,
    done: LaidOut,
    peaks: Mapping[str, tuple[float, ...]] | None = None,
) -> Flight:
    """Put what is laid out on the board, and tell it. `peaks`: what such runs have needed."""
    flight = listener.add(
        Flight(experiment, done.run, done.active, done.record, done.entry, peaks=peaks or {})
    )
    listener.tell(flight, RunSubmitted(base=done.record.base, note="", to_disk_ms=None, of=done.record.of))
    return flight


class Launched(NamedTuple):
    """One more launch of a version that was laid out: its seed, and the how many-th time with that."""

    run: Run
    of: str  # the run whose version it is
    seed: int
    time: int


def launched(experiment: Experiment, run_id: str | None = None) -> Iterator[Launched]:
    """Yield all of a run's version, or of all runs' versions, whatever came of them."""
    for name in run_folders.names(experiment):
        match = MEASURE_ID.fullmatch(name)
        if match is not None and run_id in (None, match[1]):
            yield Launched(experiment.run(name), match[1], int(match[2]), int(match[3] or 1))


def never_queued(
    experiment: Experiment, launch: Launched, record: RunRecord | None, key: bytes, entries: Path
) -> bool:
    """Tell whether a launch was laid out here and never got its entry, for a full disk or a kill.

    Its seed is free still. What another state folder's daemon has laid out may wait in that one's queue. A
    record that cannot be read frees no seed: no launch could be laid out over it.
    """
    if record is None:
        laid_out_here = not os.path.lexists(launch.run.record)
    else:
        laid_out_here = record.laid_out_by == described(key) and record.state == Queued(seed=launch.seed)
    return laid_out_here and not entry_path(entries, experiment, launch.run.run_id).exists()


def of_best(like: Flight, best: Best, seed: int) -> OneMore:
    """Return a launch of the best as `like` is launched: its environment, limits, need and settings."""
    return OneMore(best.run_id, best.sha256, seed, like.record, like.active)


def _version(experiment: Experiment, launch: OneMore) -> bytes:
    """Return the version's text as it was judged."""
    path = experiment.run(launch.of).train
    if not versions.put_right(experiment, launch.of, launch.sha256):
        raise CorruptState(f"{path} is not the version that was judged", "put back a copy of it")
    return files.read(path, file_kinds.TRAIN)


def _record(launch: OneMore, run_id: str) -> RunRecord:
    return replace(
        launch.like,
        run_id=run_id,
        submit_id=f"{run_id}-{os.urandom(8).hex()}",
        sha256=launch.sha256,
        base=launch.of,
        note="",
        submitted_at=state.now(),
        restore="at_verdict",
        normal="",
        argv=(),
        measure=True,
        of=launch.of,
        idle=launch.idle,
        state=Queued(seed=launch.seed),
        signature="",
    )


def recall(experiment: Experiment, seed: int) -> None:
    """Put into best.json what a launch of the best with that seed measured that was committed before.

    best.json lacks it if it was rebuilt. A launch under other conditions than now leaves a gap, for each seed
    is launched once.
    """
    current = load_or_repair(experiment)
    best, settings = current.best, current.session.settings
    if best is None or settings is None:
        return
    conditions = seal.conditions(settings, current.contract)
    values = list(noise_history.comparable(best, conditions))
    if len(values) > seed:
        return
    run, record = _place_of(experiment, best.run_id, seed, history.record_of)
    result = history.committed(run, record)
    fits = record is not None and same.conditions(record, current.contract) == conditions
    value = result.values[0].value if fits and result is not None and result.values else None
    values += [None] * (seed - len(values)) + [value]
    earlier = best.earlier if best.conditions == conditions else ()
    state.write(experiment.best, replace(best, values=tuple(values), conditions=conditions, earlier=earlier))


def due(experiment: Experiment) -> tuple[Best, tuple[int, ...]] | None:
    """Return the best and the seeds with which it is to be launched now, whatever the next candidate is.

    Those that the noise is measured with at first; and the next one, where the session's threshold may be
    reached and one value does not tell.
    """
    current = load_or_repair(experiment)
    best, settings = current.best, current.session.settings
    if best is None or settings is None or settings.verdict != "noise" or not current.session.live:
        return None
    if not best.valid:  # the first run that keeps the constraints takes its place, whatever its value
        return None
    conditions, config = seal.conditions(settings, current.contract), config_of(settings, best.primary)
    values = noise_history.comparable(best, conditions)
    if not best.earlier and len(values) < config.start:
        return best, tuple(range(len(values), config.start))
    if settings.threshold is None:
        return None
    judged = noise_history.judged(experiment, best, conditions, current.session.last_run)
    test = threshold(judged, settings.threshold, config)
    return (best, (test.confirm.seed,)) if test.confirm is not None else None
