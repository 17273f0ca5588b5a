"""Chooses the runs whose note and diff are in the page: the advances first, then the newest."""

from collections import deque
from collections.abc import Container, Iterable, Iterator
from datetime import datetime
from typing import Protocol, TypeVar

import msgspec
from msgspec import Struct

from ardaemon.core.config import NOTE_MAX
from ardaemon.core.facts import RunFacts
from ardaemon.core.layout import RUN_ID, run_number
from ardaemon.core.text import clean, cut_bytes, one_line
from ardaemon.report.page.pieces import HEAVY_PIECE, Work

DIFF_MAX = 600  # bytes of a diff: some ten lines, which is what one idea takes
RECORDS_BYTES = 400_000  # of all records that have a diff, as they are in the page
HELD_BYTES = 600_000  # of runs that may get one: what is left after the records is for their notes
RECORD_LEAST = 40  # bytes of a record without note and diff
REASON_MAX = 80  # characters
READ_MAX = 4_096  # characters of a text that are cleaned: the file may have come with a clone


class Numbered(Protocol):
    """An entry of the page that belongs to a run."""

    @property
    def number(self) -> int:
        """The number of the run."""


T = TypeVar("T", bound=Numbered)


class Record(Struct, frozen=True, array_like=True):
    """What is told of one run beside its point; an array in the page."""

    number: int
    note: str
    diff: str | None  # None: nobody knows it, for the snapshot is gone
    cut: bool  # there is more of the diff
    base: int | None  # number of the run that it was edited from
    reason: str
    ended: int | None  # seconds since 1970


class Note(Struct, frozen=True, array_like=True):
    """A run of which only the note has room."""

    number: int
    note: str


def record_of(run: RunFacts) -> Record:
    """Return the record of a run that has a run's id."""
    diff = clean(run.diff[:READ_MAX])
    short = cut_bytes(diff, DIFF_MAX)
    return Record(
        number=run_number(run.run_id),
        note=one_line(run.note[:READ_MAX], NOTE_MAX),
        diff=short if run.diff or run.size else None,
        cut=run.diff_cut or short != diff or len(run.diff) > READ_MAX,
        base=run_number(run.base) if run.base and RUN_ID.fullmatch(run.base) else None,
        reason=one_line(_why(run)[:READ_MAX], REASON_MAX),
        ended=_seconds_of(run.ended_at),
    )


def _why(run: RunFacts) -> str:
    """Return why the run failed, or does not count although its value may be better."""
    broken = "a constraint was broken" if run.status == "ok" and not run.valid and not run.measure else ""
    return run.reason or run.tainted or broken


def _seconds_of(moment: str) -> int | None:
    """Return a moment of UTC in seconds since 1970; None for what is none."""
    try:
        read = datetime.fromisoformat(moment)
    except ValueError:
        return None
    return int(read.timestamp()) if read.tzinfo is not None else None


def encoded(value: object) -> bytes:
    """Return `value` as JSON that can stand in a script element: nothing in it begins a tag."""
    return msgspec.json.encode(value).replace(b"<", b"\\u003c")


class Records:
    """The runs of a stream that may get a record: as many of the advances, and of the newest, as fit."""

    def __init__(self) -> None:
        self._advances, self._newest = _Held(), _Held()

    def add(self, run: RunFacts) -> None:
        """Take the next run."""
        (self._advances if run.verdict == "advance" else self._newest).add(run)

    def chosen(self, room: int, drawn: Container[int]) -> Work[tuple[tuple[Record, ...], tuple[Note, ...]]]:
        """Return the records that fit into `room` bytes of the page, and notes for what is left of it.

        `drawn`: the numbers of the runs that have a point; what has none has no record either.
        """
        held = (*self._advances, *self._newest)
        records, used = yield from that_fit(map(record_of, held), drawn, min(room, RECORDS_BYTES))
        told = {record.number for record in records}
        rest = (
            Note(run_number(run.run_id), one_line(run.note[:READ_MAX], NOTE_MAX)) for run in held if run.note
        )
        untold = (note for note in rest if note.number not in told)
        notes, _ = yield from that_fit(untold, drawn, room - used)
        return tuple(records), tuple(notes)


class _Held:
    """Runs within HELD_BYTES of notes and diffs; iterated from the newest."""

    def __init__(self) -> None:
        self._runs: deque[RunFacts] = deque()
        self._bytes = 0

    def add(self, run: RunFacts) -> None:
        self._runs.append(run)
        self._bytes += _least(run)
        while self._bytes > HELD_BYTES:
            self._bytes -= _least(self._runs.popleft())

    def __iter__(self) -> Iterator[RunFacts]:
        return reversed(self._runs)


def _least(run: RunFacts) -> int:
    """Return about as many bytes as the record of the run has at least."""
    return RECORD_LEAST + len(run.note) + min(len(run.diff), DIFF_MAX)


def that_fit(entries: Iterable[T], drawn: Container[int], room: int) -> Work[tuple[list[T], int]]:
    """Return the first entries of drawn runs that fit into so many bytes, and the bytes that they take."""
    fitting: list[T] = []
    used = 0
    for entry in (entry for entry in entries if entry.number in drawn):
        size = len(encoded(entry)) + len(",")
        if used + size > room:
            break
        fitting.append(entry)
        used += size
        if len(fitting) % HEAVY_PIECE == 0:
            yield
    return fitting, used
