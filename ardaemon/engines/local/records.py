"""What is known of an attempt on this machine: its place, which the daemon wrote; start.json and exit.json.

The daemon writes the place into run.json before the launch; the shim writes the two files.
"""

from pathlib import Path
from typing import TypeVar

from msgspec import UNSET, Struct, ValidationError, convert

from ardaemon.core.errors import CorruptState, UnknownSchema
from ardaemon.core.layout import Attempt
from ardaemon.core.model import Exit, Record
from ardaemon.core.run_record import Handle
from ardaemon.engines.base import Finished
from ardaemon.host import cgroup, proc, state

R = TypeVar("R", bound=Record)


class Place(Struct, frozen=True, kw_only=True):
    """The place of an attempt, as Handle.place has it: its locks, and the boot in which it was launched."""

    shim_lock: str
    job_lock: str
    boot_id: str


def place_of(handle: Handle) -> Place:
    """Return an attempt's place, whichever version wrote it. Raises CorruptState if it is not whole."""
    before = {name: getattr(handle, name) for name in Place.__struct_fields__}
    place = handle.place or {name: value for name, value in before.items() if value is not UNSET}
    try:
        return convert(place, Place)
    except ValidationError as error:
        run_json = Path(handle.folder).parent / "run.json"
        wrong = f"{run_json} does not say where attempt {handle.attempt} is: {error}"
        raise CorruptState(wrong, "put back a copy of it") from error


class Start(Record, frozen=True, kw_only=True):
    """start.json"""

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
        """The job's cgroup, if that can be one."""
        return self.cgroup if cgroup.ours(self.cgroup) else ""


class _ExitFile(Exit, frozen=True, kw_only=True):
    ended_monotonic: float | None = None


def read_start(handle: Handle) -> Start | None:
    """Of this boot; None where there is none. Raises UnknownSchema."""
    start = _read(Attempt(Path(handle.folder)).start, Start)
    return start if start is not None and start.boot_id == place_of(handle).boot_id else None


def known_start(handle: Handle) -> Start | None:
    """The same, where one that cannot be read is as good as none."""
    try:
        return read_start(handle)
    except UnknownSchema:
        return None


def read_exit(attempt: Attempt) -> Finished | None:
    """How it ended; None where no end was recorded. Raises UnknownSchema."""
    found = _read(attempt.exit, _ExitFile)
    if found is None:
        return None
    known = {name: getattr(found, name) for name in Exit.__struct_fields__}
    return Finished(exit=Exit(**known), ended_monotonic=found.ended_monotonic)


def _read(path: Path, kind: type[R]) -> R | None:
    """None where it is absent, or torn by a power cut: then the run counts as lost. Raises UnknownSchema."""
    try:
        return state.decode(path.read_bytes(), kind, path)
    except (OSError, CorruptState):
        return None


def shim_lives(start: Start | None) -> bool:
    """Is the shim that wrote it at work?"""
    # The runtime folder is removed at logout where lingering is off: then the lock says nothing.
    return start is not None and start.shim[1] is not None and proc.start_time(start.shim[0]) == start.shim[1]
