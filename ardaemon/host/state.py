"""State files: reads them with a check of their schema, writes them durably, puts broken ones aside."""

import contextlib
import errno
import glob
import os
import shlex
import stat
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

import msgspec

from ardaemon.core import file_kinds, files
from ardaemon.core.errors import ArdaemonError, CorruptState, StorageError, UnknownSchema
from ardaemon.core.model import SCHEMA, Record
from ardaemon.core.project import foreign_file
from ardaemon.host import durable, obstacle, operations

R = TypeVar("R", bound=Record)
# What msgspec raises for bytes that cannot be decoded, also for lists a thousand levels deep.
UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
COMPARED_BYTES = 1 << 20

_MENDS = {
    errno.ENOSPC: "free some space and try again",
    errno.EDQUOT: "your disk quota is used up: free some space and try again",
    errno.EROFS: "the filesystem is read-only: remount it, or move the project",
    errno.ENOENT: "the folder was moved or deleted: put it back and try again",
}


class _Schema(msgspec.Struct, frozen=True):
    schema: int | None = None  # every version has written one: a file without it is as strange as schema 0


def now() -> str:
    """Return the time of day as files have it: UTC, ISO 8601, whole seconds."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def seconds(*stamps: str | None) -> float:
    """Return the first of some times that can be read, in seconds since 1970; 0 if none can.

    A job may have written one of them: exit.json lies where it can get at it.
    """
    for stamp in stamps:
        with contextlib.suppress(ValueError, OverflowError):
            if stamp:
                return datetime.fromisoformat(stamp).timestamp()
    return 0.0


class storage:
    """Turn an OSError of the block into a StorageError, which says that `what` cannot be done to `path`.

    Another user's file becomes a ForeignOwner. A class, because each request enters some: a generator would
    cost as much as reading a small file does.
    """

    def __init__(self, what: str, path: Path) -> None:
        self.what, self.path = what, path

    def __enter__(self) -> None:
        pass

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        if isinstance(error, OSError):
            raise self.translated(error) from error

    def translated(self, error: OSError) -> ArdaemonError:
        """Return the error that says what is in the way, and what to do about it."""
        if isinstance(error, files.ForeignFile):
            return foreign_file(str(error.filename), error.uid)
        facts, problem = {"path": str(self.path)}, error.strerror or str(error)
        if isinstance(error, files.NotPlain):
            mend = move_away(Path(error.filename or self.path))
        elif (found := obstacle.find(str(self.path), error)) is not None:
            where = "" if found.path == str(self.path) else f" {found.path}:"
            problem, mend = f"{problem};{where} {found.why}", found.mend
            facts = {"path": found.path}
        else:
            mend = _MENDS.get(error.errno or 0, "check the disk and the folder's rights")
        return StorageError(f"cannot {self.what} {self.path}: {problem}", mend, facts)


class reading(storage):
    """Turn a NotPlain of the block into a CorruptState, any other OSError as storage() does."""

    def __init__(self, path: Path) -> None:
        super().__init__("read", path)

    def translated(self, error: OSError) -> ArdaemonError:
        """Return the error, as storage does; for what is no plain file, that of a broken one."""
        if isinstance(error, files.NotPlain):
            return not_plain(self.path, error)
        return super().translated(error)


@contextlib.contextmanager
def seen() -> Iterator[None]:
    """Turn a refusal of the kernel's in the block, to look at some path, into a StorageError.

    Any look may meet a folder that its owner has closed: nobody asks before each.
    """
    try:
        yield
    except PermissionError as error:
        if not isinstance(error.filename, str) or not error.filename.startswith("/"):
            raise
        with storage("look at", Path(error.filename)):
            raise


def read(path: Path, kind: type[R], size: file_kinds.Kind = file_kinds.STATE) -> R | None:
    """Read a state file of that size; None if there is no file.

    Raises CorruptState, UnknownSchema, StorageError, and ForeignOwner for another user's file.
    """
    with reading(path):
        try:
            data = files.read(path, size)
        except FileNotFoundError:
            return None
    return decode(data, kind, path)


def not_plain(path: Path, fault: files.NotPlain) -> CorruptState:
    """Make the error for a state file in whose place something else stands."""
    return CorruptState(f"{path} cannot be read: {fault.strerror}", move_away(path), {"path": str(path)})


def move_away(path: Path) -> str:
    """Return the mend for what stands in a file's place: the command that moves it away."""
    return f"move it away: {shlex.join(['mv', str(path), f'{path}.old'])}"


def _put_back(path: Path) -> str:
    return f"put back a copy of it; or, if it is not needed, {move_away(path)}"


def decode(data: bytes, kind: type[R], path: Path) -> R:
    """Decode the content of the state file `path`.

    Raises UnknownSchema if another version wrote it, and CorruptState if it cannot be read at all.
    """
    try:
        schema = msgspec.json.decode(data, type=_Schema).schema
        if schema != SCHEMA:
            raise _unknown(schema, path)
        return msgspec.json.decode(data, type=kind)
    except UNREADABLE as error:
        raise CorruptState(f"{path} cannot be read: {error}", _put_back(path), {"path": str(path)}) from error


def _unknown(schema: int | None, path: Path) -> UnknownSchema:
    has = "no schema" if schema is None else f"schema {schema}"
    if schema is not None and schema > SCHEMA:
        mend = "it was written by a newer ardaemon: upgrade this one"
    else:
        mend = _put_back(path)
    return UnknownSchema(f"{path} has {has}; this version reads schema {SCHEMA}", mend, {"path": str(path)})


def encode(record: Record) -> bytes:
    """Encode a record as indented JSON, so that a person can read it with cat."""
    return msgspec.json.format(msgspec.json.encode(record), indent=1) + b"\n"


def write(path: Path, record: Record, mode: int = 0o644, folder: bool = True) -> None:
    """Write a record durably; `folder` as in durable.write."""
    with storage("write", path):
        durable.write(path, encode(record), mode, folder)


def put_aside(path: Path) -> Path:
    """Keep a broken file's bytes beside it under a free name, and return that name.

    The file itself stays until a durable write replaces it, so that a kill in between changes nothing: the
    next try finds the file broken again, and finds this copy of it. What is no plain file is moved: a link
    has no bytes to keep, and a folder cannot be replaced. After a kill the file is missing, which is mended
    as well.
    """
    with storage("put aside", path):
        aside = _free_name(path)
        if not stat.S_ISREG(os.lstat(path).st_mode):
            durable.rename(path, aside)
            return aside
        for copy in sorted(path.parent.glob(f"{glob.escape(path.name)}.broken-*")):
            if _same(path, copy):
                return copy
        try:
            operations.link(path, aside)
            durable.sync_folder(path.parent)
        except OSError:  # a filesystem without hard links, or one that refuses them for others' files
            durable.write(aside, files.read(path, file_kinds.BROKEN), durable.mode_of(path, 0o644))
    return aside


def _same(path: Path, copy: Path) -> bool:
    """Tell whether two files have the same bytes; False if the copy cannot be read."""
    try:
        if os.path.samefile(path, copy):
            return True
        with files.opened(path, file_kinds.BROKEN) as one, files.opened(copy, file_kinds.BROKEN) as other:
            while block := one.read(COMPARED_BYTES):
                if other.read(COMPARED_BYTES) != block:
                    return False
            return not other.read(1)
    except OSError:
        return False


def _free_name(path: Path) -> Path:
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S")
    for number in range(1000):
        aside = path.with_name(f"{path.name}.broken-{stamp}" + (f"-{number}" if number else ""))
        if not os.path.lexists(aside):
            return aside
    raise StorageError(f"cannot put aside {path}: too many broken copies", "remove some of them")
