"""One folder of event files, in TensorBoard's words a run: its files are one series, in the order of names.

A writer may say that it begins again at step S (SessionLog.START; `purge_step` in torch). What stands before
that place at step S or later is void then, as in TensorBoard. Otherwise steps may go back: the order of
writing counts.
"""

import math
from collections.abc import Callable, Iterator
from pathlib import Path

from msgspec import Struct

from ardaemon.core.config import NAME_MAX
from ardaemon.metrics.base import METRICS_MAX, Query
from ardaemon.metrics.formats.events import Decoder, Event, Scalar
from ardaemon.metrics.formats.protobuf import ProtobufError
from ardaemon.metrics.formats.tfrecord import Records
from ardaemon.metrics.own import Mine
from ardaemon.metrics.series import Series

VERSION_MAX = 2  # of event files; the current version since 2015
_VERSION = "brain.Event:"


class Last(Struct):
    """The last value of a tag that cannot be the primary metric, as (value, step)."""

    primary: tuple[float, int] | None = None

    def add(self, _: str, value: float, step: int, __: float) -> None:
        self.primary = (value, step)


class _FileState(Struct, frozen=True):
    """How far one event file has been read, and what was wrong with it until there."""

    offset: int
    damaged: int
    too_large: int
    restarts: list[int]
    restarts_passed: int
    malformed: int
    refused: str | None


class FolderState(Struct, frozen=True):
    """How far the files of a folder have been read, by their paths; each tag has one of its two kinds."""

    tags: list[tuple[str, Last | None, Series | None]]
    files: dict[str, _FileState]
    stale: bool


class _EventFile:
    """One event file, and how far it has been read."""

    def __init__(self, mine: Mine) -> None:
        self.mine = mine
        self.restarts: list[int] = []  # the steps of all restarts in it that were ever read
        self.begin()

    def begin(self) -> None:
        """Go back to the file's start, so that all of it is read again."""
        self.records = Records(self.mine.path, self.mine.offset)
        self.restarts_passed = 0
        self.void = math.inf  # values at this step and later are void, until the next restart
        self.malformed = 0
        self.refused: str | None = None  # why no more of the file is read

    def state(self) -> _FileState:
        """Return how far it has been read."""
        records = self.records
        return _FileState(
            records.offset,
            records.damaged,
            records.too_large,
            self.restarts,
            self.restarts_passed,
            self.malformed,
            self.refused,
        )

    def go_on(self, state: _FileState) -> None:
        """Go on where an earlier reading was."""
        self.records.offset = state.offset
        self.records.damaged, self.records.too_large = state.damaged, state.too_large
        self.restarts, self.restarts_passed = state.restarts, state.restarts_passed
        self.malformed, self.refused = state.malformed, state.refused

    def problems(self) -> Iterator[str]:
        """Say what of the file was not read, and why."""
        name, records = self.mine.path.name, self.records
        if self.refused is not None:
            yield f"{name} {self.refused}"
        if records.lost and records.offset == 0:
            yield f"{name} is not an event file, or is damaged at its beginning"
        elif records.lost:
            yield f"{name} is damaged at byte {records.offset}: nothing after that can be read"
        if damaged := records.damaged + self.malformed:
            yield f"{name} has {damaged} damaged record{'s' * (damaged > 1)}"
        if records.torn:
            yield f"{name} ends within a record, at byte {records.offset}: its writer was cut off"

    @property
    def sound(self) -> bool:
        """True if all that was written was read, but for the half of a record that a killed writer left."""
        return not (self.refused or self.records.lost or self.records.damaged or self.malformed)


class Folder:
    """The tags of one folder's event files: a Series for what may be the primary metric, else a Last."""

    def __init__(self, query: Query, decoder: Decoder) -> None:
        self.tags: dict[str, Last | Series] = {}
        # Called when a piece of so many bytes is read, and all its events are taken.
        self.between: Callable[[int], None] = lambda _: None
        self._files: dict[Path, _EventFile] = {}
        self._in_order = True
        self._query, self._decoder = query, decoder
        self._stale = False  # a restart was read that makes values void which were taken before

    def add(self, mine: Mine) -> None:
        """Add a file of this folder, if it is new."""
        if mine.path not in self._files:
            self._files[mine.path] = _EventFile(mine)
            self._in_order = False

    def read(self) -> None:
        """Read what was added since the last call; everything again if a restart makes a part of it void."""
        if not self._in_order:
            self._files = dict(sorted(self._files.items()))
            self._in_order = True
        self._read()
        if self._stale:
            self.tags.clear()
            for file in self._files.values():
                file.begin()
            self._stale = False
            self._read()

    def state(self) -> FolderState:
        """Return how far its files have been read; all events of the pieces that were read are taken."""
        tags = [(tag, *_by_kind(values)) for tag, values in self.tags.items()]
        files = {str(path): file.state() for path, file in self._files.items()}
        return FolderState(tags, files, self._stale)

    def go_on(self, state: FolderState) -> None:
        """Go on where an earlier reading of the same files was."""
        self.tags = {tag: last or series or Last() for tag, last, series in state.tags}
        self._stale = state.stale
        for path, file in self._files.items():
            file.go_on(state.files[str(path)])

    @property
    def sound(self) -> bool:
        """True if all its files are sound."""
        return all(file.sound for file in self._files.values())

    @property
    def files(self) -> int:
        return len(self._files)

    def problems(self) -> list[str]:
        """Say what was not read, and why."""
        return [problem for file in self._files.values() for problem in file.problems()]

    def passed_over(self) -> int:
        """Return how many records were too large to be read."""
        return sum(file.records.too_large for file in self._files.values())

    def _read(self) -> None:
        for file in self._files.values():
            if file.refused is None:
                try:
                    self._read_file(file)
                except OSError as error:
                    file.refused = f"cannot be read: {error.strerror}"

    def _read_file(self, file: _EventFile) -> None:
        file.void = self._void_from(file)
        file.records.between = self.between
        for data in file.records.read():
            scalar = self._decoder.quick(data)
            if scalar is not None:
                self._take(scalar, file.void)
                continue
            self._read_event(file, data)
            if file.refused is not None:
                return

    def _read_event(self, file: _EventFile, data: bytes) -> None:
        """Take an event that is no plain scalar, or is the first one of its tag."""
        try:
            event = self._decoder.event(data)
        except ProtobufError:
            file.malformed += 1
            return
        if event.version is not None and not _is_readable(event.version):
            file.refused = f"is of another version, {event.version[:NAME_MAX]!r}"
        if event.restart:
            self._restart(file, event)
        for scalar in event.scalars:
            self._take(scalar, file.void)

    def _take(self, scalar: Scalar, void: float) -> None:
        tag, value, step, wall = scalar
        if step < void:
            (self.tags.get(tag) or self._tag(tag)).add(self._query.primary.metric, value, step, wall)

    def _restart(self, file: _EventFile, event: Event) -> None:
        file.restarts_passed += 1
        if file.restarts_passed > len(file.restarts):
            file.restarts.append(event.step)
            self._stale = self._stale or bool(self.tags)
        file.void = self._void_from(file)

    def _void_from(self, file: _EventFile) -> float:
        """Return the lowest step at which a writer began again after this place in `file`."""
        later = [other for path, other in self._files.items() if path > file.mine.path]
        steps = [*file.restarts[file.restarts_passed :], *(s for other in later for s in other.restarts)]
        return min(steps, default=math.inf)

    def _tag(self, tag: str) -> Last | Series:
        """Return the place for the values of a new tag; one beyond METRICS_MAX is not kept."""
        values = Series(self._query) if may_be(self._query.primary.metric, tag) else Last()
        if isinstance(values, Series) or (len(self.tags) < METRICS_MAX and len(tag) <= NAME_MAX):
            self.tags[tag] = values
        return values


def _by_kind(values: Last | Series) -> tuple[Last | None, Series | None]:
    return (values, None) if isinstance(values, Last) else (None, values)


def may_be(name: str, tag: str) -> bool:
    """Return whether a metric's name can mean the tag: it is equal, or has a folder before the tag."""
    return name == tag or name.endswith(f"/{tag}")


def _is_readable(version: str) -> bool:
    number = version.removeprefix(_VERSION)
    return version.startswith(_VERSION) and number.isdecimal() and int(number) <= VERSION_MAX
