"""What may stand in a file's place: no plain file, one that never ends, a link, another user's."""

import os
import shutil
import socket
from collections.abc import Callable
from pathlib import Path

STRANGER = 61002  # a uid that no password file knows
ENDLESS = 1 << 40  # bytes of a file that is one hole: it takes no space
Put = Callable[[Path], object]


def a_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as bound:
        here = os.getcwd()
        os.chdir(path.parent)  # an address has 107 bytes
        try:
            bound.bind(path.name)
        finally:
            os.chdir(here)


def an_endless_device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def a_device_that_waits(path: Path) -> None:
    path.symlink_to("/dev/ptmx")


def a_link_to_nothing(path: Path) -> None:
    path.symlink_to("nowhere")


def a_circle(path: Path) -> None:
    path.symlink_to(path.name)


def an_endless_file(path: Path) -> None:
    path.touch()
    os.truncate(path, ENDLESS)


# Things that are no plain file.
NOT_PLAIN: tuple[Put, ...] = (
    os.mkfifo,
    Path.mkdir,
    a_socket,
    an_endless_device,
    a_device_that_waits,
    a_link_to_nothing,
    a_circle,
)


def put(path: Path, thing: Put) -> None:
    """Put the thing in the place of whatever is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
    path.parent.mkdir(exist_ok=True)
    thing(path)
