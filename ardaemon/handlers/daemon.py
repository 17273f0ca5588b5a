"""events.*, daemon.*, rpc.*: the daemon itself."""

import os
import sys
import time
from typing import Any

import anyio
import anyio.abc
from msgspec.json import encode

from ardaemon.core import protocol as p
from ardaemon.core.config import SUBSCRIBER_QUEUE
from ardaemon.core.text import as_text
from ardaemon.core.version import VERSION
from ardaemon.handlers.context import Context
from ardaemon.handlers.live import Live
from ardaemon.host import cgroup, state
from ardaemon.host.notify import Manager
from ardaemon.queue.board import Message
from ardaemon.rpc import discover
from ardaemon.rpc.dispatch import Notify


class Daemon:
    """The methods on the daemon."""

    def __init__(self, context: Context, manager: Manager, tasks: anyio.abc.TaskGroup) -> None:
        self.context, self.board, self.host = context, context.board, context.host
        self.manager, self.live = manager, Live(context, tasks)
        self.started_at, self.started = state.now(), time.monotonic()
        self.stopping = anyio.Event()
        self.stop_wanted = False

    async def events_subscribe(self, params: p.Subscribe, notify: Notify) -> p.Done:
        """Send events until the client goes, or falls behind; live ones, too, if it asks for them."""
        send, receive = anyio.create_memory_object_stream[Message](SUBSCRIBER_QUEUE)
        self.board.subscribers.add(send)
        try:
            if params.confirm:
                await notify("event", {"event": "subscribed"})
            if params.live:
                await self.live.join(send)
            async for event in receive:
                if _is_wanted(event, params):
                    await notify("event", event)
        finally:
            self.live.leave(send)
            self.board.subscribers.discard(send)
            send.close()
            receive.close()
        return p.Done(ok=False, warnings=(f"more than {SUBSCRIBER_QUEUE} events behind: cut off",))

    async def daemon_info(self, _: p.Nothing, __: Notify) -> p.DaemonInfo:
        """Say who answers: version, pid, and where the socket and the log are."""
        return p.DaemonInfo(
            pid=os.getpid(),
            version=VERSION,
            protocol=p.PROTOCOL,
            socket=str(self.host.socket),
            started_at=self.started_at,
            uptime_s=round(time.monotonic() - self.started, 3),
            active=len(self.board.flights) + self.board.arriving.total(),
            python=sys.version.split()[0],
            log=as_text(str(self.host.log)),
            unit=cgroup.unit() if self.manager.address else "",
            watchdog_s=self.manager.watchdog_s,
            config=_state_of(self.context),
        )

    async def daemon_stop(self, _: p.Nothing, __: Notify) -> p.Done:
        """Stop, once this is answered. Jobs go on under their shims; the next daemon takes them up."""
        self.stop_wanted = True
        return p.Done()

    def answered(self) -> None:
        """Stop if the answer that was just sent was that of daemon.stop."""
        if self.stop_wanted:
            self.stopping.set()

    async def rpc_discover(self, _: p.Nothing, __: Notify) -> dict[str, Any]:
        """Return the OpenRPC document."""
        return discover.document()


def _state_of(context: Context) -> p.ConfigState:
    config, notifier = context.config, context.notifier
    held = {name: encode(getattr(config.now, name)).decode() for name in config.waiting}
    return p.ConfigState(
        held=held, variables=config.variables, fault=config.fault, on_event=notifier.trouble()
    )


def _is_wanted(event: Message, params: p.Subscribe) -> bool:
    """Tell whether the subscriber asked for it; what is of the whole machine, everybody gets."""
    ours = params.project in (None, event.get("project", params.project))
    return ours and params.expr in (None, event.get("expr", params.expr))
