"""`arctl metrics`: the daemon, its queue and its GPUs as Prometheus text. This command starts no daemon."""

import click

from arctl.connection import Connection, ConnectionLost
from arctl.dial import Busy, NotRunning
from arctl.render import prometheus
from arctl.render.prometheus import Metric
from arctl.starter import dial_running
from arctl.stopper import too_busy
from ardaemon.core.errors import DaemonUnavailable


@click.command()
def metrics() -> None:
    """Print the daemon's state as Prometheus text, as for node_exporter's textfile collector.

    Where no daemon runs, `ardaemon_up 0` is all, with exit code 0.
    """
    try:
        found = _ask()
    except NotRunning:
        found = [prometheus.up(False)]
    except Busy:
        raise too_busy() from None
    except ConnectionLost:
        raise DaemonUnavailable("the daemon went away", "arctl daemon logs") from None
    click.echo(prometheus.text(found), nl=False)


def _ask() -> list[Metric]:
    with dial_running() as sock:
        connection = Connection(sock)
        return [
            prometheus.up(True),
            *prometheus.of_daemon(connection.call("daemon.info")),
            *prometheus.of_queue(connection.call("queue.list")),
            *prometheus.of_gpus(connection.call("gpu.list")),
        ]
