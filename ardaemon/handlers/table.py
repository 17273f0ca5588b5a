"""The handler of each method, by the protocol's own table."""

from typing import Any

import anyio

from ardaemon.core.methods import METHODS
from ardaemon.handlers.audits import AuditsShown
from ardaemon.handlers.chains import Chains
from ardaemon.handlers.compare import Compares
from ardaemon.handlers.context import Context
from ardaemon.handlers.curves import Curves
from ardaemon.handlers.daemon import Daemon
from ardaemon.handlers.experiments import Experiments
from ardaemon.handlers.gpus import Gpus
from ardaemon.handlers.logs import Logs
from ardaemon.handlers.measures import Measures
from ardaemon.handlers.overview import Overview
from ardaemon.handlers.pages import Pages
from ardaemon.handlers.projects import Projects
from ardaemon.handlers.queue import Queue
from ardaemon.handlers.reports import Reports
from ardaemon.handlers.runs import Runs
from ardaemon.handlers.tail import Tailer
from ardaemon.handlers.wait import Waiter
from ardaemon.rpc.dispatch import Handler, Notify

# The part before the dot says whose it is, but for those that have a room of their own.
_HOMES = {
    "run": "runs",
    "run.wait": "waiter",
    "run.tail": "tailer",
    "run.curve": "curves",
    "run.rerun": "measures",
    "run.compare": "compares",
    "noise": "measures",
    "audit": "audits",
    "status": "experiments",
    "status.list": "overview",
    "experiment": "experiments",
    "session": "experiments",
    "chain": "chains",
    "project": "projects",
    "log": "logs",
    "report": "reports",
    "report.page": "pages",
    "history": "reports",
    "queue": "queue",
    "gpu": "gpus",
    "events": "daemon",
    "daemon": "daemon",
    "rpc": "daemon",
}

# Methods that only look, and say so where runs are still being taken up. What decides, or waits for a run,
# must know them all.
EARLY = frozenset(
    "status.get status.list session.get queue.list gpu.list daemon.info daemon.stop rpc.discover".split()
)


def table(context: Context, daemon: Daemon) -> dict[str, Handler]:
    """Return the handler of every method of the protocol; that of `run.submit` is Runs.run_submit."""
    homes = {
        "runs": Runs(context),
        "waiter": Waiter(context),
        "tailer": Tailer(context),
        "curves": Curves(context),
        "measures": Measures(context),
        "compares": Compares(context),
        "audits": AuditsShown(context),
        "experiments": Experiments(context),
        "overview": Overview(context),
        "chains": Chains(context),
        "projects": Projects(context),
        "logs": Logs(context),
        "reports": Reports(context),
        "pages": Pages(context),
        "queue": Queue(context),
        "gpus": Gpus(context),
        "daemon": daemon,
    }
    return {name: getattr(homes[_home(name)], name.replace(".", "_")) for name in METHODS}


def once(recovered: anyio.Event, handlers: dict[str, Handler]) -> dict[str, Handler]:
    """Return the handlers, each but those of EARLY as one that waits until all runs were taken up."""

    def later(handler: Handler) -> Handler:
        async def handle(params: Any, notify: Notify) -> Any:
            await recovered.wait()
            return await handler(params, notify)

        return handle

    return {name: handler if name in EARLY else later(handler) for name, handler in handlers.items()}


def _home(name: str) -> str:
    return _HOMES.get(name) or _HOMES[name.partition(".")[0]]
