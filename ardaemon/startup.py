"""Get ready to serve: the lock, the folders, the settings, and the word to whoever started the daemon."""

import contextlib
import os
from pathlib import Path

import msgspec

from ardaemon.core import toml, words
from ardaemon.core.config import Config
from ardaemon.core.errors import UsageError
from ardaemon.core.layout import Host
from ardaemon.core.private import private_folder
from ardaemon.host import file_lock
from ardaemon.host.notify import Manager


class AlreadyRunning(Exception):
    """Another instance of this user holds the lock."""


def take_lock(host: Host) -> int:
    """Return the single instance's lock, held until this process ends. Raises AlreadyRunning."""
    try:
        return file_lock.take(str(host.lock))
    except BlockingIOError:
        raise AlreadyRunning from None


def read_config(path: Path) -> Config:
    """Read config.toml, or take the defaults. Raises UsageError naming file and fault."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return Config()
    try:
        return msgspec.convert(toml.parse(text), type=Config)
    except (ValueError, msgspec.ValidationError) as error:
        raise UsageError(f"{path}: {error}", "correct the file, or remove it for the defaults") from error


def prepare(host: Host) -> None:
    """Make the folders that the daemon needs, private to the user."""
    private_folder(host.state)
    private_folder(host.runtime)
    for folder in (host.active, host.locks, host.quarantine):
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
