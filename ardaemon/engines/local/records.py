"""Records of an attempt on this machine: its place in run.json, start.json and exit.json, as types.

The daemon writes the place into run.json before the launch; the shim writes the two files.
"""

import contextlib
from pathlib import Path
from typing import TypeVar

from msgspec import UNSET, Struct, ValidationError, convert, json
from msgspec.structs import replace

from ardaemon.core.errors import CorruptState, ForeignOwner, StorageError, UnknownSchema
from ardaemon.core.layout import Attempt
from ardaemon.core.model import Exit, Record
from ardaemon.core.run_record import Handle
from ardaemon.engines.base import Finished
from ardaemon.host import cgroup, durable, file_lock, proc, state

R = TypeVar("R", bound=Record)

REFUSED = ".refused"  # an exit.json that the shim did not write is kept under this ending


class LocalPlace(Struct, frozen=True, kw_only=True):
    """The place of an attempt, as Handle.place has it: its locks, and the boot in which it was launched."""

    shim_lock: str
    job_lock: str
    boot_id: str


def place_of(handle: Handle) -> LocalPlace:
    """Return an attempt's place, whichever version wrote it. Raises CorruptState if it is not whole."""
    before = {name: getattr(handle, name) for name in LocalPlace.__struct_fields__}
    place = handle.place or {name: value for name, value in before.items() if value is not UNSET}
    try:
        return convert(place, LocalPlace)
    except ValidationError as error:
        run_json = Path(handle.folder).parent / "run.json"
        wrong = f"{run_json} does not say where attempt {handle.attempt} is: {error}"
        raise CorruptState(wrong, "put back a copy of it") from error


class StartFile(Record, frozen=True, kw_only=True):
    """The content of start.json, which the shim writes before it starts the job."""

    shim: tuple[int, int | None]
    boot_id: str
    deadline: float
    monotonic: float
    job: tuple[int, int | None] | None = None
    over_by: float | None = None
    cgroup: str = ""
    pids_cgroup: str = ""

    @property
    def tree(self) -> str:
        """Return the job's cgroup; an empty string if the file names none that can be the daemon's."""
        return self.cgroup if cgroup.ours(self.cgroup) else ""


class Given(Struct, frozen=True, kw_only=True):
    """What a shim was given with an attempt, as the daemon has noted it in shim.lock.

    start.json lies where the job can write, so it is believed only as far as it agrees. Times are those of
    CLOCK_MONOTONIC that the attempt cannot pass: each is some seconds later than the shim's own.
    """

    cgroup: str
    pids_cgroup: str
    deadline: float
    over_by: float


def noted_start(handle: Handle) -> StartFile | None:
    """Return what the daemon has noted of a shim that was given the attempt; None if it has noted nothing.

    For an attempt without start.json: its shim has not begun, or its job has removed the file.
    """
    place = place_of(handle)
    note = file_lock.note(place.shim_lock)
    given = _given(note[1]) if note is not None else None
    if note is None or given is None:
        return None
    return StartFile(
        shim=note[0],
        boot_id=place.boot_id,
        deadline=given.deadline,
        monotonic=given.deadline,
        over_by=given.over_by,
        cgroup=given.cgroup,
        pids_cgroup=given.pids_cgroup,
    )


def _given(facts: bytes) -> Given | None:
    """Decode what is noted in a lock; None if an earlier version launched it, and noted the shim alone."""
    try:
        return json.decode(facts, type=Given)
    except state.UNREADABLE:
        return None


class _ExitFile(Exit, frozen=True, kw_only=True):
    """The content of exit.json, with what only the engine needs of it."""

    ended_monotonic: float | None = None


def read_start(handle: Handle) -> StartFile | None:
    """Read start.json; None if there is none of the attempt's boot. Raises UnknownSchema, StorageError."""
    start, place = _read(Attempt(Path(handle.folder)).start, StartFile), place_of(handle)
    return _agreed(start, place.shim_lock) if start is not None and start.boot_id == place.boot_id else None


def _agreed(start: StartFile, shim_lock: str) -> StartFile:
    """Return as much of start.json as agrees with what its shim was given."""
    note = file_lock.note(shim_lock)
    if note is None:  # a logout has removed the lock
        return replace(start, cgroup="", pids_cgroup="")
    shim, facts = note
    given = _given(facts)
    if given is None:
        return start
    return replace(
        start,
        shim=shim,
        deadline=min(start.deadline, given.deadline),
        over_by=given.over_by if start.over_by is None else min(start.over_by, given.over_by),
        cgroup=start.cgroup if start.cgroup == given.cgroup else "",
        pids_cgroup=start.pids_cgroup if start.pids_cgroup == given.pids_cgroup else "",
    )


def known_start(handle: Handle) -> StartFile | None:
    """Read start.json as read_start; None also if another version wrote it, or the disk does not give it."""
    try:
        return read_start(handle)
    except (UnknownSchema, StorageError):
        return None


def read_exit(attempt: Attempt) -> Finished | None:
    """Read how the attempt ended; None if no end was recorded. Raises UnknownSchema, StorageError."""
    file = _read(attempt.exit, _ExitFile)
    if file is None:
        return None
    fields = {name: getattr(file, name) for name in Exit.__struct_fields__}
    return Finished(exit=Exit(**fields), ended_monotonic=file.ended_monotonic)


def _read(path: Path, kind: type[R]) -> R | None:
    """Read a file of the shim's; None if it is absent, torn by a power cut, or another user's.

    An attempt whose files are torn, or which somebody else has written, counts as lost. A disk that does not
    give a file is no sign that there is none: a run whose end is there would be lost, and one that has begun
    would be launched again. Raises UnknownSchema, StorageError.
    """
    try:
        return state.read(path, kind)
    except (CorruptState, ForeignOwner):
        return None


def refuse_exit(handle: Handle) -> None:
    """Put exit.json aside, durably: whoever has written it, it was not the shim. Raises StorageError."""
    path = Attempt(Path(handle.folder)).exit
    with state.storage("put aside", path), contextlib.suppress(FileNotFoundError):
        durable.rename(path, path.with_name(f"{path.name}{REFUSED}"))


def shim_lives(start: StartFile | None) -> bool:
    """Return whether the shim that wrote start.json lives."""
    # The runtime folder is removed at logout where lingering is off: then the lock says nothing.
    return start is not None and start.shim[1] is not None and proc.start_time(start.shim[0]) == start.shim[1]
