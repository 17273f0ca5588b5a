"""`ardaemon serve`: the daemon in the foreground. People use `arctl`, which starts it by itself."""

import contextlib
import ctypes
import os
import signal
import sys

import anyio
import click

from ardaemon.core.errors import ArdaemonError
from ardaemon.version import VERSION

M_MMAP_THRESHOLD = -3  # malloc.h


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(VERSION, prog_name="ardaemon")
def cli() -> None:
    """The daemon that owns the training runs of autonomous experiments."""


@cli.command()
@click.option("--ready-fd", type=int, default=None, help="Write `ready` to this descriptor once it listens.")
def serve(ready_fd: int | None) -> None:
    """Run the daemon in the foreground until SIGTERM or `arctl daemon stop`."""
    from ardaemon import daemon
    from ardaemon.core.layout import Host, config_file

    ready = daemon.Ready(ready_fd)
    _return_memory()
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # a closed terminal is no reason to stop
    os.umask(0o077 & os.umask(0o022) | 0o022)
    try:
        host = Host.of_environment()
        daemon.prepare(host)
        config = daemon.read_config(config_file())
        lock = daemon.take_lock(host)
    except daemon.AlreadyRunning:
        ready.say("running")
        click.echo("ardaemon: another instance of this user is running (arctl daemon status)", err=True)
        sys.exit(69)
    except ArdaemonError as error:
        ready.say(f"error: {error.message}")
        click.echo(f"Error: {error.message}\n→ {error.mend}", err=True)
        sys.exit(error.exit_code)
    except OSError as error:
        ready.say(f"error: {error}")
        click.echo(f"Error: {error}", err=True)
        sys.exit(74)
    try:
        anyio.run(daemon.serve, host, config, ready)
    except ArdaemonError as error:  # before it could serve: the socket's place is taken
        ready.say(f"error: {error.message}")
        click.echo(f"Error: {error.message}\n→ {error.mend}", err=True)
        sys.exit(error.exit_code)
    except OSError as error:  # before it could serve: no socket, no log
        ready.say(f"error: {error}")
        click.echo(f"Error: {error}\n→ check the folder's rights and the disk", err=True)
        sys.exit(74)
    os.close(lock)


def _return_memory() -> None:
    """Blocks from 128 KiB on go back to the system as they are freed (mallopt(3)): a daemon lives for weeks.

    By itself glibc would raise that limit with the first large answer, and keep the peak of a busy moment.
    """
    with contextlib.suppress(AttributeError, OSError):  # another C library
        ctypes.CDLL(None).mallopt(M_MMAP_THRESHOLD, 128 << 10)


def main() -> None:
    """Console entry point."""
    cli()


if __name__ == "__main__":
    main()
