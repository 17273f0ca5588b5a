"""A checkpoint's copy: shared where the filesystem can, hashed as it is written, its progress told."""

import errno
import hashlib
import os
import shutil
import stat
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path

from msgspec import Struct

from ardaemon.core.config import FREE_DISK_MIN
from ardaemon.core.size import shown
from ardaemon.host import durable, operations

PROGRESS_S = 1.0  # between two words of progress: a person watches
BLOCK = 1 << 20  # bytes that are hashed at once; more is no faster

Told = Callable[[int, int], None]  # bytes done, of all


class Copied(Struct, frozen=True):
    """One file of a copy."""

    size: int
    sha256: str  # as `sha256sum` prints it


@dataclass
class Plan:
    """What a source consists of: its folders, links and files, each with the place of its copy."""

    folders: list[str] = field(default_factory=list)
    links: list[tuple[str, str]] = field(default_factory=list)  # (text, place)
    files: list[tuple[str, str]] = field(default_factory=list)
    total: int = 0  # bytes


def survey(source: Path, target: Path) -> Plan:
    """All that is in a file or folder but sockets, pipes and devices; links are not followed."""
    plan = Plan()
    todo = [(os.path.realpath(source, strict=True), str(target))]
    while todo:
        one, other = todo.pop()
        found = os.lstat(one)
        if stat.S_ISDIR(found.st_mode):
            plan.folders.append(other)
            todo += [(os.path.join(one, name), os.path.join(other, name)) for name in os.listdir(one)]
        elif stat.S_ISLNK(found.st_mode):
            plan.links.append((os.readlink(one), other))  # it may lead in a circle
        elif stat.S_ISREG(found.st_mode):
            plan.files.append((one, other))
            plan.total += found.st_size
    return plan


class Copier:
    """Makes the copy that a plan says; every byte and name of it is synced when run() returns."""

    def __init__(self, plan: Plan, told: Told, make_room: Callable[[], None]) -> None:
        self.plan, self.told, self.make_room = plan, told, make_room
        self.hashes: list[_Hash] = []
        self.done = 0  # bytes of the files that are copied
        self.next_word = 0.0  # CLOCK_MONOTONIC: the first one comes at once

    def run(self) -> dict[str, Copied]:
        """Copy; what each file is, by its path. Raises OSError: ENOSPC before the disk is full."""
        for folder in self.plan.folders:
            operations.mkdir(folder)  # with a mode of ours: a copy of a read-only folder could not be filled
        for text, place in self.plan.links:
            operations.symlink(text, place)
        pool = ThreadPoolExecutor(1, "checkpoint-hash")
        try:
            for source, target in sorted(self.plan.files):
                self._copy(source, target, pool)
            self._await(pool.submit(_nothing))
        finally:
            for hashing in self.hashes:
                hashing.given_up = True
            pool.shutdown(cancel_futures=True)
        for folder in self.plan.folders:
            durable.sync_folder(folder)
        return {hashing.path: Copied(hashing.done, hashing.digest.hexdigest()) for hashing in self.hashes}

    def _copy(self, source: str, target: str, pool: ThreadPoolExecutor) -> None:
        before = _state(source)
        hashing = _Hash(target, source)
        self.hashes.append(hashing)

        def copied(count: int) -> None:
            if count == 0:  # not shared: it takes space
                self._require_room(os.path.dirname(target))
                hashing.reads = target
            hashing.tasks.append(pool.submit(hashing.go_on, count))
            self._say()

        durable.copy(source, target, copied)
        if _state(source) != before:
            raise OSError(errno.EIO, "it was changed while it was copied")
        shutil.copystat(source, target)
        self.done += before[0]

    def _require_room(self, folder: str) -> None:
        needed = self.plan.total - self.done
        if _free(folder) < needed:
            self.make_room()
        free = _free(folder)
        if free < needed:
            why = f"its copy takes {_size(needed)}, {_size(max(free, 0))} can be had"
            raise OSError(errno.ENOSPC, f"{os.strerror(errno.ENOSPC)}: {why}")

    def _await(self, last: Future[None]) -> None:
        while wait([last], PROGRESS_S).not_done:
            self._say()
        for hashing in self.hashes:
            for task in hashing.tasks:
                task.result()

    def _say(self) -> None:
        now = time.monotonic()
        if now >= self.next_word:
            self.next_word = now + PROGRESS_S
            self.told(sum(hashing.done for hashing in self.hashes), self.plan.total)


class _Hash:
    """Follows the copy of one file, in another thread, reading what is in the page cache then.

    That is the copy, or, where both share their blocks, the source.
    """

    def __init__(self, path: str, reads: str) -> None:
        self.path, self.reads, self.digest = path, reads, hashlib.sha256()
        self.done, self.given_up = 0, False
        self.tasks: list[Future[None]] = []

    def go_on(self, end: int) -> None:
        """Read up to `end`."""
        block = memoryview(bytearray(min(BLOCK, end - self.done)))
        with open(self.reads, "rb", buffering=0) as file:
            file.seek(self.done)
            while self.done < end and not self.given_up:
                count = file.readinto(block[: end - self.done])
                if not count:
                    raise OSError(errno.EIO, "its copy is shorter than it is")
                self.digest.update(block[:count])
                self.done += count


def _nothing() -> None:
    """What is put behind all others in a queue."""


def _state(path: str) -> tuple[int, int, int]:
    found = os.stat(path)
    return found.st_size, found.st_mtime_ns, found.st_ino


def _free(folder: str) -> int:
    """Bytes that a copy may take: what a run needs to be recorded stays free."""
    found = os.statvfs(folder)
    if found.f_blocks == 0:  # a filesystem that does not say
        return 1 << 63
    return found.f_bavail * found.f_frsize - FREE_DISK_MIN


def _size(count: int) -> str:
    return shown(count / (1 << 20))


def sha256_of(path: str) -> str:
    """The hash of a file as it is now."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
