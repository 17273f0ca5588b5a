"""Hashes sealed files and folders: in blocks, once while nothing changes, no more of them than was sealed."""

import errno
import hashlib
import math
import os
import time
from pathlib import Path
from typing import BinaryIO, NamedTuple

from ardaemon.core import file_kinds, files
from ardaemon.core.errors import UsageError
from ardaemon.core.file_kinds import ANY_SIZE
from ardaemon.core.folders import Look, listing

BLOCK = 1 << 20
SEALED_FILES_MAX = 100_000  # in one sealed folder: a larger data set is sealed by its manifest
MANIFEST = "seal a manifest instead"
# path -> (stat's facts about the file, its hash): large data is not read again while stat gives the same
# facts.
_hashes: dict[str, tuple[tuple[int, ...], str]] = {}
HASHES_MAX = 100_000
# Times are coarse (4 ms on ext4, up to 2 s elsewhere): if a file has changed just now, stat may give the same
# facts after the next change. So only the hash of a file that has rested for this time is remembered.
RESTED_NS = 2_000_000_000


class Hashed(NamedTuple):
    """The SHA-256 of a file's bytes, or of a folder's names and files, and the bytes of all its files."""

    sha256: str
    size: int


def hash_file(path: str) -> str:
    """Return the SHA-256 of a file's bytes, which is remembered while size, times and inode stay the same."""
    remembered = _hashes.get(path)
    if remembered is not None and remembered[0] == _mark(os.stat(path)):
        return remembered[1]
    with files.opened(path, file_kinds.SEALED) as file:
        status = os.fstat(file.fileno())
        digest = _digest(file, status.st_size)
    if time.time_ns() - status.st_ctime_ns > RESTED_NS:
        if len(_hashes) >= HASHES_MAX:
            _hashes.clear()
        _hashes[path] = (_mark(status), digest)
    return digest


def _mark(status: os.stat_result) -> tuple[int, ...]:
    return (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


def _digest(file: BinaryIO, size: int) -> str:
    """Return the hash of a file of `size` bytes. One that holds more may never end: raises OSError."""
    digest, left = hashlib.sha256(), size
    while block := file.read(BLOCK):
        left -= len(block)
        if left < 0:
            raise OSError(errno.EIO, "it grows while it is read")
        digest.update(block)
    return digest.hexdigest()


def hash_path(path: Path, most: int = ANY_SIZE) -> Hashed | None:
    """Return the hash of a file, or of a folder: over the sorted relative names and hashes of its files.

    Return None if it has more than `most` bytes, and read no more than those: a sparse file of a terabyte is
    cheap to make. Data sets are linked in: links to folders are followed, each folder once.
    """
    if not path.is_dir():
        size = path.stat().st_size
        return Hashed(hash_file(str(path)), size) if size <= most else None
    return _hash_folder(path, most)


def _hash_folder(path: Path, most: int) -> Hashed | None:
    digest, count, size, seen = hashlib.sha256(), 0, 0, {_identity(str(path)): "."}
    todo, look = [str(path)], Look(path, seconds=math.inf)
    while todo:
        entries = sorted(listing(todo.pop(), look, follow=True))
        folders = [one for one in entries if one.is_folder and one.name != "__pycache__"]
        firsts = {one.path: _first(one.path, path, seen) for one in folders}
        for again, first in firsts.items():
            if first is not None:  # another way to a folder that is hashed already
                digest.update(f"{os.path.relpath(again, path)}\0-> {first}\n".encode())
        for one in entries:
            if not one.is_folder:
                count += 1
                size += os.stat(one.path).st_size
                if count > SEALED_FILES_MAX:
                    raise UsageError(f"{path} holds over {SEALED_FILES_MAX} files", MANIFEST)
                if size > most:
                    return None
                digest.update(f"{os.path.relpath(one.path, path)}\0{hash_file(one.path)}\n".encode())
        todo += reversed([below for below, first in firsts.items() if first is None])
    return Hashed(digest.hexdigest(), size)


def _first(folder: str, top: Path, seen: dict[tuple[int, int], str]) -> str | None:
    """Return by which name the folder was seen before; None if it is new: links may lead in a circle."""
    name = os.path.relpath(folder, top)
    first = seen.setdefault(_identity(folder), name)
    return None if first == name else first


def _identity(folder: str) -> tuple[int, int]:
    status = os.stat(folder)
    return status.st_dev, status.st_ino
