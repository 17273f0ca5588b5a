"""Get ready to serve: the lock, the folders, and the word to whoever started the daemon."""

import contextlib
import os
import time

from ardaemon.core import words
from ardaemon.core.layout import Host
from ardaemon.core.locking import RUNTIME, STATE, require_locks
from ardaemon.core.private import private_folder
from ardaemon.host import file_lock
from ardaemon.host.notify import Manager

# A daemon that is killed while it starts a helper leaves a copy of itself, which has the lock until it
# becomes that helper: some milliseconds, more where the processors are busy.
RELEASE_S = 2.0
RELEASE_POLL_S = 0.01  # the kernel tells nobody that a lock is free but who waits for it without an end


class AlreadyRunning(Exception):
    """Another instance of this user holds the lock."""


def take_lock(host: Host) -> int:
    """Return the single instance's lock, held until this process ends. Raises AlreadyRunning."""
    end = time.monotonic() + RELEASE_S
    while True:
        try:
            lock = file_lock.take(str(host.lock))
            break
        except BlockingIOError:
            if not _is_left(str(host.lock)) or time.monotonic() > end:
                raise AlreadyRunning from None
            time.sleep(RELEASE_POLL_S)
    file_lock.name_holder(lock, os.getpid())  # the way to us if daemon.json and the socket are removed
    return lock


def _is_left(path: str) -> bool:
    """Tell whether the lock's holder has ended: what has it still is a copy that closes by itself."""
    return file_lock.note(path) is not None and file_lock.named_holder(path) is None


def prepare(host: Host) -> None:
    """Make the folders that the daemon needs, private to the user. Raises StorageError."""
    for folder, variable in ((host.state, STATE), (host.runtime, RUNTIME)):
        require_locks(private_folder(folder), variable)
    own = (host.active, host.locks, host.quarantine, host.audits, host.audits_waiting, host.left_as)
    for folder in own:
        private_folder(folder)


class Ready:
    """Say one line to whoever started this daemon: a client by a descriptor, or systemd by its socket.

    core/words.py has the words. systemd keeps a refusal as the unit's status, where a client finds it.
    """

    def __init__(self, fd: int | None, manager: Manager) -> None:
        self.fd, self.manager = fd, manager
        self.is_told = False

    def say(self, word: str) -> None:
        """Say the word, once; `is_told` from then on."""
        self.is_told = True
        if word == words.READY:
            self.manager.ready()
        else:
            self.manager.status(word)
        if self.fd is None:
            return
        fd, self.fd = self.fd, None
        with contextlib.suppress(OSError):
            os.write(fd, word.encode() + b"\n")
            os.close(fd)
