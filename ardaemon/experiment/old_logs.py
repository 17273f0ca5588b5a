"""Removes logs of runs that are over; a line stands in the place of each, and says what went and by what.

Of a run's files only its logs and samples ever go: by them nothing is decided any more. Each log is replaced
by its line in one step, so that a kill in between leaves some logs whole and the others gone.
"""

import contextlib
import itertools
import os
import re
import stat
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

from ardaemon.core import file_kinds, files, folders
from ardaemon.core.folders import Look
from ardaemon.core.layout import ORIGINAL, RUN_ID, Attempt, Experiment, Run, run_number
from ardaemon.core.size import of_bytes
from ardaemon.experiment import ledger
from ardaemon.experiment.which_logs import RunLogs
from ardaemon.host import durable, operations, state

LINE_MAX = 512  # bytes; a log that is longer is none of these lines
_REMOVED = re.compile("… the log(?: and the samples)? \\([^)\\n]*\\) (?:was|were) removed at [^\\n]* …\\n")


def committed(experiment: Experiment) -> list[RunLogs]:
    """Return what the committed runs keep, in the order of their ids. Raises CorruptState, StorageError."""
    rows = ledger.rows_from(experiment.results, len(ledger.HEADER), count=1 << 30)
    run_ids = {row["run_id"] for _, row in rows if RUN_ID.fullmatch(row["run_id"])}
    return [of_run(experiment.run(run_id)) for run_id in sorted(run_ids, key=run_number)]


def archived(experiment: Experiment) -> list[RunLogs]:
    """Return what the runs keep that `--resume fresh` has put aside."""
    runs = [runs for each in _folders(experiment.archive) for runs in _folders(each) if runs.name == "runs"]
    return [of_run(Run(run)) for each in runs for run in _folders(each) if _is_run(run.name)]


def _is_run(name: str) -> bool:
    return RUN_ID.fullmatch(name) is not None and name != ORIGINAL


def of_run(run: Run) -> RunLogs:
    """Return what one run keeps."""
    attempts = list(_attempts(run))
    logs = dict(_plain(path for each in attempts for path in (each.check_log, each.log)))
    samples = dict(_plain(each.samples for each in attempts))
    log_size = _on_disk(logs.values())
    return RunLogs(
        run=run,
        logs=tuple(logs),
        samples=tuple(samples),
        log_size=log_size,
        size=log_size + _on_disk(samples.values()),
        written=max((status.st_mtime for status in (*logs.values(), *samples.values())), default=0.0),
    )


def _plain(paths: Iterable[Path]) -> Iterator[tuple[Path, os.stat_result]]:
    """Yield the plain files that are there, but for the lines of earlier removals."""
    for path in paths:
        with contextlib.suppress(OSError):
            status = os.lstat(path)
            if stat.S_ISREG(status.st_mode) and not _is_removed(path, status):
                yield path, status


def _on_disk(files_there: Iterable[os.stat_result]) -> int:
    return sum(status.st_blocks * 512 for status in files_there)  # stat(2): whatever the real blocks are


def _is_removed(path: Path, status: os.stat_result) -> bool:
    """Return whether the line of an earlier removal stands there."""
    if status.st_size > LINE_MAX:
        return False
    return _REMOVED.fullmatch(files.text(path, file_kinds.LOG, "replace")) is not None


def _attempts(run: Run) -> Iterator[Attempt]:
    """Yield the attempts of a run; their numbers have no gap. No link is followed, as a clone may bring."""
    for number in itertools.count(1):
        try:
            files.require_folder(run.folder)
            files.require_folder(run.attempt(number).folder)
        except OSError:
            return
        yield run.attempt(number)


def _folders(folder: Path) -> list[Path]:
    """Return the folders in a folder, no links; none if there is too much to look through."""
    with contextlib.suppress(OSError):
        found = folders.listing(str(folder), Look(folder))
        return [Path(one.path) for one in found if one.is_folder and not one.is_link]
    return []


def remove(runs: Collection[RunLogs], by: str, *, samples: bool = False) -> list[RunLogs]:
    """Remove the logs of these runs, with `samples` those as well; return those of which all went.

    `by` is what wanted it, in words. What the disk refuses stays, and is found again the next time.
    """
    gone = []
    for one in runs:
        with contextlib.suppress(OSError):
            _remove(one, by, samples)
            gone.append(one)
    return gone


def _remove(one: RunLogs, by: str, samples: bool) -> None:
    """Remove what the run keeps; the line comes last, so that it is true when it is there."""
    line = _line(one, by, samples)
    for path in one.samples if samples else ():
        durable.remove(path)
    places = {path.parent for path in (*one.logs, *(one.samples if samples else ()))}
    for attempt in map(Attempt, sorted(places)):
        if os.path.lexists(attempt.log):
            _replace(attempt.log, line)
        durable.remove(attempt.check_log)
        durable.sweep(attempt.folder)  # of a daemon that was killed in the midst of a removal


def _line(one: RunLogs, by: str, samples: bool) -> bytes:
    both = samples and one.samples
    what = "the log and the samples" if both else "the log"
    size = of_bytes(one.size if samples else one.log_size)
    return f"… {what} ({size}) {'were' if both else 'was'} removed at {state.now()} by {by} …\n".encode()


def _replace(path: Path, line: bytes) -> None:
    """Put the line in the place of the log. After a power cut the log may be there again, or be empty."""
    try:
        durable.publish(path, line, durable.mode_of(path, 0o644))
    except OSError as error:
        if error.errno not in operations.FULL:
            raise
        _replace_in_place(path, line)


def _replace_in_place(path: Path, line: bytes) -> None:
    """Write the line over the log's beginning, and cut the rest off: not even one block is free."""
    fd = operations.reopen(path)
    try:
        operations.write(fd, line)
        operations.truncate(fd, len(line))
    finally:
        os.close(fd)
