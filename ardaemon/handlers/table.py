"""Method name -> handler, from the protocol's own table."""

from ardaemon.core.protocol import METHODS
from ardaemon.handlers.context import Context
from ardaemon.handlers.experiments import Experiments
from ardaemon.handlers.gpus import Gpus
from ardaemon.handlers.machine import Machine
from ardaemon.handlers.queue import Queue
from ardaemon.handlers.runs import Runs
from ardaemon.server import Handler

# The part before the dot says whose it is.
_HOMES = {
    "run": "runs",
    "status": "experiments",
    "experiment": "experiments",
    "session": "experiments",
    "queue": "queue",
    "gpu": "gpus",
    "events": "machine",
    "daemon": "machine",
    "rpc": "machine",
}


def table(context: Context, machine: Machine) -> dict[str, Handler]:
    """Every method of the protocol; `run.submit` is Runs.run_submit."""
    homes = {
        "runs": Runs(context),
        "experiments": Experiments(context),
        "queue": Queue(context),
        "gpus": Gpus(context),
        "machine": machine,
    }
    return {name: getattr(homes[_HOMES[name.partition(".")[0]]], name.replace(".", "_")) for name in METHODS}
