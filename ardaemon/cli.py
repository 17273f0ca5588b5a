"""`ardaemon serve`: the daemon in the foreground. People use `arctl`, which starts it by itself."""

import contextlib
import ctypes
import faulthandler
import os
import signal
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import anyio
import click

from ardaemon.core import words
from ardaemon.core.errors import ArdaemonError, DaemonUnavailable, StorageError, UsageError
from ardaemon.core.version import VERSION

if TYPE_CHECKING:
    from ardaemon.startup import Ready

M_MMAP_THRESHOLD = -3  # malloc.h


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(VERSION, prog_name="ardaemon")
def cli() -> None:
    """The daemon that owns the training runs of autonomous experiments."""


@cli.command()
@click.option("--ready-fd", type=int, default=None, help="Write `ready` to this descriptor once it listens.")
def serve(ready_fd: int | None) -> None:
    """Run the daemon in the foreground until SIGTERM or `arctl daemon stop`."""
    from ardaemon import daemon, startup
    from ardaemon.core import config_file, places
    from ardaemon.core.layout import Host
    from ardaemon.core.live_config import LiveConfig
    from ardaemon.host.notify import Manager
    from ardaemon.rpc import activation

    sockets: list[socket.socket] = []
    manager = Manager.of_environment(os.environ)
    ready = startup.Ready(ready_fd, manager)
    _return_memory()
    faulthandler.enable()  # systemd's watchdog sends SIGABRT to a loop that hangs: say where it hangs
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # a closed terminal is no reason to stop
    os.umask(0o077 & os.umask(0o022) | 0o022)
    try:
        sockets = activation.take(os.environ)  # before anything is started that would inherit them
        host = Host.of_environment()
        startup.prepare(host)
        variables = config_file.variables(os.environ)
        config = LiveConfig(config_file.load(places.config_file(), variables).config, variables)
        lock = startup.take_lock(host)
        passed = activation.choose(sockets, host.socket)
    except startup.AlreadyRunning:
        ready.say(words.RUNNING)
        click.echo("ardaemon: another instance of this user is running (arctl daemon status)", err=True)
        sys.exit(69)
    except (ArdaemonError, OSError) as error:
        _refused(error, ready, sockets)
    try:
        anyio.run(daemon.serve, host, config, ready, passed)
    except Exception as error:
        cause = _single(error)
        if ready.is_told or not isinstance(cause, ArdaemonError | OSError):
            raise  # a fault of ours: its traceback tells more
        _refused(cause, ready, sockets)  # before it could serve: no socket, no log, no space
    os.close(lock)


def _single(error: BaseException) -> BaseException:
    """Unwrap the only error in an exception group, as a task group raises it."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error


def _refused(error: ArdaemonError | OSError, ready: "Ready", sockets: list[socket.socket]) -> NoReturn:
    """Say why it cannot serve, to whoever started it, the clients that wait, and the terminal or journal."""
    from ardaemon.rpc.refusing import refuse

    told = error if isinstance(error, ArdaemonError) else _in_words(error)
    # A refusal is one line, with its mend in it; for a setting, `arctl config check` shows all of them.
    is_whole = isinstance(told, UsageError) or not told.mend
    ready.say(words.refusal(told.message if is_whole else f"{told.message} ({told.mend})"))
    refuse(sockets, DaemonUnavailable(f"the daemon cannot start: {told.message}", told.mend))
    click.echo(f"Error: {told.message}\n→ {told.mend}", err=True)
    sys.exit(told.exit_code)


def _in_words(error: OSError) -> ArdaemonError:
    """Return the error that says what is in the way of the file that the system has refused."""
    from ardaemon.host import state

    if not isinstance(error.filename, str):
        return StorageError(error.strerror or str(error), "check the folder's rights and the disk")
    return state.storage("use", Path(error.filename)).translated(error)


def _return_memory() -> None:
    """Give blocks from 128 KiB on back to the system once freed (mallopt(3)): a daemon lives for weeks.

    By itself glibc would raise that limit with the first large answer, and keep the peak of a busy moment.
    """
    with contextlib.suppress(AttributeError, OSError):  # another C library
        ctypes.CDLL(None).mallopt(M_MMAP_THRESHOLD, 128 << 10)


def main() -> None:
    """Run the command line in this process, as it is."""
    cli(prog_name="ardaemon")
