"""The newest value of the primary metric while a run trains: a view, nothing is decided by it."""

import anyio
import anyio.to_thread

from ardaemon.host.follow import appended
from ardaemon.metrics.base import Query
from ardaemon.metrics.log import Follower
from ardaemon.pipeline.experiment import load
from ardaemon.pipeline.flight import Flight

# A run that ends sooner needs no live value; a watcher costs a thread.
FOLLOW_AFTER_S = 1.0


async def keep_latest(flight: Flight) -> None:
    """Keep the newest value of the primary metric, until cancelled, for those who look while it runs."""
    assert flight.handle is not None
    if flight.record.settings.metric_regex is not None:
        return  # a pattern of the user's may run for ever: never in this process
    await anyio.sleep(FOLLOW_AFTER_S)
    found = await anyio.to_thread.run_sync(load, flight.experiment)
    follower = Follower(Query(found.contract.primary, None, None))
    async for data in appended(flight.run.attempt(flight.handle.attempt).log):
        follower.feed(data)
        flight.latest = follower.latest
