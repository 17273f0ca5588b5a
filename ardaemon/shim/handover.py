"""The shim's side of the handover, in which a parked shim gets an attempt and answers.

The daemon's side is in engines/local/spare.py.

Standard library alone, for the shim.
"""

import _socket
import marshal
import os
import sys

from ardaemon.host import operations
from ardaemon.shim import records

LEASES_MAX = 128  # 64 GPUs, each with a MIG parent; the kernel passes 253 descriptors at once (unix(7))
FDS_MAX = 3 + LEASES_MAX
MARSHAL_FORMAT = 4  # read by every Python from 3.4 on: it may be upgraded in place under a daemon


def word(fds: int) -> bytes:
    """Return the byte that is sent with that many descriptors, so that the shim notices if one gets lost."""
    return bytes([fds])


def receive(channel: _socket.socket) -> tuple[int, int, int, tuple[int, ...]] | None:
    """Wait for the descriptors of the specification, of shim.lock, of job.lock and of the leases.

    Return None if the daemon is gone or has no work for this shim. Return None as well if some descriptors
    were lost because this process may have no more (recvmsg(2), MSG_CTRUNC): a job must not run on a card
    that it does not hold.
    """
    space = _socket.CMSG_SPACE(FDS_MAX * 4)
    sent, ancillary, _, _ = channel.recvmsg(1, space, _socket.MSG_CMSG_CLOEXEC)
    if not ancillary:
        return None
    raw = ancillary[0][2]
    fds = [int.from_bytes(raw[at : at + 4], sys.byteorder) for at in range(0, len(raw) - 3, 4)]
    if word(len(fds)) != sent:
        return None
    return fds[0], fds[1], fds[2], tuple(fds[3:])


def dump(spec: dict[str, object]) -> bytes:
    """Return the specification as it is handed over.

    In the interpreter's own form, for both sides are the same interpreter, and reading JSON would cost the
    shim a quarter of its start (records.py).
    """
    return marshal.dumps(spec, MARSHAL_FORMAT)


def load(fd: int) -> dict:  # type: ignore[type-arg]
    """Read the specification from its descriptor, a file in memory."""
    os.lseek(fd, 0, os.SEEK_SET)
    with open(fd, "rb") as file:
        return marshal.loads(file.read())  # type: ignore[no-any-return]


def acknowledge(channel: _socket.socket, word: dict[str, object]) -> None:
    """Send the one line that the daemon waits for, and close the channel; the daemon may be gone."""
    operations.at("acknowledge", word["pid"])
    try:
        channel.sendall(records.encode(word) + b"\n")
    except OSError:
        pass  # the daemon is gone: it finds start.json when it comes back
    channel.close()
