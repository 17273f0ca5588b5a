"""Composition root: one instance, one task group, signals, clean stop."""

import contextlib
import gc
import logging
import os
import signal
import tomllib
from pathlib import Path

import anyio
import anyio.to_thread
import msgspec
from anyio.abc import TaskStatus

from ardaemon import recovery
from ardaemon.core.config import Config
from ardaemon.core.errors import UsageError
from ardaemon.core.layout import Host
from ardaemon.core.model import Record
from ardaemon.core.private import private_folder
from ardaemon.core.protocol import PROTOCOL
from ardaemon.core.version import VERSION
from ardaemon.core.words import READY
from ardaemon.engines.local.engine import LocalEngine
from ardaemon.engines.local.starter import Starter
from ardaemon.experiment.locks import Locks
from ardaemon.gpus.book import GpuBook
from ardaemon.handlers.context import Context
from ardaemon.handlers.daemon import Daemon
from ardaemon.handlers.table import table
from ardaemon.host import durable, file_lock, quarantine, state
from ardaemon.journal import open_log
from ardaemon.machine.leasing import Leasing
from ardaemon.machine.local import LocalMachine
from ardaemon.machine.overseer import Overseer
from ardaemon.machine.sick_gpus import SickGpus
from ardaemon.metrics import command
from ardaemon.pipeline.drive import Driver
from ardaemon.pipeline.flight import Flight
from ardaemon.queue import scheduler
from ardaemon.queue.board import Board
from ardaemon.queue.placement import Placement
from ardaemon.queue.views import Views
from ardaemon.rpc import listening
from ardaemon.rpc.server import Server

log = logging.getLogger("ardaemon.daemon")


# Each follower of a log holds one (at most FOLLOWERS_MAX), each stage of a run one for a moment.
THREADS_MAX = 128
LAST_WORDS_S = (
    2.0  # what is written at a stop is nothing that a kill would lose: a disk that hangs delays none
)


class AlreadyRunning(Exception):
    """Another instance of this user holds the lock."""


class Info(Record, frozen=True, kw_only=True):
    """daemon.json: how clients find the daemon, whatever their XDG_RUNTIME_DIR."""

    pid: int
    version: str
    protocol: int
    socket: str
    started_at: str


def take_lock(host: Host) -> int:
    """The single instance's lock, held until this process ends. Raises AlreadyRunning."""
    try:
        return file_lock.take(str(host.lock))
    except BlockingIOError:
        raise AlreadyRunning from None


def read_config(path: Path) -> Config:
    """config.toml, or the defaults. Raises UsageError naming file and fault."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return Config()
    try:
        return msgspec.convert(tomllib.loads(text), type=Config)
    except (tomllib.TOMLDecodeError, msgspec.ValidationError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: {error}", "correct the file, or remove it for the defaults") from error


def prepare(host: Host) -> None:
    """The folders that the daemon needs, private to the user."""
    private_folder(host.state)
    private_folder(host.runtime)
    for folder in (host.active, host.locks, host.quarantine):
        private_folder(folder)


async def serve(host: Host, config: Config, ready: "Ready") -> None:
    """Run until told to stop. Jobs go on under their shims after that."""
    open_log(host.log)
    anyio.to_thread.current_default_thread_limiter().total_tokens = THREADS_MAX
    gpus = GpuBook(ignored=frozenset(config.ignore_pids), ours=config.gpus)
    board = Board(config, Placement(config, gpus))
    engine = LocalEngine(host, config.grace, None if config.cgroup == "off" else config.pids_max)
    locks = Locks()
    engine.sweep()
    for folder in (host.state, host.active, host.quarantine):
        durable.sweep(folder)  # a half-written entry holds an environment
    board.placement.unclean = quarantine.at_start(host.quarantine)
    leasing = Leasing(host, config, board)
    overseer = Overseer(board, leasing, SickGpus(host.sick, board))
    machine = LocalMachine(engine, leasing, overseer)
    views = Views(board, engine.waits, machine.live)
    sock = listening.listen(host.socket)  # who connects during recovery waits in the backlog
    try:
        async with anyio.create_task_group() as tasks:
            driver = Driver(engine, config, locks, board, tasks, host.quarantine, machine)
            context = Context(host, config, board, views, driver, locks, overseer, machine)
            overseer.limit = context.limit
            methods = Daemon(context)
            at_work, stranded = recovery.recover(board, engine, recovery.entries(host))
            await tasks.start(_stop_on_signal, methods.stopping)  # before anyone could know our pid
            _publish(host)
            tasks.start_soon(Server(table(context, methods), config, methods.answered).serve, sock)

            def resume(flight: Flight) -> None:
                machine.found(flight)
                tasks.start_soon(context.fly, flight)

            for flight in at_work:
                resume(flight)
            tasks.start_soon(recovery.keep_looking, board, engine, stranded, resume)
            tasks.start_soon(recovery.keep_counting, board, engine)
            tasks.start_soon(overseer.sampler.loop)
            tasks.start_soon(scheduler.loop, board, context.fly, overseer.known, overseer.sampler.ask, tasks)
            tasks.start_soon(_keep_spare, engine.starter, board)
            log.info(
                "started",
                extra={"facts": {"version": VERSION, "pid": os.getpid(), "active": len(board.flights)}},
            )
            ready.say(READY)
            gc.freeze()
            await methods.stopping.wait()
            with anyio.move_on_after(LAST_WORDS_S):
                await overseer.rest()
                await context.keep_heard()
            tasks.cancel_scope.cancel()  # first, so that nobody judges by a metric command that is ended
            command.end_all()
    finally:
        overseer.close()
        engine.close()
        durable.remove(host.info)
        durable.remove(host.socket)
        log.info("stopped")


async def _keep_spare(starter: Starter, board: Board) -> None:
    """One shim is always parked, so that a launch need not wait for an interpreter."""
    while True:
        changed = board.changed
        try:
            await starter.prepare()
        except OSError as error:  # no descriptors, no processes: the next launch tries again
            log.warning("no spare shim", extra={"facts": {"why": str(error)}})
        await changed.wait()


async def _stop_on_signal(stopping: anyio.Event, *, task_status: TaskStatus[None]) -> None:
    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        task_status.started()
        async for number in signals:
            log.info("signal", extra={"facts": {"signal": number.name}})
            stopping.set()
            return


def _publish(host: Host) -> None:
    info = Info(
        pid=os.getpid(),
        version=VERSION,
        protocol=PROTOCOL,
        socket=str(host.socket),
        started_at=state.now(),
    )
    durable.publish(host.info, state.encode(info), 0o600)


class Ready:
    """The one line to whoever started this daemon; core/words.py has the words."""

    def __init__(self, fd: int | None) -> None:
        self.fd = fd
        self.said = False

    def say(self, word: str) -> None:
        """Say it, once."""
        self.said = True
        if self.fd is None:
            return
        fd, self.fd = self.fd, None
        with contextlib.suppress(OSError):
            os.write(fd, word.encode() + b"\n")
            os.close(fd)
