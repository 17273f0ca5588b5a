"""The log backend: metrics that a run printed, read from the end of its log in bounded memory.

The end of the log (ReadLimits.tail) is read in full and gives all metrics. If the primary metric is not in
it, the rest is searched backwards, block by block, for that metric alone. With a regex, the primary metric
comes from the regex alone, line by line; the other metrics are read as they are printed.
"""

import json
import shlex
import sys
from pathlib import Path
from typing import BinaryIO

import msgspec
from msgspec.structs import asdict, replace

from ardaemon.core import file_kinds, files
from ardaemon.core.config import CUSTOM_DEADLINE_S
from ardaemon.core.text import one_line
from ardaemon.metrics import apart
from ardaemon.metrics.base import AttemptOutput, Query, Readings
from ardaemon.metrics.bookmark import Bookmark
from ardaemon.metrics.formats.lines import compile_regex, decode
from ardaemon.metrics.formats.log_reader import LineReader, ReadLimits
from ardaemon.metrics.formats.names import is_split, parted
from ardaemon.metrics.formats.part import from_position
from ardaemon.metrics.kept_log import KeptLog, kept_of
from ardaemon.metrics.log_reading import LogReading
from ardaemon.metrics.own import Mine
from ardaemon.metrics.series import Series

SEEN_MAX = 80  # characters of a line that names the primary metric and reports nothing of it


def check_regex(text: str) -> None:
    """Raise UsageError if a session's --metric-regex cannot be used."""
    compile_regex(text)


class LogBackend:
    """Reads the `name: value` lines of run.log; `deadline` is in seconds, for a search with a regex."""

    name = "log"

    def __init__(self, limits: ReadLimits | None = None, deadline: float = CUSTOM_DEADLINE_S) -> None:
        self.limits, self.deadline = limits or ReadLimits(), deadline

    def read(self, attempt: AttemptOutput, query: Query) -> Readings:
        """Return the log's metrics. Raises UsageError if the regex does not compile."""
        if not query.regex:
            return self.read_here(attempt, query)
        compile_regex(query.regex)
        return apart.read(attempt, query, asdict(self.limits), self.deadline)

    def read_here(self, attempt: AttemptOutput, query: Query) -> Readings:
        """Return the log's metrics, read in this process, where a regex may take for ever."""
        try:
            with _opened(attempt) as file:
                # Of a log that the script writes itself nothing is dropped.
                kept = kept_of(file, query.max_log if attempt.log_from is None else None)
                reading = self._reading(kept.tail if kept else file, query, kept.tail_begin if kept else 0)
                if kept is None:  # the tail alone is read soon
                    mine = Mine(attempt.log, attempt.log_from or 0)
                    reading.bookmark = Bookmark(attempt, query, self.name, [mine])
                whole = reading.read(self.limits)
                series = reading.series
                if kept is not None:
                    whole = False
                    self._note_dropped(kept, series)
                absent = _absent(query, file.seek(0, 2), reading, kept)
        except OSError as error:
            return Readings(self.name, {}, problem=f"{attempt.log.name} cannot be read: {error.strerror}")
        readings = series.readings(self.name, whole=whole, absent=absent)
        # A file of the run may still hold what the log shows and nobody can read.
        is_unknown = series.unread is not None or series.is_lost
        return replace(readings, settled=readings.value is not None) if is_unknown else readings

    def _reading(self, file: BinaryIO, query: Query, begin: int = 0) -> LogReading:
        reader = LineReader(query.primary.metric, query.regex, self.limits.line)
        return LogReading(file, reader, Series(query), begin)

    def _note_dropped(self, kept: KeptLog, series: Series) -> None:
        """Let no value stand in for one that may have been dropped: no earlier one, no best of the rest."""
        series.lost = kept.told
        if series.primary is not None or series.unread is not None:
            return
        reading = self._reading(kept.head, replace(series.query, count="last"))
        reading.read(self.limits)
        before = reading.series
        if before.primary is not None or before.unread is not None:
            series.add_unread(f"{kept.told}, and the tail that is kept has none")


def _opened(attempt: AttemptOutput) -> BinaryIO:
    """Open run.log, or this run's part of a log that the script writes itself."""
    if attempt.log_from is None:
        return files.opened(attempt.log, file_kinds.LOG)
    return from_position(files.opened(attempt.log, file_kinds.METRICS), attempt.log_from)


def _absent(query: Query, size: int, reading: LogReading, kept: KeptLog | None = None) -> str:
    """Say why the log has no report of the primary metric, and what it has instead."""
    if size == 0:
        return "the log is empty"
    if kept is not None:
        return f"{_absent(query, size, reading)}, as far as the log is kept: {kept.told}"
    if query.regex:
        return f"--metric-regex {one_line(query.regex, 80)!r} found no {query.primary.metric} in the log"
    where = f"; it stands only in lines such as {_shown(decode(reading.seen))}" if reading.seen else ""
    if (other := reading.reader.other) is not None:
        where += f", as {_shown(other)}, which is another metric"
        where += f" (--primary-metric {shlex.quote(other)} reads it)" if is_split(parted(other)[0]) else ""
    return f"{query.primary.metric} was never printed{where}"


def _shown(text: str) -> str:
    return repr(one_line(text, SEEN_MAX))


def main() -> None:
    """Answer the request in the last argument, in the process that metrics/apart.py starts."""
    request = json.loads(sys.argv[2])
    log = Path(request["log"])
    attempt = AttemptOutput(
        log=log,
        run_folder=log.parent,
        attempt_folder=log.parent,
        project=log.parent,
        log_from=request["log_from"],
    )
    backend = LogBackend(ReadLimits(**request["limits"]))
    answer = backend.read_here(attempt, msgspec.convert(request["query"], Query))
    sys.stdout.buffer.write(msgspec.json.encode(answer))
