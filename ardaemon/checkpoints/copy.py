"""Copies a checkpoint, by reflinks where the filesystem has them, and hashes it as it is written."""

import errno
import hashlib
import os
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait

from msgspec import Struct

from ardaemon.checkpoints.survey import Original, Plan
from ardaemon.core import file_kinds, files
from ardaemon.core.config import FREE_DISK_MIN
from ardaemon.core.size import shown
from ardaemon.host import durable, operations

PROGRESS_S = 1.0  # between two reports of progress: a person watches
BLOCK = 1 << 20  # bytes that are hashed at once; more is no faster

Report = Callable[[int, int], None]  # takes the bytes that are done, and those of all


class Copied(Struct, frozen=True):
    """Size (bytes) and hash of one file of a copy."""

    size: int
    sha256: str  # as `sha256sum` prints it


class Copier:
    """Makes the copy of a plan. Every byte and name of it is synced when run() returns.

    `report` is called about once a second, and may raise to end the copy. `make_room` is called when space is
    short.
    """

    def __init__(self, plan: Plan, report: Report, make_room: Callable[[], None]) -> None:
        self.plan, self.report, self.make_room = plan, report, make_room
        self.hashes: list[_Hash] = []
        self.done = 0  # bytes of the files that are copied
        self.next_report = 0.0  # CLOCK_MONOTONIC: the first report comes at once

    def run(self) -> dict[str, Copied]:
        """Copy, and return the facts of each file by its path.

        Raises OSError: ENOSPC before the disk is full.
        """
        for folder, mode in self.plan.folders:
            operations.mkdir(folder, mode)
        for text, place in self.plan.links:
            operations.symlink(text, place)
        pool = ThreadPoolExecutor(1, "checkpoint-hash")
        try:
            for original in sorted(self.plan.files):
                self._copy(original, pool)
            self._await(pool.submit(_nothing))
        finally:
            for hashing in self.hashes:
                hashing.given_up = True
            pool.shutdown(cancel_futures=True)
        for folder, _ in self.plan.folders:
            durable.sync_folder(folder)
        return {hashing.path: Copied(hashing.done, hashing.digest.hexdigest()) for hashing in self.hashes}

    def _copy(self, original: Original, pool: ThreadPoolExecutor) -> None:
        hashing = _Hash(original)
        self.hashes.append(hashing)

        def copied(count: int) -> None:
            if count == 0:  # the filesystem shares no blocks: the copy takes space
                self._require_room(os.path.dirname(original.copy))
                hashing.reads_copy = True
            hashing.tasks.append(pool.submit(hashing.go_on, count))
            self._report()

        with files.opened(original.path, file_kinds.COPIED) as file:
            original.require(os.fstat(file.fileno()))
            durable.copy(file.fileno(), original.copy, copied)
        original.require(os.lstat(original.path))
        self.done += original.size

    def _require_room(self, folder: str) -> None:
        needed = self.plan.total - self.done
        if _free(folder) < needed:
            self.make_room()
        free = _free(folder)
        if free < needed:
            why = f"its copy takes {_size(needed)}, and {_size(max(free, 0))} are free for it"
            raise OSError(errno.ENOSPC, f"{os.strerror(errno.ENOSPC)}: {why}")

    def _await(self, last: Future[None]) -> None:
        while wait([last], PROGRESS_S).not_done:
            self._report()
        for hashing in self.hashes:
            for task in hashing.tasks:
                task.result()

    def _report(self) -> None:
        now = time.monotonic()
        if now >= self.next_report:
            self.next_report = now + PROGRESS_S
            self.report(sum(hashing.done for hashing in self.hashes), self.plan.total)


class _Hash:
    """Hashes one file while it is copied, in another thread, which reads the bytes from the page cache.

    The bytes in the cache are those of the copy, or of the original if the two share their blocks.
    """

    def __init__(self, original: Original) -> None:
        self.original, self.path, self.digest = original, original.copy, hashlib.sha256()
        self.reads_copy = False
        self.done, self.given_up = 0, False
        self.tasks: list[Future[None]] = []

    def go_on(self, end: int) -> None:
        """Hash on up to the byte `end`."""
        block = memoryview(bytearray(min(BLOCK, end - self.done)))
        with files.opened(self.path if self.reads_copy else self.original.path, file_kinds.COPIED) as file:
            if not self.reads_copy:
                self.original.require(os.fstat(file.fileno()))
            file.seek(self.done)
            while self.done < end and not self.given_up:
                count = file.readinto(block[: end - self.done])
                if not count:
                    raise OSError(errno.EIO, "its copy is shorter than it is")
                self.digest.update(block[:count])
                self.done += count


def _nothing() -> None:
    """Do nothing: as the last task of the pool it ends when all others have ended."""


def _free(folder: str) -> int:
    """Return the bytes that a copy may take; FREE_DISK_MIN is left, because a run must be recorded."""
    filesystem = os.statvfs(folder)
    if filesystem.f_blocks == 0:  # a filesystem that does not tell its size
        return 1 << 63
    return filesystem.f_bavail * filesystem.f_frsize - FREE_DISK_MIN


def _size(count: int) -> str:
    return shown(count / (1 << 20))


def sha256_of(path: str) -> str:
    """Return the SHA-256 of a file as it is now, in hexadecimal."""
    with files.opened(path, file_kinds.COPIED) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
