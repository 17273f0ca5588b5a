"""Start the daemon: recover, run, stop."""

import gc
import logging
import os
import signal
import socket
import threading
from collections.abc import Awaitable, Callable
from functools import partial

import anyio
import anyio.abc
import anyio.to_thread
from anyio.abc import TaskStatus

from ardaemon import recovery
from ardaemon.core.errors import CorruptState
from ardaemon.core.layout import Host
from ardaemon.core.live_config import LiveConfig
from ardaemon.core.model import Record
from ardaemon.core.places import config_file
from ardaemon.core.protocol import PROTOCOL
from ardaemon.core.version import VERSION
from ardaemon.core.words import READY
from ardaemon.engines.base import Engine
from ardaemon.handlers.table import once, table
from ardaemon.host import command, core_files, durable, state
from ardaemon.journal import open_log
from ardaemon.own_lock import until_lost
from ardaemon.parts import Parts, build
from ardaemon.pipeline.unrecorded import Unrecorded
from ardaemon.queue.board import Board
from ardaemon.reload import keep_current
from ardaemon.rpc import listening
from ardaemon.rpc.listening import Listener
from ardaemon.rpc.server import Server
from ardaemon.service import keep_told
from ardaemon.startup import Ready

log = logging.getLogger("ardaemon.daemon")

# Each follower of a log holds one (at most FOLLOWERS_MAX), each stage of a run one for a moment.
THREADS_MAX = 128
# What is written at a stop is nothing that a kill would lose: a disk that hangs delays no stop for longer.
LAST_WORDS_S = 2.0
# For the first look at what an earlier daemon has launched: a dead disk delays no start for longer.
LOOK_S = 1.0
# For what an earlier daemon left to be taken up: a few runs take milliseconds, 10,000 some seconds. Whoever
# only looks is answered after this, whatever is left to do.
SERVED_AFTER_S = 1.0
# For threads to end after that: a commit or a copy under way takes less, or is done again by the next daemon.
THREADS_END_S = 5.0
SIDE_RETRY_S = 60.0  # after a fault of ours: it may have been the moment


class Info(Record, frozen=True, kw_only=True):
    """daemon.json: how clients find the daemon, whatever their XDG_RUNTIME_DIR."""

    pid: int
    version: str
    protocol: int
    socket: str
    started_at: str


async def serve(host: Host, config: LiveConfig, ready: Ready, passed: socket.socket | None) -> None:
    """Run until told to stop. Jobs go on under their shims after that.

    `passed` is the socket on which systemd listens for us; None where it does not.
    """
    core_limit = core_files.forbid()  # before it is told an environment
    open_log(host.log)
    anyio.to_thread.current_default_thread_limiter().total_tokens = THREADS_MAX
    written = (host.active, host.quarantine, host.audits_waiting, host.left_as)
    for folder in (host.state.parent, host.state, *written):
        durable.sweep(folder)  # a key is in the first; a half-written entry holds an environment
    listener = listening.listen(host.socket, passed)  # who connects during recovery waits in the backlog
    parts: Parts | None = None
    try:
        async with anyio.create_task_group() as tasks:
            parts = build(host, config, ready.manager, core_limit, tasks)
            await run(parts, listener.sock, tasks)
            ready.say(READY)
            gc.freeze()
            await parts.methods.stopping.wait()
            ready.manager.stopping()
            _withdraw(host)  # before a client loses its connection: it sees that this is no crash
            await stop(parts)
            _leave_by_force_soon(host, parts, listener)
            tasks.cancel_scope.cancel()  # first, so that nobody judges by a metric command that is ended
            command.end_all()
            # The task group ends when its threads do. They work on files: each ends when its disk answers,
            # and is left to that if it takes too long.
        if parts is not None:
            parts.letting_go.last()
    finally:
        close(host, parts, listener)


async def run(parts: Parts, sock: socket.socket, tasks: anyio.abc.TaskGroup) -> None:
    """Recover what a daemon before us left, and serve: while that goes on, if it takes long."""
    recovered = anyio.Event()
    await tasks.start(_stop_on_signal, parts.methods.stopping)  # before anyone could know our pid
    tasks.start_soon(_recover, parts, tasks, recovered)
    with anyio.move_on_after(SERVED_AFTER_S):
        await recovered.wait()
    _publish(parts.host)
    handlers = once(recovered, table(parts.context, parts.methods))
    tasks.start_soon(Server(handlers, parts.config, parts.methods.answered).serve, sock)
    tasks.start_soon(keep_told, parts.manager, parts.board)
    tasks.start_soon(at_the_side, partial(_stop_without_lock, parts))


async def _recover(parts: Parts, tasks: anyio.abc.TaskGroup, recovered: anyio.Event) -> None:
    """Take up what a daemon before us left, then start every loop."""
    board, engine, config = parts.board, parts.engine, parts.config
    disks = parts.context.disks
    locks = parts.context.locks
    started_here = parts.context.started_here
    facts = parts.context.facts
    entries = recovery.entries(parts.host)
    left = await recovery.recover(board, engine, disks, locks, started_here, parts.end, entries)
    engine.sweep([flight.handle for flight in board.flights.values() if flight.handle is not None])
    tasks.start_soon(parts.scheduler.loop)
    await _looked_at(board)
    recovered.set()
    tasks.start_soon(recovery.keep_looking, board, engine, disks, locks, started_here, parts.end, facts, left)
    tasks.start_soon(recovery.keep_counting, board, engine)
    tasks.start_soon(parts.overseer.sampler.loop)
    tasks.start_soon(_keep_ready, engine, board)
    tasks.start_soon(at_the_side, parts.letting_go.loop)
    tasks.start_soon(at_the_side, parts.context.notifier.loop)
    tasks.start_soon(at_the_side, parts.context.idler.loop)
    tasks.start_soon(at_the_side, parts.auditor.loop)
    unrecorded = Unrecorded(board.flights.values, board, engine.waits)
    log_quota_loop = partial(parts.context.log_quota.loop, board.projects, lambda: board.changed, unrecorded)
    tasks.start_soon(at_the_side, log_quota_loop)
    tasks.start_soon(at_the_side, partial(keep_current, config_file(), config, board))
    about = {"version": VERSION, "pid": os.getpid(), "active": len(board.flights)}
    log.info("started", extra={"facts": about})


async def at_the_side(work: Callable[[], Awaitable[None]]) -> None:
    """Do work that no run needs: a fault of ours in it is logged, and tried again later, and ends nothing."""
    while True:
        try:
            return await work()
        except Exception:
            log.exception("a task at the side failed")
        await anyio.sleep(SIDE_RETRY_S)


async def _looked_at(board: Board) -> None:
    """Wait until each run that was launched is known to be at work or over, so that all who ask see it."""
    with anyio.move_on_after(LOOK_S):
        for flight in list(board.flights.values()):
            await flight.until(lambda flight=flight: flight.state != "launching")  # type: ignore[misc]


async def stop(parts: Parts) -> None:
    """Write what is held back, as far as the disk lets us."""
    with anyio.move_on_after(LAST_WORDS_S):
        await parts.overseer.rest()
        await parts.letting_go.now()


def _leave_by_force_soon(host: Host, parts: Parts, listener: Listener) -> None:
    """End the process, whatever its threads do, unless it ends by itself before.

    A thread that hangs on a dead disk keeps its process, and with it every lock whose descriptor is open.
    What it was at is done again by the next daemon, as after a kill.
    """

    def leave() -> None:
        log.warning("left threads behind", extra={"facts": {"why": "a disk does not answer"}})
        close(host, parts, listener)
        os.closerange(0, os.sysconf("SC_OPEN_MAX"))  # the instance's lock is the first of them
        os._exit(0)

    timer = threading.Timer(THREADS_END_S, leave)
    timer.daemon = True
    timer.start()


def close(host: Host, parts: Parts | None, listener: Listener) -> None:
    """Let go of the driver, the helpers and the socket; `parts` is None where they could not be built."""
    if parts is not None:
        parts.overseer.close()
        parts.source.close()
        parts.engine.close()
    _withdraw(host)
    listener.withdraw()
    log.info("stopped")


async def _keep_ready(engine: Engine, board: Board) -> None:
    """Keep the engine ready, so that a launch need not wait for an interpreter."""
    while True:
        changed = board.changed
        try:
            await engine.keep_ready()
        except OSError as error:  # no descriptors, no processes: the next launch tries again
            log.warning("engine not ready", extra={"facts": {"why": str(error)}})
        await changed.wait()


async def _stop_on_signal(stopping: anyio.Event, *, task_status: TaskStatus[None]) -> None:
    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        task_status.started()
        async for number in signals:
            log.info("signal", extra={"facts": {"signal": number.name}})
            stopping.set()
            return


async def _stop_without_lock(parts: Parts) -> None:
    await until_lost(parts.host, parts.board)
    parts.methods.stopping.set()


def _withdraw(host: Host) -> None:
    """Remove daemon.json, unless it is another daemon's by now: one that was started while ours was away."""
    try:
        info = state.read(host.info, Info)
    except CorruptState:  # nobody can use it
        info = None
    if info is None or info.pid == os.getpid():
        durable.remove(host.info)


def _publish(host: Host) -> None:
    info = Info(
        pid=os.getpid(),
        version=VERSION,
        protocol=PROTOCOL,
        socket=str(host.socket),
        started_at=state.now(),
    )
    durable.publish(host.info, state.encode(info), 0o600)
