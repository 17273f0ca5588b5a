"""Seccomp filters as the sandboxes of agents have them, which a process puts on itself (seccomp(2)).

It holds for every process that is started afterwards, and no one can take it off again.
"""

import ctypes
import errno
import os
import platform
import struct
from collections.abc import Iterable, Iterator
from typing import NamedTuple

AF_UNIX = 1
# prctl(2), linux/seccomp.h, linux/audit.h, linux/bpf_common.h
PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS, MODE_FILTER = 22, 38, 2
ALLOW, REFUSE = 0x7FFF0000, 0x00050000  # the latter with an error's number
LOAD, EQUAL, RETURN = 0x20, 0x15, 0x06
# Where struct seccomp_data has the call's number, the architecture and (its low half) the first argument.
NUMBER, ARCHITECTURE, ARGUMENT = 0, 4, 16
NAMES = "socket connect accept sendto bind listen setsockopt getsockopt accept4".split()
MACHINES = {
    "x86_64": (0xC000003E, dict(zip(NAMES, (41, 42, 43, 44, 49, 50, 54, 55, 288), strict=True))),
    "aarch64": (0xC00000B7, dict(zip(NAMES, (198, 203, 202, 206, 200, 201, 208, 209, 242), strict=True))),
}


class Refused(NamedTuple):
    """A system call that is refused; with `family` only for sockets of that kind."""

    name: str
    family: int | None = None
    error: int = errno.EPERM


def install(calls: Iterable[Refused], no_new_privileges: bool = True) -> None:
    """Refuse these calls from now on. Without `no_new_privileges` only root may do so."""
    program = b"".join(_program(list(calls)))
    if no_new_privileges:
        _prctl(PR_SET_NO_NEW_PRIVS, 1)
    code = ctypes.create_string_buffer(program, len(program))
    # struct sock_fprog: the number of instructions, padding, their address
    head = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(code)))
    _prctl(PR_SET_SECCOMP, MODE_FILTER, ctypes.addressof(head))


def _program(calls: list[Refused]) -> Iterator[bytes]:
    """The filter in classic BPF: each call is compared in turn, and the first that fits is refused."""
    architecture, numbers = MACHINES[platform.machine()]
    yield from (_instruction(LOAD, ARCHITECTURE), _instruction(EQUAL, architecture, 1, 0))
    yield _instruction(RETURN, ALLOW)  # a program of another architecture is not what is tested here
    for call in calls:
        if call.family is None:
            yield from (_instruction(LOAD, NUMBER), _instruction(EQUAL, numbers[call.name], 0, 1))
        else:
            yield from (_instruction(LOAD, NUMBER), _instruction(EQUAL, numbers[call.name], 0, 3))
            yield from (_instruction(LOAD, ARGUMENT), _instruction(EQUAL, call.family, 0, 1))
        yield _instruction(RETURN, REFUSE | call.error)
    yield _instruction(RETURN, ALLOW)


def _instruction(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("HBBI", code, if_true, if_false, value)


def _prctl(*arguments: int) -> None:
    library = ctypes.CDLL(None, use_errno=True)
    padded = (*arguments, 0, 0, 0, 0)[:5]
    if library.prctl(*(ctypes.c_ulong(value) for value in padded)) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), "prctl")
