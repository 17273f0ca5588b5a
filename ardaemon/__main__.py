"""`ardaemon serve`: the daemon in the foreground. People use `arctl`, which starts it by itself."""

import os
import signal
import sys

import anyio
import click

from ardaemon.core.errors import ArdaemonError
from ardaemon.version import VERSION


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
    except OSError as error:  # before it could serve: no socket, no log
        ready.say(f"error: {error}")
        click.echo(f"Error: {error}\n→ check the folder's rights and the disk", err=True)
        sys.exit(74)
    os.close(lock)


def main() -> None:
    """Console entry point."""
    cli()


if __name__ == "__main__":
    main()
